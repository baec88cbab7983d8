//! `relabeld check`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::command::{Said, run, say};
use crate::daemon::{Daemon, relabeld};
use crate::{ALL, BACK, NOTE, QUIET, catalogue, labelled};

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

#[test]
fn what_check_finds_is_one_document_with_json() {
    let scratch = tempfile::tempdir().unwrap();
    let (dir, copy) = (scratch.path().join("data"), scratch.path().join("copy"));
    let daemon = Daemon::on(&dir, &[]);
    daemon.import(&[BACK, NOTE, QUIET].map(str::to_owned));
    daemon.apply(&catalogue());
    say(&daemon, &format!("publish {ALL} --watch -q")).exits(0);
    let in_use = run(relabeld().args(["check", "--json", "--data-dir"]).arg(&dir)).exits(1);
    in_use.without_data().warns(&["another relabeld"]);
    assert_eq!(daemon.stop(), Some(0));
    fs::create_dir(&copy).unwrap();
    let check = |dir: &Path, more: &[&str]| run(relabeld().args(["check", "--data-dir"]).arg(dir).args(more));
    let found = |dir: &Path, code: i32| -> Value { check(dir, &["--json"]).exits(code).json() };
    assert_eq!(found(&copy, 0), json!({"config": "ok", "database": null, "faults": []}));
    check(&copy, &[]).exits(0).tells(&["config: ok\ndatabase: there is none in "]);

    fs::copy(dir.join("relabeld.db"), copy.join("relabeld.db")).unwrap();
    assert_eq!(found(&copy, 0), json!({"config": "ok", "database": "ok", "faults": []}));
    check(&copy, &[]).exits(0).tells(&["config: ok\ndatabase: ok\n"]);

    let database = rusqlite::Connection::open(copy.join("relabeld.db")).unwrap();
    database.execute("UPDATE job SET labels_added = 7", []).unwrap();
    drop(database);
    let faulty = found(&copy, 1);
    // The counter itself, and the sum of its row.
    let faults = faulty["faults"].as_array().unwrap();
    assert_eq!((&faulty["database"], faults.len()), (&json!("faulty"), 2), "{faulty}");
    let plain = check(&copy, &[]).exits(1).warns(&["relabeld: 2 fault(s) in "]);
    plain.tells(&["config: ok\n", faults[0].as_str().unwrap()]);
    check(&copy.with_file_name("none"), &["--json"]).exits(1).without_data().warns(&["no data directory"]);
}

/// Every file of a directory: its length, its bytes and when it was written; and when the directory itself was.
fn snapshot(dir: &Path) -> BTreeMap<String, (Vec<u8>, SystemTime)> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.map(|path| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let bytes = if path.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        (name, (bytes, fs::metadata(&path).unwrap().modified().unwrap()))
    });
    let own = (".".to_owned(), (Vec::new(), fs::metadata(dir).unwrap().modified().unwrap()));
    files.chain([own]).collect()
}

/// Checks a directory, and asserts that it stays as it is.
#[track_caller]
fn checked(dir: &Path) -> Said {
    let before = snapshot(dir);
    let said = run(relabeld().args(["check", "--data-dir"]).arg(dir));
    assert!(snapshot(dir) == before, "{:?} became {:?}", before.keys(), snapshot(dir).keys());
    said
}

/// What a kill leaves: the database, the log with all that was committed, and its index.
fn killed(dir: &Path) {
    let daemon = Daemon::on(dir, &[]);
    daemon.import(&[BACK, NOTE, QUIET].map(str::to_owned));
    daemon.apply(&catalogue());
    say(&daemon, &format!("publish {ALL} --watch -q")).exits(0);
    drop(daemon);
    assert!(fs::metadata(dir.join("relabeld.db-wal")).unwrap().len() > 4096, "there is no log to read");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
}

#[test]
fn check_writes_nothing_and_reads_the_log_that_a_kill_left() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("data #1%20");
    killed(&dir);
    checked(&dir).exits(0).tells(&["database: ok"]);
    fs::remove_file(dir.join("relabeld.db-shm")).unwrap();
    checked(&dir).exits(0).tells(&["database: ok"]);
    // SQLite's first page, as it is before the first table, in the place of the database.
    let moved = scratch.path().join("moved");
    copy(&dir, &moved);
    ["relabeld.db", "relabeld.db-wal"].iter().for_each(|name| fs::remove_file(moved.join(name)).unwrap());
    let blank = rusqlite::Connection::open(moved.join("relabeld.db")).unwrap();
    blank.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(())).unwrap();
    drop(blank);
    checked(&moved).exits(1).tells(&["holds no tables", "relabeld restore"]);

    let fault = "INSERT INTO key VALUES (7, 1)";
    let log = rusqlite::Connection::open(dir.join("relabeld.db")).unwrap();
    log.execute_batch(fault).unwrap();
    let again = scratch.path().join("again");
    copy(&dir, &again);
    drop(log);
    checked(&again).exits(1).tells(&["there are 4 keys of 3 items"]);
    let relative = run(relabeld().args(["check", "--data-dir", "again"]).current_dir(scratch.path()));
    relative.exits(1).tells(&["there are 4 keys of 3 items"]);

    // After a stop there is no log; and no lock file, where somebody copied the database alone.
    assert_eq!(Daemon::on(&dir, &[]).stop(), Some(0));
    let alone = scratch.path().join("alone");
    fs::create_dir(&alone).unwrap();
    fs::copy(dir.join("relabeld.db"), alone.join("relabeld.db")).unwrap();
    checked(&alone).exits(1).tells(&["there are 4 keys of 3 items"]);
    assert_eq!(fs::read_dir(&alone).unwrap().count(), 1);
}

#[test]
fn a_damaged_log_is_a_fault() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("data");
    killed(&dir);
    let log = fs::read(dir.join("relabeld.db-wal")).unwrap();
    // A magic number, a salt, the checksum of the first frame, a page in the middle, and one of the last commit.
    for (at, word) in [
        (0, "its header"),
        (17, "its header"),
        (50, "frame 1 "),
        (log.len() / 2, "frame "),
        (log.len() - 2_000, "frame "),
    ] {
        let mut damaged = log.clone();
        damaged[at] ^= 4;
        fs::write(dir.join("relabeld.db-wal"), damaged).unwrap();
        checked(&dir).exits(1).tells(&["relabeld.db-wal: ", word, "commits in it are lost"]);
    }
    fs::write(dir.join("relabeld.db-wal"), &log).unwrap();
    checked(&dir).exits(0);

    // A start keeps what is left of the lost commits.
    let mut damaged = log.clone();
    damaged[log.len() / 2] ^= 4;
    fs::write(dir.join("relabeld.db-wal"), &damaged).unwrap();
    let daemon = Daemon::on(&dir, &[]);
    let names = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let copies: Vec<String> = names.filter(|name| name.starts_with("damaged-wal-")).collect();
    let [copy] = &copies[..] else { panic!("{copies:?}") };
    assert_eq!(fs::read(dir.join(copy)).unwrap(), damaged);
    assert!(daemon.log().contains(&format!("keeps the log as {}", dir.join(copy).display())), "{}", daemon.log());
}

#[test]
fn a_database_that_is_lost_is_a_fault_and_no_daemon_begins_anew_over_it() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("data");
    let daemon = Daemon::on(&dir, &[]);
    daemon.import(&[BACK, NOTE, QUIET].map(str::to_owned));
    assert_eq!(daemon.stop(), Some(0));
    let whole = fs::read(dir.join("relabeld.db")).unwrap();
    for (bytes, word) in [
        (None, "is missing"),
        (Some(0), "is empty"),
        (Some(1), "is cut off after 1 bytes"),
        (Some(50), "is cut off after 50 bytes"),
        (Some(100), "is cut off: 100 of "),
        (Some(whole.len() / 2), "is cut off: "),
        (Some(whole.len() - 1), "is cut off: "),
    ] {
        let lost = scratch.path().join(format!("lost{bytes:?}"));
        copy(&dir, &lost);
        match bytes {
            None => fs::remove_file(lost.join("relabeld.db")).unwrap(),
            Some(bytes) => fs::write(lost.join("relabeld.db"), &whole[..bytes]).unwrap(),
        }
        let path = lost.join("relabeld.db").display().to_string();
        checked(&lost).exits(1).tells(&[&path, word, "relabeld restore FILE", "token"]).warns(&["1 fault(s) in "]);
        let found = run(relabeld().args(["check", "--json", "--data-dir"]).arg(&lost)).exits(1).json();
        assert_eq!((&found["database"], found["faults"].as_array().unwrap().len()), (&json!("faulty"), 1), "{found}");
        // A start writes its pid into the lock.
        let length = |name: &str, bytes: &[u8]| if name == "lock" { 0 } else { bytes.len() };
        let names = |dir: &Path| {
            let found = snapshot(dir).into_iter();
            found.map(|(name, (bytes, _))| (length(&name, &bytes), name)).collect::<Vec<_>>()
        };
        let before = names(&lost);
        let serve = run(relabeld().args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&lost));
        serve.exits(1).warns(&[&path, word, "relabeld restore FILE", "begin with an empty database"]);
        assert_eq!(names(&lost), before, "it made something");
    }
    // One marker is enough, also the log alone.
    for name in ["token", "token.read", "token.metrics", "sessions", "begun", "address", "relabeld.db-wal"] {
        let lost = scratch.path().join(name);
        fs::create_dir(&lost).unwrap();
        fs::write(lost.join(name), "").unwrap();
        checked(&lost).exits(1).tells(&["is missing", &format!("({name} is there)")]);
    }
}

#[test]
fn a_damaged_format_version_is_a_fault_and_stops_a_start() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("data");
    let daemon = Daemon::on(&dir, &[]);
    daemon.import(&[BACK, NOTE, QUIET].map(str::to_owned));
    assert_eq!(daemon.stop(), Some(0));
    let database = dir.join("relabeld.db");
    let mut bytes = fs::read(&database).unwrap();
    assert_eq!(bytes[18], 2);
    bytes[18] |= 0x10;
    fs::write(&database, bytes).unwrap();
    checked(&dir).exits(1).tells(&["relabeld.db: byte 18 of its header", "is 18, not 1 or 2"]);
    let serve = run(relabeld().args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&dir));
    serve.exits(1).warns(&[
        &database.display().to_string(),
        "cannot be written",
        "byte 18 of its header",
        "relabeld check",
    ]);
}

/// A first start makes the lock, the database and its log, and last the tokens.
#[test]
fn a_first_start_that_ended_at_any_point_can_be_repeated() {
    let scratch = tempfile::tempdir().unwrap();
    let blank = |dir: &Path| {
        let connection = rusqlite::Connection::open(dir.join("relabeld.db")).unwrap();
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = wal").unwrap();
        connection
    };
    type Make<'a> = &'a dyn Fn(&Path);
    let states: [(&str, Make<'_>); 6] = [
        ("nothing", &|_| {}),
        ("lock", &|dir| fs::write(dir.join("lock"), "7\n").unwrap()),
        ("empty", &|dir| fs::write(dir.join("relabeld.db"), "").unwrap()),
        ("blank", &|dir| drop(blank(dir))),
        ("blank_with_a_log", &|dir| {
            let source = scratch.path().join("source");
            fs::create_dir(&source).unwrap();
            let connection = blank(&source);
            // A table that is not committed, spilled to the log.
            connection
                .execute_batch(
                    "PRAGMA cache_size = 1; BEGIN; CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(100000))",
                )
                .unwrap();
            for name in ["relabeld.db", "relabeld.db-wal", "relabeld.db-shm"] {
                fs::copy(source.join(name), dir.join(name)).unwrap();
            }
            assert!(fs::metadata(dir.join("relabeld.db-wal")).unwrap().len() > 0);
        }),
        ("complete", &|dir| {
            drop(relabeld::store::Store::open(dir, relabeld::store::Durability::Full).unwrap());
        }),
    ];
    for (name, make) in states {
        let dir = scratch.path().join(name);
        fs::create_dir(&dir).unwrap();
        make(&dir);
        let expected = if name == "complete" { "database: ok" } else { "database: there is none" };
        checked(&dir).exits(0).tells(&[expected]);
        fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let daemon = Daemon::on(&dir, &[]);
        daemon.import(&[NOTE.to_owned()]);
        assert_eq!(daemon.stop(), Some(0), "{name}");
        // And with some of the tokens.
        for token in ["token.metrics", "token.read", "token"] {
            fs::remove_file(dir.join(token)).unwrap();
            assert_eq!(Daemon::on(&dir, &[]).stop(), Some(0), "{name} without {token}");
            fs::remove_file(dir.join(token)).unwrap();
        }
        assert_eq!(Daemon::on(&dir, &[]).stop(), Some(0), "{name} without tokens");
    }
}

#[test]
fn a_start_that_makes_no_database_makes_no_tokens() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("data");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let theirs = rusqlite::Connection::open(dir.join("relabeld.db")).unwrap();
    theirs.execute_batch("CREATE TABLE bookmarks (url TEXT)").unwrap();
    drop(theirs);
    let serve = run(relabeld().args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&dir));
    serve.exits(1).warns(&["another program"]);
    let names: Vec<String> = snapshot(&dir).into_keys().collect();
    assert_eq!(names, [".", "lock", "relabeld.db"]);
}

#[test]
fn a_database_of_an_older_schema_is_left_to_the_daemon() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("data");
    assert_eq!(Daemon::on(&dir, &[]).stop(), Some(0));
    let database = rusqlite::Connection::open(dir.join("relabeld.db")).unwrap();
    database.pragma_update(None, "user_version", 2).unwrap();
    drop(database);
    checked(&dir).exits(1).warns(&["has schema 2", "start the daemon once"]);
}
