//! Import: what goes in, what stays of what was there, and erasing.

use relabeld::job::Filter;
use relabeld::lines::MarkWord;
use relabeld::model::Kind::{Conversation, Note};
use relabeld::store::{Error, ImportCounts, LabelQuery, MarkWish};
use serde_json::{Value, json};

use crate::Desk;
use crate::common::{NOW, conversation, incoming, note, publish_single, wish};

fn counts(desk: &Desk, lines: &[String]) -> ImportCounts {
    desk.import(lines).counts
}

fn value(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

fn said(id: &str, texts: &[&str]) -> String {
    let blocks: Vec<(&str, &str)> = texts.iter().map(|text| ("customer", *text)).collect();
    conversation(id, &["p"], &blocks)
}

/// Places of the labels that stand, with `!` behind a person's.
fn labels(desk: &Desk, id: &str) -> Vec<String> {
    let shown = desk.store.show_item(Conversation, id).unwrap();
    let word = |l: relabeld::store::ShownLabel| {
        format!("{}/{}:{}{}", l.transcript, l.block, l.topic, if l.human { "!" } else { "" })
    };
    let mut words: Vec<String> = shown.labels.into_iter().map(word).collect();
    words.sort();
    words
}

fn marks(desk: &Desk, id: &str) -> Vec<(u32, bool)> {
    desk.store.show_item(Conversation, id).unwrap().marks.iter().map(|mark| (mark.block, mark.is)).collect()
}

#[test]
fn what_goes_in_comes_out_as_it_was() {
    let desk = Desk::new();
    let line = json!({"kind": "conversation", "id": "Ünï/códe \"1\"", "media": "voice", "started_at": "2026-11-01T10:00:00Z",
        "programs": ["b", "a"], "transcripts": [
            {"id": "t2", "program": "c", "language": "en-US", "blocks": [{"speaker": "agent", "text": "", "at_ms": -5}]},
            {"id": "t1", "blocks": [{"speaker": "x", "text": "🦊 two\n\nlines"}, {"speaker": "customer", "text": "…", "at_ms": 9}]}]});
    let lines = [line.to_string(), note("n", 7, &[], "one\n\n  two  \n \n\nthree")];
    assert_eq!(counts(&desk, &lines), ImportCounts { inserted: 2, ..ImportCounts::default() });
    for (no, given) in incoming(&lines) {
        let shown = desk.store.show_item(given.item.kind, &given.item.id).unwrap();
        assert_eq!(shown.item, given.item, "line {no}");
    }
    // Keys are case-sensitive, and a kind is part of one.
    desk.import(&[said("n", &["x"]), note("N", 1, &[], "x")]);
    assert_eq!(desk.store.count(&Filter::all()).unwrap().total, 4);
    desk.check();
}

#[test]
fn the_same_again_is_unchanged() {
    let desk = Desk::new();
    let lines = [said("c", &["x"]), note("n", 1, &["p"], "text")];
    counts(&desk, &lines);
    assert_eq!(counts(&desk, &lines), ImportCounts { unchanged: 2, ..ImportCounts::default() });
    let other = [said("c", &["y"]), note("n", 2, &["p"], "text")];
    assert_eq!(counts(&desk, &other), ImportCounts { updated: 2, ..ImportCounts::default() });
    // Twice in one batch: the second finds the first.
    let twice = [said("d", &["x"]), said("d", &["x"]), said("d", &["y"])];
    assert_eq!(
        counts(&desk, &twice),
        ImportCounts { inserted: 1, unchanged: 1, updated: 1, ..ImportCounts::default() }
    );
    desk.check();
}

#[test]
fn an_old_note_and_one_with_other_text_are_refused() {
    let desk = Desk::new();
    desk.import(&[note("n", 3, &["p"], "third")]);
    let outcome = desk.import(&[
        note("n", 2, &["p"], "third"),
        note("n", 3, &["p"], "other"),
        note("n", 3, &["p", "q"], "third"),
    ]);
    assert_eq!(outcome.counts, ImportCounts { refused: 2, updated: 1, ..ImportCounts::default() });
    let lines: Vec<u64> = outcome.remarks.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [1, 2]);
    assert!(outcome.remarks[0].1.contains("older") && outcome.remarks[1].1.contains("other text"), "{outcome:?}");
    assert!(outcome.remarks.iter().all(|(_, why)| !why.contains("third")), "a remark quotes no text");
    assert_eq!(desk.store.show_item(Note, "n").unwrap().item.text.as_deref(), Some("third"));
    desk.check();
}

#[test]
fn a_batch_goes_in_whole_or_not_at_all() {
    let desk = Desk::new();
    let mut batch = incoming(&[said("c", &["x"]), said("d", &["x"])]);
    batch[1].1.marks = Some(vec![relabeld::lines::IncomingMark {
        transcript: "no such".into(),
        block: 0,
        topic: "only-here".into(),
        mark: MarkWord::Is,
    }]);
    assert!(matches!(desk.store.import(batch.into_iter().collect(), NOW), Err(Error::Invalid(_))));
    assert_eq!(desk.store.count(&Filter::all()).unwrap().total, 0);
    assert_eq!(desk.store.names().program("p"), None, "names that were given out are forgotten");
    assert_eq!(counts(&desk, &[said("c", &["x"])]).inserted, 1);
    desk.check();
}

/// Labels by the one rule `alpha` on every block, as a job puts them.
fn label(desk: &Desk) {
    desk.apply(r#"{"topics":[{"id":"a","name":"A","programs":["p"],"phrases":["alpha"]}]}"#);
    let job = desk.planned();
    while let Some(leased) = desk.lease_at(job, 256, NOW) {
        desk.finish(&leased);
    }
}

#[test]
fn a_block_equal_at_its_place_keeps_its_labels_and_others_lose_those_of_rules() {
    let desk = Desk::new();
    desk.import(&[said("c", &["alpha", "x"])]);
    label(&desk);
    assert_eq!(labels(&desk, "c"), ["t1/0:a"]);
    desk.import(&[said("c", &["alpha", "other", "more"])]);
    assert_eq!(labels(&desk, "c"), ["t1/0:a"]);
    desk.import(&[said("c", &["new", "alpha"])]);
    assert_eq!(labels(&desk, "c"), Vec::<String>::new(), "a rule's label follows no text");
    let history = desk.store.changes_after(0, 10).unwrap();
    assert_eq!(history.len(), 2, "added and removed are history: {history:?}");

    // Another speaker is another block.
    desk.import(&[said("c", &["alpha"])]);
    let job = desk.planned();
    desk.finish(&desk.lease(job, 9));
    assert_eq!(labels(&desk, "c"), ["t1/0:a"]);
    desk.import(&[conversation("c", &["p"], &[("agent", "alpha")])]);
    assert_eq!(labels(&desk, "c"), Vec::<String>::new());
    desk.check();
}

#[test]
fn labels_name_their_transcript_when_transcripts_come_and_go() {
    let desk = Desk::new();
    let of = |ids: &[&str]| {
        let transcript = |id: &&str| json!({"id": id, "blocks": [{"speaker": "customer", "text": "alpha"}]});
        let mut line = value(&said("c", &["alpha"]));
        line["transcripts"] = ids.iter().map(transcript).collect();
        line.to_string()
    };
    desk.import(&[of(&["t1"])]);
    label(&desk);
    desk.import(&[of(&["t0", "t1"])]);
    assert_eq!(labels(&desk, "c"), ["t1/0:a"]);
    desk.import(&[of(&["t0"])]);
    assert_eq!(labels(&desk, "c"), Vec::<String>::new());
    desk.import(&[of(&["t1", "t0"])]);
    assert_eq!(labels(&desk, "c"), Vec::<String>::new(), "a transcript that comes again comes without labels");
    let item = desk.store.show_item(Conversation, "c").unwrap().item;
    assert_eq!(item.transcripts.iter().map(|t| t.id.as_str()).collect::<Vec<_>>(), ["t1", "t0"]);
    desk.check();
}

fn mark(desk: &Desk, block: u32, is: Option<bool>) -> Result<(), Error> {
    let wish = MarkWish { transcript: "t1".into(), block, topic: "a".into(), is };
    desk.store.mark_item(Conversation, "c", vec![wish], NOW)
}

#[test]
fn a_mark_stays_with_its_block_follows_its_text_or_is_dropped_with_a_remark() {
    let desk = Desk::new();
    desk.import(&[said("c", &["stays", "moves", "doubles", "goes", "not"])]);
    for block in 0..4 {
        mark(&desk, block, Some(true)).unwrap();
    }
    mark(&desk, 4, Some(false)).unwrap();
    let outcome = desk.import(&[said("c", &["stays", "doubles", "x", "doubles", "y", "moves", "not"])]);
    assert_eq!(outcome.counts, ImportCounts { updated: 1, marks_dropped: 2, ..ImportCounts::default() });
    assert_eq!(marks(&desk, "c"), [(0, true), (5, true), (6, false)]);
    assert_eq!(labels(&desk, "c"), ["t1/0:a!", "t1/5:a!"]);
    let remarks: Vec<&str> = outcome.remarks.iter().map(|(_, text)| text.as_str()).collect();
    assert!(remarks.len() == 2 && remarks[0].contains("block 2") && remarks[1].contains("block 3"), "{remarks:?}");
    desk.check();
}

/// A conversation `c` of transcripts with the texts of their blocks.
fn spoken(transcripts: &[(&str, &[&str])]) -> String {
    let block = |text: &&str| json!({"speaker": "customer", "text": text});
    let mut line = value(&said("c", &["x"]));
    line["transcripts"] = transcripts
        .iter()
        .map(|(id, texts)| json!({"id": id, "blocks": texts.iter().map(block).collect::<Vec<_>>()}))
        .collect();
    line.to_string()
}

fn put_mark(desk: &Desk, transcript: &str, block: u32, topic: &str, is: bool) {
    let wish = MarkWish { transcript: transcript.into(), block, topic: topic.into(), is: Some(is) };
    desk.store.mark_item(Conversation, "c", vec![wish], NOW).unwrap();
}

/// Places of the marks that stand, with their words.
fn marked(desk: &Desk) -> Vec<String> {
    let shown = desk.store.show_item(Conversation, "c").unwrap();
    shown.marks.iter().map(|mark| format!("{}/{}:{}={}", mark.transcript, mark.block, mark.topic, mark.is)).collect()
}

#[test]
fn a_mark_follows_the_only_equal_text_into_another_transcript_with_its_label_and_its_time() {
    let desk = Desk::new();
    desk.import(&[spoken(&[("t1", &["moves", "doubles", "new here"]), ("t2", &["x"])])]);
    for (block, is) in [(0, true), (1, true), (2, false)] {
        put_mark(&desk, "t1", block, "a", is);
    }
    // Transcript t1 is gone; one text stands in two of those that there are now.
    let line = spoken(&[("t2", &["x", "doubles", "new here"]), ("t3", &["y", "moves", "doubles"])]);
    let outcome = desk.store.import(incoming(&[line]).into_iter().collect(), NOW + 5_000).unwrap();
    assert_eq!(outcome.counts, ImportCounts { updated: 1, marks_dropped: 1, ..ImportCounts::default() });
    assert!(outcome.remarks[0].1.contains("block 1 of transcript \"t1\""), "{outcome:?}");
    assert_eq!(marked(&desk), ["t2/2:a=false", "t3/1:a=true"]);
    assert_eq!(labels(&desk, "c"), ["t3/1:a!"]);
    let label = desk.store.show_item(Conversation, "c").unwrap().labels.remove(0);
    assert_eq!((label.by.at, label.by.job), (NOW, 0), "a person said it then, not at the import");
    desk.check();
}

#[test]
fn a_mark_does_not_follow_to_where_one_on_its_topic_stays() {
    let desk = Desk::new();
    desk.import(&[spoken(&[("t1", &["same", "same", "same"])])]);
    put_mark(&desk, "t1", 0, "a", true);
    put_mark(&desk, "t1", 1, "a", false);
    put_mark(&desk, "t1", 2, "b", true);
    let outcome = desk.import(&[spoken(&[("t1", &["same", "other"])])]);
    assert_eq!(outcome.counts.marks_dropped, 1, "{outcome:?}");
    assert!(outcome.remarks[0].1.contains("\"a\" on block 1"), "{outcome:?}");
    assert_eq!(marked(&desk), ["t1/0:a=true", "t1/0:b=true"]);
    assert_eq!(labels(&desk, "c"), ["t1/0:a!", "t1/0:b!"]);
    desk.check();
}

#[test]
fn thousands_of_marks_each_follow_their_text() {
    const MANY: usize = 3_000;
    let desk = Desk::new();
    let text = |n: usize| format!("text {n}");
    let ids: Vec<String> = (0..MANY).map(|n| format!("t{n}")).collect();
    let item = |shift: usize| {
        let texts: Vec<String> = (0..MANY).map(|n| text((n + shift) % MANY)).collect();
        let blocks: Vec<[&str; 1]> = texts.iter().map(|text| [text.as_str()]).collect();
        let transcripts: Vec<(&str, &[&str])> =
            ids.iter().map(String::as_str).zip(blocks.iter().map(|b| &b[..])).collect();
        spoken(&transcripts)
    };
    let mut line = value(&item(0));
    line["marks"] = ids.iter().map(|id| json!({"transcript": id, "block": 0, "topic": "a", "mark": "is"})).collect();
    assert_eq!(counts(&desk, &[line.to_string()]).inserted, 1);
    let outcome = desk.store.import(incoming(&[item(1)]).into_iter().collect(), NOW + 5_000).unwrap();
    assert_eq!(outcome.counts, ImportCounts { updated: 1, ..ImportCounts::default() });
    let shown = desk.store.show_item(Conversation, "c").unwrap();
    assert_eq!((shown.marks.len(), shown.labels.len()), (MANY, MANY));
    assert!(shown.labels.iter().all(|label| label.human && label.by.at == NOW));
    desk.check();
}

#[test]
fn marks_absent_leave_marks_alone_and_present_replace_them() {
    let desk = Desk::new();
    desk.import(&[said("c", &["alpha", "x"])]);
    mark(&desk, 0, Some(true)).unwrap();
    desk.import(&[said("c", &["alpha", "y"])]);
    assert_eq!(marks(&desk, "c"), [(0, true)]);

    let mut line = value(&said("c", &["alpha", "y"]));
    line["marks"] = json!([{"transcript": "t1", "block": 1, "topic": "a", "mark": "is_not"}]);
    assert_eq!(counts(&desk, &[line.to_string()]), ImportCounts { updated: 1, ..ImportCounts::default() });
    assert_eq!((marks(&desk, "c"), labels(&desk, "c")), (vec![(1, false)], vec![]));
    assert_eq!(counts(&desk, &[line.to_string()]).unchanged, 1);
    line["marks"] = json!([]);
    assert_eq!(counts(&desk, &[line.to_string()]).updated, 1);
    assert_eq!(marks(&desk, "c"), []);
    desk.check();
}

#[test]
fn marks_are_set_all_or_none_and_those_not_named_stay() {
    let desk = Desk::new();
    desk.import(&[said("c", &["alpha", "x"])]);
    mark(&desk, 0, Some(true)).unwrap();
    mark(&desk, 1, Some(false)).unwrap();
    assert_eq!(marks(&desk, "c"), [(0, true), (1, false)]);
    let wish = |block, is| MarkWish { transcript: "t1".into(), block, topic: "a".into(), is };
    let refused = desk.store.mark_item(Conversation, "c", vec![wish(0, None), wish(2, Some(true))], NOW);
    assert!(matches!(refused, Err(Error::Invalid(text)) if text.contains("marks[1]")));
    assert_eq!(marks(&desk, "c"), [(0, true), (1, false)]);
    mark(&desk, 0, Some(false)).unwrap();
    mark(&desk, 1, None).unwrap();
    assert_eq!((marks(&desk, "c"), labels(&desk, "c")), (vec![(0, false)], vec![]));
    assert!(matches!(desk.store.mark_item(Conversation, "d", vec![], NOW), Err(Error::NotFound(_))));
    desk.check();
}

// Erasing ------------------------------------------------------------------------------------------------------------

#[test]
fn an_erased_item_is_gone_and_its_key_can_come_again() {
    let desk = Desk::new();
    desk.import(&[said("c", &["alpha"]), said("d", &["alpha"])]);
    label(&desk);
    mark(&desk, 0, Some(true)).unwrap();
    desk.store.erase_item(Conversation, "c", NOW).unwrap();
    assert!(matches!(desk.store.show_item(Conversation, "c"), Err(Error::NotFound(_))));
    assert!(matches!(desk.store.erase_item(Conversation, "c", NOW), Err(Error::NotFound(_))));
    assert!(matches!(mark(&desk, 0, Some(true)), Err(Error::NotFound(_))));
    assert!(matches!(publish_single(&desk.store, Conversation, "c", None), Err(Error::NotFound(_))));
    let query = LabelQuery { filter: Filter::all(), topics: vec![] };
    assert!(desk.store.label_rows(&query, None).unwrap().0.iter().all(|row| row.id == "d"));
    let of_c = desk.store.changes_after(0, 10).unwrap().into_iter().filter(|change| change.id == "c");
    assert!(of_c.map(|change| (change.old, change.new)).eq([(None, None)]), "the feed only says that it went");
    desk.check();

    assert_eq!(counts(&desk, &[said("c", &["alpha"])]).inserted, 1);
    assert_eq!((labels(&desk, "c"), marks(&desk, "c")), (vec![], vec![]));
    assert_eq!(desk.store.topic_counts(None, None).unwrap().programs["p"], (2, 1));
    let job = desk.store.publish_range(wish(Filter::all()), 0, NOW).unwrap().job;
    desk.plan();
    assert_eq!(desk.job(job.id).counts.total, Some(2));
    desk.check();
}

/// Whether any file of the data directory holds the text.
fn on_disk(desk: &Desk, text: &str) -> Vec<String> {
    let files = std::fs::read_dir(desk.dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let holds = |path: &std::path::PathBuf| {
        std::fs::read(path).unwrap().windows(text.len()).any(|window| window == text.as_bytes())
    };
    files.filter(holds).map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

#[test]
fn no_byte_of_an_erased_text_is_left_in_the_files() {
    let desk = Desk::new();
    // Among neighbours whose pages split, and with earlier texts of its own, short and of many pages.
    let filler = |n: usize, word: &str| said(&format!("f{n}"), &[&word.repeat(20 + n * 37 % 400)]);
    let secret = |no: usize, length: usize| {
        said("secret", &[&format!("secret-{no} {}", format!("classified-{no} ").repeat(length))])
    };
    desk.import(&(0..60).map(|n| filler(n, "some words ")).collect::<Vec<_>>());
    for (no, length) in [3, 900, 40, 2_000, 150].into_iter().enumerate() {
        desk.import(&[secret(no, length)]);
        desk.import(&(0..60).map(|n| filler(n + no * 31, "other words ")).collect::<Vec<_>>());
    }
    assert!(!on_disk(&desk, "classified-4").is_empty(), "or this test cannot fail");
    desk.store.erase_item(Conversation, "secret", NOW).unwrap();
    for no in 0..5 {
        for word in ["secret-", "classified-"] {
            assert_eq!(on_disk(&desk, &format!("{word}{no}")), Vec::<String>::new(), "{word}{no}");
        }
    }
    desk.check();
}
