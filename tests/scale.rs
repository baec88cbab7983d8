//! A job of 250,000 items, by the real binary: what is asked for beside it does not wait for its end, and its export
//! costs no memory to speak of.

#[path = "common/daemon.rs"]
mod daemon;

use std::collections::BTreeSet;
use std::io::Read;
use std::os::unix::fs::DirBuilderExt;

use daemon::{Daemon, Reply};
use relabeld::lines::parse_line;
use relabeld::store::{Durability, Store};
use serde_json::{Value, json};

const ITEMS: usize = 250_000;
/// Of the small job beside it.
const FEW: usize = 1_000;
/// Live items asked for beside it: at least, and at most.
const LIVE: usize = 25;
const MOST_LIVE: usize = 1_000;
/// kB that an export may cost.
const MEMORY: u64 = 20_000;

/// A data directory with all items: `c0` … in the program `many`, and some in the program `few`.
fn stocked(dir: &std::path::Path) {
    std::fs::DirBuilder::new().mode(0o700).create(dir).unwrap();
    let store = Store::open(dir, Durability::Normal).unwrap();
    let line = |n: usize| {
        let program = if n < ITEMS { "many" } else { "few" };
        let blocks = json!([{"speaker": "customer", "text": format!("I want my money back, order {n}")},
            {"speaker": "agent", "text": "Let me look into that for you."}]);
        json!({"kind": "conversation", "id": format!("c{n}"), "media": "chat", "started_at": "2026-11-01T00:00:00Z",
            "programs": [program], "transcripts": [{"id": "t1", "blocks": blocks}]})
        .to_string()
    };
    for batch in (0..ITEMS + FEW).collect::<Vec<_>>().chunks(5_000) {
        let batch = batch.iter().map(|&n| (0, parse_line(line(n).as_bytes()).unwrap())).collect();
        store.import(batch, 0).unwrap();
    }
    store.close();
}

fn steer(daemon: &Daemon, job: &str, with: &Value) -> Value {
    daemon.ask("PATCH", &format!("/api/v1/jobs/{job}")).json(with).send().expect(200)
}

/// The ids of an export, each once.
fn ids(csv: &str) -> BTreeSet<&str> {
    let ids: BTreeSet<&str> = csv.lines().skip(1).map(|row| row.split(',').nth(1).unwrap()).collect();
    assert_eq!(ids.len(), csv.lines().count() - 1, "each once");
    ids
}

#[test]
fn beside_a_long_job_nobody_waits_and_its_export_costs_no_memory() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("data");
    stocked(&dir);
    let daemon = Daemon::on(&dir, &["--workers", "2"]);
    daemon.apply(&json!({"topics": [{"id": "refund", "name": "Refund", "programs": ["many", "few"],
        "phrases": ["money back"]}]}));
    let of = |program: &str, with: Value| {
        let mut job = json!({"from": "2026-01-01", "programs": [program]});
        job.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
        daemon.publish(&job)
    };
    let done = |job: &str| daemon.see(&format!("/api/v1/jobs/{job}"))["counts"]["done"].as_u64().unwrap();
    // Not faster, so that it outlasts the live items.
    let many = of("many", json!({"priority": 90, "max_per_second": 20_000}));
    daemon.await_job(&many, |job| job["counts"]["done"].as_u64() > Some(0));
    let few = of("few", json!({"priority": 1}));

    // One after the other, while the long job drains: until it has gone on beside them.
    let (begun, mut singles) = (done(&many), Vec::new());
    while singles.len() < LIVE || done(&many) == begun {
        assert!(singles.len() < MOST_LIVE, "live items leave the long job no turn");
        let ids = json!([{"kind": "conversation", "id": format!("c{}", singles.len() * 7_919 % ITEMS)}]);
        let single = daemon.publish(&json!({"kind": "single", "ids": ids}));
        singles.push(daemon.ended(&single));
    }
    assert!(singles.iter().all(|job| job["state"] == "completed" && job["lane"] == "live"), "{singles:?}");

    // Slowly from here on, so that it still runs when its export ends.
    let steered = steer(&daemon, &many, &json!({"max_per_second": 100}));
    assert_eq!((&steered["state"], &steered["max_per_second"]), (&json!("running"), &json!(100.0)), "{steered}");
    let few = daemon.ended(&few);
    assert_eq!(few["counts"]["done"], json!(FEW), "{few}");
    let before = daemon.proc_status("RssAnon");
    let mut stream = daemon.ask("GET", &format!("/api/v1/jobs/{many}/items.csv")).begin();
    let (mut export, mut buffer, mut peak) = (Vec::new(), vec![0; 1 << 20], before);
    loop {
        let n = stream.read(&mut buffer).unwrap();
        peak = peak.max(daemon.proc_status("RssAnon"));
        if n == 0 {
            break;
        }
        export.extend_from_slice(&buffer[..n]);
    }
    assert_eq!(daemon.see(&format!("/api/v1/jobs/{many}"))["state"], "running");
    assert!(peak < before + MEMORY, "{before} kB, and {peak} kB at the peak");
    let export = Reply::parse(&export).text();
    assert_eq!(ids(&export).len(), ITEMS);
    assert!(export.contains(",done,") && export.contains(",pending,"), "it was in the middle of it");

    // The export is a list like any other.
    let listing = daemon.ask("POST", "/api/v1/jobs?publish=false&name=again").header("Content-Type", "text/csv");
    let draft = listing.body(export.clone()).send().expect(201);
    assert_eq!(
        (&draft["kind"], &draft["state"], &draft["counts"]["total"]),
        (&json!("list"), &json!("draft"), &json!(ITEMS))
    );
    let listed = daemon.get(&format!("/api/v1/jobs/{}/items.csv", draft["id"].as_str().unwrap())).text();
    assert!(ids(&listed) == ids(&export));

    steer(&daemon, &many, &json!({"max_per_second": null}));
    // However long it takes, as long as it goes on.
    let many = loop {
        let before = done(&many);
        let ended = |job: &Value| !job["finished_at"].is_null();
        let job = daemon.await_job(&many, |job| ended(job) || job["counts"]["done"].as_u64() > Some(before));
        if ended(&job) {
            break job;
        }
    };
    assert_eq!((&many["state"], &many["counts"]["done"]), (&json!("completed"), &json!(ITEMS)));

    // Each commit of the long job has a time of its own.
    let rows = daemon.get(&format!("/api/v1/jobs/{}/items.csv", many["id"].as_str().unwrap())).text();
    let commits: BTreeSet<&str> = rows.lines().skip(1).map(|row| row.rsplit(',').next().unwrap()).collect();
    let waited = |job: &Value| {
        let (from, until) = (job["published_at"].as_str().unwrap(), job["finished_at"].as_str().unwrap());
        commits.iter().filter(|&&at| from < at && at < until).count()
    };
    let mut waited: Vec<usize> = singles.iter().map(waited).collect();
    waited.sort_unstable();
    println!("commits of the long job while a live item waited: {waited:?}");
    assert!(waited[waited.len() / 2] <= 3, "{waited:?}");
}
