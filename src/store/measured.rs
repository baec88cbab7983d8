//! What the store has done since it was opened. Only what is committed counts, so that the numbers agree with the rows.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use super::ImportCounts;
use crate::histogram::Histogram;
use crate::job::{JobState, LabelCounts, Lane, TaskState};

/// What became of tasks, labels, jobs and lines: of one verb, of a transaction, or since the start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// Tasks that ended, by lane, state and the outcome or the reason.
    pub tasks: BTreeMap<(Lane, TaskState, String), u64>,
    /// Attempts that are to be repeated after an error that may pass.
    pub retries: u64,
    /// Items that changed between being read and committed, and are read again.
    pub read_again: u64,
    /// Labels that were written; those of a dry run are not.
    pub labels: LabelCounts,
    /// Jobs that ended, by state.
    pub jobs: BTreeMap<JobState, u64>,
    pub imported: ImportCounts,
}

impl Tally {
    pub(super) fn ended(&mut self, lane: Lane, state: TaskState, word: &str, n: i64) {
        // Nothing is taken back: a counter that falls would count as one that began anew.
        let n = u64::try_from(n).unwrap_or(0);
        if n > 0 {
            *self.tasks.entry((lane, state, word.to_owned())).or_default() += n;
        }
    }

    pub(super) fn add(&mut self, other: Tally) {
        let Tally { tasks, retries, read_again, labels, jobs, imported } = other;
        for (key, n) in tasks {
            *self.tasks.entry(key).or_default() += n;
        }
        for (key, n) in jobs {
            *self.jobs.entry(key).or_default() += n;
        }
        self.retries += retries;
        self.read_again += read_again;
        self.labels.add(labels);
        self.imported.add(imported);
    }
}

/// The store's own instruments.
#[derive(Debug)]
pub struct Measured {
    /// From the beginning of a transaction to the end of its COMMIT.
    pub commits: Histogram,
    /// Folding the write-ahead log back into the database.
    pub checkpoints: Histogram,
    rolled_back: AtomicU64,
    tally: Mutex<Tally>,
}

impl Measured {
    pub(super) fn new() -> Measured {
        Measured {
            commits: Histogram::times(),
            checkpoints: Histogram::times(),
            rolled_back: AtomicU64::new(0),
            tally: Mutex::default(),
        }
    }

    pub(super) fn committed(&self, tally: Tally) {
        self.inner().add(tally);
    }

    pub(super) fn rolled_back(&self) {
        self.rolled_back.fetch_add(1, Ordering::Relaxed);
    }

    /// Transactions that came to nothing.
    pub fn rollbacks(&self) -> u64 {
        self.rolled_back.load(Ordering::Relaxed)
    }

    pub fn tally(&self) -> Tally {
        self.inner().clone()
    }

    fn inner(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
