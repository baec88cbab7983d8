//! What the gate tells of itself: the connections that it holds, and the requests that it refused.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use super::refusal::Refusal;

/// Written by the gate's thread, read by any.
#[derive(Debug, Default)]
pub struct Counts {
    connections: AtomicUsize,
    refused: Mutex<BTreeMap<u16, u64>>,
}

impl Counts {
    /// Connections that were open when the gate last went to sleep.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Requests that no handler saw, by the status that they were answered with.
    pub fn refused(&self) -> BTreeMap<u16, u64> {
        self.inner().clone()
    }

    pub(super) fn hold(&self, connections: usize) {
        self.connections.store(connections, Ordering::Relaxed);
    }

    pub(super) fn refuse(&self, refusal: Refusal) {
        *self.inner().entry(refusal.status()).or_default() += 1;
    }

    fn inner(&self) -> MutexGuard<'_, BTreeMap<u16, u64>> {
        self.refused.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
