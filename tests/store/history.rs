//! History packed in rows of leases: what is erased, what a reading's list of changes keeps and forgets.

use relabeld::job::{Filter, JobId};
use relabeld::model::Kind::Conversation;
use relabeld::store::MarkWish;

use crate::Desk;
use crate::common::NOW;

/// The numbers that the list of an item's reading holds, as `check` would read them.
fn listed(desk: &Desk, item: i64) -> usize {
    let raw = desk.raw();
    raw.query_row("SELECT length(changes) FROM reading WHERE item = ?", [item], |row| row.get::<_, i64>(0)).unwrap()
        as usize
}

fn mark(desk: &Desk, is: Option<bool>) {
    let wish = MarkWish { transcript: "t1".into(), block: 0, topic: "b".into(), is };
    desk.store.mark_item(Conversation, "c000", vec![wish], NOW).unwrap();
}

fn numbers(desk: &Desk) -> Vec<i64> {
    let (_, pruned) = desk.store.last_change().unwrap();
    desk.store.changes_after(pruned, 10_000).unwrap().iter().map(|change| change.no).collect()
}

#[test]
fn erasing_an_item_takes_its_part_out_of_rows_that_others_share() {
    let desk = Desk::with_items(3);
    let job: JobId = desk.planned();
    desk.finish(&desk.lease(job, 3));
    assert_eq!(numbers(&desk), [1, 2, 3]);
    desk.store.erase_item(Conversation, "c001", NOW).unwrap();
    assert_eq!(numbers(&desk), [1, 3, 4], "the last says that it was erased");
    desk.check();
    // Where nothing is left of a row it goes, and what is numbered later stays.
    desk.store.erase_item(Conversation, "c000", NOW).unwrap();
    desk.store.erase_item(Conversation, "c002", NOW).unwrap();
    assert_eq!(numbers(&desk), [4, 5, 6]);
    let rows: i64 = desk.raw().query_row("SELECT count(*) FROM change", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 3);
    desk.check();
    assert_eq!(desk.store.count(&Filter::all()).unwrap().total, 0);
}

#[test]
fn a_long_list_of_changes_forgets_what_was_pruned_and_nothing_else() {
    let desk = Desk::with_items(1);
    let job = desk.planned();
    desk.finish(&desk.lease(job, 1));
    desk.store.delete_job(job).unwrap();
    while desk.store.prune(0, NOW).unwrap() {}
    assert_eq!(numbers(&desk), [0i64; 0]);
    // The first of the list is pruned by now; each of the others stands.
    for round in 0..400 {
        mark(&desk, Some(true).filter(|_| round % 2 == 0));
    }
    desk.check();
    let all = numbers(&desk);
    assert_eq!(all.len(), 400);
    // Two bytes a number, as signed ones take them; 1 was pruned.
    let bytes = |no: &i64| if *no < 64 { 1 } else { 2 };
    assert_eq!(listed(&desk, 1), all.iter().map(bytes).sum::<usize>());
    desk.store.erase_item(Conversation, "c000", NOW).unwrap();
    assert_eq!(numbers(&desk), [402]);
    desk.check();
}
