//! Planning: the keys of what a filter selects are frozen, chunk by chunk.

use rusqlite::{OptionalExtension, params, params_from_iter};
use rustc_hash::FxHashSet;

use super::codec::Key;
use super::count::fitting_shapes;
use super::frozen::{CHUNK_ITEMS, Frozen, ITEM_WEIGHT};
use super::jobs::{job_by_id, job_row};
use super::writer::Tx;
use super::{Error, Readers, Result, Store, with_system_error};
use crate::job::{Job, JobId, JobState};
use crate::model::Millis;

/// Chunks frozen in one transaction.
const PAGE_CHUNKS: usize = 40;

/// What one step of planning came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planned {
    More,
    /// The list is whole: the job runs.
    Whole,
    /// The job is held or ended by now.
    Stopped,
}

/// A place in the order of items: (time, number).
type Border = (Millis, i64);

/// A job being planned: it reads one snapshot of the items from its first page to its last, so that an item whose time
/// changes meanwhile is neither missed nor named twice. After a restart it goes on from its cursor, on a new snapshot.
pub struct Planning<'a> {
    store: &'a Store,
    snapshot: r2d2::PooledConnection<Readers>,
    job: Job,
    shapes: FxHashSet<i64>,
    /// The page at `cursor`, where it was read already.
    ahead: Option<Page>,
    cursor: Border,
    end: Border,
}

/// Keys, and where the page after them begins; None after the last.
type Page = (Frozen, Option<Border>);

impl Store {
    /// Takes up the next job that waits for its list.
    pub fn begin_planning(&self, now: Millis) -> Result<Option<Planning<'_>>> {
        let job = self.write(move |tx| {
            let next: Option<JobId> = tx
                .prepare_cached(
                    "SELECT id FROM job WHERE state IN ('queued', 'planning') AND lane = 'bulk' ORDER BY id LIMIT 1",
                )?
                .query_row([], |row| row.get(0))
                .optional()?;
            let Some(id) = next else { return Ok(None) };
            let job = job_by_id(tx, id)?;
            if job.state == JobState::Queued {
                tx.set_state(id, job.state, JobState::Planning)?;
                tx.prepare_cached("UPDATE job SET started_at = coalesce(started_at, ?2) WHERE id = ?1")?
                    .execute([id, now])?;
            }
            Ok(Some(job))
        })?;
        job.map(|job| self.planning(job)).transpose()
    }

    fn planning(&self, job: Job) -> Result<Planning<'_>> {
        let snapshot = self.readers.get().map_err(|error| Error::Database(error.to_string()))?;
        snapshot.execute_batch("BEGIN")?;
        let edge = |from: Option<Millis>, at: Option<Millis>, item: Option<i64>, none: Millis| match (at, item) {
            (Some(at), Some(item)) => (at, item),
            _ => (from.unwrap_or(none), i64::MIN),
        };
        let (at, item, end_at, end_item): (Option<Millis>, Option<i64>, Option<Millis>, Option<i64>) = snapshot
            .query_row(
                "SELECT plan_at, plan_item, plan_end_at, plan_end_item FROM job WHERE id = ?",
                [job.id],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
            )?;
        let cursor = edge(job.filter.from, at, item, i64::MIN);
        let end = edge(job.filter.until, end_at, end_item, i64::MAX);
        let shapes = fitting_shapes(&self.names(), &job.filter);
        Ok(Planning { store: self, snapshot, job, shapes, ahead: None, cursor, end })
    }
}

impl Drop for Planning<'_> {
    fn drop(&mut self) {
        // The connection goes back to the pool: the next reader wants a snapshot of its own.
        if !self.snapshot.is_autocommit()
            && let Err(error) = self.snapshot.execute_batch("ROLLBACK")
        {
            log::warn!("the snapshot of job {} could not be ended: {error}", self.job.id);
        }
    }
}

impl Planning<'_> {
    pub fn job(&self) -> JobId {
        self.job.id
    }

    /// Freezes the next page of keys.
    pub fn step(&mut self, now: Millis) -> Result<Planned> {
        let id = self.job.id;
        if self.job.counts.total.is_some() {
            return self.store.write(move |tx| begin_running(tx, id, now));
        }
        let (list, next) = match self.ahead.take() {
            Some(page) => page,
            None => self.page(self.cursor)?,
        };
        let whole = next.is_none();
        let cursor = next.unwrap_or(self.end);
        let planned = self.store.begin_write(move |tx| {
            let found: Option<(String, i64, i64)> = tx
                .prepare_cached("SELECT state, chunks, planned FROM job WHERE id = ?")?
                .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .optional()?;
            // It may have been cancelled, deleted and removed since it was taken up.
            let Some((_, chunks, planned)) = found.filter(|(state, ..)| state == JobState::Planning.as_str()) else {
                return Ok(Planned::Stopped);
            };
            tx.put_chunks(id, chunks, planned, &list)?;
            tx.prepare_cached(
                "UPDATE job SET plan_at = ?2, plan_item = ?3, planned = planned + ?4, chunks = chunks + ?5,
                   weight = weight + ?6 WHERE id = ?1",
            )?
            .execute(params![id, cursor.0, cursor.1, list.total, list.chunks(), list.weight])?;
            if !whole {
                return Ok(Planned::More);
            }
            tx.prepare_cached("UPDATE job SET total = planned, pending = planned WHERE id = ?")?.execute([id])?;
            begin_running(tx, id, now)
        })?;
        // Read while the writer stores this one.
        let ahead = next.map(|next| self.page(next)).transpose();
        let planned = planned.wait()?;
        self.cursor = cursor;
        self.ahead = ahead?;
        Ok(planned)
    }

    /// The keys from `(at, item)` on. All pages but the last are whole chunks, so that the chunk of a position is known
    /// without looking.
    fn page(&self, from: Border) -> Result<Page> {
        self.read_page(from).map_err(|error| with_system_error(&self.snapshot, error))
    }

    fn read_page(&self, (at, item): Border) -> Result<Page> {
        let mut list = Frozen::default();
        // In two goes: a comparison of both columns would be looked up by the first alone, and walk anew at each page over
        // all items of one time.
        for (sql, from) in [
            ("SELECT at, no, shape, size FROM item WHERE at = ?1 AND no >= ?2 ORDER BY no", &[at, item][..]),
            ("SELECT at, no, shape, size FROM item WHERE at > ?1 ORDER BY at, no", &[at][..]),
        ] {
            let mut statement = self.snapshot.prepare_cached(sql)?;
            let mut rows = statement.query(params_from_iter(from))?;
            while let Some(row) = rows.next()? {
                let here = (row.get(0)?, row.get(1)?);
                if here >= self.end {
                    return Ok((list.whole(), None));
                }
                if !self.shapes.contains(&row.get(2)?) {
                    continue;
                }
                if list.total == (PAGE_CHUNKS * CHUNK_ITEMS) as i64 {
                    return Ok((list, Some(here)));
                }
                list.push(Key { item: here.1, asked: None }, row.get::<_, i64>(3)? + ITEM_WEIGHT);
            }
        }
        Ok((list.whole(), None))
    }
}

/// The list of a job is whole.
fn begin_running(tx: &Tx<'_>, id: JobId, now: Millis) -> Result<Planned> {
    match job_row(tx, id) {
        Ok(job) if job.state == JobState::Planning => {}
        Ok(_) | Err(Error::NotFound(_)) => return Ok(Planned::Stopped),
        Err(error) => return Err(error),
    }
    tx.set_state(id, JobState::Planning, JobState::Running)?;
    tx.settle_job(id, now)?;
    Ok(Planned::Whole)
}
