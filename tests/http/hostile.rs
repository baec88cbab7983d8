//! Clients that mean harm: others are answered meanwhile, jobs go on, nothing is let in.

use std::collections::VecDeque;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use serde_json::json;

use super::daemon::{BINARY, Daemon, Reply, await_some, unset};
use super::{everything, spanned, stocked};

/// A client that behaves is answered, and a job goes through.
#[track_caller]
fn assert_works(daemon: &Daemon) {
    assert_eq!(daemon.ask_openly("GET", "/readyz").send().status, 200);
    let job = daemon.ended(&daemon.publish(&spanned(json!({}))));
    assert_eq!((&job["state"], &job["counts"]["total"]), (&json!("completed"), &json!(4)));
}

#[test]
fn slow_heads_and_slow_bodies_hold_up_nobody() {
    let daemon = stocked();
    let before = everything(&daemon);
    let heads: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut stream = TcpStream::connect(daemon.address).unwrap();
            stream.write_all(b"POST /api/v1/items HTTP/1.1\r\nHost: 127").unwrap();
            stream
        })
        .collect();
    // With a token, or nobody would wait for a body.
    let bodies: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut stream = daemon.ask("POST", "/api/v1/items").header("Content-Length", "1000000").begin();
            stream.write_all(b"{\"kind\":").unwrap();
            stream
        })
        .collect();
    assert_eq!(everything(&daemon), before);
    assert_works(&daemon);
    drop((heads, bodies));
    assert_works(&daemon);
}

#[test]
fn bodies_of_strangers_are_not_waited_for() {
    let daemon = stocked();
    let strangers: Vec<TcpStream> = (0..100)
        .map(|_| daemon.ask_openly("POST", "/api/v1/items").header("Content-Length", "1000000").begin())
        .collect();
    assert_works(&daemon);
    for stream in strangers {
        let answer = Reply::read(stream);
        assert!([401, 429].contains(&answer.status), "{}", answer.text());
    }
}

#[test]
fn a_head_without_an_end_is_cut_off() {
    let daemon = stocked();
    for head in [
        format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(20_000)),
        format!("GET / HTTP/1.1\r\nHost: x\r\nCookie: {}\r\n\r\n", "x".repeat(20_000)),
        format!("GET / HTTP/1.1\r\nHost: x\r\n{}", "A: b\r\n".repeat(200_000)),
    ] {
        let mut stream = TcpStream::connect(daemon.address).unwrap();
        let _ = stream.write_all(head.as_bytes());
        Reply::read(stream).expect_problem(431, "bad_request", &["head"]);
    }
    assert_works(&daemon);
}

#[test]
fn what_is_not_http_is_refused() {
    let daemon = stocked();
    let before = everything(&daemon);
    let token = daemon.token("token");
    let good = format!("Host: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n");
    for request in [
        "GET / HTTP/1.1\nHost: 127.0.0.1\n\n".to_owned(),
        "\x16\x03\x01\x02\0\x01\0\r\n\r\n".to_owned(),
        format!("GET /api/v1/status HTTP/1.1\r\n{good}Host: 127.0.0.1\r\n\r\n"),
        format!("DELETE  /api/v1/items/note/n-1 HTTP/1.1\r\n{good}\r\n"),
        format!("DELETE /api/v1/items/note/n-1 HTTP/2\r\n{good}\r\n"),
        format!("DELETE http://127.0.0.1/api/v1/items/note/n-1 HTTP/1.1\r\n{good}\r\n"),
        format!("POST /api/v1/jobs HTTP/1.1\r\n{good}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{{}}"),
        format!("POST /api/v1/jobs HTTP/1.1\r\n{good}Content-Length: +2\r\n\r\n{{}}"),
        format!("POST /api/v1/jobs HTTP/1.1\r\n{good}Transfer-Encoding: chunked\r\n\r\nzz\r\n{{}}"),
    ] {
        let mut stream = TcpStream::connect(daemon.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let answer = Reply::read(stream);
        assert!([400, 505].contains(&answer.status), "{request:?}: {}", answer.text());
        assert!(answer.json()["detail"].is_string(), "{}", answer.text());
    }
    assert_eq!(everything(&daemon), before);
}

#[test]
fn thousands_of_idle_connections_cost_no_thread_and_keep_nobody_out() {
    let daemon = stocked();
    assert_works(&daemon);
    let threads = daemon.proc_status("Threads");
    let mut crowd = VecDeque::new();
    for at in 0..5_000 {
        let mut stream = TcpStream::connect(daemon.address).unwrap();
        if at % 2 == 0 {
            let _ = stream.write_all(b"GET /healthz HT");
        }
        crowd.push_back(stream);
        // The tests may have no more than 1,024 descriptors.
        if crowd.len() > 600 {
            crowd.pop_front();
        }
        if at % 500 == 0 {
            assert_eq!(daemon.ask_openly("GET", "/healthz").send().status, 200);
        }
    }
    assert_works(&daemon);
    // tiny_http's own come and go.
    let now = daemon.proc_status("Threads");
    assert!(now <= threads + 8, "{now} threads after {threads}");
    let open = fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count();
    assert!(open < 700, "{open} descriptors");
    // The oldest were let go.
    let mut oldest = crowd.pop_front().unwrap();
    assert!(matches!(oldest.read(&mut [0]), Ok(0) | Err(_)));
}

#[test]
fn it_lives_on_without_descriptors() {
    let scratch = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", r#"ulimit -n 64 && exec "$0" "$@""#, BINARY]);
    let daemon = Daemon::spawn(unset(command), &scratch.path().join("data"), &[]);
    daemon.apply(&super::rules());
    daemon.import(&super::lines());
    for _ in 0..3 {
        let crowd: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(daemon.address).unwrap()).collect();
        // With a crowd at the door, one may have to ask more than once.
        await_some("an answer", || (daemon.ask_openly("GET", "/healthz").send().status == 200).then_some(()));
        drop(crowd);
    }
    await_some("an answer", || (daemon.ask_openly("GET", "/readyz").send().status == 200).then_some(()));
    assert_works(&daemon);
}

/// tiny_http's accept loop ends for good on its first error; without its socket nothing reaches it either.
#[test]
fn the_endpoint_comes_back_when_what_is_behind_the_gate_is_gone() {
    let daemon = stocked();
    let before = everything(&daemon);
    let socket = daemon.dir().join("http.sock");
    for _ in 0..2 {
        fs::remove_file(&socket).unwrap();
        let refused = daemon.ask_openly("GET", "/readyz").send();
        assert!([200, 503].contains(&refused.status), "{}", refused.text());
        await_some("an answer", || (daemon.ask_openly("GET", "/readyz").send().status == 200).then_some(()));
        assert!(socket.exists());
        assert_eq!(everything(&daemon), before);
    }
    assert!(daemon.log().contains("tiny_http ended"), "{}", daemon.log());
    assert_works(&daemon);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_download_that_nobody_reads_holds_up_nobody() {
    let daemon = stocked();
    let lines: Vec<String> = (0..5_000).map(|n| super::conversation(&format!("m-{n}"), &["my money back"])).collect();
    daemon.import(&lines);
    daemon.ended(&daemon.publish(&spanned(json!({}))));
    let unread: Vec<TcpStream> = (0..20).map(|_| daemon.ask("GET", "/api/v1/labels.ndjson").begin()).collect();
    assert_eq!(daemon.get("/api/v1/labels.csv").text().lines().count(), 5_004);
    for stream in unread.into_iter().take(2) {
        assert_eq!(Reply::read(stream).rows().len(), 5_003);
    }
}
