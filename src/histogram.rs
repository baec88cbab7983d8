//! A histogram that any thread adds to without waiting: what took how long, or how many came at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Nanoseconds, each bound about three times the one before: from a short analysis to a disk that is in trouble.
pub const TIMES: &[u64] = &[
    10_000,
    30_000,
    100_000,
    300_000,
    1_000_000,
    3_000_000,
    10_000_000,
    30_000_000,
    100_000_000,
    300_000_000,
    1_000_000_000,
    3_000_000_000,
    10_000_000_000,
    30_000_000_000,
];

/// Counts what is observed by the first bound that it does not pass, and adds it up.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    /// One more than there are bounds: the last is for what passes them all.
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// A histogram at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    pub bounds: &'static [u64],
    /// Each holds those before it, too; the last is the number of all.
    pub up_to: Vec<u64>,
    pub sum: u64,
}

impl Histogram {
    pub fn new(bounds: &'static [u64]) -> Histogram {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram { bounds, buckets, sum: AtomicU64::new(0) }
    }

    pub fn times() -> Histogram {
        Histogram::new(TIMES)
    }

    pub fn observe(&self, value: u64) {
        let at = self.bounds.partition_point(|&bound| bound < value);
        self.buckets[at].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    pub fn took(&self, time: Duration) {
        self.observe(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Adds what another one of the same bounds has counted, which begins anew.
    pub fn absorb(&self, other: &Histogram) {
        for (to, from) in self.buckets.iter().zip(&other.buckets).chain([(&self.sum, &other.sum)]) {
            match from.swap(0, Ordering::Relaxed) {
                0 => {}
                n => _ = to.fetch_add(n, Ordering::Relaxed),
            }
        }
    }

    pub fn observed(&self) -> Observed {
        let mut all = 0;
        let up_to = self.buckets.iter().map(|bucket| {
            all += bucket.load(Ordering::Relaxed);
            all
        });
        Observed { bounds: self.bounds, up_to: up_to.collect(), sum: self.sum.load(Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_under_each_bound_that_it_does_not_pass() {
        let histogram = Histogram::new(&[1, 10, 100]);
        for value in [0, 1, 2, 10, 11, 100, 101, 5_000] {
            histogram.observe(value);
        }
        let expected = Observed { bounds: &[1, 10, 100], up_to: vec![2, 4, 6, 8], sum: 5_225 };
        assert_eq!(histogram.observed(), expected);
    }

    #[test]
    fn times_are_counted_in_nanoseconds() {
        assert!(TIMES.is_sorted());
        let histogram = Histogram::times();
        histogram.took(Duration::from_millis(1));
        histogram.took(Duration::from_secs(60));
        let observed = histogram.observed();
        assert_eq!(observed.sum, 60_001_000_000);
        assert_eq!((observed.up_to[3], observed.up_to[4], observed.up_to[14]), (0, 1, 2));
    }
}
