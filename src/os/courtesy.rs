//! Those who wait for an answer go before work that lasts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Whoever asked is taken to look on for so long, and to ask again.
const LOOKS_ON: Duration = Duration::from_secs(1);
/// How long a thread goes on at most while somebody looks on. The kernel by itself would have the others wait for
/// several milliseconds, whatever the priorities.
const TURN: Duration = Duration::from_micros(200);

/// Whether somebody looks on.
#[derive(Debug)]
pub struct Courtesy {
    start: Instant,
    /// Nanoseconds from the start until nobody looks on any more.
    until: AtomicU64,
}

impl Default for Courtesy {
    fn default() -> Courtesy {
        Courtesy { start: Instant::now(), until: AtomicU64::new(0) }
    }
}

impl Courtesy {
    /// Somebody asks.
    pub fn asked(&self) {
        let until = (self.start.elapsed() + LOOKS_ON).as_nanos();
        self.until.store(until.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn somebody_looks_on(&self, now: Instant) -> bool {
        now.duration_since(self.start).as_nanos() < self.until.load(Ordering::Relaxed).into()
    }
}

/// A thread's work since it last let others go before it.
#[derive(Debug)]
pub struct Turn {
    courtesy: Arc<Courtesy>,
    since: Instant,
}

impl Turn {
    pub fn new(courtesy: &Arc<Courtesy>) -> Turn {
        Turn { courtesy: Arc::clone(courtesy), since: Instant::now() }
    }

    /// Takes up work after having had none.
    pub fn begin(&mut self) {
        self.since = Instant::now();
    }

    /// Lets others go before, where that is due. To be called between two short pieces of work.
    pub fn give_way(&mut self) {
        let now = Instant::now();
        if now.duration_since(self.since) < TURN {
            return;
        }
        self.since = now;
        if self.courtesy.somebody_looks_on(now) {
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asked_looks_on_for_a_while() {
        let courtesy = Courtesy::default();
        assert!(!courtesy.somebody_looks_on(courtesy.start));
        courtesy.asked();
        let now = Instant::now();
        assert!(courtesy.somebody_looks_on(now));
        assert!(!courtesy.somebody_looks_on(now + LOOKS_ON));
    }
}
