//! What the log says to the journal, and to anything else.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;

use super::daemon::{Daemon, relabeld};

/// The log of a start and a stop, with a `JOURNAL_STREAM` made of the log file's own device and inode.
fn log(stream: impl Fn(u64, u64) -> String) -> String {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("data");
    // Where the daemon's stderr goes; opening it anew keeps its inode.
    let file = File::create(dir.with_extension("stderr")).unwrap().metadata().unwrap();
    let mut command = relabeld();
    command.env("JOURNAL_STREAM", stream(file.dev(), file.ino()));
    assert_eq!(Daemon::spawn(command, &dir, &[]).stop(), Some(0));
    fs::read_to_string(dir.with_extension("stderr")).unwrap()
}

#[test]
fn priorities_are_for_the_journal_alone() {
    let to_journal = log(|dev, inode| format!("{dev}:{inode}"));
    assert!(to_journal.contains("<6>serving on 127.0.0.1:"), "{to_journal}");
    assert!(to_journal.lines().all(|line| line.starts_with('<')), "{to_journal}");

    // Inherited from a unit's shell by a daemon whose stderr goes elsewhere.
    let elsewhere = log(|dev, inode| format!("{dev}:{}", inode + 1));
    assert!(elsewhere.contains(" INFO  serving on 127.0.0.1:"), "{elsewhere}");
    assert!(!elsewhere.contains("<6>"), "{elsewhere}");
}
