//! Which items: the flags of `count` and `publish`, and what they say in the words of the API.

use clap::Args;
use clap::builder::NonEmptyStringValueParser as Text;
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

pub fn put_flag(body: &mut Map<String, Value>, name: &str, on: bool) {
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
    #[arg(long, value_name = "TYPE,…", value_delimiter = ',', value_parser = Text::new())]
    pub types: Vec<String>,
    /// Conversations of these media, as voice,chat; leaves notes out
    #[arg(long, value_name = "MEDIA,…", value_delimiter = ',', value_parser = Text::new())]
    pub media: Vec<String>,
    /// Items that have one of these programs
    #[arg(long, value_name = "PROGRAM,…", value_delimiter = ',', value_parser = Text::new())]
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
