//! `relabeld set` and `relabeld delete`.

use serde_json::json;

use crate::command::{asking, on_terminal, run, say};
use crate::daemon::Daemon;
use crate::{ALL, BACK, NOTE, QUIET, daemon, labelled, notes};

#[test]
fn a_job_is_steered_while_it_runs() {
    let daemon = daemon();
    daemon.import(&notes(0..400).lines().map(str::to_owned).collect::<Vec<_>>());
    say(&daemon, &format!("publish {ALL} --max-per-second 1")).exits(0);
    say(&daemon, "set 1 --priority 80 --max-per-second 0.5")
        .exits(0)
        .tells(&["job 1: priority 80, max per second 0.5\n"]);
    say(&daemon, "show 1").exits(0).tells(&["priority            80", "max per second      0.5"]);
    say(&daemon, "set 1 --max-per-second 2").exits(0).tells(&["job 1: max per second 2\n"]);
    let job = run(asking(&daemon).args(["set", "1", "--json", "--name", "a b"])).exits(0).json();
    assert_eq!((&job["name"], &job["priority"]), (&json!("a b"), &json!(80)), "what is not named stays");
    run(asking(&daemon).args(["set", "1", "--name", ""])).exits(0).tells(&["job 1: name none\n"]);
    say(&daemon, "set 1 --max-per-second none").exits(0).tells(&["job 1: max per second none\n"]);
    // At two items a second it would go on for minutes.
    let job = daemon.ended("1");
    assert_eq!((&job["max_per_second"], &job["name"]), (&json!(null), &json!(null)));
    say(&daemon, "set 1 --priority 3").exits(5).without_data().warns(&["has ended as completed"]);
    say(&daemon, "set 1 --name late").exits(0);
    say(&daemon, "set 99 --priority 3").exits(3).without_data().warns(&["`relabeld jobs` lists the jobs"]);
    say(&daemon, "set 1")
        .exits(2)
        .without_data()
        .warns(&["--name <TEXT>|--priority <1-100>|--max-per-second <N|none>"]);
    say(&daemon, "set 1 --max-per-second no").exits(2).without_data().warns(&["a number above 0, or none"]);
}

#[test]
fn deleting_asks_first_and_leaves_the_labels() {
    let daemon = labelled();
    say(&daemon, "set 1 --name mended").exits(0);
    let labels = say(&daemon, "labels").out;
    for job in ["1", "99"] {
        say(&daemon, &format!("delete {job}")).exits(2).without_data().warns(&["--yes"]);
    }
    let mut delete = asking(&daemon);
    delete.args(["delete", "1"]);
    let asked = on_terminal(&mut delete, 200, "n\n").exits(1).tells(&["nothing was deleted"]);
    asked.tells(&["Delete job 1 \"mended\" (completed range, made 20", "Labels stay", "[y/N]"]);
    say(&daemon, "show 1").exits(0);
    on_terminal(&mut delete, 200, "y\n").exits(0).tells(&["job 1 is deleted; its labels stay"]);
    on_terminal(&mut delete, 200, "y\n").exits(3).tells(&["`relabeld jobs` lists the jobs"]);
    say(&daemon, "show 1").exits(3);
    assert_eq!(say(&daemon, "labels").out, labels);
    say(&daemon, "delete 1 --yes").exits(3).without_data().warns(&["job 1 not found"]);

    say(&daemon, &format!("publish {ALL} --draft")).exits(0);
    assert_eq!(say(&daemon, "delete 2 --yes --json").exits(0).json(), json!({}));
    say(&daemon, &format!("publish {ALL} --max-per-second 0.01")).exits(0);
    say(&daemon, "delete 3 --yes").exits(5).without_data().warns(&["it cannot be deleted before it has ended"]);
}

#[test]
fn a_group_is_deleted_whole_and_the_question_says_so() {
    let daemon = Daemon::with(&["--max-items-per-job", "2"]);
    daemon.import(&[BACK, NOTE, QUIET].map(str::to_owned));
    say(&daemon, &format!("publish {ALL} --split --watch -q")).exits(0);
    let mut delete = asking(&daemon);
    on_terminal(delete.args(["delete", "1"]), 200, "y\n").exits(0).tells(&["Delete jobs 1, 2 (completed range"]);
    assert_eq!(say(&daemon, "jobs --json").json()["jobs"], json!([]));
}
