//! The guide's calls: what its users have been typing, body and query as they are, so that their scripts work unchanged.

use serde_json::{Value, json};

use super::answer::{Answer, Problem};
use super::api::jobs::shown;
use super::asked::Asked;
use super::{Context, Handled};
use crate::job::Filter;
use crate::model::Kind;
use crate::store::NewJob;
use crate::when;
use crate::wire::{ItemKey, check_name, check_range, kind_from, version_from};

const TOPIC: &str = "conversation_note_analysis";

/// `POST /api/internal/pubsub/publish`: one conversation, or one note at a version.
pub fn publish(context: &Context, asked: &mut Asked<'_>) -> Handled {
    asked.query.finish()?;
    let body = asked.json(1 << 20)?;
    let Value::Object(body) = body else {
        return Err(Problem::invalid(
            "the body must be {topic, key: {conversation_fs_id, note_id, note_version}, data}",
        ));
    };
    match body.get("topic") {
        Some(Value::String(topic)) if topic == TOPIC => {}
        Some(_) => return Err(Problem::invalid(format!("topic: must be {TOPIC:?}"))),
        None => return Err(Problem::invalid(format!("topic: missing; it must be {TOPIC:?}"))),
    }
    let key = body.get("key").and_then(Value::as_object);
    let key = key.ok_or_else(|| Problem::invalid("key: must be {conversation_fs_id, note_id, note_version}"))?;
    let id = |name: &str| match key.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(id)) => {
            check_name(id, &format!("key.{name}")).map_err(Problem::invalid)?;
            Ok(Some(id.clone()).filter(|id| !id.is_empty()))
        }
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(Problem::invalid(format!("key.{name}: must be a string"))),
    };
    let version = version_from(key.get("note_version").cloned(), "key.note_version").map_err(Problem::invalid)?;
    let (kind, id, version) = match (id("conversation_fs_id")?, id("note_id")?) {
        (Some(_), Some(_)) => {
            return Err(Problem::invalid("key: names a conversation and a note; publish them one by one"));
        }
        (None, None) => return Err(Problem::invalid("key: names neither conversation_fs_id nor note_id")),
        (Some(id), None) => (Kind::Conversation, id, None),
        (None, Some(id)) => {
            let version = version.ok_or_else(|| Problem::invalid("key.note_version: missing; a note needs it"))?;
            (Kind::Note, id, Some(version))
        }
    };
    context.may_write()?;
    let wish = NewJob::new(Filter { types: vec![kind], ..Filter::all() }, asked.caller.name);
    let published = context.store.publish_single(wish, ItemKey { kind, id, version }, asked.now)?;
    context.engine.wake();
    Ok(Answer::json(shown(context, &published.job, Vec::new())?))
}

/// `POST /api/internal/labels/reanalysis?from&until&type`: a range, in as many jobs as it takes.
pub fn reanalysis(context: &Context, asked: &mut Asked<'_>) -> Handled {
    let now = asked.now;
    let from = asked.query.time("from", now)?;
    let until = asked.query.time("until", now)?;
    let kind = asked.query.given("type");
    asked.query.finish()?;
    let types = match kind {
        None => Vec::new(),
        Some(word) => match kind_from(&word) {
            Some(kind) => vec![kind],
            None => return Err(Problem::invalid("type: must be conversations or notes")),
        },
    };
    let from = match from {
        Some(from) => from,
        None => when::parse("30d", now).map_err(Problem::invalid)?,
    };
    let until = until.unwrap_or(now);
    check_range(Some(from), Some(until)).map_err(Problem::invalid)?;
    context.may_write()?;
    let filter = Filter { from: Some(from), until: Some(until), types, ..Filter::all() };
    let wish = NewJob { split: true, ..NewJob::new(filter, asked.caller.name) };
    let published = context.store.publish_range(wish, context.max_items(), now)?;
    context.engine.wake();
    Ok(Answer::json(shown(context, &published.job, published.group)?))
}

/// `POST /api/tick/runners`: never needed; it wakes the workers and never unpauses.
pub fn tick(context: &Context, _: &mut Asked<'_>) -> Handled {
    context.engine.wake();
    let queue = context.store.queue()?;
    let totals = context.engine.totals();
    let running = queue.live.running + queue.bulk.running;
    Ok(Answer::json(json!({
        "picked": running,
        "done": totals.done,
        "failed": totals.failed,
        "remaining": queue.live.pending + queue.bulk.pending + running,
    })))
}
