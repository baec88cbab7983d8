//! Jobs as they are made: the flags of `publish`, `retry`, `revert` and `apply`, and what they say in the words of the API.

use std::path::PathBuf;

use clap::Args;
use clap::builder::NonEmptyStringValueParser as Text;
use serde_json::{Map, Number, Value};

use super::args::Job;
use super::filter::{Filter, put, put_flag};
use crate::client::publish::Source;
use crate::wire::is_request_key;

/// All flags of `publish` but --watch: a draft is published as it was made.
const ALL: [&str; 16] = [
    "from",
    "until",
    "types",
    "media",
    "programs",
    "stale_only",
    "ids",
    "keep_when_empty",
    "dry_run",
    "draft",
    "split",
    "name",
    "description",
    "priority",
    "max_per_second",
    "idempotency_key",
];

/// What may be said of any job as it is made.
#[derive(Debug, Clone, Default, Args)]
pub struct How {
    /// Only make it; `relabeld publish --job JOB` publishes it
    #[arg(long, conflicts_with = "watch", help_heading = "How")]
    pub draft: bool,
    /// What to call it
    #[arg(long, value_name = "TEXT", help_heading = "How")]
    pub name: Option<String>,
    /// Among the bulk jobs a higher one gets more of the workers; none starves [default: 50, or as JOB]
    #[arg(long, value_name = "1-100", value_parser = clap::value_parser!(u8).range(1..=100), help_heading = "How")]
    pub priority: Option<u8>,
    /// Items a second at most [default: no limit, or as JOB]
    #[arg(long, value_name = "N", value_parser = speed, help_heading = "How")]
    pub max_per_second: Option<Value>,
    /// Show its progress until it ends, and the result
    #[arg(long, help_heading = "How")]
    pub watch: bool,
}

impl How {
    fn put(&self, body: &mut Map<String, Value>) {
        put(body, "publish", self.draft.then_some(false));
        put(body, "name", self.name.clone());
        put(body, "priority", self.priority);
        put(body, "max_per_second", self.max_per_second.clone());
    }
}

#[derive(Debug, Clone, Default, Args)]
pub struct Publish {
    #[command(flatten)]
    pub filter: Filter,
    /// The items that FILE names instead: CSV whose first line names kind, id and version, or NDJSON; - is stdin
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["from", "until", "types", "media"],
        help_heading = "Which items"
    )]
    pub ids: Option<PathBuf>,
    /// Publish this draft, as it was made
    #[arg(long, value_name = "JOB", value_parser = Text::new(), conflicts_with_all = ALL, help_heading = "Which items")]
    pub job: Option<String>,
    /// Find out what it would change: everything is done but writing the labels
    #[arg(long, help_heading = "How")]
    pub dry_run: bool,
    /// false: a block where nothing is found any more loses its topics, too [default: true]
    #[arg(long, value_name = "BOOL", help_heading = "How")]
    pub keep_when_empty: Option<bool>,
    /// Make as many jobs as it takes, where one would be too large
    #[arg(long, help_heading = "How")]
    pub split: bool,
    /// What it is for
    #[arg(long, value_name = "TEXT", help_heading = "How")]
    pub description: Option<String>,
    /// The same command with the same KEY makes no second job, as long as there is the first
    #[arg(long, value_name = "KEY", value_parser = key, help_heading = "How")]
    pub idempotency_key: Option<String>,
    #[command(flatten)]
    pub how: How,
}

impl Publish {
    pub fn body(&self) -> Map<String, Value> {
        let mut body = self.filter.body();
        put_flag(&mut body, "dry_run", self.dry_run);
        put(&mut body, "keep_when_empty", self.keep_when_empty);
        put_flag(&mut body, "split", self.split);
        put(&mut body, "description", self.description.clone());
        self.how.put(&mut body);
        body
    }

    pub fn source(&self) -> Source {
        match (&self.job, &self.ids) {
            (Some(job), _) => Source::Draft(job.clone()),
            (None, Some(file)) => Source::List(file.clone(), self.body()),
            (None, None) => Source::Range(self.body()),
        }
    }
}

/// What is made of an ended job.
#[derive(Debug, Clone, Args)]
pub struct Again {
    #[command(flatten)]
    pub job: Job,
    /// Find out what it would change: everything is done but writing the labels
    #[arg(long, help_heading = "How")]
    pub dry_run: bool,
    #[command(flatten)]
    pub how: How,
}

impl Again {
    pub fn body(&self) -> Map<String, Value> {
        let mut body = Map::new();
        put_flag(&mut body, "dry_run", self.dry_run);
        self.how.put(&mut body);
        body
    }
}

#[derive(Debug, Clone, Args)]
pub struct Retry {
    #[command(flatten)]
    pub again: Again,
    /// Also the items in which no topic was found, as after a change of the rules
    #[arg(long, help_heading = "Which items")]
    pub no_topics_detected: bool,
}

impl Retry {
    pub fn body(&self) -> Map<String, Value> {
        let mut body = self.again.body();
        put_flag(&mut body, "no_topics_detected", self.no_topics_detected);
        body
    }
}

/// A dry run in earnest: it cannot be one itself.
#[derive(Debug, Clone, Args)]
pub struct Apply {
    #[command(flatten)]
    pub job: Job,
    #[command(flatten)]
    pub how: How,
}

impl Apply {
    pub fn body(&self) -> Map<String, Value> {
        let mut body = Map::new();
        self.how.put(&mut body);
        body
    }
}

/// What may still be changed of a job.
#[derive(Debug, Clone, Args)]
#[group(id = "said", required = true, multiple = true)]
pub struct Set {
    /// What to call it; '' takes its name away
    #[arg(long, value_name = "TEXT")]
    pub name: Option<String>,
    /// Among the bulk jobs a higher one gets more of the workers; none starves
    #[arg(long, value_name = "1-100", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub priority: Option<u8>,
    /// Items a second at most; none: no limit
    #[arg(long, value_name = "N|none", value_parser = speed_or_none)]
    pub max_per_second: Option<Value>,
}

impl Set {
    pub fn body(&self) -> Map<String, Value> {
        let mut body = Map::new();
        // Null takes away.
        let name = self.name.clone().map(|name| if name.is_empty() { Value::Null } else { Value::from(name) });
        put(&mut body, "name", name);
        put(&mut body, "priority", self.priority);
        put(&mut body, "max_per_second", self.max_per_second.clone());
        body
    }
}

/// As the daemon takes it: other characters would not even reach it.
fn key(text: &str) -> Result<String, String> {
    let fits = is_request_key(text).then(|| text.to_owned());
    fits.ok_or_else(|| "from 1 to 255 printable characters of ASCII".to_owned())
}

/// A number as it was written, so that 5 stays 5.
fn speed(text: &str) -> Result<Value, String> {
    let number = serde_json::from_str::<Number>(text).ok().filter(|n| n.as_f64().is_some_and(|n| n > 0.0));
    number.map(Value::Number).ok_or_else(|| "a number above 0".to_owned())
}

fn speed_or_none(text: &str) -> Result<Value, String> {
    match text {
        "none" => Ok(Value::Null),
        _ => speed(text).map_err(|_| "a number above 0, or none".to_owned()),
    }
}
