//! `relabeld import`, of good files, bad ones, and under a daemon that dies.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use flate2::{Compression, write::GzEncoder};
use serde_json::json;

use crate::command::{Beside, asking, heeding, run, run_with, say};
use crate::daemon::{Daemon, unset};
use crate::{BACK, NOTE, QUIET, file, notes};

fn gzip(text: &str) -> Vec<u8> {
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(text.as_bytes()).unwrap();
    gz.finish().unwrap()
}

#[test]
fn import_takes_plain_and_gzipped_files_and_stdin() {
    let daemon = Daemon::start();
    let (plain, zipped) = (file(&daemon, "a.ndjson", BACK), file(&daemon, "b", gzip(&format!("{NOTE}\n{QUIET}\n"))));
    let both = run(asking(&daemon).args(["import", &plain, &zipped])).exits(0);
    both.tells(&["LINES  INSERTED", "    3         3        0          0        0    0              0"]);
    for stdin in [NOTE.as_bytes().to_vec(), gzip(NOTE)] {
        let again = run_with(asking(&daemon).args(["import", "-", "--json"]), &stdin).exits(0).json();
        assert_eq!((&again["lines"], &again["unchanged"]), (&json!(1), &json!(1)));
    }
    let nothing = run_with(asking(&daemon).args(["import", "-", "--json"]), b"").exits(0).json();
    assert_eq!(nothing["lines"], 0);
}

#[test]
fn import_names_each_bad_line_and_stores_the_others() {
    let daemon = Daemon::start();
    let older = NOTE.replace("\"version\":3", "\"version\":2");
    let lines = [
        NOTE.as_bytes(),
        b"{\"kind\":",
        b"\xff",
        b"",
        br#"{"kind":"note","id":"x"}"#,
        BACK.as_bytes(),
        older.as_bytes(),
    ]
    .join(&b'\n');
    let bad = file(&daemon, "bad.ndjson", lines);
    let said = run(asking(&daemon).args(["import", &bad])).exits(1);
    let said = said.warns(&[
        &format!("{bad}:2: not JSON"),
        &format!("{bad}:3: not UTF-8"),
        &format!("{bad}:5: version"),
        "repeating is safe",
    ]);
    assert!(!said.out.contains("not JSON"), "{said:?}");
    assert_eq!(say(&daemon, "status --json").json()["items"], 2);
    let json = run(asking(&daemon).args(["import", "--json", &bad])).exits(1).json();
    assert_eq!((&json["bad"], &json["refused"], &json["unchanged"]), (&json!(3), &json!(1), &json!(2)));
    assert_eq!(json["errors"][0]["line"], 2, "{json}");
}

#[test]
fn strict_import_stores_nothing_of_a_bad_file() {
    let daemon = Daemon::start();
    let (good, bad) = (file(&daemon, "good", QUIET), file(&daemon, "bad", format!("{BACK}\n{NOTE}\nnonsense\n")));
    let said = run(asking(&daemon).args(["import", "--strict", &bad, &good])).exits(1).without_data();
    said.warns(&[&format!("{bad}:3: not JSON"), "nothing of that file was imported", &format!("not begun: {good}")]);
    assert_eq!(say(&daemon, "status --json").json()["items"], 0);
    let json = run(asking(&daemon).args(["import", "--strict", "--json", &bad])).exits(1).json();
    assert_eq!((&json["bad"], &json["errors"][0]["line"]), (&json!(1), &json!(3)));
    run(asking(&daemon).args(["import", "--strict", &good])).exits(0).tells(&["    1         1"]);
}

#[test]
fn import_of_what_cannot_be_read_changes_nothing() {
    let daemon = Daemon::start();
    let good = file(&daemon, "good", BACK);
    let cut = file(&daemon, "cut.gz", &gzip(&notes(0..50))[..400]);
    let dir = daemon.dir().display().to_string();
    for (wrong, why) in [("/nowhere/x", "No such file"), (dir.as_str(), "is a directory")] {
        let said = run(asking(&daemon).args(["import", &good, wrong])).exits(1).without_data();
        said.warns(&[wrong, why, "nothing was imported"]);
    }
    run(asking(&daemon).args(["import", "--strict", &cut]))
        .exits(1)
        .without_data()
        .warns(&["nothing of it was imported"]);
    assert_eq!(say(&daemon, "status --json").json()["items"], 0);
}

/// Two batches: when the second is being read, the first one's answer is there.
#[test]
fn an_import_whose_daemon_is_killed_says_which_line_was_stored_last() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("data");
    let first = Daemon::on(&dir, &[]);
    let all = notes(0..4_000);
    let mut import = Beside::start(asking(&first).args(["import", "-"]).stdin(Stdio::piped()), scratch.path());
    let mut stdin = import.stdin();
    stdin.write_all(&all.as_bytes()[..all.len() - 10]).unwrap();
    // SIGKILL.
    drop(first);
    stdin.write_all(&all.as_bytes()[all.len() - 10..]).unwrap();
    drop(stdin);
    let (_, said) = import.end();
    said.exits(4).warns(&["stored through line 2000 of -", "run the same command again", "line 2001 on"]);
    let second = Daemon::on(&dir, &[]);
    let repeated = run_with(asking(&second).args(["import", "-", "--json"]), all.as_bytes()).exits(0).json();
    assert_eq!((&repeated["unchanged"], &repeated["inserted"]), (&json!(2_000), &json!(2_000)));
}

/// Whatever it waits for, here for more of its input.
#[test]
fn an_import_that_is_broken_off_says_which_line_was_stored_last() {
    let (daemon, scratch) = (Daemon::start(), tempfile::tempdir().unwrap());
    let (all, later) = (notes(0..4_000), file(&daemon, "later", BACK));
    for (strict, how_far) in [(false, "stored through line 2000 of -"), (true, "nothing of - is known to be stored")] {
        let mut command = asking(&daemon);
        command.args(["import", "-", &later]).args(strict.then_some("--strict"));
        let mut import = Beside::start(heeding(&command).stdin(Stdio::piped()), scratch.path());
        let mut stdin = import.stdin();
        // More than the pipe and a batch hold: the first answer is there.
        stdin.write_all(&all.as_bytes()[..all.len() - 10]).unwrap();
        import.interrupt();
        let (status, said) = import.end();
        assert_eq!(status.signal(), Some(2), "{said:?}");
        let said = said.warns(&["relabeld: interrupted\n", how_far, "repeating is safe"]);
        let said = said.warns(&[&format!("not begun: {later}\n")]);
        match strict {
            false => said.tells(&["2,000     2,000"]),
            true => said.without_data(),
        };
    }
    assert_eq!(say(&daemon, "status --json").json()["items"], 2_000);
}

#[test]
fn an_import_that_a_script_runs_in_the_background_goes_on_after_ctrl_c() {
    let (daemon, scratch) = (Daemon::start(), tempfile::tempdir().unwrap());
    let import = asking(&daemon);
    let mut command = unset(Command::new("sh"));
    command.args(["-c", "trap '' INT; exec \"$0\" import -"]).arg(import.get_program());
    command.env("RELABELD_DATA_DIR", daemon.dir()).stdin(Stdio::piped());
    let mut import = Beside::start(&mut command, scratch.path());
    let mut stdin = import.stdin();
    stdin.write_all(notes(0..4_000).as_bytes()).unwrap();
    import.interrupt();
    drop(stdin);
    let (_, said) = import.end();
    said.exits(0).tells(&["4,000     4,000"]);
}
