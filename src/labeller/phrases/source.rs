//! A catalogue's phrases as words, before it is known in which language they are to be stemmed.

use crate::model::{Catalogue, Match};

use super::text::Normal;
use super::words;

pub struct Source {
    /// Index into the catalogue's topics.
    pub topic: u32,
    /// Index into the topic's phrases.
    pub phrase: u32,
    pub strictness: u8,
    /// Normalised; none for a phrase that never matches.
    pub words: Vec<Box<str>>,
}

/// The phrases of the topics that match in this way, in the catalogue's order.
pub fn sources(catalogue: &Catalogue, matching: Match) -> Vec<Source> {
    let mut sources = Vec::new();
    let topics = catalogue.topics.iter().enumerate().filter(|(_, topic)| topic.matching == matching);
    for (nth, topic) in topics {
        sources.extend(topic.phrases.iter().enumerate().map(|(phrase, p)| Source {
            topic: nth as u32,
            phrase: phrase as u32,
            strictness: p.strictness.unwrap_or(topic.strictness).max(1),
            words: words_of(&p.text),
        }));
    }
    sources
}

/// The words of a text as they are compared by `match = "words"`: normalised, in order.
pub fn words_of(text: &str) -> Vec<Box<str>> {
    let mut normal = Normal::default();
    normal.read(text);
    let text = normal.padded_text();
    let mut found = Vec::new();
    words::split(text, &mut found);
    found.iter().filter_map(|w| text.0.get(w.start..w.end)).map(Into::into).collect()
}
