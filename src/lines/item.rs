//! One line of an import to an [`Item`], or to the place and the reason of what is wrong with it.

use std::collections::HashMap;

use serde_json::Value;

use super::field::{Complaint, Field, Reads, reads_object};
use crate::model::{
    Block, Item, Kind, MAX_BLOCKS, MAX_MARKS, MAX_NAME_BYTES, MAX_PROGRAMS, MAX_TRANSCRIPTS, Millis, NOTE_TRANSCRIPT,
    Transcript, whole,
};
use crate::when;

/// One line of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    pub item: Item,
    /// `None` leaves the marks of a stored item alone; `Some` replaces them, even when empty.
    pub marks: Option<Vec<IncomingMark>>,
}

/// A person's word on a block that the item has; at most one a (transcript, block, topic).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncomingMark {
    pub transcript: String,
    pub block: u32,
    pub topic: String,
    pub mark: MarkWord,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkWord {
    Is,
    IsNot,
}

/// Reads an item. The error names the field by its path and quotes nothing of what the line holds.
///
/// A key that stands twice in one object is an error, since no choice between the two would be safe.
pub fn parse_line(line: &[u8]) -> Result<Incoming, String> {
    // For the whole line, as serde_json does not look into the strings that it skips.
    let line = std::str::from_utf8(line).map_err(|error| format!("not UTF-8 at byte {}", error.valid_up_to() + 1))?;
    let raw: Field<RawItem> = serde_json::from_str(line).map_err(|error| unreadable(&error))?;
    raw.entry().and_then(incoming).map_err(|complaint| complaint.to_string())
}

/// serde_json's messages name a position and what the syntax lacks, never what stands there.
fn unreadable(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or_default();
    let judgement = if error.is_data() { "" } else { "not JSON: " };
    format!("{judgement}{what} at column {}", error.column())
}

fn incoming(raw: RawItem) -> Result<Incoming, Complaint> {
    let marks = raw.marks.optional("marks")?;
    let item = match raw.kind.required("kind")?.as_str() {
        "conversation" => conversation(raw.id, raw.media, raw.started_at, raw.programs, raw.transcripts)?,
        "note" => note(raw.id, raw.version, raw.created_at, raw.programs, raw.text)?,
        _ => return Err(Complaint::new("must be conversation or note").within("kind")),
    };
    let marks = marks.map(|marks| checked_marks(marks, &item)).transpose()?;
    Ok(Incoming { item, marks })
}

fn conversation(
    id: Field<String>,
    media: Field<String>,
    started_at: Field<Value>,
    programs: Field<Vec<Field<String>>>,
    transcripts: Field<Vec<Field<RawTranscript>>>,
) -> Result<Item, Complaint> {
    let item = Item {
        kind: Kind::Conversation,
        id: name(id, "id")?,
        version: None,
        at: time(started_at, "started_at")?,
        media: Some(name(media, "media")?),
        programs: names(programs, "programs")?,
        transcripts: filled("transcripts", transcripts, MAX_TRANSCRIPTS, transcript)?,
        text: None,
    };
    let blocks = item.transcripts.iter().map(|transcript| transcript.blocks.len()).sum();
    at_most(MAX_BLOCKS, blocks, "blocks in all").map_err(|complaint| complaint.within("transcripts"))?;
    let mut places = HashMap::with_capacity(item.transcripts.len());
    for (place, transcript) in item.transcripts.iter().enumerate() {
        if let Some(first) = places.insert(transcript.id.as_str(), place) {
            return Err(Complaint::new(format!("the same as transcripts[{first}].id"))
                .within("id")
                .at("transcripts", place));
        }
    }
    Ok(item)
}

fn transcript(raw: RawTranscript) -> Result<Transcript, Complaint> {
    Ok(Transcript {
        id: name(raw.id, "id")?,
        program: optional_name(raw.program, "program")?,
        language: optional_name(raw.language, "language")?,
        blocks: filled("blocks", raw.blocks, MAX_BLOCKS, block)?,
    })
}

fn block(raw: RawBlock) -> Result<Block, Complaint> {
    Ok(Block {
        speaker: Some(name(raw.speaker, "speaker")?),
        text: raw.text.required("text")?,
        at_ms: raw.at_ms.optional("at_ms")?,
    })
}

fn note(
    id: Field<String>,
    version: Field<Value>,
    created_at: Field<Value>,
    programs: Field<Vec<Field<String>>>,
    text: Field<String>,
) -> Result<Item, Complaint> {
    let (id, version) = (name(id, "id")?, note_version(&version.required("version")?)?);
    let at = time(created_at, "created_at")?;
    let programs = names(programs, "programs")?;
    let text = text.required("text")?;
    let blocks = paragraphs(&text);
    at_most(MAX_BLOCKS, blocks.len(), "paragraphs").map_err(|complaint| complaint.within("text"))?;
    let blocks = blocks.into_iter().map(|text| Block { speaker: None, text: text.to_owned(), at_ms: None });
    let transcript =
        Transcript { id: NOTE_TRANSCRIPT.to_owned(), program: None, language: None, blocks: blocks.collect() };
    Ok(Item {
        kind: Kind::Note,
        id,
        version: Some(version),
        at,
        media: None,
        programs,
        transcripts: vec![transcript],
        text: Some(text),
    })
}

fn note_version(value: &Value) -> Result<i64, Complaint> {
    let version = match value {
        // `parse` alone would take a plus sign as well.
        Value::String(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok(),
        other => whole(other).filter(|version| *version >= 0),
    };
    version.ok_or_else(|| Complaint::new("must be a whole number, 0 or more").within("version"))
}

/// The blocks of a note: its paragraphs, divided by lines of nothing but white space.
///
/// White space around a paragraph is no part of it, so that an indent or a stray blank makes no other block of it.
/// A note without a word is one empty block.
pub fn paragraphs(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut start, mut end) = (0, 0);
    for line in text.split_inclusive('\n') {
        if line.trim().is_empty() {
            found.push(text[start..end].trim());
            start = end + line.len();
        }
        end += line.len();
    }
    found.push(text[start..end].trim());
    found.retain(|paragraph| !paragraph.is_empty());
    if found.is_empty() {
        found.push(&text[..0]);
    }
    found
}

fn checked_marks(raw: Vec<Field<RawMark>>, item: &Item) -> Result<Vec<IncomingMark>, Complaint> {
    // A list of marks can be as long as a line, so neither blocks nor earlier marks are searched for one by one.
    let lengths: HashMap<&str, usize> = item.transcripts.iter().map(|t| (t.id.as_str(), t.blocks.len())).collect();
    let marks = each("marks", raw, MAX_MARKS, |raw: RawMark| mark(raw, &lengths))?;
    let mut words = HashMap::with_capacity(marks.len());
    let mut kept = Vec::with_capacity(marks.len());
    for (place, mark) in marks.iter().enumerate() {
        match words.insert((&mark.transcript, mark.block, &mark.topic), mark.mark) {
            Some(word) if word != mark.mark => {
                return Err(
                    Complaint::new("contradicts an earlier mark on the same block and topic").at("marks", place)
                );
            }
            Some(_) => {}
            None => kept.push(mark.clone()),
        }
    }
    Ok(kept)
}

fn mark(raw: RawMark, lengths: &HashMap<&str, usize>) -> Result<IncomingMark, Complaint> {
    let transcript = name(raw.transcript, "transcript")?;
    let Some(&length) = lengths.get(transcript.as_str()) else {
        return Err(Complaint::new("the item has no such transcript").within("transcript"));
    };
    let block = raw.block.required("block")?;
    let block = u32::try_from(block).ok().filter(|block| (*block as usize) < length);
    let block = block
        .ok_or_else(|| Complaint::new(format!("the transcript has blocks 0 to {}", length - 1)).within("block"))?;
    let topic = name(raw.topic, "topic")?;
    let mark = match raw.mark.required("mark")?.as_str() {
        "is" => MarkWord::Is,
        "is_not" => MarkWord::IsNot,
        _ => return Err(Complaint::new("must be is or is_not").within("mark")),
    };
    Ok(IncomingMark { transcript, block, topic, mark })
}

fn time(field: Field<Value>, called: &str) -> Result<Millis, Complaint> {
    when::point_from_json(&field.required(called)?).map_err(|what| Complaint::new(what).within(called))
}

fn name(field: Field<String>, called: &str) -> Result<String, Complaint> {
    named(field.required(called)?).map_err(|complaint| complaint.within(called))
}

fn optional_name(field: Field<String>, called: &str) -> Result<Option<String>, Complaint> {
    field.optional(called)?.map(named).transpose().map_err(|complaint| complaint.within(called))
}

fn names(field: Field<Vec<Field<String>>>, called: &str) -> Result<Vec<String>, Complaint> {
    each(called, field.optional(called)?.unwrap_or_default(), MAX_PROGRAMS, named)
}

fn named(text: String) -> Result<String, Complaint> {
    match text.as_str() {
        "" => Err(Complaint::new("empty")),
        long if long.len() > MAX_NAME_BYTES => {
            Err(Complaint::new(format!("longer than {MAX_NAME_BYTES} bytes: it has {}", long.len())))
        }
        odd if odd.chars().any(char::is_control) => Err(Complaint::new("holds a control character")),
        _ => Ok(text),
    }
}

fn filled<'de, T: Reads<'de>, U>(
    called: &str,
    field: Field<Vec<Field<T>>>,
    most: usize,
    read: impl FnMut(T) -> Result<U, Complaint>,
) -> Result<Vec<U>, Complaint> {
    let list = field.required(called)?;
    if list.is_empty() {
        return Err(Complaint::new("empty").within(called));
    }
    each(called, list, most, read)
}

fn each<'de, T: Reads<'de>, U>(
    called: &str,
    list: Vec<Field<T>>,
    most: usize,
    mut read: impl FnMut(T) -> Result<U, Complaint>,
) -> Result<Vec<U>, Complaint> {
    at_most(most, list.len(), "entries").map_err(|complaint| complaint.within(called))?;
    let entries = list.into_iter().enumerate();
    entries.map(|(place, entry)| entry.entry().and_then(&mut read).map_err(|c| c.at(called, place))).collect()
}

fn at_most(most: usize, count: usize, of: &str) -> Result<(), Complaint> {
    match count > most {
        true => Err(Complaint::new(format!("has {count} {of}, and at most {most} are allowed"))),
        false => Ok(()),
    }
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct RawItem {
    kind: Field<String>,
    id: Field<String>,
    media: Field<String>,
    started_at: Field<Value>,
    version: Field<Value>,
    created_at: Field<Value>,
    programs: Field<Vec<Field<String>>>,
    transcripts: Field<Vec<Field<RawTranscript>>>,
    text: Field<String>,
    marks: Field<Vec<Field<RawMark>>>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct RawTranscript {
    id: Field<String>,
    program: Field<String>,
    language: Field<String>,
    blocks: Field<Vec<Field<RawBlock>>>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct RawBlock {
    speaker: Field<String>,
    text: Field<String>,
    at_ms: Field<i64>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct RawMark {
    transcript: Field<String>,
    block: Field<i64>,
    topic: Field<String>,
    mark: Field<String>,
}

reads_object!(RawItem: kind, RawTranscript: id, RawBlock: speaker, RawMark: transcript);

#[cfg(test)]
mod tests;
