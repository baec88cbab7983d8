//! Of `check`: each job's row, its list, results, tasks and tallies, against each other and against its counters.

use std::collections::BTreeMap;

use rusqlite::{CachedStatement, Connection, OptionalExtension};
use rustc_hash::FxHashMap;

use super::history::Rows;
use super::{Faults, Known};
use crate::job::{Job, JobId, Outcome, Reason, TaskState};
use crate::store::codec::{Entry, Key, unpack_entries, unpack_keys};
use crate::store::frozen::CHUNK_ITEMS;
use crate::store::jobs::job_row;
use crate::store::{Error, Result};
use crate::wire::span_at;

/// A job as its rows have it, or as its counters do.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    planned: i64,
    chunks: i64,
    weight: i64,
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

pub(super) fn jobs(connection: &Connection, known: &Known, faults: &mut Faults) -> Result<()> {
    let mut jobs = Jobs {
        known,
        faults,
        rows: FxHashMap::default(),
        counted: FxHashMap::default(),
        lists: Lists { connection, at: None },
        history: Rows::new(connection),
        item: connection.prepare_cached("SELECT edition FROM item WHERE no = ?")?,
        dry_change: connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM dry_change WHERE no = ? AND item = ? AND job = ?)")?,
    };
    jobs.rows(connection)?;
    jobs.chunks(connection)?;
    jobs.results(connection)?;
    jobs.tasks(connection)?;
    jobs.counters(connection)?;
    labels(connection, jobs.faults)
}

struct Jobs<'a> {
    known: &'a Known,
    faults: &'a mut Faults,
    /// Those that decode.
    rows: FxHashMap<JobId, Job>,
    counted: FxHashMap<JobId, Tally>,
    lists: Lists<'a>,
    history: Rows<'a>,
    item: CachedStatement<'a>,
    dry_change: CachedStatement<'a>,
}

/// The frozen lists, of which one chunk is kept.
struct Lists<'a> {
    connection: &'a Connection,
    at: Option<((JobId, i64), Vec<Key>)>,
}

impl Lists<'_> {
    /// What stands at a position; None past the end, or where the chunk does not decode.
    fn key(&mut self, job: JobId, pos: i64) -> Result<Option<Key>> {
        let chunk = (job, pos.div_euclid(CHUNK_ITEMS as i64));
        if self.at.as_ref().is_none_or(|(at, _)| *at != chunk) {
            let keys: Option<Vec<u8>> = self
                .connection
                .prepare_cached("SELECT keys FROM chunk WHERE job = ? AND no = ?")?
                .query_row([chunk.0, chunk.1], |row| row.get(0))
                .optional()?;
            self.at = Some((chunk, unpack_keys(&keys.unwrap_or_default()).unwrap_or_default()));
        }
        let at = usize::try_from(pos.rem_euclid(CHUNK_ITEMS as i64)).unwrap_or(usize::MAX);
        Ok(self.at.as_ref().and_then(|(_, keys)| keys.get(at).copied()))
    }
}

impl Jobs<'_> {
    fn fault(&mut self, job: JobId, why: impl AsRef<str>) {
        self.faults.push(format!("job {job}: {}", why.as_ref()));
    }

    fn rows(&mut self, connection: &Connection) -> Result<()> {
        let mut statement = connection.prepare("SELECT id FROM job WHERE deleted = 0 ORDER BY id")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let id: JobId = row.get(0)?;
            match job_row(connection, id) {
                Ok(job) => drop(self.rows.insert(id, job)),
                Err(Error::DamagedJob { what, .. }) => self.fault(id, what),
                Err(error) => return Err(error),
            }
        }
        for job in self.rows.values() {
            if let Some(Err(why)) = job.span.as_ref().map(|span| span_at(span, 0)) {
                self.faults.push(format!("job {}: job.span does not decode ({why})", job.id));
            }
            if !job.revision.is_none_or(|revision| self.known.has_revision(revision)) {
                self.faults.push(format!("job {}: job.revision is not there", job.id));
            }
            let others = [("parent", job.parent), ("reverts", job.reverts), ("applied_by", job.applied_by)];
            for (column, other) in others {
                if !other.is_none_or(|other| (1..=self.known.last_job).contains(&other)) {
                    self.faults.push(format!("job {}: job.{column} names a job that was never made", job.id));
                }
            }
        }
        Ok(())
    }

    fn chunks(&mut self, connection: &Connection) -> Result<()> {
        // Leased items with rows of their own are counted by those.
        let mut statement = connection.prepare(
            "SELECT job, no, pos, n, done, leased - (SELECT count(*) FROM task WHERE task.job = chunk.job
                 AND task.pos >= chunk.pos + done AND task.pos < chunk.pos + done + leased), keys, weight
             FROM chunk WHERE job IN (SELECT id FROM job WHERE pruned_at IS NULL AND deleted = 0) ORDER BY job, no",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (job, no, n): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(3)?);
            let tally = self.counted.entry(job).or_default();
            let follows = row.get::<_, i64>(2)? == tally.planned && no == tally.chunks;
            tally.planned += n;
            tally.chunks += 1;
            tally.weight += row.get::<_, i64>(7)?;
            tally.running += row.get::<_, i64>(5)?;
            if !follows {
                self.fault(job, format!("chunk {no}: chunk.pos does not follow the chunk before it"));
            }
            let Ok(keys) = unpack_keys(&row.get::<_, Vec<u8>>(6)?) else {
                self.fault(job, format!("chunk {no}: chunk.keys does not decode"));
                continue;
            };
            if keys.len() as i64 != n {
                self.fault(job, format!("chunk {no}: chunk.keys has {} items, and chunk.n is {n}", keys.len()));
            }
            for key in keys {
                if self.edition_of(key.item)?.is_none() {
                    self.fault(job, format!("chunk {no}: chunk.keys names item {}, which is not there", key.item));
                }
            }
        }
        Ok(())
    }

    fn edition_of(&mut self, item: i64) -> Result<Option<i64>> {
        Ok(self.item.query_row([item], |row| row.get(0)).optional()?)
    }

    fn results(&mut self, connection: &Connection) -> Result<()> {
        let mut statement = connection.prepare("SELECT job, pos, n, entries FROM result ORDER BY job, pos")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (job, pos, n): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let Ok(entries) = unpack_entries(&row.get::<_, Vec<u8>>(3)?) else {
                self.fault(job, format!("result {pos}: result.entries does not decode"));
                continue;
            };
            if entries.len() as i64 != n {
                self.fault(
                    job,
                    format!("result {pos}: result.entries has {} items, and result.n is {n}", entries.len()),
                );
            }
            for (pos, entry) in (pos..).zip(&entries).filter(|(_, entry)| entry.code != Entry::ELSEWHERE) {
                let tally = self.counted.entry(job).or_default();
                match entry.outcome() {
                    Ok(Some(outcome)) => {
                        tally.done += 1;
                        tally.count(outcome.as_str());
                    }
                    Ok(None) => {
                        tally.failed += 1;
                        tally.count(Reason::NoTopicsDetected.as_str());
                    }
                    Err(_) => {}
                }
                if let Some(why) = self.fault_of(job, pos, entry)? {
                    self.fault(job, format!("result at position {pos}: result.entries, {why}"));
                }
            }
        }
        Ok(())
    }

    /// What is wrong with what came of one item.
    fn fault_of(&mut self, job: JobId, pos: i64, entry: &Entry) -> Result<Option<String>> {
        if entry.outcome().is_err() {
            return Ok(Some(format!("unknown outcome code {}", entry.code)));
        }
        for refreshed in &entry.refreshed {
            if !self.known.names.has_program(refreshed.program) {
                return Ok(Some(format!("program {} is not there", refreshed.program)));
            }
            if let Some(no) = [refreshed.before, refreshed.after].into_iter().find(|&no| !self.known.has_revision(no)) {
                return Ok(Some(format!("revision {no} is not there")));
            }
        }
        // Of a job that is pruned, or not readable, the list may be gone.
        let Some(dry_run) = self.rows.get(&job).filter(|job| job.pruned_at.is_none()).map(|job| job.dry_run) else {
            return Ok(None);
        };
        let Some(key) = self.lists.key(job, pos)? else {
            return Ok(Some("chunk.keys has no item there".into()));
        };
        let Some(edition) = self.edition_of(key.item)? else { return Ok(None) };
        if !(0..=edition).contains(&entry.edition) {
            return Ok(Some(format!("edition {} is above item.edition, {edition}", entry.edition)));
        }
        // An item that was erased since has a higher edition, and its changes are gone.
        if entry.change == 0 || entry.edition < edition {
            return Ok(None);
        }
        let is_there = match dry_run {
            true => self.dry_change.query_row([entry.change, key.item, job], |row| row.get(0))?,
            false => self.history.holding(entry.change)?.is_some_and(|row| {
                row.by.job == job && row.change(entry.change).is_some_and(|change| change.item == key.item)
            }),
        };
        Ok((!is_there).then(|| format!("change {} is missing, or belongs to another job or item", entry.change)))
    }

    fn tasks(&mut self, connection: &Connection) -> Result<()> {
        let mut statement =
            connection.prepare("SELECT job, pos, state, reason, entry, item, asked FROM task ORDER BY job, pos")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (job, pos, state): (i64, i64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let tally = self.counted.entry(job).or_default();
            match TaskState::from_word(&state) {
                Some(TaskState::Done) => tally.done += 1,
                Some(TaskState::Failed) => tally.failed += 1,
                Some(TaskState::Quarantined) => tally.quarantined += 1,
                Some(TaskState::Running) => tally.running += 1,
                Some(TaskState::Pending | TaskState::Cancelled) => {}
                None => self.fault(job, format!("task {pos}: unknown task.state {state:?}")),
            }
            let entry: Option<Vec<u8>> = row.get(4)?;
            let entry = match entry.map(|entry| unpack_entries(&entry)) {
                None => None,
                Some(Ok(entries)) if entries.len() == 1 && entries[0].code != Entry::ELSEWHERE => {
                    entries.into_iter().next()
                }
                Some(_) => {
                    self.fault(job, format!("task {pos}: task.entry does not decode"));
                    continue;
                }
            };
            let tally = self.counted.entry(job).or_default();
            if let Some(reason) = row.get::<_, Option<String>>(3)? {
                tally.count(&reason);
                if Reason::from_word(&reason).is_none() {
                    self.fault(job, format!("task {pos}: unknown task.reason {reason:?}"));
                }
            } else if let Some(outcome) = entry.as_ref().and_then(|entry| entry.outcome().ok().flatten()) {
                tally.count(outcome.as_str());
            }
            let key = Key { item: row.get(5)?, asked: row.get(6)? };
            let is_pruned = self.rows.get(&job).is_none_or(|job| job.pruned_at.is_some());
            if !is_pruned && self.lists.key(job, pos)? != Some(key) {
                self.fault(job, format!("task {pos}: task.item and task.asked are not those of chunk.keys"));
            }
            if let Some(entry) = entry
                && let Some(why) = self.fault_of(job, pos, &entry)?
            {
                self.fault(job, format!("task {pos}: task.entry, {why}"));
            }
        }
        Ok(())
    }

    fn counters(&mut self, connection: &Connection) -> Result<()> {
        let mut tallies = self.tallies(connection)?;
        let mut statement = connection.prepare(
            "SELECT id, planned, chunks, weight, running, done, failed, quarantined, total,
               pruned_at IS NOT NULL OR deleted = 1, errors, weight_done FROM job",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            let stored = Tally {
                planned: row.get(1)?,
                chunks: row.get(2)?,
                weight: row.get(3)?,
                running: row.get(4)?,
                done: row.get(5)?,
                failed: row.get(6)?,
                quarantined: row.get(7)?,
                words: tallies.remove(&id).unwrap_or_default(),
            };
            if row.get::<_, Option<i64>>(8)?.is_some_and(|total| total != stored.planned) {
                self.fault(id, "job.total is not job.planned");
            }
            if stored.words.values().sum::<i64>() != stored.done + stored.failed + stored.quarantined {
                self.fault(id, "tally.n of all words is not the sum of job.done, job.failed and job.quarantined");
            }
            if stored.words.get(Reason::Error.as_str()).copied().unwrap_or_default() != row.get::<_, i64>(10)? {
                self.fault(id, "job.errors is not tally.n of the reason error");
            }
            if !(0..=stored.weight).contains(&row.get(11)?) {
                self.fault(id, "job.weight_done is not between 0 and job.weight");
            }
            let counted = self.counted.remove(&id).unwrap_or_default();
            // Of a pruned job the summary is all that is left.
            if !row.get::<_, bool>(9)? && stored != counted {
                self.fault(id, format!("the columns of job say {stored:?}, and its rows have {counted:?}"));
            }
        }
        Ok(())
    }

    /// What the table tally says of outcomes and reasons.
    fn tallies(&mut self, connection: &Connection) -> Result<FxHashMap<i64, BTreeMap<String, i64>>> {
        let mut words: FxHashMap<i64, BTreeMap<String, i64>> = FxHashMap::default();
        let mut statement = connection.prepare("SELECT job, word, n, what FROM tally WHERE n <> 0")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (job, word, what): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(3)?);
            let is_known = match what.as_str() {
                "outcome" => Outcome::from_word(&word).is_some(),
                "reason" => Reason::from_word(&word).is_some(),
                _ => false,
            };
            if !is_known {
                self.fault(job, format!("tally: unknown {what} {word:?} in tally.word"));
            }
            words.entry(job).or_default().insert(word, row.get(2)?);
        }
        Ok(words)
    }
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
        let id: JobId = row.get(0)?;
        faults
            .push(format!("job {id}: job.labels_added, _removed and _updated are not the sums of the table job_topic"));
    }
    Ok(())
}
