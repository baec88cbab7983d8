//! Commit: what workers found becomes labels, history, results and counters, all in one transaction.
//!
//! Fenced by epoch and lease: what comes in under a lease that is not the row's any more changes nothing.

use std::sync::Arc;

use rusqlite::{OptionalExtension, params};
use rustc_hash::FxHashMap;

use super::catalogue::topics_of;
use super::codec::{Entry, Fresh, Key};
use super::items::{Coverage, Reading, marks_of, reading_of, readings_by_program};
use super::writer::Tx;
use super::{Error, Result, Store};
use crate::job::{JobId, LabelCounts, NO_TOPICS_DETECTED, Outcome};
use crate::label::{Evidence, Label, Place, ProgramRules, Provenance, Revision, Scope, Standing, TopicNo, apply};
use crate::model::{Failure, Millis};

/// Where leased items came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// A run of a chunk's items.
    Chunk(i64),
    /// Tasks with rows of their own.
    Tasks,
}

/// Who holds some items: the number is given once an epoch, the epoch once a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseId {
    pub job: JobId,
    pub source: Source,
    pub epoch: i64,
    pub lease: i64,
}

/// What a worker makes of one item.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// Not there, or not what the job asked for any more.
    Gone,
    /// The note is not at the version asked for.
    StaleVersion,
    /// All programs in scope were read by these rules already.
    Current,
    /// Read, at `edition`.
    Read { edition: i64, version: Option<i64>, scope: Arc<Scope>, found: Vec<(Place, Evidence)> },
    /// The attempt came to nothing; a transient failure may be tried again from `not_before` on.
    Failed { failure: Failure, not_before: Millis },
    /// It has a row of its own, which another lease works off.
    Elsewhere,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    pub pos: i64,
    pub key: Key,
    /// This one included.
    pub attempts: u32,
    pub finding: Finding,
}

/// What has come of a lease so far: its first items, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaseOutcome {
    pub lease: LeaseId,
    /// Of the job.
    pub revision: Revision,
    pub keep_when_empty: bool,
    pub done: Vec<Done>,
    /// The lease ends with this: what it held besides goes back.
    pub ends: bool,
}

/// What a commit came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Committed {
    /// Tasks that ended.
    pub finished: u64,
    /// Of those, the ones that failed.
    pub failed: u64,
    /// Of those, the ones that failed with an error.
    pub errors: u64,
    /// Tasks that are to be run once more.
    pub again: u64,
    /// Outcomes dropped because their lease is not theirs any more.
    pub fenced: u64,
    pub labels: LabelCounts,
}

/// What a commit does to one job's counters.
#[derive(Debug, Default)]
struct Ledger {
    pending: i64,
    running: i64,
    done: i64,
    failed: i64,
    errors: i64,
    labels: LabelCounts,
    tallies: FxHashMap<(&'static str, String), i64>,
}

impl Ledger {
    fn tally(&mut self, what: &'static str, word: &str) {
        *self.tallies.entry((what, word.to_owned())).or_default() += 1;
    }
}

impl Store {
    /// Commits what has come of some leases. `max_attempts` is how often a transient failure is tried in all.
    pub fn commit(&self, outcomes: Arc<[LeaseOutcome]>, max_attempts: u32, now: Millis) -> Result<Committed> {
        self.write(move |tx| {
            let mut commit = Commit {
                tx,
                now,
                max_attempts,
                coverage: Coverage::default(),
                ledgers: FxHashMap::default(),
                total: Committed::default(),
            };
            for outcome in outcomes.iter() {
                commit.lease(outcome)?;
            }
            commit.close()
        })
    }
}

struct Commit<'a> {
    tx: &'a Tx<'a>,
    now: Millis,
    max_attempts: u32,
    coverage: Coverage,
    ledgers: FxHashMap<JobId, Ledger>,
    total: Committed,
}

/// How one item ends, or why it does not.
enum Ending {
    Entry(Entry),
    Error(String),
    Again { not_before: Millis, charged: bool, error: Option<String> },
    Elsewhere,
}

impl Commit<'_> {
    fn lease(&mut self, outcome: &LeaseOutcome) -> Result<()> {
        match outcome.lease.source {
            Source::Chunk(no) => self.chunk(outcome, no),
            Source::Tasks => {
                outcome.done.iter().try_for_each(|done| self.task(outcome, done))?;
                if outcome.ends { self.give_tasks_back(outcome.lease) } else { Ok(()) }
            }
        }
    }

    fn give_tasks_back(&mut self, LeaseId { job, epoch, lease, .. }: LeaseId) -> Result<()> {
        let given_back = self
            .tx
            .prepare_cached(
                "UPDATE task SET state = 'pending', epoch = NULL, lease = NULL
                 WHERE job = ? AND state = 'running' AND epoch = ? AND lease = ?",
            )?
            .execute(params![job, epoch, lease])? as i64;
        let ledger = self.ledgers.entry(job).or_default();
        ledger.pending += given_back;
        ledger.running -= given_back;
        Ok(())
    }

    /// Moves the border of a chunk, if the lease is still the one that may: the fence.
    fn chunk(&mut self, outcome: &LeaseOutcome, no: i64) -> Result<()> {
        let LeaseId { job, epoch, lease, .. } = outcome.lease;
        let held = self
            .tx
            .prepare_cached("SELECT pos, done, leased FROM chunk WHERE job = ? AND no = ? AND epoch = ? AND lease = ?")?
            .query_row(params![job, no, epoch, lease], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let Some((pos, done, leased)): Option<(i64, i64, i64)> = held else {
            self.total.fenced += outcome.done.len() as u64;
            return Ok(());
        };
        let n = outcome.done.len() as i64;
        if n > leased || outcome.done.iter().zip(pos + done..).any(|(done, pos)| done.pos != pos) {
            return Err(Error::Damaged(format!("lease {lease} of job {job} does not fit its chunk")));
        }
        let given_back = self.left_behind(job, pos + done + n, leased - n, outcome.ends)?;
        self.tx
            .prepare_cached(
                "UPDATE chunk SET done = done + ?3, leased = CASE WHEN ?4 THEN 0 ELSE leased - ?3 END,
                   epoch = CASE WHEN ?4 THEN NULL ELSE epoch END, lease = CASE WHEN ?4 THEN NULL ELSE lease END,
                   state = CASE WHEN NOT ?4 THEN state WHEN done + ?3 = n THEN 'closed' ELSE 'open' END
                 WHERE job = ?1 AND no = ?2",
            )?
            .execute(params![job, no, n, outcome.ends || n == leased])?;
        let ledger = self.ledgers.entry(job).or_default();
        ledger.pending += given_back;
        ledger.running -= given_back;
        if n > 0 {
            let entries = self.entries(outcome)?;
            self.tx
                .prepare_cached("INSERT INTO result (job, pos, n, at, entries) VALUES (?, ?, ?, ?, ?)")?
                .execute(params![job, pos + done, n, self.now, entries])?;
        }
        Ok(())
    }

    /// How many of the items that a lease leaves behind go back to the queue; those with rows of their own never left.
    fn left_behind(&self, job: JobId, from: i64, n: i64, ends: bool) -> Result<i64> {
        if !ends || n == 0 {
            return Ok(0);
        }
        let own_rows: i64 = self
            .tx
            .prepare_cached("SELECT count(*) FROM task WHERE job = ?1 AND pos >= ?2 AND pos < ?3")?
            .query_row(params![job, from, from + n], |row| row.get(0))?;
        Ok(n - own_rows)
    }

    fn entries(&mut self, outcome: &LeaseOutcome) -> Result<Vec<u8>> {
        let mut entries = Vec::with_capacity(outcome.done.len() * 8);
        for done in &outcome.done {
            let ending = self.finish(outcome, done)?;
            self.account(outcome.lease.job, &ending);
            match &ending {
                Ending::Entry(entry) => entry.pack(&mut entries),
                Ending::Elsewhere => Entry::elsewhere().pack(&mut entries),
                Ending::Error(_) | Ending::Again { .. } => {
                    self.own_row(outcome.lease.job, done, &ending)?;
                    Entry::elsewhere().pack(&mut entries);
                }
            }
        }
        Ok(entries)
    }

    /// An item of a chunk that met trouble gets a row of its own.
    fn own_row(&self, job: JobId, done: &Done, ending: &Ending) -> Result<()> {
        self.tx
            .prepare_cached(
                "INSERT INTO task (job, pos, item, version, state, not_before) VALUES (?, ?, ?, ?, 'pending', 0)",
            )?
            .execute(params![job, done.pos, done.key.item, done.key.version])?;
        self.write_row(job, done, ending)
    }

    fn task(&mut self, outcome: &LeaseOutcome, done: &Done) -> Result<()> {
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
        let ending = self.finish(outcome, done)?;
        self.account(job, &ending);
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
                    None => ("failed", done.attempts, 0, Some(NO_TOPICS_DETECTED), None),
                }
            }
            Ending::Error(error) => ("failed", done.attempts, 0, Some("error"), Some(error)),
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

    fn account(&mut self, job: JobId, ending: &Ending) {
        let ledger = self.ledgers.entry(job).or_default();
        match ending {
            Ending::Elsewhere => return,
            Ending::Again { .. } => {
                ledger.running -= 1;
                ledger.pending += 1;
                self.total.again += 1;
                return;
            }
            Ending::Error(_) => {
                ledger.failed += 1;
                ledger.errors += 1;
                self.total.failed += 1;
                self.total.errors += 1;
                ledger.tally("reason", "error");
            }
            // `finish` only makes codes that have an outcome.
            Ending::Entry(entry) => match entry.outcome().ok().flatten() {
                Some(outcome) => {
                    ledger.done += 1;
                    ledger.tally("outcome", outcome.as_str());
                }
                None => {
                    ledger.failed += 1;
                    self.total.failed += 1;
                    ledger.tally("reason", NO_TOPICS_DETECTED);
                }
            },
        }
        ledger.running -= 1;
        self.total.finished += 1;
    }

    fn finish(&mut self, outcome: &LeaseOutcome, done: &Done) -> Result<Ending> {
        let plain = |outcome: Outcome| {
            Ok(Ending::Entry(Entry {
                code: Entry::code_of(outcome),
                attempts: done.attempts,
                edition: 0,
                version: None,
                change: 0,
                fresh_before: Fresh::new(),
            }))
        };
        match &done.finding {
            Finding::Gone => plain(Outcome::Gone),
            Finding::StaleVersion => plain(Outcome::StaleVersion),
            Finding::Current => plain(Outcome::SkippedCurrent),
            Finding::Elsewhere => Ok(Ending::Elsewhere),
            Finding::Failed { failure: Failure::Permanent(error), .. } => Ok(Ending::Error(error.clone())),
            Finding::Failed { failure: Failure::Transient(error), not_before } => {
                if done.attempts >= self.max_attempts {
                    return Ok(Ending::Error(error.clone()));
                }
                Ok(Ending::Again { not_before: *not_before, charged: true, error: Some(error.clone()) })
            }
            Finding::Read { edition, version, scope, found } => {
                let item = self
                    .tx
                    .prepare_cached("SELECT edition, marked, at IS NOT NULL FROM item WHERE no = ?")?
                    .query_row([done.key.item], |row| {
                        Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?, row.get::<_, bool>(2)?))
                    })
                    .optional()?;
                match item {
                    Some((stored, marked, true)) if stored == *edition => {
                        let entry = Entry {
                            code: Entry::NO_TOPICS,
                            attempts: done.attempts,
                            edition: *edition,
                            version: *version,
                            change: 0,
                            fresh_before: Fresh::new(),
                        };
                        self.read_item(outcome, done.key.item, marked, scope, found, entry).map(Ending::Entry)
                    }
                    Some((_, _, true)) => Ok(Ending::Again { not_before: 0, charged: false, error: None }),
                    Some((_, _, false)) | None => plain(Outcome::Gone),
                }
            }
        }
    }

    fn read_item(
        &mut self,
        outcome: &LeaseOutcome,
        item: i64,
        marked: bool,
        scope: &Scope,
        found: &[(Place, Evidence)],
        entry: Entry,
    ) -> Result<Entry> {
        let old = reading_of(self.tx, item)?;
        let newer = |rules: &Arc<ProgramRules>| newer_reading(&old.fresh, rules, outcome.revision);
        let narrowed = scope.programs.iter().any(|rules| newer(rules).is_some());
        let hands_off = if narrowed { self.hands_off(scope, newer)? } else { Vec::new() };
        let own_scope = narrowed.then(|| Scope {
            programs: scope.programs.iter().filter(|rules| newer(rules).is_none()).cloned().collect(),
            elsewhere: scope.elsewhere.clone(),
        });
        let scope = own_scope.as_ref().unwrap_or(scope);
        if scope.programs.is_empty() {
            return Ok(Entry { code: Entry::code_of(Outcome::Superseded), ..entry });
        }

        let by = Provenance { job: outcome.lease.job, revision: outcome.revision, at: self.now };
        let found: Vec<Label> =
            found.iter().map(|&(place, evidence)| Label { place, evidence: Some(evidence), by }).collect();
        let marks = if marked { marks_of(self.tx, item)? } else { Vec::new() };
        let has_topics = scope.programs.iter().any(|rules| !rules.topics.is_empty());
        let standing = Standing { labels: &old.labels, marks: &marks, hands_off: &hands_off };
        let applied = has_topics.then(|| apply(standing, &found, scope, outcome.keep_when_empty));

        let programs: Vec<_> = scope.programs.iter().map(|rules| rules.program).collect();
        let before = readings_by_program(&programs, &old.fresh);
        let stale: Fresh = before.into_iter().filter(|(_, read)| *read != outcome.revision).collect();
        let edits = applied.as_ref().map_or(&[][..], |applied| &applied.edits);
        let change = if edits.is_empty() { 0 } else { self.tx.put_change(item, edits, by)? };
        let code = match &applied {
            None => Entry::code_of(Outcome::ProgramHasNoTopics),
            Some(applied) if !applied.detected && outcome.keep_when_empty => Entry::NO_TOPICS,
            Some(applied) if applied.edits.is_empty() => Entry::code_of(Outcome::Unchanged),
            Some(_) => Entry::code_of(Outcome::Changed),
        };
        if let Some(applied) = &applied {
            self.count_labels(outcome.lease.job, applied.counts);
        }
        if change != 0 || !stale.is_empty() {
            let mut fresh = old.fresh;
            self.coverage.add(&stale, -1);
            for (program, _) in &stale {
                fresh.retain(|(other, _)| other != program);
                fresh.push((*program, outcome.revision));
                self.coverage.add(&[(*program, outcome.revision)], 1);
            }
            let labels = applied.map_or(old.labels, |applied| applied.labels);
            self.tx.put_reading(item, &Reading { fresh, labels })?;
        }
        Ok(Entry { code, change, fresh_before: stale, ..entry })
    }

    /// Topics that newer rules have read on this item already: an older job keeps its hands off them.
    fn hands_off(&self, scope: &Scope, newer: impl Fn(&Arc<ProgramRules>) -> Option<Revision>) -> Result<Vec<TopicNo>> {
        let mut topics = Vec::new();
        for rules in &scope.programs {
            if let Some(revision) = newer(rules) {
                topics.extend(topics_of(self.tx, revision, rules.program)?);
            }
        }
        Ok(topics)
    }

    fn count_labels(&mut self, job: JobId, counts: LabelCounts) {
        let ledger = self.ledgers.entry(job).or_default();
        for total in [&mut ledger.labels, &mut self.total.labels] {
            total.added += counts.added;
            total.removed += counts.removed;
            total.updated += counts.updated;
            total.kept += counts.kept;
        }
    }

    fn close(self) -> Result<Committed> {
        let Commit { tx, now, coverage, ledgers, total, .. } = self;
        coverage.flush(tx)?;
        for (job, ledger) in ledgers {
            tx.prepare_cached(
                "UPDATE job SET pending = pending + ?2, running = running + ?3, done = done + ?4, failed = failed + ?5,
                   errors = errors + ?6, labels_added = labels_added + ?7, labels_removed = labels_removed + ?8,
                   labels_updated = labels_updated + ?9, labels_kept = labels_kept + ?10 WHERE id = ?1",
            )?
            .execute(params![
                job,
                ledger.pending,
                ledger.running,
                ledger.done,
                ledger.failed,
                ledger.errors,
                ledger.labels.added,
                ledger.labels.removed,
                ledger.labels.updated,
                ledger.labels.kept
            ])?;
            for ((what, word), n) in ledger.tallies {
                tx.prepare_cached(
                    "INSERT INTO tally (job, what, word, n) VALUES (?, ?, ?, ?)
                     ON CONFLICT DO UPDATE SET n = n + excluded.n",
                )?
                .execute(params![job, what, word, n])?;
            }
            tx.settle_job(job, now)?;
        }
        Ok(total)
    }
}

/// The revision newer than the job's that has read the program's items here already.
fn newer_reading(fresh: &Fresh, rules: &ProgramRules, revision: Revision) -> Option<Revision> {
    fresh.iter().find(|(program, read)| *program == rules.program && *read > revision).map(|&(_, read)| read)
}
