//! `GET /api/v1/backup`: whole, told to be so, and in nobody's way.

use std::fs;
use std::io::Read;
use std::net::TcpStream;

use relabeld::wire::digest::repr_digest;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::daemon::{Daemon, await_some};
use super::{note, spanned, stocked};

/// Its answer is under way, and the client reads no further.
fn slow(daemon: &Daemon) -> TcpStream {
    let mut stream = daemon.ask("GET", "/api/v1/backup").begin();
    let mut head = [0; 15];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    stream
}

fn scratch_files(daemon: &Daemon) -> usize {
    fs::read_dir(daemon.dir().join(".scratch")).map_or(0, |files| files.count())
}

#[test]
fn a_backup_tells_its_length_and_digest() {
    let daemon = stocked();
    let bearer = |token: &str| format!("Bearer {}", daemon.token(token));
    let ask = |method: &str| daemon.ask_openly(method, "/api/v1/backup");
    let answer = ask("GET").header("Authorization", &bearer("token.read")).send();
    assert_eq!((answer.status, answer.header("Content-Type")), (200, Some("application/vnd.sqlite3")));
    assert_eq!(answer.header("Content-Length"), Some(answer.body.len().to_string().as_str()));
    let digest = repr_digest(&Sha256::digest(&answer.body).into());
    assert_eq!(answer.header("Repr-Digest"), Some(digest.as_str()));
    let file = answer.header("Content-Disposition").unwrap();
    assert!(file.starts_with("attachment; filename=\"relabeld-2") && file.ends_with("Z.db\""), "{file}");
    let copy = daemon.dir().with_file_name("copy.db");
    fs::write(&copy, &answer.body).unwrap();
    let copy = rusqlite::Connection::open(copy).unwrap();
    let items: i64 = copy.query_row("SELECT count(*) FROM item", [], |row| row.get(0)).unwrap();
    assert_eq!(daemon.see("/api/v1/status")["items"], json!(items));
    assert_eq!(scratch_files(&daemon), 0);

    assert_eq!(daemon.log().matches("backup for").count(), 1, "{}", daemon.log());
    let mut head = String::new();
    daemon.ask("HEAD", "/api/v1/backup").begin().read_to_string(&mut head).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.ends_with("\r\n\r\n"), "{head}");
    assert_eq!(daemon.log().matches("backup for").count(), 1, "HEAD makes none");

    ask("GET").send().expect_problem(401, "unauthorized", &[]);
    ask("GET").header("Authorization", &bearer("token.metrics")).send().expect_problem(
        403,
        "forbidden",
        &["token.read"],
    );
    daemon.get("/api/v1/backup?full=1").expect_problem(422, "invalid_request", &["full"]);
    daemon.ask("POST", "/api/v1/backup").send().expect_problem(405, "bad_request", &["GET"]);
}

#[test]
fn a_backup_does_not_fill_the_disk() {
    let daemon = Daemon::with(&["--min-free-bytes", "9000000000000000000"]);
    let problem = daemon.get("/api/v1/backup");
    problem.expect_problem(507, "storage_full", &["min_free_bytes", "make room"]);
    assert!(problem.header("Retry-After").is_some());
    assert_eq!(scratch_files(&daemon), 0);
}

#[test]
fn slow_downloads_are_few_and_hold_nothing_up() {
    let daemon = stocked();
    // Far more than fits into the buffers on the way.
    let text = "word ".repeat(200_000);
    daemon.import(&(0..40).map(|n| note(&format!("long-{n}"), 1, &text)).collect::<Vec<_>>());
    let first = slow(&daemon);
    let _second = slow(&daemon);
    let third = daemon.get("/api/v1/backup");
    assert_eq!(third.status, 429);
    third.expect_problem(429, "too_many_requests", &["wait"]);
    // Work goes on, and the log is folded in and cut while both are still on their way.
    daemon.ended(&daemon.publish(&spanned(json!({"types": ["conversations"]}))));
    await_some("a log that is cut", || (daemon.see("/api/v1/status")["wal_bytes"] == 0).then_some(()));
    assert_eq!(daemon.get("/api/v1/backup").status, 429, "their places are taken still");
    // A client that goes away makes room for another.
    drop(first);
    await_some("a place", || (daemon.get("/api/v1/backup").status == 200).then_some(()));
    assert_eq!(scratch_files(&daemon), 0);
}
