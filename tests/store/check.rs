//! `check` has to find what is wrong; and damage is an error, not a panic.

use std::time::{Duration, Instant};

use relabeld::job::Filter;
use relabeld::model::Kind::Conversation;
use relabeld::store::{Durability, Error, ItemBatch, Store};

use crate::Desk;
use crate::common::wish;

/// A store with everything in it: labels, history, a job that ended and one in mid-flight.
fn busy() -> Desk {
    let desk = Desk::with_items(5);
    let ended = desk.planned();
    desk.finish(&desk.lease(ended, 5));
    let open = desk.planned();
    let leased = desk.lease(open, 4);
    desk.commit(desk.outcome(
        &leased,
        2,
        false,
        |item| if item.pos == 0 { crate::transient(0) } else { desk.found(item) },
    ));
    desk.check();
    desk
}

#[test]
fn check_finds_planted_damage() {
    for (damage, word) in [
        ("UPDATE job SET done = 4, pending = 1, state = 'running', finished_at = NULL WHERE id = 1", "job 1"),
        ("UPDATE job SET failed = failed + 1, pending = pending - 1 WHERE id = 2", "job 2"),
        ("UPDATE job SET planned = 6 WHERE id = 1", "job 1"),
        ("DELETE FROM result WHERE job = 1", "job 1"),
        ("UPDATE result SET entries = x'ff' WHERE job = 1", "job 1"),
        ("UPDATE chunk SET keys = x'02' WHERE job = 1", "job 1"),
        ("UPDATE chunk SET leased = leased - 1 WHERE job = 2", "job 2"),
        ("UPDATE task SET state = 'quarantined' WHERE job = 2", "job 2"),
        ("UPDATE coverage SET items = items + 1 WHERE revision = 1", "program \"p\""),
        ("DELETE FROM coverage WHERE revision = 1", "program \"p\""),
        ("UPDATE reading SET labels = x'80' WHERE item = 1", "item 1"),
        ("UPDATE reading SET labels = CAST(labels || labels AS BLOB) WHERE item = 1", "item 1"),
        ("UPDATE reading SET fresh = x'' WHERE item = 1", "program \"p\""),
        ("UPDATE body SET content = x'07' WHERE item = 1", "item 1"),
        ("DELETE FROM body WHERE item = 1", "item 1"),
        ("UPDATE item SET marked = 1 WHERE no = 1", "item 1"),
        ("UPDATE new_key SET hash = hash + 1 WHERE item = 1", "item 1"),
        ("INSERT INTO key VALUES (7, 1)", "keys"),
        ("INSERT INTO item (kind, id, edition) SELECT kind, id, 0 FROM item WHERE no = 1", "item 6"),
        ("UPDATE shape SET items = items + 1", "shape 1"),
        ("UPDATE change SET entries = x'03'", "it does not decode"),
        ("UPDATE change SET no = no - 1", "out of order"),
        ("UPDATE reading SET changes = x'' WHERE item = 1", "item 1 does not know of it"),
        ("UPDATE reading SET changes = x'80' WHERE item = 1", "its list of changes does not decode"),
        ("PRAGMA foreign_keys = 0; INSERT INTO mark VALUES (99, 0, 0, 1, 'is')", "mark"),
        ("PRAGMA foreign_keys = 0; UPDATE item SET shape = 99 WHERE no = 1", "item 1"),
    ] {
        let desk = busy();
        desk.raw().execute_batch(damage).unwrap();
        let faults = desk.store.check().unwrap();
        assert!(faults.iter().any(|fault| fault.contains(word)), "{damage}: {faults:?}");
    }
}

#[test]
fn what_does_not_decode_is_an_error_and_no_panic() {
    let desk = busy();
    desk.raw()
        .execute_batch(
            "UPDATE body SET content = x'01ffff'; UPDATE reading SET labels = x'80'; UPDATE change SET entries = x'03';
             UPDATE result SET entries = x'ff'; UPDATE chunk SET keys = x'ffffffffffffffffffff' WHERE job = 1",
        )
        .unwrap();
    let damaged = |error: Option<Error>| assert!(matches!(error, Some(Error::Damaged(_))), "{error:?}");
    let store = &desk.store;
    damaged(store.show_item(Conversation, "c000").err());
    let mut batch = ItemBatch::default();
    store.read_items(&[1], 1 << 20, &mut batch).unwrap();
    damaged(batch.items().next().unwrap().unwrap().0.document().err());
    damaged(store.changes_after(0, 10).err());
    damaged(store.task_rows(1, 0).err());
    damaged(store.task_rows(2, 0).err());
    let at = |text| Some(relabeld::when::parse(text, 0).unwrap());
    damaged(store.topic_counts(at("2026-11-10T09:00Z"), at("2026-11-10T11:00Z")).err());
    assert!(store.topic_counts(None, None).is_ok(), "whole days are counters");
}

#[test]
fn a_store_opens_again_as_it_was_left() {
    let desk = busy();
    let before = (desk.store.jobs(None, None, 10).unwrap(), desk.store.changes_after(0, 100).unwrap());
    desk.store.close();
    assert!(matches!(desk.store.publish_range(wish(Filter::all()), 0, 0), Err(Error::Stopping)));
    assert_eq!(desk.store.sizes().1, 0, "the log is folded back when a store closes");
    let store = Store::open(desk.dir.path(), Durability::Full).unwrap();
    assert_eq!((store.jobs(None, None, 10).unwrap(), store.changes_after(0, 100).unwrap()), before);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_store_that_closes_waits_for_who_only_just_looks() {
    let desk = busy();
    let file = rusqlite::Connection::open(desk.dir.path().join("relabeld.db")).unwrap();
    file.execute_batch("BEGIN; SELECT count(*) FROM job").unwrap();
    std::thread::scope(|scope| {
        let closing = scope.spawn(|| desk.store.close());
        // Nothing tells that it waits; that it has not, its end does.
        let look = Instant::now();
        while !closing.is_finished() && look.elapsed() < Duration::from_millis(100) {
            std::thread::sleep(Duration::from_millis(1));
        }
        file.execute_batch("ROLLBACK").unwrap();
        closing.join().unwrap();
    });
    assert_eq!(desk.store.sizes().1, 0, "its log was left behind");
}
