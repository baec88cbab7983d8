//! The breaker's memory.

use std::collections::VecDeque;

/// How the last tasks of a job ended: the breaker ends a job of which most go wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recent {
    /// True: an error. Oldest first.
    endings: VecDeque<bool>,
}

impl Recent {
    /// So many endings are looked at.
    const WINDOW: usize = 200;
    /// With fewer nothing is said yet.
    const AT_LEAST: usize = 50;

    /// After `n` tasks that all ended well.
    pub fn after(n: i64) -> Recent {
        let n = usize::try_from(n).unwrap_or(0).min(Self::WINDOW);
        Recent { endings: std::iter::repeat_n(false, n).collect() }
    }

    /// Notes an ending, and answers whether more than half of the last ones are errors.
    pub fn push(&mut self, error: bool) -> bool {
        if self.endings.len() == Self::WINDOW {
            self.endings.pop_front();
        }
        self.endings.push_back(error);
        self.endings.len() >= Self::AT_LEAST && self.errors() * 2 > self.endings.len()
    }

    pub fn errors(&self) -> usize {
        self.endings.iter().filter(|&&error| error).count()
    }

    pub fn len(&self) -> usize {
        self.endings.len()
    }

    pub fn is_empty(&self) -> bool {
        self.endings.is_empty()
    }

    /// A byte an ending, as `job.recent` has it.
    pub fn bytes(&self) -> Vec<u8> {
        self.endings.iter().map(|&error| u8::from(error)).collect()
    }

    pub fn from_bytes(bytes: &[u8]) -> Recent {
        Recent { endings: bytes.iter().map(|&byte| byte != 0).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_breaker_trips_past_half_of_the_last_two_hundred_and_never_before_fifty() {
        let mut recent = Recent::default();
        assert!((0..49).all(|_| !recent.push(true)), "fewer than fifty say nothing");
        assert!(recent.push(true));
        // Half is not more than half.
        let mut recent = Recent::after(100);
        assert_eq!((0..).find(|_| recent.push(true)), Some(100));
        let mut recent = Recent::after(10_000);
        assert_eq!(recent.len(), 200);
        assert_eq!((0..).find(|_| recent.push(true)), Some(100));
        assert_eq!(Recent::from_bytes(&recent.bytes()), recent);
    }
}
