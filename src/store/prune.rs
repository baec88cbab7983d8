//! What is not kept any more goes in small steps, so that the queue never waits for it.

use rusqlite::OptionalExtension;

use super::codec::unpack_entries;
use super::writer::Tx;
use super::{Error, Result, Store};
use crate::job::JobId;
use crate::model::Millis;

/// Free pages that one step gives back to the file system.
const PAGES: i64 = 256;

impl Store {
    /// Removes one chunk's worth of a job that was deleted, or that ended before `ended_before`: its list, results and
    /// history, never its labels, nor what an unended job needs. False when there is nothing to remove.
    pub fn prune(&self, ended_before: Millis, now: Millis) -> Result<bool> {
        self.write(move |tx| {
            if let Some(job) = tx.deleted_job()? {
                if !tx.prune_chunk(job)? {
                    tx.remove_job(job)?;
                }
                return Ok(true);
            }
            let Some(job) = tx.prunable_job(ended_before)? else { return Ok(false) };
            // From the first step on nothing can be made of it any more.
            tx.prepare_cached("UPDATE job SET pruned_at = coalesce(pruned_at, ?2) WHERE id = ?1")?
                .execute([job, now])?;
            if !tx.prune_chunk(job)? {
                tx.prepare_cached("UPDATE job SET chunks = 0 WHERE id = ?")?.execute([job])?;
                tx.tell(format!("job {job}: its items and its history were pruned"));
            }
            Ok(true)
        })
    }

    /// Gives some free pages of the file back. False when there are none left.
    pub fn give_back(&self) -> Result<bool> {
        self.write(|tx| {
            let free = |tx: &Tx<'_>| tx.pragma_query_value(None, "freelist_count", |row| row.get::<_, i64>(0));
            let before = free(tx)?;
            let mut statement = tx.prepare_cached("PRAGMA incremental_vacuum(256)")?;
            let mut rows = statement.query([])?;
            // A page is freed each time that it is stepped.
            while rows.next()?.is_some() {}
            drop(rows);
            Ok(before > PAGES && free(tx)? < before)
        })
    }

    /// The number of the last change of the feed, and the highest that was pruned.
    pub fn last_change(&self) -> Result<(i64, i64)> {
        self.read(|connection| {
            Ok(connection
                .prepare_cached(
                    "SELECT max(last_change, coalesce((SELECT max(no) FROM change), 0)), pruned_change FROM daemon",
                )?
                .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?)
        })
    }
}

impl Tx<'_> {
    fn deleted_job(&self) -> Result<Option<JobId>> {
        // The leader of a group last: the others name it.
        Ok(self
            .prepare_cached("SELECT id FROM job WHERE deleted = 1 ORDER BY id DESC LIMIT 1")?
            .query_row([], |row| row.get(0))
            .optional()?)
    }

    fn prunable_job(&self, ended_before: Millis) -> Result<Option<JobId>> {
        Ok(self
            .prepare_cached(
                "SELECT id FROM job WHERE finished_at < ? AND finished_at IS NOT NULL AND chunks > 0
                   AND NOT EXISTS (SELECT 1 FROM job AS revert WHERE revert.reverts = job.id
                     AND revert.reverts IS NOT NULL AND revert.finished_at IS NULL)
                 ORDER BY finished_at LIMIT 1",
            )?
            .query_row([ended_before], |row| row.get(0))
            .optional()?)
    }

    /// Removes the first chunk that a job has, and what came of it. False when it has none.
    fn prune_chunk(&self, job: JobId) -> Result<bool> {
        let chunk: Option<(i64, i64, i64)> = self
            .prepare_cached("SELECT no, pos, n FROM chunk WHERE job = ? ORDER BY no LIMIT 1")?
            .query_row([job], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let Some((no, pos, n)) = chunk else { return Ok(false) };
        let dry_run: bool =
            self.prepare_cached("SELECT dry_run FROM job WHERE id = ?")?.query_row([job], |row| row.get(0))?;
        // What a lease changed lies in one row: it went with the first of its numbers.
        let mut gone = 0..=0;
        for packed in [
            "SELECT entries FROM result WHERE job = ?1 AND pos >= ?2 AND pos < ?3",
            "SELECT entry FROM task WHERE job = ?1 AND pos >= ?2 AND pos < ?3 AND entry IS NOT NULL",
        ] {
            let mut statement = self.prepare_cached(packed)?;
            let mut rows = statement.query([job, pos, pos + n])?;
            while let Some(row) = rows.next()? {
                let entries = row.get_ref(0)?.as_blob().map_err(|_| Error::Damaged("result.entries".into()))?;
                // What does not decode keeps its history, and no other job waits for it.
                let entries = unpack_entries(entries).unwrap_or_else(|_| {
                    self.tell(format!(
                        "job {job}: a result that is damaged was pruned; what it changed stays in the history"
                    ));
                    Vec::new()
                });
                for no in entries.into_iter().map(|entry| entry.change).filter(|&no| no != 0) {
                    if dry_run {
                        self.prepare_cached("DELETE FROM dry_change WHERE no = ?")?.execute([no])?;
                    } else if !gone.contains(&no)
                        && let Some(last) = self.prune_change(job, no)?
                    {
                        gone = no..=last;
                    }
                }
            }
        }
        for sql in [
            "DELETE FROM result WHERE job = ?1 AND pos >= ?2 AND pos < ?3",
            "DELETE FROM task WHERE job = ?1 AND pos >= ?2 AND pos < ?3",
        ] {
            self.prepare_cached(sql)?.execute([job, pos, pos + n])?;
        }
        self.prepare_cached("DELETE FROM chunk WHERE job = ? AND no = ?")?.execute([job, no])?;
        Ok(true)
    }

    /// Nothing of it is left but its row.
    fn remove_job(&self, job: JobId) -> Result<()> {
        for sql in [
            "DELETE FROM tally WHERE job = ?",
            "DELETE FROM job_topic WHERE job = ?",
            // The others of a group of which only the leader is deleted stay on their own.
            "UPDATE job SET leader = NULL WHERE leader = ?",
            "DELETE FROM job WHERE id = ?",
        ] {
            self.prepare_cached(sql)?.execute([job])?;
        }
        Ok(())
    }
}
