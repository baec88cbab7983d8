//! The arguments of the other larger commands, and what they say in the words of the API.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser as Text;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value};

use super::filter::{Recent, Span, put, put_list};
use crate::client::download::Form;
use crate::client::items::Mark;
use crate::demo;
use crate::model::Kind;

/// Of a job, as the API has them.
pub const STATES: [&str; 10] = [
    "draft",
    "queued",
    "planning",
    "running",
    "paused",
    "cancelling",
    "completed",
    "completed_with_failures",
    "failed",
    "cancelled",
];

/// Which phrase to try, and on what.
#[derive(Debug, Clone, Default, Args)]
pub struct Try {
    /// The words to look for
    #[arg(value_parser = Text::new())]
    pub phrase: String,
    /// Score that a match must have [default: 72]
    #[arg(long, value_name = "1-100", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub strictness: Option<u8>,
    /// Compare the stems of words, or the words as they are [default: stems]
    #[arg(long = "match", value_name = "MATCH", value_parser = ["stems", "words"])]
    pub matching: Option<String>,
    /// Whose words count [default: all]
    #[arg(long, value_name = "WHO", value_parser = ["all", "customer", "agent"])]
    pub participants: Option<String>,
    #[command(flatten)]
    pub recent: Recent,
    /// Items that have one of these programs
    #[arg(long, value_name = "PROGRAM,…", value_delimiter = ',', value_parser = Text::new())]
    pub programs: Vec<String>,
    /// Matches to show at most [default: 20]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub limit: Option<u32>,
}

impl Try {
    pub fn body(&self) -> Map<String, Value> {
        let mut body = Map::new();
        put(&mut body, "phrase", Some(self.phrase.clone()));
        put(&mut body, "strictness", self.strictness);
        put(&mut body, "match", self.matching.clone());
        put(&mut body, "participants", self.participants.clone());
        self.recent.put(&mut body);
        put_list(&mut body, "programs", &self.programs);
        put(&mut body, "limit", self.limit);
        body
    }
}

#[derive(Debug, Clone, Subcommand)]
pub enum Catalogue {
    /// Make FILE the next revision: all of it or nothing
    #[command(after_help = "\
A catalogue is a JSON object:
  {\"topics\":[
    {\"id\":\"refund\",\"name\":\"Refund request\",\"programs\":[\"billing\"],
     \"participants\":\"customer\",\"phrases\":[\"money back\",{\"text\":\"refund\",\"strictness\":90}]}]}

Applying labels nothing: `relabeld publish --stale-only --from 1970-01-01` does, for the items that the change concerns.

Examples:
  relabeld catalogue apply topics.json --dry-run      what it would change
  relabeld catalogue apply topics.json
  relabeld catalogue show --revision 3 > c3.json; relabeld catalogue apply c3.json")]
    Apply {
        /// The whole catalogue as JSON; - is stdin
        file: PathBuf,
        /// Allow it to leave out topics that there are now
        #[arg(long)]
        allow_remove: bool,
        /// Refuse unless this is the current revision
        #[arg(long, value_name = "REVISION", value_parser = whole::<u64>)]
        if_match: Option<u64>,
        /// Only check it and say what it would change
        #[arg(long, conflicts_with = "if_match")]
        dry_run: bool,
    },
    /// Print the catalogue as JSON, to be edited and applied
    #[command(after_help = "Example:\n  relabeld catalogue show > topics.json")]
    Show {
        /// An earlier one [default: the current one]
        #[arg(long, value_name = "N", value_parser = whole::<u64>)]
        revision: Option<u64>,
    },
    /// Try one phrase on the stored items; changes nothing
    #[command(
        after_help = "Example:\n  relabeld catalogue test 'money back' --strictness 80 --participants customer --from 7d"
    )]
    Test(Try),
}

#[derive(Debug, Clone, Subcommand)]
pub enum Relabel {
    /// Relabel one conversation
    #[command(after_help = "Example:\n  relabeld relabel conversation fs-1 --watch")]
    Conversation {
        /// Its id, as it was imported
        #[arg(value_parser = Text::new())]
        id: String,
        /// Wait until it is done, and show the result
        #[arg(long)]
        watch: bool,
    },
    /// Relabel one note, at the version that is stored
    #[command(after_help = "Example:\n  relabeld relabel note n-9 --version 3 --watch")]
    Note {
        /// Its id, as it was imported
        #[arg(value_parser = Text::new())]
        id: String,
        /// The version that is meant; refused unless it is the one that is stored
        #[arg(long, value_name = "N", value_parser = whole::<i64>)]
        version: i64,
        /// Wait until it is done, and show the result
        #[arg(long)]
        watch: bool,
    },
}

#[derive(Debug, Clone, Args)]
pub struct Job {
    /// The job's id, a number
    #[arg(value_name = "JOB", value_parser = Text::new())]
    pub id: String,
}

/// An item's key.
#[derive(Debug, Clone, Args)]
pub struct Item {
    /// conversation or note
    #[arg(value_parser = kind)]
    pub kind: Kind,
    /// Its id, as it was imported
    #[arg(value_parser = Text::new())]
    pub id: String,
}

/// clap's own words for what is no number speak of digits found in strings.
pub fn whole<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| "not a whole number".to_owned())
}

fn kind(text: &str) -> Result<Kind, String> {
    let same = |kind: &Kind| text.strip_suffix('s').unwrap_or(text) == kind.as_str();
    Kind::ALL.into_iter().find(same).ok_or_else(|| "conversation or note".to_owned())
}

#[derive(Debug, Clone, Args)]
pub struct MarkArgs {
    #[command(flatten)]
    pub item: Item,
    /// Id of the transcript; a note's is note
    pub transcript: String,
    /// Number of the block, from 0
    pub block: u32,
    /// Id of the topic
    pub topic: String,
    /// What is so
    pub mark: Word,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Word {
    /// The block is about the topic, whatever the rules find
    Is,
    /// It is not, whatever the rules find
    #[value(alias = "is_not")]
    IsNot,
    /// Take the mark back
    None,
}

impl MarkArgs {
    pub fn mark(&self) -> Mark<'_> {
        let mark = match self.mark {
            Word::Is => Some("is"),
            Word::IsNot => Some("is_not"),
            Word::None => None,
        };
        Mark { transcript: &self.transcript, block: self.block, topic: &self.topic, mark }
    }
}

/// Where a download goes, and its form.
#[derive(Debug, Clone, Args)]
pub struct Download {
    /// csv with a head, or one JSON object a line [default: csv; with --json one array]
    #[arg(long, value_name = "FORMAT", value_parser = ["csv", "ndjson"])]
    pub format: Option<String>,
    /// Write to FILE, which appears when it is whole
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

impl Download {
    pub fn form(&self, json: bool) -> Form {
        match self.format.as_deref() {
            Some("ndjson") => Form::Ndjson,
            None if json => Form::Array,
            _ => Form::Csv,
        }
    }
}

/// Which items of a job.
#[derive(Debug, Clone, Args)]
pub struct Which {
    /// Only items in one of these states: pending, running, done, failed, quarantined, cancelled
    #[arg(long, value_name = "STATE,…")]
    pub state: Option<String>,
    /// Only items with one of these outcomes: changed, unchanged, program_has_no_topics, skipped_current, superseded, stale_version, gone, newer_change
    #[arg(long, value_name = "OUTCOME,…")]
    pub outcome: Option<String>,
    /// Only items that failed for one of these: no_topics_detected, error, crashed
    #[arg(long, value_name = "REASON,…")]
    pub reason: Option<String>,
}

impl Which {
    pub fn query(&self) -> [(&'static str, &str); 3] {
        let given = [("state", &self.state), ("outcome", &self.outcome), ("reason", &self.reason)];
        given.map(|(name, words)| (name, words.as_deref().unwrap_or_default()))
    }
}

#[derive(Debug, Clone, Args)]
pub struct Labels {
    #[command(flatten)]
    pub span: Span,
    /// Labels on items that have one of these programs
    #[arg(long, value_name = "PROGRAM,…", value_delimiter = ',', value_parser = Text::new())]
    pub programs: Vec<String>,
    /// Labels of these topics
    #[arg(long, value_name = "TOPIC,…", value_delimiter = ',', value_parser = Text::new())]
    pub topics: Vec<String>,
    /// All changes after this change number instead of what stands, to feed another system
    #[arg(long, value_name = "N", conflicts_with_all = ["from", "until", "programs", "topics"], value_parser = whole::<u64>)]
    pub since: Option<u64>,
    #[command(flatten)]
    pub download: Download,
}

#[derive(Debug, Clone, Args)]
pub struct Demo {
    /// End after the tour instead of leaving the page open
    #[arg(long)]
    pub exit: bool,
    /// The same seed makes the same conversations [default: 1]
    #[arg(long, value_name = "N", value_parser = whole::<u64>)]
    pub seed: Option<u64>,
    /// How many [default: 3000]
    #[arg(long, value_name = "N", value_parser = whole::<usize>)]
    pub conversations: Option<usize>,
    /// How many [default: 600]
    #[arg(long, value_name = "N", value_parser = whole::<usize>)]
    pub notes: Option<usize>,
    /// Where to serve the page [default: 127.0.0.1 and a free port]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
}

impl Demo {
    pub fn options(self) -> demo::Options {
        let Demo { exit, seed, conversations, notes, listen } = self;
        demo::Options { exit, seed, conversations, notes, listen }
    }
}

#[derive(Debug, Clone, Subcommand)]
pub enum Token {
    /// Make a new one; the old one and its sessions end at once
    #[command(after_help = "Example:\n  relabeld token rotate token.read")]
    Rotate {
        /// Which one
        #[arg(value_parser = ["token", "token.read", "token.metrics"])]
        name: String,
    },
}
