//! The catalogue in its import form: read with everything that is wrong with it, shown, and compared.

mod reader;

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};

use crate::model::{Catalogue, Match, Participants, Phrase, Program, Topic};

const PARTICIPANTS: [(&str, Participants); 3] =
    [("all", Participants::All), ("customer", Participants::Customer), ("agent", Participants::Agent)];
const MATCHES: [(&str, Match); 2] = [("stems", Match::Stems), ("words", Match::Words)];

/// One thing that is wrong with a catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Such as `topics[3].phrases[1].strictness`.
    pub place: String,
    pub what: String,
}

/// How the one fault begins that is found before there is anything to walk through.
const NOT_JSON: &str = "not JSON: ";

impl Fault {
    /// The text is no JSON at all.
    pub fn is_unreadable(&self) -> bool {
        self.what.starts_with(NOT_JSON)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Reads a catalogue, or lists all that is wrong with it. `has_words` tells whether the labeller finds any word in a phrase.
///
/// Programs that topics name and `programs` does not list are added behind those listed, each with its id as its name.
/// Of a key that stands twice in one object the last counts.
/// A text may stand twice among a topic's phrases: the matching rule already says which of equal phrases a label keeps.
pub fn parse(json: &[u8], has_words: impl Fn(&str) -> bool) -> Result<Catalogue, Vec<Fault>> {
    // Editors on Windows put a byte order mark before the text.
    let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
    let value: Value = serde_json::from_slice(json).map_err(|error| {
        let text = error.to_string();
        let what = format!("{NOT_JSON}{}", text.split(" at line ").next().unwrap_or_default());
        vec![Fault { place: format!("line {}, column {}", error.line(), error.column()), what }]
    })?;
    reader::read(&value, has_words)
}

/// The import form. What it shows is read back by [`parse`] as an equal catalogue.
pub fn to_json(catalogue: &Catalogue) -> Value {
    let phrase = |phrase: &Phrase| match phrase.strictness {
        None => json!(phrase.text),
        Some(strictness) => json!({"text": phrase.text, "strictness": strictness}),
    };
    let topic = |topic: &Topic| {
        json!({
            "id": topic.id,
            "name": topic.name,
            "programs": topic.programs,
            "participants": word_of(&PARTICIPANTS, topic.participants),
            "match": word_of(&MATCHES, topic.matching),
            "strictness": topic.strictness,
            "phrases": topic.phrases.iter().map(phrase).collect::<Vec<_>>(),
        })
    };
    let program = |program: &Program| json!({"id": program.id, "name": program.name});
    json!({
        "topics": catalogue.topics.iter().map(topic).collect::<Vec<_>>(),
        "programs": catalogue.programs.iter().map(program).collect::<Vec<_>>(),
    })
}

/// Ids of topics: those added and changed in the new catalogue's order, those removed in the old one's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Difference {
    pub added: Vec<String>,
    pub removed: Vec<String>,
    pub changed: Vec<String>,
}

/// What `new` does to the topics of `old`. Their order and the names of programs are no part of it.
pub fn difference(old: &Catalogue, new: &Catalogue) -> Difference {
    let before: HashMap<&str, &Topic> = old.topics.iter().map(|topic| (topic.id.as_str(), topic)).collect();
    let after: HashSet<&str> = new.topics.iter().map(|topic| topic.id.as_str()).collect();
    let mut difference = Difference::default();
    for topic in &new.topics {
        match before.get(topic.id.as_str()) {
            None => difference.added.push(topic.id.clone()),
            Some(earlier) if *earlier != topic => difference.changed.push(topic.id.clone()),
            Some(_) => {}
        }
    }
    let removed = old.topics.iter().filter(|topic| !after.contains(topic.id.as_str()));
    difference.removed = removed.map(|topic| topic.id.clone()).collect();
    difference
}

fn word_of<T: PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    words.iter().find(|(_, known)| *known == value).map_or("", |(word, _)| word)
}

#[cfg(test)]
mod tests;
