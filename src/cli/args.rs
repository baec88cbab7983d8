//! The arguments of the other larger commands, and what they say in the words of the API.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value};

use super::filter::{Span, put, put_list};
use crate::client::items::Mark;
use crate::demo;
use crate::model::Kind;

/// Which phrase to try, and on what.
#[derive(Debug, Clone, Default, Args)]
pub struct Try {
    pub phrase: String,
    /// Score that a match must have
    #[arg(long, value_name = "1-100", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub strictness: Option<u8>,
    /// What two words must share
    #[arg(long = "match", value_name = "MATCH", value_parser = ["stems", "words"])]
    pub matching: Option<String>,
    /// Whose words count
    #[arg(long, value_name = "WHO", value_parser = ["all", "customer", "agent"])]
    pub participants: Option<String>,
    #[command(flatten)]
    pub span: Span,
    #[arg(long, value_name = "PROGRAM,…", value_delimiter = ',')]
    pub programs: Vec<String>,
    /// Matches to show at most
    #[arg(long, value_name = "N")]
    pub limit: Option<u32>,
}

impl Try {
    pub fn body(&self) -> Map<String, Value> {
        let mut body = Map::new();
        put(&mut body, "phrase", Some(self.phrase.clone()));
        put(&mut body, "strictness", self.strictness);
        put(&mut body, "match", self.matching.clone());
        put(&mut body, "participants", self.participants.clone());
        put(&mut body, "from", self.span.from.clone());
        put(&mut body, "until", self.span.until.clone());
        put_list(&mut body, "programs", &self.programs);
        put(&mut body, "limit", self.limit);
        body
    }
}

#[derive(Debug, Clone, Subcommand)]
pub enum Catalogue {
    /// Make FILE the next revision (- is stdin): all of it or nothing
    Apply {
        file: PathBuf,
        /// Allow it to leave out topics that there are now
        #[arg(long)]
        allow_remove: bool,
        /// Only if this is the current revision
        #[arg(long, value_name = "REVISION")]
        if_match: Option<u64>,
    },
    /// Print the catalogue as JSON, to be edited and applied
    Show {
        /// An earlier one
        #[arg(long, value_name = "N")]
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
    Conversation {
        id: String,
        /// Wait until it is done
        #[arg(long)]
        watch: bool,
    },
    Note {
        id: String,
        /// The version that is meant; refused unless it is the latest
        #[arg(long, value_name = "N")]
        version: i64,
        /// Wait until it is done
        #[arg(long)]
        watch: bool,
    },
}

/// An item's key.
#[derive(Debug, Clone, Args)]
pub struct Item {
    /// conversation or note
    #[arg(value_parser = kind)]
    pub kind: Kind,
    pub id: String,
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
    pub topic: String,
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
    /// csv, or ndjson with --json
    #[arg(long, value_name = "FORMAT", value_parser = ["csv", "ndjson"])]
    pub format: Option<String>,
    /// Write to FILE, which appears when it is whole
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

impl Download {
    pub fn format(&self, json: bool) -> &str {
        self.format.as_deref().unwrap_or(if json { "ndjson" } else { "csv" })
    }
}

#[derive(Debug, Clone, Args)]
pub struct Labels {
    #[command(flatten)]
    pub span: Span,
    /// Comma-separated
    #[arg(long, value_name = "PROGRAM,…", value_delimiter = ',')]
    pub programs: Vec<String>,
    /// Comma-separated
    #[arg(long, value_name = "TOPIC,…", value_delimiter = ',')]
    pub topics: Vec<String>,
    /// All changes after this change number instead of what stands, to feed another system
    #[arg(long, value_name = "N")]
    pub since: Option<u64>,
    #[command(flatten)]
    pub download: Download,
}

#[derive(Debug, Clone, Args)]
pub struct Demo {
    /// End after the tour instead of leaving the page open
    #[arg(long)]
    pub exit: bool,
    /// The same seed makes the same conversations
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    #[arg(long, value_name = "N")]
    pub conversations: Option<usize>,
    #[arg(long, value_name = "N")]
    pub notes: Option<usize>,
    /// Where to serve the page
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
}

impl Demo {
    pub fn options(self) -> demo::Options {
        let Demo { exit, seed, conversations, notes, listen } = self;
        demo::Options { exit, seed, conversations, notes, listen }
    }
}
