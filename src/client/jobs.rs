//! Jobs: making them, showing them, steering them, and downloading what they did.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use ureq::http::Method;

use super::call::{Answer, Payload, Query, segment};
use super::problem::Error;
use super::render::{Paint, Table, pairs, write_error};
use super::view::{cell, count, grouped, rows, span, tally_line, text, time};
use super::{Session, ids, watch};

const JOBS: &str = "/api/v1/jobs";

fn path(id: &str) -> String {
    format!("{JOBS}/{}", segment(id))
}

/// Makes a job of `body`; `ids` is a file with the items of a list.
pub fn publish(session: &Session, mut body: Map<String, Value>, list: Option<&Path>, watch: bool) -> Result<(), Error> {
    if let Some(file) = list {
        body.insert("kind".to_owned(), json!("list"));
        body.insert("ids".to_owned(), ids::read(file)?);
    }
    let made = session.daemon.post(JOBS, &Value::Object(body))?;
    after(session, &made, watch)
}

/// Publishes a draft.
pub fn publish_draft(session: &Session, id: &str, watch: bool) -> Result<(), Error> {
    let made = session.daemon.call(Method::POST, &format!("{}/publish", path(id)), &[], Payload::Nothing)?;
    after(session, &made, watch)
}

/// One item, in the live lane.
pub fn relabel(session: &Session, kind: &str, id: &str, version: Option<i64>, watch: bool) -> Result<(), Error> {
    let mut item = json!({"kind": kind, "id": id});
    if let Some(version) = version {
        item["version"] = json!(version);
    }
    let made = session.daemon.post(JOBS, &json!({"kind": "single", "ids": [item]}))?;
    after(session, &made, watch)
}

/// `retry`, `revert` and `apply` make a new job of an old one.
pub fn derive(session: &Session, id: &str, verb: &str, body: &Value, watch: bool) -> Result<(), Error> {
    let made = session.daemon.post(&format!("{}/{verb}", path(id)), body)?;
    after(session, &made, watch)
}

/// `pause`, `resume` and `cancel` answer with the job as it is then.
pub fn control(session: &Session, id: &str, verb: &str) -> Result<(), Error> {
    let job = session.daemon.call(Method::POST, &format!("{}/{verb}", path(id)), &[], Payload::Nothing)?;
    session.out.answer(&job, || format!("job {id} is {}", cell(&job.value, "/state")))
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
        session.out.note(&format!("split into jobs {}; control of job {id} is control of all", group.join(", ")));
    }
    match text(&made.value, "/state").as_str() {
        "draft" => session.out.note(&format!("a draft: `relabeld publish --job {id}` publishes it")),
        _ if watch::ended(&made.value) => {}
        _ => session.out.note(&format!("`relabeld watch {id}` shows its progress")),
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

pub fn list(session: &Session, query: Query) -> Result<(), Error> {
    let answer = session.daemon.get(JOBS, query)?;
    let paint = session.out.paint;
    session.out.answer(&answer, || {
        let mut table =
            Table::new(&["ID", "STATE", "KIND", "NAME", ">DONE", ">FAILED", ">TOTAL", ">ADDED", ">REMOVED", "CREATED"]);
        for job in rows(&answer.value, "/jobs") {
            let number = |pointer: &str| grouped(count(job, pointer));
            let dry = if job["dry_run"] == json!(true) { " (dry run)" } else { "" };
            table.row(vec![
                cell(job, "/id"),
                paint.state(&cell(job, "/state")),
                format!("{}{dry}", cell(job, "/kind")),
                cell(job, "/name"),
                number("/counts/done"),
                number("/counts/failed"),
                job.pointer("/counts/total").and_then(Value::as_u64).map_or("-".to_owned(), grouped),
                number("/labels/added"),
                number("/labels/removed"),
                time(job, "/created_at"),
            ]);
        }
        table.show(paint)
    })?;
    match text(&answer.value, "/next_cursor") {
        cursor if cursor.is_empty() || session.out.json => {}
        cursor => session.out.note(&format!("there are more: relabeld jobs --cursor {cursor}")),
    }
    Ok(())
}

pub fn show(session: &Session, id: &str) -> Result<(), Error> {
    let job = session.daemon.get(&path(id), &[])?;
    session.out.answer(&job, || details(&job, session.out.paint))
}

/// Several jobs as one document: the job itself when there is one, as `{"jobs":[…]}` when there are more.
pub fn shown_together(session: &Session, jobs: &[Answer], human: impl Fn(&Answer) -> String) -> Result<(), Error> {
    if let [job] = jobs {
        return session.out.answer(job, || human(job));
    }
    let texts: Vec<String> = match session.out.json {
        true => jobs.iter().map(|job| job.text.trim().to_owned()).collect(),
        false => jobs.iter().map(human).collect(),
    };
    match session.out.json {
        true => session.out.data(&format!("{{\"jobs\":[{}]}}", texts.join(","))),
        false => session.out.data(&texts.join("\n\n")),
    }
}

/// A job as names and values; what it does not have is left out.
pub fn details(job: &Answer, paint: Paint) -> String {
    let job = &job.value;
    let times = |name: &str| time(job, &format!("/{name}"));
    let yes = |name: &str| if job[name] == json!(true) { "yes".to_owned() } else { String::new() };
    let filter: Vec<String> = ["from", "until", "types", "media", "programs", "stale_only", "keep_when_empty"]
        .iter()
        .map(|name| (name, text(job, &format!("/filter/{name}"))))
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    pairs(
        &[
            ("job", paint.bold(&cell(job, "/id"))),
            ("state", paint.state(&cell(job, "/state"))),
            ("kind", cell(job, "/kind")),
            ("name", cell(job, "/name")),
            ("description", cell(job, "/description")),
            ("dry run", yes("dry_run")),
            ("filter", filter.join(", ")),
            ("empty because", cell(job, "/empty_because")),
            ("error", cell(job, "/error")),
            ("items", counts(job)),
            ("outcomes", tally_line(job, "/outcomes")),
            ("reasons", tally_line(job, "/reasons")),
            ("labels", tally_line(job, "/labels")),
            ("rate", job["rate_per_second"].as_f64().map(|rate| format!("{rate:.0}/s")).unwrap_or_default()),
            ("ends in", job["eta_seconds"].as_f64().map(span).unwrap_or_default()),
            ("place in the queue", cell(job, "/queue_position")),
            ("lane", cell(job, "/lane")),
            ("priority", cell(job, "/priority")),
            ("max per second", cell(job, "/max_per_second")),
            ("catalogue revision", cell(job, "/catalogue_revision")),
            ("made from job", cell(job, "/parent_job")),
            ("made by", cell(job, "/created_by")),
            ("created", times("created_at")),
            ("published", times("published_at")),
            ("started", times("started_at")),
            ("finished", times("finished_at")),
        ],
        paint,
    )
}

/// `5 000: done 4 998, failed 2`
fn counts(job: &Value) -> String {
    let mut counts = job["counts"].clone();
    let total = counts.as_object_mut().and_then(|counts| counts.remove("total"));
    let total = total.as_ref().and_then(Value::as_u64).map_or("not counted yet".to_owned(), grouped);
    match tally_line(&json!({"counts": counts}), "/counts") {
        none if none.is_empty() => total,
        line => format!("{total}: {line}"),
    }
}

pub fn set(session: &Session, id: &str, changes: Map<String, Value>) -> Result<(), Error> {
    let job = session.daemon.call(Method::PATCH, &path(id), &[], Payload::Json(&Value::Object(changes)))?;
    session.out.answer(&job, || details(&job, session.out.paint))
}

pub fn delete(session: &Session, id: &str) -> Result<(), Error> {
    let answer = session.daemon.call(Method::DELETE, &path(id), &[], Payload::Nothing)?;
    session.out.answer(&answer, || format!("job {id} and its history are deleted; the labels it set stay"))
}

/// What one of a job's two downloads holds: `items`, or `labels`, its changes.
pub fn download(
    session: &Session,
    id: &str,
    what: &str,
    format: &str,
    query: Query,
    to: Option<&PathBuf>,
) -> Result<(), Error> {
    save(session, &format!("{}/{what}.{format}", path(id)), query, to)
}

/// Copies a download to stdout, or to a file that is there only when it is whole.
pub fn save(session: &Session, path: &str, query: Query, to: Option<&PathBuf>) -> Result<(), Error> {
    let Some(file) = to.filter(|file| file.as_os_str() != "-") else {
        let mut stdout = BufWriter::with_capacity(64 << 10, io::stdout().lock());
        return session.daemon.copy(path, query, &mut stdout, "the output");
    };
    let name = file.display().to_string();
    // What exists and is no plain file, as /dev/null or a named pipe, must be written into and not replaced.
    if fs::metadata(file).is_ok_and(|about| !about.is_file()) {
        let mut out = File::options().write(true).open(file).map_err(|e| write_error(&name, &e))?;
        return session.daemon.copy(path, query, &mut out, &name);
    }
    let mut part = file.clone().into_os_string();
    part.push(".part");
    let part = PathBuf::from(part);
    let saved = File::create(&part).map_err(|e| write_error(&name, &e)).and_then(|out| {
        let mut out = BufWriter::new(out);
        session.daemon.copy(path, query, &mut out, &name)?;
        out.flush().and_then(|()| fs::rename(&part, file)).map_err(|e| write_error(&name, &e))
    });
    if saved.is_err() {
        // Best effort: what is reported is why the download failed.
        let _ = fs::remove_file(&part);
    }
    saved?;
    session.out.note(&format!("written to {name}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_shown_without_what_it_does_not_have() {
        let value = json!({"id": "7", "state": "running", "kind": "range", "name": null, "dry_run": false,
            "filter": {"from": "2026-11-01T00:00:00.000Z", "media": null, "stale_only": true},
            "counts": {"total": 1200, "done": 1000, "pending": 200, "failed": 0}, "outcomes": {"changed": 1000}});
        let shown = details(&Answer { text: String::new(), value }, Paint(false));
        assert!(shown.contains("items     1\u{a0}200: done 1\u{a0}000, pending 200"), "{shown}");
        assert!(shown.contains("filter    from 2026-11-01T00:00:00.000Z, stale_only true"), "{shown}");
        assert!(!shown.contains("name") && !shown.contains("failed"), "{shown}");
    }
}
