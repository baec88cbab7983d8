//! The API's description, held against the daemon by schemathesis, over a store with jobs in every state that lasts.
//!
//! `RELABELD_SCHEMATHESIS_EXAMPLES` says how many examples it makes up for each call: few by default, so that the tests
//! stay short; 200 is the measure by hand.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use relabeld::job::Filter;
use relabeld::store::{Durability, NewJob, Store};
use relabeld::when;
use serde_json::{Value, json};

use super::daemon::Daemon;
use super::errors::{fail, planned};
use super::{conversation, note, rules, source, spanned};

pub const DOCUMENT: &str = include_str!("../../src/http/openapi.json");
/// A job that stays where it is for as long as a test looks at it.
const SLOW: f64 = 0.001;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Jobs 1 to 4: made, taken back, made again, tried out.
pub fn jobs_that_ended(dir: &Path) {
    let daemon = Daemon::on(dir, &[]);
    daemon.apply(&rules());
    let items = [
        conversation("fs-1", &["Hello", "I want my money back"]),
        conversation("fs-2", &["Good morning"]),
        note("n-1", 1, "The parcel is late."),
        note("n-9", 3, "Asked for her money back.\n\nWas calm."),
    ];
    assert_eq!(daemon.import(&items)["inserted"], 4);
    let mark = json!({"marks": [{"transcript": "t1", "block": 0, "topic": "late", "mark": "is"}]});
    daemon.ask("PUT", "/api/v1/items/conversation/fs-2/marks").json(&mark).send().expect(200);
    let list = json!({"kind": "list", "ids": [{"kind": "note", "id": "n-9", "version": 3}]});
    daemon.ended(&daemon.publish(&list));
    daemon.ended(daemon.ask("POST", "/api/v1/jobs/1/revert").send().expect(201)["id"].as_str().unwrap());
    daemon.ended(&daemon.publish(&spanned(json!({}))));
    daemon.ended(&daemon.publish(&spanned(json!({"dry_run": true}))));
    assert_eq!(daemon.stop(), Some(0));
}

/// Jobs 5 and 6: one whose items are errors, and one that could not be planned, so long ago that it is pruned.
pub fn jobs_that_failed(dir: &Path) {
    let store = Store::open(dir, Durability::Normal).unwrap();
    let now = when::now();
    let epoch = store.recover(Vec::new(), 3, now).unwrap().epoch;
    let all = || NewJob::new(Filter::all(), "test");
    assert_eq!(fail(&store, &planned(&store, all(), now), 10, epoch, now), 4);
    let job = store.publish_range(all(), 0, 1).unwrap().job;
    drop(store.begin_planning(1).unwrap());
    store.fail_planning(job.id, "its filter cannot be read".into(), 1).unwrap();
    store.close();
}

/// Jobs 7 to 12: held, cancelled, a draft, under way, of one item, and retried.
fn jobs_under_way(daemon: &Daemon) {
    let slow = || {
        let job = daemon.publish(&spanned(json!({"max_per_second": SLOW})));
        daemon.await_job(&job, |job| job["state"] == "running" && !job["counts"]["total"].is_null());
        job
    };
    let to = |job: &str, verb: &str| daemon.ask("POST", &format!("/api/v1/jobs/{job}/{verb}")).send();
    to(&slow(), "pause").expect(200);
    let job = slow();
    to(&job, "cancel").expect(200);
    daemon.ended(&job);
    daemon.publish(&spanned(json!({"publish": false})));
    slow();
    daemon.ended(&daemon.publish(&json!({"kind": "single", "ids": [{"kind": "conversation", "id": "fs-1"}]})));
    daemon.ended(to("5", "retry").expect(201)["id"].as_str().unwrap());
}

fn states(daemon: &Daemon) -> Vec<String> {
    let state = |job| daemon.see(&format!("/api/v1/jobs/{job}"))["state"].as_str().unwrap().to_owned();
    (1..=12).map(state).collect()
}

#[test]
fn schemathesis_finds_nothing() {
    let tool = root().join("target/python-venv/bin/schemathesis");
    assert!(tool.exists(), "schemathesis is not installed: run tests/run, which does that first");
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("data");
    jobs_that_ended(&dir);
    jobs_that_failed(&dir);
    let daemon = Daemon::on(&dir, &[]);
    jobs_under_way(&daemon);
    let expected = "completed completed completed completed completed_with_failures failed paused cancelled draft \
        running completed completed";
    let expected: Vec<&str> = expected.split_whitespace().collect();
    assert_eq!(states(&daemon), expected);

    let stock = json!({
        "jobs": (1..=12).map(|job| job.to_string()).collect::<Vec<_>>(),
        "under_way": ["7", "10"],
        "items": ["fs-1", "fs-2", "n-1", "n-9"],
        "catalogue": rules(),
    });
    let examples = env::var("RELABELD_SCHEMATHESIS_EXAMPLES").unwrap_or_else(|_| "25".into());
    let seen = scratch.path().join("seen");
    let files = root().join("tests/http/openapi");
    let base = format!("http://{}", daemon.address);
    let mut command = Command::new(tool);
    command
        // It writes caches where it stands.
        .current_dir(scratch.path())
        .arg("--config-file")
        .arg(files.join("schemathesis.toml"))
        .args(["run", "--no-color", "--max-examples", &examples, "--url", &base])
        .arg(root().join("src/http/openapi.json"))
        .env("RELABELD_BASE", &base)
        .env("RELABELD_TOKEN", daemon.dir().join("token"))
        .env("RELABELD_STOCK", stock.to_string())
        .env("RELABELD_SEEN", &seen)
        .env("PYTHONPATH", &files)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    // The same requests each time: what others would find is looked for with other seeds, and more examples, by hand.
    command.args(["--seed", &env::var("RELABELD_SCHEMATHESIS_SEED").unwrap_or_else(|_| "1".into())]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let seen: Value = serde_json::from_str(&fs::read_to_string(seen).unwrap()).unwrap();
    println!("{said}\n{seen}");
    // Nothing was held back by how things stood: each call came to something at least once.
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    for call in document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values()) {
        let counts = seen[call["operationId"].as_str().unwrap()].as_object();
        let done =
            counts.is_some_and(|counts| counts.keys().any(|key| key.starts_with('2') && key.ends_with("positive")));
        assert!(done, "{}: {counts:?}", call["operationId"]);
    }
    // What it asked was asked of something: the stock is still there.
    for item in ["conversation/fs-1", "conversation/fs-2", "note/n-1", "note/n-9"] {
        daemon.see(&format!("/api/v1/items/{item}"));
    }
    assert_eq!(states(&daemon), expected);
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
}

#[test]
fn every_example_keeps_to_its_schema() {
    let python = root().join("target/python-venv/bin/python");
    let mut command = Command::new(python);
    command.arg("-B").arg(root().join("tests/http/openapi/examples.py")).arg(root().join("src/http/openapi.json"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn the_description_is_served_to_whoever_may_read() {
    let daemon = Daemon::start();
    let answer = daemon.get("/openapi.json");
    assert_eq!((answer.status, answer.header("Content-Type")), (200, Some("application/json")));
    assert_eq!(answer.text(), DOCUMENT);
    let with = |token: &str| {
        let bearer = format!("Bearer {}", daemon.token(token));
        daemon.ask_openly("GET", "/openapi.json").header("Authorization", &bearer).send()
    };
    assert_eq!(with("token.read").status, 200);
    with("token.metrics").expect_problem(403, "forbidden", &["token.read"]);
    daemon.ask_openly("GET", "/openapi.json").send().expect_problem(401, "unauthorized", &[]);
}

/// The code of all tests of the endpoint as one text without white space.
fn tests_over_http() -> String {
    let mut all = String::new();
    for (folder, only_tests) in [("tests", true), ("src/http", false)] {
        for path in source::files(folder, "rs") {
            let text = source::read(&path);
            // Of the product what is there for tests alone.
            let at =
                if only_tests || path.iter().any(|part| part == "tests") { Some(0) } else { text.find("#[cfg(test)]") };
            all.extend(at.map(|at| &text[at..]).unwrap_or_default().split_whitespace());
        }
    }
    all
}

#[test]
fn every_documented_code_is_seen_in_some_test() {
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let tests = tests_over_http();
    let mut unseen = Vec::new();
    for response in document["components"]["responses"].as_object().unwrap().values() {
        let says = &response["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"];
        let status = &says["status"]["const"];
        for code in says["code"]["enum"].as_array().unwrap() {
            if !tests.contains(&format!("{status},{code}")) {
                unseen.push(format!("{status} {code}"));
            }
        }
    }
    assert_eq!(unseen, Vec::<String>::new());
}

#[test]
fn no_code_is_undocumented() {
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let mut documented = vec!["405,\"bad_request\"".to_owned()];
    let ready = &document["paths"]["/readyz"]["get"]["responses"]["503"];
    for response in document["components"]["responses"].as_object().unwrap().values().chain([ready]) {
        let says = &response["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"];
        let codes = says["code"]["enum"].as_array().unwrap();
        documented.extend(codes.iter().map(|code| format!("{},{code}", says["status"]["const"])));
    }
    let mut given = 0;
    // Genesys Cloud's calls have codes of their own.
    for path in source::files("src/http", "rs").into_iter().filter(|path| !path.ends_with("genesys.rs")) {
        let code: String = source::read(&path).split_whitespace().collect();
        for call in code.split("Problem::new(").skip(1) {
            let says = call.split(',').take(2).collect::<Vec<_>>().join(",");
            // Handed on, or the declaration itself.
            if !says.starts_with(|c: char| c.is_ascii_digit()) || !says.contains(",\"") {
                continue;
            }
            assert!(documented.contains(&says), "{}: {says}", path.display());
            given += 1;
        }
    }
    assert!(given > 10);
}
