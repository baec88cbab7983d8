//! Jobs: listed, shown, steered, deleted, and what they did.

use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use ureq::http::Method;

use super::call::{Answer, Payload, Query, segment};
use super::download::{Form, save};
use super::problem::Error;
use super::render::{Paint, Table, pairs};
use super::view::{age, cell, count, number, rows, span, tally_line, text, time};
use super::{Session, ask, hints};
use crate::wire::grouped;

pub const JOBS: &str = "/api/v1/jobs";

pub fn path(id: &str) -> String {
    format!("{JOBS}/{}", segment(id))
}

/// `pause`, `resume` and `cancel` answer with the job as it is then.
pub fn control(session: &Session, id: &str, verb: &str) -> Result<(), Error> {
    let job = session.daemon.call(Method::POST, &format!("{}/{verb}", path(id)), &[], Payload::Nothing)?;
    session.out.answer(&job, || format!("job {id} is {}", cell(&job.value, "/state")))
}

/// Changes what `body` names; null takes away.
pub fn set(session: &Session, id: &str, body: Map<String, Value>) -> Result<(), Error> {
    let names: Vec<String> = body.keys().cloned().collect();
    let job = session.daemon.call(Method::PATCH, &path(id), &[], Payload::Json(&Value::Object(body)))?;
    session.out.answer(&job, || {
        let now = names.iter().map(|name| {
            let value = match name.as_str() {
                "max_per_second" => number(&job.value, "/max_per_second"),
                name => text(&job.value, &format!("/{name}")),
            };
            format!("{} {}", name.replace('_', " "), if value.is_empty() { "none" } else { &value })
        });
        format!("job {id}: {}", now.collect::<Vec<_>>().join(", "))
    })
}

/// Removes a draft or an ended job, or with the first of a group all of it.
pub fn delete(session: &Session, id: &str, yes: bool) -> Result<(), Error> {
    if !yes {
        ask::possible()?;
        let job = session.daemon.get(&path(id), &[])?.value;
        let which = match text(&job, "/jobs") {
            group if group.is_empty() => format!("job {id}"),
            group => format!("jobs {group}"),
        };
        let what = format!("{} {}, made {}", cell(&job, "/state"), kind(&job), time(&job, "/created_at"));
        let name = text(&job, "/name");
        let name = if name.is_empty() { name } else { format!(" {name:?}") };
        let question = format!(
            "Delete {which}{name} ({what}), results and history? Labels stay, and cannot be taken back any more."
        );
        if !ask::confirmed(&question)? {
            return Err(Error::Failed("nothing was deleted".to_owned()));
        }
    }
    let answer = session.daemon.call(Method::DELETE, &path(id), &[], Payload::Nothing)?;
    session.out.answer(&answer, || format!("job {id} is deleted; its labels stay"))
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
                kind(job),
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
    for job in rows(&answer.value, "/damaged") {
        session.out.note(&text(job, "/detail"));
    }
    match text(&answer.value, "/next_cursor") {
        cursor if cursor.is_empty() => {}
        cursor => session.out.hint(&format!("there are more: relabeld jobs --cursor {cursor}")),
    }
    Ok(())
}

pub fn show(session: &Session, id: &str) -> Result<(), Error> {
    let job = session.daemon.get(&path(id), &[])?;
    let topics = by_topic(session, &job.value)?;
    session.out.answer(&job, || details(&job, session.out.paint) + &topics)?;
    hints::about(session, &job.value);
    Ok(())
}

/// What the job did to each topic, as a table below the rest; nothing where it did nothing, or is shown as JSON.
pub fn by_topic(session: &Session, job: &Value) -> Result<String, Error> {
    if session.out.json || hints::changes(job) == 0 {
        return Ok(String::new());
    }
    let mut lines = Vec::new();
    let file = format!("{}/topics.ndjson", path(&text(job, "/id")));
    session.daemon.copy(&file, &[], &mut lines, "memory")?;
    let mut table = Table::new(&["TOPIC", ">ADDED", ">REMOVED", ">UPDATED"]);
    // Of a job that runs, a line may be newer than the rest; one that is no JSON would show as nothing.
    for line in lines.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok()) {
        let n = |change: &str| grouped(count(&line, change));
        table.row(vec![cell(&line, "/topic"), n("/added"), n("/removed"), n("/updated")]);
    }
    Ok(format!("\n\n{}", table.show(session.out.paint)))
}

/// `range`, or `range (dry run)`
fn kind(job: &Value) -> String {
    cell(job, "/kind") + if hints::dry(job) { " (dry run)" } else { "" }
}

/// Several jobs as one document: the job itself when there is one, as `{"jobs":[…]}` when there are more.
pub fn shown_together(
    session: &Session,
    jobs: &[Answer],
    human: impl Fn(&Answer) -> Result<String, Error>,
) -> Result<(), Error> {
    if !session.out.json {
        return session.out.data(&jobs.iter().map(human).collect::<Result<Vec<_>, _>>()?.join("\n\n"));
    }
    let texts: Vec<&str> = jobs.iter().map(|job| job.text.trim()).collect();
    match texts[..] {
        [job] => session.out.data(job),
        _ => session.out.data(&format!("{{\"jobs\":[{}]}}", texts.join(","))),
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
            ("kind", kind(job)),
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
            ("applied by job", cell(job, "/applied_by")),
            ("jobs of its group", cell(job, "/jobs")),
            ("made by", cell(job, "/created_by")),
            ("created", times("created_at")),
            ("published", times("published_at")),
            ("started", times("started_at")),
            ("finished", times("finished_at")),
            ("results pruned", times("pruned_at")),
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
        let shown = details(&Answer { status: 200, text: String::new(), value }, Paint(false));
        assert!(shown.contains("items     1,200: done 1,000, pending 200"), "{shown}");
        assert!(shown.contains("filter    from 2026-11-01 00:00:00Z, stale_only\n"), "{shown}");
        assert!(!shown.contains("name") && !shown.contains("failed"), "{shown}");
    }
}
