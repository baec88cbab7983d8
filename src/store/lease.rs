//! Leases: the next items of a job are given out, under a number that nothing else has.

use rusqlite::{OptionalExtension, Row, params};
use rustc_hash::FxHashMap;

use super::codec::{Key, unpack_keys};
use super::commit::{LeaseId, Source};
use super::jobs::{filter, of_job, word};
use super::writer::Tx;
use super::{Error, Result, Store};
use crate::job::{Filter, JobId, JobState, Lane};
use crate::label::Revision;
use crate::model::Millis;

/// A job that has, or may have, items to lease.
#[derive(Debug, Clone, PartialEq)]
pub struct Runnable {
    pub id: JobId,
    pub lane: Lane,
    pub priority: i64,
    pub max_per_second: Option<f64>,
    pub filter: Filter,
    pub dry_run: bool,
    /// None where no rules are used.
    pub revision: Option<Revision>,
    /// The job whose changes it takes back.
    pub reverts: Option<JobId>,
    /// A chunk of it has items to lease.
    pub open: bool,
    /// When a task of it is due that is to be tried again, if there is one.
    pub due: Option<Millis>,
}

/// No task is put off for longer. One that seems to be was put off before the clock was set back, and is due.
const LONGEST_WAIT: Millis = 120_000;

impl Runnable {
    /// All that is left of it are tasks whose time has not come.
    pub fn waits(&self, now: Millis) -> bool {
        !self.open && !self.is_due(now)
    }

    /// It has a task whose time to be tried again has come.
    pub fn is_due(&self, now: Millis) -> bool {
        self.due.is_some_and(|due| due <= now || due > now + LONGEST_WAIT)
    }
}

/// One leased item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeasedItem {
    pub pos: i64,
    pub key: Key,
    /// Attempts before this one.
    pub attempts: u32,
    /// Of those, the ones that are not charged: the process died with others in flight.
    pub uncharged: u32,
    /// It has a task row of its own by now and is passed over.
    pub elsewhere: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leased {
    pub lease: LeaseId,
    /// Of one item, as `job.weight`, at the mean.
    pub weight_each: i64,
    pub items: Vec<LeasedItem>,
}

/// What one lease asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    pub job: JobId,
    pub items: usize,
    pub lease: i64,
}

const RUNNABLE: &str = "id, lane, priority, max_per_second, filter, revision, reverts, dry_run,
    EXISTS (SELECT 1 FROM chunk WHERE chunk.job = id AND chunk.state = 'open'),
    (SELECT not_before FROM task WHERE task.job = id AND task.state = 'pending' AND suspect = 0
     ORDER BY not_before LIMIT 1)";

fn runnable_from(row: &Row<'_>) -> Result<Runnable> {
    of_job(row, decode)
}

fn decode(row: &Row<'_>) -> Result<Runnable> {
    Ok(Runnable {
        id: row.get(0)?,
        lane: word(row, 1, Lane::from_word)?,
        priority: row.get(2)?,
        max_per_second: row.get(3)?,
        filter: filter(row, 4)?,
        revision: row.get(5)?,
        reverts: row.get(6)?,
        dry_run: row.get(7)?,
        open: row.get(8)?,
        due: row.get(9)?,
    })
}

impl Store {
    /// Bulk jobs that run, oldest first, at most `limit`.
    pub fn runnable_bulk(&self, limit: usize) -> Result<Vec<Runnable>> {
        let sql = format!("SELECT {RUNNABLE} FROM job WHERE state = 'running' AND lane = 'bulk' ORDER BY id LIMIT ?");
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let mut jobs = Vec::new();
            for job in statement.query_and_then([limit as i64], runnable_from)? {
                match job {
                    Ok(job) if self.is_passed_over(job.id) => {}
                    Ok(job) => jobs.push(job),
                    Err(error) => self.pass_over(error)?,
                }
            }
            Ok(jobs)
        })
    }

    /// Live jobs with something to lease now, oldest first, at most `limit`; and when the next of the others is due.
    pub fn runnable_live(&self, limit: usize, now: Millis) -> Result<(Vec<Runnable>, Option<Millis>)> {
        let sql = format!(
            "SELECT {RUNNABLE} FROM job WHERE state IN ('queued', 'running') AND lane = 'live' AND pending > 0
             ORDER BY id"
        );
        self.read(|connection| {
            let (mut ready, mut next) = (Vec::new(), None::<Millis>);
            for job in connection.prepare_cached(&sql)?.query_and_then([], runnable_from)? {
                let job = match job {
                    Ok(job) if self.is_passed_over(job.id) => continue,
                    Ok(job) => job,
                    Err(error) => {
                        self.pass_over(error)?;
                        continue;
                    }
                };
                // Those that wait, however many they are, hide nobody.
                if job.waits(now) {
                    next = [next, job.due].into_iter().flatten().min();
                } else {
                    ready.push(job);
                    if ready.len() == limit {
                        break;
                    }
                }
            }
            Ok((ready, next))
        })
    }

    /// Whether an item that was in flight at a death waits to be run alone, and its job lets it.
    pub fn has_suspects(&self) -> Result<bool> {
        self.read(|connection| {
            let sql = format!("SELECT EXISTS ({SUSPECT})");
            Ok(connection.prepare_cached(&sql)?.query_row([], |row| row.get(0))?)
        })
    }

    /// Leases the next items of each job that is asked for: tasks that are due first, else the rest of a chunk.
    ///
    /// A job that was held meanwhile, has nothing left, or is damaged, answers no lease. A damaged one is not offered again
    /// before the next start.
    pub fn lease(&self, mut asks: Vec<Ask>, epoch: i64, now: Millis) -> Result<Vec<Leased>> {
        loop {
            let tried = asks.clone();
            let leases = self.write(move |tx| {
                must_be_current(tx, epoch)?;
                let leases = tried.into_iter().map(|ask| lease_one(tx, ask, epoch, now));
                let leases = leases.filter_map(Result::transpose).collect::<Result<Vec<_>>>()?;
                // One update for each job, not for each lease: an update rewrites the whole row of `job`.
                let mut items = FxHashMap::<JobId, i64>::default();
                for leased in &leases {
                    *items.entry(leased.lease.job).or_default() +=
                        leased.items.iter().filter(|item| !item.elsewhere).count() as i64;
                }
                items.into_iter().try_for_each(|(job, n)| begin(tx, job, n, now))?;
                Ok(leases)
            });
            match leases {
                // The transaction was rolled back: retry it without this job.
                Err(error @ Error::DamagedJob { id, .. }) => {
                    self.pass_over(error)?;
                    asks.retain(|ask| ask.job != id);
                }
                leases => return leases,
            }
        }
    }

    /// Leases one item that was in flight when the process died, wherever it waits; the caller sees to it that nothing
    /// else is in flight.
    pub fn lease_suspect(&self, epoch: i64, lease: i64, now: Millis) -> Result<Option<(Runnable, Leased)>> {
        let passed_over = self.passed_over();
        self.write(move |tx| {
            must_be_current(tx, epoch)?;
            let mut suspects = tx.prepare_cached(SUSPECT)?;
            let mut rows = suspects.query([])?;
            while let Some(row) = rows.next()? {
                let (job, pos): (JobId, i64) = (row.get(0)?, row.get(1)?);
                if passed_over.contains(&job) {
                    continue;
                }
                let runnable = tx
                    .prepare_cached(&format!("SELECT {RUNNABLE} FROM job WHERE id = ?"))?
                    .query_and_then([job], runnable_from)?
                    .next()
                    .ok_or_else(|| Error::NotFound(format!("job {job}")))?;
                let runnable = match runnable {
                    // It waits, and the suspects of other jobs do not wait for it.
                    Err(Error::DamagedJob { .. }) => continue,
                    runnable => runnable?,
                };
                drop(rows);
                let leased = lease_tasks(tx, job, &[pos], epoch, lease)?;
                begin(tx, job, 1, now)?;
                return Ok(Some((runnable, leased)));
            }
            Ok(None)
        })
    }
}

const SUSPECT: &str = "SELECT job, pos FROM task JOIN job ON id = job
    WHERE task.state = 'pending' AND suspect = 1 AND job.state IN ('queued', 'running') ORDER BY job, pos";

fn lease_one(tx: &Tx<'_>, ask: Ask, epoch: i64, now: Millis) -> Result<Option<Leased>> {
    if !may_run(tx, ask.job)? {
        return Ok(None);
    }
    let leased = match lease_due(tx, ask, epoch, now) {
        Ok(None) => lease_chunk(tx, ask, epoch),
        leased => leased,
    };
    leased.map_err(|error| match error {
        Error::Damaged(what) => Error::DamagedJob { id: ask.job, what },
        other => other,
    })
}

/// Nobody would give back what is leased under an epoch that has passed.
fn must_be_current(tx: &Tx<'_>, epoch: i64) -> Result<()> {
    let current: i64 = tx.prepare_cached("SELECT epoch FROM daemon")?.query_row([], |row| row.get(0))?;
    if epoch != current {
        return Err(Error::Unusable("another daemon has taken over this data directory".into()));
    }
    Ok(())
}

fn may_run(tx: &Tx<'_>, job: JobId) -> Result<bool> {
    let state: Option<String> =
        tx.prepare_cached("SELECT state FROM job WHERE id = ?")?.query_row([job], |row| row.get(0)).optional()?;
    Ok(matches!(state.as_deref().and_then(JobState::from_word), Some(JobState::Queued | JobState::Running)))
}

fn begin(tx: &Tx<'_>, job: JobId, n: i64, now: Millis) -> Result<()> {
    let state: String = tx
        .prepare_cached(
            "UPDATE job SET pending = pending - ?2, running = running + ?2, started_at = coalesce(started_at, ?3)
             WHERE id = ?1 RETURNING state",
        )?
        .query_row(params![job, n, now], |row| row.get(0))?;
    if state == JobState::Queued.as_str() {
        tx.set_state(job, JobState::Queued, JobState::Running)?;
    }
    Ok(())
}

fn lease_due(tx: &Tx<'_>, ask: Ask, epoch: i64, now: Millis) -> Result<Option<Leased>> {
    let mut statement = tx.prepare_cached(
        "SELECT pos FROM task WHERE job = ? AND state = 'pending' AND not_before BETWEEN ? AND ? AND suspect = 0
         ORDER BY not_before, pos LIMIT ?",
    )?;
    let mut between = |from: Millis, until: Millis| {
        let rows = statement.query_map(params![ask.job, from, until, ask.items as i64], |row| row.get(0))?;
        rows.collect::<rusqlite::Result<Vec<i64>>>()
    };
    let mut due = between(i64::MIN, now)?;
    if due.is_empty() {
        due = between(now + LONGEST_WAIT + 1, i64::MAX)?;
    }
    if due.is_empty() {
        return Ok(None);
    }
    lease_tasks(tx, ask.job, &due, epoch, ask.lease).map(Some)
}

fn lease_tasks(tx: &Tx<'_>, job: JobId, positions: &[i64], epoch: i64, lease: i64) -> Result<Leased> {
    let mut items = Vec::with_capacity(positions.len());
    for &pos in positions {
        let item = tx
            .prepare_cached(
                "UPDATE task SET state = 'running', epoch = ?3, lease = ?4 WHERE job = ?1 AND pos = ?2
                 RETURNING item, asked, attempts, uncharged",
            )?
            .query_row(params![job, pos, epoch, lease], |row| {
                let key = Key { item: row.get(0)?, asked: row.get(1)? };
                Ok(LeasedItem { pos, key, attempts: row.get(2)?, uncharged: row.get(3)?, elsewhere: false })
            })?;
        items.push(item);
    }
    let weight_each = tx
        .prepare_cached("SELECT weight / max(planned, 1) FROM job WHERE id = ?")?
        .query_row([job], |row| row.get(0))?;
    Ok(Leased { lease: LeaseId { job, source: Source::Tasks, epoch, lease }, weight_each, items })
}

fn lease_chunk(tx: &Tx<'_>, ask: Ask, epoch: i64) -> Result<Option<Leased>> {
    let job = ask.job;
    // The index has to be named: by the key alone, which comes in order too, SQLite walks over all that is closed.
    let chunk = tx
        .prepare_cached(
            "SELECT no, pos, n, done, weight, keys FROM chunk INDEXED BY chunk_open
             WHERE job = ? AND state = 'open' ORDER BY no LIMIT 1",
        )?
        .query_row([job], |row| {
            Ok(([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?], row.get::<_, Vec<u8>>(5)?))
        })
        .optional()?;
    let Some(([no, first, n, done, weight], keys)) = chunk else { return Ok(None) };
    let own_row = |pos: i64| -> Result<bool> {
        Ok(tx
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM task WHERE job = ? AND pos = ?)")?
            .query_row([job, pos], |row| row.get(0))?)
    };
    let any_own_rows: bool = tx
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM task WHERE job = ?1 AND pos >= ?2 AND pos < ?3)")?
        .query_row(params![job, first + done, first + n], |row| row.get(0))?;
    let keys = unpack_keys(&keys).ok().filter(|keys| keys.len() as i64 == n);
    let keys = keys.ok_or_else(|| Error::Damaged(format!("column keys of chunk {no} does not decode")))?;
    let mut items = Vec::with_capacity(ask.items);
    for (offset, key) in (0..).zip(keys).skip(done as usize).take(ask.items) {
        let pos = first + offset;
        let elsewhere = any_own_rows && own_row(pos)?;
        items.push(LeasedItem { pos, key, attempts: 0, uncharged: 0, elsewhere });
    }
    tx.prepare_cached(
        "UPDATE chunk SET state = 'leased', leased = ?3, epoch = ?4, lease = ?5 WHERE job = ?1 AND no = ?2",
    )?
    .execute(params![job, no, items.len() as i64, epoch, ask.lease])?;
    let lease = LeaseId { job, source: Source::Chunk(no), epoch, lease: ask.lease };
    Ok(Some(Leased { lease, weight_each: weight / n, items }))
}
