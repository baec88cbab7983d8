//! Clients that mean harm: others are answered meanwhile, jobs go on, nothing is let in.

use std::collections::VecDeque;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use serde_json::json;

use super::daemon::{BINARY, Daemon, PATIENCE, Reply, await_some, unset};
use super::{everything, note, spanned, stocked, stocked_with};

/// A client that behaves is answered, and a job goes through.
#[track_caller]
fn assert_works(daemon: &Daemon) {
    assert_eq!(daemon.ask_openly("GET", "/readyz").send().status, 200);
    let job = daemon.ended(&daemon.publish(&spanned(json!({}))));
    assert_eq!((&job["state"], &job["counts"]["total"]), (&json!("completed"), &json!(4)));
}

/// A client that behaves, on a thread of its own: what it asks for it gets, round after round.
struct WellBehaved<'a> {
    daemon: &'a Daemon,
    rounds: AtomicUsize,
    stopped: AtomicBool,
}

impl WellBehaved<'_> {
    fn run(&self) {
        let daemon = self.daemon;
        let bearer = |name: &str| format!("Bearer {}", daemon.token(name));
        while !self.stopped.load(Ordering::Relaxed) {
            let round = self.rounds.load(Ordering::Relaxed) as i64 + 1;
            for path in ["/healthz", "/readyz"] {
                assert_eq!(daemon.ask_openly("GET", path).send().status, 200, "{path}");
            }
            let metrics = daemon.ask("GET", "/metrics").header("Authorization", &bearer("token.metrics")).send();
            assert_eq!(metrics.status, 200);
            let read = |method, path| daemon.ask(method, path).header("Authorization", &bearer("token.read"));
            assert_eq!(read("GET", "/api/v1/status").send().expect(200)["state"], "running");
            let late = note("well-behaved", round, "The parcel is late.");
            assert_eq!(daemon.import(&[late])["bad"], 0);
            let count = daemon.ask("POST", "/api/v1/count").json(&spanned(json!({}))).send().expect(200);
            assert_eq!(count["total"], 5);
            self.rounds.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits for a round that begins and ends while the caller waits.
    #[track_caller]
    fn await_round(&self) {
        let now = self.rounds.load(Ordering::Relaxed);
        await_some("an answer to the client that behaves", || {
            (self.rounds.load(Ordering::Relaxed) >= now + 2).then_some(())
        });
    }
}

/// Runs `attack` beside a client that behaves, which is served throughout.
#[track_caller]
fn served_throughout(daemon: &Daemon, attack: impl FnOnce(&WellBehaved<'_>)) {
    /// Also when the attack panics, or the scope would wait for the client for good.
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let client = WellBehaved { daemon, rounds: AtomicUsize::new(0), stopped: AtomicBool::new(false) };
    thread::scope(|scope| {
        scope.spawn(|| client.run());
        let _stop = Stop(&client.stopped);
        client.await_round();
        attack(&client);
        client.await_round();
    });
}

/// A call with the token that may only read, of whose body so much has come.
fn slow_count(daemon: &Daemon) -> TcpStream {
    let bearer = format!("Bearer {}", daemon.token("token.read"));
    let count = daemon.ask("POST", "/api/v1/count").header("Authorization", &bearer).header("Content-Length", "2");
    let mut stream = count.begin();
    stream.write_all(b"{").unwrap();
    stream
}

#[test]
fn beside_slow_heads_and_slow_bodies_of_short_calls_everybody_is_served() {
    let daemon = stocked();
    served_throughout(&daemon, |client| {
        let heads: Vec<TcpStream> = (0..100)
            .map(|_| {
                let mut stream = TcpStream::connect(daemon.address).unwrap();
                stream.write_all(b"POST /api/v1/count HTTP/1.1\r\nHost: 127").unwrap();
                stream
            })
            .collect();
        // More than there are handlers for short calls.
        let bodies: Vec<TcpStream> = (0..100).map(|_| slow_count(&daemon)).collect();
        for _ in 0..5 {
            client.await_round();
        }
        // The newest are still there, unless the machine was so slow that their time is up.
        for mut stream in bodies.into_iter().rev().take(30) {
            let _ = stream.write_all(b"}");
            let answer = Reply::read(stream);
            assert!([200, 408].contains(&answer.status), "{}", answer.text());
        }
        drop(heads);
    });
}

#[test]
fn beside_long_calls_that_stall_everybody_is_served() {
    let scratch = tempfile::tempdir().unwrap();
    let socket = scratch.path().join("socket");
    let daemon = stocked_with(&["--socket", socket.to_str().unwrap()]);
    served_throughout(&daemon, |client| {
        // With more than the gate collects, so each asks for a handler.
        let stalled: Vec<TcpStream> = (0..60)
            .map(|_| {
                let import = daemon.ask("POST", "/api/v1/items").header("Content-Length", "100000000");
                let mut stream = import.begin();
                // One that waits for its turn is not read.
                stream.set_nonblocking(true).unwrap();
                let _ = stream.write_all(&vec![b'\n'; 1_200_000]);
                stream
            })
            .collect();
        for _ in 0..5 {
            client.await_round();
        }
        let bearer = format!("Bearer {}", daemon.token("token.read"));
        let labels = daemon.ask("GET", "/api/v1/labels.ndjson").header("Authorization", &bearer).send();
        assert_eq!(labels.status, 200, "another token's long calls");
        let mut unix = UnixStream::connect(&socket).unwrap();
        unix.set_read_timeout(Some(PATIENCE)).unwrap();
        unix.write_all(b"GET /api/v1/labels.ndjson HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        unix.read_to_end(&mut answer).unwrap();
        assert_eq!(Reply::parse(&answer).status, 200, "the socket's long calls");
        drop(stalled);
    });
}

#[test]
fn beside_thousands_of_idle_connections_everybody_is_served() {
    const IDLE: usize = 3_000;
    let daemon = stocked();
    // The daemon keeps the limit that it started with.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).unwrap();
    served_throughout(&daemon, |client| {
        let mut idle = Vec::new();
        while idle.len() < IDLE {
            // Fewer than the gate keeps, so a client between its connection and its request is not among the oldest.
            idle.extend((0..100).map(|_| TcpStream::connect(daemon.address).unwrap()));
            client.await_round();
        }
        let open = fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count();
        assert!(open < 800, "{open} descriptors");
    });
}

#[test]
fn beside_malformed_requests_everybody_is_served() {
    let daemon = stocked();
    daemon.import(&[note("well-behaved", 0, "The parcel is late.")]);
    let before = everything(&daemon);
    served_throughout(&daemon, |client| {
        let mut state = 1u64;
        let mut noise = |length: usize| -> Vec<u8> {
            std::iter::repeat_with(|| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .take(length)
            .collect()
        };
        let bearer = format!("Host: 127.0.0.1\r\nAuthorization: Bearer {}\r\n", daemon.token("token"));
        for round in 0..20 {
            let chunks = [b"zz\r\n".to_vec(), b"5\r\nab".to_vec(), [b"4\r\n".as_slice(), &noise(40)].concat()];
            let body = format!("POST /api/v1/count HTTP/1.1\r\n{bearer}Transfer-Encoding: chunked\r\n\r\n");
            let mut requests: Vec<Vec<u8>> =
                chunks.iter().map(|chunk| [body.as_bytes(), chunk.as_slice()].concat()).collect();
            requests.extend((0..10).map(|at| [noise(200 * at), b"\r\n\r\n".to_vec()].concat()));
            requests.push(format!("DELETE  /api/v1/items/note/n-1 HTTP/1.1\r\n{bearer}\r\n").into_bytes());
            for request in requests {
                let mut stream = TcpStream::connect(daemon.address).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let _ = stream.write_all(&request);
                let _ = stream.shutdown(std::net::Shutdown::Write);
                let mut answer = Vec::new();
                // The connection may be reset after the answer, or instead of it.
                let _ = stream.read_to_end(&mut answer);
                assert!(answer.is_empty() || Reply::parse(&answer).status == 400, "round {round}: {answer:?}");
            }
        }
        client.await_round();
    });
    assert_eq!(everything(&daemon), before);
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
