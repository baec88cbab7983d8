use serde_json::json;

use super::*;

fn conversation() -> Value {
    json!({"kind": "conversation", "id": "fs-1", "media": "voice", "started_at": "2026-11-01T10:00:00Z",
        "programs": ["billing"], "labels": [{"whatever": 1}],
        "transcripts": [{"id": "t1", "program": "p", "language": "en-US",
            "blocks": [{"speaker": "customer", "text": "caf\u{e9} \"x\"", "at_ms": 1200, "mood": null},
                       {"speaker": "agent", "text": ""}]}],
        "marks": [{"transcript": "t1", "block": 0, "topic": "refund", "mark": "is", "at": "2026"}]})
}

fn note() -> Value {
    json!({"kind": "note", "id": "n-9", "version": 3, "created_at": 1_774_958_400, "text": "a\nb\n\nc",
        "transcripts": "not a note's", "media": 7})
}

fn parsed(value: &Value) -> Result<Incoming, String> {
    parse_line(value.to_string().as_bytes())
}

/// What is said of a good line once `pointer` holds `value`, or lacks it where that is `None`.
fn error(mut line: Value, pointer: &str, value: Option<Value>) -> String {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = line.pointer_mut(parent).unwrap();
    match value {
        Some(value) if parent.is_array() => parent[key.parse::<usize>().unwrap()] = value,
        Some(value) => parent[key] = value,
        None => drop(parent.as_object_mut().unwrap().remove(key)),
    }
    parsed(&line).expect_err(pointer)
}

#[test]
fn reads_a_conversation() {
    let Incoming { item, marks } = parsed(&conversation()).unwrap();
    assert_eq!((item.kind, item.id.as_str(), item.at), (Kind::Conversation, "fs-1", 1_793_527_200_000));
    assert_eq!((item.media.as_deref(), item.version, item.text), (Some("voice"), None, None));
    let [transcript] = &item.transcripts[..] else { panic!() };
    assert_eq!((transcript.program.as_deref(), transcript.language.as_deref()), (Some("p"), Some("en-US")));
    let customer = Block { speaker: Some("customer".into()), text: "caf\u{e9} \"x\"".into(), at_ms: Some(1200) };
    let agent = Block { speaker: Some("agent".into()), text: String::new(), at_ms: None };
    assert_eq!(transcript.blocks, [customer, agent]);
    let mark = IncomingMark { transcript: "t1".into(), block: 0, topic: "refund".into(), mark: MarkWord::Is };
    assert_eq!(marks, Some(vec![mark]));
}

#[test]
fn reads_a_note() {
    let Incoming { item, marks } = parsed(&note()).unwrap();
    assert_eq!((item.kind, item.version, item.at), (Kind::Note, Some(3), 1_774_958_400_000));
    assert_eq!((item.media, item.programs.len(), marks), (None, 0, None));
    assert_eq!(item.transcripts[0].id, NOTE_TRANSCRIPT);
    let blocks: Vec<_> = item.transcripts[0].blocks.iter().map(|b| (b.speaker.as_deref(), b.text.as_str())).collect();
    assert_eq!(blocks, [(None, "a\nb"), (None, "c")]);
    let mut line = note();
    line["version"] = json!("12");
    line["marks"] = json!([{"transcript": "note", "block": 1, "topic": "t", "mark": "is_not"}]);
    let Incoming { item, marks } = parsed(&line).unwrap();
    assert_eq!((item.version, marks.unwrap()[0].mark), (Some(12), MarkWord::IsNot));
}

#[test]
fn null_is_as_good_as_absent_and_marks_collapse() {
    let mut line = conversation();
    line["programs"] = json!(null);
    line["marks"] = json!(null);
    line["transcripts"][0]["program"] = json!(null);
    line["transcripts"][0]["blocks"][0]["at_ms"] = json!(-5.0);
    let Incoming { item, marks } = parsed(&line).unwrap();
    assert_eq!((item.programs.len(), marks, &item.transcripts[0].program), (0, None, &None));
    assert_eq!(item.transcripts[0].blocks[0].at_ms, Some(-5));
    line["marks"] = json!([]);
    assert_eq!(parsed(&line).unwrap().marks, Some(vec![]));
    let mark = json!({"transcript": "t1", "block": 1, "topic": "t", "mark": "is"});
    line["marks"] = json!([mark, mark]);
    assert_eq!(parsed(&line).unwrap().marks.unwrap().len(), 1);
    line["marks"][1]["mark"] = json!("is_not");
    assert_eq!(parsed(&line).unwrap_err(), "marks[1]: contradicts an earlier mark on the same block and topic");
}

#[test]
fn a_missing_field_is_named() {
    for field in ["kind", "id", "media", "started_at", "transcripts"] {
        assert_eq!(error(conversation(), &format!("/{field}"), None), format!("{field}: missing"));
        assert_eq!(error(conversation(), &format!("/{field}"), Some(json!(null))), format!("{field}: missing"));
    }
    for field in ["id", "version", "created_at", "text"] {
        assert_eq!(error(note(), &format!("/{field}"), None), format!("{field}: missing"));
    }
    for (pointer, path) in [
        ("/transcripts/0/id", "transcripts[0].id"),
        ("/transcripts/0/blocks", "transcripts[0].blocks"),
        ("/transcripts/0/blocks/1/text", "transcripts[0].blocks[1].text"),
        ("/transcripts/0/blocks/1/speaker", "transcripts[0].blocks[1].speaker"),
        ("/marks/0/transcript", "marks[0].transcript"),
        ("/marks/0/block", "marks[0].block"),
        ("/marks/0/topic", "marks[0].topic"),
        ("/marks/0/mark", "marks[0].mark"),
    ] {
        assert_eq!(error(conversation(), pointer, None), format!("{path}: missing"));
    }
}

#[test]
fn a_wrong_field_is_named_and_not_quoted() {
    let secret = json!("secret words");
    for (pointer, value, expected) in [
        ("/kind", secret.clone(), "kind: must be conversation or note"),
        ("/id", json!(7), "id: must be a string, not a number"),
        ("/id", json!(""), "id: empty"),
        ("/id", json!("x".repeat(513)), "id: longer than 512 bytes: it has 513"),
        ("/id", json!("a\u{0}"), "id: holds a control character"),
        ("/media", json!(""), "media: empty"),
        ("/media", json!(["secret words"]), "media: must be a string, not an array"),
        ("/started_at", secret.clone(), "started_at: not a time; accepted are"),
        ("/started_at", json!("2026-02-30"), "started_at: not a date and time that exists"),
        ("/started_at", json!("30d"), "started_at: a span"),
        ("/started_at", json!({}), "started_at: must be a string or a number, not an object"),
        ("/programs", secret.clone(), "programs: must be an array, not a string"),
        ("/programs/0", json!(""), "programs[0]: empty"),
        ("/programs/0", json!(null), "programs[0]: must be a string, not null"),
        ("/transcripts", json!([]), "transcripts: empty"),
        ("/transcripts/0", secret.clone(), "transcripts[0]: must be an object, not a string"),
        ("/transcripts/0/id", json!(""), "transcripts[0].id: empty"),
        ("/transcripts/0/program", json!(""), "transcripts[0].program: empty"),
        ("/transcripts/0/language", json!(1), "transcripts[0].language: must be a string, not a number"),
        ("/transcripts/0/blocks", json!([]), "transcripts[0].blocks: empty"),
        ("/transcripts/0/blocks/1", json!(["a", "b"]), "transcripts[0].blocks[1]: must be an object, not an array"),
        ("/transcripts/0/blocks/1/speaker", json!(""), "transcripts[0].blocks[1].speaker: empty"),
        ("/transcripts/0/blocks/1/text", json!(true), "transcripts[0].blocks[1].text: must be a string, not true"),
        (
            "/transcripts/0/blocks/0/at_ms",
            json!(0.5),
            "transcripts[0].blocks[0].at_ms: must be a whole number, not a f",
        ),
        ("/transcripts/0/blocks/0/at_ms", json!(u64::MAX), "transcripts[0].blocks[0].at_ms: must be a whole number"),
        ("/marks", secret.clone(), "marks: must be an array"),
        ("/marks/0/transcript", secret.clone(), "marks[0].transcript: the item has no such transcript"),
        ("/marks/0/block", json!(2), "marks[0].block: the transcript has blocks 0 to 1"),
        ("/marks/0/block", json!(-1), "marks[0].block: the transcript has blocks 0 to 1"),
        ("/marks/0/topic", json!(""), "marks[0].topic: empty"),
        ("/marks/0/mark", secret.clone(), "marks[0].mark: must be is or is_not"),
    ] {
        let said = error(conversation(), pointer, Some(value));
        assert!(said.starts_with(expected) && !said.contains("secret"), "{said}");
    }
    for value in [json!(-1), json!(1.5), json!("-1"), json!("+1"), json!(""), json!("9".repeat(30))] {
        assert_eq!(error(note(), "/version", Some(value)), "version: must be a whole number, 0 or more");
    }
    let mut twice = conversation();
    let transcript = twice["transcripts"][0].clone();
    twice["transcripts"].as_array_mut().unwrap().push(transcript);
    assert_eq!(parsed(&twice).unwrap_err(), "transcripts[1].id: the same as transcripts[0].id");
}

#[test]
fn what_an_item_may_carry_is_bounded() {
    let blocks = |count: usize| json!(vec![json!({"speaker": "a", "text": ""}); count]);
    let transcripts = |count: usize, each: usize| -> Value {
        (0..count).map(|at| json!({"id": at.to_string(), "blocks": blocks(each)})).collect()
    };
    let mark = json!({"transcript": "t1", "block": 0, "topic": "x", "mark": "is"});
    let bounds = |programs: usize, transcripts: Value, marks: usize| {
        let mut item = conversation();
        item["programs"] = json!(vec!["p"; programs]);
        item["transcripts"] = transcripts;
        item["transcripts"][0]["id"] = json!("t1");
        item["marks"] = json!(vec![mark.clone(); marks]);
        parsed(&item).err()
    };
    assert_eq!(bounds(1_000, transcripts(10_000, 10), 100_000), None);
    for (programs, transcripts, marks, expected) in [
        (1_001, transcripts(1, 1), 1, "programs: has 1001 entries, and at most 1000 are allowed"),
        (1, transcripts(10_001, 1), 1, "transcripts: has 10001 entries, and at most 10000 are allowed"),
        (1, transcripts(1, 100_001), 1, "transcripts[0].blocks: has 100001 entries, and at most 100000 are allowed"),
        (1, transcripts(2, 50_001), 1, "transcripts: has 100002 blocks in all, and at most 100000 are allowed"),
        (1, transcripts(1, 1), 100_001, "marks: has 100001 entries, and at most 100000 are allowed"),
    ] {
        assert_eq!(bounds(programs, transcripts, marks).as_deref(), Some(expected));
    }
    assert_eq!(
        error(note(), "/text", Some(json!("a\n\n".repeat(100_001)))),
        "text: has 100001 paragraphs, and at most 100000 are allowed"
    );
}

#[test]
fn what_is_no_json_object_is_refused() {
    for (line, expected) in [
        (&b"{\"id\":\"secret"[..], "not JSON: EOF while parsing a string at column 13"),
        (b"secret", "not JSON: expected value at column 1"),
        (b"{} {}", "not JSON: trailing characters at column 4"),
        (b"{\"id\":\"\\ud800\"}", "not JSON: "),
        (b"{\"id\":1,\"id\":2}", "duplicate field `id` at column "),
        (b"{\"other\":\"\xff\"}", "not UTF-8 at byte 11"),
        (b"[1]", "must be an object, not an array"),
        (b"null", "must be an object, not null"),
    ] {
        let said = parse_line(line).unwrap_err();
        assert!(said.starts_with(expected) && !said.contains("secret"), "{said}");
    }
    assert!(parse_line("[".repeat(100_000).as_bytes()).is_err());
    assert!(parse_line(format!("{{\"x\":{}", "[".repeat(100_000)).as_bytes()).is_err());
}

#[test]
fn paragraphs_are_divided_by_blank_lines() {
    for (text, expected) in [
        ("", &[""][..]),
        (" \n\t\r\n", &[""]),
        ("one", &["one"]),
        ("one\ntwo\n", &["one\ntwo"]),
        ("\n\n  one \n  two\n \t\n\n\u{a0}\nthree\n\n", &["one \n  two", "three"]),
        ("one\r\ntwo\r\n\r\nthree\r\n", &["one\r\ntwo", "three"]),
    ] {
        let found = paragraphs(text);
        assert_eq!(found, expected, "{text:?}");
        let whole = text.as_bytes().as_ptr_range();
        assert!(found.iter().all(|p| whole.start <= p.as_ptr() && p.as_ptr() <= whole.end));
    }
}
