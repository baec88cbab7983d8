//! The rows of an item that import, marks, commits and erasure share: read, written, counted.

use rusqlite::types::ValueRef::{Blob, Integer};
use rusqlite::types::{Null, ToSqlOutput};
use rusqlite::{CachedStatement, Connection, Row, params};
use rustc_hash::FxHashMap;

use super::codec::{Fresh, pack_labels, put_fresh, unpack_fresh, unpack_labels};
use super::names::{kind_from, list_from};
use super::sums::{self, integer};
use super::writer::Tx;
use super::{Error, Result};
use crate::label::{Label, Mark, Place, ProgramNo, Revision, TopicNo};
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
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Reading {
    pub fresh: Fresh,
    pub labels: Vec<Label>,
    /// Packed.
    pub changes: Vec<u8>,
}

pub(super) fn reading_of(connection: &Connection, item: i64) -> Result<Reading> {
    let mut statement = connection.prepare_cached("SELECT fresh, labels, changes FROM reading WHERE item = ?")?;
    let mut rows = statement.query([item])?;
    rows.next()?.map_or_else(|| Ok(Reading::default()), |row| reading_from(row, 0))
}

/// From its three columns.
pub(super) fn reading_from(row: &Row<'_>, first: usize) -> Result<Reading> {
    let blob = |column| row.get_ref(first + column)?.as_blob().map_err(|_| Error::Damaged("reading".into()));
    Ok(Reading { fresh: unpack_fresh(blob(0)?)?, labels: unpack_labels(blob(1)?)?, changes: blob(2)?.to_vec() })
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
    programs.iter().map(|&program| (program, read_by(fresh, program))).collect()
}

/// The revision that read an item for a program last; 0 where none did.
pub(super) fn read_by(fresh: &Fresh, program: ProgramNo) -> Revision {
    fresh.iter().find(|(other, _)| *other == program).map_or(0, |&(_, revision)| revision)
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

/// Inserts or updates readings; the caller knows which.
///
/// Inserts [`ROWS_PER_INSERT`] rows with one statement, because each execution opens its cursors again. `put` touches a
/// new row's item, so a commit calls [`PutReading::flush`] before it reads a touched item, and at its end. INSERT OR
/// REPLACE would open a savepoint for each row, and an upsert would search for the row twice.
pub(super) struct PutReading<'a> {
    tx: &'a Tx<'a>,
    insert: CachedStatement<'a>,
    /// Rows bound to `insert` and not inserted yet.
    waiting: usize,
    update: CachedStatement<'a>,
    fresh: Vec<u8>,
}

const ROWS_PER_INSERT: usize = 32;
/// Parameters of a row: its columns, and the item once more.
const PARAMETERS: usize = 6;

impl<'a> PutReading<'a> {
    pub fn new(tx: &'a Tx<'a>) -> Result<PutReading<'a>> {
        // Rows whose last parameter is NULL are skipped: `flush` binds it for those that are not used.
        let first = "INSERT INTO reading (item, fresh, labels, changes, sum) SELECT ?, ?, ?, ?, ? WHERE ? IS NOT NULL";
        let other = "SELECT ?, ?, ?, ?, ? WHERE ? IS NOT NULL";
        let rows: Vec<&str> = std::iter::once(first).chain([other; ROWS_PER_INSERT - 1]).collect();
        Ok(PutReading {
            tx,
            insert: tx.prepare_cached(&rows.join(" UNION ALL "))?,
            waiting: 0,
            update: tx
                .prepare_cached("UPDATE reading SET fresh = ?2, labels = ?3, changes = ?4, sum = ?5 WHERE item = ?1")?,
            fresh: Vec::new(),
        })
    }

    pub fn put(&mut self, item: i64, reading: &Reading, is_new: bool) -> Result<()> {
        self.fresh.clear();
        put_fresh(&mut self.fresh, &reading.fresh);
        let labels = pack_labels(&reading.labels);
        let sum = sums::of([integer(item), Blob(&self.fresh), Blob(&labels), Blob(&reading.changes)]);
        if !is_new {
            self.update.execute(params![item, self.fresh, labels, reading.changes, sum])?;
            return Ok(());
        }
        self.tx.touch(item);
        let [fresh, labels, changes] = [&self.fresh, &labels, &reading.changes].map(|blob| Blob(blob));
        let row: [_; PARAMETERS] = [Integer(item), fresh, labels, changes, Integer(sum), Integer(item)];
        for (value, parameter) in row.into_iter().zip(self.waiting * PARAMETERS + 1..) {
            self.insert.raw_bind_parameter(parameter, ToSqlOutput::Borrowed(value))?;
        }
        self.waiting += 1;
        if self.waiting == ROWS_PER_INSERT { self.flush() } else { Ok(()) }
    }

    /// Inserts the rows that wait.
    pub fn flush(&mut self) -> Result<()> {
        if self.waiting > 0 {
            for row in self.waiting..ROWS_PER_INSERT {
                self.insert.raw_bind_parameter((row + 1) * PARAMETERS, Null)?;
            }
            self.waiting = 0;
            self.insert.raw_execute()?;
        }
        Ok(())
    }
}

impl Tx<'_> {
    pub fn put_reading(&self, item: i64, reading: &Reading) -> Result<()> {
        let there: bool = self
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM reading WHERE item = ?)")?
            .query_row([item], |row| row.get(0))?;
        let mut put = PutReading::new(self)?;
        put.put(item, reading, !there)?;
        put.flush()
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
