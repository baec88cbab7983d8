//! Slow clients and greedy ones: what they hold, and who is served beside them.

use std::io::{self, Read, Write};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use super::*;

fn begun(setup: &Setup, path: &str, more: &str, body: &[u8]) -> TcpStream {
    let mut stream = setup.connect();
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n{more}\r\n");
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    stream
}

#[test]
fn slow_bodies_of_short_calls_hold_no_handler() {
    let setup = Setup::echoing(Limits { places: short(1), turn: Duration::ZERO, ..Limits::default() });
    let mut slow: Vec<_> = (0..20).map(|_| begun(&setup, "/short", "", b"01234")).collect();
    assert_eq!(setup.ask(get("/good")).status, 200);
    assert_eq!(setup.seen(), ["/good"]);
    for stream in &mut slow {
        stream.write_all(b"56789").unwrap();
        assert_eq!(answer(stream).text(), "POST tcp 0123456789");
    }
}

#[test]
fn a_slow_body_of_a_short_call_is_refused_when_its_time_is_up() {
    let limits = Limits { body_time: Duration::from_millis(200), body_rate: 1 << 20, ..Limits::default() };
    let setup = Setup::echoing(limits);
    let refused = answer(&mut begun(&setup, "/short", "", b"01234"));
    assert_eq!(refused.status, 408);
    assert!(refused.text().contains("body came too slowly"), "{}", refused.text());
    assert!(setup.seen().is_empty());
}

#[test]
fn bytes_that_come_earn_a_short_call_more_time() {
    let limits = Limits { body_time: Duration::from_millis(100), body_rate: 1, ..Limits::default() };
    let setup = Setup::echoing(limits);
    let mut stream = begun(&setup, "/short", "", b"01234");
    // Five more seconds for these bytes; there is no event to wait for.
    std::thread::sleep(Duration::from_millis(300));
    stream.write_all(b"56789").unwrap();
    assert_eq!(answer(&mut stream).text(), "POST tcp 0123456789");
}

#[test]
fn a_body_that_may_be_long_goes_on_beside_a_handler() {
    let arriving = Duration::from_millis(100);
    let setup = Setup::echoing(Limits { body_time: arriving, ..Limits::default() });
    let mut stream = begun(&setup, "/import", "", b"01234");
    let began = std::time::Instant::now();
    while setup.seen().is_empty() {
        assert!(began.elapsed() < PATIENCE);
        thread::yield_now();
    }
    stream.write_all(b"56789").unwrap();
    assert_eq!(answer(&mut stream).text(), "POST tcp 0123456789");
}

#[test]
fn a_body_of_a_short_call_that_is_too_long_is_cut() {
    let setup = Setup::echoing(Limits { body_bytes: 1000, ..Limits::default() });
    let head = "POST /short HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n";
    let refused = upload(&setup.connect(), head, &bytes(1_000_000));
    // The handler sees more than the limit, so it can say that this is too much.
    assert!(refused.status == 400 && refused.body.len() > 1000 + "POST tcp ".len(), "{}", refused.body.len());
}

#[test]
fn the_body_of_a_refused_caller_is_not_waited_for() {
    let setup = Setup::echoing(Limits::default());
    for path in ["/short", "/import"] {
        // To the handler the body is cut short.
        assert_eq!(answer(&mut begun(&setup, path, "Stranger: yes\r\n", b"")).status, 400);
    }
}

/// Sends a byte now and then until the answer comes.
fn drip(mut stream: TcpStream) -> Answer {
    let mut reading = stream.try_clone().unwrap();
    let answered = thread::spawn(move || answer(&mut reading));
    while !answered.is_finished() && stream.write_all(b"x").is_ok() {
        thread::sleep(Duration::from_millis(10));
    }
    answered.join().unwrap()
}

#[test]
fn a_long_body_that_drips_is_cut_short() {
    let (body_time, idle) = (Duration::from_millis(100), Duration::from_millis(300));
    let setup = Setup::echoing(Limits { body_time, idle, pace: 1000, ..Limits::default() });
    let mut stream = setup.connect();
    stream.write_all(b"POST /import HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n").unwrap();
    let cut = drip(stream);
    assert!(cut.status == 400 && cut.text().starts_with("POST tcp xxx"), "{}", cut.text());
}

/// Content without an end, which tells when it is dropped.
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

#[test]
fn an_answer_that_is_read_by_drips_ends() {
    let (sender, ended) = mpsc::channel();
    let sender = Mutex::new(sender);
    let limits = Limits { idle: Duration::from_millis(300), pace: 100 << 20, ..Limits::default() };
    let setup = Setup::new(limits, move |request| {
        let endless = Endless(sender.lock().unwrap().clone());
        let _ = request.respond(Response::new(StatusCode(200), vec![], endless, None, None));
    });
    let mut stream = UnixStream::connect(setup.outer()).unwrap();
    stream.write_all(get("/long").as_bytes()).unwrap();
    let began = std::time::Instant::now();
    let mut piece = vec![0; 10_000];
    while ended.try_recv().is_err() {
        assert!(began.elapsed() < PATIENCE);
        let _ = stream.read(&mut piece);
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_small_answer_that_nobody_reads_holds_no_handler() {
    // More than the sockets take.
    let page = bytes(10_000_000);
    let whole = page.clone();
    let limits = Limits { places: short(1), answer_ahead: 11_000_000, ..Limits::default() };
    let setup = Setup::new(limits, move |request| {
        let _ = request.respond(Response::from_data(whole.clone()));
    });
    let mut unread: Vec<_> = (0..4)
        .map(|_| {
            let mut stream = setup.connect();
            stream.write_all(get("/short").as_bytes()).unwrap();
            stream
        })
        .collect();
    assert!(setup.ask(get("/short")).body == page);
    assert!(answer(unread.last_mut().unwrap()).body == page);
}

#[test]
fn a_handler_that_thinks_for_long_takes_no_time_from_its_client() {
    // More than the sockets take, and a pace that they alone do not keep.
    let page = bytes(40_000_000);
    let whole = page.clone();
    let idle = Duration::from_secs(2);
    let (answering, answered) = mpsc::channel();
    let answering = Mutex::new(answering);
    let setup = Setup::new(Limits { idle, pace: 20_000_000, ..Limits::default() }, move |request| {
        thread::sleep(idle * 3 / 2);
        answering.lock().unwrap().send(()).unwrap();
        let _ = request.respond(Response::from_data(whole.clone()));
    });
    let mut stream = setup.connect();
    stream.write_all(get("/long").as_bytes()).unwrap();
    answered.recv_timeout(PATIENCE).unwrap();
    // So that the gate has to wait for the client.
    thread::sleep(idle / 10);
    assert!(answer(&mut stream).body == page);
}

/// Answers `/watch` at once, and any other request when told.
fn occupied(limits: Limits) -> (Setup, Receiver<String>, Sender<()>) {
    let (arrive, arrived) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let (arrive, released) = (Mutex::new(arrive), Mutex::new(released));
    let setup = Setup::new(limits, move |request| {
        if request.url() != "/watch" {
            arrive.lock().unwrap().send(request.url().to_owned()).unwrap();
            let _ = released.lock().unwrap().recv();
        }
        let _ = request.respond(Response::from_string("done"));
    });
    (setup, arrived, release)
}

fn asked_by(setup: &Setup, holder: usize, path: &str) -> TcpStream {
    let mut stream = setup.connect();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nHolder: {holder}\r\n\r\n").as_bytes()).unwrap();
    stream
}

#[test]
fn one_holder_leaves_places_and_room_in_the_line_to_others() {
    // So the line has room for four, and for two of one holder.
    let (setup, arrived, release) = occupied(Limits { places: short(4), connections: 8, ..Limits::default() });
    let mut placed: Vec<_> = (0..3).map(|_| asked_by(&setup, 1, "/one")).collect();
    for _ in &placed {
        assert_eq!(arrived.recv_timeout(PATIENCE).unwrap(), "/one");
    }
    let mut greedy: Vec<_> = (0..3).map(|_| asked_by(&setup, 1, "/one")).collect();
    assert_eq!(answer(&mut greedy.pop().unwrap()).status, 429, "the line has no more room for this holder");
    placed.push(asked_by(&setup, 2, "/two"));
    assert_eq!(arrived.recv_timeout(PATIENCE).unwrap(), "/two", "the line is passed where a place fits");
    assert_eq!(setup.seen(), ["/one", "/one", "/one", "/two"]);
    assert_eq!(answer(&mut asked_by(&setup, 1, "/watch")).text(), "done");
    let all: Vec<_> = placed.into_iter().chain(greedy).collect();
    all.iter().for_each(|_| release.send(()).unwrap());
    for mut stream in all {
        assert_eq!(answer(&mut stream).text(), "done");
    }
}

#[test]
fn the_oldest_body_of_a_holder_makes_room_for_its_next() {
    let setup = Setup::echoing(Limits { bodies: 2, ..Limits::default() });
    let mut first = begun(&setup, "/short", "Holder: 1\r\n", b"01234");
    let mut others: Vec<_> = (0..2).map(|_| begun(&setup, "/short", "Holder: 2\r\n", b"01234")).collect();
    let mut second = begun(&setup, "/short", "Holder: 1\r\n", b"01234");
    let mut third = begun(&setup, "/short", "Holder: 1\r\n", b"01234");
    assert_eq!(answer(&mut first).status, 429);
    for stream in others.iter_mut().chain([&mut second, &mut third]) {
        stream.write_all(b"56789").unwrap();
        assert_eq!(answer(stream).text(), "POST tcp 0123456789");
    }
}
