//! What bad input gets: a clear error with its code and its place, and nothing lost or changed.

use std::io::Write;

use serde_json::json;

use super::daemon::Daemon;
use super::{conversation, everything, lines, rules, spanned, stocked};

/// Method, target, body; status, code, what the detail says.
type Row = (&'static str, &'static str, String, u16, &'static str, &'static [&'static str]);

#[test]
fn each_mistake_is_named_and_changes_nothing() {
    let daemon = stocked();
    let job = daemon.publish(&spanned(json!({})));
    daemon.ended(&job);
    let second = rules();
    daemon.apply(&json!({"topics": [second["topics"][0], second["topics"][1],
        {"id": "calm", "programs": ["billing"], "phrases": ["calm"]}]}));
    let before = everything(&daemon);

    let reanalysis = "/api/internal/labels/reanalysis";
    let pubsub = "/api/internal/pubsub/publish";
    const TOPIC: &str = "conversation_note_analysis";
    let test = "/api/v1/catalogue/test";
    let catalogue = |topic: serde_json::Value| json!({"topics": [topic]}).to_string();
    let table: &[Row] = &[
        // Not JSON, not UTF-8.
        ("POST", "/api/v1/jobs", "{\"from\":".into(), 400, "bad_request", &["not JSON", "line 1"]),
        ("POST", "/api/v1/count", "from=30d".into(), 400, "bad_request", &["not JSON"]),
        ("POST", pubsub, "{topic:".into(), 400, "bad_request", &["not JSON"]),
        ("PUT", "/api/v1/catalogue", "{\"topics\":[".into(), 400, "bad_request", &["not JSON", "column"]),
        ("PUT", "/api/v1/items/note/n-1/marks", "[[[".into(), 400, "bad_request", &["not JSON"]),
        // A missing or a wrong field.
        ("POST", "/api/v1/jobs", json!(["30d"]).to_string(), 422, "invalid_request", &["object", "sequence"]),
        ("POST", "/api/v1/jobs", json!({"from": "soon"}).to_string(), 422, "invalid_request", &["from: "]),
        ("POST", "/api/v1/jobs", json!({"stale_only": 1}).to_string(), 422, "invalid_request", &["stale_only"]),
        ("POST", "/api/v1/jobs", json!({"priority": 0}).to_string(), 422, "invalid_request", &["priority", "1 to 100"]),
        ("POST", "/api/v1/jobs", json!({"max_per_second": 0}).to_string(), 422, "invalid_request", &["max_per_second"]),
        (
            "POST",
            "/api/v1/jobs",
            json!({"name": "x".repeat(1_001)}).to_string(),
            422,
            "invalid_request",
            &["at most 1000"],
        ),
        (
            "PATCH",
            "/api/v1/jobs/1",
            json!({"description": "x".repeat(1_001)}).to_string(),
            422,
            "invalid_request",
            &["1001"],
        ),
        ("POST", "/api/v1/jobs", json!({"types": ["mail"]}).to_string(), 422, "invalid_request", &["types[0]"]),
        ("POST", "/api/v1/jobs", json!({"kind": "some"}).to_string(), 422, "invalid_request", &["kind", "some"]),
        ("POST", "/api/v1/jobs", json!({"kind": "single"}).to_string(), 422, "invalid_request", &["ids"]),
        ("POST", pubsub, "{}".into(), 422, "invalid_request", &["topic: missing"]),
        ("POST", pubsub, json!({"topic": TOPIC}).to_string(), 422, "invalid_request", &["key"]),
        ("POST", pubsub, json!({"topic": TOPIC, "key": {}}).to_string(), 422, "invalid_request", &["neither"]),
        (
            "POST",
            pubsub,
            json!({"topic": TOPIC, "key": {"conversation_fs_id": "fs-1", "note_id": "n-1"}}).to_string(),
            422,
            "invalid_request",
            &["conversation", "note"],
        ),
        (
            "POST",
            pubsub,
            json!({"topic": TOPIC, "key": {"note_id": "n-1"}}).to_string(),
            422,
            "invalid_request",
            &["key.note_version: missing"],
        ),
        (
            "POST",
            pubsub,
            json!({"topic": TOPIC, "key": {"note_id": "n-1", "note_version": "three"}}).to_string(),
            422,
            "invalid_request",
            &["key.note_version"],
        ),
        ("PUT", "/api/v1/items/note/n-1/marks", "{}".into(), 422, "invalid_request", &["marks"]),
        (
            "PUT",
            "/api/v1/items/note/n-1/marks",
            json!({"marks": [{"transcript": "note", "block": 9, "topic": "refund", "mark": "is"}]}).to_string(),
            422,
            "invalid_request",
            &["marks[0]", "block 9"],
        ),
        (
            "PUT",
            "/api/v1/items/note/n-1/marks",
            json!({"marks": [{"transcript": "note", "block": 0, "topic": "refund", "mark": "perhaps"}]}).to_string(),
            422,
            "invalid_request",
            &["marks[0].mark"],
        ),
        (
            "PUT",
            "/api/v1/items/note/n-1/marks",
            json!({"marks": [{"transcript": "note", "block": 0, "topic": "nothing", "mark": "is"}]}).to_string(),
            422,
            "invalid_request",
            &["nothing"],
        ),
        // From after until.
        (
            "POST",
            "/api/v1/jobs",
            json!({"from": "2026-12-01", "until": "2026-11-01"}).to_string(),
            422,
            "invalid_request",
            &["from: 2026-12-01", "until"],
        ),
        (
            "POST",
            "/api/v1/count",
            json!({"from": "2026-12-01", "until": "2026-12-01"}).to_string(),
            422,
            "invalid_request",
            &["from"],
        ),
        (
            "POST",
            "/api/internal/labels/reanalysis?from=2026-12-01&until=2026-11-01",
            String::new(),
            422,
            "invalid_request",
            &["from", "until"],
        ),
        (
            "GET",
            "/api/v1/labels.csv?from=2026-12-01&until=2026-11-01",
            String::new(),
            422,
            "invalid_request",
            &["from"],
        ),
        // An unknown query parameter.
        ("POST", "/api/v1/items?stric=true", String::new(), 422, "invalid_request", &["stric", "strict"]),
        ("GET", "/api/v1/jobs?page=2", String::new(), 422, "invalid_request", &["page", "cursor"]),
        ("GET", "/api/v1/topics?form=1d", String::new(), 422, "invalid_request", &["form", "from"]),
        ("PUT", "/api/v1/catalogue?force=1", rules().to_string(), 422, "invalid_request", &["force", "allow_remove"]),
        ("DELETE", "/api/v1/items/note/n-1?dry_run=1", String::new(), 422, "invalid_request", &["dry_run"]),
        ("POST", "/api/internal/labels/reanalysis?typ=notes", String::new(), 422, "invalid_request", &["typ", "type"]),
        ("POST", "/api/internal/labels/reanalysis?type=mails", String::new(), 422, "invalid_request", &["type"]),
        ("GET", "/api/v1/labels.csv?since=", String::new(), 422, "invalid_request", &["since: "]),
        ("GET", "/api/v1/labels.ndjson?since=", String::new(), 422, "invalid_request", &["since: "]),
        ("GET", "/api/v1/labels.ndjson?since=999999", String::new(), 422, "invalid_request", &["past the last change"]),
        ("POST", "/api/internal/labels/reanalysis?type=", String::new(), 422, "invalid_request", &["type: "]),
        (
            "POST",
            "/api/internal/pubsub/publish?when=now",
            json!({"topic": TOPIC, "key": {"conversation_fs_id": "fs-1"}}).to_string(),
            422,
            "invalid_request",
            &["when"],
        ),
        (
            "POST",
            "/api/internal/labels/reanalysis?type=notes&type=conversations",
            String::new(),
            422,
            "invalid_request",
            &["type", "twice"],
        ),
        // An unknown field.
        ("POST", "/api/v1/jobs", json!({"form": "30d"}).to_string(), 422, "invalid_request", &["form", "from"]),
        ("POST", "/api/v1/count", json!({"programmes": 1}).to_string(), 422, "invalid_request", &["programmes"]),
        ("PUT", "/api/v1/catalogue", json!({"topic": []}).to_string(), 422, "invalid_request", &["2 errors"]),
        // An empty array.
        ("POST", "/api/v1/jobs", json!({"types": []}).to_string(), 422, "invalid_request", &["types: is empty"]),
        ("POST", "/api/v1/jobs", json!({"media": []}).to_string(), 422, "invalid_request", &["media: is empty"]),
        ("POST", "/api/v1/count", json!({"programs": []}).to_string(), 422, "invalid_request", &["programs: is empty"]),
        (
            "POST",
            "/api/v1/jobs",
            json!({"kind": "single", "ids": []}).to_string(),
            422,
            "invalid_request",
            &["ids: is empty"],
        ),
        // An unknown topic in a publish call.
        (
            "POST",
            pubsub,
            json!({"topic": "conversation_analysis", "key": {"conversation_fs_id": "fs-1"}}).to_string(),
            422,
            "invalid_request",
            &["topic", TOPIC],
        ),
        // An unknown id.
        (
            "POST",
            pubsub,
            json!({"topic": TOPIC, "key": {"conversation_fs_id": "fs-9"}}).to_string(),
            404,
            "not_found",
            &["fs-9"],
        ),
        (
            "POST",
            "/api/v1/jobs",
            json!({"kind": "single", "ids": [{"kind": "note", "id": "n-9"}]}).to_string(),
            404,
            "not_found",
            &["n-9"],
        ),
        ("GET", "/api/v1/items/note/fs-1", String::new(), 404, "not_found", &["note", "fs-1"]),
        ("DELETE", "/api/v1/items/conversation/FS-1", String::new(), 404, "not_found", &["FS-1"]),
        ("GET", "/api/v1/items/mail/fs-1", String::new(), 404, "not_found", &["mail"]),
        ("GET", "/api/v1/jobs/77", String::new(), 404, "not_found", &["77"]),
        ("GET", "/api/v1/jobs/first", String::new(), 404, "not_found", &["first"]),
        ("POST", "/api/v1/jobs/77/pause", String::new(), 404, "not_found", &["77"]),
        ("GET", "/api/v1/jobs/77/labels.csv", String::new(), 404, "not_found", &["77"]),
        ("GET", "/api/v1/catalogue?revision=77", String::new(), 404, "not_found", &["77"]),
        // An old note version.
        (
            "POST",
            pubsub,
            json!({"topic": TOPIC, "key": {"note_id": "n-1", "note_version": "2"}}).to_string(),
            409,
            "stale_version",
            &["n-1", "3", "2"],
        ),
        (
            "POST",
            "/api/v1/jobs",
            json!({"kind": "single", "ids": [{"kind": "note", "id": "n-1", "version": 4}]}).to_string(),
            409,
            "stale_version",
            &["n-1", "3", "4"],
        ),
        // A phrase without words.
        (
            "PUT",
            "/api/v1/catalogue",
            catalogue(json!({"id": "a", "phrases": ["good", "?!"]})),
            422,
            "invalid_request",
            &["topics[0].phrases[1]", "no word"],
        ),
        ("POST", test, json!({"phrase": "—"}).to_string(), 422, "invalid_request", &["phrase", "no word"]),
        // A topic twice.
        (
            "PUT",
            "/api/v1/catalogue",
            json!({"topics": [{"id": "a", "phrases": ["b"]}, {"id": "a", "phrases": ["c"]}]}).to_string(),
            422,
            "invalid_request",
            &["topics[1].id", "topics[0].id"],
        ),
        // A strictness of 0 or 101.
        (
            "PUT",
            "/api/v1/catalogue",
            catalogue(json!({"id": "a", "strictness": 0, "phrases": ["b"]})),
            422,
            "invalid_request",
            &["topics[0].strictness", "1 to 100"],
        ),
        (
            "PUT",
            "/api/v1/catalogue",
            catalogue(json!({"id": "a", "phrases": [{"text": "b", "strictness": 101}]})),
            422,
            "invalid_request",
            &["topics[0].phrases[0].strictness", "1 to 100"],
        ),
        // Nothing of the kind is there.
        ("GET", "/api/v1/things.csv", String::new(), 404, "not_found", &[]),
        ("GET", "/api/v1/labels.xml", String::new(), 404, "not_found", &[]),
        ("GET", "/api/v3/items", String::new(), 404, "not_found", &[]),
        ("POST", "/api/v1/things", String::new(), 404, "not_found", &[]),
        ("PATCH", "/api/v1/count", String::new(), 405, "bad_request", &["POST"]),
        ("GET", reanalysis, String::new(), 405, "bad_request", &["POST"]),
    ];
    for (method, target, body, status, code, words) in table {
        println!("{method} {target} {body}");
        daemon.ask(method, target).body(body.clone()).send().expect_problem(*status, code, words);
    }

    for target in ["/api/v1/jobs", "/api/v1/count", pubsub, "/api/v1/items/note/n-1/marks"] {
        let method = if target.ends_with("marks") { "PUT" } else { "POST" };
        let answer = daemon.ask(method, target).body(*b"{\"name\":\"\xff\"}").send();
        answer.expect_problem(400, "bad_request", &["not JSON"]);
    }
    daemon.ask("PUT", "/api/v1/catalogue").body(*b"{\"topics\":[\"\xff\"]}").send().expect_problem(
        400,
        "bad_request",
        &["not JSON"],
    );
    // An apply against an older revision than the current one.
    for tag in ["\"1\"", "1", "W/\"1\""] {
        let answer = daemon.ask("PUT", "/api/v1/catalogue").header("If-Match", tag).json(&rules()).send();
        answer.expect_problem(409, "conflict", &["1", "2"]);
    }
    assert_eq!(everything(&daemon), before);
}

#[test]
fn a_header_that_is_not_understood_is_refused_and_nothing_is_done() {
    let daemon = stocked();
    let before = everything(&daemon);
    let publish = daemon.ask("POST", "/api/v1/jobs").json(&spanned(json!({})));
    let long = "k".repeat(256);
    for key in ["", &long] {
        let keyed = publish.clone().header("Idempotency-Key", key).send();
        keyed.expect_problem(422, "invalid_request", &["Idempotency-Key"]);
    }
    publish.clone().header("Idempotency-Key", "a\tb").send().expect_problem(
        422,
        "invalid_request",
        &["Idempotency-Key"],
    );
    let foreign = publish.clone().header("Idempotency-Key", "schlüssel").send();
    foreign.expect_problem(400, "bad_request", &["Idempotency-Key", "ASCII"]);
    let import = daemon.ask("POST", "/api/v1/items").body(conversation("new", &["hello"]));
    for encoding in ["br", "gzip, br", "zstd"] {
        let answer = import.clone().header("Content-Encoding", encoding).send();
        answer.expect_problem(422, "invalid_request", &["Content-Encoding", "gzip"]);
    }
    assert_eq!(everything(&daemon), before);
    publish.send().expect(201);
    assert_eq!(import.header("Content-Encoding", "identity").send().expect(200)["inserted"], 1);
}

#[test]
fn a_wrong_method_is_told_the_right_ones() {
    let daemon = Daemon::start();
    for (method, target, allow) in [
        ("GET", "/api/v1/count", "POST"),
        ("HEAD", "/api/v1/count", "POST"),
        ("PUT", "/healthz", "GET"),
        ("DELETE", "/api/v1/catalogue", "GET, PUT"),
        ("PATCH", "/api/v1/jobs", "POST, GET"),
        ("POST", "/login/x", "GET"),
    ] {
        let answer = daemon.ask(method, target).send();
        assert_eq!((answer.status, answer.header("Allow")), (405, Some(allow)), "{method} {target}");
    }
    assert_eq!(daemon.get("/api/v1/nothing").header("Allow"), None);
}

#[test]
fn bad_lines_are_named_by_number_and_the_others_go_in() {
    let daemon = Daemon::start();
    let wrong: [(&[u8], &[&str]); 16] = [
        (b"{\"kind\":\"note\"", &["not JSON", "column"]),
        (b"hello", &["not JSON"]),
        (b"[1]", &["must be", "array"]),
        (b"{\"kind\":\"note\",\"id\":\"a\xffb\"}", &["not UTF-8", "byte 23"]),
        (br#"{"id":"a"}"#, &["kind: missing"]),
        (br#"{"kind":"mail","id":"a"}"#, &["kind", "conversation or note"]),
        (br#"{"kind":"note","version":1,"created_at":"2026-11-01","text":"x"}"#, &["id: missing"]),
        (br#"{"kind":"note","id":7,"version":1,"created_at":"2026-11-01","text":"x"}"#, &["id: must be a string"]),
        (br#"{"kind":"note","id":"a","created_at":"2026-11-01","text":"x"}"#, &["version: missing"]),
        (br#"{"kind":"note","id":"a","version":-1,"created_at":"2026-11-01","text":"x"}"#, &["version"]),
        (br#"{"kind":"note","id":"a","version":1,"created_at":"yesterday","text":"x"}"#, &["created_at"]),
        (br#"{"kind":"note","id":"a","version":1,"created_at":"2026-11-01"}"#, &["text: missing"]),
        (br#"{"kind":"conversation","id":"a","media":"chat","started_at":1,"transcripts":[]}"#, &["transcripts"]),
        (
            br#"{"kind":"conversation","id":"a","started_at":1,"transcripts":[{"id":"t","blocks":[]}]}"#,
            &["media: missing"],
        ),
        (
            br#"{"kind":"conversation","id":"a","media":"m","started_at":1,"transcripts":[{"id":"t","blocks":[{"text":"x"}]}]}"#,
            &["transcripts[0].blocks[0].speaker: missing"],
        ),
        (
            br#"{"kind":"note","id":"a","version":1,"created_at":1,"text":"x","marks":[{"transcript":"note","block":1,"topic":"t","mark":"is"}]}"#,
            &["marks[0].block"],
        ),
    ];
    let mut body = Vec::new();
    for (at, (line, _)) in wrong.iter().enumerate() {
        body.extend_from_slice(line);
        body.push(b'\n');
        // Blank lines count, and are no lines of items.
        writeln!(body, "{}\n", conversation(&format!("good-{at}"), &["hello"])).unwrap();
    }
    let answer = daemon.ask("POST", "/api/v1/items").body(body).send().expect(200);
    assert_eq!(answer["bad"], wrong.len(), "{answer}");
    assert_eq!(answer["inserted"], wrong.len());
    for (at, (line, words)) in wrong.iter().enumerate() {
        let error = &answer["errors"][at];
        assert_eq!(error["line"], 3 * at + 1, "{error}");
        let said = error["error"].as_str().unwrap();
        let line = String::from_utf8_lossy(line);
        words.iter().for_each(|word| assert!(said.contains(word), "{word:?} is not in {said:?}, for {line}"));
    }
    assert_eq!(daemon.see("/api/v1/status")["items"], wrong.len());
}

#[test]
fn errors_never_quote_what_a_line_holds() {
    let daemon = Daemon::start();
    let secret = "4111 1111 1111 1111";
    let lines = [
        format!(r#"{{"kind":"note","id":"a","version":1,"created_at":"{secret}","text":"{secret}"}}"#),
        format!(r#"{{"kind":"{secret}"}}"#),
        format!(r#"{{"kind":"note","text":"{secret}""#),
        secret.to_owned(),
    ];
    let answer = daemon.ask("POST", "/api/v1/items").body(lines.join("\n")).send();
    assert_eq!(answer.expect(200)["bad"], 4);
    assert!(!answer.text().contains("4111"), "{}", answer.text());
    assert!(!daemon.log().contains("4111"), "{}", daemon.log());
}

/// 100 MB without an end of line, written as it goes.
fn long_line(out: &mut dyn Write, before: &str, after: &str) -> std::io::Result<()> {
    out.write_all(before.as_bytes())?;
    let part = vec![b'x'; 1 << 20];
    for _ in 0..100 {
        out.write_all(&part)?;
    }
    out.write_all(after.as_bytes())
}

#[test]
fn a_line_of_100_mb_costs_no_more_than_one_that_fits() {
    let daemon = Daemon::start();
    let before = format!("{}\n", conversation("before", &["hello"]));
    let after = format!("\n{}\n", conversation("after", &["hello"]));
    let length = (before.len() + (100 << 20) + after.len()) as u64;
    let at_rest = daemon.proc_status("VmHWM");
    for (target, status) in [("/api/v1/items", 200), ("/api/v1/items?strict=true", 422)] {
        let answer = daemon.ask("POST", target).stream(length, |out| long_line(out, &before, &after)).expect(status);
        assert_eq!((&answer["bad"], &answer["errors"][0]["line"]), (&json!(1), &json!(2)), "{answer}");
        assert!(answer["errors"][0]["error"].as_str().unwrap().contains("max_item_bytes"), "{answer}");
    }
    // The same, 100 KB on the wire.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    long_line(&mut gzip, &before, &after).unwrap();
    let answer = daemon.ask("POST", "/api/v1/items").body(gzip.finish().unwrap()).send().expect(200);
    assert_eq!((&answer["bad"], &answer["unchanged"]), (&json!(1), &json!(2)), "{answer}");
    // Of a line at most 10 MiB are held, and a growing buffer is twice what it holds.
    let grown = daemon.proc_status("VmHWM") - at_rest;
    assert!(grown < 48 << 10, "{grown} kB more than at rest");
    for id in ["before", "after"] {
        assert_eq!(daemon.see(&format!("/api/v1/items/conversation/{id}"))["id"], id);
    }
}

#[test]
fn a_body_longer_than_its_bound_is_refused() {
    let daemon = stocked();
    let before = everything(&daemon);
    let length = 100 << 20;
    for target in ["/api/v1/count", "/api/internal/pubsub/publish", "/api/v1/login"] {
        let answer = daemon.ask("POST", target).stream(length, |out| long_line(out, "", ""));
        answer.expect_problem(413, "too_large", &["1048576 bytes"]);
    }
    assert!(daemon.proc_status("VmHWM") < 100 << 10);
    assert_eq!(everything(&daemon), before);
}

#[test]
fn a_body_cut_short_publishes_nothing() {
    let daemon = stocked();
    let before = everything(&daemon);
    for target in ["/api/v1/jobs", "/api/internal/pubsub/publish"] {
        let stream = daemon.ask("POST", target).header("Content-Length", "900").begin();
        (&stream).write_all(b"{}").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        super::daemon::Reply::read(stream).expect_problem(400, "bad_request", &["ended early"]);
    }
    assert_eq!(everything(&daemon), before);
}

#[test]
fn an_import_that_is_refused_leaves_all_as_it_was() {
    let daemon = stocked();
    let before = everything(&daemon);
    let older = super::note("n-1", 2, "Asked for her money back.");
    let other = super::note("n-1", 3, "Asked for nothing.");
    let answer = daemon.import(&[older, other]);
    assert_eq!(answer["refused"], 2, "{answer}");
    let said = |at: usize| answer["errors"][at]["error"].as_str().unwrap().to_owned();
    assert!(said(0).contains("version 2") && said(1).contains("version 3"), "{answer}");
    assert_eq!(daemon.import(&lines())["unchanged"], 4);
    assert_eq!(everything(&daemon), before);
}
