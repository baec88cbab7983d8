//! Genesys Cloud's calls for reprocessing, with its names of fields, its states, paging and errors, so that its own SDKs
//! drive relabeld.
//!
//! What the SDKs send and read is what their generated models say; none of them checks anything before it sends.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::answer::{Answer, Problem};
use super::api::SMALL;
use super::api::jobs::request_of;
use super::asked::{Asked, Query};
use super::{Context, Handled};
use crate::job::{Filter, Job, JobId, JobState};
use crate::model::{Kind, Millis};
use crate::store::{Error, JobSearch, NewJob};
use crate::when::rfc3339;
use crate::wire::{Fields, check_names, shorten};

const JOBS: &str = "/api/v2/speechandtextanalytics/reprocessing/jobs";
/// Its words for media, as the SDKs spell them, and ours.
const MEDIA: [(&str, &str); 5] =
    [("Call", "voice"), ("Callback", "callback"), ("Chat", "chat"), ("Email", "email"), ("Message", "message")];
const LARGEST_PAGE: u64 = 100;
/// A deletion waits so long for the items in flight of what it cancels.
const PATIENCE: Duration = Duration::from_secs(5);

/// `POST …/jobs`
pub fn publish(context: &Context, asked: &mut Asked<'_>) -> Handled {
    finish(&mut asked.query)?;
    let bytes = asked.bytes(SMALL)?;
    let (request, before) = request_of(context, asked, &bytes)?;
    if let Some(job) = before {
        return Ok(Answer::json(shown(context, &job)));
    }
    let wish = NewJob { request, ..wish_from(&bytes, asked.caller.name, asked.now)? };
    context.may_write()?;
    let published = context.store.publish_range(wish, context.max_items(), asked.now).map_err(|error| match error {
        // The native words offer a split, which there is none of here.
        Error::TooManyItems { count, limit } => {
            let why = format!(
                "the job would have {count} interactions, and at most {limit} are allowed (max_items_per_job): narrow it"
            );
            Problem::new(422, "too.many.items", why)
        }
        other => other.into(),
    })?;
    context.engine.wake();
    let status = if published.repeated { 200 } else { 201 };
    Ok(Answer::Json { status, body: shown(context, &published.job), headers: Vec::new() })
}

fn wish_from(body: &[u8], caller: &str, now: Millis) -> Result<NewJob, Problem> {
    let body = match body {
        [] => Value::Null,
        body => serde_json::from_slice(body)
            .map_err(|error| Problem::bad_request(format!("the body is not JSON: {error}")))?,
    };
    let mut fields = Fields::of(body).map_err(Problem::bad_request)?;
    let name = fields.words("name").map_err(invalid)?.filter(|name| !name.trim().is_empty());
    let name = required("name", name)?;
    let description = fields.words("description").map_err(invalid)?;
    let mut date = |name| {
        let date = fields.time(name, now).map_err(|why| Problem::new(400, "invalid.date", why))?;
        required(name, date)
    };
    let (from, until) = (date("dateStart")?, date("dateEnd")?);
    let programs = names(&mut fields, "programs")?;
    let media_types = names(&mut fields, "mediaTypes")?;
    // Some of the SDKs send an empty list for none.
    let languages = names(&mut fields, "dialects")?.unwrap_or_default();
    fields.finish().map_err(|why| Problem::new(400, "invalid.property", why))?;
    let programs = required("programs", programs)?;
    check_names(&programs, "programs").and_then(|()| check_names(&languages, "dialects")).map_err(invalid)?;
    let mut media = Vec::new();
    for word in required("mediaTypes", media_types)? {
        let ours = media_from(&word)?;
        if !media.contains(&ours) {
            media.push(ours);
        }
    }
    if until <= from {
        let why = format!("dateEnd: {} is not after dateStart, which is {}", rfc3339(until), rfc3339(from));
        return Err(Problem::new(422, "constraint.validation", why));
    }
    let types = vec![Kind::Conversation];
    let filter = Filter { from: Some(from), until: Some(until), types, media, programs, languages, ..Filter::all() };
    Ok(NewJob { name: Some(name), description, ..NewJob::new(filter, caller) })
}

fn invalid(why: String) -> Problem {
    Problem::new(400, "invalid.value", why)
}

fn required<T>(name: &str, value: Option<T>) -> Result<T, Problem> {
    value.ok_or_else(|| Problem::new(400, "constraint.validation", format!("{name}: missing or empty")))
}

/// A list of texts; one that is empty counts as absent.
fn names(fields: &mut Fields, name: &'static str) -> Result<Option<Vec<String>>, Problem> {
    if fields.peek(name).and_then(Value::as_array).is_some_and(Vec::is_empty) {
        fields.take(name);
    }
    let texts = fields.texts(name).map_err(invalid)?;
    Ok(Some(texts).filter(|texts| !texts.is_empty()))
}

fn media_from(word: &str) -> Result<String, Problem> {
    let known = MEDIA.iter().find(|(theirs, _)| theirs.eq_ignore_ascii_case(word));
    known.map(|(_, ours)| (*ours).to_owned()).ok_or_else(|| {
        let allowed = MEDIA.map(|(theirs, _)| theirs).join(", ");
        let word = shorten(word);
        invalid(format!("Value [{word}] is not valid for field type [mediaTypes]. Allowable values are: {allowed}"))
    })
}

/// `GET …/jobs`: those that were published, here or natively.
pub fn list(context: &Context, asked: &mut Asked<'_>) -> Handled {
    let query = &mut asked.query;
    let size = count(query, "pageSize", 25)?.min(LARGEST_PAGE);
    let number = count(query, "pageNumber", 1)?;
    let oldest_first = match query.take("sortOrder").unwrap_or_else(|| "desc".into()) {
        word if word.eq_ignore_ascii_case("asc") => true,
        word if word.eq_ignore_ascii_case("desc") => false,
        word => return Err(bad_parameter("sortOrder", &word, "asc, desc")),
    };
    let name = query.take("name");
    finish(query)?;
    let page = usize::try_from(number - 1).unwrap_or(usize::MAX);
    let (jobs, total) = context.store.find_jobs(&JobSearch { name, oldest_first }, page, size as usize)?;
    let waiting = context.store.queue()?.jobs;
    let queued = [JobState::Queued, JobState::Planning].map(|state| waiting.get(state.as_str()).copied().unwrap_or(0));
    Ok(Answer::json(json!({
        "entities": jobs.iter().map(|job| shown(context, job)).collect::<Vec<_>>(),
        "pageSize": size,
        "pageNumber": number,
        "total": total,
        "queueTotal": queued.iter().sum::<i64>(),
        "pageCount": (total as u64).div_ceil(size),
    })))
}

fn count(query: &mut Query, name: &'static str, default: u64) -> Result<u64, Problem> {
    let Some(text) = query.take(name) else { return Ok(default) };
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| bad_parameter(name, &text, "whole numbers from 1 on"))
}

fn bad_parameter(name: &str, value: &str, allowed: &str) -> Problem {
    let value = shorten(value);
    let why = format!("Value [{value}] is not valid for parameter [{name}]. Allowable values are: {allowed}");
    Problem::new(400, "invalid.query.param.value", why)
}

fn finish(query: &mut Query) -> Result<(), Problem> {
    query.finish().map_err(|problem| Problem::bad_request(problem.detail))
}

/// `GET …/jobs/{jobId}`
pub fn show(context: &Context, asked: &mut Asked<'_>) -> Handled {
    finish(&mut asked.query)?;
    Ok(Answer::json(shown(context, &published_job(context, asked)?)))
}

/// `DELETE …/jobs/{jobId}`: whatever state it is in, it is cancelled and then removed.
pub fn delete(context: &Context, asked: &mut Asked<'_>) -> Handled {
    finish(&mut asked.query)?;
    let id = published_job(context, asked)?.id;
    if is_open(context, id)? {
        match context.engine.cancel(id) {
            // It may have ended by itself just now.
            Ok(_) | Err(Error::Conflict(_)) => {}
            Err(error) => return Err(error.into()),
        }
        await_end(context, id)?;
    }
    context.engine.delete(id)?;
    Ok(Answer::nothing())
}

/// Whether the job, or one of the group that it leads, may still change.
fn is_open(context: &Context, id: JobId) -> Result<bool, Problem> {
    for id in context.store.group(id)? {
        if !context.store.job(id)?.state.ended() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Waits for the items in flight of a job that is cancelled; not for ever, as an item may hang.
fn await_end(context: &Context, id: JobId) -> Result<(), Problem> {
    let until = Instant::now() + PATIENCE;
    let mut seen = context.engine.await_news(0, Duration::ZERO);
    while is_open(context, id)? && !context.engine.stopping() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        seen = context.engine.await_news(seen, left);
    }
    Ok(())
}

/// `GET …/jobs/{jobId}/interactions`: where its items are, for whoever has the link.
pub fn interactions(context: &Context, asked: &mut Asked<'_>) -> Handled {
    finish(&mut asked.query)?;
    let job = published_job(context, asked)?;
    // Said here, and not to whoever is given the link.
    context.store.must_have_list(&job)?;
    let path = format!("/api/v1/jobs/{}/items.csv", job.id);
    let ticket = context.access.new_ticket(&asked.caller, &path, asked.now).map_err(context.unexpected())?;
    Ok(Answer::json(json!({"url": format!("{}{path}?ticket={ticket}", context.base_url)})))
}

/// The job in the path. Drafts are none here.
fn published_job(context: &Context, asked: &Asked<'_>) -> Result<Job, Problem> {
    let job = context.store.job(asked.job()?)?;
    let missing = || Problem::not_found(format!("job {} not found", job.id));
    job.published_at.ok_or_else(missing)?;
    Ok(job)
}

fn shown(context: &Context, job: &Job) -> Value {
    let (filter, counts) = (&job.filter, &job.counts);
    let media = |ours: &String| {
        let known = MEDIA.iter().find(|(_, word)| word == ours);
        known.map_or_else(|| ours.clone(), |(theirs, _)| (*theirs).to_owned())
    };
    json!({
        "id": job.id.to_string(),
        "name": job.name,
        "description": job.description,
        "dateStart": filter.from.map(rfc3339),
        "dateEnd": filter.until.map(rfc3339),
        "dateCreated": rfc3339(job.created_at),
        "createdBy": {"id": job.created_by, "selfUri": format!("/api/v2/users/{}", job.created_by)},
        "programs": filter.programs,
        "mediaTypes": filter.media.iter().map(media).collect::<Vec<_>>(),
        "dialects": filter.languages,
        "jobStatus": status(job.state),
        // Nice to know, and no reason to fail a publish that is durable.
        "queueOrder": context.store.queue_position(job).unwrap_or_default(),
        "processedInteractionsCount": counts.done,
        "failedInteractionsCount": counts.failed + counts.quarantined + counts.cancelled,
        "totalInteractionsCount": counts.total,
        "selfUri": format!("{JOBS}/{}", job.id),
    })
}

fn status(state: JobState) -> &'static str {
    match state {
        JobState::Draft | JobState::Queued | JobState::Planning => "Queued",
        JobState::Running | JobState::Paused | JobState::Cancelling => "InProgress",
        JobState::Completed | JobState::CompletedWithFailures => "Completed",
        JobState::Failed | JobState::Cancelled => "Failed",
    }
}

/// Whether what goes wrong on a path is told as Genesys Cloud tells it.
pub fn owns(path: &str) -> bool {
    path.starts_with("/api/v2/")
}

/// A problem as Genesys Cloud words it. `bears_token`: one came with the request, good or not.
pub fn error(problem: &Problem, bears_token: bool) -> Value {
    // Long enough for whatever relabeld says by itself; what it quotes may be of any length.
    const LONGEST: usize = 300;
    let code = match (problem.status, problem.code) {
        (401, _) if bears_token => "bad.credentials".to_owned(),
        (401, _) => "authentication.required".to_owned(),
        (403, _) => "not.authorized".to_owned(),
        (405, _) => "method.not.allowed".to_owned(),
        (413, _) => "request.entity.too.large".to_owned(),
        (500, _) => "internal.server.error".to_owned(),
        (503, _) => "service.unavailable".to_owned(),
        (_, code) => code.replace('_', "."),
    };
    let message: String = problem.detail.chars().take(LONGEST).collect();
    json!({"message": message, "code": code, "status": problem.status})
}
