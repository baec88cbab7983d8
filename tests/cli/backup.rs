//! `relabeld backup` and `relabeld restore`.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::command::{Beside, Said, asking, heeding, on_terminal, plain, run, run_with, say};
use crate::daemon::{Daemon, await_some, relabeld};
use crate::{ALL, labelled, notes};

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn backup(daemon: &Daemon, more: &[&str], file: &Path) -> Said {
    run(asking(daemon).arg("backup").args(more).arg(file))
}

fn restore(file: &Path, dir: &Path) -> Said {
    run(&mut restoring(file, dir))
}

fn restoring(file: &Path, dir: &Path) -> Command {
    let mut command = relabeld();
    command.arg("restore").arg(file).arg("--data-dir").arg(dir);
    command
}

/// What a directory holds besides the lock.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).map(|entries| entries.map(|entry| entry.unwrap().file_name()).collect());
    let entries: Vec<_> = entries.unwrap_or_default();
    entries.into_iter().map(|name| name.into_string().unwrap()).filter(|name| name != "lock").collect()
}

/// A backup of a daemon with a paused job, one that runs (or will), and one that ended.
fn made(scratch: &Path) -> PathBuf {
    let daemon = labelled();
    daemon.import(&notes(10..40).lines().map(str::to_owned).collect::<Vec<_>>());
    say(&daemon, &format!("publish {ALL} --max-per-second 0.001")).exits(0);
    say(&daemon, &format!("publish {ALL} --max-per-second 0.001 --idempotency-key nightly")).exits(0);
    say(&daemon, "pause 2").exits(0);
    let file = scratch.join("backup.db");
    backup(&daemon, &[], &file).exits(0);
    file
}

#[test]
fn a_backup_is_there_when_it_is_whole() {
    let daemon = labelled();
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("b.db");
    // Left by one that was killed.
    fs::write(scratch.path().join("b.db.part"), "half").unwrap();
    let said = backup(&daemon, &[], &file).exits(0).warns(&["relabeld restore"]);
    let bytes = fs::read(&file).unwrap();
    said.tells(&["b.db: ", &format!("sha256 {}", hex(&bytes))]);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(names(scratch.path()), ["b.db"]);

    backup(&daemon, &[], &file).exits(2).without_data().warns(&["b.db exists", "--force"]);
    assert_eq!(fs::read(&file).unwrap(), bytes);
    let said = backup(&daemon, &["--force", "--json", "-q"], &file).exits(0);
    let bytes = fs::read(&file).unwrap();
    assert_eq!(said.json(), json!({"file": file.to_str().unwrap(), "bytes": bytes.len(), "sha256": hex(&bytes)}));
    assert_eq!(said.err, "");

    let out = scratch.path().join("out");
    let to_stdout = asking(&daemon).args(["backup", "-"]).stdout(fs::File::create(&out).unwrap()).output().unwrap();
    assert!(to_stdout.status.success(), "{to_stdout:?}");
    let told = String::from_utf8(to_stdout.stderr).unwrap();
    assert!(told.contains(&hex(&fs::read(&out).unwrap())), "{told}");
    let shown = on_terminal(asking(&daemon).args(["backup", "--force"]).arg(&file), 90, "").exits(0);
    assert!(plain(&shown.out).contains("b.db: "), "{shown:?}");
    on_terminal(asking(&daemon).args(["backup", "-"]), 90, "").exits(2).tells(&["nothing for a terminal"]);
    on_terminal(relabeld().args(["restore", "-", "--data-dir"]).arg(scratch.path()), 90, "")
        .exits(1)
        .tells(&["a terminal"]);
    backup(&daemon, &[], Path::new("/dev/null")).exits(0);
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device(), "replaced");

    backup(&daemon, &["--json"], Path::new("-")).exits(2).without_data().warns(&["name a file"]);
    backup(&daemon, &["--force"], scratch.path()).exits(2).without_data().warns(&["is a directory"]);
    backup(&daemon, &[], &scratch.path().join("none/b.db")).exits(1).without_data().warns(&["cannot write"]);
    backup(&daemon, &[], Path::new("")).exits(2);
    let with = |token: &str, name: &str| {
        let file = scratch.path().join(name);
        run(asking(&daemon).arg("--token-file").arg(daemon.dir().join(token)).arg("backup").arg(file))
    };
    with("token.read", "read.db").exits(0);
    with("token.metrics", "metrics.db").exits(5).without_data().warns(&["token.read"]);
    assert!(!scratch.path().join("metrics.db").exists());
    run(relabeld().args(["backup", "b", "--data-dir"]).arg(scratch.path())).exits(4).warns(&["`relabeld serve`"]);
}

#[test]
fn a_backup_never_takes_the_place_of_a_database_in_use() {
    let daemon = labelled();
    let (live, scratch) = (daemon.dir().join("relabeld.db"), tempfile::tempdir().unwrap());
    let link = scratch.path().join("link");
    std::os::unix::fs::symlink(&live, &link).unwrap();
    let before = fs::metadata(&live).unwrap().ino();
    for file in [&live, &link] {
        backup(&daemon, &["--force"], file).exits(2).without_data().warns(&["a database in use", "another name"]);
    }
    assert_eq!(fs::metadata(&live).unwrap().ino(), before);
    assert!(!daemon.dir().join("relabeld.db.part").exists());
}

#[test]
fn whoever_closes_the_output_has_no_backup() {
    let daemon = labelled();
    let mut child =
        asking(&daemon).args(["backup", "-"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It is more than a pipe holds.
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(told.contains("closed before the backup was whole"), "{told}");
}

/// Answers one request with `answer`, as a relabeld would that is in trouble, or somebody in between.
fn answering(answer: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        stream.write_all(&answer).unwrap();
    });
    url
}

#[test]
fn what_does_not_come_whole_is_no_backup() {
    let scratch = tempfile::tempdir().unwrap();
    let token = scratch.path().join("token");
    fs::write(&token, "t").unwrap();
    let file = scratch.path().join("b.db");
    fs::write(&file, "the one of yesterday").unwrap();
    let digest = |bytes: &[u8]| relabeld::wire::digest::repr_digest(&Sha256::digest(bytes).into());
    let head = |more: &str| format!("HTTP/1.1 200 OK\r\n{more}Connection: close\r\n\r\n").into_bytes();
    let whole = |length: usize, digest: &str| head(&format!("Content-Length: {length}\r\nRepr-Digest: {digest}\r\n"));
    let good = digest(b"abcdef");
    for (answer, code, word) in [
        ([whole(6, &good), b"abc".to_vec()].concat(), 4, "lost the connection"),
        ([whole(6, &good), b"abcdeF".to_vec()].concat(), 1, "damaged on its way"),
        ([head("Content-Length: 6\r\n"), b"abcdef".to_vec()].concat(), 1, "without its length and digest"),
        ([head(&format!("Repr-Digest: {good}\r\n")), b"abcdef".to_vec()].concat(), 1, "without its length and digest"),
    ] {
        let url = answering(answer);
        let mut command = relabeld();
        command.args(["backup", "--force", "--url", &url, "--token-file"]).arg(&token).arg(&file);
        run(&mut command).exits(code).without_data().warns(&[word]);
        assert_eq!(fs::read_to_string(&file).unwrap(), "the one of yesterday");
        assert!(!scratch.path().join("b.db.part").exists());
    }
}

#[test]
fn two_backups_do_not_write_one_file() {
    let scratch = tempfile::tempdir().unwrap();
    let (token, file, part) = (scratch.path().join("token"), scratch.path().join("b.db"), "b.db.part");
    fs::write(&token, "t").unwrap();
    let asking = |url: &str| {
        let mut command = relabeld();
        command.args(["backup", "--url", url, "--token-file"]).arg(&token).arg(&file);
        command
    };
    let digest = relabeld::wire::digest::repr_digest(&Sha256::digest(b"abcdef").into());
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 6\r\nRepr-Digest: {digest}\r\nConnection: close\r\n\r\n");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let first = asking(&format!("http://{}", listener.local_addr().unwrap())).stdout(Stdio::null()).spawn().unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    stream.write_all(format!("{head}abc").as_bytes()).unwrap();
    await_some("its first bytes", || fs::read(scratch.path().join(part)).ok().filter(|half| half == b"abc"));

    let second = answering(format!("{head}abcdef").into_bytes());
    run(&mut asking(&second)).exits(1).without_data().warns(&["another backup", "wait for it"]);
    assert!(!file.exists());
    stream.write_all(b"def").unwrap();
    let first = first.wait_with_output().unwrap();
    assert!(first.status.success());
    assert_eq!(fs::read(&file).unwrap(), b"abcdef");
    assert!(!scratch.path().join(part).exists());
}

#[test]
fn what_is_broken_off_is_not_written_and_leaves_nothing() {
    let (scratch, logs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (token, file) = (logs.path().join("token"), scratch.path().join("f"));
    fs::write(&token, "t").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let digest = relabeld::wire::digest::repr_digest(&Sha256::digest(b"abcdef").into());
    let half = format!("HTTP/1.1 200 OK\r\nContent-Length: 6\r\nRepr-Digest: {digest}\r\n\r\nabc");
    let lines = ["backup", "labels -o", "items 1 -o", "changes 1 --json -o"];
    // Before the first byte of an answer, and in the middle of it.
    for (line, answer) in lines.iter().flat_map(|line| [(line, ""), (line, half.as_str())]) {
        let mut command = relabeld();
        command.args(line.split(' ')).arg(&file).args(["--url", &url, "--token-file"]).arg(&token);
        let asking = Beside::start(&mut heeding(&command), logs.path());
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
        await_some("the part", || scratch.path().join("f.part").exists().then_some(()));
        asking.interrupt();
        let (status, said) = asking.end();
        assert_eq!(status.signal(), Some(2), "{line}: {said:?}");
        assert_eq!(said.err, format!("relabeld: interrupted; {} was not written\n", file.display()), "{line}");
        assert_eq!(names(scratch.path()), [""; 0], "{line}");
        said.without_data();
    }
}

#[test]
fn a_restored_daemon_holds_its_bulk_jobs_until_they_are_resumed() {
    let scratch = tempfile::tempdir().unwrap();
    let file = made(scratch.path());
    let dir = scratch.path().join("data");
    let said =
        restore(&file, &dir).exits(0).tells(&["restored in ", "items               33", "jobs paused         3\n"]);
    said.warns(&["relabeld serve --data-dir", "relabeld resume 3", "tokens are not in a backup"]);
    let restored = fs::metadata(dir.join("relabeld.db")).unwrap();
    assert_eq!(restored.permissions().mode() & 0o777, 0o600);
    assert_eq!(names(&dir), ["relabeld.db"], "no token, no log, no scratch");
    restore(&file, &dir).exits(1).without_data().warns(&["relabeld.db exists", "replaces nothing"]);

    let daemon = Daemon::on(&dir, &[]);
    restore(&file, &dir).exits(1).without_data();
    let state = |job: &str| daemon.see(&format!("/api/v1/jobs/{job}"))["state"].clone();
    assert_eq!(["1", "2", "3"].map(state), ["completed", "paused", "paused"]);
    let again = format!("publish {ALL} --max-per-second 0.001 --idempotency-key nightly --json");
    assert_eq!(say(&daemon, &again).exits(0).json()["id"], "3", "no second job for a key that was used");
    for job in ["2", "3"] {
        say(&daemon, &format!("set {job} --max-per-second none")).exits(0);
        say(&daemon, &format!("resume {job}")).exits(0);
        assert_eq!(daemon.ended(job)["counts"]["total"], 33);
    }
    say(&daemon, "labels --since 0").exits(5).without_data().warns(&["a restore", "read all labels"]);
    assert_eq!(daemon.stop(), Some(0));
    run(relabeld().args(["check", "--data-dir"]).arg(&dir)).exits(0).tells(&["database: ok"]);
}

#[test]
fn a_backup_may_come_gzipped_and_by_stdin() {
    let scratch = tempfile::tempdir().unwrap();
    let plain = fs::read(made(scratch.path())).unwrap();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&plain).unwrap();
    let gzip = gzip.finish().unwrap();
    let into = |name: &str, bytes: &[u8]| {
        let dir = scratch.path().join(name);
        fs::create_dir(&dir).unwrap();
        // Whoever runs the daemon: only root can restore for another, and a test of anybody else is one of that one.
        let _ = chown(&dir, Some(12_345), Some(12_345));
        let mut command = relabeld();
        command.args(["restore", "-", "--json", "-q", "--data-dir"]).arg(&dir);
        let said = run_with(&mut command, bytes);
        (said, dir)
    };
    for (name, bytes) in [("plain", &plain), ("gzip", &gzip)] {
        let (said, dir) = into(name, bytes);
        let said = said.exits(0);
        let expected =
            json!({"data_dir": dir.to_str().unwrap(), "items": 33, "catalogue_revision": 1, "jobs_paused": ["3"]});
        assert_eq!(said.json(), expected);
        assert_eq!(said.err, "");
        let owner = |path: &Path| fs::metadata(path).unwrap().uid();
        assert_eq!([dir.join("relabeld.db"), dir.join("lock")].map(|path| owner(&path)), [owner(&dir); 2]);
    }
    // Cut anywhere, it is nothing.
    for (name, bytes) in [("plain cut", &plain), ("gzip cut", &gzip)] {
        let (said, dir) = into(name, &bytes[..bytes.len() / 2]);
        said.exits(1).without_data().warns(&["stdin"]);
        assert_eq!(names(&dir), [""; 0], "{name}");
        let owner = |path: &Path| fs::metadata(path).unwrap().uid();
        assert_eq!(owner(&dir.join("lock")), owner(&dir), "{name}: the daemon could not start");
    }
}

#[test]
fn what_is_no_whole_backup_is_refused_and_leaves_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let good = made(scratch.path());
    let bytes = fs::read(&good).unwrap();
    let put = |name: &str, bytes: &[u8]| {
        let path = scratch.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let changed = |name: &str, sql: &str| {
        let path = put(name, &bytes);
        rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        path
    };
    let foreign = scratch.path().join("foreign");
    rusqlite::Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    let mut torn = bytes.clone();
    let middle = (torn.len() / 2) & !4095;
    torn[middle..middle + 4096].fill(0xa5);
    let in_use = put("in-use", &bytes);
    put("in-use-wal", b"more of it");
    let link = scratch.path().join("link");
    std::os::unix::fs::symlink(&in_use, &link).unwrap();
    let running = labelled();
    let dir = scratch.path().join("data");
    for (file, word) in [
        (scratch.path().join("none"), "No such file"),
        (scratch.path().to_owned(), "is a directory"),
        (put("empty", b""), "it is empty"),
        (put("text", b"kind,id,version\n"), "not a SQLite database"),
        (foreign, "another program"),
        (put("head", &bytes[..60]), "cut off"),
        (put("cut", &bytes[..bytes.len() - 4096]), "cut off"),
        (changed("newer", "PRAGMA user_version = 99"), "newer relabeld"),
        (changed("faulty", "UPDATE job SET labels_added = 7, sum = NULL WHERE id = 1"), "1 fault(s) in it:\njob 1"),
        (changed("orphan", "PRAGMA foreign_keys = 0; DELETE FROM revision WHERE no = 1"), "cannot be restored"),
        (put("torn", &torn), "cannot be restored"),
        (changed("unfinished", "PRAGMA user_version = 0"), "no schema"),
        (changed("spent", "UPDATE daemon SET last_change = 9223372036854775000, sum = NULL"), "daemon.last_change"),
        (in_use, "a database in use"),
        (link, "a database in use"),
        (running.dir().join("relabeld.db"), "the database of a daemon that runs"),
    ] {
        restore(&file, &dir).exits(1).without_data().warns(&["relabeld: ", word]);
        assert_eq!(names(&dir), [""; 0], "{}", file.display());
    }
    // What is left of another database would be folded into this one.
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("relabeld.db-wal"), "old").unwrap();
    restore(&good, &dir).exits(1).without_data().warns(&["relabeld.db-wal exists", "move it away"]);
    assert_eq!(names(&dir), ["relabeld.db-wal"]);
    fs::remove_file(dir.join("relabeld.db-wal")).unwrap();
    restore(&good, &dir).exits(0);
    run(relabeld().args(["restore", "--data-dir"]).arg(&dir)).exits(2).without_data().warns(&["<FILE>"]);
}

#[test]
fn a_restore_that_is_killed_leaves_no_database_and_can_be_repeated() {
    let scratch = tempfile::tempdir().unwrap();
    let file = made(scratch.path());
    let bytes = fs::read(&file).unwrap();
    let dir = scratch.path().join("data");
    let mut child = restoring(Path::new("-"), &dir).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&bytes[..bytes.len() / 2]).unwrap();
    await_some("the copy", || dir.join(".scratch/relabeld.db").exists().then_some(()));
    child.kill().unwrap();
    child.wait().unwrap();
    drop(stdin);
    assert_eq!(names(&dir), [".scratch"]);
    restore(&file, &dir).exits(0);
    assert_eq!(names(&dir), ["relabeld.db"]);
}
