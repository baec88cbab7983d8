//! A daemon that must not start: says why and what to do, ends with 1, and touches nothing.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::daemon::{BINARY, Daemon, refusal_of, relabeld, unset};
use super::{everything, lines, stocked};

fn serve(dir: &Path) -> Command {
    let mut command = relabeld();
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(dir);
    command
}

/// The command does not start, and says each of the words.
#[track_caller]
fn assert_refused(command: Command, words: &[&str]) {
    let (code, said) = refusal_of(command);
    assert_eq!(code, Some(1), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in {said:?}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

/// The files of a directory with what they hold, but for those that a start takes part in.
fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|path| path.is_file() && path.file_name().unwrap() != "lock")
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("data");
    let mut command = relabeld();
    command.args(["serve", "--listen", &address, "--data-dir"]).arg(&dir);
    assert_refused(command, &[&address, "in use", "--listen"]);
    assert_eq!(files(&dir), [], "not even a database");
}

#[test]
fn a_second_daemon_is_refused_and_the_first_goes_on() {
    let first = stocked();
    let before = everything(&first);
    let address = fs::read_to_string(first.dir().join("address")).unwrap();
    let pid = format!("pid {}", first.pid());
    assert_refused(serve(first.dir()), &["another relabeld", &pid, "--data-dir"]);
    assert_eq!(fs::read_to_string(first.dir().join("address")).unwrap(), address);
    assert_eq!(everything(&first), before);
    first.ask_openly("GET", "/readyz").send();
    assert_eq!(first.stop(), Some(0));
}

#[test]
fn a_file_that_is_not_sqlite_is_left_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("data");
    drop(Daemon::on(&dir, &[]));
    for name in ["relabeld.db-wal", "relabeld.db-shm"] {
        let _ = fs::remove_file(dir.join(name));
    }
    for text in ["kind,id\nnote,n-1\n".repeat(1000), "short".to_owned()] {
        fs::write(dir.join("relabeld.db"), text).unwrap();
        let before = files(&dir);
        assert_refused(serve(&dir), &["relabeld.db", "not a SQLite database", "data directory"]);
        assert_eq!(files(&dir), before);
    }
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("data");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
    let theirs = rusqlite::Connection::open(dir.join("relabeld.db")).unwrap();
    theirs.execute_batch("CREATE TABLE bookmarks (url TEXT); INSERT INTO bookmarks VALUES ('x')").unwrap();
    drop(theirs);
    let before = fs::read(dir.join("relabeld.db")).unwrap();
    assert_refused(serve(&dir), &["relabeld.db", "another program"]);
    assert_eq!(fs::read(dir.join("relabeld.db")).unwrap(), before);
}

#[test]
fn a_database_of_a_newer_schema_is_left_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("data");
    assert_eq!(Daemon::on(&dir, &[]).stop(), Some(0));
    let database = rusqlite::Connection::open(dir.join("relabeld.db")).unwrap();
    let version: i64 = database.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    database.pragma_update(None, "user_version", 999).unwrap();
    drop(database);
    let before = files(&dir);
    assert_refused(serve(&dir), &["relabeld.db", "999", "newer relabeld", "backup"]);
    assert_eq!(files(&dir), before);

    let database = rusqlite::Connection::open(dir.join("relabeld.db")).unwrap();
    database.pragma_update(None, "user_version", version).unwrap();
    drop(database);
    assert_eq!(Daemon::on(&dir, &[]).see("/api/v1/status")["items"], 0, "and opens again");
}

#[test]
fn a_data_directory_that_is_a_file_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("file");
    fs::write(&file, "theirs").unwrap();
    for dir in [file.clone(), file.join("data")] {
        assert_refused(serve(&dir), &["data directory", dir.to_str().unwrap()]);
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "theirs");
}

/// Root may do all, so it steps down to nobody for this.
#[test]
fn a_data_directory_without_permission_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // The build's own path may be closed to nobody.
    let binary = scratch.path().join("relabeld");
    // Not by this process: a child of another test could hold a copy open for writing, and then it does not run.
    assert!(Command::new("cp").arg(BINARY).arg(&binary).status().unwrap().success());
    let dir = scratch.path().join("data");
    fs::create_dir(&dir).unwrap();
    let is_root = String::from_utf8(Command::new("id").arg("-u").output().unwrap().stdout).unwrap().trim() == "0";
    let below = dir.join("below");
    let serve = |dir: &Path| {
        let mut command = unset(Command::new(if is_root { Path::new("setpriv") } else { &binary }));
        if is_root {
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&binary);
        }
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(dir);
        command
    };
    for mode in [0o500, 0o000] {
        fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).unwrap();
        for dir in [&dir, &below] {
            assert_refused(serve(dir), &[dir.to_str().unwrap(), "ermission denied"]);
        }
    }
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
}

#[test]
fn a_data_directory_or_token_open_to_others_is_refused_with_what_to_do() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("data");
    assert_eq!(Daemon::on(&dir, &[]).stop(), Some(0));
    let mode = |name: &str, mode: u32| {
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    for name in ["token", "token.read", "token.metrics"] {
        assert_eq!(fs::metadata(dir.join(name)).unwrap().permissions().mode() & 0o777, 0o600);
    }
    mode("", 0o755);
    assert_refused(serve(&dir), &[dir.to_str().unwrap(), "chmod 700"]);
    mode("", 0o700);
    mode("token.read", 0o644);
    assert_refused(serve(&dir), &["token.read", "chmod 600"]);
}

#[test]
fn listening_beyond_loopback_needs_a_name() {
    let scratch = tempfile::tempdir().unwrap();
    let mut command = relabeld();
    command.args(["serve", "--listen", "0.0.0.0:0", "--data-dir"]).arg(scratch.path().join("data"));
    assert_refused(command, &["0.0.0.0:0", "public_url", "hosts"]);
    assert!(!scratch.path().join("data").exists());
}

#[test]
fn what_was_answered_is_there_after_a_stop_and_a_kill() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("data");
    let daemon = Daemon::on(&dir, &[]);
    daemon.apply(&super::rules());
    daemon.import(&super::lines());
    let job = daemon.publish(&super::spanned(serde_json::json!({})));
    daemon.ended(&job);
    let before = everything(&daemon);
    assert_eq!(daemon.stop(), Some(0));
    assert!(!dir.join("address").exists() && !dir.join("http.sock").exists());
    let again = Daemon::on(&dir, &[]);
    assert_eq!(everything(&again), before);
    drop(again);
    assert_eq!(everything(&Daemon::on(&dir, &[])), before);
}

#[test]
fn every_file_is_private_whatever_the_umask() {
    for umask in ["0", "077", "0777"] {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path().join("data");
        let mut command = unset(Command::new("sh"));
        command.args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\""), BINARY]);
        let daemon = Daemon::spawn(command, &dir, &[]);
        assert_eq!(daemon.import(&lines())["inserted"], 4);
        assert_eq!(daemon.ask("GET", "/api/v1/backup").send().status, 200);
        let link = daemon.ask("POST", "/api/v1/login").body("{}").send().expect(200);
        let path = link["url"].as_str().unwrap().split_once("/login/").unwrap().1.to_owned();
        assert_eq!(daemon.ask_openly("GET", &format!("/login/{path}")).send().status, 303, "it keeps a session");
        let modes = |dir: &Path| -> Vec<(String, u32)> {
            let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
            entries
                .map(|entry| {
                    (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().permissions().mode() & 0o777)
                })
                .collect()
        };
        let found = modes(&dir);
        for name in [
            "relabeld.db",
            "relabeld.db-wal",
            "relabeld.db-shm",
            "begun",
            "lock",
            "reserve",
            "token",
            "sessions",
            "address",
        ] {
            assert!(found.contains(&(name.to_owned(), 0o600)), "umask {umask}, {name}: {found:?}");
        }
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(found.iter().all(|(name, mode)| *mode == if name == ".scratch" { 0o700 } else { 0o600 }), "{found:?}");
    }
}
