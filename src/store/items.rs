//! Items: read for a worker, shown to people, erased.

use rusqlite::{OptionalExtension, Row, params};

use super::codec::Fresh;
use super::count::fitting_shapes;
use super::keys::find_item;
use super::names::{kind_from, list_from};
use super::rows::{Counters, ItemRow, marks_of, reading_of, readings_by_program};
use super::writer::Tx;
use super::{Error, Result, Store, body};
use crate::job::Filter;
use crate::label::{Label, ProgramNo, Provenance, Revision};
use crate::model::{Document, Item, Kind, Millis};

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
                .ok_or_else(|| Error::no_item(kind, id))?;
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
            let row =
                find_item(tx, kind, &id)?.filter(|row| row.at.is_some()).ok_or_else(|| Error::no_item(kind, &id))?;
            erase(tx, &row, now)
        })?;
        // The text is personal data: what is freed in the database is overwritten (`secure_delete`), and the log, which
        // may still hold it, is cut.
        self.fold_log()
    }
}

fn erase(tx: &Tx<'_>, row: &ItemRow, now: Millis) -> Result<()> {
    let shape = row.shape.ok_or_else(|| Error::Damaged("item without a shape".into()))?;
    let reading = reading_of(tx, row.no)?;
    let mut counters = Counters::default();
    counters.add(&readings_by_program(&tx.programs_of(shape)?, &reading.fresh), -1);
    counters.add_item(shape, -1);
    counters.add_labels(row.at.unwrap_or_default(), &reading.labels, -1);
    counters.flush(tx)?;
    for sql in [
        "DELETE FROM body WHERE item = ?",
        "DELETE FROM reading WHERE item = ?",
        "DELETE FROM mark WHERE item = ?",
        "DELETE FROM change WHERE item = ?",
        "DELETE FROM dry_change WHERE item = ?",
    ] {
        tx.prepare_cached(sql)?.execute([row.no])?;
    }
    tx.prepare_cached(
        "UPDATE item SET at = NULL, shape = NULL, version = NULL, marked = 0, size = 0, transcripts = '[]',
         edition = edition + 1 WHERE no = ?",
    )?
    .execute([row.no])?;
    // A change without edits tells those who follow the feed that nothing of the item stands any more.
    tx.put_change(row.no, &[], Provenance { job: 0, revision: 0, at: now })?;
    Ok(())
}
