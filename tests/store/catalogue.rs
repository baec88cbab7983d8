//! Catalogue revisions.

use relabeld::store::Error;

use crate::Desk;
use crate::common::{NOW, catalogue};

const ONE: &str = r#"{"topics":[{"id":"a","name":"A","programs":["p"],"phrases":["alpha"]}]}"#;
const TWO: &str = r#"{"topics":[{"id":"a","name":"A","programs":["p"],"phrases":["alpha","aleph"]},
    {"id":"b","name":"B","programs":["q"],"phrases":["beta"]}]}"#;

#[test]
fn each_change_makes_a_revision_and_none_makes_none() {
    let desk = Desk::new();
    let apply = |json: &str| desk.store.apply_catalogue(catalogue(json), "test/1", false, None, NOW).unwrap();
    let first = apply(ONE);
    assert_eq!((first.revision, first.new, first.difference.added), (1, true, vec!["a".to_owned()]));
    assert!(!apply(ONE).new);
    let second = apply(TWO);
    assert_eq!((second.revision, second.new), (2, true));
    assert_eq!((second.difference.added, second.difference.changed), (vec!["b".into()], vec!["a".into()]));
    // The labeller's version is part of a revision.
    let next = desk.store.apply_catalogue(catalogue(TWO), "test/2", false, None, NOW).unwrap();
    assert_eq!((next.revision, next.new), (3, true));
    assert_eq!(desk.store.revision(Some(2)).unwrap().labeller, "test/1");
}

#[test]
fn an_apply_against_another_revision_than_the_current_is_a_conflict() {
    let desk = Desk::new();
    desk.apply(ONE);
    let apply = |if_match| desk.store.apply_catalogue(catalogue(TWO), "test/1", true, Some(if_match), NOW);
    for wrong in [0, 2] {
        assert!(matches!(apply(wrong), Err(Error::Conflict(_))));
    }
    assert_eq!(desk.store.revision(None).unwrap().catalogue, catalogue(ONE));
    assert_eq!(apply(1).unwrap().revision, 2);
}

#[test]
fn removing_a_topic_has_to_be_allowed() {
    let desk = Desk::new();
    desk.apply(TWO);
    let Err(Error::Conflict(text)) = desk.store.apply_catalogue(catalogue(ONE), "test/1", false, None, NOW) else {
        panic!("removed")
    };
    assert!(text.contains('b') && text.contains("allow_remove"), "{text}");
    assert_eq!(desk.store.revision(None).unwrap().revision, 1);
    let applied = desk.store.apply_catalogue(catalogue(ONE), "test/1", true, None, NOW).unwrap();
    assert_eq!(applied.difference.removed, ["b"]);
}

#[test]
fn any_revision_can_be_shown_and_applied_again() {
    let desk = Desk::new();
    assert_eq!(desk.store.revision(None).unwrap().revision, 0, "every store begins with an empty one");
    desk.apply(ONE);
    desk.apply(TWO);
    let first = desk.store.revision(Some(1)).unwrap();
    assert_eq!((first.revision, first.applied_at, &first.catalogue), (1, NOW, &catalogue(ONE)));
    let again = desk.store.apply_catalogue(first.catalogue, "test/1", true, None, NOW).unwrap();
    assert_eq!((again.revision, again.new), (3, true));
    assert_eq!(desk.store.revision(None).unwrap().catalogue, catalogue(ONE));
    assert!(matches!(desk.store.revision(Some(4)), Err(Error::NotFound(_))));

    // Read alike: the first and the third, and per program.
    let program = |id: &str| desk.store.names().program(id).unwrap();
    assert_eq!(desk.store.alike(program("p"), 3).unwrap(), [1, 3]);
    assert_eq!(desk.store.alike(program("q"), 3).unwrap(), [1, 3], "both without a topic");
    assert_eq!(desk.store.alike(program("q"), 2).unwrap(), [2]);
}

#[test]
fn a_revision_knows_what_its_programs_formerly_had() {
    let desk = Desk::new();
    desk.apply(ONE);
    desk.apply(TWO);
    desk.apply(r#"{"topics":[{"id":"b","name":"B","programs":["p"],"phrases":["beta"]}]}"#);
    let (topic, program) = {
        let names = desk.store.names();
        (["a", "b"].map(|id| names.topic(id).unwrap()), ["p", "q"].map(|id| names.program(id).unwrap()))
    };
    let rules = |revision| desk.store.program_rules(revision).unwrap();
    let third = rules(3);
    assert_eq!((&third[&program[0]].topics, &third[&program[0]].former), (&vec![topic[1]], &vec![topic[0]]));
    assert_eq!((&third[&program[1]].topics, &third[&program[1]].former), (&vec![], &vec![topic[1]]));
    assert!(rules(1)[&program[0]].former.is_empty(), "an earlier one knows nothing of later ones");
}
