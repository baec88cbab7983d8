//! The commit loop: gathers outcomes, those of bulk jobs for a moment, and has all of them committed at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use log::warn;

use super::Shared;
use super::stats::LEASE_ITEMS;
use crate::job::Lane;
use crate::store::{Committed, Error, LeaseOutcome};

/// Whole leases in one commit, about: each commit writes the same few pages anew, and a live item may have to wait for two.
pub const LEASES: usize = 16;
/// What one commit costs at most, about, as [`LeaseOutcome::cost`].
const TOGETHER: usize = LEASES * LEASE_ITEMS;
/// How long at most a bulk job's outcomes wait to be committed with others.
const UNTIL_THERE_IS_MORE: Duration = Duration::from_millis(10);
/// Interval between checks of the hold. The lease loop ends the hold.
const HOLD_POLL_INTERVAL: Duration = Duration::from_millis(100);

pub fn commit_until_closed(shared: &Shared, outcomes: &Receiver<(Lane, LeaseOutcome)>) {
    while let Ok(first) = outcomes.recv() {
        let batch: Arc<[LeaseOutcome]> = gather(first, outcomes, || shared.in_flight(), UNTIL_THERE_IS_MORE).into();
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

/// Takes what is there; where that is little, and nobody waits for it, what comes soon too: as long as leases are out of
/// which it can come.
fn gather(
    (lane, first): (Lane, LeaseOutcome),
    more: &Receiver<(Lane, LeaseOutcome)>,
    in_flight: impl Fn() -> usize,
    patience: Duration,
) -> Vec<LeaseOutcome> {
    let until = Instant::now() + patience;
    let (mut live, mut cost, mut ended) = (lane == Lane::Live, first.cost(), usize::from(first.ends));
    let mut batch = vec![first];
    while cost < TOGETHER {
        let more_to_come = ended < in_flight();
        let next = if more_to_come && !live { more.recv_deadline(until).ok() } else { more.try_recv().ok() };
        let Some((lane, next)) = next else { break };
        live |= lane == Lane::Live;
        cost += next.cost();
        ended += usize::from(next.ends);
        batch.push(next);
    }
    batch
}

/// Commits, however long the disk is full. None when the store cannot be written to any more.
fn commit(shared: &Shared, batch: &Arc<[LeaseOutcome]>) -> Option<Committed> {
    loop {
        match shared.store.commit(Arc::clone(batch), shared.settings.max_attempts, shared.now()) {
            Ok(committed) => return Some(committed),
            Err(Error::Full) => {
                shared.disk_is_full();
                // No attempt before there is room: it would take the space of the reserve.
                while shared.held() {
                    if shared.stopping() {
                        // Nothing is lost: the leases go back at the next start.
                        return None;
                    }
                    std::thread::sleep(HOLD_POLL_INTERVAL);
                }
            }
            Err(error) => {
                shared.fail(format!("a commit failed: {error}"));
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::unbounded;

    use super::*;
    use crate::label::Edit;
    use crate::store::{Deed, Done, Finding, Key, LeaseId, Source, Undo};

    /// Longer than any test may take: who waits it out has waited where there was nothing to wait for.
    const FOREVER: Duration = Duration::from_secs(600);

    fn outcome(lease: i64, ends: bool) -> LeaseOutcome {
        let lease = LeaseId { job: 1, source: Source::Chunk(0), epoch: 1, lease };
        LeaseOutcome { lease, weight_each: 1, deed: Deed::TakeBack, dry_run: false, done: Vec::new(), ends }
    }

    fn numbers(batch: &[LeaseOutcome]) -> Vec<i64> {
        batch.iter().map(|outcome| outcome.lease.lease).collect()
    }

    #[test]
    fn a_bulk_outcome_waits_for_the_leases_that_are_out_and_no_longer() {
        let (sender, more) = unbounded();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // A piece of a lease does not end it.
                for (lease, ends) in [(2, false), (2, true), (3, true)] {
                    sender.send((Lane::Bulk, outcome(lease, ends))).unwrap();
                }
            });
            let begun = Instant::now();
            assert_eq!(numbers(&gather((Lane::Bulk, outcome(1, true)), &more, || 3, FOREVER)), [1, 2, 2, 3]);
            assert!(begun.elapsed() < FOREVER, "nothing else was out");
        });
    }

    #[test]
    fn a_live_outcome_waits_for_nobody_and_ends_the_wait_of_others() {
        let (sender, more) = unbounded();
        let begun = Instant::now();
        assert_eq!(numbers(&gather((Lane::Live, outcome(1, true)), &more, || 9, FOREVER)), [1]);
        sender.send((Lane::Bulk, outcome(3, true))).unwrap();
        sender.send((Lane::Live, outcome(4, true))).unwrap();
        assert_eq!(numbers(&gather((Lane::Bulk, outcome(2, true)), &more, || 9, FOREVER)), [2, 3, 4]);
        assert!(begun.elapsed() < FOREVER);
    }

    #[test]
    fn what_costs_much_is_committed_with_little_else() {
        let (sender, more) = unbounded();
        let edits = vec![Edit { old: None, new: None }; 8 * TOGETHER / 2];
        let finding = Finding::TakeBack(Undo { edition: 1, edits, refreshed: Vec::new() });
        let done = Done { pos: 0, key: Key { item: 1, asked: None }, attempts: 1, uncharged: 0, finding };
        let costly = |lease| (Lane::Bulk, LeaseOutcome { done: vec![done.clone()], ..outcome(lease, true) });
        [2, 3].into_iter().for_each(|lease| sender.send(costly(lease)).unwrap());
        assert_eq!(numbers(&gather(costly(1), &more, || 9, FOREVER)), [1, 2]);
    }

    #[test]
    fn a_lease_that_takes_long_is_not_waited_for() {
        let (_sender, more) = unbounded();
        assert_eq!(numbers(&gather((Lane::Bulk, outcome(1, true)), &more, || 9, Duration::ZERO)), [1]);
    }
}
