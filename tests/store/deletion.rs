//! Jobs that people delete: out of sight at once, their rows gone in small steps.

use std::collections::BTreeMap;

use relabeld::job::Filter;
use relabeld::model::Kind::Conversation;
use relabeld::store::{Again, AgainWish, Durability, Error, NewJob, Store};

use crate::common::{NOW, conversation, wish};
use crate::prune::{LATER, dry_run, labels, rows};
use crate::{Desk, again_wish};

/// What was deleted goes, and nothing else; in how many steps.
fn remove_deleted(desk: &Desk) -> usize {
    let mut steps = 0;
    while desk.store.prune(0, LATER).unwrap() {
        desk.check();
        steps += 1;
    }
    steps
}

#[test]
fn nothing_of_a_deleted_job_is_left_but_its_number_on_labels() {
    let desk = Desk::with_items(300);
    let id = desk.planned();
    // Every kind of row: results, tasks of their own with and without an entry, tallies, topics, history.
    let leased = desk.lease(id, 9);
    desk.commit(desk.outcome(&leased, 9, true, |item| match item.pos {
        0 => crate::permanent(),
        1 | 2 => crate::transient(NOW),
        _ => desk.found(item),
    }));
    desk.run(id);
    let dry = dry_run(&desk);
    let standing = labels(&desk.store);
    assert_eq!(rows(&desk, id).len(), 7, "{:?}", rows(&desk, id));
    assert!(rows(&desk, id)["task"] == 3 && rows(&desk, dry).contains_key("result"));

    for gone in [id, dry] {
        desk.store.delete_job(gone).unwrap();
        assert!(matches!(desk.store.job(gone), Err(Error::NotFound(_))));
        assert!(matches!(desk.store.task_rows(gone, 0), Err(Error::NotFound(_))));
        desk.check();
        assert_eq!(remove_deleted(&desk), 3, "a step a chunk, and one for the rest");
        assert_eq!(rows(&desk, gone), BTreeMap::new());
    }
    assert!(standing.iter().all(|row| row.label.by.job == id));
    assert_eq!(labels(&desk.store), standing);
    assert!(desk.planned() > dry, "nor does another job get its number");
}

#[test]
fn a_group_is_deleted_with_its_first_and_alone_without_it() {
    let desk = Desk::with_items(6);
    let group = desk.store.publish_range(NewJob { split: true, ..wish(Filter::all()) }, 2, NOW).unwrap().group;
    group.iter().for_each(|&id| drop(desk.run(id)));
    desk.store.delete_job(group[1]).unwrap();
    assert_eq!(desk.store.group(group[0]).unwrap(), [group[0], group[2]]);
    remove_deleted(&desk);
    assert_eq!((rows(&desk, group[1]), desk.tasks(group[2]).len()), (BTreeMap::new(), 2));
    desk.store.delete_job(group[0]).unwrap();
    assert_eq!(desk.store.jobs(None, None, 9).unwrap().jobs, []);
    // Deleted and not removed, over a restart.
    desk.store.close();
    let store = Store::open(desk.dir.path(), Durability::Full).unwrap();
    while store.prune(0, LATER).unwrap() {
        assert_eq!(store.check().unwrap(), Vec::<String>::new());
    }
    assert!(group.iter().all(|&id| rows(&desk, id).is_empty()));
}

#[test]
fn deleting_one_dry_run_leaves_the_diff_of_another_whole() {
    let desk = Desk::with_items(2);
    let first = dry_run(&desk);
    // What the last item would have had goes with it; the next dry run has other differences.
    desk.store.erase_item(Conversation, "c001", NOW).unwrap();
    let second = dry_run(&desk);
    let diff = |job| {
        let (changes, _) = desk.store.job_changes(job, 0).unwrap();
        changes.into_iter().map(|change| change.id).collect::<Vec<_>>()
    };
    assert_eq!(diff(second), ["c000"]);
    desk.import(&[conversation("c001", &["p"], &[("customer", "other words")])]);
    assert_eq!(diff(first), ["c000"], "and none of the item that came back");
    desk.store.delete_job(first).unwrap();
    remove_deleted(&desk);
    assert_eq!(diff(second), ["c000"]);
}

#[test]
fn a_job_that_is_being_taken_back_is_not_deleted_before_that_has_ended() {
    let desk = Desk::with_items(3);
    let job = desk.planned();
    desk.run(job);
    let deleted = |id| desk.store.delete_job(id);
    let drafted = AgainWish { publish: false, ..again_wish(Again::Revert) };
    let draft = desk.store.publish_again(job, drafted, NOW).unwrap().job.id;
    assert!(matches!(deleted(job), Err(Error::Conflict(_))), "a draft may yet be published");
    deleted(draft).unwrap();
    let revert = desk.again(job, Again::Revert).unwrap().job.id;
    for state in ["queued", "running", "paused", "cancelling"] {
        match state {
            "running" => desk.plan(),
            "paused" => drop(desk.store.pause_job(revert).unwrap()),
            "cancelling" => {
                desk.store.resume_job(revert).unwrap();
                desk.lease(revert, 1);
                desk.store.cancel_job(revert, NOW).unwrap();
            }
            _ => {}
        }
        let Err(Error::Conflict(why)) = deleted(job) else { panic!("deleted under a revert that is {state}") };
        assert!(why.contains(&format!("by job {revert}")), "{why}");
        assert_eq!((desk.job(revert).state.as_str(), desk.tasks(job).len()), (state, 3));
    }
    // The process dies, and the cancelled revert has nothing in flight any more.
    desk.die(&[]);
    deleted(job).unwrap();
    remove_deleted(&desk);
    assert_eq!(desk.job(revert).parent, Some(job), "it still says whose");
    desk.check();
}
