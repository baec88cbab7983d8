//! What is kept no longer: pruned chunk by chunk when it is old enough; and what of it has to stay.

use std::collections::BTreeMap;

use relabeld::job::{Filter, Job, JobId, JobState};
use relabeld::label::Place;
use relabeld::model::Kind::Conversation;
use relabeld::store::{Again, AgainWish, Durability, Error, Finding, LabelQuery, LabelRow, NewJob, Store};

use crate::common::{NOW, conversation, wish};
use crate::{Desk, again_wish};

/// When things are pruned.
pub const LATER: i64 = NOW + 90 * 86_400_000;
/// Ended before this is old enough: all that ended at `NOW`.
const OLD: i64 = NOW + 1;

const RETRY: Again = Again::Retry { no_topics: false };

/// A job that labelled all of `n` items and has ended.
fn labelled(n: usize) -> (Desk, JobId) {
    let desk = Desk::with_items(n);
    let job = desk.planned();
    assert_eq!(desk.run(job).labels.added, n as i64);
    (desk, job)
}

pub fn dry_run(desk: &Desk) -> JobId {
    let dry = desk.store.publish_range(NewJob { dry_run: true, ..wish(Filter::all()) }, 0, NOW).unwrap();
    desk.run(dry.job.id).id
}

/// All that is old goes, and what was deleted.
fn prune_all(desk: &Desk) {
    while desk.store.prune(OLD, LATER).unwrap() {
        desk.check();
    }
}

/// All labels that stand.
pub fn labels(store: &Store) -> Vec<LabelRow> {
    let (query, mut rows, mut after) = (LabelQuery { filter: Filter::all(), topics: Vec::new() }, Vec::new(), None);
    loop {
        let (page, next) = store.label_rows(&query, after).unwrap();
        rows.extend(page);
        match next {
            Some(next) => after = Some(next),
            None => return rows,
        }
    }
}

/// How many rows each table has of a job, but for those that have none.
pub fn rows(desk: &Desk, job: JobId) -> BTreeMap<&'static str, i64> {
    let raw = desk.raw();
    let tables = ["chunk", "result", "task", "tally", "job_topic", "change", "dry_change"];
    let count =
        |table| raw.query_row(&format!("SELECT count(*) FROM {table} WHERE job = ?"), [job], |row| row.get(0)).unwrap();
    let own = raw.query_row("SELECT count(*) FROM job WHERE id = ?", [job], |row| row.get(0)).unwrap();
    let mut rows: BTreeMap<_, i64> = tables.into_iter().map(|table| (table, count(table))).collect();
    rows.insert("job", own);
    rows.retain(|_, n| *n > 0);
    rows
}

#[track_caller]
fn assert_pruned<T: std::fmt::Debug>(answer: Result<T, Error>) {
    assert!(matches!(answer, Err(Error::HistoryPruned(_))), "{answer:?}");
}

// By age -------------------------------------------------------------------------------------------------------------

#[test]
fn an_old_job_goes_chunk_by_chunk_and_its_summary_and_labels_stay() {
    let (desk, id) = labelled(600);
    let (before, standing) = (desk.job(id), labels(&desk.store));
    let topics = desk.store.job_topics(id).unwrap();
    assert!(!desk.store.prune(NOW, LATER).unwrap(), "what ended now is not old");
    assert_eq!((desk.job(id), desk.tasks(id).len()), (before.clone(), 600));

    for left in [(2, 2), (1, 1), (0, 0)] {
        assert!(desk.store.prune(OLD, LATER).unwrap());
        let rows = rows(&desk, id);
        let of = |table| rows.get(table).copied().unwrap_or_default();
        assert_eq!((of("chunk"), of("change")), left, "no more than a chunk's worth a step");
        assert_eq!((of("job"), of("tally"), of("job_topic")), (1, 1, 1));
        // From the first step on nothing is half there.
        assert_eq!(desk.job(id), Job { pruned_at: Some(LATER), ..before.clone() });
        assert_pruned(desk.store.must_have_list(&desk.job(id)));
        assert_pruned(desk.store.task_rows(id, 0));
        assert_pruned(desk.store.job_changes(id, 0));
        for again in [RETRY, Again::Revert] {
            assert_pruned(desk.again(id, again));
        }
        assert_eq!((desk.store.job_topics(id).unwrap(), labels(&desk.store)), (topics.clone(), standing.clone()));
        assert_eq!(desk.store.count(&Filter::all()).unwrap().total, 600, "items are never pruned");
        desk.check();
    }
    assert!(desk.store.prune(OLD, LATER + 5).unwrap(), "done with it");
    assert!(!desk.store.prune(OLD, LATER + 5).unwrap(), "and never taken up again");
    assert_eq!(desk.job(id).pruned_at, Some(LATER));
    assert_eq!(rows(&desk, id), [("job", 1), ("job_topic", 1), ("tally", 1)].into());
    desk.check();
}

#[test]
fn a_step_that_was_the_last_before_a_restart_is_not_the_last() {
    let (desk, id) = labelled(600);
    assert!(desk.store.prune(OLD, LATER).unwrap());
    desk.store.close();
    let store = Store::open(desk.dir.path(), Durability::Full).unwrap();
    while store.prune(OLD, LATER + 5).unwrap() {
        assert_eq!(store.check().unwrap(), Vec::<String>::new());
    }
    assert_eq!(rows(&desk, id).keys().copied().collect::<Vec<_>>(), ["job", "job_topic", "tally"]);
    assert_eq!(store.job(id).unwrap().pruned_at, Some(LATER));
}

#[test]
fn only_what_has_ended_is_pruned_the_oldest_first() {
    let desk = Desk::with_items(4);
    let [waiting, open, held, ended, newer] = [0; 5].map(|_| desk.planned());
    desk.finish(&desk.lease(newer, 9));
    desk.store.cancel_job(ended, NOW - 9).unwrap();
    desk.commit(desk.outcome(&desk.lease(open, 2), 1, true, |item| desk.found(item)));
    desk.store.pause_job(held).unwrap();
    let unpublished = NewJob { publish: false, ..wish(Filter::all()) };
    let keys = [relabeld::wire::ItemKey { kind: Conversation, id: "c000".into(), version: None }];
    let list = desk.store.publish_list(unpublished, &keys, 0, NOW).unwrap().job.id;
    assert!(desk.store.prune(OLD, LATER).unwrap());
    assert_eq!((desk.job(ended).pruned_at, desk.job(newer).pruned_at), (Some(LATER), None));
    prune_all(&desk);
    assert_eq!(desk.job(newer).pruned_at, Some(LATER));
    for id in [waiting, open, held, list] {
        assert_eq!(desk.job(id).pruned_at, None);
        assert!(!desk.tasks(id).is_empty());
    }
    assert_eq!(desk.run(waiting).counts.done, 4);
}

#[test]
fn what_a_revert_needs_is_not_pruned_before_that_has_ended() {
    type Hold = fn(&Desk, JobId) -> JobId;
    let queued: Hold = |desk, id| desk.again(id, Again::Revert).unwrap().job.id;
    let held: Hold = |desk, id| {
        let revert = desk.again(id, Again::Revert).unwrap().job.id;
        desk.store.pause_job(revert).unwrap().id
    };
    let drafted: Hold = |desk, id| {
        let wish = AgainWish { publish: false, ..again_wish(Again::Revert) };
        desk.store.publish_again(id, wish, NOW).unwrap().job.id
    };
    let dry: Hold = |desk, id| {
        let wish = AgainWish { dry_run: true, ..again_wish(Again::Revert) };
        desk.store.publish_again(id, wish, NOW).unwrap().job.id
    };
    // A revert that went wrong, and is tried once more.
    let retried: Hold = |desk, id| {
        let revert = desk.again(id, Again::Revert).unwrap().job.id;
        desk.plan();
        desk.commit(desk.outcome(&desk.lease(revert, 9), 9, true, |_| crate::permanent()));
        desk.again(revert, RETRY).unwrap().job.id
    };
    for (name, hold) in [("queued", queued), ("held", held), ("drafted", drafted), ("dry", dry), ("retried", retried)] {
        let (desk, id) = labelled(3);
        let standing = labels(&desk.store);
        let needs = hold(&desk, id);
        prune_all(&desk);
        assert_eq!((desk.job(id).pruned_at, desk.tasks(id).len()), (None, 3), "{name}");
        match desk.job(needs).state {
            JobState::Draft => drop(desk.store.publish_draft(needs, None, 0, NOW).unwrap()),
            JobState::Paused => drop(desk.store.resume_job(needs).unwrap()),
            _ => {}
        }
        let ended = desk.run(needs);
        assert_eq!((ended.state, ended.labels.removed), (JobState::Completed, 3), "{name}");
        let left = if ended.dry_run { standing } else { Vec::new() };
        assert_eq!(labels(&desk.store), left, "{name}");
        prune_all(&desk);
        assert!(desk.job(id).pruned_at.is_some() && desk.job(needs).pruned_at.is_some(), "{name}");
    }
}

#[test]
fn what_is_tried_or_applied_again_of_pruned_history_is_refused() {
    let desk = Desk::with_items(3);
    let id = desk.planned();
    desk.finish(&desk.lease(id, 9));
    let revert = desk.again(id, Again::Revert).unwrap().job.id;
    desk.plan();
    // It ends much later than the job that it takes back, and in errors.
    desk.store
        .commit([desk.outcome(&desk.lease(revert, 9), 9, true, |_| crate::permanent())].into(), 3, LATER)
        .unwrap();
    let dry = dry_run(&desk);
    prune_all(&desk);
    assert_eq!((desk.job(revert).pruned_at, desk.job(id).pruned_at), (None, Some(LATER)));
    assert_pruned(desk.again(revert, RETRY));
    assert_pruned(desk.again(dry, Again::Apply));
    assert_eq!(rows(&desk, dry).get("dry_change"), None);
    assert_eq!(desk.job(dry).labels.kept, 3, "what it counted stays");
}

// The feed -----------------------------------------------------------------------------------------------------------

#[test]
fn who_follows_the_feed_from_before_what_was_pruned_is_told_and_no_number_comes_twice() {
    let (desk, _) = labelled(3);
    let numbers =
        |since| -> Vec<i64> { desk.store.changes_after(since, 100).unwrap().iter().map(|change| change.no).collect() };
    assert_eq!((numbers(0), desk.store.last_change().unwrap()), (vec![1, 2, 3], (3, 0)));
    prune_all(&desk);
    for since in 0..3 {
        assert_pruned(desk.store.changes_after(since, 1));
    }
    assert_eq!((numbers(3), desk.store.last_change().unwrap()), (vec![], (3, 3)));
    // What is told now goes on from there.
    desk.store.erase_item(Conversation, "c000", NOW).unwrap();
    assert_eq!(numbers(3), [4]);
    desk.store.close();

    let store = Store::open(desk.dir.path(), Durability::Full).unwrap();
    assert_eq!(store.last_change().unwrap(), (4, 3));
    store.erase_item(Conversation, "c001", NOW).unwrap();
    assert_pruned(store.changes_after(2, 1));
    let after: Vec<i64> = store.changes_after(3, 100).unwrap().iter().map(|change| change.no).collect();
    assert_eq!(after, [4, 5]);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_number_is_not_given_twice_after_all_changes_are_gone_and_the_file_is_opened_again() {
    let (desk, id) = labelled(3);
    desk.store.delete_job(id).unwrap();
    prune_all(&desk);
    assert_eq!(desk.raw().query_row("SELECT count(*) FROM change", [], |row| row.get::<_, i64>(0)).unwrap(), 0);
    desk.store.close();
    let store = Store::open(desk.dir.path(), Durability::Full).unwrap();
    assert_eq!(store.last_change().unwrap(), (3, 3));
    store.erase_item(Conversation, "c000", NOW).unwrap();
    assert_eq!(store.changes_after(3, 9).unwrap()[0].no, 4);
}

// Space ---------------------------------------------------------------------------------------------------------------

#[test]
fn the_file_gets_smaller_by_what_was_pruned() {
    const BLOCKS: u32 = 600;
    let desk = Desk::with_items(0);
    let blocks = vec![("customer", "alpha"); BLOCKS as usize];
    let lines: Vec<String> = (0..600).map(|n| conversation(&format!("c{n}"), &["p"], &blocks)).collect();
    desk.import(&lines);
    let id = desk.planned();
    while let Some(leased) = desk.lease_at(id, 256, NOW) {
        desk.commit(desk.outcome(&leased, 256, true, |item| match desk.found(item) {
            Finding::Read { stood, scope, found } => {
                let at = |block| (Place { block, ..found[0].0 }, found[0].1);
                Finding::Read { stood, scope, found: (0..BLOCKS).map(at).collect() }
            }
            other => panic!("{other:?}"),
        }));
    }
    assert_eq!(desk.job(id).labels.added, 600 * i64::from(BLOCKS));
    assert!(!desk.store.give_back().unwrap(), "nothing is free yet");
    prune_all(&desk);
    let free = || desk.raw().pragma_query_value(None, "freelist_count", |row| row.get::<_, i64>(0)).unwrap();
    let freed = free();
    assert!(freed > 512, "or this test proves little: {freed} pages");
    let mut steps = 0;
    while desk.store.give_back().unwrap() {
        steps += 1;
        assert!(free() >= freed - 256 * steps, "small steps");
    }
    assert!(free() <= 256 && steps >= 2, "{} pages are free after {steps} steps", free());
    assert!(steps <= freed / 256 + 1, "{steps} steps for {freed} pages");
    desk.check();
    let page: i64 = desk.raw().pragma_query_value(None, "page_size", |row| row.get(0)).unwrap();
    desk.store.close();
    let size = std::fs::metadata(desk.dir.path().join("relabeld.db")).unwrap().len() as i64;
    let store = Store::open(desk.dir.path(), Durability::Full).unwrap();
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
    let pages: i64 = desk.raw().pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    assert_eq!(size, pages * page, "the file ends where its pages do");
    assert!(pages - free() > freed, "what stands is still there");
}
