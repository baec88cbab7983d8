//! The rows of an item that import, marks, commits and erasure share: read, written, counted.

use rusqlite::{Connection, Row, params};
use rustc_hash::FxHashMap;

use super::codec::{Fresh, pack_edits, pack_labels, put_fresh, unpack_fresh, unpack_labels};
use super::names::{kind_from, list_from};
use super::writer::Tx;
use super::{Error, Result};
use crate::label::{Edit, Label, Mark, Place, ProgramNo, Provenance, Revision, TopicNo};
use crate::model::{Kind, Millis};

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
    /// Bytes of its text as stored.
    pub size: i64,
    pub marked: bool,
    /// JSON.
    pub transcripts: String,
}

pub(super) const ITEM_COLUMNS: &str = "no, kind, id, at, shape, version, size, marked, transcripts";

impl ItemRow {
    pub fn from(row: &Row<'_>) -> Result<ItemRow> {
        Ok(ItemRow {
            no: row.get(0)?,
            kind: kind_from(row.get_ref(1)?.as_str().map_err(|_| Error::Damaged("item.kind".into()))?)?,
            id: row.get(2)?,
            at: row.get(3)?,
            shape: row.get(4)?,
            version: row.get(5)?,
            size: row.get(6)?,
            marked: row.get(7)?,
            transcripts: row.get(8)?,
        })
    }

    pub fn transcript_ids(&self) -> Result<Vec<String>> {
        list_from(&self.transcripts)
    }
}

pub(super) fn item_by_no(connection: &Connection, no: i64) -> Result<Option<ItemRow>> {
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

pub(super) fn reading_of(connection: &Connection, item: i64) -> Result<Reading> {
    let mut statement = connection.prepare_cached("SELECT fresh, labels FROM reading WHERE item = ?")?;
    let mut rows = statement.query([item])?;
    let Some(row) = rows.next()? else { return Ok(Reading::default()) };
    let blob = |column| row.get_ref(column)?.as_blob().map_err(|_| Error::Damaged("reading".into()));
    Ok(Reading { fresh: unpack_fresh(blob(0)?)?, labels: unpack_labels(blob(1)?)? })
}

pub(super) fn marks_of(connection: &Connection, item: i64) -> Result<Vec<Mark>> {
    let mut statement = connection.prepare_cached(
        "SELECT transcript, block, topic, mark FROM mark WHERE item = ?
             ORDER BY transcript, block, topic",
    )?;
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

/// A day of `topic_day`, in milliseconds.
pub(super) const DAY: Millis = 86_400_000;

/// What a verb does to the counters of items (`coverage`, `shape.items`, `topic_day`), gathered until its end.
#[derive(Debug, Default)]
pub(super) struct Counters {
    readings: FxHashMap<(ProgramNo, Revision), i64>,
    shapes: FxHashMap<i64, i64>,
    /// Items and blocks.
    topics: FxHashMap<(TopicNo, i64), (i64, i64)>,
    /// Of the item under count.
    carried: Vec<TopicNo>,
}

impl Counters {
    /// All labels of an item of the time `at` come (`n` = 1) or go (-1).
    pub fn add_labels(&mut self, at: Millis, labels: &[Label], n: i64) {
        self.carried.clear();
        self.carried.extend(labels.iter().map(|label| label.place.topic));
        self.carried.sort_unstable();
        for blocks in self.carried.chunk_by(|one, other| one == other) {
            let counts = self.topics.entry((blocks[0], at.div_euclid(DAY))).or_default();
            counts.0 += n;
            counts.1 += n * blocks.len() as i64;
        }
    }

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
        for ((topic, day), (items, blocks)) in self.topics.into_iter().filter(|(_, n)| *n != (0, 0)) {
            let changed = tx
                .prepare_cached(
                    "UPDATE topic_day SET items = items + ?3, blocks = blocks + ?4 WHERE topic = ?1 AND day = ?2",
                )?
                .execute(params![topic, day, items, blocks])?;
            if changed == 0 {
                tx.prepare_cached("INSERT INTO topic_day (topic, day, items, blocks) VALUES (?, ?, ?, ?)")?
                    .execute(params![topic, day, items, blocks])?;
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

    /// Adds a row of what a dry run would have changed, and answers its number.
    pub fn put_dry_change(&self, item: i64, edits: &[Edit], by: Provenance) -> Result<i64> {
        self.prepare_cached("INSERT INTO dry_change (item, job, at, edits) VALUES (?, ?, ?, ?)")?.execute(params![
            item,
            by.job,
            by.at,
            pack_edits(edits, by)
        ])?;
        Ok(self.last_insert_rowid())
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
