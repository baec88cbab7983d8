//! What the store tells of itself agrees with the rows, whatever was rolled back.

use std::collections::BTreeMap;

use relabeld::job::{Filter, JobId, JobState, Lane, TaskState};
use relabeld::model::Kind;
use relabeld::store::{MarkWish, NewJob, Tally};

use super::common::{NOW, conversation, wish};
use super::{ATTEMPTS, Desk, permanent, transient};

fn tally(desk: &Desk) -> Tally {
    desk.store.measured().tally()
}

/// Tasks that ended, by state, as the jobs' own rows have them.
fn of_jobs(desk: &Desk, jobs: &[JobId]) -> BTreeMap<TaskState, u64> {
    let mut states = BTreeMap::new();
    for &job in jobs {
        let counts = desk.job(job).counts;
        for (state, n) in [
            (TaskState::Done, counts.done),
            (TaskState::Failed, counts.failed),
            (TaskState::Quarantined, counts.quarantined),
            (TaskState::Cancelled, counts.cancelled),
        ] {
            *states.entry(state).or_default() += n as u64;
        }
    }
    states.retain(|_, n| *n > 0);
    states
}

#[track_caller]
fn assert_agrees(desk: &Desk, jobs: &[JobId]) {
    let mut told = BTreeMap::new();
    for ((_, state, _), n) in tally(desk).tasks {
        *told.entry(state).or_default() += n;
    }
    assert_eq!(told, of_jobs(desk, jobs));
}

#[test]
fn every_way_to_end_is_told_once() {
    let desk = Desk::with_items(6);
    let job = desk.planned();
    // Done, an error at once, one that is tried again, one that is read again.
    let leased = desk.lease(job, 4);
    let stale = desk.outcome(&leased, 4, true, |item| match item.pos {
        1 => permanent(),
        2 => transient(NOW),
        _ => desk.found(item),
    });
    desk.import(&[conversation("c003", &["p"], &[("customer", "alpha beta")])]);
    desk.commit(stale.clone());
    let told = tally(&desk);
    assert_eq!((told.retries, told.read_again), (1, 1));
    assert_eq!((told.imported.inserted, told.imported.updated), (6, 1));
    assert_eq!(told.labels.added, 1);
    assert_agrees(&desk, &[job]);
    // Under a lease that is gone it tells nothing more.
    desk.commit(stale);
    assert_eq!(tally(&desk), told);

    let other = desk.planned();
    let unplanned = desk.store.publish_range(wish(Filter::all()), 0, NOW).unwrap().job.id;
    let jobs = [job, other, unplanned];
    desk.lease(other, 6);
    for _ in 0..ATTEMPTS {
        desk.die(&[(other, 5)]);
        desk.suspect();
    }
    assert_agrees(&desk, &jobs);
    for job in jobs {
        desk.store.cancel_job(job, NOW).unwrap();
    }
    assert_agrees(&desk, &jobs);
    let told = tally(&desk);
    assert_eq!(told.tasks[&(Lane::Bulk, TaskState::Quarantined, "crashed".into())], 1);
    assert_eq!(told.tasks[&(Lane::Bulk, TaskState::Failed, "error".into())], 1);
    assert_eq!(told.tasks[&(Lane::Bulk, TaskState::Cancelled, String::new())], 9);
    assert_eq!(told.jobs, [(JobState::Cancelled, 3)].into());
    desk.check();
}

#[test]
fn a_dry_run_tells_of_tasks_and_not_of_labels() {
    let desk = Desk::with_items(2);
    let dry = desk.store.publish_range(NewJob { dry_run: true, ..wish(Filter::all()) }, 0, NOW).unwrap();
    let dry = desk.run(dry.job.id);
    assert_eq!((dry.labels.added, tally(&desk).labels.added), (2, 0));
    assert_agrees(&desk, &[dry.id]);
    let job = desk.planned();
    assert_eq!((desk.run(job).labels.added, tally(&desk).labels.added), (2, 2));
    assert_eq!(tally(&desk).jobs, [(JobState::Completed, 2)].into());
}

#[test]
fn what_is_rolled_back_was_never_counted() {
    let desk = Desk::with_items(2);
    let job = desk.planned();
    let leased = desk.lease(job, 2);
    let before = tally(&desk);
    let commits = desk.store.measured().commits.observed().up_to.pop();
    // What comes second does not fit its lease, so that the retry before it goes with it.
    let mut unfit = desk.outcome(&leased, 2, true, |item| desk.found(item));
    unfit.done[1].pos += 1;
    let outcomes = [desk.outcome(&leased, 1, false, |_| transient(NOW)), unfit];
    assert!(desk.store.commit(outcomes.into(), ATTEMPTS, NOW).is_err());
    assert_eq!(tally(&desk), before);
    let nowhere = MarkWish { transcript: "none".into(), block: 0, topic: "a".into(), is: Some(true) };
    assert!(desk.store.mark_item(Kind::Conversation, "c000", vec![nowhere], NOW).is_err());
    assert_eq!(tally(&desk), before);
    desk.finish(&leased);
    assert_agrees(&desk, &[job]);
    assert_eq!(tally(&desk).retries, 0);
    assert!(desk.store.measured().commits.observed().up_to.pop() > commits);
}
