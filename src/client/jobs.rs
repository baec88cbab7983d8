//! Jobs: making them, showing them, steering them, and what they did.

use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use ureq::http::Method;

use super::call::{Answer, Payload, Query, segment};
use super::download::{Form, save};
use super::problem::Error;
use super::render::{Paint, Table, pairs};
use super::view::{age, cell, count, grouped, number, rows, span, tally_line, text, time};
use super::{Session, watch};

const JOBS: &str = "/api/v1/jobs";

fn path(id: &str) -> String {
    format!("{JOBS}/{}", segment(id))
}

/// Makes a job of `body`.
pub fn publish(session: &Session, body: Map<String, Value>, watch: bool) -> Result<(), Error> {
    let made = session.daemon.post(JOBS, &Value::Object(body))?;
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
    if !watch::ended(&made.value) {
        session.out.note(&format!("`relabeld watch {id}` shows its progress"));
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
            Table::new(&["ID", "STATE", "KIND", "NAME", ">DONE", ">FAILED", ">TOTAL", ">ADDED", ">REMOVED", ">AGE"]);
        let now = Timestamp::now();
        for job in rows(&answer.value, "/jobs") {
            let number = |pointer: &str| grouped(count(job, pointer));
            table.row(vec![
                cell(job, "/id"),
                paint.state(&cell(job, "/state")),
                cell(job, "/kind"),
                cell(job, "/name"),
                number("/counts/done"),
                number("/counts/failed"),
                job.pointer("/counts/total").and_then(Value::as_u64).map_or("-".to_owned(), grouped),
                number("/labels/added"),
                number("/labels/removed"),
                age(job, "/created_at", now),
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
    pairs(
        &[
            ("job", paint.bold(&cell(job, "/id"))),
            ("state", paint.state(&cell(job, "/state"))),
            ("kind", cell(job, "/kind")),
            ("name", cell(job, "/name")),
            ("description", cell(job, "/description")),
            ("filter", filter(job)),
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
            ("max per second", number(job, "/max_per_second")),
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

/// `from 2026-11-01 00:00:00Z, until …, programs billing, stale_only`: what selects, without the defaults.
fn filter(job: &Value) -> String {
    let field = |name: &str| format!("/filter/{name}");
    let named = |name: &'static str, value: String| (!matches!(&*value, "" | "-")).then(|| format!("{name} {value}"));
    let said = |name: &'static str, value: bool| (job["filter"][name] == json!(value)).then_some(name);
    let times = ["from", "until"].map(|name| named(name, time(job, &field(name))));
    let lists = ["types", "media", "programs"].map(|name| named(name, text(job, &field(name))));
    let stale = said("stale_only", true).map(str::to_owned);
    let clears = said("keep_when_empty", false).map(|name| format!("{name} false"));
    times.into_iter().chain(lists).chain([stale, clears]).flatten().collect::<Vec<_>>().join(", ")
}

/// `5,000: done 4,998, failed 2`
fn counts(job: &Value) -> String {
    let mut counts = job["counts"].clone();
    let total = counts.as_object_mut().and_then(|counts| counts.remove("total"));
    let total = total.as_ref().and_then(Value::as_u64).map_or("not counted yet".to_owned(), grouped);
    match tally_line(&json!({"counts": counts}), "/counts") {
        none if none.is_empty() => total,
        line => format!("{total}: {line}"),
    }
}

/// What one of a job's two downloads holds: `items`, or `labels`, its changes.
pub fn download(
    session: &Session,
    id: &str,
    what: &str,
    form: Form,
    query: Query,
    to: Option<&PathBuf>,
) -> Result<(), Error> {
    save(session, &format!("{}/{what}", path(id)), form, query, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_shown_without_what_it_does_not_have() {
        let value = json!({"id": "7", "state": "running", "kind": "range", "name": null, "dry_run": false,
            "filter": {"from": "2026-11-01T00:00:00.000Z", "media": [], "stale_only": true, "keep_when_empty": true},
            "counts": {"total": 1200, "done": 1000, "pending": 200, "failed": 0}, "outcomes": {"changed": 1000}});
        let shown = details(&Answer { text: String::new(), value }, Paint(false));
        assert!(shown.contains("items     1,200: done 1,000, pending 200"), "{shown}");
        assert!(shown.contains("filter    from 2026-11-01 00:00:00Z, stale_only\n"), "{shown}");
        assert!(!shown.contains("name") && !shown.contains("failed"), "{shown}");
    }
}
