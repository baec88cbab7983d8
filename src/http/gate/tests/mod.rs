//! The gate before a real tiny_http. Whoever waits here waits for an event; the only timeouts are
//! those under test, and a long one that turns a hang into a failure.

mod hostile;
mod relaying;
mod slow;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tiny_http::{Request, Response, StatusCode};

use super::{Admission, Gate, HeadView, Limits, Listener, Load, Places};

const PATIENCE: Duration = Duration::from_secs(20);

type Handler = Arc<dyn Fn(Request) + Send + Sync>;

struct Setup {
    gate: Option<Gate>,
    address: SocketAddr,
    directory: tempfile::TempDir,
    server: Arc<tiny_http::Server>,
    /// Every URL that got as far as tiny_http.
    seen: Arc<Mutex<Vec<String>>>,
}

impl Setup {
    fn new(limits: Limits, handler: impl Fn(Request) + Send + Sync + 'static) -> Setup {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("inner");
        let server = Arc::new(tiny_http::Server::http_unix(&inner).unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (handler, requests, urls): (Handler, _, _) = (Arc::new(handler), Arc::clone(&server), Arc::clone(&seen));
        thread::spawn(move || {
            for request in requests.incoming_requests() {
                urls.lock().unwrap().push(request.url().to_owned());
                let handler = Arc::clone(&handler);
                thread::spawn(move || handler(request));
            }
        });
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        let unix = UnixListener::bind(directory.path().join("outer")).unwrap();
        let listeners = vec![Listener::Tcp(tcp), Listener::Unix(unix)];
        let gate = Some(Gate::open(listeners, inner, limits, Box::new(admit), Arc::default()).unwrap());
        Setup { gate, address, directory, server, seen }
    }

    fn echoing(limits: Limits) -> Setup {
        Setup::new(limits, echo)
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn outer(&self) -> PathBuf {
        self.directory.path().join("outer")
    }

    fn ask(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut stream = self.connect();
        stream.write_all(request.as_ref()).unwrap();
        answer(&mut stream)
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// So many places for short calls.
fn short(places: usize) -> Places {
    Places { short: places, ..Limits::default().places }
}

/// The path tells the load, and the header `Holder` the holder.
fn admit(head: &HeadView<'_>) -> Admission {
    let load = match head.target {
        "/watch" => Load::Watch,
        "/short" => Load::Short,
        "/long" => Load::LongAnswer,
        _ => Load::LongBody,
    };
    let holder = head.header("Holder").map_or(0, |holder| holder.parse().unwrap());
    Admission { load, holder, needs_body: head.header("Stranger").is_none() }
}

impl Drop for Setup {
    fn drop(&mut self) {
        self.gate.take();
        self.server.unblock();
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

/// Reads to the end, which must come in good order: a reset is a failure.
fn answer(stream: &mut impl Read) -> Answer {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head") + 4;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut body = bytes[end..].to_vec();
    if status == 100 {
        return parse(&body);
    }
    if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        let mut content = Vec::new();
        let mut framing = super::body::Body::chunked();
        framing.take(&body, &mut content).unwrap();
        assert!(framing.is_complete(), "the answer was cut off");
        body = content;
    }
    Answer { status, head, body }
}

/// Answers with the method, the via headers, and the body or what became of it.
fn echo(mut request: Request) {
    let mut body = Vec::new();
    let result = request.as_reader().read_to_end(&mut body);
    let vias: Vec<_> = request
        .headers()
        .iter()
        .filter(|header| header.field.as_str().as_str().to_ascii_lowercase().contains("via"))
        .map(|header| header.value.as_str().to_owned())
        .collect();
    let mut text = format!("{} {} ", request.method(), vias.join(",")).into_bytes();
    text.extend(body);
    let status = StatusCode(if result.is_ok() { 200 } else { 400 });
    let _ = request.respond(Response::from_data(text).with_status_code(status));
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at * 31 % 251) as u8).collect()
}

/// Sends while the answer is read, as curl does. What cannot be sent any more is no failure.
fn upload(stream: &TcpStream, head: &str, body: &[u8]) -> Answer {
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut stream = stream;
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body))
        });
        answer(&mut &*stream)
    })
}
