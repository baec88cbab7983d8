//! The commit loop: gathers outcomes, those of bulk jobs for a moment, and has all of them committed at once.

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
/// Bulk outcomes that may wait for the commit loop, in leases: with fewer, the workers stand still while the writer waits
/// for its turn at the processor.
pub const BACKLOG: usize = 3 * LEASES;
/// How long at most a bulk job's outcomes wait to be committed with others: about as long as a full commit takes.
const UNTIL_THERE_IS_MORE: Duration = Duration::from_millis(30);
/// Interval between checks of the hold. The lease loop ends the hold.
const HOLD_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// What the workers send, by lane.
pub struct Outcomes {
    pub live: Receiver<LeaseOutcome>,
    pub bulk: Receiver<LeaseOutcome>,
}

impl Outcomes {
    /// The next one, those of the live lane first. None at the time `until`, and when all workers have ended.
    fn recv(&self, until: Option<Instant>) -> Option<(Lane, LeaseOutcome)> {
        let timeout = until.map_or_else(never, at);
        let (outcome, lane) = select_biased! {
            recv(self.live) -> outcome => (outcome, Lane::Live),
            recv(self.bulk) -> outcome => (outcome, Lane::Bulk),
            recv(timeout) -> _ => return None,
        };
        if let Ok(outcome) = outcome {
            return Some((lane, outcome));
        }
        // The workers of this lane have ended.
        let (others, lane) = match lane {
            Lane::Live => (&self.bulk, Lane::Bulk),
            Lane::Bulk => (&self.live, Lane::Live),
        };
        let outcome = until.map_or_else(|| others.recv().ok(), |until| others.recv_deadline(until).ok());
        outcome.map(|outcome| (lane, outcome))
    }

    fn try_recv(&self) -> Option<(Lane, LeaseOutcome)> {
        let live = self.live.try_recv().map(|outcome| (Lane::Live, outcome));
        live.or_else(|_| self.bulk.try_recv().map(|outcome| (Lane::Bulk, outcome))).ok()
    }
}

pub fn commit_until_closed(shared: &Shared, outcomes: &Outcomes) {
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
    more: &Outcomes,
    in_flight: impl Fn() -> usize,
    patience: Duration,
) -> Vec<LeaseOutcome> {
    let until = Instant::now() + patience;
    let (mut live, mut cost, mut ended) = (lane == Lane::Live, first.cost(), usize::from(first.ends));
    let mut batch = vec![first];
    while cost < TOGETHER {
        let more_to_come = ended < in_flight();
        let next = if more_to_come && !live { more.recv(Some(until)) } else { more.try_recv() };
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

    /// Senders of the live and the bulk lane.
    fn channels() -> ([Sender<LeaseOutcome>; 2], Outcomes) {
        let ((live_sender, live), (bulk_sender, bulk)) = (unbounded(), unbounded());
        ([live_sender, bulk_sender], Outcomes { live, bulk })
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
    fn a_live_outcome_passes_those_of_bulk_jobs() {
        let ([live, bulk], more) = channels();
        (0..BACKLOG as i64).for_each(|lease| bulk.send(outcome(lease, true)).unwrap());
        live.send(outcome(-1, true)).unwrap();
        assert_eq!(more.recv(None).map(|(lane, next)| (lane, next.lease.lease)), Some((Lane::Live, -1)));
        assert_eq!(more.recv(None).map(|(lane, next)| (lane, next.lease.lease)), Some((Lane::Bulk, 0)));
    }

    #[test]
    fn outcomes_end_when_the_workers_of_both_lanes_have_ended() {
        for first in [0, 1] {
            let (senders, more) = channels();
            let mut senders = senders.map(Some);
            senders[first] = None;
            let other = senders[1 - first].take().unwrap();
            assert!(more.recv(Some(Instant::now())).is_none(), "nothing is there yet");
            other.send(outcome(1, true)).unwrap();
            drop(other);
            assert_eq!(more.recv(None).map(|(_, next)| next.lease.lease), Some(1));
            assert!(more.recv(None).is_none());
        }
    }

    #[test]
    fn what_costs_much_is_committed_with_little_else() {
        let ([_live, bulk], more) = channels();
        let edits = vec![Edit { old: None, new: None }; 8 * TOGETHER / 2];
        let finding = Finding::TakeBack(Undo { edition: 1, edits, refreshed: Vec::new() });
        let done = Done { pos: 0, key: Key { item: 1, asked: None }, attempts: 1, uncharged: 0, finding };
        let costly = |lease| LeaseOutcome { done: vec![done.clone()], ..outcome(lease, true) };
        [2, 3].into_iter().for_each(|lease| bulk.send(costly(lease)).unwrap());
        assert_eq!(numbers(&gather((Lane::Bulk, costly(1)), &more, || 9, FOREVER)), [1, 2]);
    }

    #[test]
    fn a_lease_that_takes_long_is_not_waited_for() {
        let (_senders, more) = channels();
        assert_eq!(numbers(&gather((Lane::Bulk, outcome(1, true)), &more, || 9, Duration::ZERO)), [1]);
    }
}
