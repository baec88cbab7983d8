//! The page in a real browser: Playwright walks it, by the scripts in `tests/page`, against the real binary.
//!
//! `PAGE_SHOTS=DIR` keeps a picture of each view.

#[path = "common/daemon.rs"]
mod daemon;
#[path = "common/errors.rs"]
mod errors;
#[path = "page/stores.rs"]
mod stores;

use std::path::{Path, PathBuf};
use std::process::Command;

/// Installed by `tests/run`.
fn npm() -> PathBuf {
    let prefix = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/npm");
    assert!(prefix.join("ready").exists(), "playwright-core is not installed: run tests/run, which does that first");
    prefix
}

/// Runs a script; what it says is shown where it fails.
#[track_caller]
fn walk(script: &str, scratch: &Path) {
    let mut node = daemon::unset(Command::new("node"));
    node.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page").join(script));
    node.env("PAGE_BINARY", daemon::BINARY).env("PAGE_NPM", npm()).env("PAGE_SCRATCH", scratch);
    node.env("PAGE_STORE", scratch.join("store"));
    let walked = node.output().expect("node is installed by tests/run");
    let said = String::from_utf8_lossy(&walked.stdout);
    assert!(walked.status.success(), "{said}\n{}", String::from_utf8_lossy(&walked.stderr));
    // A script that runs no test has shown nothing.
    let passed = said.lines().find_map(|line| line.split_once("pass ")?.1.trim().parse::<u32>().ok());
    assert!(passed.is_some_and(|passed| passed > 0), "{said}");
}

fn walk_on_its_own(script: &str) {
    let scratch = tempfile::tempdir().unwrap();
    walk(script, scratch.path());
}

#[test]
fn those_who_run_jobs() {
    walk_on_its_own("jobs.mjs");
}

#[test]
fn those_who_paste_the_guides_snippets() {
    walk_on_its_own("guide.mjs");
}

#[test]
fn those_who_look_at_items() {
    walk_on_its_own("items.mjs");
}

#[test]
fn those_who_change_the_rules() {
    walk_on_its_own("rules.mjs");
}

#[test]
fn looks() {
    let scratch = tempfile::tempdir().unwrap();
    let store = scratch.path().join("store");
    stores::with_samples(&store);
    stores::with_errors(&store);
    walk("looks.mjs", scratch.path());
}

#[test]
fn strangers() {
    walk_on_its_own("strangers.mjs");
}
