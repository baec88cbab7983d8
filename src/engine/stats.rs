//! What the daemon has done since its start, and how fast each job goes.

use std::collections::VecDeque;
use std::sync::Mutex;

use rustc_hash::FxHashMap;

use crate::job::JobId;
use crate::model::Millis;
use crate::store::{Committed, Finding, LeaseOutcome};

/// Commits older than this say nothing about a job's speed now.
const WINDOW: Millis = 15_000;

#[derive(Debug, Default)]
pub struct Stats {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    total: Totals,
    /// Per job: (time, tasks) of the last commits.
    jobs: FxHashMap<JobId, VecDeque<(Millis, u64)>>,
}

/// Since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub commits: u64,
    pub done: u64,
    pub failed: u64,
}

impl Stats {
    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub fn committed(&self, batch: &[LeaseOutcome], committed: Committed, now: Millis) {
        let mut inner = self.inner();
        inner.total.commits += 1;
        inner.total.done += committed.finished - committed.failed;
        inner.total.failed += committed.failed;
        for outcome in batch {
            let counted = outcome.done.iter().filter(|done| done.finding != Finding::Elsewhere).count() as u64;
            if counted > 0 {
                inner.jobs.entry(outcome.lease.job).or_default().push_back((now, counted));
            }
        }
        inner.jobs.retain(|_, commits| {
            while commits.front().is_some_and(|(at, _)| *at < now - WINDOW) {
                commits.pop_front();
            }
            !commits.is_empty()
        });
    }

    pub fn totals(&self) -> Totals {
        self.inner().total
    }

    /// Tasks a second over the last commits of a job; None while there is nothing to tell it by.
    pub fn rate(&self, job: JobId, now: Millis) -> Option<f64> {
        let inner = self.inner();
        let commits = inner.jobs.get(&job)?;
        let recent = || commits.iter().filter(|(at, _)| *at >= now - WINDOW);
        let first = recent().next()?.0;
        // The first commit's tasks were done before it: they belong to no span that is known.
        let tasks: u64 = recent().skip_while(|(at, _)| *at == first).map(|(_, n)| n).sum();
        let seconds = (now - first) as f64 / 1000.0;
        (tasks > 0 && seconds > 0.0).then(|| tasks as f64 / seconds)
    }
}
