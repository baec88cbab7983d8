//! The commit loop: gathers outcomes, those of bulk jobs for a moment, and has all of them committed at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use log::warn;

use super::Shared;
use crate::job::Lane;
use crate::store::{Committed, Error, LeaseOutcome};

/// Items in one commit at most: what a live item may have to wait for.
const TOGETHER: usize = 1024;
/// How long at most a bulk job's outcomes wait to be committed with others.
const UNTIL_THERE_IS_MORE: Duration = Duration::from_millis(10);
/// How long a full disk is left alone before the commit is tried again.
const UNTIL_THERE_IS_ROOM: Duration = Duration::from_secs(1);

pub fn commit_until_closed(shared: &Shared, outcomes: &Receiver<(Lane, LeaseOutcome)>) {
    while let Ok(first) = outcomes.recv() {
        let batch: Arc<[LeaseOutcome]> = gather(shared, first, outcomes).into();
        let Some(committed) = commit(shared, &batch) else { return };
        if committed.fenced > 0 {
            warn!("{} outcomes came in under leases that were not theirs any more, and were dropped", committed.fenced);
        }
        // What is in flight of a job that was called off is not worth ending.
        committed.called_off.iter().for_each(|&job| shared.interrupt(job));
        shared.stats.committed(&batch, &committed, shared.now());
        shared.returned(batch.iter().filter(|outcome| outcome.ends).count());
    }
}

/// Takes what is there; where that is little, and nobody waits for it, what comes soon too.
fn gather(
    shared: &Shared,
    (lane, first): (Lane, LeaseOutcome),
    more: &Receiver<(Lane, LeaseOutcome)>,
) -> Vec<LeaseOutcome> {
    let until = Instant::now() + UNTIL_THERE_IS_MORE;
    let (mut live, mut items, mut ended) = (lane == Lane::Live, first.done.len(), usize::from(first.ends));
    let mut batch = vec![first];
    while items < TOGETHER {
        let more_to_come = ended < shared.in_flight();
        let next = if more_to_come && !live { more.recv_deadline(until).ok() } else { more.try_recv().ok() };
        let Some((lane, next)) = next else { break };
        live |= lane == Lane::Live;
        items += next.done.len();
        ended += usize::from(next.ends);
        batch.push(next);
    }
    batch
}

/// Commits, however long the disk is full. None when the store cannot be written to any more.
fn commit(shared: &Shared, batch: &Arc<[LeaseOutcome]>) -> Option<Committed> {
    loop {
        match shared.store.commit(Arc::clone(batch), shared.settings.max_attempts, shared.now()) {
            // It says nothing of `min_free_bytes`: the lease loop looks at that.
            Ok(committed) => return Some(committed),
            Err(Error::Full) => {
                shared.disk_is_full();
                if shared.stopping() {
                    // Nothing is lost: the leases go back at the next start.
                    return None;
                }
                std::thread::sleep(UNTIL_THERE_IS_ROOM);
            }
            Err(error) => {
                shared.fail(format!("a commit failed: {error}"));
                return None;
            }
        }
    }
}
