//! Making jobs: of a filter, of a list, of a draft, of another job, of one item.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use ureq::http::Method;

use super::batch::{lines, open};
use super::call::{Answer, Payload};
use super::jobs::{JOBS, details, path};
use super::problem::{Error, Problem};
use super::view::{rows, text};
use super::{Session, hints, watch};

/// What a job is made of; the rest of what is wished for is a body in the words of the API.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    Range(Map<String, Value>),
    /// The items that a file names.
    List(PathBuf, Map<String, Value>),
    /// One that is there already.
    Draft(String),
}

/// Makes a job, or publishes one. `key` makes a repeated request known.
pub fn publish(session: &Session, source: Source, key: Option<&str>, watching: bool) -> Result<(), Error> {
    let headers: Vec<(&str, &str)> = key.iter().map(|key| ("Idempotency-Key", *key)).collect();
    let daemon = &session.daemon;
    let made = match source {
        Source::Range(body) => {
            daemon.call_with(Method::POST, JOBS, &[], &headers, Payload::Json(&Value::Object(body)))?
        }
        Source::List(file, body) => list(session, &file, &body, &headers)?,
        Source::Draft(id) => daemon.call(Method::POST, &format!("{}/publish", path(&id)), &[], Payload::Nothing)?,
    };
    if key.is_some() && made.status == 200 {
        session.out.hint("this request made its job before; no other was made");
    }
    hints::about_topics(session);
    after(session, &made, watching)
}

/// One item, in the live lane.
pub fn relabel(session: &Session, kind: &str, id: &str, version: Option<i64>, watching: bool) -> Result<(), Error> {
    let mut item = json!({"kind": kind, "id": id});
    if let Some(version) = version {
        item["version"] = json!(version);
    }
    let made = session.daemon.post(JOBS, &json!({"kind": "single", "ids": [item]}))?;
    hints::about_topics(session);
    after(session, &made, watching)
}

/// Makes a job of an ended one: `retry`, `revert` or `apply`.
pub fn again(session: &Session, id: &str, verb: &str, body: Map<String, Value>, watching: bool) -> Result<(), Error> {
    let made = session.daemon.post(&format!("{}/{verb}", path(id)), &Value::Object(body))?;
    after(session, &made, watching)
}

/// Shows a job just made, or watches it, and with it the others that its request was split into.
fn after(session: &Session, made: &Answer, watching: bool) -> Result<(), Error> {
    let id = text(&made.value, "/id");
    let mut group: Vec<String> = rows(&made.value, "/jobs").iter().map(job_id).collect();
    if group.is_empty() {
        group.push(id.clone());
    }
    if watching {
        return watch::run(session, &group);
    }
    session.out.answer(made, || details(made, session.out.paint))?;
    if group.len() > 1 {
        session.out.hint(&format!("split into jobs {}; control of job {id} is control of all", group.join(", ")));
    }
    hints::about(session, &made.value);
    if !watch::ended(&made.value) && text(&made.value, "/state") != "draft" {
        session.out.hint(&format!("`relabeld watch {id}` shows its progress"));
    }
    Ok(())
}

/// A group names its jobs by id, or whole.
fn job_id(job: &Value) -> String {
    match job {
        Value::String(id) => id.clone(),
        other => text(other, "/id"),
    }
}

/// Sends the file as it is: the daemon reads it, so that all its doors take the same lists.
fn list(session: &Session, file: &Path, body: &Map<String, Value>, headers: &[(&str, &str)]) -> Result<Answer, Error> {
    let name = file.display().to_string();
    let unread = |e: io::Error| Error::Failed(format!("cannot read {name}: {e}\nno job was made"));
    let mut bytes = Vec::new();
    open(file).and_then(|(input, _)| lines(input)?.read_to_end(&mut bytes)).map_err(unread)?;
    let payload = match first_byte(&bytes) {
        Some(b'{') => Payload::Lines(&bytes),
        Some(b'[') => {
            let why = "a JSON array, where CSV or NDJSON is wanted: one object a line, without --json";
            return Err(Error::Failed(format!("{name}: {why}\nno job was made")));
        }
        _ => Payload::Csv(&bytes),
    };
    let fields: Vec<(&str, String)> = body.iter().map(|(field, value)| (field.as_str(), word(value))).collect();
    let query: Vec<(&str, &str)> = fields.iter().map(|(field, word)| (*field, word.as_str())).collect();
    session.daemon.call_with(Method::POST, JOBS, &query, headers, payload).map_err(|error| match error {
        Error::Refused(problem) => in_file(&problem, &name).unwrap_or(Error::Refused(problem)),
        other => other,
    })
}

/// The first byte that is neither blank nor a byte-order mark.
fn first_byte(bytes: &[u8]) -> Option<u8> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    bytes.iter().copied().find(|byte| !byte.is_ascii_whitespace())
}

/// A field of a body as a query parameter.
fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(word).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// A fault of the file and not of the request, with its place there.
fn in_file(problem: &Problem, name: &str) -> Option<Error> {
    let detail = text(problem.document(), "/detail");
    let what = match detail.strip_prefix("line ") {
        Some(placed) => format!("{name}:{placed}"),
        None if detail.starts_with("the list ") => format!("{name}: {detail}"),
        None => return None,
    };
    (problem.code == "invalid_request").then(|| Error::Failed(format!("{what}\nno job was made")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_becomes_a_query() {
        let words = [json!(["a", "b"]), json!("x y"), json!(true), json!(0.5), json!(5)].map(|value| word(&value));
        assert_eq!(words, ["a,b", "x y", "true", "0.5", "5"]);
    }

    #[test]
    fn a_list_is_known_by_its_first_byte() {
        let first = |text: &str| first_byte(text.as_bytes());
        assert_eq!((first(" \n{"), first("\u{feff}kind"), first("\u{feff} [")), (Some(b'{'), Some(b'k'), Some(b'[')));
        assert_eq!(first(" \n"), None);
    }

    #[test]
    fn a_fault_of_the_list_is_told_with_file_and_line() {
        let told = |detail: &str| {
            let body = json!({"code": "invalid_request", "title": "t", "detail": detail}).to_string();
            in_file(&Problem::read(JOBS, 422, &body), "f.csv").map(|error| (error.exit_code(), error.to_string()))
        };
        assert_eq!(told("line 3: id: missing"), Some((1, "f.csv:3: id: missing\nno job was made".into())));
        assert_eq!(told("the list names no item"), Some((1, "f.csv: the list names no item\nno job was made".into())));
        assert_eq!(told("priority: must be …"), None);
    }
}
