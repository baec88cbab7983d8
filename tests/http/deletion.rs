//! What is kept of jobs no longer: deleted by people, pruned by age; the labels stay.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use relabeld::store::{Durability, Store};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use super::daemon::{Daemon, PATIENCE, Reply, await_some};
use super::{conversation, lines, rules, spanned, stocked, stocked_with};

/// A job that stays where it is for as long as a test looks at it.
const SLOW: f64 = 0.001;

fn path(job: &str) -> String {
    format!("/api/v1/jobs/{job}")
}

fn delete(daemon: &Daemon, job: &str) -> Reply {
    daemon.ask("DELETE", &path(job)).send()
}

#[track_caller]
fn deleted(daemon: &Daemon, job: &str) {
    let reply = delete(daemon, job);
    assert_eq!((reply.status, reply.text().as_str()), (204, ""));
}

fn act(daemon: &Daemon, job: &str, verb: &str) -> Reply {
    daemon.ask("POST", &format!("{}/{verb}", path(job))).send()
}

fn ran(daemon: &Daemon, wish: Value) -> String {
    let job = daemon.publish(&spanned(wish));
    daemon.ended(&job);
    job
}

/// How many rows each table has of some jobs, but for those that have none.
fn rows(daemon: &Daemon, jobs: &[String]) -> BTreeMap<&'static str, i64> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let database = Connection::open_with_flags(daemon.dir().join("relabeld.db"), flags).unwrap();
    let jobs = jobs.join(",");
    let tables = ["chunk", "result", "task", "tally", "job_topic", "change", "dry_change"];
    let columns = tables.map(|table| (table, "job")).into_iter().chain([("job", "id")]);
    let count = |(table, column)| {
        let sql = format!("SELECT count(*) FROM {table} WHERE {column} IN ({jobs})");
        (table, database.query_row(&sql, [], |row| row.get(0)).unwrap())
    };
    columns.map(count).filter(|(_, n)| *n > 0).collect()
}

fn await_removal(daemon: &Daemon, jobs: &[String]) {
    await_some("the removal of all rows", || rows(daemon, jobs).is_empty().then_some(()));
}

/// Stops the daemon, and lets the store count everything again.
fn stop_and_check(daemon: Daemon) {
    let dir = daemon.dir().to_owned();
    assert_eq!(daemon.stop(), Some(0));
    let store = Store::open(&dir, Durability::Normal).unwrap();
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
    store.close();
}

#[test]
fn a_deleted_job_is_gone_for_every_call_and_in_the_end_from_the_file() {
    let scratch = tempfile::tempdir().unwrap();
    let daemon = Daemon::on(&scratch.path().join("data"), &[]);
    daemon.apply(&rules());
    daemon.import(&lines());
    let (job, dry) = (ran(&daemon, json!({})), ran(&daemon, json!({"dry_run": true, "keep_when_empty": false})));
    let other = ran(&daemon, json!({"name": "stays"}));
    let before = (daemon.get("/api/v1/labels.csv").text(), daemon.see(&path(&other)));
    let kept = rows(&daemon, std::slice::from_ref(&other));
    assert_eq!(rows(&daemon, std::slice::from_ref(&job)).len(), 6);
    [&job, &dry].into_iter().for_each(|gone| deleted(&daemon, gone));
    for gone in [&job, &dry] {
        for target in ["", "/items.csv", "/items.ndjson", "/labels.csv", "/labels.ndjson?change=all", "/topics.csv"] {
            daemon.get(&format!("{}{target}", path(gone))).expect_problem(404, "not_found", &[gone]);
        }
        for verb in ["publish", "pause", "resume", "cancel", "retry", "revert", "apply"] {
            act(&daemon, gone, verb).expect_problem(404, "not_found", &[gone]);
        }
        let patch = daemon.ask("PATCH", &path(gone)).json(&json!({"name": "x"}));
        patch.send().expect_problem(404, "not_found", &[gone]);
        delete(&daemon, gone).expect_problem(404, "not_found", &[gone]);
    }
    await_removal(&daemon, &[job.clone(), dry]);
    assert_eq!(daemon.see("/api/v1/jobs")["jobs"], json!([before.1]));
    assert_eq!((daemon.get("/api/v1/labels.csv").text(), daemon.see(&path(&other))), before);
    assert_eq!(rows(&daemon, std::slice::from_ref(&other)), kept);
    assert_eq!(daemon.see("/api/v1/items/note/n-1")["labels"][0]["job"], job, "labels keep its number");
    for unknown in ["99", "0", "x"] {
        delete(&daemon, unknown).expect_problem(404, "not_found", &[unknown]);
    }
    stop_and_check(daemon);
}

#[test]
fn a_job_that_has_not_ended_is_not_deleted() {
    let daemon = stocked_with(&["--max-items-per-job", "5"]);
    // Enough that none of them ends by itself: a job that is resumed has one item at once.
    daemon.import(&(0..6).map(|n| conversation(&format!("m-{n}"), &["hello"])).collect::<Vec<_>>());
    let wish = spanned(json!({"split": true, "max_per_second": SLOW}));
    let first = daemon.ask("POST", "/api/v1/jobs").json(&wish).send().expect(201);
    let [leader, member] = [0, 1].map(|at| first["jobs"][at].as_str().unwrap().to_owned());
    daemon.await_job(&leader, |job| job["state"] == "running");
    delete(&daemon, &leader).expect_problem(409, "conflict", &["running", "before it has ended"]);
    act(&daemon, &leader, "pause").expect(200);
    delete(&daemon, &leader).expect_problem(409, "conflict", &["paused"]);
    // The first of a group is the group, of which one is still open.
    for job in [&leader, &member] {
        act(&daemon, job, "resume").expect(200);
    }
    act(&daemon, &member, "cancel").expect(200);
    daemon.ended(&member);
    delete(&daemon, &leader).expect_problem(409, "conflict", &[&leader]);
    assert_eq!(daemon.see(&path(&member))["state"], "cancelled", "nor is another of it deleted then");
    act(&daemon, &leader, "cancel").expect(200);
    daemon.ended(&leader);
    deleted(&daemon, &leader);
    daemon.get(&path(&member)).expect_problem(404, "not_found", &[&member]);
    await_removal(&daemon, &[leader, member]);
}

#[test]
fn a_job_under_revert_is_deleted_only_after_that() {
    let daemon = stocked();
    let job = ran(&daemon, json!({}));
    let revert = daemon.ask("POST", &format!("{}/revert", path(&job))).json(&json!({"max_per_second": SLOW})).send();
    let revert = revert.expect(201)["id"].as_str().unwrap().to_owned();
    let refused = || drop(delete(&daemon, &job).expect_problem(409, "conflict", &[&revert, "wait for its end"]));
    refused();
    daemon.await_job(&revert, |job| job["counts"]["done"] == 1);
    refused();
    act(&daemon, &revert, "pause").expect(200);
    refused();
    daemon.ask("PATCH", &path(&revert)).json(&json!({"max_per_second": null})).send().expect(200);
    act(&daemon, &revert, "resume").expect(200);
    assert_eq!(daemon.ended(&revert)["labels"]["removed"], 3);
    deleted(&daemon, &job);
    await_removal(&daemon, std::slice::from_ref(&job));
    assert_eq!(daemon.see(&path(&revert))["parent_job"], job);
    // What it took back can be brought again: that is its own history.
    let back = act(&daemon, &revert, "revert").expect(201);
    assert_eq!(daemon.ended(back["id"].as_str().unwrap())["labels"]["added"], 3);
    assert_eq!(daemon.see("/api/v1/items/note/n-1")["labels"][0]["job"], job);
}

#[test]
fn each_of_many_that_are_deleted_is_removed_soon() {
    let daemon = stocked();
    let list = json!({"kind": "list", "ids": [{"kind": "note", "id": "n-1"}], "publish": false});
    let jobs: Vec<String> = (0..220).map(|_| daemon.publish(&list)).collect();
    let (together, one_by_one) = jobs.split_at(20);
    together.iter().for_each(|job| deleted(&daemon, job));
    await_removal(&daemon, together);
    for (at, job) in (0..).zip(one_by_one) {
        // The next comes when the one before is gone, and the pruning just about to end.
        thread::sleep(Duration::from_micros(at % 50 * 100));
        deleted(&daemon, job);
        let since = Instant::now();
        while !rows(&daemon, std::slice::from_ref(job)).is_empty() {
            assert!(since.elapsed() < PATIENCE, "job {job} was deleted, and its rows stay");
        }
    }
}

// By age -------------------------------------------------------------------------------------------------------------

/// Makes the daemon look at what is old, as it does every quarter of an hour.
fn look(daemon: &Daemon) {
    let draft = daemon.publish(&spanned(json!({"publish": false})));
    deleted(daemon, &draft);
}

fn await_pruned(daemon: &Daemon, job: &str) -> Value {
    daemon.await_job(job, |job| !job["pruned_at"].is_null())
}

#[test]
fn of_an_old_job_the_summary_and_the_labels_stay() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("data");
    let flags = ["--retention-days", "0"];
    let daemon = Daemon::on(&dir, &flags);
    daemon.apply(&rules());
    daemon.import(&lines());
    let (job, dry) = (ran(&daemon, json!({})), ran(&daemon, json!({"dry_run": true})));
    let summary = daemon.see(&path(&job));
    let (labels, topics) = (daemon.get("/api/v1/labels.csv").text(), format!("{}/topics.csv", path(&job)));
    let counted = daemon.get(&topics).text();
    assert_eq!(counted.lines().count(), 3, "{counted}");
    // What a revert needs that has not even begun is not too old.
    let keeper = daemon.ask("POST", &format!("{}/revert", path(&job))).json(&json!({"publish": false})).send();
    let keeper = keeper.expect(201)["id"].as_str().unwrap().to_owned();
    look(&daemon);
    await_pruned(&daemon, &dry);
    assert_eq!(daemon.see(&path(&job)), summary);
    assert_eq!(daemon.get(&format!("{}/items.csv", path(&job))).text().lines().count(), 5);
    assert_eq!(daemon.get("/api/v1/labels.ndjson?since=0").rows().len(), 3);

    act(&daemon, &keeper, "cancel").expect(200);
    assert_eq!(daemon.stop(), Some(0));
    let daemon = Daemon::on(&dir, &flags);
    let mut pruned = await_pruned(&daemon, &job);
    assert!(pruned.as_object_mut().unwrap().remove("pruned_at").unwrap().is_string());
    assert_eq!(pruned, summary);
    for (job, verb) in [(&job, "retry"), (&job, "revert"), (&dry, "retry"), (&dry, "apply")] {
        act(&daemon, job, verb).expect_problem(409, "history_pruned", &[job, "retention_days"]);
    }
    for file in ["items.csv", "items.ndjson", "labels.csv", "labels.ndjson?change=all&before=true"] {
        let answer = daemon.get(&format!("{}/{file}", path(&job)));
        answer.expect_problem(409, "history_pruned", &[&job, "summary"]);
    }
    assert_eq!((daemon.get("/api/v1/labels.csv").text(), daemon.get(&topics).text()), (labels, counted));
    let of_job = || rows(&daemon, std::slice::from_ref(&job));
    await_some("the end of its history", || (of_job().keys().eq(&["job", "job_topic", "tally"])).then_some(()));

    // Who follows the feed from before is told where to go on.
    for since in ["0", "1", "2"] {
        let answer = daemon.get(&format!("/api/v1/labels.ndjson?since={since}"));
        answer.expect_problem(409, "history_pruned", &["last_change", "/api/v1/status"]);
    }
    let last = daemon.see("/api/v1/status")["last_change"].as_i64().unwrap();
    assert_eq!(last, 3);
    let feed = || daemon.get(&format!("/api/v1/labels.ndjson?since={last}"));
    assert_eq!((feed().status, feed().text()), (200, String::new()));
    let mark = json!({"marks": [{"transcript": "t1", "block": 1, "topic": "refund", "mark": "is_not"}]});
    daemon.ask("PUT", "/api/v1/items/conversation/fs-1/marks").json(&mark).send().expect(200);
    assert_eq!((feed().rows().len(), &feed().rows()[0]["no"]), (1, &json!(last + 1)));
    // And what has ended since is old as soon as somebody looks.
    let next = ran(&daemon, json!({"keep_when_empty": false}));
    look(&daemon);
    await_pruned(&daemon, &next);
    stop_and_check(daemon);
}
