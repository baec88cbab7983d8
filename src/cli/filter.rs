//! Which items, and how: the flags of `count` and `publish`, and what they say in the words of the API.

use clap::Args;
use serde_json::{Map, Number, Value, json};

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
    /// From this time on: 30d (back from now; also 12h, 6mo), 2026-11-01, 2026-11-01T10:00:00Z, epoch seconds
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub from: Option<String>,
    /// Up to, not including, this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub until: Option<String>,
}

/// The same where the daemon takes the last 30 days unless it is told otherwise.
#[derive(Debug, Clone, Default, Args)]
pub struct Recent {
    /// From this time on: 30d (back from now; also 12h, 6mo), 2026-11-01, 2026-11-01T10:00:00Z, epoch seconds [default: 30d]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub from: Option<String>,
    /// Up to, not including, this time [default: now]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub until: Option<String>,
}

impl Recent {
    pub fn put(&self, body: &mut Map<String, Value>) {
        put(body, "from", self.from.clone());
        put(body, "until", self.until.clone());
    }
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
    pub recent: Recent,
    /// conversations or notes [default: both]
    #[arg(long, value_name = "TYPE,…", value_delimiter = ',')]
    pub types: Vec<String>,
    /// Conversations of these media, as voice,chat; leaves notes out
    #[arg(long, value_name = "MEDIA,…", value_delimiter = ',')]
    pub media: Vec<String>,
    /// Items that have one of these programs
    #[arg(long, value_name = "PROGRAM,…", value_delimiter = ',')]
    pub programs: Vec<String>,
    /// Only items that the rules of now have not read
    #[arg(long)]
    pub stale_only: bool,
}

impl Filter {
    pub fn body(&self) -> Map<String, Value> {
        let mut body = Map::new();
        self.recent.put(&mut body);
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
    /// false: a block where nothing is found any more loses its topics, too [default: true]
    #[arg(long, value_name = "BOOL", help_heading = "How")]
    pub keep_when_empty: Option<bool>,
    /// Make as many jobs as it takes, where one would be too large
    #[arg(long, help_heading = "How")]
    pub split: bool,
    /// What to call it
    #[arg(long, value_name = "TEXT", help_heading = "How")]
    pub name: Option<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT", help_heading = "How")]
    pub description: Option<String>,
    /// Among the bulk jobs a higher one gets more of the workers; none starves [default: 50]
    #[arg(long, value_name = "1-100", value_parser = clap::value_parser!(u8).range(1..=100), help_heading = "How")]
    pub priority: Option<u8>,
    /// Items a second at most [default: no limit]
    #[arg(long, value_name = "N", value_parser = speed, help_heading = "How")]
    pub max_per_second: Option<Value>,
    /// Show its progress until it ends, and the result
    #[arg(long, help_heading = "How")]
    pub watch: bool,
}

impl Publish {
    pub fn body(&self) -> Map<String, Value> {
        let mut body = self.filter.body();
        put(&mut body, "keep_when_empty", self.keep_when_empty);
        put_flag(&mut body, "split", self.split);
        put(&mut body, "name", self.name.clone());
        put(&mut body, "description", self.description.clone());
        put(&mut body, "priority", self.priority);
        put(&mut body, "max_per_second", self.max_per_second.clone());
        body
    }
}

/// A number as it was written, so that 5 stays 5.
fn speed(text: &str) -> Result<Value, String> {
    let number = serde_json::from_str::<Number>(text).ok().filter(|n| n.as_f64().is_some_and(|n| n > 0.0));
    number.map(Value::Number).ok_or_else(|| "a number above 0".to_owned())
}
