//! `relabeld check`.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::command::{run, say};
use crate::daemon::{Daemon, relabeld};
use crate::{ALL, BACK, NOTE, QUIET, catalogue, labelled};

#[test]
fn check_recounts_and_a_database_in_use_is_left_alone() {
    let daemon = labelled();
    let dir = daemon.dir().to_owned();
    let check = |dir: &Path| run(relabeld().args(["check", "--data-dir"]).arg(dir));
    check(&dir).exits(1).warns(&["another relabeld"]);
    let scratch = dir.with_file_name("copy");
    fs::create_dir(&scratch).unwrap();
    fs::write(scratch.join("relabeld.db"), "no database at all, but a text of some length").unwrap();
    check(&scratch).exits(1).warns(&["relabeld: "]);
    run(relabeld().args(["check", "--data-dir"]).arg(&dir).env("RELABELD_WORKERS", "x"))
        .exits(1)
        .warns(&["RELABELD_WORKERS"]);
}

#[test]
fn what_check_finds_is_one_document_with_json() {
    let scratch = tempfile::tempdir().unwrap();
    let (dir, copy) = (scratch.path().join("data"), scratch.path().join("copy"));
    let daemon = Daemon::on(&dir, &[]);
    daemon.import(&[BACK, NOTE, QUIET].map(str::to_owned));
    daemon.apply(&catalogue());
    say(&daemon, &format!("publish {ALL} --watch -q")).exits(0);
    let in_use = run(relabeld().args(["check", "--json", "--data-dir"]).arg(&dir)).exits(1);
    in_use.without_data().warns(&["another relabeld"]);
    assert_eq!(daemon.stop(), Some(0));
    fs::create_dir(&copy).unwrap();
    let check = |dir: &Path, more: &[&str]| run(relabeld().args(["check", "--data-dir"]).arg(dir).args(more));
    let found = |dir: &Path, code: i32| -> Value { check(dir, &["--json"]).exits(code).json() };
    assert_eq!(found(&copy, 0), json!({"config": "ok", "database": null, "faults": []}));
    check(&copy, &[]).exits(0).tells(&["config: ok\ndatabase: there is none in "]);

    fs::copy(dir.join("relabeld.db"), copy.join("relabeld.db")).unwrap();
    assert_eq!(found(&copy, 0), json!({"config": "ok", "database": "ok", "faults": []}));
    check(&copy, &[]).exits(0).tells(&["config: ok\ndatabase: ok\n"]);

    let database = rusqlite::Connection::open(copy.join("relabeld.db")).unwrap();
    database.execute("UPDATE job SET labels_added = 7", []).unwrap();
    drop(database);
    let faulty = found(&copy, 1);
    let faults = faulty["faults"].as_array().unwrap();
    assert_eq!((&faulty["database"], faults.len()), (&json!("faulty"), 1), "{faulty}");
    let plain = check(&copy, &[]).exits(1).warns(&["relabeld: 1 fault(s) in "]);
    plain.tells(&["config: ok\n", faults[0].as_str().unwrap()]);
    check(&copy.with_file_name("none"), &["--json"]).exits(1).without_data().warns(&["no data directory"]);
}
