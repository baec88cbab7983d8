//! A dry run done in earnest: the same list with the same revision, once.

use std::collections::BTreeMap;

use relabeld::job::{Filter, Job, JobId, JobKind, JobState, Outcome};
use relabeld::model::Kind::Conversation;
use relabeld::store::{Again, AgainWish, Error, NewJob};

use crate::again::{conflict, labels, other_rules};
use crate::common::{NOW, conversation, wish};
use crate::{Desk, again_wish};

fn outcomes(desk: &Desk, job: JobId) -> BTreeMap<String, Option<Outcome>> {
    desk.tasks(job).into_iter().map(|task| (task.id, task.outcome)).collect()
}

fn dry_run(desk: &Desk, new: NewJob, limit: i64) -> Job {
    let dry = desk.store.publish_range(NewJob { dry_run: true, ..new }, limit, NOW).unwrap();
    dry.group.iter().for_each(|&id| drop(desk.run(id)));
    desk.job(dry.job.id)
}

#[test]
fn just_the_list_of_the_dry_run_is_applied_with_its_revision_once() {
    let desk = Desk::with_items(4);
    let dry = dry_run(&desk, NewJob { priority: 70, name: Some("look".into()), ..wish(Filter::all()) }, 0);
    assert_eq!((dry.labels.added, labels(&desk, "c000")), (4, 0));
    // One comes, one goes, one has another text: keys are frozen, contents are not.
    let said = |id: &str, text| conversation(id, &["p"], &[("customer", text)]);
    desk.import(&[said("c004", "alpha"), said("c002", "alpha twice alpha")]);
    desk.store.erase_item(Conversation, "c001", NOW).unwrap();
    let elsewhere = r#"{"topics":[{"id":"z","programs":["q"],"phrases":["z"]},{"id":"a","name":"other name","programs":["p"],"phrases":["alpha"]}]}"#;
    assert_eq!(desk.apply(elsewhere), 2, "what reads alike has not changed");
    let applied = desk.again(dry.id, Again::Apply).unwrap().job;
    assert_eq!((applied.kind, applied.parent, applied.revision), (JobKind::Range, Some(dry.id), Some(1)));
    assert_eq!((applied.priority, applied.name.as_deref(), applied.dry_run), (70, Some("look"), false));
    assert_eq!(desk.job(dry.id).applied_by, Some(applied.id));
    let why = conflict(desk.again(dry.id, Again::Apply));
    assert!(why.contains(&format!("by job {}", applied.id)), "{why}");

    let ended = desk.run(applied.id);
    let changed = |id: &str| (id.to_owned(), Some(Outcome::Changed));
    let gone = ("c001".to_owned(), Some(Outcome::Gone));
    assert_eq!(outcomes(&desk, ended.id), [changed("c000"), gone, changed("c002"), changed("c003")].into());
    assert_eq!((labels(&desk, "c000"), labels(&desk, "c002"), labels(&desk, "c004")), (1, 1, 0));
    assert_eq!(desk.job(dry.id).labels.added, 4, "what was seen stays");
    desk.run(desk.again(ended.id, Again::Revert).unwrap().job.id);
    assert_eq!(labels(&desk, "c000"), 0);
    conflict(desk.again(dry.id, Again::Apply));
    desk.check();
}

#[test]
fn rules_that_changed_in_scope_forbid_it_and_no_others() {
    let desk = Desk::with_items(2);
    desk.import(&[conversation("other", &["q"], &[("customer", "alpha")])]);
    let of = |programs: &[&str]| {
        let programs = programs.iter().map(|id| (*id).to_owned()).collect();
        dry_run(&desk, wish(Filter { programs, ..Filter::all() }), 0).id
    };
    let (all, of_p, of_q, of_both, of_none) = (of(&[]), of(&["p"]), of(&["q"]), of(&["p", "q"]), of(&["r"]));
    other_rules(&desk);
    for (job, allowed) in [(all, false), (of_p, false), (of_both, false), (of_q, true), (of_none, true)] {
        match allowed {
            true => drop(desk.again(job, Again::Apply).unwrap()),
            false => assert!(conflict(desk.again(job, Again::Apply)).contains("program \"p\""), "job {job}"),
        }
    }
    // As they were: what counts is how they read, not which revision they have.
    desk.apply(r#"{"topics":[{"id":"a","name":"A","programs":["p"],"phrases":["alpha"]}]}"#);
    assert_eq!(desk.again(all, Again::Apply).unwrap().job.revision, Some(1));
    desk.store.apply_catalogue(crate::common::catalogue(r#"{"topics":[]}"#), "test/1", true, None, NOW).unwrap();
    conflict(desk.again(of_p, Again::Apply));
    desk.check();
}

#[test]
fn a_group_that_was_run_dry_is_applied_as_one() {
    let desk = Desk::with_items(5);
    let dry = dry_run(&desk, NewJob { split: true, ..wish(Filter::all()) }, 2);
    let applied = desk.again(dry.id, Again::Apply).unwrap();
    assert_eq!((applied.group.len(), applied.job.group), (3, Some(applied.job.id)));
    conflict(desk.again(dry.id, Again::Apply));
    let done: i64 = applied.group.iter().map(|&id| desk.run(id).labels.added).sum();
    assert_eq!(done, 5);
    desk.check();
}

#[test]
fn a_dry_revert_and_an_empty_dry_run_can_be_applied() {
    let desk = Desk::with_items(2);
    let job = desk.planned();
    desk.run(job);
    let dry = AgainWish { dry_run: true, ..again_wish(Again::Revert) };
    let dry = desk.run(desk.store.publish_again(job, dry, NOW).unwrap().job.id);
    assert_eq!((dry.labels.removed, labels(&desk, "c000")), (2, 1));
    assert!(conflict(desk.again(dry.id, Again::Revert)).contains("dry run"));
    let applied = desk.run(desk.again(dry.id, Again::Apply).unwrap().job.id);
    assert_eq!((applied.kind, applied.reverts, applied.parent), (JobKind::Revert, Some(job), Some(dry.id)));
    assert_eq!((applied.labels.removed, labels(&desk, "c000")), (2, 0));

    let none = dry_run(&desk, wish(Filter { until: Some(5), ..Filter::all() }), 0);
    let applied = desk.again(none.id, Again::Apply).unwrap().job;
    assert_eq!((applied.state, applied.counts.total), (JobState::Completed, Some(0)));
    assert!(applied.empty_because.is_some());
    assert!(conflict(desk.again(job, Again::Apply)).contains("no dry run"));
    desk.check();
}

// As a draft ------------------------------------------------------------------------------------------------------------

fn unpublished() -> AgainWish {
    AgainWish { publish: false, ..again_wish(Again::Apply) }
}

#[test]
fn an_applied_draft_has_its_frozen_list_whatever_the_range_selects_by_then() {
    const LIMIT: i64 = 3;
    let ids = ["c000", "c001", "c002"];
    for (more, gone) in [(1, 0), (0, 3)] {
        let desk = Desk::with_items(3);
        let dry = dry_run(&desk, wish(Filter::all()), LIMIT);
        let apply = desk.store.publish_again(dry.id, unpublished(), NOW).unwrap().job;
        ids[..gone].iter().for_each(|id| desk.store.erase_item(Conversation, id, NOW).unwrap());
        let line = |n| conversation(&format!("more{n}"), &["p"], &[("customer", "alpha")]);
        desk.import(&(0..more).map(line).collect::<Vec<_>>());
        let published = desk.store.publish_draft(apply.id, None, LIMIT, NOW + 1).map(|published| published.job);
        let published = published.unwrap_or_else(|error| panic!("{more} more, {gone} gone: {error}"));
        assert_eq!((published.counts.total, &published.empty_because), (Some(3), &None));
        let outcome = if gone == 3 { "gone" } else { "changed" };
        assert_eq!(desk.run(apply.id).outcomes, [(outcome.into(), 3)]);
        desk.check();
    }
}

#[test]
fn an_applied_draft_is_refused_at_its_publishing_where_the_rules_have_changed_since() {
    let desk = Desk::with_items(3);
    let dry = dry_run(&desk, wish(Filter::all()), 0);
    let apply = desk.store.publish_again(dry.id, unpublished(), NOW).unwrap().job;
    other_rules(&desk);
    let published = desk.store.publish_draft(apply.id, None, 0, NOW + 1);
    assert!(matches!(published, Err(Error::Conflict(_))), "{published:?}");
    assert_eq!(desk.job(apply.id), apply);
}

#[test]
fn a_dry_run_whose_applied_draft_was_deleted_can_be_applied() {
    let desk = Desk::with_items(3);
    let dry = dry_run(&desk, wish(Filter::all()), 0);
    let apply = desk.store.publish_again(dry.id, unpublished(), NOW).unwrap().job;
    assert!(conflict(desk.again(dry.id, Again::Apply)).contains("applied already"), "there is one already");
    desk.store.delete_job(apply.id).unwrap();
    let applied = desk.again(dry.id, Again::Apply).map(|published| published.job.parent);
    assert_eq!(applied, Ok(Some(dry.id)), "nothing of it was ever published");
}
