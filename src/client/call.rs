//! One request and its answer. The only file that makes HTTP requests; `dial` says to where.

use std::fmt::Write as _;
use std::io::{self, Read, Write};

use serde_json::Value;
use ureq::http::{Method, Request, Response};
use ureq::{Agent, Body, SendBody, Timeout};

use super::dial::dial;
use super::find::{Found, Place, find};
use super::problem::{Error, Problem};
use super::render::write_error;
use crate::wire::digest;

/// Query parameters; those with an empty value are not sent.
pub type Query<'a> = &'a [(&'a str, &'a str)];

/// A daemon, found. Every call opens a connection of its own: the daemon closes it after its answer.
#[derive(Debug, Clone)]
pub struct Daemon {
    agent: Agent,
    base: String,
    token: Option<String>,
    whence: String,
}

/// The body of a 2xx answer, as it came and as it reads.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub text: String,
    pub value: Value,
}

/// What is sent with a request.
pub enum Payload<'a> {
    Nothing,
    Json(&'a Value),
    Lines(&'a [u8]),
    Csv(&'a [u8]),
    /// Lines of unknown length. Without `Expect`: ureq takes a 100 that has header fields, as a proxy may send, for a
    /// final answer and waits for ever.
    Stream(&'a mut dyn Read),
}

/// An answer that is read as it comes.
pub struct Download {
    pub length: Option<u64>,
    /// As its header has it.
    pub digest: Option<String>,
    body: Box<dyn Read>,
    whence: Daemon,
}

impl Download {
    /// The next bytes; none at the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        loop {
            match self.body.read(buffer) {
                Ok(n) => return Ok(n),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.whence.lost(&e)),
            }
        }
    }
}

impl Daemon {
    pub fn find(place: &Place) -> Result<Daemon, Error> {
        Ok(Daemon::at(find(place)?))
    }

    fn at(found: Found) -> Daemon {
        let (agent, base) = dial(found.route);
        Daemon { agent, base, token: found.token, whence: found.whence }
    }

    pub fn get(&self, path: &str, query: Query) -> Result<Answer, Error> {
        self.call(Method::GET, path, query, Payload::Nothing)
    }

    pub fn post(&self, path: &str, body: &Value) -> Result<Answer, Error> {
        self.call(Method::POST, path, &[], Payload::Json(body))
    }

    pub fn call(&self, method: Method, path: &str, query: Query, payload: Payload) -> Result<Answer, Error> {
        self.call_with(method, path, query, &[], payload)
    }

    pub fn call_with(
        &self,
        method: Method,
        path: &str,
        query: Query,
        headers: &[(&str, &str)],
        payload: Payload,
    ) -> Result<Answer, Error> {
        let response = self.send(method, path, query, headers, payload)?;
        let status = response.status().as_u16();
        let text = read_text(response.into_body()).map_err(|e| self.lost(&e))?;
        // An answer without a body (204) reads as null.
        let value = serde_json::from_str(&text).or_else(|_| match text.trim().is_empty() {
            true => Ok(Value::Null),
            false => {
                Err(Error::Failed(format!("{path} answered something else than JSON; is {} a relabeld?", self.whence)))
            }
        })?;
        Ok(Answer { status, text, value })
    }

    pub fn download(&self, path: &str, query: Query) -> Result<Download, Error> {
        let response = self.send(Method::GET, path, query, &[], Payload::Nothing)?;
        let header = |name: &str| response.headers().get(name)?.to_str().ok().map(str::to_owned);
        let length = header("Content-Length").and_then(|length| length.parse().ok());
        let digest = header(digest::HEADER);
        Ok(Download { length, digest, body: Box::new(response.into_body().into_reader()), whence: self.clone() })
    }

    /// Copies the answer to `out` as it comes; `what` names `out` in an error.
    pub fn copy(&self, path: &str, query: Query, out: &mut dyn Write, what: &str) -> Result<(), Error> {
        let mut download = self.download(path, query)?;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match download.read(&mut buffer)? {
                0 => return out.flush().map_err(|e| write_error(what, &e)),
                n => out.write_all(&buffer[..n]).map_err(|e| write_error(what, &e))?,
            }
        }
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        query: Query,
        headers: &[(&str, &str)],
        payload: Payload,
    ) -> Result<Response<Body>, Error> {
        let mut request =
            Request::builder().method(method.clone()).uri(format!("{}{path}{}", self.base, joined(query)));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let bad = |e: ureq::http::Error| Error::Usage(format!("this request cannot be made: {e}"));
        let sent = match payload {
            Payload::Nothing if matches!(method, Method::GET | Method::DELETE) => {
                self.agent.run(request.body(()).map_err(bad)?)
            }
            Payload::Nothing => self.agent.run(request.body(&[] as &[u8]).map_err(bad)?),
            Payload::Json(value) => {
                let request = request.header("Content-Type", "application/json");
                self.agent.run(request.body(value.to_string()).map_err(bad)?)
            }
            Payload::Lines(lines) => {
                let request = request.header("Content-Type", "application/x-ndjson");
                self.agent.run(request.body(lines).map_err(bad)?)
            }
            Payload::Csv(lines) => self.agent.run(request.header("Content-Type", "text/csv").body(lines).map_err(bad)?),
            Payload::Stream(reader) => {
                let request = request.header("Content-Type", "application/x-ndjson");
                self.agent.run(request.body(SendBody::from_reader(reader)).map_err(bad)?)
            }
        };
        let response = sent.map_err(|e| self.undelivered(e))?;
        match response.status().as_u16() {
            200..300 => Ok(response),
            status => {
                let text = read_text(response.into_body()).unwrap_or_default();
                Err(Error::Refused(Box::new(Problem::read(path, status, &text))))
            }
        }
    }

    /// Whether the request may have arrived decides what the user can conclude, so the two are told apart.
    fn undelivered(&self, error: ureq::Error) -> Error {
        use io::ErrorKind::{
            AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkUnreachable, NotFound, PermissionDenied,
        };
        let never_sent = match &error {
            ureq::Error::Io(e) => matches!(
                e.kind(),
                AddrNotAvailable
                    | ConnectionRefused
                    | HostUnreachable
                    | NetworkUnreachable
                    | NotFound
                    | PermissionDenied
            ),
            ureq::Error::Timeout(phase) => matches!(phase, Timeout::Connect | Timeout::Resolve),
            ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => true,
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                return Error::Usage(format!("{} is no address to call: {error}", self.whence));
            }
            _ => false,
        };
        match never_sent {
            true => Error::Unreachable(format!(
                "cannot reach the daemon at {}: {}\nis it running? `systemctl status relabeld`, or start one with `relabeld serve`",
                self.whence,
                error.into_io()
            )),
            false => self.lost(&error.into_io()),
        }
    }

    fn lost(&self, error: &dyn std::fmt::Display) -> Error {
        Error::Lost(format!(
            "lost the connection to the daemon at {}: {error}\nwhat was asked may have been done; `relabeld status` and `relabeld jobs` tell",
            self.whence
        ))
    }
}

fn read_text(body: Body) -> io::Result<String> {
    // Not read_to_string of the body itself, which stops at 10 MB: a catalogue may be larger.
    let mut bytes = Vec::new();
    body.into_reader().read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// One segment of a path: ids may hold slashes, spaces, anything.
pub fn segment(id: &str) -> String {
    let mut out = String::with_capacity(id.len());
    for byte in id.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => out.push(char::from(byte)),
            // A segment of dots alone would be resolved away on its path; a dot elsewhere needs nothing.
            b'.' if !matches!(id, "." | "..") => out.push('.'),
            // Writing to a String cannot fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

fn joined(query: Query) -> String {
    let mut out = String::new();
    for (name, value) in query.iter().filter(|(_, value)| !value.is_empty()) {
        out.push(if out.is_empty() { '?' } else { '&' });
        out.push_str(name);
        out.push('=');
        out.push_str(&segment(value));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::find::Route;
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;
    use std::thread;

    #[test]
    fn ids_and_values_survive_the_address() {
        assert_eq!(segment("a/b c?%é"), "a%2Fb%20c%3F%25%C3%A9");
        assert_eq!((segment(".."), segment("1.5")), ("%2E%2E".into(), "1.5".into()));
        assert_eq!(joined(&[("from", "30d"), ("until", ""), ("topics", "a,b&c")]), "?from=30d&topics=a%2Cb%26c");
    }

    fn daemon(route: Route) -> Daemon {
        Daemon::at(Found { route, token: Some("t".into()), whence: "here".into() })
    }

    /// Answers one request with `answer` and gives back its head.
    fn answer_once(mut stream: impl Read + Write, answer: &str) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            assert_eq!(stream.read(&mut byte).unwrap(), 1);
            head.push(byte[0]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(head).unwrap().to_ascii_lowercase()
    }

    const YES: &str = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\n{\"a\":1}";

    #[test]
    fn calls_go_over_a_unix_socket() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let server = thread::spawn(move || answer_once(listener.accept().unwrap().0, YES));
        let answer = daemon(Route::Socket(path.clone())).get("/api/v1/status", &[]).unwrap();
        assert_eq!(answer.value["a"], 1);
        let head = server.join().unwrap();
        assert!(head.starts_with("get /api/v1/status http/1.1\r\n") && head.contains("host: localhost\r\n"), "{head}");
        let gone = daemon(Route::Socket(path.with_extension("none"))).get("/x", &[]).unwrap_err();
        assert!(matches!(gone, Error::Unreachable(_)), "{gone}");
    }

    #[test]
    fn calls_go_to_the_address_of_a_data_directory_with_its_token() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || answer_once(listener.accept().unwrap().0, YES));
        daemon(Route::Address(address)).get("/x", &[("q", "1")]).unwrap();
        let head = server.join().unwrap();
        assert!(head.starts_with("get /x?q=1 http") && head.contains("authorization: bearer t\r\n"), "{head}");
        // The listener is gone now, so nothing can have been delivered.
        let refused = daemon(Route::Address(address)).get("/x", &[]).unwrap_err();
        assert!(matches!(refused, Error::Unreachable(_)), "{refused}");
    }

    #[test]
    fn an_answer_cut_short_is_a_lost_connection_and_not_a_short_answer() {
        for answer in [
            "",
            "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\na\n",
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let server = thread::spawn(move || answer_once(listener.accept().unwrap().0, answer));
            let lost = daemon(Route::Address(address)).copy("/x", &[], &mut Vec::new(), "it").unwrap_err();
            assert!(matches!(lost, Error::Lost(_)), "{answer:?}: {lost}");
            server.join().unwrap();
        }
    }
}
