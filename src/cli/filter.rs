//! Which items, and how: the flags that `count` and `publish` share with the API, and what they say in its words.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};

/// Puts `value` under `name`, unless there is none.
pub fn put<T: Into<Value>>(body: &mut Map<String, Value>, name: &str, value: Option<T>) {
    if let Some(value) = value {
        body.insert(name.to_owned(), value.into());
    }
}

pub fn put_list(body: &mut Map<String, Value>, name: &str, values: &[String]) {
    // An empty array is an error there, for it could be meant as "none" or as "all".
    put(body, name, (!values.is_empty()).then(|| json!(values)));
}

fn put_flag(body: &mut Map<String, Value>, name: &str, on: bool) {
    put(body, name, on.then_some(true));
}

/// A stretch of time. The daemon reads the times, so that all its doors take the same ones.
#[derive(Debug, Clone, Default, Args)]
pub struct Span {
    /// From this time on: RFC 3339, a date, epoch seconds, or a span back from now such as 30d or 6mo
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub from: Option<String>,
    /// Up to, not including, this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub until: Option<String>,
}

impl Span {
    pub fn query(&self) -> [(&str, &str); 2] {
        [("from", self.from.as_deref().unwrap_or_default()), ("until", self.until.as_deref().unwrap_or_default())]
    }
}

/// Which items.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Which items")]
pub struct Filter {
    #[command(flatten)]
    pub span: Span,
    /// conversations, notes, or both
    #[arg(long, value_name = "TYPE,…", value_delimiter = ',')]
    pub types: Vec<String>,
    /// Media of conversations, as voice or chat; leaves notes out
    #[arg(long, value_name = "MEDIA,…", value_delimiter = ',')]
    pub media: Vec<String>,
    /// Items that have one of these programs
    #[arg(long, value_name = "PROGRAM,…", value_delimiter = ',')]
    pub programs: Vec<String>,
    /// Only items that the rules of now have not read yet
    #[arg(long)]
    pub stale_only: bool,
}

impl Filter {
    pub fn body(&self) -> Map<String, Value> {
        let mut body = Map::new();
        put(&mut body, "from", self.span.from.clone());
        put(&mut body, "until", self.span.until.clone());
        put_list(&mut body, "types", &self.types);
        put_list(&mut body, "media", &self.media);
        put_list(&mut body, "programs", &self.programs);
        put_flag(&mut body, "stale_only", self.stale_only);
        body
    }
}

#[derive(Debug, Clone, Default, Args)]
pub struct Publish {
    #[command(flatten)]
    pub filter: Filter,
    /// The items listed in FILE (CSV with columns kind,id,version, or NDJSON; - is stdin) instead of a filter
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "until", "types", "media"])]
    pub ids: Option<PathBuf>,
    /// Publish this draft instead of making a job
    #[arg(long, value_name = "ID", conflicts_with_all = [
        "from", "until", "types", "media", "programs", "stale_only", "ids", "keep_when_empty", "name", "description",
        "priority", "max_per_second", "dry_run", "draft", "split",
    ])]
    pub job: Option<String>,
    /// false: a block where nothing is found any more loses its topics, too
    #[arg(long, value_name = "BOOL", help_heading = "How")]
    pub keep_when_empty: Option<bool>,
    /// Work out all changes and write none; `relabeld apply` makes them
    #[arg(long, help_heading = "How")]
    pub dry_run: bool,
    /// Make as many jobs as it takes, where one would be too large
    #[arg(long, help_heading = "How")]
    pub split: bool,
    /// Make the job, do not start it
    #[arg(long, conflicts_with = "watch", help_heading = "How")]
    pub draft: bool,
    #[command(flatten)]
    pub traits: Traits,
    #[arg(long, value_name = "TEXT", help_heading = "How")]
    pub description: Option<String>,
    /// Show its progress until it ends
    #[arg(long)]
    pub watch: bool,
}

impl Publish {
    pub fn body(&self) -> Map<String, Value> {
        let mut body = self.filter.body();
        put(&mut body, "keep_when_empty", self.keep_when_empty);
        put_flag(&mut body, "dry_run", self.dry_run);
        put_flag(&mut body, "split", self.split);
        put(&mut body, "publish", self.draft.then_some(false));
        put(&mut body, "description", self.description.clone());
        body.extend(self.traits.body());
        body
    }
}

/// What a job has and `set` changes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "How")]
#[group(multiple = true)]
pub struct Traits {
    #[arg(long)]
    pub name: Option<String>,
    /// Among the bulk jobs a higher one gets more of the workers; none starves
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub priority: Option<i64>,
    /// Items a second at most, or none
    #[arg(long, value_name = "N|none", value_parser = limit)]
    pub max_per_second: Option<Value>,
}

impl Traits {
    pub fn body(&self) -> Map<String, Value> {
        let mut body = Map::new();
        put(&mut body, "name", self.name.clone());
        put(&mut body, "priority", self.priority);
        put(&mut body, "max_per_second", self.max_per_second.clone());
        body
    }
}

/// A number as it was written, so that 5 stays 5; null lifts the limit.
fn limit(text: &str) -> Result<Value, String> {
    match serde_json::from_str::<Value>(text) {
        _ if text == "none" => Ok(Value::Null),
        Ok(Value::Number(n)) if n.as_f64().is_some_and(|n| n > 0.0) => Ok(Value::Number(n)),
        _ => Err("a number above 0, or none".to_owned()),
    }
}
