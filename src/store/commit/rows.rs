//! Tasks with rows of their own: items that met trouble.

use rusqlite::params;

use super::{Commit, Done, Ending, LeaseId, LeaseOutcome, Sum};
use crate::job::{JobId, Reason};
use crate::store::Result;

impl Commit<'_> {
    pub(super) fn give_tasks_back(&mut self, LeaseId { job, epoch, lease, .. }: LeaseId) -> Result<()> {
        let given_back = self
            .tx
            .prepare_cached(
                "UPDATE task SET state = 'pending', epoch = NULL, lease = NULL
                 WHERE job = ? AND state = 'running' AND epoch = ? AND lease = ?",
            )?
            .execute(params![job, epoch, lease])? as i64;
        if given_back == 0 {
            // It came late, or had nothing left: the job may have ended, and be gone by now.
            return Ok(());
        }
        let ledger = self.ledgers.entry(job).or_default();
        ledger.pending += given_back;
        ledger.running -= given_back;
        Ok(())
    }

    /// An item of a chunk that met trouble gets a row of its own.
    pub(super) fn own_row(&self, job: JobId, done: &Done, ending: &Ending) -> Result<()> {
        self.tx
            .prepare_cached(
                "INSERT INTO task (job, pos, item, asked, state, not_before) VALUES (?, ?, ?, ?, 'pending', 0)",
            )?
            .execute(params![job, done.pos, done.key.item, done.key.asked])?;
        self.write_row(job, done, ending)
    }

    pub(super) fn task(&mut self, outcome: &LeaseOutcome, sum: &mut Sum, done: &Done) -> Result<()> {
        let LeaseId { job, epoch, lease, .. } = outcome.lease;
        let held: bool = self
            .tx
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM task WHERE job = ? AND pos = ? AND state = 'running' AND epoch = ? AND lease = ?)",
            )?
            .query_row(params![job, done.pos, epoch, lease], |row| row.get(0))?;
        if !held {
            self.total.fenced += 1;
            return Ok(());
        }
        let ending = self.finish(outcome, sum, done)?;
        self.account(outcome, &mut sum.ledger, &ending);
        self.write_row(job, done, &ending)
    }

    /// Whatever the ending, the process outlived the attempt: the item is not suspect any more.
    fn write_row(&self, job: JobId, done: &Done, ending: &Ending) -> Result<()> {
        let mut entry = Vec::new();
        let (state, attempts, not_before, reason, error) = match ending {
            Ending::Elsewhere => return Ok(()),
            Ending::Entry(found) => {
                found.pack(&mut entry);
                match found.outcome()? {
                    Some(_) => ("done", done.attempts, 0, None, None),
                    None => ("failed", done.attempts, 0, Some(Reason::NoTopicsDetected.as_str()), None),
                }
            }
            Ending::Error(error) => ("failed", done.attempts, 0, Some(Reason::Error.as_str()), Some(error)),
            Ending::Again { not_before, charged, error } => {
                ("pending", done.attempts - u32::from(!charged), *not_before, None, error.as_ref())
            }
        };
        let finished_at = (state != "pending").then_some(self.now);
        self.tx
            .prepare_cached(
                "UPDATE task SET state = ?3, attempts = ?4, not_before = ?5, reason = ?6, error = ?7, entry = ?8,
                   finished_at = ?9, suspect = 0,
                   epoch = NULL, lease = NULL WHERE job = ?1 AND pos = ?2",
            )?
            .execute(params![
                job,
                done.pos,
                state,
                attempts,
                not_before,
                reason,
                error,
                Some(entry).filter(|entry| !entry.is_empty()),
                finished_at
            ])?;
        Ok(())
    }
}
