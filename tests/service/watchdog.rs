//! What systemd hears: all is well, as long as the writer and the endpoint get on.

use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use super::daemon::{Daemon, PATIENCE, await_some, relabeld};

/// What is told to systemd, line by line. Read at once: a full socket would hold up who tells.
fn ear(path: &Path) -> Receiver<String> {
    let socket = UnixDatagram::bind(path).unwrap();
    let (tell, told) = channel();
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok(length) = socket.recv(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.lines().any(|line| tell.send(line.to_owned()).is_err()) {
                return;
            }
        }
    });
    told
}

/// Waits until it is told.
#[track_caller]
fn hear(told: &Receiver<String>, line: &str) {
    while told.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("never told: {line}")) != line {}
}

/// Watched by a systemd that waits `micros` for a sign of life.
fn watched(scratch: &Path, micros: u32) -> (Daemon, Receiver<String>) {
    let told = ear(&scratch.join("ear"));
    let mut command: Command = relabeld();
    command.env("NOTIFY_SOCKET", scratch.join("ear")).env("WATCHDOG_USEC", micros.to_string());
    (Daemon::spawn(command, &scratch.join("data"), &[]), told)
}

#[test]
fn signs_of_life_come_whoever_crowds_the_doors() {
    let scratch = tempfile::tempdir().unwrap();
    let (daemon, told) = watched(scratch.path(), 40_000);
    let mut first = vec!["READY=1", "WATCHDOG=1", "STATUS=idle, 0 items"];
    while !first.is_empty() {
        let line = told.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("never told: {first:?}"));
        first.retain(|wanted| *wanted != line);
    }
    // More than the gate keeps, and what holds every place behind it.
    let idle: Vec<TcpStream> = (0..600).map(|_| TcpStream::connect(daemon.address).unwrap()).collect();
    let held = daemon.ask("POST", "/api/v1/items").header("Content-Length", "10");
    let holding: Vec<TcpStream> = (0..40).map(|_| held.begin()).collect();
    while told.try_recv().is_ok() {}
    for _ in 0..5 {
        hear(&told, "WATCHDOG=1");
    }
    drop((idle, holding));
    assert_eq!(daemon.stop(), Some(0));
    hear(&told, "STOPPING=1");
}

#[test]
fn the_status_line_tells_what_is_to_do() {
    let scratch = tempfile::tempdir().unwrap();
    let (daemon, told) = watched(scratch.path(), 40_000);
    let note = |n| {
        format!(r#"{{"kind":"note","id":"n-{n}","version":1,"created_at":"2026-11-02T09:00:00Z","text":"a refund"}}"#)
    };
    daemon.import(&[note(1), note(2)]);
    daemon.apply(&serde_json::json!({"topics": [{"id": "refund", "phrases": ["refund"]}]}));
    let job =
        daemon.publish(&serde_json::json!({"from": "2026-11-01", "until": "2026-12-01", "max_per_second": 0.001}));
    daemon.ask("POST", &format!("/api/v1/jobs/{job}/pause")).send().expect(200);
    await_some("a line about the job", || told.try_recv().ok().filter(|line| line.starts_with("STATUS=1 job, ")));
}

#[test]
fn a_writer_that_cannot_commit_is_no_sign_of_life() {
    let scratch = tempfile::tempdir().unwrap();
    let (daemon, told) = watched(scratch.path(), 40_000);
    hear(&told, "WATCHDOG=1");
    let other = rusqlite::Connection::open(daemon.dir().join("relabeld.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // What was told before the lock was taken has been heard when this is.
    UnixDatagram::unbound().unwrap().send_to(b"taken", scratch.path().join("ear")).unwrap();
    hear(&told, "taken");
    // It waits for the lock as long as it would for another's transaction, and then says so.
    await_some("a complaint", || daemon.log().contains("the writer cannot commit").then_some(()));
    let signs = told.try_iter().filter(|line| line == "WATCHDOG=1").count();
    assert!(signs <= 1, "one may have been under way as the lock was taken, not {signs}");
    other.execute_batch("ROLLBACK").unwrap();
    hear(&told, "WATCHDOG=1");
}

#[test]
fn who_is_not_watched_says_nothing_of_it() {
    let scratch = tempfile::tempdir().unwrap();
    let told = ear(&scratch.path().join("ear"));
    let mut command = relabeld();
    command.env("NOTIFY_SOCKET", scratch.path().join("ear")).env("WATCHDOG_USEC", "40000").env("WATCHDOG_PID", "1");
    let daemon = Daemon::spawn(command, &scratch.path().join("data"), &[]);
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!((told.recv().unwrap(), told.recv().unwrap()), ("READY=1".into(), "STOPPING=1".into()));
}
