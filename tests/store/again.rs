//! Jobs that are made of others: what of an ended job is tried once more, and what is taken back.

use relabeld::job::{Filter, JobId, JobKind, JobState, Lane, Outcome, TaskState};
use relabeld::model::Kind::Conversation;
use relabeld::store::{Again, AgainWish, Error, Finding, LeasedItem, MarkWish, NewJob, Published, TaskRow};

use crate::common::{NOW, conversation, wish};
use crate::{ATTEMPTS, Desk, again_wish, permanent};

const RETRY: Again = Again::Retry { no_topics: false };
const RETRY_ALL: Again = Again::Retry { no_topics: true };

/// Read, and nothing was found.
fn nothing(desk: &Desk, item: &LeasedItem) -> Finding {
    match desk.found(item) {
        Finding::Read { stood, scope, .. } => Finding::Read { stood, scope, found: Vec::new() },
        other => other,
    }
}

fn ids(desk: &Desk, job: JobId) -> Vec<String> {
    desk.tasks(job).into_iter().map(|task| task.id).collect()
}

/// How many labels stand on an item.
pub fn labels(desk: &Desk, id: &str) -> usize {
    desk.store.show_item(Conversation, id).unwrap().labels.len()
}

/// Why it is refused.
#[track_caller]
pub fn conflict(answer: Result<Published, Error>) -> String {
    match answer {
        Err(Error::Conflict(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// `p` reads otherwise from now on.
pub fn other_rules(desk: &Desk) -> i64 {
    desk.apply(r#"{"topics":[{"id":"a","name":"A","programs":["p"],"phrases":["alpha","gamma"]}]}"#)
}

/// A job of five items: one quarantined, one in error, one without topics, two labelled.
fn troubled(desk: &Desk) -> JobId {
    let job = desk.planned();
    desk.lease(job, 5);
    for _ in 1..ATTEMPTS {
        desk.die(&[(job, 0)]);
        assert_eq!(desk.suspect().unwrap().items[0].pos, 0);
    }
    assert_eq!(desk.die(&[(job, 0)]).quarantined, 1);
    desk.commit(desk.outcome(&desk.lease(job, 5), 5, true, |item| match item.pos {
        1 => permanent(),
        2 => nothing(desk, item),
        _ => desk.found(item),
    }));
    let ended = desk.job(job);
    assert_eq!((ended.state, ended.errors), (JobState::CompletedWithFailures, 1));
    job
}

// Retry --------------------------------------------------------------------------------------------------------------

#[test]
fn a_retry_takes_errors_and_quarantined_and_no_topics_only_when_asked() {
    let desk = Desk::with_items(5);
    let job = troubled(&desk);
    assert_eq!(other_rules(&desk), 2);
    let retry = desk.again(job, RETRY).unwrap();
    assert_eq!(ids(&desk, retry.job.id), ["c000", "c001"]);
    assert!(!retry.repeated && retry.group == [retry.job.id]);
    let of = desk.job(job);
    assert_eq!((retry.job.kind, retry.job.lane, retry.job.parent), (JobKind::Retry, Lane::Bulk, Some(job)));
    assert_eq!((retry.job.revision, of.revision), (Some(2), Some(1)), "the rules of now");
    assert_eq!((&retry.job.filter, retry.job.priority, retry.job.counts.total), (&of.filter, of.priority, Some(2)));
    let wider = desk.again(job, RETRY_ALL).unwrap().job.id;
    assert_eq!(ids(&desk, wider), ["c000", "c001", "c002"]);

    let ended = desk.run(retry.job.id);
    assert_eq!((ended.state, ended.counts.done, ended.labels.added), (JobState::Completed, 2, 2));
    assert_eq!(desk.job(job), of, "the job that is retried stays as it ended");
    assert_eq!(desk.run(wider).outcomes, [("changed".into(), 1), ("unchanged".into(), 2)]);
    // A retry that went well leaves nothing to retry, and says so.
    let empty = desk.again(retry.job.id, RETRY).unwrap().job;
    assert_eq!((empty.state, empty.counts.total, empty.parent), (JobState::Completed, Some(0), Some(retry.job.id)));
    assert!(empty.empty_because.unwrap().contains(&format!("job {}", retry.job.id)));
    desk.check();
}

#[test]
fn a_retry_takes_what_it_is_told_and_else_what_the_other_had() {
    let desk = Desk::with_items(5);
    let other = NewJob { priority: 80, max_per_second: Some(7.0), name: Some("x".into()), ..wish(Filter::all()) };
    let job = desk.store.publish_range(other, 0, NOW).unwrap().job.id;
    desk.plan();
    desk.commit(desk.outcome(&desk.lease(job, 5), 5, true, |_| permanent()));
    let retry = desk.again(job, RETRY).unwrap().job;
    assert_eq!((retry.priority, retry.max_per_second, retry.name), (80, Some(7.0), None));
    let told = AgainWish { priority: Some(3), max_per_second: Some(9.0), name: Some("y".into()), ..again_wish(RETRY) };
    let retry = desk.store.publish_again(job, told, NOW).unwrap().job;
    assert_eq!((retry.priority, retry.max_per_second, retry.name.as_deref()), (3, Some(9.0), Some("y")));
    let dry = AgainWish { dry_run: true, ..again_wish(RETRY) };
    let dry = desk.run(desk.store.publish_again(job, dry, NOW).unwrap().job.id);
    assert_eq!((dry.dry_run, dry.labels.added, labels(&desk, "c000")), (true, 5, 0));
    desk.check();
}

#[test]
fn what_is_retried_of_a_dry_run_stays_one() {
    let desk = Desk::with_items(3);
    let dry = NewJob { dry_run: true, ..wish(Filter::all()) };
    let dry = desk.store.publish_range(dry, 0, NOW).unwrap().job.id;
    desk.plan();
    desk.commit(desk.outcome(&desk.lease(dry, 3), 3, true, |_| permanent()));
    let retry = desk.run(desk.again(dry, RETRY).unwrap().job.id);
    assert_eq!((retry.dry_run, retry.labels.added, labels(&desk, "c000")), (true, 3, 0));
    let applied = desk.run(desk.again(retry.id, Again::Apply).unwrap().job.id);
    assert_eq!((applied.kind, applied.dry_run, applied.labels.added), (JobKind::Retry, false, 3));
    assert_eq!(labels(&desk, "c000"), 1);
    desk.check();
}

#[test]
fn of_a_group_those_are_retried_that_have_something_to_retry() {
    let desk = Desk::with_items(6);
    let group = desk.store.publish_range(NewJob { split: true, ..wish(Filter::all()) }, 2, NOW).unwrap().group;
    desk.plan();
    for (part, &id) in group.iter().enumerate() {
        assert!(conflict(desk.again(group[0], RETRY)).contains(" is running"), "all of them must have ended");
        desk.commit(desk.outcome(&desk.lease(id, 2), 2, true, |item| match (part, item.pos) {
            (0, _) => desk.found(item),
            _ => permanent(),
        }));
    }
    let retry = desk.again(group[0], RETRY).unwrap();
    assert_eq!(retry.group.len(), 2);
    let of = |id: JobId| (desk.job(id).parent, desk.job(id).group, ids(&desk, id));
    assert_eq!(of(retry.group[0]), (Some(group[1]), Some(retry.group[0]), vec!["c002".into(), "c003".into()]));
    assert_eq!(of(retry.group[1]), (Some(group[2]), Some(retry.group[0]), vec!["c004".into(), "c005".into()]));
    // One of them is one, and not the group.
    assert_eq!(desk.again(group[2], RETRY).unwrap().group.len(), 1);
    assert_eq!(desk.again(group[0], Again::Revert).unwrap().job.parent, Some(group[0]));
    desk.check();
}

#[test]
fn a_revert_in_which_items_failed_is_retried_for_these() {
    let desk = Desk::with_items(4);
    let job = desk.planned();
    desk.run(job);
    let revert = desk.again(job, Again::Revert).unwrap().job.id;
    desk.plan();
    let leased = desk.lease(revert, 4);
    desk.commit(desk.outcome(&leased, 4, true, |item| match item.pos {
        0 | 3 => permanent(),
        _ => Finding::TakeBack(desk.store.undos(job, &[item.key]).unwrap().remove(0).unwrap()),
    }));
    assert_eq!(["c000", "c001", "c002", "c003"].map(|id| labels(&desk, id)), [1, 0, 0, 1]);
    let retry = desk.again(revert, RETRY).unwrap().job;
    assert_eq!((retry.kind, retry.parent, retry.revision), (JobKind::Retry, Some(revert), None));
    let retry = desk.run(retry.id);
    assert_eq!((retry.state, retry.labels.removed), (JobState::Completed, 2));
    assert_eq!(["c000", "c003"].map(|id| labels(&desk, id)), [0, 0]);
    desk.check();
}

// Revert -------------------------------------------------------------------------------------------------------------

#[test]
fn a_cancelled_job_is_taken_back_as_far_as_it_came_and_the_way_back_too() {
    let desk = Desk::with_items(6);
    let job = desk.planned();
    desk.commit(desk.outcome(&desk.lease(job, 6), 2, true, |item| desk.found(item)));
    assert!(conflict(desk.again(job, Again::Revert)).contains("before it has ended"));
    desk.store.cancel_job(job, NOW).unwrap();
    let revert = desk.again(job, Again::Revert).unwrap().job;
    assert_eq!((revert.counts.total, revert.revision, revert.reverts), (Some(2), None, Some(job)));
    let revert = desk.run(revert.id);
    assert_eq!((revert.labels.removed, labels(&desk, "c000")), (2, 0));
    let back = desk.run(desk.again(revert.id, Again::Revert).unwrap().job.id);
    assert_eq!((back.labels.added, labels(&desk, "c000"), back.reverts), (2, 1, Some(revert.id)));
    // It stands there again as the first job left it.
    assert_eq!(desk.store.show_item(Conversation, "c000").unwrap().labels[0].by.job, job);
    // Taken back twice, there is nothing left that stands as the job left it.
    desk.run(desk.again(job, Again::Revert).unwrap().job.id);
    let twice = desk.run(desk.again(job, Again::Revert).unwrap().job.id);
    assert_eq!(twice.outcomes, [("newer_change".into(), 2)]);
    desk.check();
}

#[test]
fn what_is_not_as_the_job_left_it_is_left_alone_and_named() {
    let desk = Desk::with_items(5);
    let job = desk.planned();
    desk.run(job);
    // Another text where no label stands; a mark on the label; the label gone and back; the item gone and back.
    desk.import(&[conversation("c000", &["p"], &[("customer", "alpha"), ("agent", "new")])]);
    let mark = |id: &str, is| {
        let wish = MarkWish { transcript: "t1".into(), block: 0, topic: "a".into(), is };
        desk.store.mark_item(Conversation, id, vec![wish], NOW).unwrap();
    };
    mark("c001", Some(false));
    mark("c002", Some(false));
    mark("c002", None);
    let later = desk.planned();
    assert_eq!(desk.run(later).labels.added, 1, "what the mark had taken off");
    desk.store.erase_item(Conversation, "c003", NOW).unwrap();
    desk.import(&[conversation("c003", &["p"], &[("customer", "alpha")])]);
    let revert = desk.run(desk.again(job, Again::Revert).unwrap().job.id);
    assert_eq!(revert.outcomes, [("changed".into(), 1), ("newer_change".into(), 4)]);
    let left: Vec<TaskRow> = desk.tasks(revert.id);
    assert_eq!(left.iter().find(|task| task.outcome == Some(Outcome::Changed)).unwrap().id, "c004");
    assert_eq!(["c000", "c001", "c002", "c003", "c004"].map(|id| labels(&desk, id)), [1, 0, 1, 0, 0]);
    desk.check();
}

#[test]
fn what_changed_nothing_is_taken_back_at_once() {
    let desk = Desk::with_items(2);
    let job = desk.planned();
    desk.store.cancel_job(job, NOW).unwrap();
    let revert = desk.again(job, Again::Revert).unwrap().job;
    assert_eq!((revert.state, revert.counts.total), (JobState::Completed, Some(0)));
    assert!(revert.empty_because.unwrap().contains("changed nothing"));
}

#[test]
fn tasks_of_a_job_again_stand_in_the_order_of_the_first() {
    let desk = Desk::with_items(600);
    let job = desk.planned();
    while let Some(leased) = desk.lease_at(job, 100, NOW) {
        desk.commit(desk.outcome(&leased, 100, true, |item| match item.pos % 40 {
            0 => permanent(),
            _ => desk.found(item),
        }));
    }
    let retry = desk.again(job, RETRY).unwrap().job.id;
    let wanted: Vec<String> = (0..600).step_by(40).map(|n| format!("c{n:03}")).collect();
    assert_eq!(ids(&desk, retry), wanted);
    let revert = desk.again(job, Again::Revert).unwrap().job.id;
    assert_eq!(desk.run(revert).labels.removed, 585);
    assert!(desk.tasks(revert).iter().all(|task| task.state == TaskState::Done));
    assert!(ids(&desk, revert).is_sorted());
    desk.check();
}
