//! The items of a job, one by one: read out of its chunks, its results and its task rows.

use rusqlite::{Connection, OptionalExtension, params};

use super::codec::{Entry, unpack_entries, unpack_keys};
use super::jobs::word;
use super::rows::item_by_no;
use super::{Error, Result, Store};
use crate::job::{JobId, JobState, NO_TOPICS_DETECTED, Outcome, TaskState};
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

/// Items of a chunk: enough that a lease costs little an item, few enough that workers share a job's last ones.
pub(super) const CHUNK_ITEMS: usize = 256;

impl Store {
    /// Rows of a job's items from position `from` on, chunk by chunk: at most as many as a chunk holds.
    pub fn task_rows(&self, job: JobId, from: i64) -> Result<Vec<TaskRow>> {
        self.read(|connection| {
            let state: String = connection
                .query_row("SELECT state FROM job WHERE id = ?", [job], |row| row.get(0))
                .optional()?
                .ok_or_else(|| Error::NotFound(format!("job {job}")))?;
            let ended = JobState::from_word(&state).is_some_and(JobState::ended);
            let chunk = connection
                .prepare_cached(
                    "SELECT no, pos, n, done, leased, keys FROM chunk WHERE job = ?1 AND no >= ?2 ORDER BY no LIMIT 1",
                )?
                .query_row(params![job, from / CHUNK_ITEMS as i64], |row| {
                    let counts = [row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?];
                    Ok((counts, row.get::<_, Vec<u8>>(5)?))
                })
                .optional()?;
            let Some(([pos, n, done, leased], keys)) = chunk else { return Ok(Vec::new()) };
            let mut rows: Vec<TaskRow> = Vec::with_capacity(n as usize);
            let mut gone = Vec::with_capacity(n as usize);
            for (offset, key) in (0..).zip(unpack_keys(&keys)?) {
                let item = item_by_no(connection, key.item)?
                    .ok_or_else(|| Error::Damaged(format!("job {job} names item {}, which is not there", key.item)))?;
                let state = match offset {
                    offset if offset < done => TaskState::Done,
                    _ if ended => TaskState::Cancelled,
                    offset if offset < done + leased => TaskState::Running,
                    _ => TaskState::Pending,
                };
                gone.push(item.at.is_none());
                rows.push(TaskRow {
                    pos: pos + offset,
                    kind: item.kind,
                    id: item.id,
                    version: key.version.or(item.version),
                    state,
                    outcome: None,
                    reason: None,
                    attempts: 0,
                    finished_at: None,
                    change: 0,
                    item: key.item,
                });
            }
            overlay_results(connection, job, pos, &mut rows)?;
            overlay_tasks(connection, job, pos, &mut rows)?;
            // Of an erased item its key is left, whatever the job had made of it.
            for (row, _) in rows.iter_mut().zip(gone).filter(|(row, gone)| *gone && row.finished_at.is_some()) {
                *row = TaskRow {
                    version: None,
                    state: TaskState::Done,
                    outcome: Some(Outcome::Gone),
                    reason: None,
                    change: 0,
                    ..row.clone()
                };
            }
            rows.retain(|row| row.pos >= from);
            Ok(rows)
        })
    }
}

fn overlay_results(connection: &Connection, job: JobId, pos: i64, rows: &mut [TaskRow]) -> Result<()> {
    let mut statement =
        connection.prepare_cached("SELECT pos, at, entries FROM result WHERE job = ?1 AND pos >= ?2 AND pos < ?3")?;
    let mut results = statement.query(params![job, pos, pos + rows.len() as i64])?;
    while let Some(result) = results.next()? {
        let first: i64 = result.get(0)?;
        let at: Millis = result.get(1)?;
        let entries = result.get_ref(2)?.as_blob().map_err(|_| Error::Damaged("result.entries".into()))?;
        for (at_pos, entry) in (first - pos..).zip(unpack_entries(entries)?) {
            if let Some(row) = usize::try_from(at_pos).ok().and_then(|at| rows.get_mut(at)) {
                overlay(row, &entry, Some(at))?;
            }
        }
    }
    Ok(())
}

fn overlay_tasks(connection: &Connection, job: JobId, pos: i64, rows: &mut [TaskRow]) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "SELECT pos, state, attempts, coalesce(error, reason), finished_at, entry FROM task WHERE job = ?1 AND pos >= ?2 AND pos < ?3",
    )?;
    let mut tasks = statement.query(params![job, pos, pos + rows.len() as i64])?;
    while let Some(task) = tasks.next()? {
        let at: i64 = task.get(0)?;
        let Some(row) = rows.get_mut((at - pos) as usize) else { continue };
        row.state = word(task, 1, TaskState::from_word)?;
        row.attempts = task.get(2)?;
        row.reason = task.get(3)?;
        row.finished_at = task.get(4)?;
        if let Some(entry) = task.get::<_, Option<Vec<u8>>>(5)? {
            for entry in unpack_entries(&entry)? {
                overlay(row, &entry, row.finished_at)?;
            }
        }
    }
    Ok(())
}

fn overlay(row: &mut TaskRow, entry: &Entry, at: Option<Millis>) -> Result<()> {
    if entry.code == Entry::ELSEWHERE {
        return Ok(());
    }
    row.attempts = entry.attempts;
    row.finished_at = at;
    row.change = entry.change;
    row.version = entry.version.or(row.version);
    match entry.outcome()? {
        Some(outcome) => {
            row.state = TaskState::Done;
            row.outcome = Some(outcome);
        }
        None => {
            row.state = TaskState::Failed;
            row.reason = Some(NO_TOPICS_DETECTED.into());
        }
    }
    Ok(())
}
