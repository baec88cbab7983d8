//! Numbers for the ids that rows would otherwise repeat: programs, topics, phrases, shapes.
//!
//! All of them fit in memory, so looking one up never touches the database. Only the writer gives out new numbers. It
//! adds a name before the commit, and removes it when the transaction is rolled back. A number is used once in a process,
//! also when its transaction is rolled back: a thread that read the number too early never sees it mean another name.

use std::hash::Hash;
use std::sync::Arc;

use rusqlite::{Connection, params};
use rustc_hash::FxHashMap;

use super::writer::Tx;
use super::{Error, Result};
use crate::label::{PhraseNo, ProgramNo, TopicNo};
use crate::model::Kind;

/// What many items have in common: all that a filter looks at, but for the time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shape {
    pub kind: Kind,
    /// None for notes.
    pub media: Option<String>,
    /// The item's and its transcripts', sorted, never empty.
    pub programs: Vec<String>,
    /// Of the transcripts, sorted.
    pub languages: Vec<String>,
}

/// A two-way table of names and their numbers.
#[derive(Debug)]
struct Table<T: ?Sized> {
    by_name: FxHashMap<Arc<T>, i64>,
    by_no: FxHashMap<i64, Arc<T>>,
    /// The highest number that was ever given.
    last: i64,
}

impl<T: Eq + Hash + ?Sized> Table<T> {
    fn new() -> Self {
        Table { by_name: FxHashMap::default(), by_no: FxHashMap::default(), last: 0 }
    }

    fn next_no(&mut self) -> i64 {
        self.last += 1;
        self.last
    }

    fn insert(&mut self, no: i64, name: Arc<T>) {
        self.last = self.last.max(no);
        self.by_no.insert(no, Arc::clone(&name));
        self.by_name.insert(name, no);
    }

    fn remove(&mut self, no: i64) {
        if let Some(name) = self.by_no.remove(&no) {
            self.by_name.remove(&name);
        }
    }
}

/// The tables of plain text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Program,
    Topic,
    Phrase,
}

/// A name that a transaction added, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interned {
    Word(Word, i64),
    Shape(i64),
}

#[derive(Debug)]
pub struct Names {
    programs: Table<str>,
    topics: Table<str>,
    phrases: Table<str>,
    shapes: Table<Shape>,
}

impl Names {
    pub(super) fn load(connection: &Connection) -> Result<Names> {
        let words = |sql: &str| -> Result<Table<str>> {
            let mut table = Table::new();
            let mut statement = connection.prepare(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                table.insert(row.get(0)?, Arc::from(row.get::<_, String>(1)?));
            }
            Ok(table)
        };
        let mut shapes = Table::new();
        let mut statement = connection.prepare("SELECT no, kind, media, programs, languages FROM shape")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let media: String = row.get(2)?;
            let shape = Shape {
                kind: kind_from(&row.get::<_, String>(1)?)?,
                media: Some(media).filter(|media| !media.is_empty()),
                programs: list_from(&row.get::<_, String>(3)?)?,
                languages: list_from(&row.get::<_, String>(4)?)?,
            };
            shapes.insert(row.get(0)?, Arc::new(shape));
        }
        Ok(Names {
            programs: words("SELECT no, id FROM program")?,
            topics: words("SELECT no, id FROM topic")?,
            phrases: words("SELECT no, text FROM phrase")?,
            shapes,
        })
    }

    /// Removes a name whose transaction was rolled back.
    pub(super) fn forget(&mut self, name: Interned) {
        match name {
            Interned::Word(word, no) => self.words_mut(word).remove(no),
            Interned::Shape(no) => self.shapes.remove(no),
        }
    }

    fn words(&self, word: Word) -> &Table<str> {
        match word {
            Word::Program => &self.programs,
            Word::Topic => &self.topics,
            Word::Phrase => &self.phrases,
        }
    }

    fn words_mut(&mut self, word: Word) -> &mut Table<str> {
        match word {
            Word::Program => &mut self.programs,
            Word::Topic => &mut self.topics,
            Word::Phrase => &mut self.phrases,
        }
    }

    pub fn program(&self, id: &str) -> Option<ProgramNo> {
        number(&self.programs, id)
    }

    pub fn topic(&self, id: &str) -> Option<TopicNo> {
        number(&self.topics, id)
    }

    pub fn phrase(&self, text: &str) -> Option<PhraseNo> {
        number(&self.phrases, text)
    }

    pub fn program_id(&self, no: ProgramNo) -> &str {
        name(&self.programs, no)
    }

    pub fn topic_id(&self, no: TopicNo) -> &str {
        name(&self.topics, no)
    }

    pub fn phrase_text(&self, no: PhraseNo) -> &str {
        name(&self.phrases, no)
    }

    pub fn shape(&self, no: i64) -> Option<Arc<Shape>> {
        self.shapes.by_no.get(&no).cloned()
    }

    /// Every shape that a filter lets through.
    pub fn shapes(&self) -> impl Iterator<Item = (i64, &Arc<Shape>)> {
        self.shapes.by_no.iter().map(|(&no, shape)| (no, shape))
    }

    pub fn topics(&self) -> impl Iterator<Item = TopicNo> {
        self.topics.by_no.keys().map(|&no| no as TopicNo)
    }

    pub fn programs(&self) -> impl Iterator<Item = (ProgramNo, &str)> {
        self.programs.by_no.iter().map(|(&no, id)| (no as ProgramNo, &**id))
    }
}

fn number(table: &Table<str>, name: &str) -> Option<u32> {
    table.by_name.get(name).map(|&no| no as u32)
}

fn name(table: &Table<str>, no: u32) -> &str {
    // A number without a name can only come from a damaged database, which `check` reports; a reader shows it as such.
    table.by_no.get(&i64::from(no)).map_or("?", |name| name)
}

pub(super) fn kind_from(word: &str) -> Result<Kind> {
    Kind::ALL
        .into_iter()
        .find(|kind| kind.as_str() == word)
        .ok_or_else(|| Error::Damaged(format!("unknown kind {word:?}")))
}

pub(super) fn list_from(json: &str) -> Result<Vec<String>> {
    serde_json::from_str(json).map_err(|error| Error::Damaged(format!("a list does not parse: {error}")))
}

pub(super) fn list_into(list: &[String]) -> String {
    serde_json::Value::from(list.to_vec()).to_string()
}

/// Numbers for names, given out where there is none yet.
impl Tx<'_> {
    pub fn intern_program(&self, id: &str) -> Result<ProgramNo> {
        self.intern(Word::Program, id, "INSERT INTO program (no, id) VALUES (?, ?)")
    }

    pub fn intern_topic(&self, id: &str) -> Result<TopicNo> {
        self.intern(Word::Topic, id, "INSERT INTO topic (no, id) VALUES (?, ?)")
    }

    pub fn intern_phrase(&self, text: &str) -> Result<PhraseNo> {
        self.intern(Word::Phrase, text, "INSERT INTO phrase (no, text) VALUES (?, ?)")
    }

    pub fn intern_shape(&self, shape: &Shape) -> Result<i64> {
        if let Some(&no) = self.names().shapes.by_name.get(shape) {
            return Ok(no);
        }
        let no = self.names_mut().shapes.next_no();
        self.prepare_cached("INSERT INTO shape (no, kind, media, programs, languages) VALUES (?, ?, ?, ?, ?)")?
            .execute(params![
                no,
                shape.kind.as_str(),
                shape.media.as_deref().unwrap_or(""),
                list_into(&shape.programs),
                list_into(&shape.languages)
            ])?;
        self.names_mut().shapes.insert(no, Arc::new(shape.clone()));
        self.note_interned(Interned::Shape(no));
        for program in &shape.programs {
            self.intern_program(program)?;
        }
        Ok(no)
    }

    fn intern(&self, word: Word, name: &str, insert: &str) -> Result<u32> {
        if let Some(no) = number(self.names().words(word), name) {
            return Ok(no);
        }
        let no = self.names_mut().words_mut(word).next_no();
        let as_stored = u32::try_from(no).map_err(|_| Error::Invalid(format!("there are too many {word:?} names")))?;
        self.prepare_cached(insert)?.execute(params![no, name])?;
        self.names_mut().words_mut(word).insert(no, Arc::from(name));
        self.note_interned(Interned::Word(word, no));
        Ok(as_stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Durability, Store};

    fn shape(program: &str) -> Shape {
        Shape { kind: Kind::Note, media: None, programs: vec![program.into()], languages: Vec::new() }
    }

    /// The numbers of a program, a topic, a phrase and a shape, all named after `name`.
    fn intern(tx: &Tx<'_>, name: &str) -> Result<[i64; 4]> {
        let (topic, phrase, shape) = (tx.intern_topic(name)?, tx.intern_phrase(name)?, tx.intern_shape(&shape(name))?);
        Ok([tx.intern_program(name)?.into(), topic.into(), phrase.into(), shape])
    }

    fn known(store: &Store, name: &str) -> [Option<i64>; 4] {
        let names = store.names();
        let word = |no: Option<u32>| no.map(i64::from);
        let shape = names.shapes.by_name.get(&shape(name)).copied();
        [word(names.program(name)), word(names.topic(name)), word(names.phrase(name)), shape]
    }

    #[test]
    fn names_of_a_failed_verb_and_of_a_failed_batch_are_forgotten_and_their_numbers_not_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Durability::Normal).unwrap();
        let first = store.write(|tx| intern(tx, "first")).unwrap();
        let refused = store.write(|tx| {
            intern(tx, "first")?;
            intern(tx, "verb")?;
            Err::<(), Error>(Error::Conflict("refused".into()))
        });
        assert_eq!(refused, Err(Error::Conflict("refused".into())));
        // As SQLite ends a transaction by itself when a write fails.
        let failed = store.write(|tx| {
            intern(tx, "batch")?;
            tx.execute_batch("ROLLBACK")?;
            Err::<(), Error>(Error::Io("as if the disk failed".into()))
        });
        assert!(matches!(failed, Err(Error::Io(_))), "{failed:?}");
        assert_eq!(known(&store, "first"), first.map(Some), "committed names stay");
        assert_eq!((known(&store, "verb"), known(&store, "batch")), ([None; 4], [None; 4]));

        let next = store.write(|tx| intern(tx, "next")).unwrap();
        assert!(next.iter().zip(first).all(|(next, first)| *next == first + 3), "{next:?} after {first:?}");
        store.close();
        let store = Store::open(dir.path(), Durability::Normal).unwrap();
        assert_eq!((known(&store, "first"), known(&store, "next")), (first.map(Some), next.map(Some)));
        assert_eq!((known(&store, "verb"), known(&store, "batch")), ([None; 4], [None; 4]));
        store.close();
    }
}
