//! Jobs that are made of others: dry runs and `apply`, `revert`, `retry`.

use serde_json::{Value, json};

use crate::command::{asking, run, say};
use crate::daemon::Daemon;
use crate::{ALL, BACK, NOTE, QUIET, catalogue, daemon, labelled};

/// A catalogue that finds something in all three items.
fn wider() -> Value {
    let mut catalogue = catalogue();
    let greeting = json!({"id": "greeting", "name": "Greeting", "programs": ["billing"], "phrases": ["good morning"]});
    catalogue["topics"].as_array_mut().unwrap().push(greeting);
    catalogue
}

fn labels(daemon: &Daemon) -> String {
    say(daemon, "labels").exits(0).out
}

#[test]
fn a_dry_run_is_looked_at_and_applied_once() {
    let daemon = daemon();
    let dry = say(&daemon, &format!("publish {ALL} --dry-run --watch")).exits(0);
    let dry = dry.tells(&["kind                range (dry run)", "added 2", "TOPIC   ADDED", "refund      2"]);
    dry.warns(&[
        "`relabeld changes 1` lists what it would change; no label was written",
        "`relabeld apply 1` does in earnest",
    ]);
    assert_eq!(labels(&daemon).lines().count(), 1, "the head alone");
    assert_eq!(say(&daemon, "changes 1").exits(0).out.lines().count(), 3);
    say(&daemon, "jobs").exits(0).tells(&["KIND             NAME", "1   completed  range (dry run)  -"]);

    let applied = say(&daemon, "apply 1 --name for-good --watch").exits(0);
    applied.tells(&["job                 2\n", "name                for-good", "made from job       1", "added 2"]);
    assert_eq!(labels(&daemon).lines().count(), 3);
    let shown = say(&daemon, "show 1").exits(0).tells(&["applied by job      2"]);
    assert!(!shown.err.contains("relabeld apply"), "{shown:?}");
    say(&daemon, "apply 1").exits(5).without_data().warns(&["applied already, by job 2"]);
    say(&daemon, "apply 2").exits(5).without_data().warns(&["no dry run"]);
}

#[test]
fn an_old_dry_run_is_not_applied() {
    let daemon = daemon();
    let dry = say(&daemon, &format!("publish {ALL} --dry-run --watch --json")).exits(0).json();
    assert_eq!((&dry["dry_run"], &dry["labels"]["added"]), (&json!(true), &json!(2)));
    daemon.apply(&wider());
    say(&daemon, "apply 1").exits(5).without_data().warns(&["have changed since revision 1", "make a new dry run"]);
}

#[test]
fn a_revert_takes_back_and_can_be_taken_back() {
    let daemon = labelled();
    let before = labels(&daemon);
    say(&daemon, "revert 1 --dry-run --watch").exits(0).tells(&["kind           revert (dry run)", "removed 2"]);
    assert_eq!(labels(&daemon), before);
    let revert = say(&daemon, "revert 1 --watch").exits(0).tells(&["made from job  1", "removed 2"]);
    // Not the bare command: that lists what was added, and there is none.
    revert.warns(&["`relabeld changes 3 --change all` lists what it changed; `relabeld revert 3` takes it back"]);
    assert_eq!(labels(&daemon).lines().count(), 1);
    let changes = say(&daemon, "changes 3 --change all --before").exits(0);
    changes.tells(&[
        "change,phrase,score,start,end,old_phrase,old_score,old_start,old_end,old_job\n",
        "note,n1,3,note,0,refund,removed,refund,100,11,17,refund,100,11,17,1\n",
    ]);
    let json = say(&daemon, "changes 3 --change removed --before --json").exits(0).json();
    assert_eq!((json.as_array().unwrap().len(), &json[0]["old_job"]), (2, &json!("1")));
    assert!(!say(&daemon, "changes 3 --change all").exits(0).out.contains("old_"));

    assert_eq!(say(&daemon, "revert 3 --watch --json").exits(0).json()["labels"]["added"], 2);
    assert_eq!(labels(&daemon), before);
    let left = say(&daemon, "revert 3 --watch").exits(0).tells(&["newer_change 2"]);
    left.warns(&["`relabeld items 5` names the items that were left"]);
}

#[test]
fn a_retry_takes_the_items_without_topics_when_asked() {
    let daemon = labelled();
    let none = say(&daemon, "retry 1").exits(0).tells(&["job 1 left nothing to retry"]);
    assert_eq!(none.err, "");
    daemon.apply(&wider());
    let again =
        say(&daemon, "retry 1 --no-topics-detected --priority 3 --max-per-second 50 --name more --watch").exits(0);
    again.tells(&[
        "kind                retry",
        "name                more",
        "items               1: done 1",
        "added 1",
        "priority            3",
        "max per second      50",
        "made from job       1",
    ]);
    let draft = say(&daemon, "retry 1 --no-topics-detected --dry-run --draft --json").exits(0).json();
    assert_eq!((&draft["state"], &draft["dry_run"], &draft["kind"]), (&json!("draft"), &json!(true), &json!("retry")));
    say(&daemon, "publish --job 4 --watch").exits(0).tells(&["retry (dry run)"]);
}

#[test]
fn what_cannot_be_made_of_a_job_is_refused() {
    let daemon = labelled();
    say(&daemon, &format!("publish {ALL} --draft -q")).exits(0);
    say(&daemon, &format!("publish {ALL} --dry-run --watch -q")).exits(0);
    for verb in ["retry", "revert", "apply"] {
        say(&daemon, &format!("{verb} 99")).exits(3).without_data().warns(&["`relabeld jobs` lists the jobs"]);
        say(&daemon, &format!("{verb} x/../1")).exits(3).without_data();
    }
    say(&daemon, "retry 2")
        .exits(5)
        .without_data()
        .warns(&["job 2 is draft: it cannot be retried before it has ended"]);
    say(&daemon, "revert 2").exits(5).without_data().warns(&["cannot be reverted before it has ended"]);
    say(&daemon, "revert 3").exits(5).without_data().warns(&["job 3 is a dry run: it changed nothing"]);
    let read = daemon.dir().join("token.read");
    for verb in ["retry", "revert", "apply"] {
        let said = run(asking(&daemon).args([verb, "1", "--token-file"]).arg(&read)).exits(5).without_data();
        said.warns(&["the file `token`"]);
    }
}

#[test]
fn of_a_group_all_jobs_are_applied() {
    let daemon = Daemon::with(&["--max-items-per-job", "2"]);
    daemon.import(&[BACK, NOTE, QUIET].map(str::to_owned));
    daemon.apply(&catalogue());
    let dry = say(&daemon, &format!("publish {ALL} --split --dry-run")).exits(0);
    dry.tells(&["jobs of its group   1, 2"]).warns(&["split into jobs 1, 2; control of job 1 is control of all"]);
    for job in ["1", "2"] {
        daemon.ended(job);
    }
    let applied = say(&daemon, "apply 1 --watch --json").exits(0).json();
    let parents: Vec<&Value> = applied["jobs"].as_array().unwrap().iter().map(|job| &job["parent_job"]).collect();
    assert_eq!(parents, ["1", "2"]);
    assert_eq!(labels(&daemon).lines().count(), 3);
}
