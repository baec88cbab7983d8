//! Jobs: counted, published, steered, shown, exported.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{LARGE, SMALL};
use crate::export::{self, Format, Wanted};
use crate::http::answer::{Answer, Problem};
use crate::http::asked::Asked;
use crate::http::{Context, Handled};
use crate::job::{Job, JobId, JobState};
use crate::store::NewJob;
use crate::wire::{Fields, Pace, filter_from, job_json, keys_from};

/// The priority of a job that names none.
pub const PRIORITY: i64 = 50;

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
    asked.query.finish()?;
    if asked.idempotency_key {
        // To pass over it would make a second job of a repeated request.
        return Err(Problem::invalid("Idempotency-Key: is not supported yet; publish without it"));
    }
    let fields = asked.fields(LARGE)?;
    context.may_write()?;
    let (job, group) = match kind_of(&fields).as_deref() {
        None | Some("range") => publish_range(context, asked, fields)?,
        Some("single") => (publish_single(context, asked, fields)?, Vec::new()),
        Some(other) => return Err(Problem::invalid(format!("kind: {other:?} is not one of range, single"))),
    };
    context.engine.wake();
    let headers = vec![("Location", format!("/api/v1/jobs/{}", job.id))];
    Ok(Answer::Json { status: 201, body: shown(context, &job, group)?, headers })
}

fn kind_of(fields: &Fields) -> Option<String> {
    fields.peek("kind").map(|kind| kind.as_str().map_or_else(|| kind.to_string(), str::to_owned))
}

fn publish_range(context: &Context, asked: &Asked<'_>, mut fields: Fields) -> Result<(Job, Vec<JobId>), Problem> {
    let mut wish = || -> Result<NewJob, String> {
        fields.take("kind");
        let wish = NewJob {
            name: fields.text("name")?,
            description: fields.text("description")?,
            filter: filter_from(&mut fields, asked.now)?,
            priority: fields.number("priority", 1..=100)?.unwrap_or(PRIORITY),
            max_per_second: speed_from(&mut fields)?,
            created_by: asked.caller.name.to_owned(),
            split: fields.flag("split", false)?,
        };
        Ok(wish)
    };
    let wish = wish().map_err(Problem::invalid)?;
    fields.finish().map_err(Problem::invalid)?;
    Ok(context.store.publish_range(wish, context.max_items(), asked.now)?)
}

fn speed_from(fields: &mut Fields) -> Result<Option<f64>, String> {
    let Some(value) = fields.take("max_per_second") else { return Ok(None) };
    let speed = value.as_f64().filter(|speed| (0.001..=1e9).contains(speed));
    speed.map(Some).ok_or_else(|| "max_per_second: must be a number from 0.001 to 1000000000".into())
}

fn publish_single(context: &Context, asked: &Asked<'_>, mut fields: Fields) -> Result<Job, Problem> {
    fields.take("kind");
    let ids = fields.take("ids");
    fields.finish().map_err(Problem::invalid)?;
    let keys = keys_from(ids.unwrap_or_default()).map_err(Problem::invalid)?;
    let [key] = &keys[..] else {
        return Err(Problem::invalid("ids: a single job takes one conversation or one note"));
    };
    Ok(context.store.publish_single(key.kind, &key.id, key.version, asked.caller.name, asked.now)?)
}

/// A job with its pace; `group` is what a split made.
pub fn shown(context: &Context, job: &Job, group: Vec<JobId>) -> Result<Value, Problem> {
    let group = match job.group {
        Some(leader) if leader == job.id && group.is_empty() => context.store.group(leader)?,
        _ => group,
    };
    let pace = Pace {
        rate_per_second: if job.state.ended() { None } else { context.engine.rate(job.id) },
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
    Ok(Answer::json(json!({"jobs": jobs, "next_cursor": page.next.map(|next| next.to_string())})))
}

/// `GET /api/v1/jobs/{id}`
pub fn show(context: &Context, asked: &mut Asked<'_>) -> Handled {
    asked.query.finish()?;
    let job = context.store.job(asked.job()?)?;
    Ok(Answer::json(shown(context, &job, Vec::new())?))
}

/// `POST /api/v1/jobs/{id}/{pause,resume,cancel}`
pub fn control(context: &Context, asked: &mut Asked<'_>) -> Handled {
    asked.query.finish()?;
    let id = asked.job()?;
    let job = match asked.parts[1].as_str() {
        "pause" => context.engine.pause(id)?,
        "resume" => context.engine.resume(id)?,
        "cancel" => context.engine.cancel(id)?,
        other => return Err(Problem::not_found(format!("{other:?} is nothing that can be done to a job"))),
    };
    Ok(Answer::json(shown(context, &job, Vec::new())?))
}

/// `GET /api/v1/jobs/{id}/{items,labels}.{csv,ndjson}`
pub fn export(context: &Context, asked: &mut Asked<'_>) -> Handled {
    let id = asked.job()?;
    let file = asked.parts[1].clone();
    let (what, format) = format_of(&file)?;
    let store = Arc::clone(&context.store);
    let body = match what {
        "items" => {
            asked.query.finish()?;
            export::job_items(store, id, format)
        }
        "labels" => {
            let change = asked.query.take("change").unwrap_or_else(|| "added".into());
            asked.query.finish()?;
            let wanted = Wanted::from_word(&change)
                .ok_or_else(|| Problem::invalid("change: must be added, removed, updated or all"))?;
            export::job_labels(store, id, wanted, format)
        }
        _ => return Err(Problem::not_found(format!("there is no {file:?} of a job"))),
    };
    context.store.job(id)?;
    Ok(stream(body, format, format!("job-{id}-{file}")))
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
