//! Drafts: what is settled when they are made, and what only when they are published.

use relabeld::job::{Filter, Job, JobId, JobKind, JobState, TaskState};
use relabeld::model::Kind::{Conversation, Note};
use relabeld::model::Millis;
use relabeld::store::{Again, AgainWish, Error, NewJob};
use relabeld::wire::{Fields, ItemKey, filter_from, span_at, span_of};
use serde_json::{Value, json};

use crate::common::{NOW, note, wish};
use crate::{Desk, again_wish};

const DAY: Millis = 86_400_000;

/// A draft of a range as the API makes it of a body.
fn draft(desk: &Desk, body: Value, now: Millis) -> Job {
    let mut fields = Fields::of(body).unwrap();
    let span = span_of(&fields);
    let filter = filter_from(&mut fields, now).unwrap();
    fields.finish().unwrap();
    let new = NewJob { span: Some(span), publish: false, ..wish(filter) };
    desk.store.publish_range(new, 0, now).unwrap().job
}

/// Publishes it as the API does.
fn publish(desk: &Desk, id: JobId, limit: i64, now: Millis) -> Result<Job, Error> {
    let span = desk.job(id).span.map(|span| span_at(&span, now).unwrap());
    Ok(desk.store.publish_draft(id, span, limit, now)?.job)
}

fn keys(ids: &[&str]) -> Vec<ItemKey> {
    ids.iter().map(|id| ItemKey { kind: Conversation, id: (*id).into(), version: None }).collect()
}

fn ids(desk: &Desk, job: JobId) -> Vec<String> {
    desk.tasks(job).into_iter().map(|task| task.id).collect()
}

/// A note of each of the ten days before `NOW`, by the number of the day.
fn a_note_a_day() -> Desk {
    let desk = Desk::with_items(0);
    let line = |day: i64| {
        json!({"kind": "note", "id": format!("n{day}"), "version": 1, "created_at": NOW - day * DAY, "programs": ["p"],
            "text": "alpha"})
    };
    desk.import(&(1..=10).map(|day| line(day).to_string()).collect::<Vec<_>>());
    desk
}

#[test]
fn a_span_counts_back_from_the_publishing() {
    let desk = a_note_a_day();
    for (body, late, from, until, selected) in [
        (json!({"from": "3d"}), DAY, -2 * DAY, DAY, vec!["n2", "n1"]),
        // Neither is given: the last thirty days.
        (json!({}), 29 * DAY, -DAY, 29 * DAY, vec!["n1"]),
        (json!({"from": "4d", "until": "2d"}), DAY, -3 * DAY, -DAY, vec!["n3", "n2"]),
        // A point in time stays where it is.
        (json!({"from": NOW - 5 * DAY, "until": "2d"}), DAY, -5 * DAY, -DAY, vec!["n5", "n4", "n3", "n2"]),
        (json!({"from": NOW - 2 * DAY, "until": NOW}), 9 * DAY, -2 * DAY, 0, vec!["n2", "n1"]),
    ] {
        let made = draft(&desk, body.clone(), NOW);
        assert_eq!((made.state, made.published_at, made.revision), (JobState::Draft, None, None), "{body}");
        desk.plan();
        assert_eq!(desk.job(made.id), made, "nothing comes of a draft by itself: {body}");
        let job = publish(&desk, made.id, 0, NOW + late).unwrap();
        let filter = Filter { from: Some(NOW + from), until: Some(NOW + until), ..made.filter.clone() };
        assert_eq!(job.filter, filter, "{body}");
        assert_eq!((job.created_at, job.published_at), (NOW, Some(NOW + late)));
        assert_eq!((job.state, job.revision, &job.span), (JobState::Queued, Some(1), &None));
        desk.plan();
        assert_eq!(ids(&desk, job.id), selected, "{body}");
        assert!(matches!(publish(&desk, job.id, 0, NOW + late), Err(Error::Conflict(_))), "once");
    }
    // What comes to nothing by then is said, and the draft stays.
    let made = draft(&desk, json!({"from": "3d", "until": NOW}), NOW);
    assert!(span_at(made.span.as_ref().unwrap(), NOW + 9 * DAY).unwrap_err().starts_with("from: "));
    desk.check();
}

#[test]
fn the_rules_and_the_items_are_those_of_the_publishing() {
    let desk = Desk::with_items(2);
    let made = draft(&desk, json!({}), NOW);
    let second = r#"{"topics":[{"id":"a","programs":["p"],"phrases":["alpha"]},{"id":"b","programs":["p"],"phrases":["beta"]}]}"#;
    assert_eq!(desk.apply(second), 2);
    desk.import(&[note("late", 1, &["p"], "alpha")]);
    let job = publish(&desk, made.id, 0, NOW).unwrap();
    assert_eq!(job.revision, Some(2));
    let job = desk.run(job.id);
    assert_eq!((job.state, job.counts.done, job.revision), (JobState::Completed, 3, Some(2)));
    desk.check();
}

#[test]
fn too_many_items_at_the_publishing_leave_the_draft_as_it_was() {
    let desk = Desk::with_items(4);
    let made = draft(&desk, json!({}), NOW);
    desk.import(&[note("fifth", 1, &["p"], "alpha")]);
    let refused = publish(&desk, made.id, 4, NOW + 1);
    assert_eq!(refused.unwrap_err(), Error::TooManyItems { count: 5, limit: 4 });
    assert_eq!(desk.job(made.id), made);
    desk.store.erase_item(Note, "fifth", NOW).unwrap();
    assert_eq!(publish(&desk, made.id, 4, NOW + 1).unwrap().state, JobState::Queued);
    desk.check();
}

#[test]
fn a_draft_that_selects_nothing_by_then_completes_at_once_and_says_why() {
    let desk = Desk::with_items(0);
    let made = draft(&desk, json!({}), NOW);
    assert_eq!((&made.empty_because, made.counts.total), (&None, None), "nobody knows yet");
    let job = publish(&desk, made.id, 5, NOW).unwrap();
    assert_eq!((job.state, job.counts.total), (JobState::Completed, Some(0)));
    assert!(job.empty_because.unwrap().contains("nothing is imported"));
    desk.check();
}

#[test]
fn a_draft_that_is_to_be_split_publishes_its_group() {
    let desk = Desk::with_items(5);
    // How many parts a range has is not known before; of a list it is.
    let range = NewJob { publish: false, split: true, name: Some("r".into()), ..wish(Filter::all()) };
    let range = desk.store.publish_range(range, 2, NOW).unwrap();
    assert_eq!((range.group.len(), range.job.group), (1, None));
    let list = NewJob { publish: false, split: true, ..wish(Filter::all()) };
    let list = desk.store.publish_list(list, &keys(&["c000", "c001", "c002", "c003", "x"]), 2, NOW).unwrap();
    assert_eq!((list.group.len(), list.job.group), (3, Some(list.job.id)));
    for (draft, published_at) in [(range, NOW + 5), (list, NOW + 7)] {
        let published = desk.store.publish_draft(draft.job.id, None, 2, published_at).unwrap();
        assert_eq!((published.job.id, published.group.len()), (draft.job.id, 3));
        assert_eq!(desk.store.group(draft.job.id).unwrap(), published.group);
        for &id in &published.group {
            let part = desk.job(id);
            assert_eq!((part.published_at, &part.name, part.revision), (Some(published_at), &draft.job.name, Some(1)));
            assert_eq!((part.group, part.filter), (Some(draft.job.id), draft.job.filter.clone()));
        }
        let done: i64 = published.group.iter().map(|&id| desk.run(id).counts.done).sum();
        assert_eq!(done, 5);
    }
    desk.check();
}

#[test]
fn a_draft_is_cancelled_with_the_list_that_it_has() {
    let desk = Desk::with_items(2);
    let range = draft(&desk, json!({}), NOW).id;
    let unpublished = NewJob { publish: false, ..wish(Filter::all()) };
    let list = desk.store.publish_list(unpublished, &keys(&["c000", "c001"]), 0, NOW).unwrap().job.id;
    for (id, total) in [(range, 0), (list, 2)] {
        let job = desk.store.cancel_job(id, NOW + 1).unwrap();
        assert_eq!((job.state, job.published_at, job.finished_at), (JobState::Cancelled, None, Some(NOW + 1)));
        assert_eq!((job.counts.total, job.counts.cancelled), (Some(total), total));
        assert!(desk.tasks(id).iter().all(|task| task.state == TaskState::Cancelled));
        assert!(matches!(publish(&desk, id, 0, NOW), Err(Error::Conflict(_))));
        desk.check();
    }
}

#[test]
fn a_single_draft_runs_in_the_live_lane_once_it_is_published() {
    let desk = Desk::with_items(1);
    desk.import(&[note("n", 3, &["p"], "alpha")]);
    let unpublished = || NewJob { publish: false, ..wish(Filter::all()) };
    let key = |version| ItemKey { kind: Note, id: "n".into(), version: Some(version) };
    assert!(matches!(desk.store.publish_single(unpublished(), key(2), NOW), Err(Error::StaleVersion(_))));
    let made = desk.store.publish_single(unpublished(), key(3), NOW).unwrap().job;
    assert_eq!((made.state, made.counts.total, made.revision), (JobState::Draft, Some(1), None));
    assert!(desk.lease_at(made.id, 1, NOW).is_none());
    publish(&desk, made.id, 0, NOW + 1).unwrap();
    let job = desk.run(made.id);
    assert_eq!((job.kind, job.state, job.labels.added), (JobKind::Single, JobState::Completed, 1));
    desk.check();
}

// Drafts of others ---------------------------------------------------------------------------------------------------

fn unpublished(again: Again) -> AgainWish {
    AgainWish { publish: false, ..again_wish(again) }
}

fn dry_run(desk: &Desk) -> Job {
    let dry = desk.store.publish_range(NewJob { dry_run: true, ..wish(Filter::all()) }, 0, NOW).unwrap();
    desk.run(dry.job.id)
}

#[test]
fn retries_reverts_and_what_is_applied_can_be_drafts_too() {
    let desk = Desk::with_items(3);
    let job = desk.planned();
    desk.commit(desk.outcome(&desk.lease(job, 9), 9, true, |item| match item.pos {
        0 => crate::permanent(),
        _ => desk.found(item),
    }));
    let make = |of, again| desk.store.publish_again(of, unpublished(again), NOW).unwrap().job;
    let (retry, revert) = (make(job, Again::Retry { no_topics: false }), make(job, Again::Revert));
    let dry = dry_run(&desk);
    let apply = make(dry.id, Again::Apply);
    let second = r#"{"topics":[{"id":"z","programs":["q"],"phrases":["zeta"]},{"id":"a","programs":["p"],"phrases":["alpha"]}]}"#;
    assert_eq!(desk.apply(second), 2);
    for (draft, total, by_then, later) in [
        (retry, 1, None, Some(2)),
        (revert, 2, None, None),
        // With the revision of the dry run, whatever is current.
        (apply, 3, Some(1), Some(1)),
    ] {
        assert_eq!((draft.state, draft.counts.total, draft.revision), (JobState::Draft, Some(total), by_then));
        let published = publish(&desk, draft.id, 0, NOW + 1).unwrap();
        assert_eq!((published.revision, published.published_at), (later, Some(NOW + 1)), "{}", draft.kind);
        assert_eq!(desk.run(draft.id).counts.total, Some(total));
        desk.check();
    }
}
