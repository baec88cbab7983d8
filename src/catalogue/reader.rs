//! The JSON of a catalogue to a [`Catalogue`], or to the list of all that is wrong with it.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::{Fault, MATCHES, PARTICIPANTS};
use crate::model::{Catalogue, DEFAULT_PROGRAM, DEFAULT_STRICTNESS, MAX_NAME_BYTES, Phrase, Program, Topic, whole};

// Far beyond any catalogue that people keep, and still one that a machine can compile and hold twice.
const MAX_TOPICS: usize = 100_000;
const MAX_PROGRAMS: usize = 100_000;
const MAX_PHRASES: usize = 1_000_000;
const MAX_PHRASE_BYTES: usize = 4096;
/// What a shown catalogue tells of itself, passed over so that it can be applied again as it came.
const SHOWN_ONLY: [&str; 3] = ["revision", "applied_at", "labeller"];
/// Faults beyond these are only counted, so that absurd input is not answered with gigabytes.
const MAX_FAULTS: usize = 10_000;

pub(super) fn read(value: &Value, has_words: impl Fn(&str) -> bool) -> Result<Catalogue, Vec<Fault>> {
    let mut reader = Reader { faults: Vec::new(), unlisted: 0, phrases: 0, has_words };
    let catalogue = reader.catalogue(value);
    reader.finish(catalogue)
}

/// Walks the JSON, notes each fault and puts a stand-in where it found one: with any fault the result is thrown away.
struct Reader<F> {
    faults: Vec<Fault>,
    unlisted: usize,
    phrases: usize,
    has_words: F,
}

impl<F: Fn(&str) -> bool> Reader<F> {
    fn finish(mut self, catalogue: Catalogue) -> Result<Catalogue, Vec<Fault>> {
        if self.faults.is_empty() {
            return Ok(catalogue);
        }
        if self.unlisted > 0 {
            let what = format!("{} more faults are not listed", self.unlisted);
            self.faults.push(Fault { place: "catalogue".to_owned(), what });
        }
        Err(self.faults)
    }

    fn fault(&mut self, place: &str, what: impl Into<String>) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault { place: place.to_owned(), what: what.into() });
        } else {
            self.unlisted += 1;
        }
    }

    fn catalogue(&mut self, value: &Value) -> Catalogue {
        let Some(fields) = self.object("", value, &["topics", "programs"]) else {
            return Catalogue::default();
        };
        let topics = self.entries("topics", fields.get("topics"), MAX_TOPICS);
        if topics.is_none() && fields.get("topics").is_none_or(Value::is_null) {
            self.fault("topics", "missing");
        }
        let programs = self.entries("programs", fields.get("programs"), MAX_PROGRAMS).unwrap_or_default();
        let mut catalogue = Catalogue { topics: Vec::new(), programs: Vec::new() };
        for (at, value) in topics.unwrap_or_default().iter().enumerate() {
            catalogue.topics.extend(self.topic(&format!("topics[{at}]"), value));
        }
        for (at, value) in programs.iter().enumerate() {
            catalogue.programs.extend(self.program(&format!("programs[{at}]"), value));
        }
        self.unique("topics", topics.unwrap_or_default());
        self.unique("programs", programs);
        add_implied_programs(&mut catalogue);
        catalogue
    }

    fn program(&mut self, place: &str, value: &Value) -> Option<Program> {
        let fields = self.object(place, value, &["id", "name"])?;
        let (id, name) = self.id_and_name(place, fields);
        Some(Program { id, name })
    }

    fn topic(&mut self, place: &str, value: &Value) -> Option<Topic> {
        let known = ["id", "name", "programs", "participants", "match", "strictness", "phrases"];
        let fields = self.object(place, value, &known)?;
        let (id, name) = self.id_and_name(place, fields);
        Some(Topic {
            id,
            name,
            programs: self.programs_of_topic(&format!("{place}.programs"), fields.get("programs")),
            participants: self.word(place, "participants", fields, &PARTICIPANTS),
            matching: self.word(place, "match", fields, &MATCHES),
            strictness: self.strictness(place, fields).unwrap_or(DEFAULT_STRICTNESS),
            phrases: self.phrases(&format!("{place}.phrases"), fields.get("phrases")),
        })
    }

    fn programs_of_topic(&mut self, place: &str, value: Option<&Value>) -> Vec<String> {
        let mut seen = HashSet::new();
        let mut programs = Vec::new();
        for (at, value) in self.entries(place, value, MAX_PROGRAMS).unwrap_or_default().iter().enumerate() {
            let place = format!("{place}[{at}]");
            if let Some(program) = self.name(&place, value) {
                if !seen.insert(program) {
                    self.fault(&place, "named before");
                }
                programs.push(program.to_owned());
            }
        }
        if programs.is_empty() {
            programs.push(DEFAULT_PROGRAM.to_owned());
        }
        programs
    }

    fn phrases(&mut self, place: &str, value: Option<&Value>) -> Vec<Phrase> {
        let Some(value) = value.filter(|value| !value.is_null()) else {
            self.fault(place, "missing");
            return Vec::new();
        };
        let Some(entries) = self.entries(place, Some(value), MAX_PHRASES) else {
            return Vec::new();
        };
        if entries.is_empty() {
            self.fault(place, "empty: a topic needs a phrase");
        }
        let before = self.phrases;
        self.phrases += entries.len();
        if before <= MAX_PHRASES && self.phrases > MAX_PHRASES {
            self.fault(place, format!("here the catalogue has more than {MAX_PHRASES} phrases"));
        }
        let entries = entries.iter().enumerate();
        entries.filter_map(|(at, value)| self.phrase(&format!("{place}[{at}]"), value)).collect()
    }

    fn phrase(&mut self, place: &str, value: &Value) -> Option<Phrase> {
        if let Value::String(text) = value {
            return self.phrase_text(place, text).map(|text| Phrase { text, strictness: None });
        }
        if !value.is_object() {
            self.fault(place, format!("must be a string or an object, not {}", kind_of(value)));
            return None;
        }
        let fields = self.object(place, value, &["text", "strictness"])?;
        let strictness = self.strictness(place, fields);
        let place = format!("{place}.text");
        let text = self.text(&place, fields.get("text").unwrap_or(&Value::Null))?;
        self.phrase_text(&place, text).map(|text| Phrase { text, strictness })
    }

    fn phrase_text(&mut self, place: &str, text: &str) -> Option<String> {
        if text.len() > MAX_PHRASE_BYTES {
            self.fault(place, format!("longer than {MAX_PHRASE_BYTES} bytes"));
        } else if !(self.has_words)(text) {
            self.fault(place, "holds no word: a word needs a letter or a digit");
        } else {
            return Some(text.to_owned());
        }
        None
    }

    fn strictness(&mut self, place: &str, fields: &Map<String, Value>) -> Option<u8> {
        let value = fields.get("strictness").filter(|value| !value.is_null())?;
        let strictness = whole(value).and_then(|n| u8::try_from(n).ok()).filter(|n| (1..=100).contains(n));
        if strictness.is_none() {
            self.fault(&format!("{place}.strictness"), "must be a whole number from 1 to 100");
        }
        strictness
    }

    fn word<T: Copy + Default>(
        &mut self,
        place: &str,
        field: &str,
        fields: &Map<String, Value>,
        words: &[(&str, T)],
    ) -> T {
        let Some(value) = fields.get(field).filter(|value| !value.is_null()) else {
            return T::default();
        };
        let known = words.iter().find(|(word, _)| value.as_str() == Some(word));
        if known.is_none() {
            let allowed: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            self.fault(&format!("{place}.{field}"), format!("must be one of {}", allowed.join(", ")));
        }
        known.map_or_else(T::default, |(_, meaning)| *meaning)
    }

    fn id_and_name(&mut self, place: &str, fields: &Map<String, Value>) -> (String, String) {
        let id = self.name(&format!("{place}.id"), fields.get("id").unwrap_or(&Value::Null)).unwrap_or_default();
        let name = match fields.get("name").filter(|value| !value.is_null()) {
            None => id,
            Some(value) => self.name(&format!("{place}.name"), value).unwrap_or_default(),
        };
        (id.to_owned(), name.to_owned())
    }

    fn name<'v>(&mut self, place: &str, value: &'v Value) -> Option<&'v str> {
        let text = self.text(place, value)?;
        if text.is_empty() {
            self.fault(place, "empty");
        } else if text.len() > MAX_NAME_BYTES {
            self.fault(place, format!("longer than {MAX_NAME_BYTES} bytes"));
        } else if text.chars().any(char::is_control) {
            self.fault(place, "holds a control character");
        } else {
            return Some(text);
        }
        None
    }

    fn text<'v>(&mut self, place: &str, value: &'v Value) -> Option<&'v str> {
        match value {
            Value::String(text) => return Some(text),
            Value::Null => self.fault(place, "missing"),
            other => self.fault(place, format!("must be a string, not {}", kind_of(other))),
        }
        None
    }

    /// The fields of an object; those not known are faults, as they are most often slips of the pen.
    fn object<'v>(&mut self, place: &str, value: &'v Value, known: &[&str]) -> Option<&'v Map<String, Value>> {
        let Value::Object(fields) = value else {
            let place = if place.is_empty() { "catalogue" } else { place };
            self.fault(place, format!("must be an object, not {}", kind_of(value)));
            return None;
        };
        let is_shown = |name: &str| place.is_empty() && SHOWN_ONLY.contains(&name);
        for unknown in fields.keys().filter(|name| !known.contains(&name.as_str()) && !is_shown(name)) {
            let shown: String = unknown.chars().take(60).flat_map(char::escape_debug).collect();
            let joint = if place.is_empty() { "" } else { "." };
            let what = format!("unknown field; known are {}", known.join(", "));
            self.fault(&format!("{place}{joint}{shown}"), what);
        }
        Some(fields)
    }

    /// The entries of an array, where there is one and it is not absurdly long.
    fn entries<'v>(&mut self, place: &str, value: Option<&'v Value>, most: usize) -> Option<&'v [Value]> {
        match value? {
            Value::Null => return None,
            Value::Array(entries) if entries.len() <= most => return Some(entries),
            Value::Array(entries) => self.fault(place, format!("{} entries; at most {most}", entries.len())),
            other => self.fault(place, format!("must be an array, not {}", kind_of(other))),
        }
        None
    }

    fn unique(&mut self, list: &str, entries: &[Value]) {
        let mut first = HashMap::new();
        for (at, entry) in entries.iter().enumerate() {
            let Some(id) = entry.get("id").and_then(Value::as_str) else { continue };
            if let Some(earlier) = first.get(id) {
                self.fault(&format!("{list}[{at}].id"), format!("the same as {list}[{earlier}].id"));
            } else {
                first.insert(id, at);
            }
        }
    }
}

fn add_implied_programs(catalogue: &mut Catalogue) {
    let mut known: HashSet<String> = catalogue.programs.iter().map(|program| program.id.clone()).collect();
    for id in catalogue.topics.iter().flat_map(|topic| &topic.programs) {
        if known.insert(id.clone()) {
            catalogue.programs.push(Program { id: id.clone(), name: id.clone() });
        }
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
