//! `relabeld publish`, and jobs to their end.

use std::os::unix::process::ExitStatusExt;

use serde_json::{Value, json};

use crate::command::{Beside, asking, run, run_with, say};
use crate::daemon::Daemon;
use crate::{ALL, BACK, NOTE, QUIET, catalogue, daemon, labelled, notes};

#[test]
fn a_job_from_count_to_changes() {
    let daemon = daemon();
    say(&daemon, &format!("count {ALL}")).exits(0).tells(&["total", "kind     conversation      2", "media    chat"]);
    say(&daemon, "catalogue test refund --from 2026-01-01")
        .exits(0)
        .tells(&["SCORE", "100  note  n1"])
        .warns(&["1 match in 3 items read"]);
    let job = say(&daemon, &format!("publish {ALL} --name mended --watch")).exits(0);
    let job = job.tells(&[
        "job                 1\n",
        "state               completed",
        "name                mended",
        "no_topics_detected 1",
        "added 2",
    ]);
    job.tells(&["filter              from 2026-01-01 00:00:00Z, until "])
        .warns(&["`relabeld changes 1` lists what it changed"]);
    say(&daemon, "jobs")
        .exits(0)
        .tells(&["ID  STATE      KIND   NAME", "1   completed  range  mended     2       1      3      2        0"]);
    let changes = say(&daemon, "changes 1").exits(0);
    let changes = changes.tells(&[
        "kind,id,version,transcript,block,topic,change,phrase,score,start,end\n",
        "note,n1,3,note,0,refund,added,refund,100,11,17\n",
    ]);
    assert_eq!(changes.out.lines().count(), 3);
    say(&daemon, "items 1").exits(0).tells(&["conversation,c2,,failed,,no_topics_detected,1,"]);
    for (which, found) in [("--state failed", 1), ("--outcome changed", 2), ("--reason error,crashed", 0)] {
        assert_eq!(say(&daemon, &format!("items 1 {which}")).exits(0).out.lines().count(), 1 + found, "{which}");
    }
    say(&daemon, "items 1 --state resting").exits(5).warns(&["state: \"resting\""]);
    say(&daemon, "topics")
        .exits(0)
        .tells(&["refund  Refund request      2       2", "billing  billing      3          0"]);
    let item = run(asking(&daemon).args(["item", "conversation", "fs 1/a"])).exits(0);
    item.tells(&[
        "conversation fs 1/a",
        "1  customer  refund  I want my money back",
        "refund  rule  money back    100  1",
    ]);
    say(&daemon, "status").exits(0).tells(&[
        "state               running",
        "items               3",
        "catalogue revision  1",
    ]);
    // Nothing is left that the rules of now have not read.
    let empty = say(&daemon, &format!("publish {ALL} --stale-only --watch")).exits(0);
    assert!(empty.out.contains("skipped_current 3") || empty.out.contains("empty because"), "{empty:?}");
}

#[test]
fn a_job_is_paused_resumed_cancelled_and_watched_to_its_end() {
    let daemon = daemon();
    daemon.import(&notes(0..40).lines().map(str::to_owned).collect::<Vec<_>>());
    say(&daemon, &format!("publish {ALL} --max-per-second 0.5"))
        .exits(0)
        .tells(&["max per second      0.5\n"])
        .warns(&["relabeld watch 1"]);
    say(&daemon, "pause 1").exits(0).tells(&["job 1 is paused\n"]);
    let scratch = tempfile::tempdir().unwrap();
    let watch = Beside::start(asking(&daemon).args(["watch", "1"]), scratch.path());
    watch.await_word("`relabeld resume 1` lets it go on");
    watch.interrupt();
    let (status, said) = watch.end();
    assert_eq!(status.signal(), Some(2), "a shell's loop is to end with it");
    said.without_data().warns(&["the daemon goes on with job 1", "`relabeld watch 1`"]);
    assert_eq!(daemon.see("/api/v1/jobs/1")["state"], "paused", "Ctrl-C ends the watching only");
    let watch = Beside::start(asking(&daemon).args(["watch", "1"]), scratch.path());
    watch.await_word("job 1 paused");
    say(&daemon, "resume 1").exits(0).tells(&["job 1 is "]);
    watch.await_word("job 1 running");
    say(&daemon, "cancel 1").exits(0).tells(&["job 1 is cancel"]);
    let (_, said) = watch.end();
    said.exits(1).tells(&["state               cancelled"]).warns(&["relabeld: job 1 was cancelled"]);
    say(&daemon, "cancel 1").exits(5).without_data().warns(&["has ended"]);
}

#[test]
fn watch_goes_on_over_a_restart_on_another_port() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("data");
    let first = Daemon::on(&dir, &[]);
    first.import(&notes(0..12).lines().map(str::to_owned).collect::<Vec<_>>());
    first.apply(&json!({"topics": [{"id": "refund", "name": "r", "phrases": ["refund"]}]}));
    first.publish(&json!({"from": "2026-01-01", "max_per_second": 0.001}));
    let watch = Beside::start(asking(&first).args(["watch", "1"]), scratch.path());
    watch.await_word("job 1 running");
    // SIGKILL.
    drop(first);
    watch.await_word("the daemon does not answer");
    let second = Daemon::on(&dir, &[]);
    watch.await_word("the daemon is back");
    second.ask("PATCH", "/api/v1/jobs/1").json(&json!({"max_per_second": null})).send().expect(200);
    let (_, said) = watch.end();
    said.exits(0).tells(&["state               completed", "added 12"]);
}

#[test]
fn a_job_too_large_names_the_flag_and_a_split_one_is_one_document() {
    let daemon = Daemon::with(&["--max-items-per-job", "2"]);
    daemon.import(&[BACK, NOTE, QUIET].map(str::to_owned));
    daemon.apply(&catalogue());
    say(&daemon, &format!("publish {ALL}")).exits(5).without_data().warns(&["add --split"]);
    let jobs = say(&daemon, &format!("publish {ALL} --split --watch --json")).exits(0).json();
    let done: u64 = jobs["jobs"].as_array().unwrap().iter().map(|job| job["counts"]["total"].as_u64().unwrap()).sum();
    assert_eq!((jobs["jobs"].as_array().unwrap().len(), done), (2, 3), "{jobs}");
}

#[test]
fn a_draft_waits_to_be_published() {
    let daemon = daemon();
    let draft = say(&daemon, &format!("publish {ALL} --name later --max-per-second 50 --draft")).exits(0);
    draft
        .tells(&["state           draft", "name            later"])
        .warns(&["`relabeld publish --job 1` publishes it"]);
    say(&daemon, "jobs --state draft").exits(0).tells(&["1   draft  range  later"]);
    say(&daemon, "show 1").exits(0).warns(&["`relabeld publish --job 1`"]);
    let done = say(&daemon, "publish --job 1 --watch").exits(0);
    done.tells(&["state               completed", "max per second      50", "added 2"]);
    say(&daemon, "publish --job 1").exits(5).without_data().warns(&["job 1 has ended as completed"]);
    say(&daemon, "publish --job 99").exits(3).without_data().warns(&["`relabeld jobs` lists the jobs"]);
    let json = say(&daemon, "publish --draft --json").exits(0);
    assert_eq!((&json.json()["state"], json.err.as_str()), (&json!("draft"), ""), "hints are for people");
    assert_eq!(say(&daemon, "publish --job 2 --json").exits(0).json()["id"], "2");
}

#[test]
fn watching_a_draft_says_what_it_waits_for() {
    let daemon = daemon();
    say(&daemon, &format!("publish {ALL} --draft")).exits(0);
    let scratch = tempfile::tempdir().unwrap();
    let watch = Beside::start(asking(&daemon).args(["watch", "1"]), scratch.path());
    watch.await_word("job 1 draft: 0 so far; `relabeld publish --job 1` publishes it");
    say(&daemon, "publish --job 1").exits(0);
    let (_, said) = watch.end();
    said.exits(0).tells(&["state               completed"]);
}

#[test]
fn the_same_key_makes_no_second_job() {
    let daemon = daemon();
    let publish = |more: &str| say(&daemon, &format!("publish {ALL} --idempotency-key k {more}"));
    let first = publish("--json").exits(0);
    assert_eq!(first.json()["id"], "1");
    assert!(!publish("-q").exits(0).err.contains("before"));
    publish("").exits(0).tells(&["job                 1\n"]).warns(&["this request made its job before"]);
    publish("--name other").exits(5).without_data().warns(&["Idempotency-Key", "job 1"]);
    assert_eq!(say(&daemon, "jobs --json").json()["jobs"].as_array().unwrap().len(), 1);
}

#[test]
fn a_catalogue_is_tried_out_before_it_is_applied() {
    let daemon = labelled();
    let mut rules = catalogue();
    rules["topics"][0]["strictness"] = json!(90);
    rules["topics"][1]["id"] = json!("new");
    let apply = |rules: &Value, flags: &[&str]| {
        run_with(asking(&daemon).args(["catalogue", "apply", "-"]).args(flags), rules.to_string().as_bytes())
    };
    let would = apply(&rules, &["--dry-run"]).exits(0);
    would
        .tells(&["revision 2", "added 1: new", "changed 1: refund", "removed 1: late"])
        .warns(&["nothing was applied", "--allow-remove"]);
    let mut mistyped = catalogue();
    mistyped["topics"][0]["programs"] = json!(["biling"]);
    apply(&mistyped, &["--dry-run"])
        .exits(0)
        .warns(&["topic refund: no stored item belongs to program biling; there are billing"]);
    assert_eq!(apply(&rules, &["--dry-run", "--json"]).exits(0).json()["removed"], json!(["late"]));
    rules["topics"][0]["strictness"] = json!(0);
    apply(&rules, &["--dry-run"]).exits(5).warns(&["topics[0].strictness"]);
    apply(&rules, &["--dry-run", "--if-match", "1"]).exits(2);
    assert_eq!(daemon.see("/api/v1/catalogue")["revision"], 1);
}

#[test]
fn what_will_find_nothing_says_why() {
    let daemon = Daemon::start();
    daemon.import(&[BACK, NOTE, QUIET].map(str::to_owned));
    let bare = say(&daemon, &format!("publish {ALL} --watch")).exits(0);
    bare.tells(&["program_has_no_topics 3"]).warns(&["the catalogue has no topics", "`relabeld catalogue apply FILE`"]);
    say(&daemon, "relabel note n1 --version 3").exits(0).warns(&["the catalogue has no topics"]);
    for quiet in ["-q", "--json"] {
        assert_eq!(say(&daemon, &format!("publish {ALL} {quiet}")).exits(0).err, "");
    }
    daemon.apply(&catalogue());
    let said = say(&daemon, &format!("publish {ALL}")).exits(0);
    assert!(!said.err.contains("no topics"), "{said:?}");

    let count =
        say(&daemon, &format!("count {ALL} --programs biling,billing")).exits(0).tells(&["billing           3"]);
    assert_eq!(count.err, "none of program biling; `relabeld topics` lists the programs and their items\n");
    assert_eq!(say(&daemon, "count --programs biling --json").exits(0).err, "");
    assert_eq!(say(&daemon, &format!("count {ALL} --programs billing")).exits(0).err, "");
    let empty = say(&daemon, &format!("publish {ALL} --programs biling")).exits(0);
    empty.tells(&["empty because", "no item belongs to a program \"biling\""]);
}

#[test]
fn a_job_shows_what_it_did_to_each_topic_and_what_can_be_done_next() {
    let daemon = labelled();
    let shown = say(&daemon, "show 1").exits(0);
    let shown = shown.tells(&["\n\nTOPIC   ADDED  REMOVED  UPDATED\nrefund      2        0        0\n"]);
    assert_eq!(
        shown.err,
        "`relabeld changes 1` lists what it changed; `relabeld revert 1` takes it back\n\
         no_topics_detected: nothing was found on 1 of them; that is no error, and they keep what they have\n"
    );
    assert_eq!(say(&daemon, "show 1 -q").exits(0).err, "");
    let json = say(&daemon, "show 1 --json").exits(0);
    assert_eq!((json.json()["labels"]["added"].as_u64(), json.err.as_str()), (Some(2), ""));
    // What changed nothing has nothing to list.
    say(&daemon, &format!("publish {ALL} --watch -q")).exits(0);
    let same = say(&daemon, "show 2").exits(0);
    assert!(!same.out.contains("TOPIC") && !same.err.contains('`'), "{same:?}");
}
