//! The commit loop: receives outcomes, live before bulk, waits briefly for more bulk outcomes, and commits them together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, at, never, select_biased};
use log::warn;

use super::Shared;
use super::stats::LEASE_ITEMS;
use crate::job::Lane;
use crate::store::{Committed, Error, LeaseOutcome};

/// Whole leases in one commit, about: each commit writes the same few pages anew, and a live item may have to wait for two.
pub const LEASES: usize = 16;
/// What one commit costs at most, about, as [`LeaseOutcome::cost`].
const TOGETHER: usize = LEASES * LEASE_ITEMS;
/// Capacity of the bulk outcome channel, in outcomes: three commits' worth. With one, the workers were blocked while the
/// writer thread waited for a CPU.
pub const BACKLOG: usize = 3 * LEASES;
/// Longest wait for more bulk outcomes: workers take some 20 ms for a full commit's worth of quick items.
const UNTIL_THERE_IS_MORE: Duration = Duration::from_millis(30);
/// Interval between checks of the hold. The lease loop ends the hold.
const HOLD_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Receivers of the workers' outcomes, one per lane.
pub struct OutcomeReceivers {
    pub live: Receiver<LeaseOutcome>,
    pub bulk: Receiver<LeaseOutcome>,
}

impl OutcomeReceivers {
    /// Receives the next outcome, live before bulk. None from `deadline` on, and once both channels are closed and empty.
    fn recv(&self, deadline: Option<Instant>) -> Option<(Lane, LeaseOutcome)> {
        let timeout = deadline.map_or_else(never, at);
        let (outcome, lane) = select_biased! {
            recv(self.live) -> outcome => (outcome, Lane::Live),
            recv(self.bulk) -> outcome => (outcome, Lane::Bulk),
            recv(timeout) -> _ => return None,
        };
        if let Ok(outcome) = outcome {
            return Some((lane, outcome));
        }
        // The channel of this lane is closed: only the other one can bring more.
        let (other, lane) = match lane {
            Lane::Live => (&self.bulk, Lane::Bulk),
            Lane::Bulk => (&self.live, Lane::Live),
        };
        select_biased! {
            recv(other) -> outcome => outcome.ok().map(|outcome| (lane, outcome)),
            recv(timeout) -> _ => None,
        }
    }
}

pub fn commit_until_closed(shared: &Shared, outcomes: &OutcomeReceivers) {
    while let Some(first) = outcomes.recv(None) {
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
    more: &OutcomeReceivers,
    in_flight: impl Fn() -> usize,
    patience: Duration,
) -> Vec<LeaseOutcome> {
    let begun = Instant::now();
    let (mut live, mut cost, mut ended) = (lane == Lane::Live, first.cost(), usize::from(first.ends));
    let mut batch = vec![first];
    // However many live outcomes there are, bulk jobs go on.
    if live && let Ok(outcome) = more.bulk.try_recv() {
        cost += outcome.cost();
        ended += usize::from(outcome.ends);
        batch.push(outcome);
    }
    while cost < TOGETHER {
        let more_to_come = ended < in_flight();
        let deadline = if more_to_come && !live { begun + patience } else { begun };
        let Some((lane, next)) = more.recv(Some(deadline)) else { break };
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
    use crossbeam_channel::{Sender, unbounded};

    use super::*;
    use crate::label::Edit;
    use crate::store::{Deed, Done, Finding, Key, LeaseId, Source, Undo};

    /// Longer than any test may take: who waits it out has waited where there was nothing to wait for.
    const FOREVER: Duration = Duration::from_secs(600);

    fn outcome(lease: i64, ends: bool) -> LeaseOutcome {
        let lease = LeaseId { job: 1, source: Source::Chunk(0), epoch: 1, lease };
        LeaseOutcome { lease, weight_each: 1, deed: Deed::TakeBack, dry_run: false, done: Vec::new(), ends }
    }

    /// An item that costs half of what one commit may.
    fn half_a_commit() -> Done {
        let edits = vec![Edit { old: None, new: None }; 8 * TOGETHER / 2];
        let finding = Finding::TakeBack(Undo { edition: 1, edits, refreshed: Vec::new() });
        Done { pos: 0, key: Key { item: 1, asked: None }, attempts: 1, uncharged: 0, finding }
    }

    /// The live sender, the bulk sender, and their receivers.
    fn channels() -> ([Sender<LeaseOutcome>; 2], OutcomeReceivers) {
        let ((live_sender, live), (bulk_sender, bulk)) = (unbounded(), unbounded());
        ([live_sender, bulk_sender], OutcomeReceivers { live, bulk })
    }

    fn numbers(batch: &[LeaseOutcome]) -> Vec<i64> {
        batch.iter().map(|outcome| outcome.lease.lease).collect()
    }

    #[test]
    fn a_bulk_outcome_waits_for_the_leases_that_are_out_and_no_longer() {
        let ([_live, bulk], more) = channels();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // A piece of a lease does not end it.
                for (lease, ends) in [(2, false), (2, true), (3, true)] {
                    bulk.send(outcome(lease, ends)).unwrap();
                }
            });
            let begun = Instant::now();
            assert_eq!(numbers(&gather((Lane::Bulk, outcome(1, true)), &more, || 3, FOREVER)), [1, 2, 2, 3]);
            assert!(begun.elapsed() < FOREVER, "nothing else was out");
        });
    }

    #[test]
    fn a_live_outcome_waits_for_nobody_and_ends_the_wait_of_others() {
        let ([live, bulk], more) = channels();
        let begun = Instant::now();
        assert_eq!(numbers(&gather((Lane::Live, outcome(1, true)), &more, || 9, FOREVER)), [1]);
        bulk.send(outcome(3, true)).unwrap();
        live.send(outcome(4, true)).unwrap();
        assert_eq!(numbers(&gather((Lane::Bulk, outcome(2, true)), &more, || 9, FOREVER)), [2, 4, 3]);
        assert!(begun.elapsed() < FOREVER);
    }

    #[test]
    fn live_outcomes_however_many_leave_bulk_outcomes_a_place() {
        let ([live, bulk], more) = channels();
        let costly = |lease| LeaseOutcome { done: vec![half_a_commit()], ..outcome(lease, true) };
        bulk.send(outcome(9, true)).unwrap();
        [2, 3].into_iter().for_each(|lease| live.send(costly(lease)).unwrap());
        assert_eq!(numbers(&gather((Lane::Live, costly(1)), &more, || 9, FOREVER)), [1, 9, 2]);
    }

    #[test]
    fn live_outcomes_are_received_before_bulk_outcomes() {
        let ([live, bulk], more) = channels();
        (0..BACKLOG as i64).for_each(|lease| bulk.send(outcome(lease, true)).unwrap());
        live.send(outcome(-1, true)).unwrap();
        assert_eq!(more.recv(None).map(|(lane, next)| (lane, next.lease.lease)), Some((Lane::Live, -1)));
        assert_eq!(more.recv(None).map(|(lane, next)| (lane, next.lease.lease)), Some((Lane::Bulk, 0)));
    }

    #[test]
    fn recv_returns_none_once_both_channels_are_closed() {
        for live_ends_first in [true, false] {
            let ([live, bulk], more) = channels();
            let (ended, open) = if live_ends_first { (live, bulk) } else { (bulk, live) };
            drop(ended);
            assert!(more.recv(Some(Instant::now())).is_none(), "the other channel is open and empty");
            open.send(outcome(1, true)).unwrap();
            drop(open);
            assert_eq!(more.recv(None).map(|(_, next)| next.lease.lease), Some(1));
            assert!(more.recv(None).is_none());
        }
    }

    #[test]
    fn what_costs_much_is_committed_with_little_else() {
        let ([_live, bulk], more) = channels();
        let costly = |lease| LeaseOutcome { done: vec![half_a_commit()], ..outcome(lease, true) };
        [2, 3].into_iter().for_each(|lease| bulk.send(costly(lease)).unwrap());
        assert_eq!(numbers(&gather((Lane::Bulk, costly(1)), &more, || 9, FOREVER)), [1, 2]);
    }

    #[test]
    fn a_lease_that_takes_long_is_not_waited_for() {
        let (_senders, more) = channels();
        assert_eq!(numbers(&gather((Lane::Bulk, outcome(1, true)), &more, || 9, Duration::ZERO)), [1]);
    }
}
