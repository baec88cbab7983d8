//! JSON bodies: what the API takes and gives of jobs, the same for daemon and client.

pub mod digest;
mod ids;

use serde_json::{Map, Value, json};

pub use ids::{ItemKey, JobBody, Unread, keys_from_csv, keys_from_ndjson};

use crate::job::{Filter, Job, JobId, JobState};
use crate::model::{Kind, MAX_NAME_BYTES, Millis, whole};
use crate::when::{self, rfc3339};

/// How far back a job reaches when it names no `from`.
const DEFAULT_SPAN: &str = "30d";

/// Every list of jobs carries their names.
const LONGEST_WORDS: usize = 1_000;
/// Programs, media or languages of a filter.
const MOST_NAMES: usize = 10_000;

/// The fields of a request, taken one by one: what is left at the end is not known, and is an error.
#[derive(Debug)]
pub struct Fields {
    left: Map<String, Value>,
    taken: Vec<&'static str>,
}

impl Fields {
    pub fn of(value: Value) -> Result<Fields, String> {
        match value {
            Value::Object(left) => Ok(left.into()),
            Value::Null => Ok(Map::new().into()),
            other => Err(format!("the body must be a JSON object, not {}", kind_of(&other))),
        }
    }

    /// The field, unless it is absent or null.
    pub fn take(&mut self, name: &'static str) -> Option<Value> {
        self.taken.push(name);
        self.left.remove(name).filter(|value| !value.is_null())
    }

    /// The field; `Some(None)` where it is there and null.
    pub fn take_nullable(&mut self, name: &'static str) -> Option<Option<Value>> {
        let null = self.left.get(name).is_some_and(Value::is_null);
        self.take(name).map(Some).or(null.then_some(None))
    }

    /// What people call something, or say of it.
    pub fn words(&mut self, name: &'static str) -> Result<Option<String>, String> {
        let text = self.text(name)?;
        match text.as_ref().map_or(0, |text| text.chars().count()) {
            0..=LONGEST_WORDS => Ok(text),
            n => Err(format!("{name}: has {n} characters, and at most {LONGEST_WORDS} are allowed")),
        }
    }

    /// Words that null takes away.
    pub fn nullable_words(&mut self, name: &'static str) -> Result<Option<Option<String>>, String> {
        match self.left.get(name) {
            Some(Value::Null) => {
                self.take(name);
                Ok(Some(None))
            }
            _ => Ok(self.words(name)?.map(Some)),
        }
    }

    /// The field, left where it is.
    pub fn peek(&self, name: &str) -> Option<&Value> {
        self.left.get(name).filter(|value| !value.is_null())
    }

    pub fn text(&mut self, name: &'static str) -> Result<Option<String>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(format!("{name}: must be a string, not {}", kind_of(&other))),
        }
    }

    pub fn flag(&mut self, name: &'static str, default: bool) -> Result<bool, String> {
        match self.take(name) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(other) => Err(format!("{name}: must be true or false, not {}", kind_of(&other))),
        }
    }

    pub fn number(&mut self, name: &'static str, range: std::ops::RangeInclusive<i64>) -> Result<Option<i64>, String> {
        let Some(value) = self.take(name) else { return Ok(None) };
        whole(&value)
            .filter(|number| range.contains(number))
            .map(Some)
            .ok_or_else(|| format!("{name}: must be a whole number from {} to {}", range.start(), range.end()))
    }

    /// A list of texts; an empty one is an error, for it could mean all as well as none.
    pub fn texts(&mut self, name: &'static str) -> Result<Vec<String>, String> {
        let Some(value) = self.take(name) else { return Ok(Vec::new()) };
        let Value::Array(entries) = value else {
            return Err(format!("{name}: must be an array of strings, not {}", kind_of(&value)));
        };
        if entries.is_empty() {
            return Err(format!("{name}: is empty; leave it out for all"));
        }
        let text = |(at, entry): (usize, Value)| match entry {
            Value::String(text) if !text.is_empty() => Ok(text),
            Value::String(_) => Err(format!("{name}[{at}]: is empty")),
            other => Err(format!("{name}[{at}]: must be a string, not {}", kind_of(&other))),
        };
        entries.into_iter().enumerate().map(text).collect()
    }

    pub fn time(&mut self, name: &'static str, now: Millis) -> Result<Option<Millis>, String> {
        let Some(value) = self.take(name) else { return Ok(None) };
        when::from_json(&value, now).map(Some).map_err(|error| format!("{name}: {error}"))
    }

    /// Nothing may be left.
    pub fn finish(self) -> Result<(), String> {
        match self.left.keys().next() {
            None => Ok(()),
            Some(unknown) => Err(format!("{}: no such field; there are {}", shorten(unknown), self.taken.join(", "))),
        }
    }
}

impl From<Map<String, Value>> for Fields {
    fn from(left: Map<String, Value>) -> Fields {
        Fields { left, taken: Vec::new() }
    }
}

/// What an `Idempotency-Key` may be; other characters may be made alike on their way.
pub fn is_request_key(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// A name from outside, short enough for an error.
pub fn shorten(name: &str) -> String {
    if name.chars().count() <= 60 { name.to_owned() } else { name.chars().take(60).chain("…".chars()).collect() }
}

/// A count in groups of three: `1,250,000`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A kind, singular or plural.
pub fn kind_from(word: &str) -> Option<Kind> {
    match word {
        "conversation" | "conversations" => Some(Kind::Conversation),
        "note" | "notes" => Some(Kind::Note),
        _ => None,
    }
}

/// No item has a longer one.
pub fn check_name(text: &str, name: &str) -> Result<(), String> {
    match text.len() {
        0..=MAX_NAME_BYTES => Ok(()),
        n => Err(format!("{name}: longer than {MAX_NAME_BYTES} bytes: it has {n}")),
    }
}

/// A filter has so many names at most: each list of jobs shows them.
pub fn check_names(names: &[String], name: &str) -> Result<(), String> {
    match names.len() {
        0..=MOST_NAMES => Ok(()),
        n => Err(format!("{name}: has {n} entries, and at most {MOST_NAMES} are allowed")),
    }
}

fn names_from(fields: &mut Fields, name: &'static str) -> Result<Vec<String>, String> {
    let names = fields.texts(name)?;
    check_names(&names, name)?;
    Ok(names)
}

/// The filter of a range job or a count: the last 30 days where it names no time.
pub fn filter_from(fields: &mut Fields, now: Millis) -> Result<Filter, String> {
    let from = match fields.time("from", now)? {
        Some(from) => from,
        None => when::parse(DEFAULT_SPAN, now)?,
    };
    let until = fields.time("until", now)?.unwrap_or(now);
    check_range(Some(from), Some(until))?;
    let mut types = Vec::new();
    for (at, word) in fields.texts("types")?.iter().enumerate() {
        let kind = kind_from(word)
            .ok_or_else(|| format!("types[{at}]: must be conversations or notes, not {:?}", shorten(word)))?;
        if !types.contains(&kind) {
            types.push(kind);
        }
    }
    Ok(Filter {
        from: Some(from),
        until: Some(until),
        types,
        media: names_from(fields, "media")?,
        programs: names_from(fields, "programs")?,
        languages: Vec::new(),
        stale_only: fields.flag("stale_only", false)?,
        keep_when_empty: fields.flag("keep_when_empty", true)?,
    })
}

/// What a job that names its items may say of them: which of their programs, and how they are read.
pub fn scope_from(fields: &mut Fields) -> Result<Filter, String> {
    Ok(Filter {
        programs: names_from(fields, "programs")?,
        stale_only: fields.flag("stale_only", false)?,
        keep_when_empty: fields.flag("keep_when_empty", true)?,
        ..Filter::all()
    })
}

/// `from` and `until` as they were asked for, so that a draft's spans count back from its publishing.
pub fn span_of(fields: &Fields) -> String {
    json!({"from": fields.peek("from"), "until": fields.peek("until")}).to_string()
}

/// What [`span_of`] comes to at `now`.
pub fn span_at(span: &str, now: Millis) -> Result<(Millis, Millis), String> {
    let mut fields = Fields::of(serde_json::from_str(span).map_err(|error| error.to_string())?)?;
    let filter = filter_from(&mut fields, now)?;
    Ok((filter.from.unwrap_or(i64::MIN), filter.until.unwrap_or(now)))
}

/// `max_per_second`.
pub fn speed_from(value: &Value) -> Result<f64, String> {
    let speed = value.as_f64().filter(|speed| (0.001..=1e9).contains(speed));
    speed.ok_or_else(|| "max_per_second: must be a number from 0.001 to 1000000000".into())
}

pub fn check_range(from: Option<Millis>, until: Option<Millis>) -> Result<(), String> {
    match (from, until) {
        (Some(from), Some(until)) if from >= until => Err(format!(
            "from: {} is not before until, which is {}: nothing can be in between",
            rfc3339(from),
            rfc3339(until)
        )),
        _ => Ok(()),
    }
}

/// A note's version, as a number or a string of digits; an empty string counts as absent.
pub fn version_from(value: Option<Value>, name: &str) -> Result<Option<i64>, String> {
    let version = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) if text.is_empty() => return Ok(None),
        Some(Value::String(text)) => text.parse().ok(),
        Some(other) => whole(&other),
    };
    match version.filter(|version| *version >= 0) {
        Some(version) => Ok(Some(version)),
        None => Err(format!("{name}: must be a whole number from 0 on")),
    }
}

/// What a daemon knows of a job besides its row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pace {
    pub rate_per_second: Option<f64>,
    /// As `job.weight`.
    pub weight_per_second: Option<f64>,
    pub queue_position: Option<i64>,
    /// All jobs of the group, where it leads one.
    pub group: Option<Vec<JobId>>,
}

/// A job as the API shows it.
pub fn job_json(job: &Job, pace: &Pace) -> Value {
    let time = |at: Option<Millis>| at.map(rfc3339);
    let filter = &job.filter;
    let moves = job.state == JobState::Running && job.counts.pending + job.counts.running > 0;
    let left = (job.weight - job.weight_done) as f64;
    let eta = pace.weight_per_second.filter(|rate| moves && *rate > 0.0 && left > 0.0).map(|rate| round(left / rate));
    let tallies = |tallies: &[(String, i64)]| -> Map<String, Value> {
        tallies.iter().map(|(word, n)| (word.clone(), json!(n))).collect()
    };
    let mut shown = json!({
        "id": job.id.to_string(),
        "kind": job.kind,
        "name": job.name,
        "description": job.description,
        "state": job.state,
        "dry_run": job.dry_run,
        "filter": {
            "from": time(filter.from),
            "until": time(filter.until),
            "types": filter.types,
            "media": filter.media,
            "programs": filter.programs,
            "stale_only": filter.stale_only,
            "keep_when_empty": filter.keep_when_empty,
        },
        "catalogue_revision": job.revision,
        "counts": job.counts,
        "outcomes": tallies(&job.outcomes),
        "reasons": tallies(&job.reasons),
        "labels": job.labels,
        "rate_per_second": pace.rate_per_second.map(round),
        "eta_seconds": eta,
        "queue_position": pace.queue_position,
        "lane": job.lane,
        "priority": job.priority,
        "max_per_second": job.max_per_second,
        "parent_job": job.parent.map(|id| id.to_string()),
        "created_by": job.created_by,
        "created_at": rfc3339(job.created_at),
        "published_at": time(job.published_at),
        "started_at": time(job.started_at),
        "finished_at": time(job.finished_at),
        "empty_because": job.empty_because,
        "error": job.error,
    });
    if !filter.languages.is_empty() {
        shown["filter"]["languages"] = json!(filter.languages);
    }
    if let Some(id) = job.applied_by {
        shown["applied_by"] = json!(id.to_string());
    }
    if job.pruned_at.is_some() {
        shown["pruned_at"] = json!(time(job.pruned_at));
    }
    if let Some(group) = &pace.group {
        shown["jobs"] = json!(group.iter().map(JobId::to_string).collect::<Vec<_>>());
    }
    shown
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_795_132_800_000;

    fn filter(body: Value) -> Result<Filter, String> {
        let mut fields = Fields::of(body)?;
        let filter = filter_from(&mut fields, NOW)?;
        fields.finish().map(|()| filter)
    }

    #[test]
    fn the_last_thirty_days_are_the_default() {
        let filter = filter(json!({})).unwrap();
        assert_eq!((filter.from, filter.until), (Some(NOW - 30 * 86_400_000), Some(NOW)));
        assert!(filter.keep_when_empty && filter.types.is_empty());
    }

    #[test]
    fn types_are_singular_or_plural() {
        let filter = filter(json!({"types": ["note", "conversations", "notes"]})).unwrap();
        assert_eq!(filter.types, [Kind::Note, Kind::Conversation]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (body, expected) in [
            (json!({"until": "2020-01-01", "from": "2021-01-01"}), "from: 2021-01-01T00:00:00.000Z is not before"),
            (json!({"media": []}), "media: is empty"),
            (json!({"programs": ["a", 7]}), "programs[1]: must be a string, not a number"),
            (json!({"programs": vec!["a"; 10_001]}), "programs: has 10001 entries, and at most 10000 are allowed"),
            (json!({"media": vec!["a"; 10_001]}), "media: has 10001 entries, and at most 10000 are allowed"),
            (json!({"types": ["mails"]}), "types[0]: must be conversations or notes"),
            (json!({"form": "30d"}), "form: no such field; there are from, until"),
            (json!({"from": "soon"}), "from: "),
            (json!({"stale_only": "yes"}), "stale_only: must be true or false"),
            (json!([1]), "the body must be a JSON object"),
        ] {
            let error = filter(body.clone()).unwrap_err();
            assert!(error.starts_with(expected), "{body}: {error}");
        }
    }

    #[test]
    fn versions_come_as_numbers_or_digits() {
        assert_eq!(version_from(Some(json!("3")), "v"), Ok(Some(3)));
        assert_eq!(version_from(Some(json!(3)), "v"), Ok(Some(3)));
        assert_eq!(version_from(Some(json!(3.0)), "v"), Ok(Some(3)));
        assert!(version_from(Some(json!(3.5)), "v").is_err());
        assert_eq!(version_from(Some(json!("")), "v"), Ok(None));
        assert!(version_from(Some(json!(-1)), "v").is_err());
        assert!(version_from(Some(json!("three")), "v").is_err());
    }
}
