//! The command line as its users meet it: the real binary, beside a real daemon where it needs one.

#[path = "../common/command.rs"]
mod command;
#[path = "../common/daemon.rs"]
mod daemon;

mod again;
mod backup;
mod check;
mod demo;
mod every;
mod import;
mod items;
mod jobs;
mod lists;
mod output;
mod steer;
mod token;

use std::fs;

use serde_json::{Value, json};

use command::{Said, asking, run, run_with, say};
use daemon::{Daemon, relabeld};

const BACK: &str = r#"{"kind":"conversation","id":"fs 1/a","media":"voice","started_at":"2026-01-10T10:00:00Z","programs":["billing"],"transcripts":[{"id":"t1","blocks":[{"speaker":"agent","text":"hello"},{"speaker":"customer","text":"I want my money back"}]}]}"#;
const NOTE: &str = r#"{"kind":"note","id":"n1","version":3,"created_at":"2026-01-11T09:00:00Z","programs":["billing"],"text":"Asks for a refund.\n\nCalls again."}"#;
const QUIET: &str = r#"{"kind":"conversation","id":"c2","media":"chat","started_at":"2026-01-12T10:00:00Z","programs":["billing"],"transcripts":[{"id":"t1","blocks":[{"speaker":"agent","text":"good morning"}]}]}"#;
/// All of them.
const ALL: &str = "--from 2026-01-01";

fn catalogue() -> Value {
    json!({"topics": [
        {"id": "refund", "name": "Refund request", "programs": ["billing"], "phrases": ["money back", "refund"]},
        {"id": "late", "name": "Late", "programs": ["billing"], "phrases": ["too late"]},
    ]})
}

/// A daemon with three items and a catalogue.
fn daemon() -> Daemon {
    let daemon = Daemon::start();
    daemon.import(&[BACK, NOTE, QUIET].map(str::to_owned));
    daemon.apply(&catalogue());
    daemon
}

/// And job 1, which has labelled two of the three.
fn labelled() -> Daemon {
    let daemon = daemon();
    daemon.publish(&json!({"from": "2026-01-01"}));
    daemon.ended("1");
    daemon
}

fn file(daemon: &Daemon, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = daemon.dir().with_file_name(name);
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

fn notes(ids: std::ops::Range<usize>) -> String {
    let line = |id| json!({"kind": "note", "id": format!("n{id}"), "version": 1, "created_at": "2026-01-11", "text": format!("refund {id}. {}", "word ".repeat(40))});
    ids.map(|id| line(id).to_string() + "\n").collect()
}

#[test]
fn every_page_of_help_is_there() {
    let top = run(relabeld().arg("--help")).exits(0);
    assert_eq!(top.err, "");
    let (commands, _) = top.out.split_once("\nEverywhere:").unwrap();
    let entries = commands.lines().filter_map(|line| line.strip_prefix("  "));
    let names: Vec<&str> = entries.filter_map(|entry| entry.split(' ').next()).collect();
    assert!(names.contains(&"publish") && names.len() > 20, "{names:?}");
    for name in names.iter().filter(|name| **name != "help") {
        for flag in ["-h", "--help"] {
            run(relabeld().args([name, flag])).exits(0).tells(&["Usage: relabeld ", "--data-dir"]);
        }
        run(relabeld().args(["man", name])).exits(0).tells(&[".SH NAME"]);
    }
    run(&mut relabeld()).exits(2).without_data().warns(&["Examples:", "relabeld demo"]);
    run(relabeld().arg("--version")).exits(0).tells(&["relabeld 0."]);
    run(relabeld().args(["completions", "bash"])).exits(0).tells(&["complete -F _relabeld"]);
    run(relabeld().args(["man", "nothing"])).exits(2).without_data().warns(&["relabeld help"]);
}

#[test]
fn wrong_usage_exits_2_before_any_daemon_is_asked() {
    let lines = [
        ("statsu", "'status'"),
        ("show", "<JOB>"),
        ("import", "<FILE>"),
        ("publish --form 30d", "--from"),
        ("publish --priority 500", "1..=100"),
        ("jobs --state done", "completed_with_failures"),
        ("item letter 7", "conversation or note"),
        ("relabel note n1", "--version"),
        ("items 7 --format xml", "ndjson"),
        ("status --url https://x", "no TLS"),
        ("status --url localhost:8707", "http://HOST:PORT"),
        ("serve --workers many", "whole number"),
        ("publish --draft --watch", "cannot be used with"),
        ("publish --job 7 --from 3d", "'--job <JOB>' cannot be used with '--from <TIME>'"),
        ("publish --ids f --media voice", "'--ids <FILE>' cannot be used with '--media"),
        ("revert 7 --no-topics-detected", "unexpected argument"),
        ("apply 7 --dry-run", "unexpected argument"),
        ("retry", "<JOB>"),
        ("delete", "<JOB>"),
        ("set 7", "--priority"),
    ];
    for (line, hint) in lines {
        run(relabeld().args(line.split(' '))).exits(2).without_data().warns(&[hint]);
    }
}

#[test]
fn json_is_one_document_and_the_rest_goes_to_stderr() {
    let daemon = labelled();
    let file = file(&daemon, "c.json", catalogue().to_string());
    let lines = [
        "status",
        "count",
        "count --types notes",
        "catalogue show",
        "catalogue test refund --from 2026-01-01",
        "jobs",
        "jobs --limit 1",
        "show 1",
        "watch 1",
        "items 1",
        "changes 1",
        "changes 1 --change updated",
        "labels",
        "labels --since 0",
        "labels --topics none",
        "topics",
        "login",
        "item note n1",
        "mark note n1 note 1 late is",
        "relabel note n1 --version 3",
        "relabel conversation c2 --watch",
        "publish",
        "publish --watch --from 2026-01-01",
        "publish --from 2026-01-01 --draft",
        "publish --from 2026-01-01 --dry-run --watch",
        "changes 1 --change all --before",
        "retry 1 --no-topics-detected",
        "revert 1 --dry-run --watch",
        "revert 1 --draft",
        "set 1 --name x",
        "token rotate token.metrics",
    ];
    for line in lines {
        let said = say(&daemon, &format!("{line} --json")).exits(0);
        let document = said.json();
        assert!(document.is_object() || document.is_array(), "{line}: {document}");
        assert!(!said.err.contains("{\""), "{line}: {said:?}");
        let quiet = say(&daemon, &format!("{line} --json -q")).exits(0);
        assert_eq!(quiet.err, "", "{line}");
    }
    let import = run_with(asking(&daemon).args(["import", "--json", "-"]), NOTE.as_bytes());
    assert_eq!(import.exits(0).json()["unchanged"], 1);
    assert_eq!(say(&daemon, "erase conversation c2 --yes --json").exits(0).json(), json!({}));
    let applied = run(asking(&daemon).args(["catalogue", "apply", &file]).env("RELABELD_JSON", "1")).exits(0);
    assert_eq!(applied.json()["revision"], 1);
}

#[test]
fn what_is_not_there_exits_3_and_says_where_to_look() {
    let daemon = labelled();
    for line in ["show 99", "show x", "watch 99", "pause 99", "items 99", "changes 99", "changes 99 --before"] {
        say(&daemon, line).exits(3).without_data().warns(&["relabeld: ", "`relabeld jobs` lists the jobs"]);
    }
    for line in ["item note no", "relabel conversation no", "erase note no --yes", "mark note no note 0 refund is"] {
        say(&daemon, line).exits(3).without_data().warns(&["not found", "case-sensitive"]);
    }
    say(&daemon, "catalogue show --revision 99").exits(3).without_data().warns(&["relabeld catalogue show"]);
    let out = daemon.dir().with_file_name("x.csv");
    run(asking(&daemon).args(["changes", "99", "-o"]).arg(&out)).exits(3);
    assert!(!out.exists() && !out.with_extension("csv.part").exists());
}

#[test]
fn what_is_refused_exits_5_and_says_what_to_do() {
    let daemon = labelled();
    let file = |content: Value| file(&daemon, "c.json", content.to_string());
    let apply =
        |content: Value, more: &[&str]| run(asking(&daemon).args(["catalogue", "apply", &file(content)]).args(more));
    let bad = json!({"topics": [{"id": "a", "name": "A", "strictness": 101, "phrases": ["!!"]}]});
    apply(bad, &[]).exits(5).without_data().warns(&[
        "topics[0].strictness: ",
        "topics[0].phrases[0]: ",
        "nothing was applied",
    ]);
    apply(json!({"topics": []}), &[]).exits(5).without_data().warns(&["refund", "add --allow-remove"]);
    apply(catalogue(), &["--if-match", "7"]).exits(5).without_data().warns(&["revision 1"]);
    apply(catalogue(), &["--if-match", "1"]).exits(0).tells(&["revision 1\nnothing changed"]);
    say(&daemon, "relabel note n1 --version 2").exits(5).without_data().warns(&["version 3", "relabeld item note"]);
    say(&daemon, "publish --from 2026-02-01 --until 2026-01-01").exits(5).warns(&["from"]);
    say(&daemon, "count --from yesterday").exits(5).without_data().warns(&["30d", "2026-11-01"]);
    say(&daemon, "count --types letters").exits(5).without_data().warns(&["conversations or notes"]);
    let read = daemon.dir().join("token.read");
    let with = |line: &str| run(asking(&daemon).arg("--token-file").arg(&read).args(line.split(' ')));
    with("status").exits(0);
    with("erase note n1 --yes").exits(5).without_data().warns(&["the file `token`"]);
    run(relabeld().args(["status", "--url", &format!("http://{}", daemon.address)]))
        .exits(5)
        .without_data()
        .warns(&["--token-file"]);
    assert_eq!(say(&daemon, "count --json --from 2026-01-01").json()["total"], 3, "nothing was erased");
}

#[test]
fn no_daemon_exits_4_and_says_how_to_start_one() {
    let empty = tempfile::tempdir().unwrap();
    let dir = empty.path().to_str().unwrap();
    for place in [["--data-dir", dir], ["--url", "http://127.0.0.1:1"], ["--url", "unix:/nowhere"]] {
        for line in [
            "status",
            "import -",
            "watch 1",
            "publish --watch",
            "labels",
            "revert 1",
            "delete 1 --yes",
            "set 1 --name x",
        ] {
            let said = run(relabeld().args(place).args(line.split(' '))).exits(4).without_data();
            said.warns(&["relabeld: ", "`relabeld serve`"]);
        }
    }
    // What a killed daemon leaves behind is no daemon.
    fs::write(empty.path().join("address"), "127.0.0.1:1").unwrap();
    run(relabeld().args(["status", "--data-dir", dir])).exits(4).warns(&["Connection refused"]);
    let token = empty.path().join("none");
    run(relabeld().args(["status", "--data-dir", dir, "--token-file"]).arg(token)).exits(1).warns(&["token file"]);
}

#[test]
fn the_daemon_is_found_by_directory_url_and_socket() {
    let scratch = tempfile::tempdir().unwrap();
    let socket = scratch.path().join("s");
    let daemon = Daemon::with(&["--socket", socket.to_str().unwrap()]);
    let (url, unix) = (format!("http://{}/", daemon.address), format!("unix:{}", socket.display()));
    let token = daemon.dir().join("token");
    let address = |said: Said| said.exits(0).json()["address"].clone();
    let here = json!(daemon.address.to_string());
    assert_eq!(address(run(relabeld().args(["--json", "status", "--data-dir"]).arg(daemon.dir()))), here);
    assert_eq!(address(run(relabeld().args(["status", "--json", "--url", &url, "--token-file"]).arg(&token))), here);
    assert_eq!(address(run(relabeld().args(["status", "--json", "--url", &unix]))), here);
    assert_eq!(address(run(relabeld().args(["status", "--json"]).env("RELABELD_URL", &unix))), here);
    assert_eq!(
        address(run(relabeld()
            .args(["status", "--json"])
            .env("RELABELD_URL", &url)
            .env("RELABELD_TOKEN_FILE", &token))),
        here
    );
    let state = run(relabeld().args(["status", "--json"]).env("STATE_DIRECTORY", daemon.dir()));
    assert_eq!(address(state), here);
    // A flag wins over a variable.
    assert_eq!(
        address(run(relabeld()
            .args(["status", "--json", "--data-dir"])
            .arg(daemon.dir())
            .env("RELABELD_URL", "unix:/nowhere"))),
        here
    );
}
