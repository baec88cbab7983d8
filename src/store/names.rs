//! Numbers for the ids that rows would otherwise repeat: programs, topics, phrases, shapes.
//!
//! All of them fit in memory, so looking one up never touches the database. Only the writer gives out new numbers.

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
}

impl<T: Eq + Hash + ?Sized> Table<T> {
    fn new() -> Self {
        Table { by_name: FxHashMap::default(), by_no: FxHashMap::default() }
    }

    fn insert(&mut self, no: i64, name: Arc<T>) {
        self.by_no.insert(no, Arc::clone(&name));
        self.by_name.insert(name, no);
    }
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
            let list = |column: usize, name: &str| -> Result<Vec<String>> {
                let no: i64 = row.get(0)?;
                list_from(&row.get::<_, String>(column)?)
                    .map_err(|_| Error::Damaged(format!("shape {no}: shape.{name} does not decode")))
            };
            let shape = Shape {
                kind: kind_from(&row.get::<_, String>(1)?)?,
                media: Some(media).filter(|media| !media.is_empty()),
                programs: list(3, "programs")?,
                languages: list(4, "languages")?,
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

    pub fn has_program(&self, no: ProgramNo) -> bool {
        self.programs.by_no.contains_key(&i64::from(no))
    }

    pub fn has_topic(&self, no: TopicNo) -> bool {
        self.topics.by_no.contains_key(&i64::from(no))
    }

    pub fn has_phrase(&self, no: PhraseNo) -> bool {
        self.phrases.by_no.contains_key(&i64::from(no))
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
        intern(self, id, |n| &n.programs, |n| &mut n.programs, "INSERT INTO program (id) VALUES (?)")
    }

    pub fn intern_topic(&self, id: &str) -> Result<TopicNo> {
        intern(self, id, |n| &n.topics, |n| &mut n.topics, "INSERT INTO topic (id) VALUES (?)")
    }

    pub fn intern_phrase(&self, text: &str) -> Result<PhraseNo> {
        intern(self, text, |n| &n.phrases, |n| &mut n.phrases, "INSERT INTO phrase (text) VALUES (?)")
    }

    pub fn intern_shape(&self, shape: &Shape) -> Result<i64> {
        if let Some(&no) = self.names().shapes.by_name.get(shape) {
            return Ok(no);
        }
        self.prepare_cached("INSERT INTO shape (kind, media, programs, languages) VALUES (?, ?, ?, ?)")?.execute(
            params![
                shape.kind.as_str(),
                shape.media.as_deref().unwrap_or(""),
                list_into(&shape.programs),
                list_into(&shape.languages)
            ],
        )?;
        let no = self.last_insert_rowid();
        self.names_mut().shapes.insert(no, Arc::new(shape.clone()));
        for program in &shape.programs {
            self.intern_program(program)?;
        }
        Ok(no)
    }
}

fn intern(
    tx: &Tx<'_>,
    name: &str,
    table: fn(&Names) -> &Table<str>,
    table_mut: fn(&mut Names) -> &mut Table<str>,
    sql: &str,
) -> Result<u32> {
    if let Some(no) = number(table(&tx.names()), name) {
        return Ok(no);
    }
    tx.prepare_cached(sql)?.execute([name])?;
    let no = tx.last_insert_rowid();
    table_mut(&mut tx.names_mut()).insert(no, Arc::from(name));
    u32::try_from(no).map_err(|_| Error::Invalid("too many names".into()))
}
