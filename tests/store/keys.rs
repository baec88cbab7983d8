//! Keys: found before and after they move, and never taken for others.

use relabeld::job::Filter;
use relabeld::model::Kind::Note;
use relabeld::wire::ItemKey;

use crate::Desk;
use crate::common::{NOW, note, wish};

/// As many as make keys move on into the last table.
const ITEMS: i64 = 33_000;

fn lines(numbers: std::ops::Range<i64>) -> Vec<String> {
    numbers.map(|n| note(&format!("n-{n}"), 1, &[], "x")).collect()
}

fn count(desk: &Desk, table: &str) -> i64 {
    desk.raw().query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

#[test]
fn keys_are_found_wherever_they_lie() {
    let mut desk = Desk::new();
    let lines = lines(0..ITEMS);
    assert_eq!(desk.import(&lines).counts.inserted, ITEMS as u64);
    let [new, recent, last] = ["new_key", "recent_key", "key"].map(|table| count(&desk, table));
    assert_eq!(new + recent + last, ITEMS);
    // Each sixteenth has moved on once; and of the first one, of 32,768, a thirty-second once more.
    assert!((10_000..22_000).contains(&recent) && (30..100).contains(&last), "{new} {recent} {last}");
    assert_eq!(desk.import(&lines).counts.unchanged, ITEMS as u64);

    // After a start, what is there is learned piece by piece; what is not known yet is looked for.
    desk.reopen();
    for some in [&lines[..1], &lines[..50], &lines[ITEMS as usize - 2_000..], &lines] {
        assert_eq!(desk.import(some).counts.unchanged, some.len() as u64);
    }
    assert_eq!(count(&desk, "item"), ITEMS);
    desk.check();
}

#[test]
fn a_key_that_was_only_named_is_found_by_an_import() {
    let desk = Desk::new();
    desk.import(&lines(0..10));
    let named = ItemKey { kind: Note, id: "n-77".into(), version: None };
    desk.store.publish_list(wish(Filter::all()), &[named], 0, NOW).unwrap();
    desk.import(&lines(0..100));
    assert_eq!(count(&desk, "item"), 100);
    desk.check();
}

#[test]
fn keys_of_one_hash_are_two_items() {
    let desk = Desk::new();
    let [one, other] = ["n-80276faf", "n-5d6975dd"];
    desk.import(&[note(one, 1, &[], "the one")]);
    assert!(desk.store.show_item(Note, other).is_err());
    desk.import(&[note(other, 1, &[], "the other")]);
    let hashes: i64 = desk.raw().query_row("SELECT count(DISTINCT hash) FROM new_key", [], |row| row.get(0)).unwrap();
    assert_eq!(hashes, 1, "these two were found to have the same");
    for (id, text) in [(one, "the one"), (other, "the other")] {
        assert_eq!(desk.store.show_item(Note, id).unwrap().item.text.as_deref(), Some(text));
    }
    desk.check();
}
