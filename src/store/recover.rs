//! Recovery at start: a new epoch, every older lease given back, and those under suspicion put aside.

use rusqlite::{OptionalExtension, params};

use super::codec::unpack_keys;
use super::writer::Tx;
use super::{Error, Result, Store};
use crate::job::{JobId, JobState, Lane, Reason, TaskState};
use crate::model::Millis;

/// An item whose analysis had begun, and was not known to have ended, when the process died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    pub epoch: i64,
    pub job: JobId,
    pub pos: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovered {
    /// The epoch that begins.
    pub epoch: i64,
    pub leases_given_back: usize,
    pub suspects: usize,
    pub quarantined: usize,
}

impl Store {
    /// Begins a new epoch. Of the leases that the last one left, all items go back to the queue; those in `begun` are
    /// suspect and will be run alone, and one that was alone in flight at `max_attempts` deaths is quarantined.
    pub fn recover(&self, begun: Vec<Begun>, max_attempts: u32, now: Millis) -> Result<Recovered> {
        self.write(move |tx| {
            let last: i64 = tx.query_row("SELECT epoch FROM daemon", [], |row| row.get(0))?;
            tx.execute("UPDATE daemon SET epoch = ?", [last + 1])?;
            let mut recovered = Recovered { epoch: last + 1, ..Recovered::default() };
            let mut in_flight = Vec::new();
            for begun in begun.iter().filter(|begun| begun.epoch == last) {
                if make_suspect(tx, begun, now)? {
                    in_flight.push(begun);
                }
            }
            recovered.suspects = in_flight.len();
            let chunks = tx.execute(
                "UPDATE chunk SET state = 'open', leased = 0, epoch = NULL, lease = NULL WHERE state = 'leased'",
                [],
            )?;
            let tasks = tx
                .execute("UPDATE task SET state = 'pending', epoch = NULL, lease = NULL WHERE state = 'running'", [])?;
            recovered.leases_given_back = chunks + tasks;
            tx.execute(
                "UPDATE job SET pending = pending + running, running = 0 WHERE finished_at IS NULL AND running > 0",
                [],
            )?;
            match in_flight[..] {
                [alone] => recovered.quarantined = usize::from(count_death(tx, alone, max_attempts, now)?),
                _ => in_flight.iter().try_for_each(|begun| let_off(tx, begun))?,
            }
            for job in tx.open_ids()? {
                match tx.settle_job(job, now) {
                    Err(error @ Error::DamagedJob { .. }) => log::error!("{error}; it is left as it is"),
                    settled => settled?,
                }
            }
            Ok(recovered)
        })
    }
}

/// Gives the item a row of its own, marked suspect, if its lease still stood. False where its result was committed.
fn make_suspect(tx: &Tx<'_>, begun: &Begun, now: Millis) -> Result<bool> {
    let Begun { job, pos, .. } = *begun;
    let suspected = tx
        .prepare_cached(
            "UPDATE task SET suspect = 1, attempts = attempts + 1, not_before = 0
             WHERE job = ? AND pos = ? AND state = 'running'",
        )?
        .execute([job, pos])?;
    if suspected == 1 {
        return Ok(true);
    }
    let chunk = tx
        .prepare_cached(
            "SELECT pos, keys FROM chunk WHERE job = ?1 AND state = 'leased' AND pos + done <= ?2 AND ?2 < pos + done + leased",
        )?
        .query_row([job, pos], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)))
        .optional()?;
    let Some((first, keys)) = chunk else { return Ok(false) };
    // A damaged job must not keep the daemon from its start. The lease loop passes it over.
    let key = unpack_keys(&keys).ok().and_then(|keys| keys.get((pos - first) as usize).copied());
    let Some(key) = key else { return Ok(false) };
    tx.prepare_cached(
        "INSERT OR IGNORE INTO task (job, pos, item, asked, state, attempts, suspect, not_before)
         VALUES (?, ?, ?, ?, 'pending', 1, 1, ?)",
    )?
    .execute(params![job, pos, key.item, key.asked, now])?;
    Ok(tx.changes() == 1)
}

/// One of several that were in flight is not charged: nobody knows whose fault it was.
fn let_off(tx: &Tx<'_>, begun: &Begun) -> Result<()> {
    tx.prepare_cached("UPDATE task SET uncharged = uncharged + 1 WHERE job = ? AND pos = ?")?
        .execute([begun.job, begun.pos])?;
    Ok(())
}

/// Charges the death to the one item that was in flight. True when that was once too often.
fn count_death(tx: &Tx<'_>, begun: &Begun, max_attempts: u32, now: Millis) -> Result<bool> {
    let deaths: u32 = tx.query_row(
        "UPDATE task SET deaths = deaths + 1 WHERE job = ? AND pos = ? RETURNING deaths",
        [begun.job, begun.pos],
        |row| row.get(0),
    )?;
    if deaths < max_attempts {
        return Ok(false);
    }
    tx.execute(
        "UPDATE task SET state = 'quarantined', suspect = 0, reason = 'crashed', finished_at = ?3,
           error = 'the process died ' || deaths || ' times while this item alone was being analysed'
         WHERE job = ?1 AND pos = ?2",
        params![begun.job, begun.pos, now],
    )?;
    let lane: String = tx.query_row(
        "UPDATE job SET pending = pending - 1, quarantined = quarantined + 1 WHERE id = ? RETURNING lane",
        [begun.job],
        |row| row.get(0),
    )?;
    let lane = Lane::from_word(&lane).ok_or_else(|| Error::Damaged("job.lane".into()))?;
    tx.count(|tally| tally.ended(lane, TaskState::Quarantined, Reason::Crashed.as_str(), 1));
    tx.execute(
        "INSERT INTO tally (job, what, word, n) VALUES (?, 'reason', 'crashed', 1) ON CONFLICT DO UPDATE SET n = n + 1",
        [begun.job],
    )?;
    tx.note_endings(begun.job, &[true], now)?;
    Ok(true)
}

impl Tx<'_> {
    fn open_ids(&self) -> Result<Vec<JobId>> {
        // Only these can end by being recovered.
        let states = [JobState::Cancelling, JobState::Running, JobState::Paused].map(JobState::as_str);
        let mut statement =
            self.prepare_cached("SELECT id FROM job WHERE finished_at IS NULL AND state IN (?, ?, ?) AND running = 0")?;
        Ok(statement.query_map(states, |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
    }
}
