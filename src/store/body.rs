//! The stored form of an item's text: packed, so that reading one costs no parse and no copy of its text.
//!
//! Layout, version 1: the version; programs; then per transcript its ordinal in `item.transcripts`, program,
//! language and blocks. A note stores its text once and its paragraphs are cut out of it again.

use super::codec::{Cursor, Damaged, put, put_bytes, put_signed};
use crate::lines::paragraphs;
use crate::model::{Block, Document, Kind, NOTE_TRANSCRIPT, Transcript, Utterance};

const FORMAT: u64 = 1;

fn put_optional(out: &mut Vec<u8>, text: Option<&str>) {
    put(out, u64::from(text.is_some()));
    if let Some(text) = text {
        put_bytes(out, text.as_bytes());
    }
}

/// Reads a packed form from front to back. A stretch of texts is checked as UTF-8 at once, with the numbers between them,
/// as far as those are ASCII: many short texts would take long one by one.
struct Reader<'a> {
    content: &'a [u8],
    rest: Cursor<'a>,
    /// A part of the content that is UTF-8, and where it begins.
    text: &'a str,
    text_from: usize,
}

impl<'a> Reader<'a> {
    fn new(content: &'a [u8]) -> Reader<'a> {
        Reader { content, rest: Cursor(content), text: "", text_from: 0 }
    }

    fn take_str(&mut self) -> Result<&'a str, Damaged> {
        let len = self.rest.take_bytes()?.len();
        let from = self.content.len() - self.rest.0.len() - len;
        let known = from - self.text_from..from - self.text_from + len;
        if let Some(text) = self.text.get(known) {
            return Ok(text);
        }
        let following = self.content.get(from..).ok_or(Damaged)?;
        self.text_from = from;
        self.text = match str::from_utf8(following) {
            Ok(all) => all,
            Err(end) => str::from_utf8(&following[..end.valid_up_to()]).unwrap_or_default(),
        };
        self.text.get(..len).ok_or(Damaged)
    }
}

fn take_optional<'a>(from: &mut Reader<'a>) -> Result<Option<&'a str>, Damaged> {
    match from.rest.take()? {
        0 => Ok(None),
        _ => from.take_str().map(Some),
    }
}

/// Appends the packed form. `ordinals` gives each transcript's place in the item's list of transcript ids; of a note
/// only the text is kept.
pub fn pack(
    out: &mut Vec<u8>,
    programs: &[String],
    text: Option<&str>,
    transcripts: &[Transcript],
    ordinals: impl IntoIterator<Item = u32>,
) {
    put(out, FORMAT);
    put(out, programs.len() as u64);
    for program in programs {
        put_bytes(out, program.as_bytes());
    }
    match text {
        Some(text) => put_bytes(out, text.as_bytes()),
        None => pack_transcripts(out, transcripts, ordinals),
    }
}

fn pack_transcripts(out: &mut Vec<u8>, transcripts: &[Transcript], ordinals: impl IntoIterator<Item = u32>) {
    put(out, transcripts.len() as u64);
    for (transcript, ordinal) in transcripts.iter().zip(ordinals) {
        put(out, ordinal.into());
        put_optional(out, transcript.program.as_deref());
        put_optional(out, transcript.language.as_deref());
        put(out, transcript.blocks.len() as u64);
        for block in &transcript.blocks {
            put_bytes(out, block.speaker.as_deref().unwrap_or("").as_bytes());
            put_bytes(out, block.text.as_bytes());
            put(out, u64::from(block.at_ms.is_some()));
            if let Some(at_ms) = block.at_ms {
                put_signed(out, at_ms);
            }
        }
    }
}

/// Checks the format and returns the number of programs that follow.
fn take_program_count(from: &mut Reader<'_>) -> Result<u64, Damaged> {
    if from.rest.take()? != FORMAT {
        return Err(Damaged);
    }
    from.rest.take()
}

/// The text as a labeller sees it, borrowed from the packed form.
pub fn document<'a>(kind: Kind, id: &'a str, content: &'a [u8]) -> Result<Document<'a>, Damaged> {
    let mut from = Reader::new(content);
    for _ in 0..take_program_count(&mut from)? {
        from.take_str()?;
    }
    let mut utterances = Vec::new();
    if kind == Kind::Note {
        let blocks = paragraphs(from.take_str()?).into_iter().zip(0..);
        utterances.extend(blocks.map(|(text, block)| Utterance {
            transcript: 0,
            block,
            language: None,
            speaker: None,
            text,
        }));
        return Ok(Document { kind, id, utterances });
    }
    for _ in 0..from.rest.take()? {
        let transcript = from.rest.take_u32()?;
        take_optional(&mut from)?;
        let language = take_optional(&mut from)?;
        let blocks = from.rest.take_u32()?;
        // Each takes three bytes at least, so that no damage makes this ask for more than there can be.
        utterances.reserve((blocks as usize).min(from.rest.0.len() / 3));
        for block in 0..blocks {
            let speaker = Some(from.take_str()?);
            let text = from.take_str()?;
            if from.rest.take()? != 0 {
                from.rest.take_signed()?;
            }
            utterances.push(Utterance { transcript, block, language, speaker, text });
        }
    }
    Ok(Document { kind, id, utterances })
}

/// What the packed form holds of an item; the rest stands in its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    pub programs: Vec<String>,
    pub transcripts: Vec<Transcript>,
    /// Per transcript its ordinal.
    pub ordinals: Vec<u32>,
    pub text: Option<String>,
}

/// The whole text again; `ids` is the item's list of transcript ids.
pub fn unpack(kind: Kind, content: &[u8], ids: &[String]) -> Result<Content, Damaged> {
    let mut from = Reader::new(content);
    let programs =
        (0..take_program_count(&mut from)?).map(|_| from.take_str().map(str::to_owned)).collect::<Result<_, _>>()?;
    if kind == Kind::Note {
        let text = from.take_str()?.to_owned();
        let transcripts = vec![note_transcript(&text)];
        return Ok(Content { programs, transcripts, ordinals: vec![0], text: Some(text) });
    }
    let mut transcripts = Vec::new();
    let mut ordinals = Vec::new();
    for _ in 0..from.rest.take()? {
        let ordinal = from.rest.take_u32()?;
        let program = take_optional(&mut from)?.map(str::to_owned);
        let language = take_optional(&mut from)?.map(str::to_owned);
        let blocks = (0..from.rest.take()?).map(|_| take_block(&mut from)).collect::<Result<_, _>>()?;
        let id = ids.get(ordinal as usize).ok_or(Damaged)?.clone();
        transcripts.push(Transcript { id, program, language, blocks });
        ordinals.push(ordinal);
    }
    Ok(Content { programs, transcripts, ordinals, text: None })
}

fn take_block(from: &mut Reader<'_>) -> Result<Block, Damaged> {
    let speaker = Some(from.take_str()?.to_owned());
    let text = from.take_str()?.to_owned();
    let at_ms = match from.rest.take()? {
        0 => None,
        _ => Some(from.rest.take_signed()?),
    };
    Ok(Block { speaker, text, at_ms })
}

/// A note's only transcript: its paragraphs.
pub fn note_transcript(text: &str) -> Transcript {
    let blocks =
        paragraphs(text).into_iter().map(|text| Block { speaker: None, text: text.to_owned(), at_ms: None }).collect();
    Transcript { id: NOTE_TRANSCRIPT.into(), program: None, language: None, blocks }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Item;
    use proptest::collection::vec;
    use proptest::option::of;
    use proptest::prelude::*;

    fn conversation() -> impl Strategy<Value = Item> {
        let block = ("[a-zé]{1,8}", any::<String>(), of(any::<i64>())).prop_map(|(speaker, text, at_ms)| Block {
            speaker: Some(speaker),
            text,
            at_ms,
        });
        let transcript = (of("[a-z]{1,5}"), of("[a-z]{2}(-[A-Z]{2})?"), vec(block, 1..4));
        (vec("[a-z]{1,5}", 0..3), vec(transcript, 1..4)).prop_map(|(programs, transcripts)| Item {
            kind: Kind::Conversation,
            id: "c".into(),
            version: None,
            at: 0,
            media: Some("chat".into()),
            programs,
            transcripts: (0..)
                .zip(transcripts)
                .map(|(no, (program, language, blocks))| Transcript { id: format!("t{no}"), program, language, blocks })
                .collect(),
            text: None,
        })
    }

    fn packed(item: &Item, ordinals: impl IntoIterator<Item = u32>) -> Vec<u8> {
        let mut out = Vec::new();
        pack(&mut out, &item.programs, item.text.as_deref(), &item.transcripts, ordinals);
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_conversation_comes_back(item in conversation(), shift in 0u32..3) {
            // Ordinals name the transcripts in a list that may hold older ones.
            let mut ids: Vec<String> = (0..shift).map(|no| format!("old{no}")).collect();
            ids.extend(item.transcripts.iter().map(|transcript| transcript.id.clone()));
            let ordinals: Vec<u32> = (shift..).take(item.transcripts.len()).collect();
            let packed = packed(&item, ordinals.iter().copied());
            let content = unpack(Kind::Conversation, &packed, &ids).unwrap();
            prop_assert_eq!(&content.programs, &item.programs);
            prop_assert_eq!(&content.transcripts, &item.transcripts);
            prop_assert_eq!(&content.ordinals, &ordinals);
            prop_assert_eq!(content.text, None);

            let seen = document(Kind::Conversation, "c", &packed).unwrap().utterances;
            let blocks = item.transcripts.iter().zip(&ordinals).flat_map(|(transcript, &ordinal)| {
                transcript.blocks.iter().zip(0..).map(move |(block, no)| Utterance {
                    transcript: ordinal,
                    block: no,
                    language: transcript.language.as_deref(),
                    speaker: block.speaker.as_deref(),
                    text: &block.text,
                })
            });
            prop_assert_eq!(seen, blocks.collect::<Vec<_>>());
            prop_assert_eq!(unpack(Kind::Conversation, &packed, &[]), Err(Damaged), "a transcript without a name");
        }

        #[test]
        fn a_note_comes_back_and_its_blocks_are_its_paragraphs(text in "([a-z ]|\n|é){0,60}") {
            let item = Item {
                kind: Kind::Note, id: "n".into(), version: Some(1), at: 0, media: None, programs: vec!["p".into()],
                transcripts: vec![note_transcript(&text)], text: Some(text.clone()),
            };
            let packed = packed(&item, 0..);
            let content = unpack(Kind::Note, &packed, &[]).unwrap();
            prop_assert_eq!((&content.text, &content.transcripts), (&item.text, &item.transcripts));
            let seen: Vec<&str> = document(Kind::Note, "n", &packed).unwrap().utterances.iter().map(|u| u.text).collect();
            prop_assert_eq!(seen, paragraphs(&text));
        }

        #[test]
        fn each_text_is_what_it_is_alone(
            texts in vec(prop_oneof![
                any::<String>().prop_map(String::into_bytes),
                // Of its length the first byte is no UTF-8.
                "[a-zé]{120,140}".prop_map(String::into_bytes),
                vec(any::<u8>(), 0..4),
            ], 0..12),
        ) {
            let mut packed = Vec::new();
            texts.iter().for_each(|text| put_bytes(&mut packed, text));
            let mut reader = Reader::new(&packed);
            for text in &texts {
                prop_assert_eq!(reader.take_str(), str::from_utf8(text).map_err(|_| Damaged));
            }
            prop_assert_eq!(reader.take_str(), Err(Damaged), "there is no more");
        }

        #[test]
        fn no_bytes_make_a_panic(mut bytes in vec(any::<u8>(), 0..60), is_format in any::<bool>()) {
            if is_format {
                bytes.insert(0, FORMAT as u8);
            }
            for kind in Kind::ALL {
                let _ = document(kind, "x", &bytes);
                let _ = unpack(kind, &bytes, &["t".into()]);
            }
        }
    }

    #[test]
    fn another_format_is_damage() {
        assert_eq!(document(Kind::Note, "n", &[FORMAT as u8 + 1, 0, 0]), Err(Damaged));
        assert!(document(Kind::Note, "n", &[FORMAT as u8, 0, 0]).is_ok());
    }
}
