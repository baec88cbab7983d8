//! Items: read for a worker, shown to people, erased.

use std::ops::Range;
use std::rc::Rc;

use rusqlite::types::Value;
use rusqlite::types::ValueRef::Blob;
use rusqlite::{OptionalExtension, Row, params};

use super::commit::Stood;
use super::count::fitting_shapes;
use super::keys::find_item;
use super::names::{kind_from, list_from};
use super::rows::{Counters, ItemRow, marks_of, reading_of, readings_by_program};
use super::sums::{self, integer};
use super::touched::Seen;
use super::writer::Tx;
use super::{Error, Result, Store, body};
use crate::job::Filter;
use crate::label::{Label, Provenance};
use crate::model::{Document, Item, Kind, Millis};

/// An item as a labeller reads it.
#[derive(Debug, Clone)]
pub struct ReadItem<'a> {
    pub kind: Kind,
    pub id: &'a str,
    pub at: Millis,
    pub shape: i64,
    pub version: Option<i64>,
    /// Ids of its transcripts, where that was asked for.
    transcripts: Vec<String>,
    content: &'a [u8],
    /// The text is what was imported.
    fits: bool,
}

impl ReadItem<'_> {
    /// The id of a transcript by its ordinal.
    pub fn transcript_id(&self, ordinal: u32) -> &str {
        self.transcripts.get(ordinal as usize).map_or("", String::as_str)
    }

    pub fn document(&self) -> Result<Document<'_>> {
        // No labels are made of a text that the disk has changed.
        if !self.fits {
            return Err(Error::Damaged("body.content is not what was imported".into()));
        }
        Ok(body::document(self.kind, self.id, self.content)?)
    }
}

/// Items read together: one look, and no transaction that is open while they are analysed. Its memory serves the next ones.
#[derive(Debug, Default)]
pub struct ItemBatch {
    /// Ids of all items, concatenated.
    ids: String,
    /// Packed contents of all items, concatenated.
    contents: Vec<u8>,
    items: Vec<Option<Placed>>,
}

/// An item of a batch, with the ranges of its id and content in the batch's buffers.
#[derive(Debug)]
struct Placed {
    kind: Kind,
    shape: i64,
    id: Range<usize>,
    content: Range<usize>,
    fits: bool,
    stood: Stood,
}

impl ItemBatch {
    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// In the order in which they were asked for, with what stands of each; None for one that is gone.
    pub fn items(&self) -> impl Iterator<Item = Option<(ReadItem<'_>, &Stood)>> {
        self.items.iter().map(|placed| placed.as_ref().and_then(|placed| Some((self.item(placed)?, &placed.stood))))
    }

    fn item(&self, placed: &Placed) -> Option<ReadItem<'_>> {
        Some(ReadItem {
            kind: placed.kind,
            id: self.ids.get(placed.id.clone())?,
            at: placed.stood.at,
            shape: placed.shape,
            version: placed.stood.version,
            transcripts: Vec::new(),
            content: self.contents.get(placed.content.clone())?,
            fits: placed.fits,
        })
    }

    /// Empties the batch. Memory that one long item took is given back; ids are 512 bytes at most.
    fn clear(&mut self, bytes: usize) {
        self.items.clear();
        self.ids.clear();
        self.contents.clear();
        self.contents.shrink_to(bytes.saturating_mul(2));
    }

    fn push(&mut self, row: &Row<'_>, number: i64, seen: Seen) -> Result<()> {
        let stood = Stood::from(row, 7, seen)?;
        let ReadItem { kind, id, shape, content, fits, .. } = read_item_from(row, number, stood.version, stood.at)?;
        let (id_from, content_from) = (self.ids.len(), self.contents.len());
        self.ids.push_str(id);
        self.contents.extend_from_slice(content);
        self.items.push(Some(Placed {
            kind,
            shape,
            id: id_from..self.ids.len(),
            content: content_from..self.contents.len(),
            fits,
            stood,
        }));
        Ok(())
    }
}

/// From the columns 0 to 3 (kind, id, content, shape), 5 (transcripts) and 6 (body.sum); the caller has read the others.
fn read_item_from<'a>(row: &'a Row<'_>, number: i64, version: Option<i64>, at: Millis) -> Result<ReadItem<'a>> {
    let damaged = |_| Error::Damaged("item".into());
    let content = row.get_ref(2)?.as_blob().map_err(damaged)?;
    Ok(ReadItem {
        kind: kind_from(row.get_ref(0)?.as_str().map_err(damaged)?)?,
        id: row.get_ref(1)?.as_str().map_err(damaged)?,
        content,
        shape: row.get(3)?,
        version,
        at,
        transcripts: Vec::new(),
        fits: sums::fits(row.get(6)?, [integer(number), Blob(content), row.get_ref(5)?, integer(version)]),
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
    /// Puts the first items of `numbers` into `batch`, as many as fit in about `bytes` of stored text and at least one.
    pub fn read_items(&self, numbers: &[i64], bytes: usize, batch: &mut ItemBatch) -> Result<()> {
        batch.clear(bytes);
        let array: Vec<Value> = numbers.iter().map(|&number| number.into()).collect();
        let seen = self.writer.seen();
        self.read(|connection| {
            // All in one statement, in the order of the array: for neighbours SQLite then goes from row to row. Joined by
            // `no`: each use of `value` would call the array's function again.
            let mut statement = connection.prepare_cached(
                "SELECT kind, id, content, shape, no, transcripts, body.sum,
                   version, at, edition, marked, fresh, labels, changes
                 FROM rarray(?) CROSS JOIN item ON no = value CROSS JOIN body ON body.item = no
                 LEFT JOIN reading ON reading.item = no WHERE at IS NOT NULL",
            )?;
            let mut rows = statement.query([Rc::new(array)])?;
            while let Some(row) = rows.next()? {
                let number: i64 = row.get(4)?;
                // Those before it that did not come are gone.
                while numbers.get(batch.items.len()).is_some_and(|&other| other != number) {
                    batch.items.push(None);
                }
                batch.push(row, number, seen)?;
                if batch.contents.len() > bytes {
                    return Ok(());
                }
            }
            batch.items.resize_with(numbers.len(), || None);
            Ok(())
        })
    }

    /// Calls `see` with the items that a filter selects, newest first, until it answers false or `most` were read; how
    /// many were.
    pub fn each_item(
        &self,
        filter: &Filter,
        most: i64,
        mut see: impl FnMut(&ReadItem<'_>) -> Result<bool>,
    ) -> Result<i64> {
        let shapes = fitting_shapes(&self.names(), filter);
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT kind, id, content, shape, no, transcripts, sum, version, at FROM item JOIN body ON item = no
                 WHERE at >= ? AND at < ? ORDER BY at DESC, no DESC",
            )?;
            let mut rows =
                statement.query(params![filter.from.unwrap_or(i64::MIN), filter.until.unwrap_or(i64::MAX)])?;
            let mut read = 0;
            while let Some(row) = rows.next()? {
                if !shapes.contains(&row.get(3)?) {
                    continue;
                }
                let item = read_item_from(row, row.get(4)?, row.get(7)?, row.get(8)?)?;
                let item = ReadItem { transcripts: list_from(&row.get::<_, String>(5)?)?, ..item };
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
                tx.find_item(kind, &id)?.filter(|row| row.at.is_some()).ok_or_else(|| Error::no_item(kind, &id))?;
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
    tx.erase_changes(row.no, &reading.changes)?;
    for sql in
        ["DELETE FROM body WHERE item = ?", "DELETE FROM reading WHERE item = ?", "DELETE FROM mark WHERE item = ?"]
    {
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
