//! Jobs: counted, made, steered, shown, exported.

use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{LARGE, SMALL};
use crate::export::{self, Before, Format, Wanted, Which};
use crate::http::answer::{Answer, Problem};
use crate::http::asked::Asked;
use crate::http::{Context, Handled};
use crate::job::{Filter, Job, JobId, JobState, Outcome, PRIORITY, Reason, TaskState};
use crate::store::{Again, AgainWish, NewJob, Published, RequestKey, Steering};
use crate::wire::{
    Fields, ItemKey, JobBody, Pace, Unread, filter_from, is_request_key, job_json, keys_from_csv, keys_from_ndjson,
    scope_from, shorten, span_at, span_of, speed_from,
};

/// `POST /api/v1/count`
pub fn count(context: &Context, asked: &mut Asked<'_>) -> Handled {
    asked.query.finish()?;
    let mut fields = asked.fields(SMALL)?;
    let filter = filter_from(&mut fields, asked.now).and_then(|filter| fields.finish().map(|()| filter));
    let count = context.store.count(&filter.map_err(Problem::invalid)?)?;
    Ok(Answer::json(json!({
        "total": count.total, "by_kind": count.by_kind, "by_media": count.by_media, "by_program": count.by_program,
    })))
}

/// `POST /api/v1/jobs`
pub fn publish(context: &Context, asked: &mut Asked<'_>) -> Handled {
    let bytes = asked.bytes(LARGE)?;
    let (request, before) = request_of(context, asked, &bytes)?;
    if let Some(job) = before {
        return made(context, Published { group: vec![job.id], job, repeated: true });
    }
    let (mut fields, ids) = body_from(asked, &bytes)?;
    drop(bytes);
    context.may_write()?;
    let kind = fields.text("kind").map_err(Problem::invalid)?;
    if ids.is_some() && !matches!(kind.as_deref(), Some("list" | "single")) {
        return Err(Problem::invalid("ids: only a job of kind list or single has any"));
    }
    let draft = |fields: &mut Fields, filter: Filter| wish_from(fields, filter, asked.caller.name);
    let wish = match kind.as_deref() {
        None | Some("range") => {
            let span = span_of(&fields);
            let filter = filter_from(&mut fields, asked.now).map_err(Problem::invalid)?;
            NewJob { span: Some(span), ..draft(&mut fields, filter).map_err(Problem::invalid)? }
        }
        Some("list" | "single") => {
            let filter = scope_from(&mut fields).map_err(Problem::invalid)?;
            draft(&mut fields, filter).map_err(Problem::invalid)?
        }
        Some("retry" | "revert") => {
            return Err(Problem::invalid("kind: POST /api/v1/jobs/{id}/retry or /revert makes a job of an ended one"));
        }
        Some(other) => return Err(Problem::invalid(format!("kind: {other:?} is not one of range, list, single"))),
    };
    fields.finish().map_err(Problem::invalid)?;
    let wish = NewJob { request, ..wish };
    let missing = || Problem::invalid("ids: missing; a job of this kind names its items");
    let published = match kind.as_deref() {
        Some("list") => context.store.publish_list(wish, &ids.ok_or_else(missing)?, context.max_items(), asked.now)?,
        Some("single") => {
            let Ok([key]) = <[ItemKey; 1]>::try_from(ids.ok_or_else(missing)?) else {
                return Err(Problem::invalid("ids: a single job takes one conversation or one note"));
            };
            let filter = Filter { types: vec![key.kind], ..wish.filter };
            context.store.publish_single(NewJob { filter, ..wish }, key, asked.now)?
        }
        _ => context.store.publish_range(wish, context.max_items(), asked.now)?,
    };
    context.engine.wake();
    made(context, published)
}

/// A job that was made now is 201; one that the same request made before is 200.
fn made(context: &Context, published: Published) -> Handled {
    let headers = vec![("Location", format!("/api/v1/jobs/{}", published.job.id))];
    let status = if published.repeated { 200 } else { 201 };
    Ok(Answer::Json { status, body: shown(context, &published.job, published.group)?, headers })
}

/// What makes the request known when it is repeated, and the job that it made before.
pub fn request_of(
    context: &Context,
    asked: &Asked<'_>,
    body: &[u8],
) -> Result<(Option<RequestKey>, Option<Job>), Problem> {
    let Some(key) = asked.idempotency_key.clone() else { return Ok((None, None)) };
    if !is_request_key(&key) {
        return Err(Problem::invalid("Idempotency-Key: must have from 1 to 255 printable characters of ASCII"));
    }
    let mut hash = Sha256::new();
    hash.update(asked.query.text());
    hash.update([0]);
    hash.update(body);
    let hash = hash.finalize().to_vec();
    let before = context.store.job_of_request(&key, &hash)?;
    Ok((Some(RequestKey { key, hash }), before))
}

/// The fields of a request, and the items that it names. A list may come as CSV or NDJSON, with its fields in the query.
fn body_from(asked: &mut Asked<'_>, bytes: &[u8]) -> Result<(Fields, Option<Vec<ItemKey>>), Problem> {
    let content_type = asked.content_type.as_deref().unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let ids = match media_type.as_str() {
        "text/csv" => keys_from_csv(bytes),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => {
            keys_from_ndjson(bytes)
        }
        _ => {
            asked.query.finish()?;
            let body = JobBody::from_json(bytes).map_err(|unread| match unread {
                Unread::Broken(why) => Problem::bad_request(why),
                Unread::Wrong(why) => Problem::invalid(why),
            })?;
            return Ok((body.fields.into(), body.ids));
        }
    };
    let mut fields = std::mem::take(&mut asked.query).into_fields()?;
    fields.entry("kind").or_insert_with(|| "list".into());
    Ok((fields.into(), Some(ids.map_err(Problem::invalid)?)))
}

/// What every kind of job may be told.
fn wish_from(fields: &mut Fields, filter: Filter, caller: &str) -> Result<NewJob, String> {
    Ok(NewJob {
        name: fields.words("name")?,
        description: fields.words("description")?,
        priority: fields.number("priority", 1..=100)?.unwrap_or(PRIORITY),
        max_per_second: fields.take("max_per_second").as_ref().map(speed_from).transpose()?,
        dry_run: fields.flag("dry_run", false)?,
        publish: fields.flag("publish", true)?,
        split: fields.flag("split", false)?,
        ..NewJob::new(filter, caller)
    })
}

/// A job with its pace; `group` is what a split made.
pub fn shown(context: &Context, job: &Job, group: Vec<JobId>) -> Result<Value, Problem> {
    let group = match job.group {
        Some(leader) if leader == job.id && group.len() < 2 => context.store.group(leader)?,
        _ => group,
    };
    let speed = if job.state == JobState::Running { context.engine.speed(job.id) } else { None };
    let pace = Pace {
        rate_per_second: speed.map(|speed| speed.tasks_per_second),
        weight_per_second: speed.map(|speed| speed.weight_per_second),
        // Nice to know, and no reason to fail a publish that is durable.
        queue_position: context.store.queue_position(job).unwrap_or_default(),
        group: Some(group).filter(|group| group.len() > 1),
    };
    Ok(job_json(job, &pace))
}

/// `GET /api/v1/jobs`
pub fn list(context: &Context, asked: &mut Asked<'_>) -> Handled {
    let state = asked.query.take("state");
    let limit = asked.query.number("limit")?.unwrap_or(50);
    let cursor = asked.query.number("cursor")?;
    asked.query.finish()?;
    let state = state
        .map(|word| JobState::from_word(&word).ok_or_else(|| Problem::invalid("state: there is no such state")))
        .transpose()?;
    if !(1..=1_000).contains(&limit) {
        return Err(Problem::invalid("limit: must be from 1 to 1000"));
    }
    let page = context.store.jobs(state, cursor, limit as usize)?;
    let jobs = page.jobs.iter().map(|job| shown(context, job, Vec::new())).collect::<Result<Vec<_>, _>>()?;
    let mut body = json!({"jobs": jobs, "next_cursor": page.next.map(|next| next.to_string())});
    if !page.damaged.is_empty() {
        let damaged = page.damaged.iter().map(|job| json!({"id": job.id.to_string(), "detail": job.why}));
        body["damaged"] = damaged.collect();
    }
    Ok(Answer::json(body))
}

/// `GET /api/v1/jobs/{id}`
pub fn show(context: &Context, asked: &mut Asked<'_>) -> Handled {
    asked.query.finish()?;
    let job = context.store.job(asked.job()?)?;
    Ok(Answer::json(shown(context, &job, Vec::new())?))
}

/// `POST /api/v1/jobs/{id}/{publish,pause,resume,cancel,retry,revert,apply}`
pub fn control(context: &Context, asked: &mut Asked<'_>) -> Handled {
    asked.query.finish()?;
    let id = asked.job()?;
    let job = match asked.parts[1].as_str() {
        "publish" => {
            context.may_write()?;
            let span = context.store.job(id)?.span.map(|span| span_at(&span, asked.now)).transpose();
            let published =
                context.store.publish_draft(id, span.map_err(Problem::invalid)?, context.max_items(), asked.now)?;
            context.engine.wake();
            return Ok(Answer::json(shown(context, &published.job, published.group)?));
        }
        "pause" => context.engine.pause(id)?,
        "resume" => context.engine.resume(id)?,
        "cancel" => context.engine.cancel(id)?,
        "retry" => return again(context, asked, id, Again::Retry { no_topics: false }),
        "revert" => return again(context, asked, id, Again::Revert),
        "apply" => return again(context, asked, id, Again::Apply),
        other => return Err(Problem::not_found(format!("{other:?} is nothing that can be done to a job"))),
    };
    Ok(Answer::json(shown(context, &job, Vec::new())?))
}

/// Makes a job of an ended one. The body may be empty, or say how.
fn again(context: &Context, asked: &mut Asked<'_>, id: JobId, again: Again) -> Handled {
    let mut fields = asked.fields(SMALL)?;
    context.may_write()?;
    let mut wish = || -> Result<AgainWish, String> {
        let again = match again {
            Again::Retry { .. } => Again::Retry { no_topics: fields.flag("no_topics_detected", false)? },
            other => other,
        };
        Ok(AgainWish {
            again,
            name: fields.words("name")?,
            description: fields.words("description")?,
            priority: fields.number("priority", 1..=100)?,
            max_per_second: fields.take("max_per_second").as_ref().map(speed_from).transpose()?,
            dry_run: again != Again::Apply && fields.flag("dry_run", false)?,
            publish: fields.flag("publish", true)?,
            created_by: asked.caller.name.to_owned(),
        })
    };
    let wish = wish().map_err(Problem::invalid)?;
    fields.finish().map_err(Problem::invalid)?;
    let published = context.store.publish_again(id, wish, asked.now)?;
    context.engine.wake();
    made(context, published)
}

/// `PATCH /api/v1/jobs/{id}`: name, description, priority, max_per_second; null takes a name or a limit away.
pub fn steer(context: &Context, asked: &mut Asked<'_>) -> Handled {
    asked.query.finish()?;
    let id = asked.job()?;
    let mut fields = asked.fields(SMALL)?;
    let mut steering = || -> Result<Steering, String> {
        Ok(Steering {
            name: fields.nullable_words("name")?,
            description: fields.nullable_words("description")?,
            priority: fields.number("priority", 1..=100)?,
            max_per_second: match fields.take_nullable("max_per_second") {
                None => None,
                Some(None) => Some(None),
                Some(Some(speed)) => Some(Some(speed_from(&speed)?)),
            },
        })
    };
    let steering = steering().map_err(Problem::invalid)?;
    fields.finish().map_err(Problem::invalid)?;
    let job = context.engine.steer(id, steering)?;
    Ok(Answer::json(shown(context, &job, Vec::new())?))
}

/// `DELETE /api/v1/jobs/{id}`: a draft, or an ended job with all that is kept of it. Its labels stay.
pub fn delete(context: &Context, asked: &mut Asked<'_>) -> Handled {
    asked.query.finish()?;
    context.engine.delete(asked.job()?)?;
    Ok(Answer::nothing())
}

/// `GET /api/v1/jobs/{id}/{items,labels,topics}.{csv,ndjson}`
pub fn export(context: &Context, asked: &mut Asked<'_>) -> Handled {
    let id = asked.job()?;
    let file = asked.parts[1].clone();
    let (what, format) = format_of(&file)?;
    let store = Arc::clone(&context.store);
    let body = match what {
        "items" => {
            // Of a link; whoever has come so far was let in.
            asked.query.take("ticket");
            let which = Which {
                states: words(asked, "state", TaskState::from_word)?,
                outcomes: words(asked, "outcome", Outcome::from_word)?,
                reasons: words(asked, "reason", Reason::from_word)?,
            };
            asked.query.finish()?;
            export::job_items(store, id, which, format)
        }
        "topics" => {
            asked.query.finish()?;
            export::job_topics(store.job_topics(id)?, format)
        }
        "labels" => {
            let change = asked.query.take("change").unwrap_or_else(|| "added".into());
            let before = if asked.query.flag("before")? { Before::Shown } else { Before::Left };
            asked.query.finish()?;
            let wanted = Wanted::from_word(&change)
                .ok_or_else(|| Problem::invalid("change: must be added, removed, updated or all"))?;
            export::job_labels(store, id, wanted, before, format)
        }
        _ => return Err(Problem::not_found(format!("there is no {file:?} of a job"))),
    };
    let job = context.store.job(id)?;
    if what != "topics" {
        context.store.must_have_list(&job)?;
    }
    Ok(stream(body, format, format!("job-{id}-{file}")))
}

/// Words of the query, comma by comma.
fn words<T>(asked: &mut Asked<'_>, name: &'static str, from_word: fn(&str) -> Option<T>) -> Result<Vec<T>, Problem> {
    let unknown = |word| Problem::invalid(format!("{name}: {word:?} is none that an item of a job can have"));
    let given = asked.query.take(name).unwrap_or_default();
    let words = given.split(',').filter(|_| !given.is_empty());
    words.map(|word| from_word(word).ok_or_else(|| unknown(shorten(word)))).collect()
}

/// `items.csv` is items, as CSV.
fn format_of(file: &str) -> Result<(&str, Format), Problem> {
    match file.rsplit_once('.') {
        Some((what, "csv")) => Ok((what, Format::Csv)),
        Some((what, "ndjson")) => Ok((what, Format::Ndjson)),
        _ => Err(Problem::not_found(format!("{file:?}: there are .csv and .ndjson"))),
    }
}

pub fn stream(body: export::Export, format: Format, file: String) -> Answer {
    let content_type = match format {
        Format::Csv => "text/csv; charset=utf-8",
        Format::Ndjson => "application/x-ndjson",
    };
    Answer::Stream { content_type, file, body: Box::new(body) }
}
