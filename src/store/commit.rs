//! Commit: what workers found becomes labels, history, results and counters, all in one transaction.
//!
//! Fenced by epoch and lease: what comes in under a lease that is not the row's any more changes nothing.

mod item;
mod rows;
mod stood;
mod undo;

use std::sync::Arc;

use rusqlite::types::ValueRef::Blob;
use rusqlite::{OptionalExtension, params};
use rustc_hash::FxHashMap;

pub use self::stood::Stood;
use super::codec::{Entry, Key};
use super::history::Changes;
use super::rows::{Counters, PutReading};
use super::sums::{self, integer};
use super::undo::Undo;
use super::writer::Tx;
use super::{Error, Result, Store};
use crate::job::{JobId, LabelCounts, Lane, Reason, TaskState};
use crate::label::{Edit, Evidence, Place, ProgramNo, Provenance, Revision, Scope, TopicNo};
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
    /// Read as it stood, and `found` on it within `scope`.
    Read { stood: Stood, scope: Arc<Scope>, found: Vec<(Place, Evidence)> },
    /// This is to be taken back.
    TakeBack(Undo),
    /// The attempt came to nothing; a transient failure may be tried again from `not_before` on.
    Failed { failure: Failure, not_before: Millis },
    /// It has a row of its own, which another lease works off.
    Elsewhere,
}

impl Finding {
    /// What it costs to commit it, about: an item with few labels is one.
    pub fn cost(&self) -> usize {
        const LABELS: usize = 8;
        match self {
            Finding::Read { stood, found, .. } => 1 + found.len().max(stood.labels()) / LABELS,
            Finding::TakeBack(undo) => 1 + undo.edits.len() / LABELS,
            _ => 1,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    pub pos: i64,
    pub key: Key,
    /// This one included.
    pub attempts: u32,
    /// Of those, the ones that are not charged.
    pub uncharged: u32,
    pub finding: Finding,
}

/// What a job does to its items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Labels them by the rules of a revision.
    Label { revision: Revision, keep_when_empty: bool },
    /// Takes back what another job did.
    TakeBack,
}

/// What has come of a lease so far: its first items, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaseOutcome {
    pub lease: LeaseId,
    /// As in [`super::Leased`].
    pub weight_each: i64,
    pub deed: Deed,
    /// No label is written.
    pub dry_run: bool,
    pub done: Vec<Done>,
    /// The lease ends with this: what it held besides goes back.
    pub ends: bool,
}

impl LeaseOutcome {
    /// As [`Finding::cost`], of all of them.
    pub fn cost(&self) -> usize {
        self.done.iter().map(|done| done.finding.cost()).sum()
    }
}

/// What a commit came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
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
    /// Jobs of which most went wrong: what is in flight of them is not worth ending.
    pub called_off: Vec<JobId>,
}

/// What a commit does to one job's counters.
#[derive(Debug, Default, PartialEq)]
struct Ledger {
    pending: i64,
    running: i64,
    done: i64,
    failed: i64,
    errors: i64,
    weight: i64,
    labels: LabelCounts,
    /// Added, removed, updated.
    topics: FxHashMap<TopicNo, [i64; 3]>,
    tallies: FxHashMap<(&'static str, &'static str), i64>,
    /// How its tasks ended, in order; true: an error.
    endings: Vec<bool>,
}

impl Ledger {
    fn tally(&mut self, what: &'static str, word: &'static str) {
        *self.tallies.entry((what, word)).or_default() += 1;
    }

    fn count_labels(&mut self, counts: LabelCounts, edits: &[Edit]) {
        self.labels.add(counts);
        for edit in edits {
            let (at, label) = match (edit.old, edit.new) {
                (None, Some(new)) => (0, new),
                (Some(old), None) => (1, old),
                (Some(_), Some(new)) => (2, new),
                (None, None) => continue,
            };
            self.topics.entry(label.place.topic).or_default()[at] += 1;
        }
    }
}

impl Store {
    /// Commits what has come of some leases. `max_attempts` is how often a transient failure is tried in all.
    pub fn commit(&self, outcomes: Arc<[LeaseOutcome]>, max_attempts: u32, now: Millis) -> Result<Committed> {
        self.write(move |tx| {
            let mut commit = Commit {
                tx,
                put_reading: PutReading::new(tx)?,
                now,
                max_attempts,
                counters: Counters::default(),
                ledgers: FxHashMap::default(),
                newer_topics: FxHashMap::default(),
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
    put_reading: PutReading<'a>,
    now: Millis,
    max_attempts: u32,
    counters: Counters,
    ledgers: FxHashMap<JobId, Ledger>,
    /// Per newer revision and program, its topics: looked up once a commit.
    newer_topics: FxHashMap<(Revision, ProgramNo), Vec<TopicNo>>,
    total: Committed,
}

/// What the findings of one lease add up to, while they are applied.
struct Sum {
    ledger: Ledger,
    changes: Changes,
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
                self.each(outcome, |commit, sum, done| commit.task(outcome, sum, done))?;
                if outcome.ends { self.give_tasks_back(outcome.lease) } else { Ok(()) }
            }
        }
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
            let first = pos + done;
            let sum = sums::of([integer(job), integer(first), integer(n), integer(self.now), Blob(&entries)]);
            self.tx
                .prepare_cached("INSERT INTO result (job, pos, n, at, entries, sum) VALUES (?, ?, ?, ?, ?, ?)")?
                .execute(params![job, first, n, self.now, entries, sum])?;
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

    /// Calls `apply` with each finding, and writes what they add up to besides.
    fn each(
        &mut self,
        outcome: &LeaseOutcome,
        mut apply: impl FnMut(&mut Self, &mut Sum, &Done) -> Result<()>,
    ) -> Result<()> {
        let job = outcome.lease.job;
        let revision = match outcome.deed {
            Deed::Label { revision, .. } => revision,
            Deed::TakeBack => 0,
        };
        let ledger = self.ledgers.remove(&job);
        let concerned = ledger.is_some();
        let ledger = ledger.unwrap_or_default();
        let mut sum = Sum { ledger, changes: Changes::new(Provenance { job, revision, at: self.now }) };
        for done in &outcome.done {
            apply(self, &mut sum, done)?;
        }
        sum.changes.flush(self.tx)?;
        // Late words on tasks that were given to others come to nothing: their job may be gone by now.
        if concerned || sum.ledger != Ledger::default() {
            self.ledgers.insert(job, sum.ledger);
        }
        Ok(())
    }

    fn entries(&mut self, outcome: &LeaseOutcome) -> Result<Vec<u8>> {
        let mut entries = Vec::with_capacity(outcome.done.len() * 10);
        self.each(outcome, |commit, sum, done| {
            let ending = commit.finish(outcome, sum, done)?;
            commit.account(outcome, &mut sum.ledger, &ending);
            match &ending {
                Ending::Entry(entry) => entry.pack(&mut entries),
                Ending::Elsewhere => Entry::elsewhere().pack(&mut entries),
                Ending::Error(_) | Ending::Again { .. } => {
                    commit.own_row(outcome.lease.job, done, &ending)?;
                    Entry::elsewhere().pack(&mut entries);
                }
            }
            Ok(())
        })?;
        Ok(entries)
    }

    fn account(&mut self, outcome: &LeaseOutcome, ledger: &mut Ledger, ending: &Ending) {
        match ending {
            Ending::Elsewhere => return,
            Ending::Again { charged, .. } => {
                ledger.running -= 1;
                ledger.pending += 1;
                self.total.again += 1;
                self.tx.count(|tally| if *charged { tally.retries += 1 } else { tally.read_again += 1 });
                return;
            }
            Ending::Error(_) => {
                ledger.failed += 1;
                ledger.errors += 1;
                self.total.failed += 1;
                self.total.errors += 1;
                ledger.tally("reason", Reason::Error.as_str());
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
                    ledger.tally("reason", Reason::NoTopicsDetected.as_str());
                }
            },
        }
        ledger.running -= 1;
        ledger.weight += outcome.weight_each;
        ledger.endings.push(matches!(ending, Ending::Error(_)));
        self.total.finished += 1;
    }

    /// Writes what becomes of an item's labels, as history or as what a dry run would have made; its number, or 0.
    fn put_edits(&self, outcome: &LeaseOutcome, changes: &mut Changes, item: i64, edits: &[Edit]) -> Result<i64> {
        match edits {
            [] => Ok(0),
            edits if outcome.dry_run => self.tx.put_dry_change(item, edits, changes.by()),
            edits => Ok(changes.push(self.tx, item, edits)),
        }
    }

    fn close(self) -> Result<Committed> {
        let Commit { tx, mut put_reading, now, counters, ledgers, mut total, .. } = self;
        put_reading.flush()?;
        counters.flush(tx)?;
        for (job, ledger) in ledgers {
            let counters = params![
                job,
                ledger.pending,
                ledger.running,
                ledger.done,
                ledger.failed,
                ledger.errors,
                ledger.labels.added,
                ledger.labels.removed,
                ledger.labels.updated,
                ledger.labels.kept,
                ledger.weight
            ];
            let (lane, dry_run) = tx
                .prepare_cached(
                    "UPDATE job SET pending = pending + ?2, running = running + ?3, done = done + ?4,
                       failed = failed + ?5, errors = errors + ?6, labels_added = labels_added + ?7,
                       labels_removed = labels_removed + ?8, labels_updated = labels_updated + ?9,
                       labels_kept = labels_kept + ?10, weight_done = weight_done + ?11 WHERE id = ?1
                     RETURNING lane, dry_run",
                )?
                .query_row(counters, |row| Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?)))?;
            let lane = Lane::from_word(&lane).ok_or_else(|| Error::Damaged("job.lane".into()))?;
            for ((what, word), n) in ledger.tallies {
                let state = if what == "outcome" { TaskState::Done } else { TaskState::Failed };
                tx.count(|tally| tally.ended(lane, state, word, n));
                tx.prepare_cached(
                    "INSERT INTO tally (job, what, word, n) VALUES (?, ?, ?, ?)
                     ON CONFLICT DO UPDATE SET n = n + excluded.n",
                )?
                .execute(params![job, what, word, n])?;
            }
            if !dry_run {
                tx.count(|tally| tally.labels.add(ledger.labels));
            }
            for (topic, [added, removed, updated]) in ledger.topics {
                tx.prepare_cached(
                    "INSERT INTO job_topic (job, topic, added, removed, updated, sum)
                     VALUES (?1, ?2, ?3, ?4, ?5, row_sum(?1, ?2, ?3, ?4, ?5))
                     ON CONFLICT DO UPDATE SET added = added + ?3, removed = removed + ?4, updated = updated + ?5,
                       sum = row_sum(job, topic, added + ?3, removed + ?4, updated + ?5)",
                )?
                .execute(params![job, topic, added, removed, updated])?;
            }
            if tx.note_endings(job, &ledger.endings, now)? {
                total.called_off.push(job);
            }
            tx.settle_job(job, now)?;
        }
        Ok(total)
    }
}
