//! What can go wrong on the client's side, in the words that a person reads, and the exit code each kind has.

use std::fmt;

use serde_json::Value;

use super::view::{clean, rows, text};

/// How many places of one refusal are shown; a catalogue can have hundreds.
const PLACES_SHOWN: usize = 50;

/// Why a command ended without having done what it was asked.
#[derive(Debug)]
pub enum Error {
    /// The command line was well-formed but cannot be meant: exit code 2.
    Usage(String),
    /// No request was carried out, because none could be delivered: exit code 4.
    Unreachable(String),
    /// A request was sent and no whole answer came back, so it may have been carried out: exit code 4.
    Lost(String),
    /// The daemon answered no.
    Refused(Box<Problem>),
    /// The daemon answered no in the middle of something: what is said is more than its problem.
    Stopped { code: u8, why: String },
    /// The daemon did its part and the result is a failure, or a local file could not be read or written: exit code 1.
    Failed(String),
    /// Ctrl-C ended it; the process ends as that signal would have ended it.
    Interrupted(String),
    /// Whoever read our output has gone. Not an error: `relabeld jobs | head` must end quietly.
    Closed,
}

impl Error {
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Closed => 0,
            // As a shell tells of SIGINT.
            Error::Interrupted(_) => 128 + 2,
            Error::Failed(_) => 1,
            Error::Usage(_) => 2,
            Error::Unreachable(_) | Error::Lost(_) => 4,
            Error::Refused(problem) => problem.exit_code(),
            Error::Stopped { code, .. } => *code,
        }
    }

    /// Whether the same request may succeed after a while, as during the daemon's restart.
    pub fn passes(&self) -> bool {
        match self {
            Error::Unreachable(_) | Error::Lost(_) => true,
            Error::Refused(problem) => problem.status == 503,
            _ => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Usage(why)
            | Error::Unreachable(why)
            | Error::Lost(why)
            | Error::Failed(why)
            | Error::Interrupted(why)
            | Error::Stopped { why, .. } => f.write_str(why),
            Error::Refused(problem) => problem.fmt(f),
            Error::Closed => f.write_str("the reader of the output has gone"),
        }
    }
}

impl std::error::Error for Error {}

/// An `application/problem+json` answer (RFC 9457), or what stands in for one when a proxy answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub status: u16,
    pub code: String,
    /// The path that was asked: what to do about a refusal depends on it.
    asked: String,
    document: Value,
}

impl Problem {
    pub fn read(asked: &str, status: u16, body: &str) -> Problem {
        let document: Value = serde_json::from_str(body).unwrap_or(Value::Null);
        Problem { status, code: text(&document, "/code"), asked: asked.to_owned(), document }
    }

    /// All that the daemon said.
    pub fn document(&self) -> &Value {
        &self.document
    }

    pub fn exit_code(&self) -> u8 {
        match self.status {
            404 => 3,
            503 => 4,
            401 | 403 | 409 | 413 | 422 | 429 | 507 => 5,
            _ => 1,
        }
    }

    /// Whether it names the lines or places that are wrong.
    pub fn has_places(&self) -> bool {
        !rows(&self.document, "/errors").is_empty()
    }

    fn not_found(&self) -> Option<&'static str> {
        let below = |path: &str| self.asked.starts_with(path);
        Some(match () {
            () if below("/api/v1/jobs/") => "`relabeld jobs` lists the jobs",
            () if below("/api/v1/items/") || self.asked == "/api/v1/jobs" => {
                "ids are case-sensitive; `relabeld import` brings items in"
            }
            () if below("/api/v1/catalogue") => "`relabeld catalogue show` shows the current one",
            () => return None,
        })
    }

    /// What to do next, where that follows from the code alone.
    fn advice(&self) -> Option<&'static str> {
        Some(match (self.code.as_str(), self.status) {
            ("unauthorized", _) | (_, 401) => {
                "name the token with --token-file FILE, or the daemon's directory with --data-dir DIR; \
                 its tokens are readable by the daemon's user only (sudo may be needed)"
            }
            ("forbidden", _) => "this token may only read; use the file `token` of the daemon's data directory",
            ("not_found", _) => return self.not_found(),
            ("conflict", _) if text(&self.document, "/detail").contains("allow_remove") => {
                "add --allow-remove if that is meant"
            }
            ("stale_version", _) => "`relabeld item note ID` shows the version that is stored",
            ("history_pruned", _) if self.asked.starts_with("/api/v1/labels") => {
                "`relabeld status` has the number to begin from, `relabeld labels` what stands"
            }
            ("history_pruned", _) => "the job's history is past retention_days and cannot be brought back",
            ("too_many_items", _) if self.asked.ends_with("/publish") => {
                "make the draft again with --split, or narrower"
            }
            ("too_many_items", _) => "add --split to make several jobs of it, or narrow --from, --until and --programs",
            ("too_large", _) if self.asked == "/api/v1/jobs" => "cut the list into several",
            ("too_many_requests", _) => "wait a little and try again",
            ("storage_full", _) if self.asked == super::backup::BACKUP => {
                "the queue is not held by this: make room on the daemon's disk"
            }
            ("storage_full", _) => {
                "make room on the daemon's disk; it goes on by itself. `relabeld status` shows the state"
            }
            ("shutting_down", _) => "try again in a few seconds",
            ("internal", _) => "the daemon's log says more (journalctl -u relabeld)",
            _ => return None,
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let detail = text(&self.document, "/detail");
        match text(&self.document, "/title") {
            // Not ours, then: what another server wrote in HTML helps nobody on a terminal.
            title if title.is_empty() => write!(f, "the answer was HTTP status {}", self.status)?,
            title if detail.is_empty() => f.write_str(&title)?,
            // The title says of which kind the refusal is; the detail says it all.
            title if self.status < 500 || detail.starts_with(&title) => f.write_str(&detail)?,
            title => write!(f, "{title}: {detail}")?,
        }
        let places: Vec<String> = rows(&self.document, "/errors").iter().map(place).collect();
        // A single fault may be the detail already.
        for place in places.iter().filter(|place| **place != detail).take(PLACES_SHOWN) {
            write!(f, "\n  {place}")?;
        }
        if places.len() > PLACES_SHOWN {
            write!(f, "\n  … and {} more", places.len() - PLACES_SHOWN)?;
        }
        match self.advice() {
            Some(advice) => write!(f, "\n{advice}"),
            None => Ok(()),
        }
    }
}

/// An entry of `errors`: `{place, what}` of a catalogue or request, `{line, error}` of an import.
fn place(error: &Value) -> String {
    let whence = match error.get("line") {
        Some(line) => format!("line {line}"),
        None => text(error, "/place"),
    };
    let what = ["/what", "/error", "/detail"].into_iter().map(|key| text(error, key)).find(|t| !t.is_empty());
    match (whence.is_empty(), what) {
        (false, Some(what)) => format!("{whence}: {what}"),
        (true, Some(what)) => what,
        // A form that this version does not know is better shown raw than dropped.
        (_, None) => clean(&error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_become_the_promised_exit_codes() {
        let codes = [
            (400, 1),
            (401, 5),
            (403, 5),
            (404, 3),
            (409, 5),
            (413, 5),
            (422, 5),
            (429, 5),
            (500, 1),
            (503, 4),
            (507, 5),
        ];
        for (status, code) in codes {
            assert_eq!(Error::Refused(Box::new(Problem::read("/", status, "{}"))).exit_code(), code, "{status}");
        }
        assert_eq!(Error::Usage(String::new()).exit_code(), 2);
        assert_eq!(Error::Lost(String::new()).exit_code(), 4);
        assert_eq!(Error::Closed.exit_code(), 0);
    }

    #[test]
    fn a_problem_is_shown_with_its_places_and_the_next_step() {
        let body = r#"{"title":"Too many items","detail":"300000 of 250000","code":"too_many_items",
            "errors":[{"place":"topics[0]","what":"no phrases"},{"line":7,"error":"not JSON"}]}"#;
        let shown = Problem::read("/api/v1/jobs", 422, body).to_string();
        assert!(shown.starts_with("300000 of 250000\n  topics[0]: no phrases\n  line 7: not JSON\n"), "{shown}");
        assert!(shown.contains("--split"), "{shown}");
    }

    #[test]
    fn what_was_not_found_decides_what_to_try_next() {
        let body = r#"{"title":"Not found","detail":"7 not found","code":"not_found"}"#;
        let shown = |asked| Problem::read(asked, 404, body).to_string();
        assert_eq!(shown("/api/v1/jobs/7"), "7 not found\n`relabeld jobs` lists the jobs");
        assert!(shown("/api/v1/items/note/7").contains("case-sensitive"));
        assert_eq!(shown("/else"), "7 not found");
        let broken = Problem::read("/else", 500, r#"{"title":"Internal error","detail":"request 9","code":"x"}"#);
        assert_eq!(broken.to_string(), "Internal error: request 9");
    }

    #[test]
    fn an_answer_that_is_no_problem_document_is_still_explained() {
        let shown = Problem::read("/", 502, "<html>\u{1b}[31mbad gateway</html>").to_string();
        assert_eq!(shown, "the answer was HTTP status 502");
    }
}
