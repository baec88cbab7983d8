//! Where output goes, and how it looks there.

use std::fs;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::command::{asking, on_terminal, plain, run, say};
use crate::labelled;

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
fn a_terminal_gets_colours_a_bar_and_lines_that_fit() {
    let daemon = labelled();
    let at = |line: &str| {
        let mut command = asking(&daemon);
        command.args(line.split(' '));
        command
    };
    let jobs = on_terminal(&mut at("jobs"), 80, "").exits(0).tells(&["\x1b[32mcompleted\x1b[0m"]).fits(80);
    assert_eq!(without_ages(&plain(&jobs.out)), without_ages(&say(&daemon, "jobs").out));
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
    let bar = on_terminal(&mut at("publish --from 2026-01-01 --max-per-second 1 --watch"), 100, "").exits(0);
    bar.tells(&["Ctrl-C ends the watching, not the job.", "job 2 running", "%", "/3, ", "completed"]);
    let quiet = on_terminal(&mut at("publish --from 2026-01-01 --max-per-second 20 --watch -q"), 100, "").exits(0);
    assert!(!quiet.out.contains("Ctrl-C") && quiet.out.contains("completed"), "{quiet:?}");
}

/// The second may have turned between two looks.
fn without_ages(table: &str) -> Vec<&str> {
    table.lines().map(|line| line.rsplit_once(' ').unwrap().0.trim_end()).collect()
}
