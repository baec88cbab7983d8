//! Jobs: made, published, held, ended, listed.

use rusqlite::{Row, params};

use super::codec::{Key, pack_keys};
use super::count::Cut;
use super::rows::find_item;
use super::writer::Tx;
use super::{Error, Result, Store};
use crate::job::{Counts, Filter, Job, JobId, JobKind, JobState, LabelCounts, Lane};
use crate::label::Revision;
use crate::model::{Kind, Millis};

/// A wish for a range job.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    pub name: Option<String>,
    pub description: Option<String>,
    pub filter: Filter,
    pub priority: i64,
    pub max_per_second: Option<f64>,
    pub created_by: String,
    /// Make as many jobs as it takes, where one may not have as many items.
    pub split: bool,
}

/// A page of jobs, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct JobPage {
    pub jobs: Vec<Job>,
    /// Where the next page goes on; None at the end.
    pub next: Option<JobId>,
}

const COLUMNS: &str = "id, kind, name, description, state, lane, priority, max_per_second, filter, revision, leader,
    total, pending, running, done, failed, quarantined, cancelled, errors,
    labels_added, labels_removed, labels_updated, labels_kept,
    created_by, created_at, published_at, started_at, finished_at, empty_because, error";

pub(super) fn word<T>(row: &Row<'_>, column: usize, parse: fn(&str) -> Option<T>) -> Result<T> {
    let word: String = row.get(column)?;
    parse(&word).ok_or_else(|| Error::Damaged(format!("unknown word {word:?}")))
}

fn job_from(row: &Row<'_>) -> Result<Job> {
    let filter: String = row.get(8)?;
    Ok(Job {
        id: row.get(0)?,
        kind: word(row, 1, JobKind::from_word)?,
        name: row.get(2)?,
        description: row.get(3)?,
        state: word(row, 4, JobState::from_word)?,
        lane: word(row, 5, Lane::from_word)?,
        priority: row.get(6)?,
        max_per_second: row.get(7)?,
        filter: serde_json::from_str(&filter).map_err(|error| Error::Damaged(format!("job.filter: {error}")))?,
        revision: row.get(9)?,
        group: row.get(10)?,
        counts: Counts {
            total: row.get(11)?,
            pending: row.get(12)?,
            running: row.get(13)?,
            done: row.get(14)?,
            failed: row.get(15)?,
            quarantined: row.get(16)?,
            cancelled: row.get(17)?,
        },
        errors: row.get(18)?,
        labels: LabelCounts { added: row.get(19)?, removed: row.get(20)?, updated: row.get(21)?, kept: row.get(22)? },
        created_by: row.get(23)?,
        created_at: row.get(24)?,
        published_at: row.get(25)?,
        started_at: row.get(26)?,
        finished_at: row.get(27)?,
        empty_because: row.get(28)?,
        error: row.get(29)?,
        outcomes: Vec::new(),
        reasons: Vec::new(),
    })
}

pub(super) fn job_by_id(connection: &rusqlite::Connection, id: JobId) -> Result<Job> {
    let mut job = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM job WHERE id = ?"))?
        .query_and_then([id], job_from)?
        .next()
        .ok_or_else(|| Error::NotFound(format!("job {id}")))??;
    fill_tallies(connection, &mut job)?;
    Ok(job)
}

fn fill_tallies(connection: &rusqlite::Connection, job: &mut Job) -> Result<()> {
    let mut statement = connection.prepare_cached("SELECT what, word, n FROM tally WHERE job = ?")?;
    let mut rows = statement.query([job.id])?;
    while let Some(row) = rows.next()? {
        let tally = (row.get(1)?, row.get(2)?);
        match row.get_ref(0)?.as_str() {
            Ok("outcome") => job.outcomes.push(tally),
            _ => job.reasons.push(tally),
        }
    }
    Ok(())
}

pub(super) fn put_filter(filter: &Filter) -> Result<String> {
    serde_json::to_string(filter).map_err(|error| Error::Invalid(format!("filter: {error}")))
}

impl Tx<'_> {
    pub(super) fn set_state(&self, job: JobId, from: JobState, to: JobState) -> Result<()> {
        if !from.may_become(to) {
            return Err(Error::Conflict(format!("job {job} is {from} and cannot become {to}")));
        }
        let paused_from = (to == JobState::Paused).then_some(from.as_str());
        self.prepare_cached("UPDATE job SET state = ?2, paused_from = ?3 WHERE id = ?1")?.execute(params![
            job,
            to.as_str(),
            paused_from
        ])?;
        Ok(())
    }

    pub(super) fn current_revision(&self) -> Result<Revision> {
        Ok(self.prepare_cached("SELECT max(no) FROM revision")?.query_row([], |row| row.get(0))?)
    }

    fn insert_job(&self, wish: &NewJob, kind: JobKind, lane: Lane, state: JobState, now: Millis) -> Result<JobId> {
        let revision = self.current_revision()?;
        self.prepare_cached(
            "INSERT INTO job (kind, name, description, state, lane, priority, max_per_second, filter, revision,
               created_by, created_at, published_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            kind.as_str(),
            wish.name,
            wish.description,
            state.as_str(),
            lane.as_str(),
            wish.priority,
            wish.max_per_second,
            put_filter(&wish.filter)?,
            revision,
            wish.created_by,
            now,
            now,
        ])?;
        Ok(self.last_insert_rowid())
    }

    /// Ends a job whose last task has ended, or whose cancelling has nothing in flight any more.
    pub(super) fn settle_job(&self, id: JobId, now: Millis) -> Result<()> {
        let job = self
            .prepare_cached(&format!("SELECT {COLUMNS} FROM job WHERE id = ?"))?
            .query_and_then([id], job_from)?
            .next()
            .ok_or_else(|| Error::NotFound(format!("job {id}")))??;
        if job.state == JobState::Cancelling && job.counts.pending > 0 {
            self.cancel_pending(id)?;
        }
        let Counts { total, pending, running, .. } = job.counts;
        let to = match job.state {
            JobState::Cancelling if running == 0 => JobState::Cancelled,
            JobState::Running | JobState::Paused if total.is_some() && pending + running == 0 => {
                if job.errors + job.counts.quarantined > 0 {
                    JobState::CompletedWithFailures
                } else {
                    JobState::Completed
                }
            }
            _ => return Ok(()),
        };
        self.set_state(id, job.state, to)?;
        self.prepare_cached("UPDATE job SET finished_at = ?2 WHERE id = ?1")?.execute(params![id, now])?;
        if job.lane == Lane::Bulk {
            let Counts { done, failed, quarantined, cancelled, .. } = job.counts;
            self.tell(format!(
                "job {id}: {to} ({done} done, {failed} failed, {} of them errors, {quarantined} quarantined, {cancelled} cancelled)",
                job.errors
            ));
        }
        Ok(())
    }

    fn cancel_pending(&self, id: JobId) -> Result<()> {
        self.prepare_cached("UPDATE job SET cancelled = cancelled + pending, pending = 0 WHERE id = ?")?
            .execute([id])?;
        self.prepare_cached("UPDATE task SET state = 'cancelled' WHERE job = ? AND state = 'pending'")?
            .execute([id])?;
        Ok(())
    }

    /// The job and, where it leads a group, the others of it.
    fn group_of(&self, id: JobId) -> Result<Vec<Job>> {
        let mut ids = vec![id];
        let mut statement = self.prepare_cached("SELECT id FROM job WHERE leader = ?1 AND id <> ?1")?;
        let others = statement.query_map([id], |row| row.get(0))?.collect::<rusqlite::Result<Vec<JobId>>>()?;
        ids.extend(others);
        ids.into_iter().map(|id| job_by_id(self, id)).collect()
    }
}

impl Store {
    /// Publishes a range job: durable, with the rules of now. The first job of its group, and all of them.
    ///
    /// `limit` is the most items that a job may have; 0 is no limit.
    pub fn publish_range(&self, wish: NewJob, limit: i64, now: Millis) -> Result<(Job, Vec<JobId>)> {
        let cut = self.cut(&wish.filter, if wish.split { limit } else { 0 })?;
        if limit > 0 && cut.total > limit && !wish.split {
            return Err(Error::TooManyItems { count: cut.total, limit });
        }
        let empty_because = if cut.total == 0 { Some(self.why_empty(&wish.filter)?) } else { None };
        self.write(move |tx| {
            if let Some(because) = empty_because {
                let id = tx.insert_job(&wish, JobKind::Range, Lane::Bulk, JobState::Completed, now)?;
                tx.execute(
                    "UPDATE job SET total = 0, started_at = ?2, finished_at = ?2, empty_because = ?3 WHERE id = ?1",
                    params![id, now, because],
                )?;
                return Ok((job_by_id(tx, id)?, vec![id]));
            }
            let ids = publish_parts(tx, &wish, &cut, now)?;
            Ok((job_by_id(tx, ids[0])?, ids))
        })
    }

    /// Publishes a single job in the live lane. `version` must be the latest where it is given.
    pub fn publish_single(
        &self,
        kind: Kind,
        id: &str,
        version: Option<i64>,
        created_by: &str,
        now: Millis,
    ) -> Result<Job> {
        if kind == Kind::Conversation && version.is_some() {
            return Err(Error::Invalid("version: conversations have none".into()));
        }
        let (id, created_by) = (id.to_owned(), created_by.to_owned());
        self.write(move |tx| {
            let row = find_item(tx, kind, &id)?
                .filter(|row| row.at.is_some())
                .ok_or_else(|| Error::NotFound(format!("{kind} {id:?}")))?;
            if version.is_some() && version != row.version {
                return Err(Error::StaleVersion(format!(
                    "note {id:?} is stored at version {}, not {}",
                    row.version.unwrap_or_default(),
                    version.unwrap_or_default()
                )));
            }
            let wish = NewJob {
                name: None,
                description: None,
                filter: Filter { types: vec![kind], ..Filter::all() },
                priority: 50,
                max_per_second: None,
                created_by,
                split: false,
            };
            let job = tx.insert_job(&wish, JobKind::Single, Lane::Live, JobState::Queued, now)?;
            tx.prepare_cached("INSERT INTO chunk (job, no, pos, n, keys) VALUES (?, 0, 0, 1, ?)")?
                .execute(params![job, pack_keys(&[Key { item: row.no, version }])])?;
            tx.prepare_cached("UPDATE job SET total = 1, pending = 1, planned = 1, chunks = 1 WHERE id = ?")?
                .execute([job])?;
            job_by_id(tx, job)
        })
    }

    pub fn job(&self, id: JobId) -> Result<Job> {
        self.read(|connection| job_by_id(connection, id))
    }

    /// All jobs of the group that `id` leads, itself first.
    pub fn group(&self, id: JobId) -> Result<Vec<JobId>> {
        self.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT id FROM job WHERE leader = ?1 AND id <> ?1 ORDER BY id")?;
            let others = statement.query_map([id], |row| row.get(0))?.collect::<rusqlite::Result<Vec<JobId>>>()?;
            Ok(std::iter::once(id).chain(others).collect())
        })
    }

    /// Jobs older than `before`, newest first.
    pub fn jobs(&self, state: Option<JobState>, before: Option<JobId>, limit: usize) -> Result<JobPage> {
        self.read(|connection| {
            let mut statement =
                connection.prepare_cached(&format!("SELECT {COLUMNS} FROM job WHERE id < ? ORDER BY id DESC"))?;
            let mut rows = statement.query_and_then([before.unwrap_or(i64::MAX)], job_from)?;
            let mut jobs = Vec::new();
            let mut next = None;
            for job in &mut rows {
                let job = job?;
                if state.is_some_and(|state| state != job.state) {
                    continue;
                }
                if jobs.len() == limit {
                    next = jobs.last().map(|last: &Job| last.id);
                    break;
                }
                jobs.push(job);
            }
            for job in &mut jobs {
                fill_tallies(connection, job)?;
            }
            Ok(JobPage { jobs, next })
        })
    }

    /// Holds a job, or its group: nothing of it is leased any more. Already held is fine.
    pub fn pause_job(&self, id: JobId) -> Result<Job> {
        self.control(id, move |tx, job| match job.state {
            JobState::Paused => Ok(()),
            // Another one of the group may be ending already.
            JobState::Cancelling if job.id != id => Ok(()),
            state => tx.set_state(job.id, state, JobState::Paused),
        })
    }

    /// Lets a held job go on where it was. One that is not held is fine.
    pub fn resume_job(&self, id: JobId) -> Result<Job> {
        self.control(id, |tx, job| {
            let paused_from: Option<String> =
                tx.query_row("SELECT paused_from FROM job WHERE id = ?", [job.id], |row| row.get(0))?;
            match paused_from.as_deref().and_then(JobState::from_word) {
                Some(state) => tx.set_state(job.id, JobState::Paused, state),
                None => Ok(()),
            }
        })
    }

    /// Ends a job, or its group: what is in flight ends first.
    pub fn cancel_job(&self, id: JobId, now: Millis) -> Result<Job> {
        self.control(id, move |tx, job| {
            if job.state == JobState::Cancelling {
                return Ok(());
            }
            if job.counts.total.is_none() {
                // Its list was not whole yet: what there is of it is its list.
                tx.prepare_cached("UPDATE job SET total = planned, cancelled = planned WHERE id = ?")?
                    .execute([job.id])?;
            } else {
                tx.cancel_pending(job.id)?;
            }
            if job.counts.running > 0 {
                return tx.set_state(job.id, job.state, JobState::Cancelling);
            }
            tx.set_state(job.id, job.state, JobState::Cancelled)?;
            tx.prepare_cached("UPDATE job SET finished_at = ?2 WHERE id = ?1")?.execute(params![job.id, now])?;
            Ok(())
        })
    }

    fn control(&self, id: JobId, steer: impl Fn(&Tx<'_>, &Job) -> Result<()> + Send + 'static) -> Result<Job> {
        self.write(move |tx| {
            let group = tx.group_of(id)?;
            let open: Vec<&Job> = group.iter().filter(|job| !job.state.ended()).collect();
            if open.is_empty() {
                return Err(Error::Conflict(format!("job {id} has ended: it is {}", group[0].state)));
            }
            open.into_iter().try_for_each(|job| steer(tx, job))?;
            job_by_id(tx, id)
        })
    }
}

fn publish_parts(tx: &Tx<'_>, wish: &NewJob, cut: &Cut, now: Millis) -> Result<Vec<JobId>> {
    let mut ids = Vec::new();
    let mut start: Option<(Millis, i64)> = None;
    for end in cut.borders.iter().copied().map(Some).chain([None]) {
        let id = tx.insert_job(wish, JobKind::Range, Lane::Bulk, JobState::Queued, now)?;
        tx.prepare_cached(
            "UPDATE job SET plan_at = ?2, plan_item = ?3, plan_end_at = ?4, plan_end_item = ?5 WHERE id = ?1",
        )?
        .execute(params![
            id,
            start.map(|at| at.0),
            start.map(|at| at.1),
            end.map(|at| at.0),
            end.map(|at| at.1)
        ])?;
        ids.push(id);
        start = end;
    }
    if ids.len() > 1 {
        for id in &ids {
            tx.prepare_cached("UPDATE job SET leader = ?2 WHERE id = ?1")?.execute(params![id, ids[0]])?;
        }
    }
    Ok(ids)
}
