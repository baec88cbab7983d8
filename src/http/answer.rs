//! Answers: JSON, streams, and the problems of RFC 9457.

use std::io::{self, Read, Write};

use serde_json::{Value, json};
use tiny_http::{Header, Response, StatusCode};

use super::access::Refusal;
use crate::store;
use crate::wire::digest;

/// Every code that there is, with its title.
pub const TITLES: [(&str, &str); 14] = [
    ("bad_request", "The request cannot be read"),
    ("unauthorized", "Who is asking?"),
    ("forbidden", "Not allowed"),
    ("not_found", "Not found"),
    ("conflict", "Not as things stand"),
    ("stale_version", "Not the latest version"),
    ("history_pruned", "Its history is gone"),
    ("too_large", "Too large"),
    ("invalid_request", "The request is not valid"),
    ("too_many_items", "Too many items"),
    ("too_many_requests", "Too many requests"),
    ("shutting_down", "Shutting down"),
    ("storage_full", "The disk is full"),
    ("internal", "Internal error"),
];

const FULL: &str = "the disk is full: make room, then repeat the request";

/// Why a request came to nothing: `application/problem+json` with a stable code.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    pub status: u16,
    pub code: &'static str,
    pub detail: String,
    /// Further members, such as `errors` with a place each.
    pub more: Vec<(&'static str, Value)>,
    /// The methods of a path that was asked with another.
    pub allow: Option<String>,
}

impl Problem {
    pub fn new(status: u16, code: &'static str, detail: impl Into<String>) -> Problem {
        Problem { status, code, detail: detail.into(), more: Vec::new(), allow: None }
    }

    pub fn bad_request(detail: impl Into<String>) -> Problem {
        Problem::new(400, "bad_request", detail)
    }

    pub fn invalid(detail: impl Into<String>) -> Problem {
        Problem::new(422, "invalid_request", detail)
    }

    pub fn not_found(detail: impl Into<String>) -> Problem {
        Problem::new(404, "not_found", detail)
    }

    /// A full disk. The endpoint adds the path and the figures ([`super::Context::disk_full`]) before it answers.
    pub fn full() -> Problem {
        Problem::new(507, "storage_full", FULL)
    }

    pub fn is_full(&self) -> bool {
        self.detail == FULL
    }

    /// What cannot be the caller's fault, and is for the log alone.
    pub fn internal() -> Problem {
        Problem::new(500, "internal", "the daemon could not answer; its log says why")
    }

    pub fn with(mut self, name: &'static str, value: Value) -> Problem {
        self.more.push((name, value));
        self
    }

    fn title(&self) -> &'static str {
        TITLES.iter().find(|(code, _)| *code == self.code).map_or("", |(_, title)| title)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        Problem::new(refusal.status, refusal.code, refusal.detail)
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Problem {
        use store::Error;
        let detail = error.to_string();
        match error {
            Error::NotFound(_) => Problem::not_found(detail),
            Error::Conflict(_) => Problem::new(409, "conflict", detail),
            Error::StaleVersion(_) => Problem::new(409, "stale_version", detail),
            Error::HistoryPruned(_) => Problem::new(409, "history_pruned", detail),
            Error::Invalid(_) => Problem::invalid(detail),
            Error::TooManyItems { count, limit } => {
                Problem::new(422, "too_many_items", detail).with("count", json!(count)).with("limit", json!(limit))
            }
            Error::Full => Problem::full(),
            Error::NoRoom(_) => Problem::new(507, "storage_full", detail),
            Error::Busy(_) => Problem::new(429, "too_many_requests", detail),
            Error::Stopping => Problem::new(503, "shutting_down", detail),
            // A request for one job reports its damage: the daemon goes on with the others.
            Error::DamagedJob { .. } => {
                log::error!("a request failed: {detail}");
                Problem::new(500, "internal", detail)
            }
            Error::Damaged(_) | Error::Unusable(_) | Error::Database(_) | Error::Io(_) | Error::NotSynced(_) => {
                // What is wrong with the database is for the operator, in the log.
                log::error!("a request failed: {detail}");
                Problem::internal()
            }
        }
    }
}

/// What a handler gives back.
pub enum Answer {
    Json {
        status: u16,
        body: Value,
        headers: Vec<(&'static str, String)>,
    },
    Text {
        content_type: &'static str,
        body: String,
        headers: Vec<(&'static str, String)>,
    },
    Stream {
        content_type: &'static str,
        file: String,
        body: Box<dyn Read + Send>,
    },
    /// A stream of known length and digest.
    File {
        content_type: &'static str,
        file: String,
        bytes: u64,
        digest: String,
        body: Box<dyn Read + Send>,
    },
    /// 204, or a redirect.
    Empty {
        status: u16,
        headers: Vec<(&'static str, String)>,
    },
}

impl Answer {
    pub fn json(body: Value) -> Answer {
        Answer::Json { status: 200, body, headers: Vec::new() }
    }

    pub fn nothing() -> Answer {
        Answer::Empty { status: 204, headers: Vec::new() }
    }
}

pub type Boxed = Response<Box<dyn Read + Send>>;

fn response(
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Box<dyn Read + Send>,
    size: Option<usize>,
) -> Boxed {
    let fixed = [("X-Content-Type-Options", "nosniff".to_owned()), ("Cache-Control", "no-store".to_owned())];
    let headers = fixed.into_iter().chain(headers);
    // A header that cannot be sent (a line end in a file name) is left out rather than split.
    let headers = headers.filter_map(|(name, value)| Header::from_bytes(name, value).ok()).collect();
    Response::new(StatusCode(status), headers, body, size, None)
}

fn text(status: u16, mut headers: Vec<(&'static str, String)>, content_type: &str, body: String) -> Boxed {
    headers.push(("Content-Type", content_type.to_owned()));
    let size = body.len();
    response(status, headers, Box::new(std::io::Cursor::new(body)), Some(size))
}

impl From<Answer> for Boxed {
    fn from(answer: Answer) -> Boxed {
        match answer {
            Answer::Json { status, body, headers } => {
                text(status, headers, "application/json", body.to_string() + "\n")
            }
            Answer::Text { content_type, body, headers } => text(200, headers, content_type, body),
            Answer::Stream { content_type, file, body } | Answer::File { content_type, file, body, .. } => {
                let headers = vec![
                    ("Content-Type", content_type.to_owned()),
                    ("Content-Disposition", format!("attachment; filename=\"{file}\"")),
                ];
                response(200, headers, body, None)
            }
            Answer::Empty { status, headers } => response(status, headers, Box::new(std::io::empty()), Some(0)),
        }
    }
}

/// Sends a stream, chunk by chunk. One that fails in the middle ends without its last chunk, which every client takes
/// for a broken download: tiny_http's own way would end it as if it were whole.
pub fn stream(
    mut to: Box<dyn Write + Send>,
    content_type: &str,
    file: &str,
    mut body: Box<dyn Read + Send>,
) -> io::Result<()> {
    write!(
        to,
        "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Disposition: attachment; filename=\"{file}\"\r\n\
         X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n"
    )?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = body.read(&mut buffer).inspect_err(|error| log::error!("an export broke off: {error}"))?;
        write!(to, "{n:x}\r\n")?;
        to.write_all(&buffer[..n])?;
        to.write_all(b"\r\n")?;
        if n == 0 {
            return to.flush();
        }
    }
}

/// Sends a file of known length with its digest. One that is cut short on its way is so to every client.
pub fn send_file(
    mut to: Box<dyn Write + Send>,
    content_type: &str,
    file: &str,
    (bytes, digest): (u64, &str),
    body: Box<dyn Read + Send>,
) -> io::Result<()> {
    write!(
        to,
        "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Disposition: attachment; filename=\"{file}\"\r\n\
         {}: {digest}\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nContent-Length: {bytes}\r\n\r\n",
        digest::HEADER
    )?;
    let mut left = body.take(bytes);
    let mut buffer = vec![0; 1 << 16];
    loop {
        match left.read(&mut buffer).inspect_err(|error| log::error!("a download broke off: {error}"))? {
            0 => return to.flush(),
            n => to.write_all(&buffer[..n])?,
        }
    }
}

impl From<Problem> for Boxed {
    fn from(problem: Problem) -> Boxed {
        let mut body = json!({
            "type": "about:blank",
            "title": problem.title(),
            "status": problem.status,
            "code": problem.code,
            "detail": problem.detail,
        });
        for (name, value) in problem.more {
            body[name] = value;
        }
        refuse(problem.status, problem.allow, "application/problem+json", &body)
    }
}

/// A refusal told as a page.
pub fn page_refused(status: u16, headers: Vec<(&'static str, String)>, content_type: &str, page: String) -> Boxed {
    text(status, headers, content_type, page)
}

/// A problem as a foreign API words it; what HTTP says of it stays.
pub fn refuse_in(words: &Value, problem: Problem) -> Boxed {
    refuse(problem.status, problem.allow, "application/json", words)
}

fn refuse(status: u16, allow: Option<String>, content_type: &str, body: &Value) -> Boxed {
    let mut headers: Vec<(&'static str, String)> = allow.map(|allow| ("Allow", allow)).into_iter().collect();
    match status {
        401 => headers.push(("WWW-Authenticate", "Bearer".to_owned())),
        429 | 503 | 507 => headers.push(("Retry-After", "2".to_owned())),
        _ => {}
    }
    text(status, headers, content_type, body.to_string() + "\n")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sent(Arc<Mutex<Vec<u8>>>);

    impl Write for Sent {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A disk that breaks.
    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("broken"))
        }
    }

    /// What comes of a stream, and the body as it was sent.
    fn streamed(body: impl Read + Send + 'static) -> (io::Result<()>, String) {
        let sent = Sent::default();
        let ended = stream(Box::new(sent.clone()), "text/csv", "f.csv", Box::new(body));
        let text = String::from_utf8(sent.0.lock().unwrap().clone()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("Transfer-Encoding: chunked"), "{head}");
        (ended, body.to_owned())
    }

    #[test]
    fn what_the_store_cannot_do_has_a_code() {
        use store::Error;
        for (error, status, code) in [
            (Error::HistoryPruned("job 7".into()), 409, "history_pruned"),
            (Error::Full, 507, "storage_full"),
            (Error::Stopping, 503, "shutting_down"),
            (Error::Damaged("job.filter".into()), 500, "internal"),
        ] {
            let problem = Problem::from(error);
            assert_eq!((problem.status, problem.code), (status, code));
            assert!(!problem.detail.contains("job.filter"), "what is damaged is for the log");
        }
    }

    #[test]
    fn a_whole_stream_ends_with_its_last_chunk() {
        let (ended, body) = streamed(io::Cursor::new("one,").chain(io::Cursor::new("two")));
        assert!(ended.is_ok());
        assert_eq!(body, "4\r\none,\r\n3\r\ntwo\r\n0\r\n\r\n");
        assert_eq!(streamed(io::empty()).1, "0\r\n\r\n");
    }

    #[test]
    fn a_stream_that_fails_in_the_middle_has_no_last_chunk() {
        let (ended, body) = streamed(io::Cursor::new("one,").chain(Broken));
        assert_eq!(ended.unwrap_err().to_string(), "broken");
        assert_eq!(body, "4\r\none,\r\n");
        let (ended, body) = streamed(Broken);
        assert!(ended.is_err() && body.is_empty(), "{body}");
    }
}
