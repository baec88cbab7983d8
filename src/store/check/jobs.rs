//! The queue recounted: each job's counters against its chunks, results, tasks and tallies.

use std::collections::BTreeMap;

use rusqlite::Connection;
use rustc_hash::FxHashMap;

use super::Faults;
use crate::job::Reason;
use crate::store::Result;
use crate::store::codec::{Entry, unpack_entries, unpack_keys};

/// A job as its rows have it, or as its counters do.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    planned: i64,
    running: i64,
    done: i64,
    failed: i64,
    quarantined: i64,
    /// By outcome and by reason.
    words: BTreeMap<String, i64>,
}

impl Tally {
    fn count(&mut self, word: &str) {
        *self.words.entry(word.to_owned()).or_default() += 1;
    }
}

pub(super) fn jobs(connection: &Connection, faults: &mut Faults) -> Result<()> {
    let mut counted: FxHashMap<i64, Tally> = FxHashMap::default();
    chunks(connection, &mut counted, faults)?;
    results(connection, &mut counted, faults)?;
    tasks(connection, &mut counted)?;
    let mut stored = words(connection)?;
    let mut statement = connection.prepare(
        "SELECT id, planned, running, done, failed, quarantined, total, pruned_at IS NOT NULL OR deleted = 1 FROM job",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let stored = Tally {
            planned: row.get(1)?,
            running: row.get(2)?,
            done: row.get(3)?,
            failed: row.get(4)?,
            quarantined: row.get(5)?,
            words: stored.remove(&id).unwrap_or_default(),
        };
        if row.get::<_, Option<i64>>(6)?.is_some_and(|total| total != stored.planned) {
            faults.push(format!("job {id}: its total is not what was planned"));
        }
        if stored.words.values().sum::<i64>() != stored.done + stored.failed + stored.quarantined {
            faults.push(format!("job {id}: its outcomes and reasons are not as many as its ended tasks"));
        }
        let counted = counted.remove(&id).unwrap_or_default();
        // Of a pruned job the summary is all that is left.
        if !row.get::<_, bool>(7)? && stored != counted {
            faults.push(format!("job {id}: it is said to have {stored:?}, and its rows have {counted:?}"));
        }
    }
    labels(connection, faults)
}

fn chunks(connection: &Connection, counted: &mut FxHashMap<i64, Tally>, faults: &mut Faults) -> Result<()> {
    // Leased items with rows of their own are counted by those.
    let mut statement = connection.prepare(
        "SELECT job, no, pos, n, done, leased - (SELECT count(*) FROM task WHERE task.job = chunk.job
             AND task.pos >= chunk.pos + done AND task.pos < chunk.pos + done + leased), keys
         FROM chunk WHERE job IN (SELECT id FROM job WHERE pruned_at IS NULL AND deleted = 0) ORDER BY job, no",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (job, no, n): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(3)?);
        let tally = counted.entry(job).or_default();
        if row.get::<_, i64>(2)? != tally.planned {
            faults.push(format!("job {job}: chunk {no} does not follow the one before it"));
        }
        if unpack_keys(&row.get::<_, Vec<u8>>(6)?).map(|keys| keys.len() as i64) != Ok(n) {
            faults.push(format!("job {job}: the list of chunk {no} does not decode"));
        }
        tally.planned += n;
        tally.running += row.get::<_, i64>(5)?;
    }
    Ok(())
}

fn results(connection: &Connection, counted: &mut FxHashMap<i64, Tally>, faults: &mut Faults) -> Result<()> {
    let mut statement = connection.prepare("SELECT job, pos, n, entries FROM result")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (job, pos, n): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let entries = unpack_entries(&row.get::<_, Vec<u8>>(3)?).unwrap_or_default();
        if entries.len() as i64 != n {
            faults.push(format!("job {job}: the results from {pos} on do not decode"));
        }
        let tally = counted.entry(job).or_default();
        for entry in entries.iter().filter(|entry| entry.code != Entry::ELSEWHERE) {
            match entry.outcome() {
                Ok(Some(outcome)) => {
                    tally.done += 1;
                    tally.count(outcome.as_str());
                }
                Ok(None) => {
                    tally.failed += 1;
                    tally.count(Reason::NoTopicsDetected.as_str());
                }
                Err(_) => faults.push(format!("job {job}: a result from {pos} on has no meaning")),
            }
        }
    }
    Ok(())
}

fn tasks(connection: &Connection, counted: &mut FxHashMap<i64, Tally>) -> Result<()> {
    let mut statement = connection.prepare("SELECT job, state, reason, entry FROM task")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let tally = counted.entry(row.get(0)?).or_default();
        let state: String = row.get(1)?;
        match state.as_str() {
            "done" => tally.done += 1,
            "failed" => tally.failed += 1,
            "quarantined" => tally.quarantined += 1,
            "running" => tally.running += 1,
            _ => {}
        }
        if let Some(reason) = row.get::<_, Option<String>>(2)? {
            tally.count(&reason);
        } else if let Some(entry) = row.get::<_, Option<Vec<u8>>>(3)? {
            let outcome = unpack_entries(&entry).ok().and_then(|entries| entries.first()?.outcome().ok().flatten());
            tally.count(outcome.map_or("?", |outcome| outcome.as_str()));
        }
    }
    Ok(())
}

/// What each job's counters say of outcomes and reasons.
fn words(connection: &Connection) -> Result<FxHashMap<i64, BTreeMap<String, i64>>> {
    let mut words: FxHashMap<i64, BTreeMap<String, i64>> = FxHashMap::default();
    let mut statement = connection.prepare("SELECT job, word, n FROM tally WHERE n <> 0")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        words.entry(row.get(0)?).or_default().insert(row.get(1)?, row.get(2)?);
    }
    Ok(words)
}

fn labels(connection: &Connection, faults: &mut Faults) -> Result<()> {
    let mut statement = connection.prepare(
        "SELECT id FROM job LEFT JOIN
           (SELECT job, sum(added) AS added, sum(removed) AS removed, sum(updated) AS updated FROM job_topic GROUP BY job)
           ON job = id
         WHERE labels_added <> coalesce(added, 0) OR labels_removed <> coalesce(removed, 0)
            OR labels_updated <> coalesce(updated, 0)",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        faults.push(format!("job {}: its labels are not the sum of its topics'", row.get::<_, i64>(0)?));
    }
    Ok(())
}
