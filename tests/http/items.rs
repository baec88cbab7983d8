//! Items over HTTP: imported in every form, shown, marked, erased.

use std::io::Write;
use std::net::Shutdown;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::daemon::{Daemon, Reply};
use super::{conversation, everything, lines, note, spanned, stocked};

fn gzipped(text: &str) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

fn count(daemon: &Daemon) -> Value {
    daemon.see("/api/v1/status")["items"].clone()
}

#[test]
fn an_import_tells_what_became_of_each_line() {
    let daemon = Daemon::start();
    let all = daemon.import(&lines());
    assert_eq!(
        all,
        json!({"inserted": 4, "updated": 0, "unchanged": 0, "refused": 0, "bad": 0, "marks_dropped": 0, "errors": [],
            "last_line": 4})
    );
    let again = daemon.import(&[
        conversation("fs-1", &["Hello", "I want my money back"]),
        conversation("fs-2", &["Good evening"]),
        note("n-1", 2, "Older."),
        note("n-2", 2, "The parcel came."),
        "not an item".into(),
        conversation("fs-3", &["New"]),
    ]);
    let counts = ["inserted", "updated", "unchanged", "refused", "bad"].map(|name| again[name].as_i64().unwrap());
    assert_eq!(counts, [1, 2, 1, 1, 1], "{again}");
    let mut places: Vec<i64> =
        again["errors"].as_array().unwrap().iter().map(|e| e["line"].as_i64().unwrap()).collect();
    places.sort();
    assert_eq!(places, [3, 5]);
    assert_eq!(count(&daemon), 5);
    assert_eq!(daemon.see("/api/v1/items/note/n-2")["version"], 2);
}

#[test]
fn the_batches_of_a_long_import_report_one_after_the_other() {
    let daemon = Daemon::start();
    daemon.import(&(0..900).map(|n| note(&format!("n-{n}"), 2, "newer")).collect::<Vec<_>>());
    // A batch is read while the one before is stored; of each the lines that are no items come first.
    let line = |n: usize| match n % 10 {
        3 => note(&format!("n-{}", n / 10), 1, "older"),
        7 => "not an item".into(),
        _ => conversation(&format!("c-{n}"), &["hello"]),
    };
    let answer = daemon.import(&(0..9_000).map(line).collect::<Vec<_>>());
    let counts = ["inserted", "refused", "bad", "last_line"].map(|name| answer[name].as_i64().unwrap());
    assert_eq!(counts, [7_200, 900, 900, 9_000]);
    assert_eq!(count(&daemon), 8_100);
    let lines: Vec<i64> = answer["errors"].as_array().unwrap().iter().map(|e| e["line"].as_i64().unwrap()).collect();
    assert_eq!(lines.len(), 1_000);
    let runs: Vec<&[i64]> = lines.chunk_by(|one, other| one % 10 == other % 10).collect();
    assert!(runs.len() > 4 && runs.iter().all(|run| run.is_sorted()), "{runs:?}");
    for of_batch in runs.chunks_exact(2) {
        let [bad, refused] = [of_batch[0], of_batch[1]].map(|run| run[run.len() - 1]);
        assert!(bad % 10 == 8 && refused % 10 == 4 && bad.abs_diff(refused) < 10, "{runs:?}");
    }
}

#[test]
fn gzip_is_known_by_its_header_or_by_itself() {
    let daemon = Daemon::start();
    let text = lines().join("\n");
    let half = text.len() / 2;
    let two_members = [gzipped(&text[..half]), gzipped(&text[half..])].concat();
    for (at, body) in [gzipped(&text), two_members].into_iter().enumerate() {
        let sent = daemon.ask("POST", "/api/v1/items").body(body.clone());
        let counted = if at == 0 { "inserted" } else { "unchanged" };
        assert_eq!(sent.send().expect(200)[counted], 4);
        assert_eq!(sent.clone().header("Content-Encoding", "gzip").send().expect(200)["unchanged"], 4);
        assert_eq!(sent.chunked(7).expect(200)["unchanged"], 4);
    }
}

#[test]
fn a_damaged_gzip_stops_where_it_is_damaged() {
    let daemon = Daemon::start();
    let many: Vec<String> = (0..9_000).map(|n| conversation(&format!("c-{n}"), &["hello"])).collect();
    let whole = gzipped(&many.join("\n"));
    let answer = daemon.ask("POST", "/api/v1/items").body(&whole[..whole.len() / 2]).send();
    let problem = answer.expect_problem(400, "bad_request", &["ended early"]);
    let stored = problem["last_line"].as_i64().unwrap();
    assert!((1..9_000).contains(&stored), "{problem}");
    assert_eq!(count(&daemon), stored);
    let again = daemon.ask("POST", "/api/v1/items").body(whole).send().expect(200);
    assert_eq!((&again["unchanged"], &again["inserted"]), (&json!(stored), &json!(9_000 - stored)));
}

#[test]
fn what_an_item_may_carry_is_bounded_and_the_others_go_in() {
    let daemon = Daemon::start();
    let mut wide: Value = serde_json::from_str(&note("n-8", 1, "text")).unwrap();
    wide["programs"] = json!(vec!["p"; 1_001]);
    let long = note(&"x".repeat(513), 1, "text");
    let mut precise: Value = serde_json::from_str(&note("n-9", 1, "text")).unwrap();
    precise["created_at"] = json!("2026-11-11T09:00:00.12345678901234567890Z");
    let answer = daemon.import(&[note("n-1", 1, "text"), wide.to_string(), long, precise.to_string()]);
    assert_eq!(
        answer["errors"],
        json!([
            {"line": 2, "error": "programs: has 1001 entries, and at most 1000 are allowed"},
            {"line": 3, "error": "id: longer than 512 bytes: it has 513"},
        ])
    );
    assert_eq!((&answer["inserted"], &answer["bad"]), (&json!(2), &json!(2)));
    assert_eq!(daemon.see("/api/v1/items/note/n-9")["created_at"], "2026-11-11T09:00:00.123Z");
}

#[test]
fn blank_lines_beyond_number_are_counted_and_bad_ones_end_the_import() {
    let daemon = Daemon::start();
    let blank = format!("{}{}", "\n".repeat(100_000_000), note("n-1", 1, "text"));
    let answer = daemon.ask("POST", "/api/v1/items").body(gzipped(&blank)).send().expect(200);
    assert_eq!((&answer["inserted"], &answer["last_line"]), (&json!(1), &json!(100_000_001)));

    let bad = format!("{}\n{}{}", note("n-2", 1, "text"), "x\n".repeat(1_000_001), note("n-3", 1, "text"));
    let refused = daemon.ask("POST", "/api/v1/items").body(gzipped(&bad)).send();
    let problem =
        refused.expect_problem(422, "invalid_request", &["line 1000002: ", "More than 1000000 lines are bad"]);
    assert_eq!(problem["last_line"], 1_000_002);
    assert_eq!(count(&daemon), 2, "what came before is stored");

    let strict = daemon.ask("POST", "/api/v1/items?strict=true").body(gzipped(&bad.replace("n-2", "n-4"))).send();
    strict.expect_problem(422, "invalid_request", &["More than 1000000 lines are bad"]);
    assert_eq!(count(&daemon), 2);
}

#[test]
fn a_chunked_body_is_read_to_its_last_chunk() {
    let daemon = Daemon::start();
    let body = lines().join("\r\n");
    assert_eq!(daemon.ask("POST", "/api/v1/items").body(body.clone()).chunked(11).expect(200)["inserted"], 4);
    assert_eq!(daemon.ask("POST", "/api/v1/items").body(body).chunked(1 << 16).expect(200)["unchanged"], 4);
}

#[test]
fn of_a_truncated_body_what_came_whole_stays() {
    let daemon = Daemon::start();
    let all: Vec<String> = (0..4_700).map(|n| conversation(&format!("c-{n}"), &["hello"])).collect();
    let text = all.join("\n");
    let cut = &text[..text.len() - 20];
    for framing in [("Content-Length", text.len().to_string()), ("Transfer-Encoding", "chunked".to_owned())] {
        let mut stream = daemon.ask("POST", "/api/v1/items").header(framing.0, &framing.1).begin();
        if framing.0 == "Transfer-Encoding" {
            write!(stream, "{:x}\r\n", text.len()).unwrap();
        }
        stream.write_all(cut.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let problem = Reply::read(stream).expect_problem(400, "bad_request", &["ended early"]);
        assert_eq!(problem["last_line"], 4_699, "{problem}");
        assert_eq!(count(&daemon), 4_699);
    }
    let again = daemon.import(&all);
    assert_eq!((&again["unchanged"], &again["inserted"]), (&json!(4_699), &json!(1)));

    // Nothing of it, where all or nothing was asked for.
    let strict = Daemon::start();
    let length = text.len().to_string();
    let mut stream = strict.ask("POST", "/api/v1/items?strict=true").header("Content-Length", &length).begin();
    stream.write_all(cut.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    Reply::read(stream).expect_problem(400, "bad_request", &["ended early"]);
    assert_eq!(count(&strict), 0);
}

#[test]
fn strict_is_all_or_nothing() {
    let daemon = Daemon::start();
    let mut some = lines();
    some.insert(2, "{}".into());
    some.push("[]".into());
    for body in [some.join("\n").into_bytes(), gzipped(&some.join("\n"))] {
        let answer = daemon.ask("POST", "/api/v1/items?strict=true").body(body).send();
        let problem = answer.expect_problem(422, "invalid_request", &["2 bad", "nothing was imported"]);
        assert_eq!(problem["bad"], 2);
        assert_eq!((&problem["errors"][0]["line"], &problem["errors"][1]["line"]), (&json!(3), &json!(6)));
        assert_eq!(count(&daemon), 0);
    }
    // The word alone will do, and is not taken for its opposite.
    for word in ["strict", "strict=", "strict=1"] {
        let answer = daemon.ask("POST", &format!("/api/v1/items?{word}")).body(some.join("\n")).send();
        answer.expect_problem(422, "invalid_request", &["nothing was imported"]);
        assert_eq!(count(&daemon), 0, "{word}");
    }
    for body in [lines().join("\n").into_bytes(), gzipped(&lines().join("\n"))] {
        daemon.ask("POST", "/api/v1/items?strict=true").body(body).send().expect(200);
        assert_eq!(count(&daemon), 4);
    }
    let left: Vec<_> = std::fs::read_dir(daemon.dir()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with("spool")), "{left:?}");
}

#[test]
fn the_first_thousand_bad_lines_are_listed_and_all_are_counted() {
    let daemon = Daemon::start();
    for strict in ["", "?strict=true"] {
        let body = "{}\n".repeat(1_500) + &conversation("c", &["hello"]);
        let answer = daemon.ask("POST", &format!("/api/v1/items{strict}")).body(body).send().json();
        assert_eq!(answer["bad"], 1_500);
        let errors = answer["errors"].as_array().unwrap();
        assert_eq!((errors.len(), &errors[999]["line"]), (1_000, &json!(1_000)));
    }
    assert_eq!(count(&daemon), 1);
}

#[test]
fn an_empty_import_is_none() {
    let daemon = Daemon::start();
    for body in ["", "\n\n \r\n"] {
        let answer = daemon.ask("POST", "/api/v1/items").body(body).send().expect(200);
        assert_eq!((&answer["inserted"], &answer["bad"]), (&json!(0), &json!(0)));
    }
}

#[test]
fn what_is_shown_is_what_is_imported() {
    let daemon = Daemon::start();
    daemon.apply(&super::rules());
    let rich = json!({"kind": "conversation", "id": "rich/1 ä?", "media": "voice", "started_at": "2026-11-10T12:00:00.5+02:00",
        "programs": ["billing", "other"], "unknown": {"ignored": true},
        "transcripts": [
            {"id": "t1", "program": "third", "language": "de-DE", "blocks": [
                {"speaker": "customer", "text": "", "at_ms": 0},
                {"speaker": "agent", "text": "Zeile\nzwei \u{1F600} \"money back\"", "at_ms": 1200}]},
            {"id": "t2", "blocks": [{"speaker": "customer", "text": "money back"}]}],
        "marks": [{"transcript": "t1", "block": 0, "topic": "refund", "mark": "is"},
            {"transcript": "t2", "block": 0, "topic": "late", "mark": "is_not"}]});
    let bare = json!({"kind": "conversation", "id": "bare", "media": "chat", "started_at": 1794304800,
        "transcripts": [{"id": "t", "blocks": [{"speaker": "customer", "text": "hi"}]}]});
    let noted = json!({"kind": "note", "id": "n", "version": "7", "created_at": "2026-11-10", "programs": [],
        "text": "First money back.\n \nSecond\n"});
    assert_eq!(daemon.import(&[rich.to_string(), bare.to_string(), noted.to_string()])["inserted"], 3);
    daemon.ended(&daemon.publish(&spanned(json!({}))));

    let paths = ["conversation/rich%2F1%20%C3%A4%3F", "conversation/bare", "note/n"];
    let shown: Vec<Value> = paths.iter().map(|path| daemon.see(&format!("/api/v1/items/{path}"))).collect();
    assert_eq!(shown[0]["started_at"], "2026-11-10T10:00:00.500Z");
    for field in ["kind", "id", "media", "programs", "transcripts", "marks"] {
        assert_eq!(shown[0][field], rich[field], "{field}");
    }
    assert_eq!((&shown[1]["programs"], &shown[1]["marks"]), (&json!([]), &json!([])));
    assert_eq!(shown[2]["text"], noted["text"]);
    assert_eq!((&shown[2]["version"], &shown[2]["created_at"]), (&json!(7), &json!("2026-11-10T00:00:00.000Z")));
    let labels = shown[0]["labels"].as_array().unwrap();
    let human = labels.iter().find(|label| label["source"] == "human").unwrap();
    assert_eq!((&human["block"], &human["phrase"], &human["job"]), (&json!(0), &json!(null), &json!(null)));
    let rule = labels.iter().find(|label| label["transcript"] == "t2").unwrap();
    assert_eq!(
        [
            &rule["topic"],
            &rule["phrase"],
            &rule["score"],
            &rule["start"],
            &rule["end"],
            &rule["job"],
            &rule["revision"]
        ],
        [&json!("refund"), &json!("money back"), &json!(100), &json!(0), &json!(10), &json!("1"), &json!(1)]
    );

    // And goes in again as it is shown, labels and all.
    let again = daemon.import(&shown.iter().map(Value::to_string).collect::<Vec<_>>());
    assert_eq!((&again["unchanged"], &again["bad"]), (&json!(3), &json!(0)), "{again}");
    let anew = Daemon::start();
    assert_eq!(anew.import(&shown.iter().map(Value::to_string).collect::<Vec<_>>())["inserted"], 3);
    for (path, mut shown) in paths.iter().zip(shown) {
        let mut copy = anew.see(&format!("/api/v1/items/{path}"));
        (shown["labels"], copy["labels"]) = (json!(null), json!(null));
        assert_eq!(copy, shown);
    }
}

#[test]
fn marks_are_set_changed_and_withdrawn_one_by_one() {
    let daemon = stocked();
    daemon.ended(&daemon.publish(&spanned(json!({}))));
    let target = "/api/v1/items/conversation/fs-1/marks";
    let mark = |block: i64, topic: &str, mark: Value| json!({"transcript": "t1", "block": block, "topic": topic, "mark": mark});
    let put = |marks: Value| daemon.ask("PUT", target).json(&json!({"marks": marks})).send().expect(200);
    let standing = |item: &Value| -> Vec<String> {
        let labels = item["labels"].as_array().unwrap().iter();
        labels.map(|l| format!("{} {} {}", l["block"], l["topic"], l["source"]).replace('"', "")).collect()
    };
    assert_eq!(standing(&daemon.see("/api/v1/items/conversation/fs-1")), ["1 refund rule"]);
    let item = put(json!([mark(0, "late", json!("is")), mark(1, "refund", json!("is_not"))]));
    assert_eq!(standing(&item), ["0 late human"], "a rule's label goes at once");
    let item = put(json!([mark(1, "refund", json!("is"))]));
    assert_eq!(standing(&item), ["0 late human", "1 refund human"], "those not named stay");
    assert_eq!(item["marks"].as_array().unwrap().len(), 2);
    let item = put(json!([mark(0, "late", Value::Null), mark(1, "refund", Value::Null)]));
    assert_eq!((standing(&item).len(), &item["marks"]), (0, &json!([])));
    daemon.ended(&daemon.publish(&spanned(json!({}))));
    assert_eq!(standing(&daemon.see("/api/v1/items/conversation/fs-1")), ["1 refund rule"], "the rules say it again");

    // All of them or none.
    let before = everything(&daemon);
    let half = json!({"marks": [mark(0, "late", json!("is")), mark(7, "late", json!("is"))]});
    daemon.ask("PUT", target).json(&half).send().expect_problem(422, "invalid_request", &["marks[1]"]);
    assert_eq!(everything(&daemon), before);
    let elsewhere = daemon.ask("PUT", "/api/v1/items/conversation/fs-9/marks").json(&json!({"marks": []})).send();
    elsewhere.expect_problem(404, "not_found", &["fs-9"]);
}

#[test]
fn a_mark_whose_block_is_gone_is_dropped_and_reported() {
    let daemon = stocked();
    let mark = json!({"marks": [{"transcript": "t1", "block": 1, "topic": "late", "mark": "is"}]});
    daemon.ask("PUT", "/api/v1/items/conversation/fs-1/marks").json(&mark).send().expect(200);
    let moved = daemon.import(&[conversation("fs-1", &["Hello", "Are you there?", "I want my money back"])]);
    assert_eq!((&moved["updated"], &moved["marks_dropped"]), (&json!(1), &json!(0)));
    assert_eq!(daemon.see("/api/v1/items/conversation/fs-1")["marks"][0]["block"], 2);
    let gone = daemon.import(&["".into(), conversation("fs-1", &["Hello"])]);
    assert_eq!((&gone["updated"], &gone["marks_dropped"]), (&json!(1), &json!(1)));
    assert_eq!(gone["errors"][0]["line"], 2);
    assert!(gone["errors"][0]["error"].as_str().unwrap().contains("late"), "{gone}");
    assert_eq!(daemon.see("/api/v1/items/conversation/fs-1")["marks"], json!([]));
}

#[test]
fn an_erased_item_is_gone_and_jobs_keep_its_key() {
    let daemon = stocked();
    let job = daemon.publish(&spanned(json!({})));
    daemon.ended(&job);
    let target = "/api/v1/items/note/n-1";
    assert_eq!(daemon.ask("DELETE", target).send().status, 204);
    daemon.get(target).expect_problem(404, "not_found", &["n-1"]);
    daemon.ask("DELETE", target).send().expect_problem(404, "not_found", &["n-1"]);
    assert_eq!(count(&daemon), 3);
    assert!(!daemon.get("/api/v1/labels.ndjson").text().contains("n-1"));
    assert!(!daemon.get(&format!("/api/v1/jobs/{job}/labels.ndjson?change=all")).text().contains("Asked"));
    let items = daemon.get(&format!("/api/v1/jobs/{job}/items.ndjson")).rows();
    assert!(items.iter().any(|item| item["id"] == "n-1"), "{items:?}");
    let topics = daemon.see("/api/v1/topics");
    let refund = topics["topics"].as_array().unwrap().iter().find(|topic| topic["id"] == "refund").unwrap();
    assert_eq!((&refund["items"], &refund["blocks"]), (&json!(1), &json!(1)));
    // It may come again, as if it had never been there.
    assert_eq!(daemon.import(&[note("n-1", 1, "Asked for her money back.")])["inserted"], 1);
    assert_eq!(daemon.see(target)["labels"], json!([]));
}
