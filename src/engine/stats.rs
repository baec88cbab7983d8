//! What the daemon has done since its start, and how fast each job goes.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::histogram::Histogram;
use crate::job::JobId;
use crate::model::Millis;
use crate::store::{Committed, Finding, LeaseOutcome};

/// Commits older than this say little about a job's speed now; only a job that has no two younger ones is judged by them.
const WINDOW: Millis = 15_000;
/// Past this they say nothing.
const LONGEST_WINDOW: Millis = 600_000;
/// A lease is to take about this long, so that a slow job does not block the workers with what it has leased ahead.
const LEASE_TIME: Duration = Duration::from_millis(100);
/// Items in one lease at most.
pub const LEASE_ITEMS: usize = 256;
/// Of a job about which nothing is known yet.
const FIRST_LEASES: usize = 4;

/// Items of a commit, by which its size is told.
const BATCHES: &[u64] = &[1, 3, 10, 30, 100, 300, 1_000, 3_000, 5_000];

#[derive(Debug)]
pub struct Stats {
    inner: Mutex<Inner>,
    /// The labeller's time on one item.
    pub analyses: Histogram,
    /// How many items were committed together.
    pub batches: Histogram,
}

impl Default for Stats {
    fn default() -> Stats {
        Stats { inner: Mutex::default(), analyses: Histogram::times(), batches: Histogram::new(BATCHES) }
    }
}

#[derive(Debug, Default)]
struct Inner {
    total: Totals,
    jobs: FxHashMap<JobId, VecDeque<Progress>>,
    /// Per job the seconds that an item takes a worker, the last leases counting most.
    item_seconds: FxHashMap<JobId, f64>,
}

/// What one commit meant to one job.
#[derive(Debug, Clone, Copy)]
struct Progress {
    at: Millis,
    tasks: i64,
    weight: i64,
}

/// Since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub commits: u64,
    pub done: u64,
    pub failed: u64,
}

/// How fast a job goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Speed {
    pub tasks_per_second: f64,
    /// Of what is weighed in `job.weight`.
    pub weight_per_second: f64,
}

impl Stats {
    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub fn committed(&self, batch: &[LeaseOutcome], committed: &Committed, now: Millis) {
        // What was only given back is no item of a commit.
        match batch.iter().map(|outcome| outcome.done.len() as u64).sum() {
            0 => {}
            items => self.batches.observe(items),
        }
        let mut inner = self.inner();
        inner.total.commits += 1;
        inner.total.done += committed.finished - committed.failed;
        inner.total.failed += committed.failed;
        for outcome in batch {
            let tasks = outcome.done.iter().filter(|done| done.finding != Finding::Elsewhere).count() as i64;
            if tasks > 0 {
                let progress = Progress { at: now, tasks, weight: tasks * outcome.weight_each };
                inner.jobs.entry(outcome.lease.job).or_default().push_back(progress);
            }
        }
        inner.jobs.retain(|_, commits| {
            // Those of a time to come were made before the clock was set back.
            commits.retain(|commit| commit.at <= now);
            while commits.len() > 2 && commits[0].at < now - WINDOW {
                commits.pop_front();
            }
            commits.back().is_some_and(|last| last.at >= now - LONGEST_WINDOW)
        });
        let Inner { jobs, item_seconds, .. } = &mut *inner;
        item_seconds.retain(|job, _| jobs.contains_key(job));
    }

    pub fn totals(&self) -> Totals {
        self.inner().total
    }

    /// What is known of a job's speed does not hold any more.
    pub fn forget(&self, job: JobId) {
        self.inner().jobs.remove(&job);
    }

    /// The speed over the last commits of a job; None while there is nothing to tell it by.
    pub fn speed(&self, job: JobId, now: Millis) -> Option<Speed> {
        let inner = self.inner();
        let commits = inner.jobs.get(&job)?;
        let first = commits.front()?.at;
        // The first commit's tasks were done before it: they belong to no span that is known.
        let (mut tasks, mut weight) = (0, 0);
        for commit in commits.iter().skip_while(|commit| commit.at == first) {
            tasks += commit.tasks;
            weight += commit.weight;
        }
        let seconds = (now - first) as f64 / 1000.0;
        let per_second = |n: i64| n as f64 / seconds;
        (tasks > 0 && seconds > 0.0)
            .then(|| Speed { tasks_per_second: per_second(tasks), weight_per_second: per_second(weight) })
    }

    /// A worker took so long for so many items of a job.
    pub fn spent(&self, job: JobId, items: usize, time: Duration) {
        if items == 0 {
            return;
        }
        let seconds = time.as_secs_f64() / items as f64;
        let mut inner = self.inner();
        let known = inner.item_seconds.entry(job).or_insert(seconds);
        *known += (seconds - *known) / 4.0;
    }

    /// How many items of a job go into one lease.
    pub fn lease_items(&self, job: JobId) -> usize {
        match self.inner().item_seconds.get(&job) {
            None => FIRST_LEASES,
            Some(seconds) => ((LEASE_TIME.as_secs_f64() / seconds.max(1e-9)) as usize).clamp(1, LEASE_ITEMS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Deed, Done, Key, LeaseId, Source};

    fn outcome(job: JobId, tasks: usize, weight_each: i64) -> LeaseOutcome {
        let done =
            Done { pos: 0, key: Key { item: 1, asked: None }, attempts: 1, uncharged: 0, finding: Finding::Gone };
        LeaseOutcome {
            lease: LeaseId { job, source: Source::Chunk(0), epoch: 1, lease: 1 },
            weight_each,
            deed: Deed::TakeBack,
            dry_run: false,
            done: vec![done; tasks],
            ends: true,
        }
    }

    fn commit(stats: &Stats, tasks: usize, weight: i64, at: Millis) {
        stats.committed(&[outcome(1, tasks, weight)], &Committed::default(), at);
    }

    #[test]
    fn speed_is_that_of_the_last_seconds() {
        let stats = Stats::default();
        assert_eq!(stats.speed(1, 0), None);
        commit(&stats, 100, 10, 0);
        assert_eq!(stats.speed(1, 1_000), None, "one commit spans no time");
        commit(&stats, 100, 10, 1_000);
        assert_eq!(stats.speed(1, 1_000), Some(Speed { tasks_per_second: 100.0, weight_per_second: 1_000.0 }));
        for second in 2..40 {
            commit(&stats, 5, 10, second * 1_000);
        }
        assert_eq!(stats.speed(1, 39_000).map(|speed| speed.tasks_per_second), Some(5.0), "the fast ones are past");
        assert_eq!(stats.speed(1, 54_000).map(|speed| speed.tasks_per_second), Some(2.5), "it stands still by now");
        stats.forget(1);
        assert_eq!(stats.speed(1, 54_000), None);
    }

    #[test]
    fn a_job_slower_than_the_window_has_a_speed_too() {
        let stats = Stats::default();
        commit(&stats, 1, 10, 0);
        commit(&stats, 1, 10, 50_000);
        commit(&stats, 1, 10, 100_000);
        assert_eq!(stats.speed(1, 100_000).map(|speed| speed.tasks_per_second), Some(0.02));
    }

    #[test]
    fn slow_items_are_leased_few_at_a_time() {
        let stats = Stats::default();
        assert_eq!(stats.lease_items(1), FIRST_LEASES);
        stats.spent(1, 100, Duration::from_millis(1));
        assert_eq!(stats.lease_items(1), LEASE_ITEMS);
        for _ in 0..20 {
            stats.spent(1, 1, Duration::from_millis(50));
        }
        assert!(matches!(stats.lease_items(1), 1..=2));
    }
}
