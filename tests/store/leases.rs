//! Lease, commit, the fence, and what becomes of items after a death.

use std::sync::Arc;

use relabeld::job::{Filter, JobState, TaskState};
use relabeld::model::Kind;
use relabeld::store::{Committed, Error, Finding, Source};
use relabeld::wire::ItemKey;

use crate::common::{NOW, note, wish};
use crate::{ATTEMPTS, Desk, permanent, transient};

#[test]
fn an_item_that_stands_twice_in_a_lease_is_seen_as_the_first_of_them_left_it() {
    let desk = Desk::with_items(2);
    desk.import(&[note("n", 3, &["p"], "alpha")]);
    let key = |kind, id: &str, version| ItemKey { kind, id: id.into(), version };
    // Not in the order of their numbers: that is no reason to look an item up anew.
    let keys = [
        key(Kind::Conversation, "c001", None),
        key(Kind::Note, "n", None),
        key(Kind::Conversation, "c000", None),
        key(Kind::Note, "n", Some(3)),
    ];
    let job = desk.store.publish_list(wish(Filter::all()), &keys, 0, NOW).unwrap().job.id;
    desk.plan();
    let leased = desk.lease(job, 9);
    assert_eq!(leased.items.iter().map(|item| item.key.item).collect::<Vec<_>>(), [2, 3, 1, 3]);
    desk.finish(&leased);
    let outcomes: Vec<_> = desk.tasks(job).iter().map(|task| task.outcome.unwrap().as_str()).collect();
    assert_eq!(outcomes, ["changed", "changed", "changed", "unchanged"]);
    assert_eq!((desk.job(job).labels.added, desk.job(job).labels.kept), (3, 1));
    desk.check();
}

#[test]
fn a_job_is_leased_and_committed_piece_by_piece() {
    let desk = Desk::with_items(10);
    let job = desk.planned();
    assert_eq!(desk.job(job).counts.pending, 10);
    let leased = desk.lease(job, 6);
    assert_eq!(leased.items.iter().map(|item| item.pos).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    assert_eq!((desk.job(job).counts.pending, desk.job(job).counts.running), (4, 6));
    assert!(desk.lease_at(job, 6, NOW).is_none(), "a chunk has one lease at a time");

    let first = desk.outcome(&leased, 2, false, |item| desk.found(item));
    assert_eq!(desk.commit(first).finished, 2);
    assert_eq!(desk.states(job), [(TaskState::Pending, 4), (TaskState::Running, 4), (TaskState::Done, 2)].into());
    desk.check();

    // It ends with three items not begun: those go back.
    let mut rest = desk.outcome(&leased, 3, true, |item| desk.found(item));
    rest.done.drain(..2);
    assert_eq!(desk.commit(rest).finished, 1);
    assert_eq!((desk.job(job).counts.pending, desk.job(job).counts.running), (7, 0));
    let leased = desk.lease(job, 100);
    assert_eq!(leased.items[0].pos, 3);
    desk.finish(&leased);
    let job = desk.job(job);
    assert_eq!((job.state, job.counts.done, job.labels.added), (JobState::Completed, 10, 10));
    assert_eq!(job.finished_at, Some(NOW));
    desk.check();
}

#[test]
fn a_finish_under_an_older_epoch_changes_nothing() {
    let desk = Desk::with_items(3);
    let job = desk.planned();
    let late = desk.lease(job, 3);
    let outcome = desk.outcome(&late, 3, true, |item| desk.found(item));
    assert_eq!(desk.die(&[]).leases_given_back, 1);

    let before = (desk.job(job), desk.tasks(job));
    assert_eq!(desk.commit(outcome.clone()), Committed { fenced: 3, ..Committed::default() });
    assert_eq!((desk.job(job), desk.tasks(job)), before);
    assert_eq!(desk.store.changes_after(0, 10).unwrap(), []);

    // Nor while the same chunk is out under the new epoch, with the same lease number.
    let leased = desk.lease(job, 3);
    assert_eq!(leased.lease.lease, late.lease.lease, "or this test proves little");
    assert_eq!(desk.commit(outcome.clone()).fenced, 3);
    desk.finish(&leased);
    assert_eq!(desk.commit(outcome).fenced, 3);
    assert_eq!(desk.store.changes_after(0, 10).unwrap().len(), 3, "each task took effect once");
    desk.check();
}

#[test]
fn a_finish_under_another_lease_number_changes_nothing() {
    let desk = Desk::with_items(3);
    let job = desk.planned();
    let first = desk.lease(job, 3);
    let outcome = desk.outcome(&first, 3, true, |item| desk.found(item));
    desk.commit(desk.outcome(&first, 0, true, |_| Finding::Gone));
    let second = desk.lease(job, 3);
    assert_eq!(desk.commit(outcome), Committed { fenced: 3, ..Committed::default() });
    assert_eq!(desk.job(job).counts.running, 3);
    desk.finish(&second);
    assert_eq!(desk.job(job).counts.done, 3);
    desk.check();
}

#[test]
fn a_late_finish_of_an_item_with_a_row_of_its_own_changes_nothing() {
    let desk = Desk::with_items(1);
    let job = desk.planned();
    desk.commit(desk.outcome(&desk.lease(job, 1), 1, true, |_| transient(NOW)));
    let late = desk.lease(job, 1);
    assert_eq!(late.lease.source, Source::Tasks);
    let outcome = desk.outcome(&late, 1, true, |item| desk.found(item));
    let fenced = || {
        assert_eq!(desk.commit(outcome.clone()), Committed { fenced: 1, ..Committed::default() });
        assert_eq!(desk.states(job), [(TaskState::Running, 1)].into());
    };
    // Another number, under the same epoch.
    desk.commit(desk.outcome(&late, 0, true, |_| Finding::Gone));
    desk.lease(job, 1);
    fenced();
    // The same number, under a later epoch.
    desk.die(&[]);
    while desk.next_lease() + 1 < late.lease.lease {}
    let again = desk.lease(job, 1);
    assert_eq!(again.lease.lease, late.lease.lease);
    fenced();
    desk.finish(&again);
    assert_eq!(desk.job(job).state, JobState::Completed);
    desk.check();
}

#[test]
fn nothing_is_leased_under_an_epoch_that_has_passed() {
    let desk = Desk::with_items(3);
    let job = desk.planned();
    let old = desk.epoch();
    desk.die(&[]);
    let ask = relabeld::store::Ask { job, items: 3, lease: 9 };
    assert!(matches!(desk.store.lease(vec![ask], old, NOW), Err(Error::Unusable(_))));
    assert!(matches!(desk.store.lease_suspect(old, 10, NOW), Err(Error::Unusable(_))));
    assert_eq!(desk.job(job).counts.running, 0);
}

#[test]
fn an_outcome_that_does_not_fit_its_lease_is_refused_whole() {
    let desk = Desk::with_items(4);
    let job = desk.planned();
    let leased = desk.lease(job, 2);
    let mut outcome = desk.outcome(&leased, 2, true, |item| desk.found(item));
    outcome.done.swap(0, 1);
    assert!(matches!(desk.store.commit(Arc::new([outcome]), ATTEMPTS, NOW), Err(Error::Damaged(_))));
    assert_eq!((desk.job(job).counts.running, desk.job(job).counts.done), (2, 0));
    desk.check();
}

// Failures -----------------------------------------------------------------------------------------------------------

#[test]
fn a_transient_failure_is_tried_again_when_its_time_comes_and_no_more_than_max_attempts() {
    let desk = Desk::with_items(2);
    let job = desk.planned();
    desk.commit(desk.outcome(&desk.lease(job, 2), 2, true, |item| {
        if item.pos == 0 { transient(NOW + 500) } else { desk.found(item) }
    }));
    assert_eq!(desk.states(job), [(TaskState::Pending, 1), (TaskState::Done, 1)].into());
    assert!(desk.lease_at(job, 9, NOW + 499).is_none());
    for attempt in 2..=ATTEMPTS {
        let leased = desk.lease_at(job, 9, NOW + 500).unwrap();
        assert_eq!((leased.items.len(), leased.items[0].attempts), (1, attempt - 1));
        desk.commit(desk.outcome(&leased, 1, true, |_| transient(NOW + 500)));
        desk.check();
    }
    assert!(desk.lease_at(job, 9, NOW + 10_000).is_none());
    let (ended, task) = (desk.job(job), desk.tasks(job).remove(0));
    assert_eq!((ended.state, ended.errors), (JobState::CompletedWithFailures, 1));
    assert_eq!((task.state, task.reason.as_deref(), task.attempts), (TaskState::Failed, Some("busy"), ATTEMPTS));
}

#[test]
fn a_permanent_failure_is_not_tried_again() {
    let desk = Desk::with_items(1);
    let job = desk.planned();
    let committed = desk.commit(desk.outcome(&desk.lease(job, 1), 1, true, |_| permanent()));
    assert_eq!((committed.failed, committed.errors, committed.again), (1, 1, 0));
    let (job, task) = (desk.job(job), desk.tasks(job).remove(0));
    assert_eq!((job.state, job.reasons), (JobState::CompletedWithFailures, vec![("error".into(), 1)]));
    assert_eq!((task.state, task.attempts, task.finished_at), (TaskState::Failed, 1, Some(NOW)));
    desk.check();
}

#[test]
fn a_lease_that_comes_due_goes_before_the_rest_of_the_list() {
    let desk = Desk::with_items(300);
    let job = desk.planned();
    desk.commit(desk.outcome(&desk.lease(job, 1), 1, true, |_| transient(NOW)));
    assert_eq!(desk.lease(job, 9).lease.source, Source::Tasks);
    assert_eq!(desk.lease(job, 9).lease.source, Source::Chunk(0));
    assert_eq!(desk.lease(job, 9).lease.source, Source::Chunk(1));
    assert!(desk.lease_at(job, 9, NOW).is_none());
    desk.check();
}

#[test]
fn a_clock_that_was_set_back_puts_nothing_off() {
    let desk = Desk::with_items(1);
    let job = desk.planned();
    let hour = 3_600_000;
    desk.commit(desk.outcome(&desk.lease(job, 1), 1, true, |_| transient(NOW + 60_000)));
    assert!(desk.lease_at(job, 1, NOW).is_none(), "its time has not come");
    assert!(desk.store.runnable_bulk(9).unwrap()[0].waits(NOW));
    assert!(!desk.store.runnable_bulk(9).unwrap()[0].waits(NOW - hour));
    desk.finish(&desk.lease_at(job, 1, NOW - hour).unwrap());
    assert_eq!(desk.job(job).state, JobState::Completed);
    desk.check();
}

// Deaths -------------------------------------------------------------------------------------------------------------

#[test]
fn after_a_death_only_what_was_being_analysed_is_suspect_and_runs_alone() {
    let desk = Desk::with_items(8);
    let job = desk.planned();
    desk.lease(job, 8);
    let recovered = desk.die(&[(job, 2), (job, 5)]);
    assert_eq!((recovered.suspects, recovered.quarantined), (2, 0));
    assert_eq!(desk.job(job).counts.pending, 8);
    assert!(desk.store.has_suspects().unwrap());
    desk.check();

    for pos in [2, 5] {
        let alone = desk.suspect().unwrap();
        assert_eq!(alone.items.iter().map(|item| (item.pos, item.attempts)).collect::<Vec<_>>(), [(pos, 1)]);
        assert_eq!(desk.job(job).counts.running, 1);
        desk.finish(&alone);
    }
    assert!(desk.suspect().is_none() && !desk.store.has_suspects().unwrap());

    // The rest of the chunk passes them over: they have rows of their own and are not run twice.
    let leased = desk.lease(job, 8);
    let elsewhere: Vec<i64> = leased.items.iter().filter(|item| item.elsewhere).map(|item| item.pos).collect();
    assert_eq!(elsewhere, [2, 5]);
    assert_eq!(desk.job(job).counts.running, 6);
    desk.check();
    desk.finish(&leased);
    let ended = desk.job(job);
    assert_eq!((ended.state, ended.counts.done, ended.labels.added), (JobState::Completed, 8, 8));
    assert_eq!(desk.store.changes_after(0, 100).unwrap().len(), 8);
    assert_eq!(desk.tasks(job).iter().map(|task| task.attempts).collect::<Vec<_>>(), [1, 1, 2, 1, 1, 2, 1, 1]);
    desk.check();
}

#[test]
fn who_was_beside_a_death_keeps_all_his_attempts() {
    let desk = Desk::with_items(2);
    let job = desk.planned();
    desk.lease(job, 2);
    desk.die(&[(job, 0), (job, 1)]);
    // The attempts that died are counted, and not charged: as many are left as anybody has.
    for attempt in 1..=crate::ATTEMPTS {
        let alone = if attempt == 1 { desk.suspect().unwrap() } else { desk.lease(job, 1) };
        assert_eq!((alone.items[0].pos, alone.items[0].attempts), (0, attempt));
        let committed = desk.commit(desk.outcome(&alone, 1, true, |_| transient(NOW)));
        assert_eq!(committed.failed, u64::from(attempt == crate::ATTEMPTS), "attempt {attempt}");
    }
    assert_eq!(desk.tasks(job)[0].attempts, crate::ATTEMPTS + 1);
    desk.check();
}

#[test]
fn what_was_committed_before_the_death_is_not_suspect() {
    let desk = Desk::with_items(3);
    let job = desk.planned();
    let leased = desk.lease(job, 3);
    desk.commit(desk.outcome(&leased, 1, false, |item| desk.found(item)));
    assert_eq!(desk.die(&[(job, 0)]).suspects, 0);
    let older = relabeld::store::Begun { epoch: desk.epoch() - 1, job, pos: 1 };
    assert_eq!(desk.store.recover(vec![older], ATTEMPTS, NOW).unwrap().suspects, 0, "noted before the last start");
    assert_eq!(desk.job(job).counts.pending, 2);
    desk.check();
}

#[test]
fn an_item_alone_in_flight_at_max_attempts_deaths_is_quarantined() {
    let desk = Desk::with_items(4);
    let job = desk.planned();
    desk.lease(job, 4);
    for death in 1..=ATTEMPTS {
        let recovered = desk.die(&[(job, 1)]);
        assert_eq!(recovered.quarantined, usize::from(death == ATTEMPTS), "death {death}");
        desk.check();
        if death < ATTEMPTS {
            assert_eq!(desk.suspect().unwrap().items[0].pos, 1);
        }
    }
    assert!(desk.suspect().is_none());
    desk.finish(&desk.lease(job, 4));
    let ended = desk.job(job);
    assert_eq!(ended.state, JobState::CompletedWithFailures);
    assert_eq!((ended.counts.done, ended.counts.quarantined, ended.counts.failed), (3, 1, 0));
    assert_eq!(ended.reasons, [("crashed".into(), 1)]);
    assert_eq!(desk.states(job), [(TaskState::Done, 3), (TaskState::Quarantined, 1)].into());
    desk.check();
}

#[test]
fn a_bystander_is_never_charged() {
    let desk = Desk::with_items(2);
    let job = desk.planned();
    desk.lease(job, 2);
    // Both in flight at every death, as no engine would have it: nobody knows which of them it was.
    for _ in 0..ATTEMPTS * 2 {
        let recovered = desk.die(&[(job, 0), (job, 1)]);
        assert_eq!((recovered.suspects, recovered.quarantined), (2, 0));
        assert!(desk.suspect().is_some() && desk.suspect().is_some());
    }
    desk.die(&[]);
    assert_eq!(desk.job(job).counts.quarantined, 0);
    while let Some(alone) = desk.suspect() {
        desk.finish(&alone);
    }
    assert_eq!(desk.states(job), [(TaskState::Done, 2)].into());
    desk.check();
}

#[test]
fn a_suspect_that_survives_and_fails_waits_like_any_other() {
    let desk = Desk::with_items(1);
    let job = desk.planned();
    desk.lease(job, 1);
    desk.die(&[(job, 0)]);
    let alone = desk.suspect().unwrap();
    desk.commit(desk.outcome(&alone, 1, true, |_| transient(NOW + 1_000)));
    assert!(desk.suspect().is_none(), "it is no suspect any more");
    let rest = desk.lease_at(job, 1, NOW + 999).unwrap();
    assert!(rest.items.iter().all(|item| item.elsewhere), "the chunk is closed, and the item left alone");
    desk.finish(&rest);
    assert!(desk.lease_at(job, 1, NOW + 999).is_none());
    desk.finish(&desk.lease_at(job, 1, NOW + 1_000).unwrap());
    assert_eq!(desk.job(job).state, JobState::Completed);
    desk.check();
}

#[test]
fn a_suspect_of_a_held_job_waits_and_of_a_cancelled_one_is_cancelled() {
    let desk = Desk::with_items(2);
    let (held, cancelled) = (desk.planned(), desk.planned());
    desk.lease(held, 2);
    desk.lease(cancelled, 2);
    desk.store.pause_job(held).unwrap();
    assert_eq!(desk.store.cancel_job(cancelled, NOW).unwrap().state, JobState::Cancelling);
    desk.die(&[(held, 0), (cancelled, 1)]);
    assert_eq!(desk.job(cancelled).state, JobState::Cancelled);
    assert_eq!(desk.states(cancelled), [(TaskState::Cancelled, 2)].into());
    assert!(desk.suspect().is_none() && !desk.store.has_suspects().unwrap());
    desk.store.resume_job(held).unwrap();
    desk.finish(&desk.suspect().unwrap());
    desk.check();
}

/// Kills the process until the item at `pos`, alone in flight, is one death short of its last.
fn all_but_one_death(desk: &Desk, job: i64, pos: i64) {
    for _ in 1..ATTEMPTS {
        assert_eq!(desk.die(&[(job, pos)]).quarantined, 0);
        assert_eq!(desk.suspect().unwrap().items[0].pos, pos);
    }
}

#[test]
fn a_held_job_whose_last_item_is_quarantined_ends_at_the_recovery() {
    let desk = Desk::with_items(2);
    let job = desk.planned();
    let leased = desk.lease(job, 2);
    desk.commit(desk.outcome(&leased, 1, false, |item| desk.found(item)));
    all_but_one_death(&desk, job, 1);
    assert_eq!(desk.store.pause_job(job).unwrap().state, JobState::Paused);
    assert_eq!(desk.die(&[(job, 1)]).quarantined, 1);
    let ended = desk.job(job);
    assert_eq!((ended.state, ended.finished_at), (JobState::CompletedWithFailures, Some(NOW)));
    assert_eq!(desk.states(job), [(TaskState::Done, 1), (TaskState::Quarantined, 1)].into());
    assert!(matches!(desk.store.resume_job(job), Err(Error::Conflict(_))));
    desk.check();
}

#[test]
fn a_held_job_with_items_left_beside_the_quarantined_one_ends_after_it_is_resumed() {
    let desk = Desk::with_items(2);
    let job = desk.planned();
    desk.lease(job, 2);
    all_but_one_death(&desk, job, 0);
    desk.store.pause_job(job).unwrap();
    assert_eq!(desk.die(&[(job, 0)]).quarantined, 1);
    let held = desk.job(job);
    assert_eq!((held.state, held.counts.pending, held.finished_at), (JobState::Paused, 1, None));
    assert_eq!(desk.store.resume_job(job).unwrap().state, JobState::Running);
    desk.finish(&desk.lease(job, 2));
    assert_eq!(desk.job(job).state, JobState::CompletedWithFailures);
    assert_eq!(desk.states(job), [(TaskState::Done, 1), (TaskState::Quarantined, 1)].into());
    desk.check();
}
