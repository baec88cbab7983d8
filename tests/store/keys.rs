//! Keys: found before and after they move, and never taken for others.

use relabeld::model::Kind::Note;

use crate::Desk;
use crate::common::note;

/// As many as make two ranges of hashes move.
const ITEMS: i64 = 4_200;

#[test]
fn keys_are_found_wherever_they_lie() {
    let desk = Desk::new();
    let lines: Vec<String> = (0..ITEMS).map(|n| note(&format!("n-{n}"), 1, &[], "x")).collect();
    assert_eq!(desk.import(&lines).counts.inserted, ITEMS as u64);
    let count = |table: &str| -> i64 {
        desk.raw().query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    let (moved, new) = (count("key"), count("new_key"));
    assert_eq!(moved + new, ITEMS);
    // Of 2,048 and of 4,096 about a thirty-second each; FNV-1a does not spread numbered keys quite evenly.
    assert!((100..400).contains(&moved), "{moved}");
    assert_eq!(desk.import(&lines).counts.unchanged, ITEMS as u64);
    assert_eq!(count("item"), ITEMS);
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
