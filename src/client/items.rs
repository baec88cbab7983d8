//! Items and what stands on them: showing, marking, erasing, counting; topics and labels.

use std::path::PathBuf;

use serde_json::{Map, Value, json};
use ureq::http::Method;

use super::Session;
use super::ask::confirmed;
use super::call::{Payload, Query, segment};
use super::download::{Form, save};
use super::problem::Error;
use super::render::{Paint, Table, pairs};
use super::view::{cell, clean, count, rows, tallies, text, time};
use crate::wire::grouped;

fn path(kind: &str, id: &str) -> String {
    format!("/api/v1/items/{kind}/{}", segment(id))
}

pub fn show(session: &Session, kind: &str, id: &str) -> Result<(), Error> {
    let item = session.daemon.get(&path(kind, id), &[])?;
    session.out.answer(&item, || details(&item.value, session.out.paint))
}

fn details(item: &Value, paint: Paint) -> String {
    let head = pairs(
        &[
            ("item", paint.bold(&format!("{} {}", cell(item, "/kind"), cell(item, "/id")))),
            ("version", cell(item, "/version")),
            ("media", cell(item, "/media")),
            ("started", time(item, "/started_at")),
            ("created", time(item, "/created_at")),
            ("programs", cell(item, "/programs")),
        ],
        paint,
    );
    let mut parts = vec![head];
    parts.extend(rows(item, "/transcripts").iter().map(|transcript| transcript_table(item, transcript, paint)));
    if let Some(note) = item["text"].as_str() {
        parts.push(note.lines().map(clean).collect::<Vec<_>>().join("\n"));
    }
    parts.extend(labels_table(item, paint));
    parts.join("\n\n")
}

fn transcript_table(item: &Value, transcript: &Value, paint: Paint) -> String {
    let id = text(transcript, "/id");
    let mut table = Table::new(&[">BLOCK", "SPEAKER", "TOPICS", "TEXT"]);
    for (n, block) in rows(transcript, "/blocks").iter().enumerate() {
        let here = |label: &&Value| text(label, "/transcript") == id && label["block"] == json!(n);
        let topics: Vec<String> =
            rows(item, "/labels").iter().filter(here).map(|label| text(label, "/topic")).collect();
        table.row(vec![n.to_string(), cell(block, "/speaker"), topics.join(", "), text(block, "/text")]);
    }
    format!("transcript {id}\n{}", table.show(paint))
}

fn labels_table(item: &Value, paint: Paint) -> Option<String> {
    let (labels, marks) = (rows(item, "/labels"), rows(item, "/marks"));
    if labels.is_empty() && marks.is_empty() {
        return None;
    }
    let mut table = Table::new(&["TRANSCRIPT", ">BLOCK", "TOPIC", "FROM", "PHRASE", ">SCORE", "JOB"]);
    let place = |row: &Value| vec![cell(row, "/transcript"), cell(row, "/block"), cell(row, "/topic")];
    for label in labels {
        let evidence = ["/source", "/phrase", "/score", "/job"].map(|pointer| cell(label, pointer));
        table.row(place(label).into_iter().chain(evidence).collect());
    }
    // A mark that says yes is among the labels already.
    for mark in marks.iter().filter(|mark| text(mark, "/mark") == "is_not") {
        let evidence = ["marked as not so", "-", "-", "-"].map(str::to_owned);
        table.row(place(mark).into_iter().chain(evidence).collect());
    }
    Some(table.show(paint))
}

/// A person's word on a topic of a block.
pub struct Mark<'a> {
    pub transcript: &'a str,
    pub block: u32,
    pub topic: &'a str,
    /// `is`, `is_not`, or None to take the mark back.
    pub mark: Option<&'a str>,
}

pub fn mark(session: &Session, kind: &str, id: &str, mark: &Mark) -> Result<(), Error> {
    let Mark { transcript, block, topic, mark } = *mark;
    let body = json!({"marks": [{"transcript": transcript, "block": block, "topic": topic, "mark": mark}]});
    let path = format!("{}/marks", path(kind, id));
    let answer = session.daemon.call(Method::PUT, &path, &[], Payload::Json(&body))?;
    session.out.answer(&answer, || match mark {
        Some("is") => format!("{kind} {id}: block {block} of {transcript} is {topic}"),
        Some(_) => format!("{kind} {id}: block {block} of {transcript} is not {topic}"),
        None => format!("{kind} {id}: no mark for {topic} on block {block} of {transcript}"),
    })
}

pub fn erase(session: &Session, kind: &str, id: &str, yes: bool) -> Result<(), Error> {
    if !yes && !confirmed(&format!("Erase {kind} {}: its text, labels, marks and history?", clean(id)))? {
        return Err(Error::Failed("nothing was erased".to_owned()));
    }
    let answer = session.daemon.call(Method::DELETE, &path(kind, id), &[], Payload::Nothing)?;
    session.out.answer(&answer, || format!("{kind} {id} is erased"))
}

pub fn count_items(session: &Session, filter: Map<String, Value>) -> Result<(), Error> {
    let filter = Value::Object(filter);
    let answer = session.daemon.post("/api/v1/count", &filter)?;
    session.out.answer(&answer, || {
        let mut table = Table::new(&["", "", ">ITEMS"]);
        table.row(vec!["total".to_owned(), String::new(), grouped(count(&answer.value, "/total"))]);
        for (name, pointer) in [("kind", "/by_kind"), ("media", "/by_media"), ("program", "/by_program")] {
            for (value, n) in tallies(&answer.value, pointer) {
                table.row(vec![name.to_owned(), value, grouped(n)]);
            }
        }
        // No heads: the names are in the rows.
        table.show(session.out.paint).trim_start_matches(|c| c != '\n').trim_start().to_owned()
    })?;
    // A program that was mistyped would pass for one without items.
    for program in rows(&filter, "/programs").iter().filter_map(Value::as_str) {
        if !tallies(&answer.value, "/by_program").iter().any(|(counted, _)| *counted == clean(program)) {
            let program = clean(program);
            session
                .out
                .hint(&format!("none of program {program}; `relabeld topics` lists the programs and their items"));
        }
    }
    Ok(())
}

pub fn topics(session: &Session, query: Query) -> Result<(), Error> {
    let answer = session.daemon.get("/api/v1/topics", query)?;
    let paint = session.out.paint;
    session.out.answer(&answer, || {
        let mut topics = Table::new(&["TOPIC", "NAME", ">ITEMS", ">BLOCKS"]);
        for topic in rows(&answer.value, "/topics") {
            let (items, blocks) = (grouped(count(topic, "/items")), grouped(count(topic, "/blocks")));
            topics.row(vec![cell(topic, "/id"), cell(topic, "/name"), items, blocks]);
        }
        let mut programs = Table::new(&["PROGRAM", "NAME", ">ITEMS", ">NOT FRESH"]);
        for program in rows(&answer.value, "/programs") {
            let (items, stale) = (grouped(count(program, "/items")), grouped(count(program, "/not_fresh")));
            programs.row(vec![cell(program, "/id"), cell(program, "/name"), items, stale]);
        }
        format!("{}\n\n{}", topics.show(paint), programs.show(paint))
    })
}

/// All labels that stand, or with `since` all changes after a change number.
pub fn labels(session: &Session, form: Form, query: Query, to: Option<&PathBuf>) -> Result<(), Error> {
    save(session, "/api/v1/labels", form, query, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_shown_with_the_topics_of_each_block_and_safely() {
        let item = json!({"kind": "conversation", "id": "c1", "media": "voice", "started_at": "2026-11-01T10:00:00Z",
            "transcripts": [{"id": "t1", "blocks": [{"speaker": "agent", "text": "hi"}, {"speaker": "customer", "text": "money\u{1b}[2J back"}]}],
            "labels": [{"transcript": "t1", "block": 1, "topic": "refund", "source": "rule", "phrase": "money back", "score": 100}],
            "marks": [{"transcript": "t1", "block": 0, "topic": "greeting", "mark": "is_not"}]});
        let shown = details(&item, Paint(false));
        assert!(shown.contains("    1  customer  refund  money\u{fffd}[2J back"), "{shown}");
        assert!(shown.contains("greeting  marked as not so"), "{shown}");
    }
}
