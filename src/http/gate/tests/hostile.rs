//! Clients that mean harm.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::*;

#[test]
fn no_client_can_write_the_via_header() {
    let setup = Setup::echoing(Limits::default());
    for accepted in ["X-Relabeld-Via: unix", "x-relabeld-via:unix", "X-RELABELD-VIA: \tunix", "X-Relabeld-Via:"] {
        let twice = format!("{accepted}\r\n{accepted}");
        let answer = setup.ask(format!("GET / HTTP/1.1\r\n{twice}\r\nHost: x\r\n{accepted}\r\n\r\n"));
        assert_eq!(answer.text(), "GET tcp ", "{accepted}");
    }
    let count = setup.seen().len();
    for refused in [
        "X-Relabeld-Via : unix",
        " X-Relabeld-Via: unix",
        "A: b\nX-Relabeld-Via: unix",
        "A: b\rX-Relabeld-Via: unix",
        "A: b\n\rX-Relabeld-Via: unix",
        "X-Relabeld-Via\0: unix",
        "A: b\0\r\nX-Relabeld-Via: unix",
        "\x0bX-Relabeld-Via: unix",
        "\u{a0}X-Relabeld-Via: unix",
    ] {
        let answer = setup.ask(format!("GET / HTTP/1.1\r\nHost: x\r\n{refused}\r\n\r\n"));
        assert_eq!(answer.status, 400, "{refused:?}");
        assert!(answer.text().contains(r#""code":"bad_request""#));
    }
    // The same in a trailer and in what follows the body.
    let answer = setup.ask(
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Relabeld-Via: unix\r\n\r\n",
    );
    assert_eq!(answer.text(), "POST tcp a");
    assert_eq!(setup.seen().len(), count + 1);
}

#[test]
fn a_second_request_never_gets_through() {
    let setup = Setup::echoing(Limits::default());
    let second = "GET /smuggled HTTP/1.1\r\nHost: x\r\nX-Relabeld-Via: unix\r\n\r\n";
    let post = "POST / HTTP/1.1\r\nHost: x\r\n";
    for (request, status) in [
        (format!("GET / HTTP/1.1\r\nHost: x\r\n\r\n{second}"), 200),
        (format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n{second}"), 200),
        (format!("{post}Content-Length: 2\r\n\r\nab{second}"), 200),
        (format!("{post}Content-Length: 0\r\n\r\n{second}"), 200),
        (format!("{post}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{second}"), 200),
        (format!("{post}Transfer-Encoding: chunked\r\n\r\n0\r\n{second}"), 400),
        (format!("{post}Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n{second}"), 400),
        (format!("{post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{second}"), 400),
        (format!("{post}Content-Length: 0\r\nContent-Length: 90\r\n\r\n{second}"), 400),
        (format!("{post}Transfer-Encoding: x\r\nContent-Length: 0\r\n\r\n{second}"), 400),
        (format!("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n{second}"), 200),
    ] {
        assert_eq!(setup.ask(&request).status, status, "{request}");
    }
    assert!(setup.seen().iter().all(|url| url == "/"), "{:?}", setup.seen());
}

#[test]
fn a_large_head_is_refused() {
    let setup = Setup::echoing(Limits { head_bytes: 2000, ..Limits::default() });
    let line = format!("GET /{} HTTP/1.1\r\n", "x".repeat(5000));
    assert_eq!(setup.ask(line).status, 431);
    let field = format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "x".repeat(100_000));
    assert_eq!(setup.ask(field).status, 431);
    assert_eq!(setup.seen().len(), 0);
    assert_eq!(setup.ask(get("/")).status, 200);
}

#[test]
fn a_slow_head_times_out_and_harms_no_one() {
    let setup = Setup::echoing(Limits { head_time: Duration::from_secs(1), ..Limits::default() });
    let mut idle = setup.connect();
    let mut slow = setup.connect();
    slow.write_all(b"GET / HTTP/1.1\r\nHo").unwrap();
    assert_eq!(setup.ask(get("/good")).status, 200);
    assert_eq!(answer(&mut slow).status, 408);
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
    assert_eq!(setup.seen(), ["/good"]);
}

#[test]
fn a_crowd_of_idle_connections_keeps_no_one_out() {
    let setup = Setup::echoing(Limits { connections: 64, ..Limits::default() });
    let pulse = setup.gate.as_ref().unwrap().pulse();
    let crowding = AtomicBool::new(true);
    // Who has connected and said nothing yet is one of the crowd.
    let door = Mutex::new(());
    let crowd = thread::scope(|scope| {
        let good = scope.spawn(|| {
            let mut count = 0;
            while crowding.load(Ordering::Relaxed) || count == 0 {
                let mut stream = {
                    let _alone = door.lock().unwrap();
                    let mut stream = setup.connect();
                    stream.write_all(get("/").as_bytes()).unwrap();
                    stream
                };
                assert_eq!(answer(&mut stream).status, 200);
                assert!(pulse.is_felt(), "nothing hangs");
                count += 1;
            }
        });
        // A soft limit of 1,024 descriptors is common, so the first close as the last open.
        let mut crowd = std::collections::VecDeque::new();
        for at in 0..2000 {
            let mut stream = {
                let _alone = door.lock().unwrap();
                setup.connect()
            };
            if at % 2 == 0 {
                let _ = stream.write_all(b"GET / HT");
            }
            crowd.push_back(stream);
            if crowd.len() > 400 {
                crowd.pop_front();
            }
        }
        crowding.store(false, Ordering::Relaxed);
        good.join().unwrap();
        crowd
    });
    assert_eq!(setup.ask(get("/")).status, 200);
    // All but the last were let go. They see it as an end or, for what they sent, as a reset.
    let mut oldest = crowd.front().unwrap();
    assert!(matches!(oldest.read(&mut [0]), Ok(0) | Err(_)));
}

/// In a process of its own, which runs out of descriptors.
#[test]
fn it_recovers_from_a_lack_of_descriptors() {
    let script = r#"ulimit -n 64 && exec "$0" --ignored --exact --test-threads=1 "$1""#;
    let name = format!("{}::lack_of_descriptors", module_path!().split_once("::").unwrap().1);
    let output =
        Command::new("sh").args(["-c", script]).arg(std::env::current_exe().unwrap()).arg(name).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// All descriptors there are, including those that earlier connections still give back.
fn hoard() -> Vec<std::fs::File> {
    let mut hoard = Vec::new();
    let mut quiet = 0;
    while quiet < 10 {
        match std::fs::File::open("/dev/null") {
            Ok(file) => {
                hoard.push(file);
                quiet = 0;
            }
            Err(_) => {
                thread::sleep(Duration::from_millis(10));
                quiet += 1;
            }
        }
    }
    hoard
}

#[test]
#[ignore = "runs in a process of its own"]
fn lack_of_descriptors() {
    let setup = Setup::echoing(Limits::default());
    assert_eq!(setup.ask(get("/")).status, 200);
    for _ in 0..3 {
        let mut hoard = hoard();
        hoard.pop();
        // Connected by the kernel; the gate cannot take it in yet.
        let mut stream = setup.connect();
        stream.write_all(get("/").as_bytes()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        assert!(stream.read(&mut [0]).is_err());
        // Now it can, but there is none for tiny_http, whose accept loop would die of that.
        drop(hoard.pop());
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(answer(&mut stream).status, 429);
        drop((stream, hoard));
        assert_eq!(setup.ask(get("/")).status, 200);
    }
    // More idle connections than there are descriptors.
    let crowd: Vec<_> =
        std::iter::repeat_with(|| TcpStream::connect(setup.address)).take(200).map_while(Result::ok).collect();
    assert!(crowd.len() > 10);
    drop(crowd);
    let began = Instant::now();
    while setup.ask(get("/")).status != 200 {
        assert!(began.elapsed() < PATIENCE);
    }
}
