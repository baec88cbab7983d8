//! Jobs as rows: read, listed, grouped.

use rusqlite::{Connection, OptionalExtension, Row};

use super::{Error, Result, Store};
use crate::job::{Counts, Filter, Job, JobId, JobKind, JobState, LabelCounts, Lane, TopicTally};
use crate::model::Millis;

/// A page of jobs, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct JobPage {
    pub jobs: Vec<Job>,
    /// Those of this page whose rows do not decode, whatever state they may be in.
    pub damaged: Vec<DamagedJob>,
    /// Where the next page goes on; None at the end.
    pub next: Option<JobId>,
}

/// A job whose row does not decode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedJob {
    pub id: JobId,
    /// A sentence: what is damaged, and what to do.
    pub why: String,
}

/// Which jobs a numbered page is taken from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobSearch {
    /// A part of the name, in any case.
    pub name: Option<String>,
    pub oldest_first: bool,
}

const COLUMNS: &str = "id, kind, name, description, state, lane, priority, max_per_second, filter, revision, leader,
    total, pending, running, done, failed, quarantined, cancelled, errors,
    labels_added, labels_removed, labels_updated, labels_kept,
    created_by, created_at, published_at, started_at, finished_at, empty_because, error,
    dry_run, parent, reverts, applied_by, weight, weight_done, pruned_at, span, split";

pub(super) fn word<T>(row: &Row<'_>, column: usize, parse: fn(&str) -> Option<T>) -> Result<T> {
    let word: String = row.get(column)?;
    parse(&word).ok_or_else(|| {
        let column = row.as_ref().column_name(column).unwrap_or_default();
        Error::Damaged(format!("column {column} has the unknown word {word:?}"))
    })
}

/// The filter of a job, from a row that begins with its number.
pub(super) fn filter(row: &Row<'_>, column: usize) -> Result<Filter> {
    let filter: String = row.get(column)?;
    serde_json::from_str(&filter).map_err(|_| Error::Damaged("column filter does not decode".into()))
}

/// From a row that begins with the job's number. Damage is that job's own: [`Error::DamagedJob`].
pub(super) fn of_job<T>(row: &Row<'_>, decode: fn(&Row<'_>) -> Result<T>) -> Result<T> {
    decode(row).map_err(|error| match error {
        Error::Damaged(what) => row.get(0).map_or(Error::Damaged(what.clone()), |id| Error::DamagedJob { id, what }),
        other => other,
    })
}

fn job_from(row: &Row<'_>) -> Result<Job> {
    of_job(row, decode)
}

fn decode(row: &Row<'_>) -> Result<Job> {
    Ok(Job {
        id: row.get(0)?,
        kind: word(row, 1, JobKind::from_word)?,
        name: row.get(2)?,
        description: row.get(3)?,
        state: word(row, 4, JobState::from_word)?,
        lane: word(row, 5, Lane::from_word)?,
        priority: row.get(6)?,
        max_per_second: row.get(7)?,
        filter: filter(row, 8)?,
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
        dry_run: row.get(30)?,
        parent: row.get(31)?,
        reverts: row.get(32)?,
        applied_by: row.get(33)?,
        weight: row.get(34)?,
        weight_done: row.get(35)?,
        pruned_at: row.get(36)?,
        span: row.get(37)?,
        split: row.get(38)?,
        outcomes: Vec::new(),
        reasons: Vec::new(),
    })
}

/// The row alone, without its tallies.
pub(super) fn job_row(connection: &Connection, id: JobId) -> Result<Job> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM job WHERE id = ? AND deleted = 0"))?
        .query_and_then([id], job_from)?
        .next()
        .ok_or_else(|| Error::NotFound(format!("job {id}")))?
}

pub(super) fn job_by_id(connection: &Connection, id: JobId) -> Result<Job> {
    let mut job = job_row(connection, id)?;
    fill_tallies(connection, &mut job)?;
    Ok(job)
}

fn fill_tallies(connection: &Connection, job: &mut Job) -> Result<()> {
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

/// The job and, where it leads a group, the others of it.
pub(super) fn group_of(connection: &Connection, id: JobId) -> Result<Vec<JobId>> {
    let mut statement =
        connection.prepare_cached("SELECT id FROM job WHERE leader = ?1 AND id <> ?1 AND deleted = 0 ORDER BY id")?;
    let others = statement.query_map([id], |row| row.get(0))?.collect::<rusqlite::Result<Vec<JobId>>>()?;
    Ok(std::iter::once(id).chain(others).collect())
}

impl Store {
    pub fn job(&self, id: JobId) -> Result<Job> {
        self.read(|connection| job_by_id(connection, id))
    }

    /// What a job did to the labels of each topic, by topic id.
    pub fn job_topics(&self, id: JobId) -> Result<Vec<TopicTally>> {
        self.read(|connection| {
            let names = self.names();
            let mut statement =
                connection.prepare_cached("SELECT topic, added, removed, updated FROM job_topic WHERE job = ?")?;
            let topics = statement.query_map([id], |row| {
                let topic = names.topic_id(row.get(0)?).to_owned();
                Ok(TopicTally { topic, added: row.get(1)?, removed: row.get(2)?, updated: row.get(3)? })
            })?;
            let mut topics = topics.collect::<rusqlite::Result<Vec<_>>>()?;
            topics.sort_by(|one, other| one.topic.cmp(&other.topic));
            Ok(topics)
        })
    }

    /// All jobs of the group that `id` leads, itself first.
    pub fn group(&self, id: JobId) -> Result<Vec<JobId>> {
        self.read(|connection| group_of(connection, id))
    }

    /// Jobs older than `before`, newest first.
    pub fn jobs(&self, state: Option<JobState>, before: Option<JobId>, limit: usize) -> Result<JobPage> {
        self.read(|connection| {
            let mut statement = connection
                .prepare_cached(&format!("SELECT {COLUMNS} FROM job WHERE id < ? AND deleted = 0 ORDER BY id DESC"))?;
            let mut rows = statement.query_and_then([before.unwrap_or(i64::MAX)], job_from)?;
            let (mut jobs, mut damaged) = (Vec::new(), Vec::new());
            let mut next = None;
            for job in &mut rows {
                let job = match job {
                    Err(error @ Error::DamagedJob { id, .. }) => {
                        damaged.push(DamagedJob { id, why: error.to_string() });
                        continue;
                    }
                    job => job?,
                };
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
            // What lies past the last job of this page is on the next one.
            damaged.retain(|job: &DamagedJob| next.is_none_or(|next| job.id > next));
            Ok(JobPage { jobs, damaged, next })
        })
    }

    /// One page, by its number from 0, of the jobs that were published, in the order of their making; and how many those
    /// are in all. Those that do not decode are left out of the page, and are counted.
    pub fn find_jobs(&self, search: &JobSearch, page: usize, size: usize) -> Result<(Vec<Job>, usize)> {
        let wanted = search.name.as_ref().map(|name| name.to_lowercase());
        let fits = |name: Option<&str>| {
            wanted.as_ref().is_none_or(|part| name.is_some_and(|name| name.to_lowercase().contains(part)))
        };
        self.read(|connection| {
            // Names alone first: SQLite folds the case of ASCII only, and a page is a few of many.
            let mut statement = connection.prepare_cached(
                "SELECT id, name, created_at FROM job WHERE id > 0 AND deleted = 0 AND published_at IS NOT NULL",
            )?;
            let mut rows = statement.query([])?;
            let mut found: Vec<(Millis, JobId)> = Vec::new();
            while let Some(row) = rows.next()? {
                if fits(row.get_ref(1)?.as_str_or_null().ok().flatten()) {
                    found.push((row.get(2)?, row.get(0)?));
                }
            }
            // Jobs of one millisecond stand by number, so that no page repeats what another has.
            found.sort_unstable();
            if !search.oldest_first {
                found.reverse();
            }
            let on_page = found.iter().skip(page.saturating_mul(size)).take(size);
            let mut jobs = Vec::with_capacity(size.min(found.len()));
            for &(_, id) in on_page {
                match job_by_id(connection, id) {
                    Ok(job) => jobs.push(job),
                    Err(error) => self.pass_over(error)?,
                }
            }
            Ok((jobs, found.len()))
        })
    }

    /// The job that was made by a request with this key, if one was and lives. Another request with the same key is a
    /// [`Error::Conflict`].
    pub fn job_of_request(&self, key: &str, hash: &[u8]) -> Result<Option<Job>> {
        self.read(|connection| job_of_request(connection, key, hash))
    }
}

pub(super) fn job_of_request(connection: &Connection, key: &str, hash: &[u8]) -> Result<Option<Job>> {
    let made: Option<(JobId, Vec<u8>)> = connection
        .prepare_cached("SELECT id, request_hash FROM job WHERE request_key = ? AND request_key IS NOT NULL")?
        .query_row([key], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match made {
        None => Ok(None),
        Some((id, of)) if of == hash => job_by_id(connection, id).map(Some),
        Some((id, _)) => Err(Error::Conflict(format!(
            "this Idempotency-Key came with another request before, which made job {id}: use a new key"
        ))),
    }
}
