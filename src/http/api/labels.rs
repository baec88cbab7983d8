//! Labels that stand, the feed of their changes, and what carries which topic.

use std::sync::Arc;

use serde_json::{Value, json};

use super::jobs::stream;
use crate::export::{self, Format};
use crate::http::answer::{Answer, Problem};
use crate::http::asked::Asked;
use crate::http::{Context, Handled};
use crate::job::Filter;
use crate::store::LabelQuery;
use crate::wire::check_range;

/// `GET /api/v1/labels.csv`
pub fn csv(context: &Context, asked: &mut Asked<'_>) -> Handled {
    labels(context, asked, Format::Csv, "labels.csv")
}

/// `GET /api/v1/labels.ndjson`
pub fn ndjson(context: &Context, asked: &mut Asked<'_>) -> Handled {
    labels(context, asked, Format::Ndjson, "labels.ndjson")
}

fn labels(context: &Context, asked: &mut Asked<'_>, format: Format, file: &str) -> Handled {
    let from = asked.query.time("from", asked.now)?;
    let until = asked.query.time("until", asked.now)?;
    let (programs, topics) = (asked.query.list("programs"), asked.query.list("topics"));
    let since = match asked.query.given("since").map(|since| since.parse::<i64>().ok().filter(|since| *since >= 0)) {
        None => None,
        // Given and empty it is not left out: the feed and all labels are two different things.
        Some(None) => return Err(Problem::invalid("since: must be the number of a change, from 0 on")),
        Some(since) => since,
    };
    asked.query.finish()?;
    check_range(from, until).map_err(Problem::invalid)?;
    let store = Arc::clone(&context.store);
    let body = match since {
        None => {
            let filter = Filter { from, until, programs, ..Filter::all() };
            export::labels(store, LabelQuery { filter, topics }, format)
        }
        Some(_) if from.is_some() || until.is_some() || !programs.is_empty() || !topics.is_empty() => {
            return Err(Problem::invalid("since: stands alone; the feed has every change"));
        }
        Some(since) => {
            // Said before the first byte, not in the middle of a stream.
            store.changes_after(since, 1)?;
            let (last, _) = store.last_change()?;
            if since > last {
                return Err(Problem::invalid(format!(
                    "since: {since} is past the last change, {last}: it is no number of this database; read all labels, and follow from there"
                )));
            }
            export::changes(store, since, format)
        }
    };
    Ok(stream(body, format, file.to_owned()))
}

/// `GET /api/v1/topics`
pub fn topics(context: &Context, asked: &mut Asked<'_>) -> Handled {
    let from = asked.query.time("from", asked.now)?;
    let until = asked.query.time("until", asked.now)?;
    asked.query.finish()?;
    check_range(from, until).map_err(Problem::invalid)?;
    let mut counts = context.store.topic_counts(from, until)?;
    let catalogue = context.store.revision(None)?.catalogue;
    let mut topics: Vec<Value> = Vec::new();
    for topic in &catalogue.topics {
        let (items, blocks) = counts.topics.remove(&topic.id).unwrap_or_default();
        topics.push(json!({"id": topic.id, "name": topic.name, "items": items, "blocks": blocks}));
    }
    // Topics that no catalogue has any more, and whose labels still stand.
    for (id, (items, blocks)) in &counts.topics {
        topics.push(json!({"id": id, "name": null, "items": items, "blocks": blocks}));
    }
    let name = |id: &str| catalogue.programs.iter().find(|program| program.id == *id).map(|program| &program.name);
    let programs: Vec<Value> = counts
        .programs
        .iter()
        .map(|(id, (items, stale))| json!({"id": id, "name": name(id), "items": items, "not_fresh": stale}))
        .collect();
    Ok(Answer::json(json!({"topics": topics, "programs": programs})))
}
