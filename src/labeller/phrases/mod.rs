//! The built-in labeller: a topic is found where one of its phrases stands, whole or nearly so.
//!
//! A block is normalised ([`text`]) and divided into words ([`mod@words`]). Each word that begins as one of a phrase may
//! ([`begins`]) becomes the symbol of its stem ([`stem`], [`cache`]). The symbols lead to the few phrases that could
//! match ([`index`], [`runs`], [`search`]), and only for those that have much freedom the best span is sought ([`span`]).
//! Of each topic the best is kept ([`best`]). So the work grows with the block, hardly with the number of phrases.

mod begins;
mod best;
mod cache;
mod index;
#[cfg(test)]
mod oracle;
mod runs;
mod search;
mod source;
mod span;
mod stem;
mod text;
mod words;

use std::sync::{Mutex, OnceLock, PoisonError};

use self::best::Best;
use self::index::Index;
use self::search::Search;
use self::source::{Source, sources};
use self::stem::{Form, Language};
use self::text::Normal;
use self::words::Word;
use super::Labeller;
use crate::model::{Catalogue, Detection, Document, Failure, Match, Participants, TopicSet, Utterance};

/// Names the rule. To be changed whenever the same catalogue and text could give another result, also when that comes
/// of a new version of Unicode or Snowball: what was read by another version is not fresh.
pub const VERSION: &str = "phrases/1";

/// Longer blocks are refused, so that places fit the 32 bits they have. NFKC makes text at most 11 times as long.
const MAX_BLOCK_BYTES: usize = u32::MAX as usize / 16;

/// What a buffer may keep of a long block until the next.
const KEPT_BYTES: usize = 1 << 20;

/// Whether the text has a word, without which a phrase never matches.
pub fn has_words(text: &str) -> bool {
    !words(text).is_empty()
}

/// The words of a text, normalised, in order.
pub fn words(text: &str) -> Vec<String> {
    source::words_of(text).into_iter().map(String::from).collect()
}

/// A catalogue's phrases, compiled.
pub struct Phrases {
    /// By topic.
    participants: Vec<Participants>,
    /// The phrases of topics with `match = "words"`; None when there are none.
    words: Option<Index>,
    stems: Vec<Source>,
    /// The same phrases in each language that was met, stemmed when it was first met.
    by_language: [OnceLock<Index>; Language::COUNT],
    /// What the threads work with, kept here between items and dropped with the catalogue.
    idle: Mutex<Vec<Desk>>,
}

/// What a thread needs to read a document, with nothing on it that changes a result.
struct Desk {
    normal: Normal,
    words: Vec<Word>,
    best: Best,
    by_word: Option<Search>,
    by_stem: [Option<Box<Search>>; Language::COUNT],
}

impl Phrases {
    /// A phrase without words never matches.
    pub fn compile(catalogue: &Catalogue) -> Phrases {
        let by_word = sources(catalogue, Match::Words);
        Phrases {
            participants: catalogue.topics.iter().map(|topic| topic.participants).collect(),
            words: (!by_word.is_empty()).then(|| Index::compile(&by_word, Form::Word)),
            stems: sources(catalogue, Match::Stems),
            by_language: [const { OnceLock::new() }; Language::COUNT],
            idle: Mutex::default(),
        }
    }

    fn read(
        &self,
        desk: &mut Desk,
        block: &Utterance<'_>,
        language: Language,
        scope: &TopicSet,
        detections: &mut Vec<Detection>,
    ) {
        let Desk { normal, words, best, by_word, by_stem } = desk;
        normal.read(block.text);
        let text = normal.padded_text();
        words::split(text, words);
        best.begin(self.participants.len());
        // By the participants' number.
        let fits = [Participants::All, Participants::Customer, Participants::Agent];
        let fits = fits.map(|participants| speaks(participants, block.speaker));
        let wanted = |topic: u32| {
            let participants = self.participants.get(topic as usize).copied().unwrap_or_default();
            scope.contains(topic as usize) && fits.get(participants as usize).is_some_and(|&fits| fits)
        };
        if let Some(index) = &self.words {
            let search = by_word.get_or_insert_with(|| Search::new(index));
            search.run(index, text, words, wanted, best);
        }
        if !self.stems.is_empty() {
            let slots = (self.by_language.get(language.index()), by_stem.get_mut(language.index()));
            if let (Some(index), Some(search)) = slots {
                let index = index.get_or_init(|| Index::compile(&self.stems, Form::Stem(language)));
                let search = search.get_or_insert_with(|| Box::new(Search::new(index)));
                search.run(index, text, words, wanted, best);
            }
        }
        for (topic, hit) in best.found() {
            let (Some(first), Some(last)) = (words.get(hit.first as usize), words.get(hit.last as usize)) else {
                continue;
            };
            let place = normal.place(first.start..last.end);
            detections.push(Detection {
                transcript: block.transcript,
                block: block.block,
                topic,
                phrase: hit.phrase,
                score: hit.score,
                start: place.start as u32,
                end: place.end as u32,
            });
        }
    }
}

fn speaks(participants: Participants, speaker: Option<&str>) -> bool {
    match (participants, speaker) {
        (Participants::All, _) | (_, None) => true,
        (Participants::Customer, Some(speaker)) => speaker == "customer",
        (Participants::Agent, Some(speaker)) => speaker == "agent",
    }
}

impl Labeller for Phrases {
    fn analyse(&self, document: &Document<'_>, scope: &TopicSet) -> Result<Vec<Detection>, Failure> {
        let mut detections = Vec::new();
        if scope.is_empty() {
            return Ok(detections);
        }
        if document.utterances.iter().any(|block| block.text.len() > MAX_BLOCK_BYTES) {
            return Err(Failure::Permanent(format!("a block is longer than {MAX_BLOCK_BYTES} bytes")));
        }
        // A lock an item is nothing next to the item. A desk lost in a panic is replaced by a new one.
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let desk = idle().pop();
        let mut desk = desk.unwrap_or_default();
        for transcript in document.utterances.chunk_by(|a, b| a.language == b.language) {
            let language = Language::of(transcript.first().and_then(|block| block.language));
            for block in transcript {
                self.read(&mut desk, block, language, scope, &mut detections);
            }
        }
        desk.tidy();
        idle().push(desk);
        Ok(detections)
    }
}

impl Default for Desk {
    fn default() -> Desk {
        Desk {
            normal: Normal::default(),
            words: Vec::new(),
            best: Best::default(),
            by_word: None,
            by_stem: [const { None }; Language::COUNT],
        }
    }
}

impl Desk {
    /// Gives back what very long blocks made it take.
    fn tidy(&mut self) {
        self.normal.shrink(KEPT_BYTES);
        self.words.clear();
        self.words.shrink_to(KEPT_BYTES / size_of::<Word>());
        self.by_word.iter_mut().for_each(|search| search.shrink(KEPT_BYTES));
        self.by_stem.iter_mut().flatten().for_each(|search| search.shrink(KEPT_BYTES));
    }
}
