//! Requests and answers on their way, and what cuts them short.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use super::*;

#[test]
fn plain_requests_come_through_either_listener() {
    let setup = Setup::echoing(Limits::default());
    let answer = setup.ask(get("/a?b=c"));
    assert_eq!((answer.status, answer.text()), (200, "GET tcp ".into()));
    assert!(answer.head.contains("\r\nConnection: close\r\n"), "{}", answer.head);
    assert_eq!(setup.ask("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n").body, b"");
    assert_eq!(setup.ask("GET / HTTP/1.0\r\n\r\n").text(), "GET tcp ");
    let empty = setup.ask("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(empty.text(), "POST tcp ");

    let mut unix = UnixStream::connect(setup.outer()).unwrap();
    unix.write_all(get("/").as_bytes()).unwrap();
    unix.shutdown(Shutdown::Write).unwrap(); // A half-closed client still wants its answer.
    assert_eq!(self::answer(&mut unix).text(), "GET unix ");
    assert_eq!(setup.seen()[0], "/a?b=c");
}

#[test]
fn large_bodies_go_both_ways() {
    let setup = Setup::echoing(Limits::default());
    let body = bytes(5_000_000);
    let expected = [b"POST tcp ".as_slice(), &body].concat();
    let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    assert!(upload(&setup.connect(), &head, &body).body == expected);

    let mut chunks = Vec::new();
    for (at, part) in body.chunks(77_777).enumerate() {
        chunks.extend(format!("{:x};n={at}\r\n", part.len()).into_bytes());
        chunks.extend(part);
        chunks.extend(b"\r\n");
    }
    chunks.extend(b"0\r\nX-Sum: 1\r\n\r\n");
    let head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert!(upload(&setup.connect(), head, &chunks).body == expected);
}

#[test]
fn an_old_client_gets_a_long_answer_without_chunks() {
    let setup = Setup::new(Limits::default(), |request| {
        let content = io::Cursor::new(bytes(3_000_000));
        let _ = request.respond(Response::new(StatusCode(200), vec![], content, None, None));
    });
    let answer = setup.ask("GET / HTTP/1.0\r\n\r\n");
    assert!(!answer.head.contains("chunked") && answer.body == bytes(3_000_000));
}

#[test]
fn expectations_are_answered() {
    let setup = Setup::echoing(Limits::default());
    let mut stream = setup.connect();
    let head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"abc").unwrap();
    assert_eq!(answer(&mut stream).text(), "POST tcp abc");
}

#[test]
fn an_early_answer_reaches_the_client_of_a_large_upload() {
    let page = bytes(200_000);
    let answer = page.clone();
    let setup = Setup::new(Limits::default(), move |request| {
        let _ = request.respond(Response::from_data(answer.clone()).with_status_code(401));
    });
    // So large that allocating it, which tiny_http does for a body it drops, would fail.
    for framing in ["Content-Length: 9000000000000000000", "Transfer-Encoding: chunked"] {
        // The last line is a chunk's size, or the beginning of the other body.
        let head = format!("POST / HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n4000000\r\n");
        let answer = upload(&setup.connect(), &head, &bytes(30_000_000));
        assert!(answer.status == 401 && answer.body == page);
    }
    assert_eq!(setup.ask(get("/")).status, 401);
}

/// A handler that reports what reading the body came to.
fn reporting(limits: Limits) -> (Setup, Receiver<(usize, io::Result<()>)>) {
    let (sender, receiver) = mpsc::channel();
    let sender = Mutex::new(sender);
    let setup = Setup::new(limits, move |mut request| {
        let mut body = Vec::new();
        let result = request.as_reader().read_to_end(&mut body).map(drop);
        let status = if result.is_ok() { 200 } else { 400 };
        let _ = sender.lock().unwrap().send((body.len(), result));
        let _ = request.respond(Response::empty(status));
    });
    (setup, receiver)
}

#[test]
fn a_body_cut_short_is_an_error_to_the_handler() {
    let (body_time, idle) = (Duration::from_millis(300), Duration::from_millis(300));
    let (setup, report) = reporting(Limits { body_time, idle, ..Limits::default() });
    for (framing, cut) in [
        ("Content-Length: 600000", bytes(200_000)),
        ("Content-Length: 4", b"abc".to_vec()),
        ("Transfer-Encoding: chunked", [b"30d40\r\n".as_slice(), &bytes(100_000)].concat()),
        ("Transfer-Encoding: chunked", b"3\r\nabc\r\n".to_vec()),
        ("Transfer-Encoding: chunked", b"3\r\nabc\r\n0\r\n".to_vec()),
    ] {
        let head = format!("POST / HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n");
        for way in ["close", "half-close", "stall"] {
            let mut stream = setup.connect();
            stream.write_all(&[head.as_bytes(), &cut].concat()).unwrap();
            match way {
                "close" => drop(stream),
                "half-close" => {
                    stream.shutdown(Shutdown::Write).unwrap();
                    assert_eq!(answer(&mut stream).status, 400);
                }
                _ => assert_eq!(answer(&mut stream).status, 400),
            }
            let (count, result) = report.recv_timeout(PATIENCE).unwrap();
            assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput, "{framing} {way}");
            assert!(count > 0 && count <= cut.len());
        }
    }
    let whole = setup.ask("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(whole.status, 200);
    assert!(report.recv_timeout(PATIENCE).unwrap().1.is_ok());
}

#[test]
fn a_client_that_leaves_ends_its_download() {
    struct Endless(Sender<()>);
    impl Read for Endless {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            into.fill(b'x');
            Ok(into.len())
        }
    }
    impl Drop for Endless {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let (sender, ended) = mpsc::channel();
    let sender = Mutex::new(sender);
    let limits = Limits { idle: Duration::from_millis(500), ..Limits::default() };
    let setup = Setup::new(limits, move |request| {
        let endless = Endless(sender.lock().unwrap().clone());
        let _ = request.respond(Response::new(StatusCode(200), vec![], endless, None, None));
    });
    for way in ["leaves", "stalls"] {
        let mut stream = setup.connect();
        stream.write_all(get("/").as_bytes()).unwrap();
        stream.read_exact(&mut vec![0; 3_000_000]).unwrap();
        if way == "leaves" {
            drop(stream);
            ended.recv_timeout(PATIENCE).unwrap();
        } else {
            ended.recv_timeout(PATIENCE).unwrap();
        }
    }
}

/// Answers when told, with "done".
fn held(limits: Limits) -> (Setup, Receiver<()>, Sender<()>) {
    let (arrive, arrived) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let shared = Mutex::new((arrive, Arc::new(Mutex::new(released))));
    let setup = Setup::new(limits, move |request| {
        let released = {
            let shared = shared.lock().unwrap();
            let _ = shared.0.send(());
            Arc::clone(&shared.1)
        };
        let _ = released.lock().unwrap().recv();
        let _ = request.respond(Response::from_string("done"));
    });
    (setup, arrived, release)
}

#[test]
fn too_many_requests_are_refused_and_a_thinking_handler_is_not_cut_off() {
    let limits =
        Limits { places: short(2), turn: Duration::ZERO, idle: Duration::from_millis(100), ..Limits::default() };
    let (setup, arrived, release) = held(limits);
    let mut streams = [setup.connect(), setup.connect()];
    for stream in &mut streams {
        stream.write_all(get("/").as_bytes()).unwrap();
        arrived.recv_timeout(PATIENCE).unwrap();
    }
    let refused = setup.ask(get("/"));
    assert_eq!(refused.status, 429);
    assert!(refused.head.contains("Retry-After: 1\r\n"));
    assert!(refused.text().contains(r#""code":"too_many_requests""#));
    // Longer than the idle limit: that is not the client's fault. There is no event to wait for.
    assert!(arrived.recv_timeout(Duration::from_millis(400)).is_err());
    // Either may be the first to hear of it.
    streams.iter().for_each(|_| release.send(()).unwrap());
    for stream in &mut streams {
        assert_eq!(answer(stream).text(), "done");
    }
    release.send(()).unwrap();
    assert_eq!(setup.ask(get("/")).status, 200);
}

#[test]
fn a_burst_stands_in_line_and_is_answered_in_turn() {
    let (setup, arrived, release) = held(Limits { places: short(2), ..Limits::default() });
    let mut streams: Vec<_> = (0..20).map(|_| setup.connect()).collect();
    for stream in &mut streams {
        stream.write_all(get("/").as_bytes()).unwrap();
    }
    for _ in &streams {
        arrived.recv_timeout(PATIENCE).unwrap();
        release.send(()).unwrap();
    }
    for stream in &mut streams {
        assert_eq!(answer(stream).text(), "done");
    }
}

#[test]
fn a_request_counts_until_its_handler_is_done_with_it() {
    let limits = Limits { places: short(1), turn: Duration::ZERO, ..Limits::default() };
    let (setup, arrived, release) = held(limits);
    let mut unix = UnixStream::connect(setup.outer()).unwrap();
    unix.write_all(get("/").as_bytes()).unwrap();
    arrived.recv_timeout(PATIENCE).unwrap();
    drop(unix); // The hang-up of a Unix socket is noticed at once.
    assert_eq!(setup.ask(get("/")).status, 429);
    release.send(()).unwrap();
    release.send(()).unwrap();
    while setup.ask(get("/")).status == 429 {}
    assert_eq!(setup.seen().len(), 2);
}

#[test]
fn stopping_lets_requests_in_flight_end() {
    let (mut setup, arrived, release) = held(Limits::default());
    let mut stream = setup.connect();
    stream.write_all(get("/").as_bytes()).unwrap();
    arrived.recv_timeout(PATIENCE).unwrap();
    let gate = setup.gate.take().unwrap();
    let stopping = thread::spawn(move || gate.stop(PATIENCE));
    while TcpStream::connect(setup.address).is_ok() {
        thread::yield_now(); // Until it has stopped listening.
    }
    release.send(()).unwrap();
    assert_eq!(answer(&mut stream).text(), "done");
    stopping.join().unwrap();
}

#[test]
fn stopping_does_not_wait_longer_than_told() {
    let (mut setup, arrived, _release) = held(Limits::default());
    let mut stream = setup.connect();
    stream.write_all(get("/").as_bytes()).unwrap();
    arrived.recv_timeout(PATIENCE).unwrap();
    let began = Instant::now();
    setup.gate.take().unwrap().stop(Duration::from_millis(50));
    assert!(began.elapsed() < PATIENCE);
    assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
}

#[test]
fn without_handlers_it_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let nowhere = directory.path().join("nowhere");
    let _gate =
        Gate::open(vec![Listener::Tcp(tcp)], nowhere, Limits::default(), Box::new(admit), Arc::default()).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(get("/").as_bytes()).unwrap();
    let answer = answer(&mut stream);
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains(r#""code":"shutting_down""#));
}
