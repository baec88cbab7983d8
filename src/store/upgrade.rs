//! What brings a file of an older schema to the next one, in the transaction in which it is opened.
//!
//! Each step has the tables of its time written out: what `schema.sql` says later is not its business.

use rusqlite::{Connection, params};

use super::codec::{PackedChanges, put_change_no, unpack_edits};
use super::keys::stored_hash;
use super::names::kind_from;
use super::{Error, Result};
use crate::label::Provenance;

/// What brings a file of schema `n + 1` to the next one, at index `n`. Foreign keys are off meanwhile.
pub(super) const STEPS: [fn(&Connection) -> Result<()>; 3] = [to_2, to_3, to_4];

const TABLES_OF_2: &str = "
CREATE TABLE item (
  no          INTEGER PRIMARY KEY,
  kind        TEXT    NOT NULL CHECK (kind IN ('conversation', 'note')),
  id          TEXT    NOT NULL,
  edition     INTEGER NOT NULL,
  text_since  INTEGER NOT NULL DEFAULT 1,
  at          INTEGER,
  shape       INTEGER REFERENCES shape (no),
  version     INTEGER,
  size        INTEGER NOT NULL DEFAULT 0,
  marked      INTEGER NOT NULL DEFAULT 0 CHECK (marked IN (0, 1)),
  transcripts TEXT    NOT NULL DEFAULT '[]',
  CHECK ((at IS NULL) = (shape IS NULL))
) STRICT;
CREATE INDEX item_by_time ON item (at, no, shape, size) WHERE at IS NOT NULL;
CREATE TABLE key (hash INTEGER NOT NULL, item INTEGER NOT NULL, PRIMARY KEY (hash, item)) STRICT, WITHOUT ROWID;
CREATE TABLE new_key (hash INTEGER NOT NULL, item INTEGER NOT NULL, PRIMARY KEY (hash, item)) STRICT, WITHOUT ROWID;
CREATE TABLE reading (
  item    INTEGER PRIMARY KEY REFERENCES item (no),
  fresh   BLOB NOT NULL,
  labels  BLOB NOT NULL,
  changes BLOB NOT NULL
) STRICT;
CREATE TABLE change (
  no       INTEGER PRIMARY KEY,
  job      INTEGER,
  revision INTEGER,
  at       INTEGER NOT NULL,
  entries  BLOB NOT NULL
) STRICT;
";

/// Items are found by a hash of their keys; history lies in rows of many items, and a reading lists its item's entries.
fn to_2(tx: &Connection) -> Result<()> {
    tx.execute_batch(
        "DROP INDEX item_by_time;
         ALTER TABLE item RENAME TO old_item;
         ALTER TABLE reading RENAME TO old_reading;
         ALTER TABLE change RENAME TO old_change;",
    )?;
    tx.execute_batch(TABLES_OF_2)?;
    tx.execute_batch(
        "INSERT INTO item SELECT no, kind, id, edition, text_since, at, shape, version, size, marked, transcripts
         FROM old_item",
    )?;
    keys(tx)?;
    history(tx)?;
    tx.execute_batch("DROP TABLE old_change; DROP TABLE old_reading; DROP TABLE old_item;")?;
    Ok(())
}

fn keys(tx: &Connection) -> Result<()> {
    let mut keys: Vec<(i64, i64)> = Vec::new();
    let mut items = tx.prepare("SELECT no, kind, id FROM item")?;
    let mut rows = items.query([])?;
    while let Some(row) = rows.next()? {
        let word = |column| row.get_ref(column)?.as_str().map_err(|_| Error::Damaged("item".into()));
        keys.push((stored_hash(kind_from(word(1)?)?, word(2)?), row.get(0)?));
    }
    keys.sort_unstable();
    let mut insert = tx.prepare("INSERT INTO key (hash, item) VALUES (?, ?)")?;
    for (hash, item) in keys {
        insert.execute([hash, item])?;
    }
    Ok(())
}

fn history(tx: &Connection) -> Result<()> {
    let mut readings = tx.prepare("SELECT item, fresh, labels FROM old_reading ORDER BY item")?;
    let mut numbers = tx.prepare("SELECT no FROM old_change WHERE item = ? ORDER BY no")?;
    let mut insert = tx.prepare("INSERT INTO reading (item, fresh, labels, changes) VALUES (?, ?, ?, ?)")?;
    let mut rows = readings.query([])?;
    while let Some(row) = rows.next()? {
        let item: i64 = row.get(0)?;
        let mut list = Vec::new();
        for no in numbers.query_map([item], |row| row.get(0))? {
            put_change_no(&mut list, no?);
        }
        insert.execute(params![item, row.get::<_, Vec<u8>>(1)?, row.get::<_, Vec<u8>>(2)?, list])?;
    }
    let mut changes = tx.prepare("SELECT no, item, job, revision, at, edits FROM old_change ORDER BY no")?;
    let mut insert = tx.prepare("INSERT INTO change (no, job, revision, at, entries) VALUES (?, ?, ?, ?, ?)")?;
    let mut rows = changes.query([])?;
    while let Some(row) = rows.next()? {
        let (no, job, revision): (i64, Option<i64>, Option<i64>) = (row.get(0)?, row.get(2)?, row.get(3)?);
        let by = Provenance { job: job.unwrap_or_default(), revision: revision.unwrap_or_default(), at: row.get(4)? };
        let mut packed = PackedChanges::default();
        packed.push(no, row.get(1)?, &unpack_edits(&row.get::<_, Vec<u8>>(5)?, by)?, by);
        insert.execute(params![no, job, revision, by.at, packed.entries])?;
    }
    Ok(())
}

/// Keys move on through three tables.
fn to_3(tx: &Connection) -> Result<()> {
    tx.execute_batch(
        "CREATE TABLE recent_key (hash INTEGER NOT NULL, item INTEGER NOT NULL, PRIMARY KEY (hash, item))
         STRICT, WITHOUT ROWID",
    )?;
    Ok(())
}

/// Rows have sums. Those that are there get theirs when they are written next: to make all of them now would write the
/// whole file again.
fn to_4(tx: &Connection) -> Result<()> {
    const TABLES: [&str; 16] = [
        "daemon",
        "program",
        "topic",
        "phrase",
        "shape",
        "body",
        "reading",
        "mark",
        "change",
        "dry_change",
        "revision",
        "job",
        "job_topic",
        "chunk",
        "result",
        "task",
    ];
    for table in TABLES {
        tx.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN sum INTEGER"))?;
    }
    Ok(())
}
