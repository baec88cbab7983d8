//! The items of a job, one by one: read out of its chunks, its results and its task rows.

use rusqlite::{Connection, OptionalExtension, params};

use super::codec::{Entry, Key, unpack_entries, unpack_keys};
use super::frozen::CHUNK_ITEMS;
use super::jobs::{job_row, word};
use super::rows::item_by_no;
use super::{Error, Result, Store};
use crate::job::{Job, JobId, JobState, Outcome, Reason, TaskState};
use crate::model::{Kind, Millis};

/// One item of a job, and how it fared.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRow {
    /// Position in the job.
    pub pos: i64,
    pub kind: Kind,
    pub id: String,
    pub version: Option<i64>,
    pub state: TaskState,
    pub outcome: Option<Outcome>,
    pub reason: Option<String>,
    pub attempts: u32,
    pub finished_at: Option<Millis>,
    /// 0 where it changed no label.
    pub change: i64,
    pub item: i64,
}

impl TaskRow {
    /// What its job counts it under, where it failed.
    pub fn why(&self) -> Option<Reason> {
        match self.state {
            TaskState::Quarantined => Some(Reason::Crashed),
            TaskState::Failed if self.reason.as_deref() == Some(Reason::NoTopicsDetected.as_str()) => {
                Some(Reason::NoTopicsDetected)
            }
            TaskState::Failed => Some(Reason::Error),
            _ => None,
        }
    }
}

/// A place of a job's list, and what its rows say of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Slot {
    pub pos: i64,
    pub key: Key,
    pub state: TaskState,
    pub reason: Option<String>,
    pub attempts: u32,
    pub finished_at: Option<Millis>,
    /// What came of it, where its item was looked at to the end.
    pub entry: Option<Entry>,
}

impl Slot {
    /// An error, or quarantined: not the expected `no_topics_detected`.
    pub fn is_error(&self) -> bool {
        self.state == TaskState::Quarantined || (self.state == TaskState::Failed && self.entry.is_none())
    }

    pub fn found_no_topics(&self) -> bool {
        self.entry.as_ref().is_some_and(|entry| entry.code == Entry::NO_TOPICS)
    }
}

impl Store {
    /// Rows of a job's items from position `from` on, chunk by chunk: at most as many as a chunk holds.
    pub fn task_rows(&self, job: JobId, from: i64) -> Result<Vec<TaskRow>> {
        self.read(|connection| {
            let job = job_row(connection, job)?;
            // A list that is pruned under an export must not look like its end.
            must_have_history(&job)?;
            let slots = slots(connection, &job, from)?;
            slots.into_iter().map(|slot| task_row(connection, &job, slot)).collect()
        })
    }

    /// Refuses where a job's list cannot be exported: it is not whole yet, or it is not there any more.
    pub fn must_have_list(&self, job: &Job) -> Result<()> {
        must_have_history(job)?;
        if job.counts.total.is_none() {
            return Err(Error::Conflict(format!(
                "job {} is {}: its list is not whole yet; ask again when it runs",
                job.id, job.state
            )));
        }
        Ok(())
    }
}

/// Refuses where a job's list and history were pruned.
pub(super) fn must_have_history(job: &Job) -> Result<()> {
    match job.pruned_at {
        None => Ok(()),
        Some(_) => Err(Error::HistoryPruned(format!(
            "job {}: its items and its history were pruned (retention_days); its summary is all that is left",
            job.id
        ))),
    }
}

/// The slots from position `from` on to the end of its chunk; none past the last.
pub(super) fn slots(connection: &Connection, job: &Job, from: i64) -> Result<Vec<Slot>> {
    let chunk = connection
        .prepare_cached("SELECT pos, done, leased, keys FROM chunk WHERE job = ?1 AND no >= ?2 ORDER BY no LIMIT 1")?
        .query_row(params![job.id, from / CHUNK_ITEMS as i64], |row| {
            Ok(([row.get(0)?, row.get(1)?, row.get(2)?], row.get::<_, Vec<u8>>(3)?))
        })
        .optional()?;
    let Some(([pos, done, leased], keys)) = chunk else { return Ok(Vec::new()) };
    let keys = unpack_keys(&keys)?;
    let state = |offset: i64| match offset {
        offset if offset < done => TaskState::Done,
        _ if job.state.ended() || job.state == JobState::Cancelling && offset >= done + leased => TaskState::Cancelled,
        offset if offset < done + leased => TaskState::Running,
        _ => TaskState::Pending,
    };
    let mut slots: Vec<Slot> = (0..)
        .zip(keys)
        .map(|(offset, key)| Slot {
            pos: pos + offset,
            key,
            state: state(offset),
            reason: None,
            attempts: 0,
            finished_at: None,
            entry: None,
        })
        .collect();
    overlay_results(connection, job.id, pos, &mut slots)?;
    overlay_tasks(connection, job.id, pos, &mut slots)?;
    slots.retain(|slot| slot.pos >= from);
    Ok(slots)
}

fn overlay_results(connection: &Connection, job: JobId, pos: i64, slots: &mut [Slot]) -> Result<()> {
    let mut statement =
        connection.prepare_cached("SELECT pos, at, entries FROM result WHERE job = ?1 AND pos >= ?2 AND pos < ?3")?;
    let mut results = statement.query(params![job, pos, pos + slots.len() as i64])?;
    while let Some(result) = results.next()? {
        let first: i64 = result.get(0)?;
        let at: Millis = result.get(1)?;
        let entries = result.get_ref(2)?.as_blob().map_err(|_| Error::Damaged("result.entries".into()))?;
        for (at_pos, entry) in (first - pos..).zip(unpack_entries(entries)?) {
            if let Some(slot) = usize::try_from(at_pos).ok().and_then(|at| slots.get_mut(at)) {
                overlay(slot, entry, Some(at))?;
            }
        }
    }
    Ok(())
}

fn overlay_tasks(connection: &Connection, job: JobId, pos: i64, slots: &mut [Slot]) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "SELECT pos, state, attempts, coalesce(error, reason), finished_at, entry FROM task WHERE job = ?1 AND pos >= ?2 AND pos < ?3",
    )?;
    let mut tasks = statement.query(params![job, pos, pos + slots.len() as i64])?;
    while let Some(task) = tasks.next()? {
        let at: i64 = task.get(0)?;
        let Some(slot) = slots.get_mut((at - pos) as usize) else { continue };
        slot.state = word(task, 1, TaskState::from_word)?;
        slot.attempts = task.get(2)?;
        slot.reason = task.get(3)?;
        slot.finished_at = task.get(4)?;
        if let Some(entry) = task.get::<_, Option<Vec<u8>>>(5)? {
            for entry in unpack_entries(&entry)? {
                overlay(slot, entry, slot.finished_at)?;
            }
        }
    }
    Ok(())
}

fn overlay(slot: &mut Slot, entry: Entry, at: Option<Millis>) -> Result<()> {
    if entry.code == Entry::ELSEWHERE {
        return Ok(());
    }
    slot.attempts = entry.attempts;
    slot.finished_at = at;
    match entry.outcome()? {
        Some(_) => slot.state = TaskState::Done,
        None => {
            slot.state = TaskState::Failed;
            slot.reason = Some(Reason::NoTopicsDetected.as_str().into());
        }
    }
    slot.entry = Some(entry);
    Ok(())
}

fn task_row(connection: &Connection, job: &Job, slot: Slot) -> Result<TaskRow> {
    let item = item_by_no(connection, slot.key.item)?
        .ok_or_else(|| Error::Damaged(format!("job {} names item {}, which is not there", job.id, slot.key.item)))?;
    let asked = slot.key.asked.filter(|_| job.reverts.is_none());
    let row = TaskRow {
        pos: slot.pos,
        kind: item.kind,
        id: item.id,
        version: slot.entry.as_ref().and_then(|entry| entry.version).or(asked).or(item.version),
        state: slot.state,
        outcome: slot.entry.as_ref().map(Entry::outcome).transpose()?.flatten(),
        reason: slot.reason,
        attempts: slot.attempts,
        finished_at: slot.finished_at,
        change: slot.entry.as_ref().map_or(0, |entry| entry.change),
        item: slot.key.item,
    };
    // Of an erased item its key is left, whatever the job had made of it.
    Ok(match (item.at, row.finished_at) {
        (None, Some(_)) => TaskRow {
            version: None,
            state: TaskState::Done,
            outcome: Some(Outcome::Gone),
            reason: None,
            change: 0,
            ..row
        },
        _ => row,
    })
}
