//! The prune loop: what is kept no longer goes in small steps, with pauses that leave the writer to the queue.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use log::warn;

use super::Shared;
use crate::store::Result;

/// How often what has grown too old is looked for.
const EVERY: Duration = Duration::from_secs(15 * 60);
/// After a step that took t, nothing for this many times t.
const REST: u32 = 4;

pub fn prune_until_stopped(shared: &Shared, wake: &Receiver<()>) {
    while !shared.stopping() {
        match prune_all(shared, wake) {
            // What is left goes at the next look: nothing depends on it.
            Err(error) => warn!("pruning: {error}"),
            Ok(()) if shared.stopping() => return,
            Ok(()) => {}
        }
        if let Err(RecvTimeoutError::Disconnected) = wake.recv_timeout(EVERY) {
            return;
        }
    }
}

fn prune_all(shared: &Shared, wake: &Receiver<()>) -> Result<()> {
    let prune = || {
        let now = shared.now();
        shared.store.prune(now - shared.settings.retention, now)
    };
    loop {
        let mut pruned = false;
        while step(shared, wake, prune)? {
            pruned = true;
        }
        if !pruned {
            return Ok(());
        }
        // While space was given back, somebody may have asked for more to be pruned.
        while step(shared, wake, || shared.store.give_back())? {}
    }
}

/// One step, and the rest after it. False when there was nothing to do, or the daemon stops.
fn step(shared: &Shared, wake: &Receiver<()>, act: impl Fn() -> Result<bool>) -> Result<bool> {
    // On a full disk it would take the space that pause and cancel need.
    if shared.stopping() || shared.held() {
        return Ok(false);
    }
    let begun = Instant::now();
    let more = act()?;
    if more {
        // Who wakes this loop wants it to go on. After the last step a wake-up is left for the next round.
        let _ = wake.recv_timeout(begun.elapsed() * REST);
    }
    Ok(more)
}
