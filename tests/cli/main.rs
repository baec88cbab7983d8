//! The command line as its users meet it: the real binary, beside a real daemon where it needs one.

#[path = "../common/command.rs"]
mod command;
#[path = "../common/daemon.rs"]
mod daemon;
mod demo;
mod import;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use command::{Beside, Said, asking, on_terminal, plain, run, run_with, say};
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
    let commands = top.out.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names: Vec<&str> = commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
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
    ];
    for (line, hint) in lines {
        run(relabeld().args(line.split(' '))).exits(2).without_data().warns(&[hint]);
    }
}

#[test]
fn commands_of_later_are_not_offered() {
    for line in
        ["retry 1", "revert 1", "apply 1", "delete 1", "set 1 --priority 3", "publish --dry-run", "publish --ids f"]
    {
        run(relabeld().args(line.split(' '))).exits(2).without_data();
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
    say(&daemon, &format!("publish {ALL} --max-per-second 1"))
        .exits(0)
        .tells(&["max per second      1\n"])
        .warns(&["relabeld watch 1"]);
    say(&daemon, "pause 1").exits(0).tells(&["job 1 is paused\n"]);
    let scratch = tempfile::tempdir().unwrap();
    let watch = Beside::start(asking(&daemon).args(["watch", "1"]), scratch.path());
    watch.await_word("`relabeld resume 1` lets it go on");
    watch.interrupt();
    let (_, said) = watch.end();
    said.exits(128 + 2).without_data();
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
    first.publish(&json!({"from": "2026-01-01", "max_per_second": 4}));
    let watch = Beside::start(asking(&first).args(["watch", "1"]), scratch.path());
    watch.await_word("job 1 running");
    // SIGKILL.
    drop(first);
    watch.await_word("the daemon does not answer");
    let _second = Daemon::on(&dir, &[]);
    watch.await_word("the daemon is back");
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
fn what_is_not_there_exits_3_and_says_where_to_look() {
    let daemon = labelled();
    for line in ["show 99", "show x", "watch 99", "pause 99", "items 99", "changes 99"] {
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
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for place in [["--data-dir", dir], ["--url", &format!("http://{closed}")], ["--url", "unix:/nowhere"]] {
        for line in ["status", "import -", "watch 1", "publish --watch", "labels"] {
            let said = run(relabeld().args(place).args(line.split(' '))).exits(4).without_data();
            said.warns(&["relabeld: ", "`relabeld serve`"]);
        }
    }
    // What a killed daemon leaves behind is no daemon.
    fs::write(empty.path().join("address"), closed.to_string()).unwrap();
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

#[test]
fn downloads_have_three_forms_and_files_that_appear_whole() {
    let daemon = labelled();
    let ndjson = say(&daemon, "labels --format ndjson").exits(0);
    let rows: Vec<Value> = ndjson.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(say(&daemon, "labels --json").json(), Value::from(rows.clone()));
    assert_eq!(rows.len(), 2);
    let out = daemon.dir().with_file_name("l.csv");
    let saved = run(asking(&daemon).args(["labels", "-o"]).arg(&out)).exits(0).without_data().warns(&["written to "]);
    assert_eq!(saved.out, "");
    assert_eq!(fs::read_to_string(&out).unwrap(), say(&daemon, "labels").out);
    run(asking(&daemon).args(["labels", "-o", "/dev/null"])).exits(0).without_data();
    run(asking(&daemon).args(["labels", "-o", "/nowhere/l.csv"])).exits(1).warns(&["/nowhere/l.csv"]);
    let since = say(&daemon, "labels --since 1 --json").exits(0).json();
    assert_eq!((since.as_array().unwrap().len(), &since[0]["no"]), (1, &json!(2)));
}

#[test]
fn a_reader_that_has_gone_is_no_failure_and_a_full_disk_is_one() {
    let daemon = labelled();
    for line in
        ["--help", "status", "jobs", "show 1", "items 1", "labels --json", "catalogue show", "completions bash", "man"]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let scratch = tempfile::tempfile().unwrap();
        let mut command = asking(&daemon);
        command.args(line.split(' ')).stdout(writer).stderr(scratch.try_clone().unwrap());
        assert_eq!(command.status().unwrap().code(), Some(0), "{line}");
        assert_eq!(std::io::read_to_string(&scratch).unwrap(), "", "{line}");
        assert_eq!(scratch.metadata().unwrap().len(), 0, "{line}");
    }
    for line in ["status", "items 1", "labels --json"] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let child = asking(&daemon).args(line.split(' ')).stdout(full).stderr(Stdio::piped()).spawn().unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{line}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("No space left"), "{line}");
    }
}

#[test]
fn marks_stand_against_the_rules_and_erasing_asks_first() {
    let daemon = labelled();
    say(&daemon, "mark note n1 note 0 refund is-not").exits(0).tells(&["block 0 of note is not refund"]);
    say(&daemon, "mark note n1 note 1 late is").exits(0);
    say(&daemon, "item note n1").exits(0).tells(&["refund  marked as not so", "late    human"]);
    say(&daemon, "mark note n1 note 9 late is").exits(5).without_data().warns(&["no block 9"]);
    say(&daemon, "mark note n1 note 1 nothing is").exits(5).without_data().warns(&["\"nothing\""]);
    say(&daemon, "erase note n1").exits(2).without_data().warns(&["--yes"]);
    let mut erase = asking(&daemon);
    erase.args(["erase", "note", "n1"]);
    on_terminal(&mut erase, 80, "n\n").exits(1).tells(&["[y/N]", "nothing was erased"]);
    on_terminal(&mut erase, 80, "y\n").exits(0).tells(&["note n1 is erased"]);
    say(&daemon, "item note n1").exits(3);
}

#[test]
fn a_terminal_gets_colours_a_bar_and_lines_that_fit() {
    let daemon = labelled();
    let at = |line: &str| {
        let mut command = asking(&daemon);
        command.args(line.split(' '));
        command
    };
    let jobs = on_terminal(&mut at("jobs"), 80, "").exits(0).tells(&["\x1b[32mcompleted\x1b[0m"]).fits(80);
    assert_eq!(plain(&jobs.out), say(&daemon, "jobs").out.replace("  0s", &age_of(&jobs)));
    for line in ["item note n1", "topics", "catalogue test refund --from 2026-01-01"] {
        on_terminal(at(line).env("COLUMNS", "60"), 200, "").exits(0).fits(60);
    }
    let mut no_color = at("jobs");
    no_color.env("NO_COLOR", "1");
    for mut command in [no_color, at("jobs --color never")] {
        let said = on_terminal(&mut command, 80, "").exits(0);
        assert!(!said.out.contains('\x1b'), "{said:?}");
    }
    say(&daemon, "jobs --color always").exits(0).tells(&["\x1b[32m"]);
    let bar = on_terminal(&mut at("publish --from 2026-01-01 --max-per-second 4 --watch"), 100, "").exits(0);
    bar.tells(&["Ctrl-C ends the watching, not the job.", "job 2 running", "%", "/3, ", "completed"]);
    let quiet = on_terminal(&mut at("publish --from 2026-01-01 --max-per-second 20 --watch -q"), 100, "").exits(0);
    assert!(!quiet.out.contains("Ctrl-C") && quiet.out.contains("completed"), "{quiet:?}");
}

/// As the table has it, for the second may have turned between two looks.
fn age_of(jobs: &Said) -> String {
    let table = plain(&jobs.out);
    format!("  {}", table.lines().nth(1).unwrap().split_whitespace().last().unwrap())
}

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
