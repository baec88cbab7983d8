//! `relabeld catalogue`: apply, show, and try a phrase before it goes in.

use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};
use ureq::http::Method;

use super::Session;
use super::batch::open;
use super::call::Payload;
use super::problem::Error;
use super::render::{Paint, Table};
use super::view::{cell, clean, count, rows, text};
use crate::wire::grouped;

const CATALOGUE: &str = "/api/v1/catalogue";
/// What a shown catalogue says about itself and an applied one may not: so that one can be shown, edited and applied.
const SHOWN_ONLY: [&str; 3] = ["revision", "applied_at", "labeller"];

pub fn apply(session: &Session, file: &Path, allow_remove: bool, if_match: Option<u64>) -> Result<(), Error> {
    let catalogue = read(file)?;
    let tag = if_match.map(|revision| format!("\"{revision}\""));
    let headers: Vec<(&str, &str)> = tag.iter().map(|tag| ("If-Match", tag.as_str())).collect();
    let query = [("allow_remove", if allow_remove { "true" } else { "" })];
    let applied = session.daemon.call_with(Method::PUT, CATALOGUE, &query, &headers, Payload::Json(&catalogue))?;
    session.out.answer(&applied, || summary(&applied.value))?;
    about_programs(session, &catalogue);
    if rows(&applied.value, "/added").len() + rows(&applied.value, "/changed").len() > 0 {
        session
            .out
            .note("stored labels are as they were; `relabeld publish --stale-only --from 1970-01-01` relabels what the change concerns, however old");
    }
    if !rows(&applied.value, "/removed").is_empty() {
        session.out.note(
            "labels of removed topics stay; `relabeld publish --stale-only --from 1970-01-01 --keep-when-empty false` takes them away, \
             where their program still has topics",
        );
    }
    Ok(())
}

/// What applying it would change.
pub fn would_apply(session: &Session, file: &Path) -> Result<(), Error> {
    let (catalogue, query) = (read(file)?, [("dry_run", "true")]);
    let would = session.daemon.call_with(Method::PUT, CATALOGUE, &query, &[], Payload::Json(&catalogue))?;
    session.out.answer(&would, || summary(&would.value))?;
    about_programs(session, &catalogue);
    session.out.note("a dry run: nothing was applied");
    if !rows(&would.value, "/removed").is_empty() {
        session.out.note("to apply it with what it removes, add --allow-remove");
    }
    Ok(())
}

/// Says so when a topic belongs to a program that no item belongs to: most often its name is mistyped, and nothing would
/// ever be found. That this cannot be asked is no reason to fail.
fn about_programs(session: &Session, catalogue: &Value) {
    if !session.out.hints() {
        return;
    }
    let Ok(counts) = session.daemon.get("/api/v1/topics", &[]) else { return };
    let programs = rows(&counts.value, "/programs");
    let with_items: Vec<&str> = programs
        .iter()
        .filter(|program| count(program, "/items") > 0)
        .filter_map(|program| program["id"].as_str())
        .collect();
    if with_items.is_empty() {
        return;
    }
    for topic in rows(catalogue, "/topics") {
        let named = rows(topic, "/programs").iter().filter_map(Value::as_str);
        for program in named.filter(|program| !with_items.contains(program)) {
            session.out.hint(&format!(
                "topic {}: no stored item belongs to program {}; there are {}",
                cell(topic, "/id"),
                clean(program),
                clean(&with_items.join(", "))
            ));
        }
    }
}

fn read(file: &Path) -> Result<Value, Error> {
    let failed = |why: String| Error::Failed(format!("{}: {why}", file.display()));
    let mut text = String::new();
    let (mut input, _) = open(file).map_err(|e| failed(e.to_string()))?;
    input.read_to_string(&mut text).map_err(|e| failed(e.to_string()))?;
    let mut catalogue: Value =
        serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|e| failed(format!("not JSON: {e}")))?;
    if let Some(catalogue) = catalogue.as_object_mut() {
        SHOWN_ONLY.iter().for_each(|name| drop(catalogue.remove(*name)));
    }
    Ok(catalogue)
}

fn summary(applied: &Value) -> String {
    let mut lines = vec![format!("revision {}", cell(applied, "/revision"))];
    for verb in ["added", "changed", "removed"] {
        let topics = rows(applied, &format!("/{verb}"));
        if !topics.is_empty() {
            lines.push(format!("{verb} {}: {}", topics.len(), text(applied, &format!("/{verb}"))));
        }
    }
    if lines.len() == 1 {
        lines.push("nothing changed".to_owned());
    }
    lines.join("\n")
}

pub fn show(session: &Session, revision: Option<u64>) -> Result<(), Error> {
    let revision = revision.map(|revision| revision.to_string()).unwrap_or_default();
    // People get JSON too, for the use of it is to be edited and applied again.
    session.out.document(&session.daemon.get(CATALOGUE, &[("revision", &revision)])?)
}

pub fn test(session: &Session, body: Map<String, Value>) -> Result<(), Error> {
    let answer = session.daemon.post("/api/v1/catalogue/test", &Value::Object(body))?;
    let paint = session.out.paint;
    session.out.answer(&answer, || {
        let mut table = Table::new(&[">SCORE", "KIND", "ID", "TRANSCRIPT", ">BLOCK", "TEXT"]);
        for found in rows(&answer.value, "/matches") {
            table.row(vec![
                cell(found, "/score"),
                cell(found, "/kind"),
                cell(found, "/id"),
                cell(found, "/transcript"),
                cell(found, "/block"),
                marked(found, paint),
            ]);
        }
        table.show(paint)
    })?;
    if !session.out.json {
        let matches = rows(&answer.value, "/matches").len();
        let matches = if matches == 1 { "1 match".to_owned() } else { format!("{matches} matches") };
        let read = grouped(count(&answer.value, "/read"));
        session.out.note(&format!("{matches} in {read} items read"));
    }
    Ok(())
}

/// The block's text with the words that matched standing out; places are code points.
fn marked(found: &Value, paint: Paint) -> String {
    let block = found["text"].as_str().unwrap_or_default();
    let start = count(found, "/start") as usize;
    let length = (count(found, "/end") as usize).saturating_sub(start);
    let part = |skip: usize, take: usize| clean(&block.chars().skip(skip).take(take).collect::<String>());
    format!("{}{}{}", part(0, start), paint.bold(&part(start, length)), part(start.saturating_add(length), usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_shown_catalogue_can_be_applied() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("c.json");
        std::fs::write(&file, r#"{"revision":3,"applied_at":"x","labeller":"y","topics":[{"revision":1}]}"#).unwrap();
        assert_eq!(read(&file).unwrap(), json!({"topics": [{"revision": 1}]}));
        std::fs::write(&file, "{").unwrap();
        assert_eq!(read(&file).unwrap_err().exit_code(), 1);
    }

    #[test]
    fn the_matched_words_stand_out_by_code_points() {
        let found = json!({"text": "né money\nback", "start": 3, "end": 13});
        assert_eq!(marked(&found, Paint(true)), "né \u{1b}[1mmoney back\u{1b}[0m");
        assert_eq!(marked(&json!({"text": "ab", "start": 9, "end": 4}), Paint(false)), "ab");
    }

    #[test]
    fn a_summary_names_topics_given_as_ids_or_whole() {
        let applied = json!({"revision": 4, "added": ["a", {"id": "b"}], "changed": [], "removed": []});
        assert_eq!(summary(&applied), "revision 4\nadded 2: a, b");
        assert_eq!(summary(&json!({"revision": 4})), "revision 4\nnothing changed");
    }
}
