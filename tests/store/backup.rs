//! Copies of the database, and what is made of one.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use relabeld::job::{Filter, JobState};
use relabeld::store::{Copy, Durability, Error, SCRATCH, Store};
use rusqlite::Connection;
use sha2::{Digest, Sha256};

use crate::Desk;
use crate::common::{NOW, wish};

/// Puts the copy where it can be opened.
fn put(mut copy: Copy, dir: &Path) -> Connection {
    let mut bytes = Vec::new();
    copy.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, copy.bytes);
    assert_eq!(<[u8; 32]>::from(Sha256::digest(&bytes)), copy.sha256);
    let path = dir.join("relabeld.db");
    fs::write(&path, bytes).unwrap();
    Connection::open(path).unwrap()
}

fn scratch_files(dir: &Path) -> usize {
    fs::read_dir(dir.join(SCRATCH)).map_or(0, |files| files.count())
}

fn pragma(database: &Connection, name: &str) -> String {
    let value = database.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0)).unwrap();
    format!("{name} {value:?}")
}

#[test]
fn a_copy_is_whole_by_itself_and_leaves_nothing_beside() {
    let desk = Desk::with_items(5);
    let job = desk.planned();
    desk.finish(&desk.lease(job, 5));
    let copy = desk.store.backup(0).unwrap();
    assert_eq!(scratch_files(desk.dir.path()), 0, "its file has no name any more");
    // What comes after is not in it.
    desk.planned();
    let place = tempfile::tempdir().unwrap();
    let database = put(copy, place.path());
    let source = desk.raw();
    for name in ["page_size", "auto_vacuum", "application_id", "user_version", "encoding"] {
        assert_eq!(pragma(&database, name), pragma(&source, name));
    }
    assert_eq!(pragma(&database, "auto_vacuum"), "auto_vacuum Integer(2)");
    assert_eq!(pragma(&database, "journal_mode"), "journal_mode Text(\"delete\")", "it needs no log");
    let jobs: i64 = database.query_row("SELECT count(*) FROM job", [], |row| row.get(0)).unwrap();
    assert_eq!(jobs, 1);
    // Ids go on where they were: AUTOINCREMENT is part of it.
    let given: i64 =
        database.query_row("SELECT seq FROM sqlite_sequence WHERE name = 'job'", [], |r| r.get(0)).unwrap();
    assert_eq!(given, 1);
    drop(database);
    let store = Store::open(place.path(), Durability::Full).unwrap();
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn what_was_erased_is_in_no_copy() {
    let desk = Desk::with_items(3);
    let raw = desk.raw();
    // As if secure_delete had missed it.
    raw.execute_batch(
        "PRAGMA secure_delete = 0; CREATE TABLE spill (x); INSERT INTO spill VALUES (hex(zeroblob(20000)) || 'a word left behind');
         DROP TABLE spill;",
    )
    .unwrap();
    drop(raw);
    let mut bytes = Vec::new();
    desk.store.backup(0).unwrap().read_to_end(&mut bytes).unwrap();
    let holds = |bytes: &[u8]| bytes.windows(18).any(|window| window == b"a word left behind");
    assert!(!holds(&bytes));
    desk.store.close();
    assert!(holds(&fs::read(desk.dir.path().join("relabeld.db")).unwrap()), "the source has none either");
}

#[test]
fn a_disk_that_is_too_small_is_told_before_anything_is_written() {
    let desk = Desk::with_items(1);
    let error = desk.store.backup(u64::MAX / 2).unwrap_err();
    let Error::NoRoom(why) = &error else { panic!("{error:?}") };
    assert!(why.contains("min_free_bytes"), "{why}");
    assert!(!desk.dir.path().join(SCRATCH).exists());
    // It took no place.
    let copies: Vec<Copy> = (0..2).map(|_| desk.store.backup(0).unwrap()).collect();
    let busy = desk.store.backup(0).unwrap_err();
    assert!(matches!(busy, Error::Busy(_)), "{busy:?}");
    drop(copies);
    desk.store.backup(0).unwrap();
}

#[test]
fn a_stop_breaks_a_copy_off_and_leaves_nothing_of_it() {
    let desk = Desk::with_items(1);
    desk.raw()
        .execute_batch(
            "CREATE TABLE much (x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)
             INSERT INTO much SELECT zeroblob(300) FROM n",
        )
        .unwrap();
    std::thread::scope(|scope| {
        let copying = scope.spawn(|| desk.store.backup(0).map(|copy| copy.bytes));
        while scratch_files(desk.dir.path()) == 0 && !copying.is_finished() {
            std::thread::yield_now();
        }
        desk.store.close();
        assert_eq!(scratch_files(desk.dir.path()), 0, "the stop waits for that");
        assert_eq!(copying.join().unwrap(), Err(Error::Stopping));
    });
    assert_eq!(desk.store.backup(0).unwrap_err(), Error::Stopping);
}

#[test]
fn what_a_killed_daemon_left_of_a_copy_is_gone_with_the_next_start() {
    let desk = Desk::with_items(1);
    desk.store.close();
    let scratch = desk.dir.path().join(SCRATCH);
    fs::create_dir_all(&scratch).unwrap();
    fs::write(scratch.join("backup.0"), "half").unwrap();
    fs::write(desk.dir.path().join("backup.db"), "a user's own").unwrap();
    Store::open(desk.dir.path(), Durability::Full).unwrap();
    assert!(!scratch.exists());
    assert!(desk.dir.path().join("backup.db").exists());
}

#[test]
fn the_scratch_directory_is_private() {
    let desk = Desk::with_items(1);
    desk.store.backup(0).unwrap();
    let mode = fs::metadata(desk.dir.path().join(SCRATCH)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn bulk_jobs_of_a_restored_database_wait_and_the_others_stay() {
    let desk = Desk::with_items(6);
    let ended = desk.planned();
    desk.finish(&desk.lease(ended, 6));
    let running = desk.planned();
    desk.lease(running, 4);
    let held = desk.planned();
    desk.store.pause_job(held).unwrap();
    let queued = desk.store.publish_range(wish(Filter::all()), 0, NOW).unwrap().job.id;
    let last = desk.store.last_change().unwrap().0;
    let place = tempfile::tempdir().unwrap();
    drop(put(desk.store.backup(0).unwrap(), place.path()));

    let store = Store::open(place.path(), Durability::Full).unwrap();
    let epoch: i64 = desk.raw().query_row("SELECT epoch FROM daemon", [], |row| row.get(0)).unwrap();
    let restored = store.settle_restored(NOW + 1).unwrap();
    assert_eq!((restored.items, restored.revision), (6, store.current_revision().unwrap().0));
    assert_eq!(restored.paused, [running, queued]);
    let state = |job| store.job(job).unwrap().state;
    assert_eq!(
        [ended, running, held, queued].map(state),
        [JobState::Completed, JobState::Paused, JobState::Paused, JobState::Paused]
    );
    let counts = store.job(running).unwrap().counts;
    assert_eq!((counts.pending, counts.running), (6, 0), "its leases went back");
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
    assert_eq!(store.resume_job(running).unwrap().state, JobState::Running);
    assert_eq!(store.resume_job(queued).unwrap().state, JobState::Queued);
    // Whoever had heard of more than the backup has is told, and no number is given twice.
    for since in [0, last, last + 5] {
        assert!(matches!(store.changes_after(since, 1), Err(Error::HistoryPruned(_))), "{since}");
    }
    let from = store.last_change().unwrap().0;
    assert!(from > last + 100_000_000);
    assert!(store.changes_after(from, 1).unwrap().is_empty());
    let raw = Connection::open(place.path().join("relabeld.db")).unwrap();
    let now: i64 = raw.query_row("SELECT epoch FROM daemon", [], |row| row.get(0)).unwrap();
    assert!(now > epoch, "a lease of the source is void");
}
