//! A batch on its way into the store. Whoever reads the lines packs it, beside the writer and not in its time: what is
//! left for the writer to do is to look, insert and count.

use std::ops::Range;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::lines::{Incoming, IncomingMark};
use crate::model::{Item, Kind, Millis};
use crate::store::body;
use crate::store::names::{Shape, list_into};

/// What a name in a list of its own takes beside its letters: itself and what is allocated for it.
const NAME_BYTES: usize = 64;

/// Items as they will be stored, each with the number of the line that it stood on.
#[derive(Debug, Default)]
pub struct Batch {
    items: Vec<Packed>,
    /// Ids of items, and their lists of transcript ids.
    text: String,
    contents: Vec<u8>,
    shapes: Vec<Arc<Shape>>,
    by_shape: FxHashMap<Arc<Shape>, u32>,
    /// Of marks and shapes.
    names_bytes: usize,
}

#[derive(Debug)]
pub(super) struct Packed {
    pub line: u64,
    pub kind: Kind,
    pub version: Option<i64>,
    pub at: Millis,
    /// Its place in the batch.
    pub shape: u32,
    pub marks: Option<Vec<IncomingMark>>,
    id: Range<usize>,
    transcripts: Range<usize>,
    content: Range<usize>,
}

impl Batch {
    pub fn push(&mut self, line: u64, incoming: Incoming) {
        let Incoming { item, marks } = incoming;
        let mut lay = |text: &str| {
            let start = self.text.len();
            self.text.push_str(text);
            start..self.text.len()
        };
        let id = lay(&item.id);
        let ids: Vec<String> = item.transcripts.iter().map(|transcript| transcript.id.clone()).collect();
        let transcripts = lay(&list_into(&ids));
        let start = self.contents.len();
        body::pack(&mut self.contents, &item.programs, item.text.as_deref(), &item.transcripts, 0..);
        let content = start..self.contents.len();
        let marked = marks.iter().flatten().map(|mark| 2 * NAME_BYTES + mark.transcript.len() + mark.topic.len());
        self.names_bytes += marked.sum::<usize>();
        let shape = self.place_of(shape_of(&item));
        let Item { kind, version, at, .. } = item;
        self.items.push(Packed { line, kind, version, at, shape, marks, id, transcripts, content });
    }

    fn place_of(&mut self, shape: Shape) -> u32 {
        if let Some(&place) = self.by_shape.get(&shape) {
            return place;
        }
        let place = self.shapes.len() as u32;
        let names = shape.programs.iter().chain(&shape.languages);
        self.names_bytes += names.map(|name| NAME_BYTES + name.len()).sum::<usize>();
        let shape = Arc::new(shape);
        self.shapes.push(Arc::clone(&shape));
        self.by_shape.insert(shape, place);
        place
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// About the memory that it takes.
    pub fn bytes(&self) -> usize {
        self.items.len() * size_of::<Packed>() + self.text.len() + self.contents.len() + self.names_bytes
    }

    pub(super) fn items(&self) -> impl Iterator<Item = &Packed> {
        self.items.iter()
    }

    pub(super) fn id(&self, item: &Packed) -> &str {
        &self.text[item.id.clone()]
    }

    /// JSON, as `item.transcripts` of an item that was not there before.
    pub(super) fn transcripts(&self, item: &Packed) -> &str {
        &self.text[item.transcripts.clone()]
    }

    /// As `body.content` of an item that was not there before.
    pub(super) fn content(&self, item: &Packed) -> &[u8] {
        &self.contents[item.content.clone()]
    }

    pub(super) fn shape(&self, item: &Packed) -> &Shape {
        &self.shapes[item.shape as usize]
    }
}

impl FromIterator<(u64, Incoming)> for Batch {
    fn from_iter<T: IntoIterator<Item = (u64, Incoming)>>(lines: T) -> Batch {
        let mut batch = Batch::default();
        lines.into_iter().for_each(|(line, incoming)| batch.push(line, incoming));
        batch
    }
}

fn shape_of(item: &Item) -> Shape {
    let mut languages: Vec<String> = item.transcripts.iter().filter_map(|t| t.language.clone()).collect();
    languages.sort();
    languages.dedup();
    Shape { kind: item.kind, media: item.media.clone(), programs: item.all_programs(), languages }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::parse_line;

    fn batch(lines: &[&str]) -> Batch {
        lines.iter().map(|line| (1, parse_line(line.as_bytes()).unwrap())).collect()
    }

    #[test]
    fn an_item_is_found_again_among_others() {
        let note = r#"{"kind":"note","id":"n","version":2,"created_at":"2026-11-01","text":"a\n\nb"}"#;
        let chat = r#"{"kind":"conversation","id":"c","media":"chat","started_at":"2026-11-01",
            "transcripts":[{"id":"\"t\"","blocks":[{"speaker":"s","text":"x"}]}]}"#;
        let batch = batch(&[note, chat, note]);
        let [first, other, second] = &batch.items[..] else { panic!("{batch:?}") };
        assert_eq!([first, other, second].map(|item| batch.id(item)), ["n", "c", "n"]);
        assert_eq!(batch.transcripts(other), r#"["\"t\""]"#);
        assert_eq!(batch.content(first), batch.content(second));
        assert_ne!(batch.content(first), batch.content(other));
        assert_eq!(
            [first, other, second].map(|item| batch.shape(item).kind),
            [Kind::Note, Kind::Conversation, Kind::Note]
        );
        assert_eq!(batch.shapes.len(), 2, "items that have all in common share a shape");
    }

    #[test]
    fn all_that_grows_is_counted() {
        let line = |programs: &str, text: &str, marks: &str| {
            format!(
                r#"{{"kind":"conversation","id":"c","media":"chat","started_at":"2026-11-01","programs":[{programs}],
                "transcripts":[{{"id":"t","blocks":[{{"speaker":"s","text":"{text}"}}]}}],"marks":[{marks}]}}"#
            )
        };
        let bytes = |programs: &str, text: &str, marks: &str| batch(&[&line(programs, text, marks)]).bytes();
        let least = bytes("", "", "");
        let mark = r#"{"transcript":"t","block":0,"topic":"x","mark":"is"}"#;
        assert!(bytes("", "0123456789", "") >= least + 10);
        assert!(bytes(r#""a","b""#, "", "") >= bytes(r#""a""#, "", "") + NAME_BYTES);
        assert!(bytes("", "", mark) >= least + 2 * NAME_BYTES);
    }
}
