//! The words of the domain as types: no I/O, no clock, no SQL. Everything above speaks these.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Milliseconds since 1970-01-01T00:00:00Z. The only form in which a time travels below [`crate::wire`].
pub type Millis = i64;

/// A whole number, also as JSON's 1200.0: JSON does not tell the two apart, and some languages print only the latter.
pub fn whole(value: &Value) -> Option<i64> {
    let float = || value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 9e15);
    value.as_i64().or_else(|| float().map(|number| number as i64))
}

/// The program of items and topics that name none.
pub const DEFAULT_PROGRAM: &str = "default";

/// The id of a note's only transcript.
pub const NOTE_TRANSCRIPT: &str = "note";

// Far beyond any conversation or note, and still an item that one transaction can store and one thread can analyse.

/// The longest id, speaker, medium, language, program or topic, in bytes: they are keys of the database and parts of URLs.
pub const MAX_NAME_BYTES: usize = 512;
/// Programs of an item.
pub const MAX_PROGRAMS: usize = 1_000;
/// Transcripts of a conversation.
pub const MAX_TRANSCRIPTS: usize = 10_000;
/// Blocks of an item in all its transcripts; paragraphs of a note.
pub const MAX_BLOCKS: usize = 100_000;
/// Marks that come with an item.
pub const MAX_MARKS: usize = 100_000;

/// What an item is. Together with its id it is the item's key; both are case-sensitive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Conversation,
    Note,
}

impl Kind {
    pub const ALL: [Kind; 2] = [Kind::Conversation, Kind::Note];

    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Conversation => "conversation",
            Kind::Note => "note",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One utterance of a conversation, or one paragraph of a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// `customer`, `agent`, or any other word; a note's paragraphs have none.
    pub speaker: Option<String>,
    /// As imported; may be empty.
    pub text: String,
    /// Offset from the conversation's start, in milliseconds.
    pub at_ms: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcript {
    pub id: String,
    pub program: Option<String>,
    /// A BCP 47 tag such as `en-US`; only its primary subtag chooses the stemmer.
    pub language: Option<String>,
    pub blocks: Vec<Block>,
}

/// A conversation or a note, as imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub kind: Kind,
    pub id: String,
    /// Notes have one, conversations none.
    pub version: Option<i64>,
    /// `started_at` of a conversation, `created_at` of a note.
    pub at: Millis,
    /// Conversations have one, notes none.
    pub media: Option<String>,
    /// As imported; see [`Item::all_programs`].
    pub programs: Vec<String>,
    pub transcripts: Vec<Transcript>,
    /// A note's text as imported; its blocks are the paragraphs of it.
    pub text: Option<String>,
}

impl Item {
    /// The item's own programs and those of its transcripts, sorted, each once; `default` when there are none.
    pub fn all_programs(&self) -> Vec<String> {
        let of_transcripts = self.transcripts.iter().filter_map(|t| t.program.as_ref());
        let mut all: Vec<String> = self.programs.iter().chain(of_transcripts).cloned().collect();
        if all.is_empty() {
            all.push(DEFAULT_PROGRAM.to_owned());
        }
        all.sort();
        all.dedup();
        all
    }
}

/// One block as a labeller sees it, borrowed from the stored form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Utterance<'a> {
    /// Ordinal of the transcript in the item.
    pub transcript: u32,
    /// Index of the block in its transcript.
    pub block: u32,
    /// BCP 47 tag of the transcript, where it has one.
    pub language: Option<&'a str>,
    /// None for a note's blocks.
    pub speaker: Option<&'a str>,
    pub text: &'a str,
}

/// An item as a labeller sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document<'a> {
    pub kind: Kind,
    pub id: &'a str,
    pub utterances: Vec<Utterance<'a>>,
}

/// Who must have spoken a block for a topic to stand on it. A note's blocks fit all three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Participants {
    #[default]
    All,
    Customer,
    Agent,
}

/// What two words must share to be the same word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Match {
    /// Their Snowball stem, in the language of the transcript.
    #[default]
    Stems,
    /// Their normalised letters.
    Words,
}

/// The strictness of a topic that names none, in score points of 1 to 100.
pub const DEFAULT_STRICTNESS: u8 = 72;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Phrase {
    pub text: String,
    /// 1 to 100; the topic's where None.
    pub strictness: Option<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Topic {
    pub id: String,
    pub name: String,
    /// Never empty: `default` stands in for none.
    pub programs: Vec<String>,
    pub participants: Participants,
    pub matching: Match,
    /// 1 to 100.
    pub strictness: u8,
    pub phrases: Vec<Phrase>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Program {
    pub id: String,
    pub name: String,
}

/// All topics and programs, in the order in which they were given; valid by construction of whoever applies it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Catalogue {
    pub topics: Vec<Topic>,
    pub programs: Vec<Program>,
}

/// A set of topics, as indexes into [`Catalogue::topics`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicSet {
    words: Vec<u64>,
}

impl TopicSet {
    pub fn insert(&mut self, topic: usize) {
        if self.words.len() <= topic / 64 {
            self.words.resize(topic / 64 + 1, 0);
        }
        self.words[topic / 64] |= 1 << (topic % 64);
    }

    pub fn contains(&self, topic: usize) -> bool {
        self.words.get(topic / 64).is_some_and(|w| w & (1 << (topic % 64)) != 0)
    }

    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&w| w == 0)
    }
}

impl FromIterator<usize> for TopicSet {
    fn from_iter<I: IntoIterator<Item = usize>>(topics: I) -> Self {
        let mut set = TopicSet::default();
        topics.into_iter().for_each(|t| set.insert(t));
        set
    }
}

/// A topic found on a block, with the phrase that found it best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Detection {
    pub transcript: u32,
    pub block: u32,
    /// Index into [`Catalogue::topics`].
    pub topic: u32,
    /// Index into that topic's phrases.
    pub phrase: u32,
    /// 1 to 100.
    pub score: u8,
    /// First code point of the block's stored text that the match covers.
    pub start: u32,
    /// One past the last.
    pub end: u32,
}

/// Why an attempt on an item came to nothing. The text is shown to people and never quotes an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Worth another attempt after a while.
    Transient(String),
    /// Would fail again.
    Permanent(String),
}
