//! Items: reading one for a worker, showing one, erasing one; and the rows that import, marks and commits share.

use rusqlite::{OptionalExtension, Row, params};
use rustc_hash::FxHashMap;

use super::codec::{Fresh, pack_edits, pack_labels, put_fresh, unpack_fresh, unpack_labels};
use super::count::fitting_shapes;
use super::names::{kind_from, list_from};
use super::writer::Tx;
use super::{Error, Result, Store, body};
use crate::job::Filter;
use crate::label::{Edit, Label, Mark, Place, ProgramNo, Provenance, Revision};
use crate::model::{Document, Item, Kind, Millis};

/// A row of `item`.
#[derive(Debug, Clone)]
pub(super) struct ItemRow {
    pub no: i64,
    pub kind: Kind,
    pub id: String,
    /// None: erased, or named and never imported.
    pub at: Option<Millis>,
    pub shape: Option<i64>,
    pub version: Option<i64>,
    pub marked: bool,
    /// JSON.
    pub transcripts: String,
}

pub(super) const ITEM_COLUMNS: &str = "no, kind, id, at, shape, version, marked, transcripts";

impl ItemRow {
    pub fn from(row: &Row<'_>) -> Result<ItemRow> {
        Ok(ItemRow {
            no: row.get(0)?,
            kind: kind_from(row.get_ref(1)?.as_str().map_err(|_| Error::Damaged("item.kind".into()))?)?,
            id: row.get(2)?,
            at: row.get(3)?,
            shape: row.get(4)?,
            version: row.get(5)?,
            marked: row.get(6)?,
            transcripts: row.get(7)?,
        })
    }

    pub fn transcript_ids(&self) -> Result<Vec<String>> {
        list_from(&self.transcripts)
    }
}

pub(super) fn find_item(connection: &rusqlite::Connection, kind: Kind, id: &str) -> Result<Option<ItemRow>> {
    connection
        .prepare_cached(&format!("SELECT {ITEM_COLUMNS} FROM item WHERE kind = ? AND id = ?"))?
        .query_and_then(params![kind.as_str(), id], ItemRow::from)?
        .next()
        .transpose()
}

pub(super) fn item_by_no(connection: &rusqlite::Connection, no: i64) -> Result<Option<ItemRow>> {
    connection
        .prepare_cached(&format!("SELECT {ITEM_COLUMNS} FROM item WHERE no = ?"))?
        .query_and_then([no], ItemRow::from)?
        .next()
        .transpose()
}

/// A row of `reading`.
#[derive(Debug, Clone, Default)]
pub(super) struct Reading {
    pub fresh: Fresh,
    pub labels: Vec<Label>,
}

pub(super) fn reading_of(connection: &rusqlite::Connection, item: i64) -> Result<Reading> {
    let mut statement = connection.prepare_cached("SELECT fresh, labels FROM reading WHERE item = ?")?;
    let mut rows = statement.query([item])?;
    let Some(row) = rows.next()? else { return Ok(Reading::default()) };
    let blob = |column| row.get_ref(column)?.as_blob().map_err(|_| Error::Damaged("reading".into()));
    Ok(Reading { fresh: unpack_fresh(blob(0)?)?, labels: unpack_labels(blob(1)?)? })
}

pub(super) fn marks_of(connection: &rusqlite::Connection, item: i64) -> Result<Vec<Mark>> {
    let mut statement = connection.prepare_cached("SELECT transcript, block, topic, mark FROM mark WHERE item = ?")?;
    let rows = statement.query_map([item], |row| {
        let place = Place { transcript: row.get(0)?, block: row.get(1)?, topic: row.get(2)? };
        Ok(Mark { place, is: row.get_ref(3)?.as_str()? == "is" })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Who read an item of `programs` last, as (program, revision) pairs: 0 for a program that nobody read it for.
pub(super) fn readings_by_program(programs: &[ProgramNo], fresh: &Fresh) -> Vec<(ProgramNo, Revision)> {
    let read_by = |program| fresh.iter().find(|(p, _)| *p == program).map_or(0, |&(_, revision)| revision);
    programs.iter().map(|&program| (program, read_by(program))).collect()
}

/// Items that come and go in `coverage` and `shape.items`, gathered over a verb.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    readings: FxHashMap<(ProgramNo, Revision), i64>,
    shapes: FxHashMap<i64, i64>,
}

impl Coverage {
    pub fn add(&mut self, readings: &[(ProgramNo, Revision)], n: i64) {
        for &reading in readings {
            *self.readings.entry(reading).or_default() += n;
        }
    }

    pub fn add_item(&mut self, shape: i64, n: i64) {
        *self.shapes.entry(shape).or_default() += n;
    }

    pub fn flush(self, tx: &Tx<'_>) -> Result<()> {
        for (shape, n) in self.shapes.into_iter().filter(|(_, n)| *n != 0) {
            tx.prepare_cached("UPDATE shape SET items = items + ?2 WHERE no = ?1")?.execute([shape, n])?;
        }
        for ((program, revision), n) in self.readings.into_iter().filter(|(_, n)| *n != 0) {
            let changed = tx
                .prepare_cached("UPDATE coverage SET items = items + ?3 WHERE program = ?1 AND revision = ?2")?
                .execute(params![program, revision, n])?;
            if changed == 0 {
                tx.prepare_cached("INSERT INTO coverage (program, revision, items) VALUES (?, ?, ?)")?
                    .execute(params![program, revision, n])?;
            }
        }
        Ok(())
    }
}

impl Tx<'_> {
    pub fn put_reading(&self, item: i64, reading: &Reading) -> Result<()> {
        let mut fresh = Vec::with_capacity(reading.fresh.len() * 4);
        put_fresh(&mut fresh, &reading.fresh);
        // Not INSERT OR REPLACE: for that SQLite opens a savepoint a row, a fifth of all that a job costs.
        self.prepare_cached(
            "INSERT INTO reading (item, fresh, labels) VALUES (?, ?, ?)
             ON CONFLICT DO UPDATE SET fresh = excluded.fresh, labels = excluded.labels",
        )?
        .execute(params![item, fresh, pack_labels(&reading.labels)])?;
        Ok(())
    }

    /// Adds a row of history and answers its number.
    pub fn put_change(&self, item: i64, edits: &[Edit], by: Provenance) -> Result<i64> {
        let no = self.next_change();
        self.prepare_cached("INSERT INTO change (no, item, job, revision, at, edits) VALUES (?, ?, ?, ?, ?, ?)")?
            .execute(params![
                no,
                item,
                Some(by.job).filter(|&job| job != 0),
                Some(by.revision).filter(|&revision| revision != 0),
                by.at,
                pack_edits(edits, by)
            ])?;
        Ok(no)
    }

    pub fn put_marks(&self, item: i64, marks: &[Mark]) -> Result<()> {
        self.prepare_cached("DELETE FROM mark WHERE item = ?")?.execute([item])?;
        let mut insert =
            self.prepare_cached("INSERT INTO mark (item, transcript, block, topic, mark) VALUES (?, ?, ?, ?, ?)")?;
        for Mark { place, is } in marks {
            let word = if *is { "is" } else { "is_not" };
            insert.execute(params![item, place.transcript, place.block, place.topic, word])?;
        }
        self.prepare_cached("UPDATE item SET marked = ? WHERE no = ?")?.execute(params![!marks.is_empty(), item])?;
        Ok(())
    }

    /// Numbers of the programs of a shape.
    pub fn programs_of(&self, shape: i64) -> Result<Vec<ProgramNo>> {
        let names = self.names();
        let shape = names.shape(shape).ok_or_else(|| Error::Damaged(format!("no shape {shape}")))?;
        Ok(shape.programs.iter().filter_map(|id| names.program(id)).collect())
    }
}

/// An item as a worker reads it: one look, nothing kept.
#[derive(Debug, Clone)]
pub struct ReadItem {
    pub kind: Kind,
    pub id: String,
    pub edition: i64,
    pub at: Millis,
    pub shape: i64,
    pub version: Option<i64>,
    /// Who read it last, per program, where that was asked for.
    pub fresh: Vec<(ProgramNo, Revision)>,
    /// Ids of its transcripts, where that was asked for.
    transcripts: Vec<String>,
    content: Vec<u8>,
}

impl ReadItem {
    /// The id of a transcript by its ordinal.
    pub fn transcript_id(&self, ordinal: u32) -> &str {
        self.transcripts.get(ordinal as usize).map_or("", String::as_str)
    }

    pub fn document(&self) -> Result<Document<'_>> {
        Ok(body::document(self.kind, &self.id, &self.content)?)
    }
}

fn read_item_from(row: &Row<'_>, fresh: Fresh) -> Result<ReadItem> {
    Ok(ReadItem {
        kind: kind_from(row.get_ref(0)?.as_str().map_err(|_| Error::Damaged("item.kind".into()))?)?,
        id: row.get(1)?,
        edition: row.get(2)?,
        at: row.get(3)?,
        shape: row.get(4)?,
        version: row.get(5)?,
        content: row.get(6)?,
        fresh,
        transcripts: Vec::new(),
    })
}

/// An item as people see it.
#[derive(Debug, Clone)]
pub struct ShownItem {
    pub item: Item,
    pub labels: Vec<ShownLabel>,
    pub marks: Vec<ShownMark>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ShownLabel {
    pub transcript: String,
    pub block: u32,
    pub topic: String,
    pub human: bool,
    /// None on a human label.
    pub evidence: Option<ShownEvidence>,
    pub by: Provenance,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ShownEvidence {
    pub phrase: String,
    pub score: u8,
    pub start: u32,
    pub end: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ShownMark {
    pub transcript: String,
    pub block: u32,
    pub topic: String,
    pub is: bool,
}

impl super::Names {
    pub(super) fn show(&self, label: &Label, transcripts: &[String]) -> ShownLabel {
        ShownLabel {
            transcript: transcript_id(transcripts, label.place.transcript),
            block: label.place.block,
            topic: self.topic_id(label.place.topic).to_owned(),
            human: label.is_human(),
            evidence: label.evidence.map(|evidence| ShownEvidence {
                phrase: self.phrase_text(evidence.phrase).to_owned(),
                score: evidence.score,
                start: evidence.start,
                end: evidence.end,
            }),
            by: label.by,
        }
    }
}

fn transcript_id(transcripts: &[String], ordinal: u32) -> String {
    transcripts.get(ordinal as usize).cloned().unwrap_or_default()
}

impl Store {
    /// The first items of `numbers`, as many as fit in about `bytes` of stored text and at least one; None for one that
    /// is gone. Who read them last comes along only when asked for.
    pub fn read_items(&self, numbers: &[i64], bytes: usize, with_fresh: bool) -> Result<Vec<Option<ReadItem>>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT kind, id, edition, at, shape, version, content FROM item JOIN body ON item = no WHERE no = ?",
            )?;
            let mut items = Vec::with_capacity(numbers.len());
            let mut size = 0;
            for &number in numbers {
                if size > bytes {
                    break;
                }
                let mut rows = statement.query([number])?;
                let Some(row) = rows.next()? else {
                    items.push(None);
                    continue;
                };
                let fresh = if with_fresh { reading_of(connection, number)?.fresh } else { Vec::new() };
                let item = read_item_from(row, fresh)?;
                size += item.content.len();
                items.push(Some(item));
            }
            Ok(items)
        })
    }

    /// Calls `see` with the items that a filter selects, newest first, until it answers false or `most` were read; how
    /// many were.
    pub fn each_item(&self, filter: &Filter, most: i64, mut see: impl FnMut(&ReadItem) -> Result<bool>) -> Result<i64> {
        let shapes = fitting_shapes(&self.names(), filter);
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT kind, id, edition, at, shape, version, content, transcripts FROM item JOIN body ON item = no
                 WHERE at >= ? AND at < ? ORDER BY at DESC, no DESC",
            )?;
            let mut rows =
                statement.query(params![filter.from.unwrap_or(i64::MIN), filter.until.unwrap_or(i64::MAX)])?;
            let mut read = 0;
            while let Some(row) = rows.next()? {
                if !shapes.contains(&row.get(4)?) {
                    continue;
                }
                let item =
                    ReadItem { transcripts: list_from(&row.get::<_, String>(7)?)?, ..read_item_from(row, Vec::new())? };
                read += 1;
                if !see(&item)? || read == most {
                    break;
                }
            }
            Ok(read)
        })
    }

    pub fn show_item(&self, kind: Kind, id: &str) -> Result<ShownItem> {
        self.read(|connection| {
            let row = find_item(connection, kind, id)?
                .filter(|row| row.at.is_some())
                .ok_or_else(|| Error::NotFound(format!("{kind} {id:?}")))?;
            let content: Vec<u8> = connection
                .query_row("SELECT content FROM body WHERE item = ?", [row.no], |row| row.get(0))
                .optional()?
                .ok_or_else(|| Error::Damaged(format!("{kind} {id:?} has no body")))?;
            let transcripts = row.transcript_ids()?;
            let content = body::unpack(kind, &content, &transcripts)?;
            let names = self.names();
            let media = row.shape.and_then(|shape| names.shape(shape)).and_then(|shape| shape.media.clone());
            let labels = reading_of(connection, row.no)?.labels;
            let marks = marks_of(connection, row.no)?;
            Ok(ShownItem {
                labels: labels.iter().map(|label| names.show(label, &transcripts)).collect(),
                marks: marks
                    .iter()
                    .map(|mark| ShownMark {
                        transcript: transcript_id(&transcripts, mark.place.transcript),
                        block: mark.place.block,
                        topic: names.topic_id(mark.place.topic).to_owned(),
                        is: mark.is,
                    })
                    .collect(),
                item: Item {
                    kind,
                    id: row.id,
                    version: row.version,
                    at: row.at.unwrap_or_default(),
                    media,
                    programs: content.programs,
                    transcripts: content.transcripts,
                    text: content.text,
                },
            })
        })
    }

    /// Erases text, labels, marks and history; the key stays for the jobs that name it.
    pub fn erase_item(&self, kind: Kind, id: &str, now: Millis) -> Result<()> {
        let id = id.to_owned();
        self.write(move |tx| {
            let row = find_item(tx, kind, &id)?
                .filter(|row| row.at.is_some())
                .ok_or_else(|| Error::NotFound(format!("{kind} {id:?}")))?;
            erase(tx, &row, now)
        })?;
        // The text is personal data: what is freed in the database is overwritten (`secure_delete`), and the log, which
        // may still hold it, is cut.
        self.fold_log()
    }
}

fn erase(tx: &Tx<'_>, row: &ItemRow, now: Millis) -> Result<()> {
    let shape = row.shape.ok_or_else(|| Error::Damaged("item without a shape".into()))?;
    let mut coverage = Coverage::default();
    coverage.add(&readings_by_program(&tx.programs_of(shape)?, &reading_of(tx, row.no)?.fresh), -1);
    coverage.add_item(shape, -1);
    coverage.flush(tx)?;
    for sql in [
        "DELETE FROM body WHERE item = ?",
        "DELETE FROM reading WHERE item = ?",
        "DELETE FROM mark WHERE item = ?",
        "DELETE FROM change WHERE item = ?",
    ] {
        tx.prepare_cached(sql)?.execute([row.no])?;
    }
    tx.prepare_cached(
        "UPDATE item SET at = NULL, shape = NULL, version = NULL, marked = 0, transcripts = '[]',
         edition = edition + 1 WHERE no = ?",
    )?
    .execute([row.no])?;
    // A change without edits tells those who follow the feed that nothing of the item stands any more.
    tx.put_change(row.no, &[], Provenance { job: 0, revision: 0, at: now })?;
    Ok(())
}
