//! The guide's calls, exactly as its users type them: no tick is needed, and any number of them does no harm.

use std::process::Command;
use std::thread;

use relabeld::job::{Filter, JobState};
use relabeld::store::{Durability, NewJob, Store};
use serde_json::{Value, json};

use super::daemon::{Ask, Daemon, Reply};
use super::{conversation, spanned, stocked};

/// As in the guide, with the id filled in.
const CONVERSATION: &str = r#"{
    "topic": "conversation_note_analysis",
    "key": {
        "conversation_fs_id": "fs-1",
        "note_id": "",
        "note_version": ""
    },
    "data": {}
}"#;
const NOTE: &str = r#"{"topic":"conversation_note_analysis","key":{"conversation_fs_id":"","note_id":"n-1","note_version":"3"},"data":{}}"#;
const RANGE: &str = "/api/internal/labels/reanalysis?from=2026-11-01&until=2026-12-01&type=conversations";

/// As `fetch` and `curl -d` send a body that nobody gave a type.
fn typed(daemon: &Daemon, body: &str) -> Ask {
    daemon.ask("POST", "/api/internal/pubsub/publish").header("Content-Type", "text/plain;charset=UTF-8").body(body)
}

fn topics_of(daemon: &Daemon, item: &str) -> Vec<String> {
    let item = daemon.see(&format!("/api/v1/items/{item}"));
    item["labels"].as_array().unwrap().iter().map(|label| label["topic"].as_str().unwrap().to_owned()).collect()
}

fn id(job: &Value) -> &str {
    job["id"].as_str().unwrap()
}

#[test]
fn one_conversation_and_one_note_are_relabelled_without_a_tick() {
    let daemon = stocked();
    for (body, item) in [(CONVERSATION, "conversation/fs-1"), (NOTE, "note/n-1")] {
        assert_eq!(topics_of(&daemon, item), Vec::<String>::new());
        let job = typed(&daemon, body).send().expect(200);
        assert_eq!(
            [&job["kind"], &job["lane"], &job["counts"]["total"]],
            [&json!("single"), &json!("live"), &json!(1)]
        );
        let job = daemon.ended(id(&job));
        assert_eq!((&job["state"], &job["labels"]["added"]), (&json!("completed"), &json!(1)));
        assert_eq!(topics_of(&daemon, item), ["refund"]);
    }
    // The others are as they were.
    assert_eq!(topics_of(&daemon, "note/n-2"), Vec::<String>::new());
}

#[test]
fn a_version_is_a_string_or_a_number_and_null_is_absent() {
    let daemon = stocked();
    for key in [
        json!({"conversation_fs_id": "fs-1"}),
        json!({"conversation_fs_id": "fs-1", "note_id": null, "note_version": null}),
        json!({"note_id": "n-1", "note_version": 3}),
        json!({"conversation_fs_id": null, "note_id": "n-1", "note_version": "3"}),
    ] {
        let body = json!({"topic": "conversation_note_analysis", "key": key, "data": {"any": "thing"}});
        let job = typed(&daemon, &body.to_string()).send().expect(200);
        daemon.ended(id(&job));
    }
}

#[test]
fn a_range_of_conversations_of_notes_or_of_both_is_relabelled_without_a_tick() {
    let daemon = stocked();
    let both = RANGE.strip_suffix("&type=conversations").unwrap();
    let notes = format!("{both}&type=notes");
    for (target, total) in [(RANGE, 2), (notes.as_str(), 2), (both, 4)] {
        let job = daemon.ask("POST", target).header("Content-Type", "text/plain").send().expect(200);
        assert_eq!(job["kind"], "range");
        let job = daemon.ended(id(&job));
        assert_eq!((&job["counts"]["total"], &job["state"]), (&json!(total), &json!("completed")));
    }
    assert_eq!(topics_of(&daemon, "conversation/fs-1"), ["refund"]);
    assert_eq!(topics_of(&daemon, "note/n-2"), ["late"]);
    // All forms of a time that the contract names.
    for times in [
        "from=1793491200&until=1796083200",
        "from=2026-11-01T00:00:00Z&until=1796083200000",
        "from=2026-11-01T01:00:00%2B01:00&until=2026-12-01",
    ] {
        let job = daemon.ask("POST", &format!("/api/internal/labels/reanalysis?{times}")).send().expect(200);
        assert_eq!(job["filter"]["from"], "2026-11-01T00:00:00.000Z", "{times}");
        assert_eq!(job["filter"]["until"], "2026-12-01T00:00:00.000Z", "{times}");
    }
    let job = daemon.ask("POST", "/api/internal/labels/reanalysis").send().expect(200);
    assert!(job["filter"]["from"].is_string() && job["filter"]["until"].is_string());
}

fn tick(daemon: &Daemon) -> Reply {
    daemon.ask("POST", "/api/tick/runners").header("Content-Type", "text/plain").send()
}

#[track_caller]
fn assert_ticked(answer: &Reply) -> Value {
    let counts = answer.expect(200);
    let mut names: Vec<&str> = counts.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort();
    assert_eq!(names, ["done", "failed", "picked", "remaining"]);
    counts
}

#[test]
fn a_thousand_ticks_in_a_row_and_fifty_at_once_do_no_harm() {
    let daemon = stocked();
    let lines: Vec<String> = (0..2_000).map(|n| conversation(&format!("m-{n}"), &["my money back", "hello"])).collect();
    daemon.import(&lines);
    let paused = daemon.publish(&spanned(json!({"max_per_second": 0.001})));
    daemon.ask("POST", &format!("/api/v1/jobs/{paused}/pause")).send().expect(200);
    let job = daemon.publish(&spanned(json!({})));
    thread::scope(|scope| {
        let ticks: Vec<_> = (0..50).map(|_| scope.spawn(|| tick(&daemon))).collect();
        ticks.into_iter().for_each(|one| drop(assert_ticked(&one.join().unwrap())));
    });
    for _ in 0..1_000 {
        assert_ticked(&tick(&daemon));
    }
    let ended = daemon.ended(&job);
    assert_eq!((&ended["counts"]["total"], &ended["state"]), (&json!(2_004), &json!("completed")));
    assert_eq!(daemon.see(&format!("/api/v1/jobs/{paused}"))["state"], "paused", "a tick never unpauses");
    // Nothing was done twice.
    assert_eq!(daemon.get("/api/v1/labels.ndjson?since=0").rows().len(), 2_003);
    let counts = assert_ticked(&tick(&daemon));
    assert_eq!([&counts["picked"], &counts["failed"]], [&json!(0), &json!(1)]);
    assert_eq!(counts["done"], daemon.see("/api/v1/status")["since_start"]["done"]);
}

#[test]
fn a_tick_tells_what_remains() {
    let daemon = stocked();
    let job = daemon.publish(&spanned(json!({"max_per_second": 0.001})));
    daemon.await_job(&job, |job| job["counts"]["total"] == 4);
    daemon.ask("POST", &format!("/api/v1/jobs/{job}/pause")).send().expect(200);
    daemon.await_job(&job, |job| job["counts"]["running"] == 0);
    let shown = daemon.see(&format!("/api/v1/jobs/{job}"));
    let counts = assert_ticked(&tick(&daemon));
    assert_eq!(counts["remaining"], shown["counts"]["pending"], "{shown}");
    assert!(counts["remaining"].as_i64().unwrap() >= 2, "{counts}");
}

#[test]
fn a_job_whose_list_is_not_made_yet_remains() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("data");
    let daemon = Daemon::on(&dir, &[]);
    daemon.import(&super::lines());
    assert_eq!(assert_ticked(&tick(&daemon))["remaining"], 0);
    assert_eq!(daemon.stop(), Some(0));
    // Held before anyone planned it, and held in planning: what a daemon does at once, done by hand.
    let store = Store::open(&dir, Durability::Normal).unwrap();
    let all = |now| store.publish_range(NewJob::new(Filter::all(), "test"), 0, now).unwrap().job.id;
    let planning = all(0);
    drop(store.begin_planning(0).unwrap());
    let queued = all(0);
    for (job, state) in [(planning, JobState::Planning), (queued, JobState::Queued)] {
        assert_eq!(store.job(job).unwrap().state, state);
        store.pause_job(job).unwrap();
    }
    store.close();
    drop(store);
    let daemon = Daemon::on(&dir, &[]);
    for (job, remaining) in [(planning, 2), (queued, 1)] {
        assert_eq!(daemon.see(&format!("/api/v1/jobs/{job}"))["counts"]["total"], json!(null));
        assert_eq!(assert_ticked(&tick(&daemon))["remaining"], remaining);
        daemon.ask("POST", &format!("/api/v1/jobs/{job}/cancel")).send().expect(200);
    }
    assert_eq!(assert_ticked(&tick(&daemon))["remaining"], 0);
}

/// What curl prints, and the status that it was answered.
fn curl(daemon: &Daemon, target: &str, arguments: &[&str]) -> (u16, Value) {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "30", "--write-out", "\n%{http_code}"])
        .args(arguments)
        .arg(format!("http://{}{target}", daemon.address))
        .output()
        .expect("curl is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), serde_json::from_str(body).unwrap_or_default())
}

#[test]
fn the_calls_work_from_curl_with_the_token() {
    let daemon = stocked();
    let token = format!("Authorization: Bearer {}", daemon.token("token"));
    let publish = "/api/internal/pubsub/publish";
    for content_type in [None, Some("Content-Type: text/plain"), Some("Content-Type: application/json")] {
        for body in [CONVERSATION, NOTE] {
            let mut arguments = vec!["-X", "POST", "-H", &token, "-d", body];
            arguments.extend(content_type.iter().flat_map(|header| ["-H", header]));
            let (status, job) = curl(&daemon, publish, &arguments);
            assert_eq!(status, 200, "{job}");
            assert_eq!(daemon.ended(id(&job))["state"], "completed");
        }
    }
    assert_eq!(topics_of(&daemon, "note/n-1"), ["refund"]);
    let (status, job) = curl(&daemon, RANGE, &["-X", "POST", "-H", &token]);
    assert_eq!((status, daemon.ended(id(&job))["counts"]["total"].clone()), (200, json!(2)));
    let (status, counts) = curl(&daemon, "/api/tick/runners", &["-X", "POST", "-H", &token, "-d", ""]);
    assert_eq!((status, &counts["remaining"]), (200, &json!(0)));
    let (status, problem) = curl(&daemon, publish, &["-d", CONVERSATION]);
    assert_eq!((status, &problem["code"]), (401, &json!("unauthorized")));

    // An upload that asks first (`Expect: 100-continue`), gzipped and in chunks.
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("items.ndjson");
    let lines: Vec<String> = (0..20_000).map(|n| conversation(&format!("c-{n}"), &["hello"])).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    let upload = format!("@{}", file.display());
    let (status, counts) = curl(&daemon, "/api/v1/items", &["-H", &token, "--data-binary", &upload]);
    assert_eq!((status, &counts["inserted"]), (200, &json!(20_000)));
    let chunked =
        ["-H", &token, "-H", "Transfer-Encoding: chunked", "-H", "Expect: 100-continue", "--data-binary", &upload];
    assert_eq!(curl(&daemon, "/api/v1/items", &chunked).1["unchanged"], 20_000);
}
