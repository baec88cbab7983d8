//! The catalogue: shown, applied, a phrase tried out.

use serde_json::{Value, json};

use super::{LARGE, SMALL};
use crate::catalogue::{difference, parse, to_json};
use crate::http::answer::{Answer, Problem};
use crate::http::asked::Asked;
use crate::http::{Context, Handled};
use crate::label::Revision;
use crate::labeller::analyse_guarded;
use crate::labeller::phrases::{VERSION, has_words};
use crate::model::{Catalogue, TopicSet};
use crate::when::rfc3339;
use crate::wire::filter_from;

/// Items that one test of a phrase reads at most.
const TEST_READS: i64 = 10_000;

/// `GET /api/v1/catalogue`
pub fn show(context: &Context, asked: &mut Asked<'_>) -> Handled {
    let revision = asked.query.number("revision")?;
    asked.query.finish()?;
    let info = context.store.revision(revision)?;
    let mut body = to_json(&info.catalogue);
    body["revision"] = json!(info.revision);
    body["applied_at"] = json!((info.revision > 0).then(|| rfc3339(info.applied_at)));
    body["labeller"] = json!(info.labeller);
    Ok(Answer::Json { status: 200, body, headers: vec![("ETag", format!("\"{}\"", info.revision))] })
}

/// `PUT /api/v1/catalogue`
pub fn apply(context: &Context, asked: &mut Asked<'_>) -> Handled {
    let allow_remove = asked.query.flag("allow_remove")?;
    let dry_run = asked.query.flag("dry_run")?;
    asked.query.finish()?;
    let if_match = asked.if_match.as_deref().map(revision_of).transpose()?.flatten();
    let catalogue = parse_or_faults(&asked.bytes(LARGE)?)?;
    if dry_run {
        return would_apply(context, &catalogue, if_match);
    }
    context.may_write()?;
    let applied = context.store.apply_catalogue(catalogue, VERSION, allow_remove, if_match, asked.now)?;
    let difference = applied.difference;
    let body = json!({
        "revision": applied.revision, "new": applied.new,
        "added": difference.added, "changed": difference.changed, "removed": difference.removed,
    });
    Ok(Answer::Json { status: 200, body, headers: vec![("ETag", format!("\"{}\"", applied.revision))] })
}

/// What applying it would change now, whatever it would have to be allowed.
fn would_apply(context: &Context, catalogue: &Catalogue, if_match: Option<Revision>) -> Handled {
    let current = context.store.revision(None)?;
    current.must_be(if_match)?;
    let difference = difference(&current.catalogue, catalogue);
    let new = *catalogue != current.catalogue || current.labeller != VERSION;
    let body = json!({
        "revision": current.revision + i64::from(new), "new": new,
        "added": difference.added, "changed": difference.changed, "removed": difference.removed,
    });
    Ok(Answer::Json { status: 200, body, headers: vec![("ETag", format!("\"{}\"", current.revision))] })
}

fn parse_or_faults(json: &[u8]) -> Result<Catalogue, Problem> {
    parse(json, has_words).map_err(|faults| {
        if let [fault] = &faults[..]
            && fault.is_unreadable()
        {
            return Problem::bad_request(fault.to_string()).with("errors", json!(faults));
        }
        let detail = match &faults[..] {
            [one] => one.to_string(),
            many => format!("{} errors; nothing was applied", many.len()),
        };
        Problem::invalid(detail).with("errors", json!(faults))
    })
}

/// `If-Match`: an entity tag, `"3"` or `3`, or `*` for any.
fn revision_of(tag: &str) -> Result<Option<i64>, Problem> {
    let tag = tag.trim().trim_start_matches("W/").trim_matches('"');
    match tag {
        "*" => Ok(None),
        _ => {
            let revision = tag.parse().ok().filter(|revision| *revision >= 0);
            revision.map(Some).ok_or_else(|| Problem::invalid("If-Match: must be the number of a revision, or *"))
        }
    }
}

/// `POST /api/v1/catalogue/test`: one phrase on stored items, by the rules of a topic that has it alone.
pub fn test(context: &Context, asked: &mut Asked<'_>) -> Handled {
    asked.query.finish()?;
    let mut fields = asked.fields(SMALL)?;
    let mut topic = json!({"id": "test", "phrases": [fields.take("phrase")]});
    for name in ["strictness", "match", "participants"] {
        if let Some(value) = fields.take(name) {
            topic[name] = value;
        }
    }
    let limit = fields.number("limit", 1..=1_000).map_err(Problem::invalid)?.unwrap_or(20) as usize;
    let filter = filter_from(&mut fields, asked.now).map_err(Problem::invalid)?;
    fields.finish().map_err(Problem::invalid)?;
    let catalogue = parse(json!({"topics": [topic]}).to_string().as_bytes(), has_words).map_err(|mut faults| {
        // The places are of the topic that was made here: the caller named its parts.
        for fault in &mut faults {
            fault.place = fault.place.replace("topics[0].phrases[0]", "phrase").replace("topics[0].", "");
        }
        let detail = faults.first().map_or_else(String::new, |fault| fault.to_string());
        Problem::invalid(detail).with("errors", json!(faults))
    })?;
    let labeller = (context.compile)(&catalogue);
    let scope: TopicSet = [0].into_iter().collect();
    let mut matches: Vec<Value> = Vec::new();
    let read = context.store.each_item(&filter, TEST_READS, |item| {
        let document = item.document()?;
        let found = analyse_guarded(&*labeller, &document, &scope).unwrap_or_default();
        for d in found.iter().take(limit - matches.len()) {
            let block = document.utterances.iter().find(|u| (u.transcript, u.block) == (d.transcript, d.block));
            matches.push(json!({
                "kind": item.kind, "id": item.id, "transcript": item.transcript_id(d.transcript), "block": d.block,
                "score": d.score, "start": d.start, "end": d.end, "text": block.map(|u| u.text),
            }));
        }
        Ok(matches.len() < limit)
    })?;
    Ok(Answer::json(json!({"read": read, "matches": matches})))
}
