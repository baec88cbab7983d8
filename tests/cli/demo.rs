//! `relabeld demo`: the tour, its end, and what it leaves behind, which is nothing.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::command::{Beside, heeding, run};
use crate::daemon::{await_some, relabeld, unset};

/// A directory for the scratch files of a demo; nothing of it may stay.
fn demo(tmp: &Path, args: &[&str]) -> Command {
    let mut command = relabeld();
    command.arg("demo").args(args).env("TMPDIR", tmp);
    command
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).unwrap().next().is_none()
}

#[test]
fn the_demo_shows_the_main_job_and_leaves_nothing() {
    let tmp = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let said = run(&mut demo(tmp.path(), &["--exit"])).exits(0);
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    let said = said.tells(&["3,600     3,600", "state               completed", "TOPIC ", "NOT FRESH", "PHRASE"]);
    let said = said.warns(&[
        "1. relabeld import",
        "2. relabeld catalogue apply",
        "3. relabeld publish",
        "4. relabeld topics",
        "5. relabeld item ",
    ]);
    assert!(!said.err.contains("Ctrl-C"), "{said:?}");
    assert!(is_empty(tmp.path()));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    run(&mut demo(tmp.path(), &["--exit", "--listen", &listen])).exits(1).without_data().warns(&[&listen, "--listen"]);
    assert!(is_empty(tmp.path()));
}

#[test]
fn the_demo_stays_until_ctrl_c_and_can_be_asked() {
    let (tmp, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let demo = Beside::start(
        &mut demo(tmp.path(), &["--conversations", "60", "--notes", "20", "--listen", &listen]),
        scratch.path(),
    );
    let said = demo.await_word("Ctrl-C ends the demo and removes its data");
    assert!(said.contains(&format!("http://{listen}/login/")), "{said}");
    let dir = said.lines().find_map(|line| line.trim().strip_prefix("export RELABELD_DATA_DIR=")).unwrap();
    let status = run(relabeld().args(["status", "--json", "--data-dir", dir])).exits(0).json();
    assert_eq!((&status["items"], &status["address"]), (&json!(80), &json!(listen)));
    demo.interrupt();
    let (_, said) = demo.end();
    said.exits(0).warns(&["its data is gone"]);
    assert!(is_empty(tmp.path()));
}

#[test]
fn the_demo_ends_with_its_terminal_but_not_under_nohup() {
    let (tmp, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let small = demo(tmp.path(), &["--conversations", "60", "--notes", "20"]);
    let begun = Beside::start(&mut heeding(&small), scratch.path());
    begun.await_word("Ctrl-C ends the demo and removes its data");
    // One of the kernel, one of the shell.
    begun.signal("HUP");
    begun.signal("HUP");
    let (_, said) = begun.end();
    said.exits(0).warns(&["its data is gone"]);
    assert!(is_empty(tmp.path()));

    let mut nohup = unset(Command::new("sh"));
    nohup.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]).arg(small.get_program()).args(small.get_args());
    let begun = Beside::start(nohup.env("TMPDIR", tmp.path()), scratch.path());
    let said = begun.await_word("Ctrl-C ends the demo and removes its data");
    let dir = said.lines().find_map(|line| line.trim().strip_prefix("export RELABELD_DATA_DIR=")).unwrap();
    begun.signal("HUP");
    run(relabeld().args(["status", "--data-dir", dir])).exits(0);
    begun.signal("TERM");
    let (_, said) = begun.end();
    said.exits(0).warns(&["its data is gone"]);
}

#[test]
fn a_demo_interrupted_midway_fails_and_leaves_nothing() {
    let (tmp, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let demo = Beside::start(&mut demo(tmp.path(), &["--exit", "--conversations", "30000"]), scratch.path());
    demo.await_word("all made up");
    demo.interrupt();
    let (_, said) = demo.end();
    said.exits(1).warns(&["interrupted"]);
    await_some("the end of the scratch directory", || is_empty(tmp.path()).then_some(()));
}
