//! Import: an item goes in, replaces an older one, or is refused.

mod batch;
mod moves;

use std::collections::hash_map::Entry;

use rusqlite::params;
use rusqlite::types::ValueRef::{Blob, Text};
use rustc_hash::FxHashMap;

pub use self::batch::Batch;
use self::batch::Packed;
use self::moves::Moves;
use super::names::{list_from, list_into};
use super::rows::{Counters, ItemRow, Reading, marks_of, reading_of, readings_by_program};
use super::sums::{self, integer};
use super::writer::{Promise, Tx};
use super::{Error, Result, Store, body};
use crate::label::{Mark, Place, ProgramNo, Provenance, edits_between, with_marks};
use crate::lines::{IncomingMark, MarkWord};
use crate::model::{Block, Kind, Millis, Transcript};

/// For each item that comes so many of the store's keys are learned, until all are known: so no import waits long for it.
const KEYS_AN_ITEM: usize = 16;
/// Items for which that is done at once.
const LEARNED_AT_ONCE: usize = 128;

/// What became of the items of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImportCounts {
    pub inserted: u64,
    pub updated: u64,
    pub unchanged: u64,
    pub refused: u64,
    pub marks_dropped: u64,
}

impl ImportCounts {
    pub fn add(&mut self, other: ImportCounts) {
        self.inserted += other.inserted;
        self.updated += other.updated;
        self.unchanged += other.unchanged;
        self.refused += other.refused;
        self.marks_dropped += other.marks_dropped;
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportOutcome {
    pub counts: ImportCounts,
    /// Why an item was refused, or a mark dropped, by line.
    pub remarks: Vec<(u64, String)>,
}

impl Store {
    /// Puts a batch in, whole.
    pub fn import(&self, batch: Batch, now: Millis) -> Result<ImportOutcome> {
        self.begin_import(batch, now)?.wait()
    }

    /// As [`Store::import`], for a caller who has other things to do until it is on the disk.
    pub fn begin_import(&self, batch: Batch, now: Millis) -> Result<Promise<ImportOutcome>> {
        self.begin_write(move |tx| {
            let mut importing = Importing {
                tx,
                now,
                batch: &batch,
                shapes: FxHashMap::default(),
                counters: Counters::default(),
                outcome: ImportOutcome::default(),
            };
            for (nth, item) in batch.items().enumerate() {
                if nth % LEARNED_AT_ONCE == 0 {
                    tx.hashes().learn(tx, KEYS_AN_ITEM * LEARNED_AT_ONCE.min(batch.len() - nth))?;
                }
                importing.put(item)?;
            }
            let outcome = importing.end()?;
            tx.count(|tally| tally.imported.add(outcome.counts));
            Ok(outcome)
        })
    }
}

/// A shape of the batch, once an item of it went in.
struct KnownShape {
    no: i64,
    programs: Vec<ProgramNo>,
    /// Items that were not there before.
    inserted: i64,
}

struct Importing<'a> {
    tx: &'a Tx<'a>,
    now: Millis,
    batch: &'a Batch,
    /// By their place in the batch. A shape whose items are all refused gets no number.
    shapes: FxHashMap<u32, KnownShape>,
    counters: Counters,
    outcome: ImportOutcome,
}

impl Importing<'_> {
    fn put(&mut self, item: &Packed) -> Result<()> {
        match self.tx.find_item(item.kind, self.batch.id(item))? {
            None => self.insert(None, item),
            Some(row) if row.at.is_none() => self.insert(Some(row), item),
            Some(row) => self.replace(row, item),
        }
    }

    fn end(self) -> Result<ImportOutcome> {
        let Importing { tx, shapes, mut counters, outcome, .. } = self;
        for shape in shapes.values() {
            counters.add(&readings_by_program(&shape.programs, &Vec::new()), shape.inserted);
            counters.add_item(shape.no, shape.inserted);
        }
        counters.flush(tx)?;
        Ok(outcome)
    }

    fn shape(&mut self, item: &Packed) -> Result<&mut KnownShape> {
        match self.shapes.entry(item.shape) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(unknown) => {
                let no = self.tx.intern_shape(self.batch.shape(item))?;
                Ok(unknown.insert(KnownShape { no, programs: self.tx.programs_of(no)?, inserted: 0 }))
            }
        }
    }

    fn insert(&mut self, gone: Option<ItemRow>, item: &Packed) -> Result<()> {
        let (tx, batch) = (self.tx, self.batch);
        let shape = self.shape(item)?;
        shape.inserted += 1;
        let shape = shape.no;
        let (content, transcripts) = (batch.content(item), batch.transcripts(item));
        let size = content.len() as i64;
        let no = match gone {
            None => {
                tx.prepare_cached(
                    "INSERT INTO item (kind, id, edition, at, shape, version, size, transcripts)
                     VALUES (?, ?, 1, ?, ?, ?, ?, ?)",
                )?
                .execute(params![
                    item.kind.as_str(),
                    batch.id(item),
                    item.at,
                    shape,
                    item.version,
                    size,
                    transcripts
                ])?;
                tx.put_key(item.kind, batch.id(item))?
            }
            Some(row) => {
                tx.prepare_cached(
                    "UPDATE item SET edition = edition + 1, text_since = edition + 1, at = ?, shape = ?, version = ?,
                       size = ?, transcripts = ? WHERE no = ?",
                )?
                .execute(params![item.at, shape, item.version, size, transcripts, row.no])?;
                row.no
            }
        };
        tx.prepare_cached("INSERT INTO body (item, content, sum) VALUES (?, ?, ?)")?.execute(params![
            no,
            content,
            sum_of_body(no, content, transcripts, item.version)
        ])?;
        if let Some(marks) = &item.marks {
            let marks = self.marks(marks, &list_from(transcripts)?)?;
            self.settle(no, (item.at, Reading::default()), (item.at, Reading::default()), &[], &marks)?;
        }
        self.outcome.counts.inserted += 1;
        Ok(())
    }

    fn replace(&mut self, row: ItemRow, item: &Packed) -> Result<()> {
        let (tx, batch) = (self.tx, self.batch);
        let given = body::unpack(item.kind, batch.content(item), &list_from(batch.transcripts(item))?)?;
        let mut ids = row.transcript_ids()?;
        let ordinals = ordinals_in(&mut ids, &given.transcripts);
        let mut content = Vec::with_capacity(batch.content(item).len());
        body::pack(&mut content, &given.programs, given.text.as_deref(), &given.transcripts, ordinals);
        let stored: Vec<u8> =
            tx.prepare_cached("SELECT content FROM body WHERE item = ?")?.query_row([row.no], |row| row.get(0))?;
        let before = body::unpack(row.kind, &stored, &ids)?;
        if let Some(refusal) = older_or_other(&row, before.text.as_deref(), item, given.text.as_deref()) {
            self.outcome.counts.refused += 1;
            self.outcome.remarks.push((item.line, refusal));
            return Ok(());
        }
        let (shape, programs) = self.shape(item).map(|shape| (shape.no, shape.programs.clone()))?;
        let reading = reading_of(tx, row.no)?;
        let marks_before = if row.marked { marks_of(tx, row.no)? } else { Vec::new() };
        let same = content == stored && (row.at, row.shape, row.version) == (Some(item.at), Some(shape), item.version);
        if same && item.marks.is_none() {
            self.outcome.counts.unchanged += 1;
            return Ok(());
        }

        let moves = Moves::new(&before.transcripts, &given.transcripts, &ids);
        let (labels, kept_marks, dropped) = moves.carry(&reading.labels, &marks_before);
        let marks = match &item.marks {
            Some(marks) => self.marks(marks, &ids)?,
            None => {
                self.drop_marks(item.line, &dropped, &ids);
                kept_marks
            }
        };
        if same && marks == marks_before {
            self.outcome.counts.unchanged += 1;
            return Ok(());
        }
        let withdrawn = item.marks.is_some()
            && marks_before.iter().any(|before| {
                let now = marks.binary_search_by_key(&before.place, |mark| mark.place);
                !now.is_ok_and(|at| marks[at] == *before)
            });
        let same_text = read_alike(&before.transcripts, &given.transcripts);
        let read_again = withdrawn || !same_text;
        let old_programs = tx.programs_of(row.shape.unwrap_or(shape))?;
        let mut after = Reading { labels, ..reading.clone() };
        after.fresh.retain(|(program, _)| !read_again && programs.contains(program));
        self.counters.add(&readings_by_program(&old_programs, &reading.fresh), -1);
        self.counters.add(&readings_by_program(&programs, &after.fresh), 1);
        self.counters.add_item(row.shape.unwrap_or(shape), -1);
        self.counters.add_item(shape, 1);
        let old_at = row.at.unwrap_or(item.at);
        self.settle(row.no, (old_at, reading), (item.at, after), &marks_before, &marks)?;
        if !same {
            let size = content.len() as i64;
            let transcripts = list_into(&ids);
            let sum = sum_of_body(row.no, &content, &transcripts, item.version);
            tx.prepare_cached("UPDATE body SET content = ?2, sum = ?3 WHERE item = ?1")?
                .execute(params![row.no, content, sum])?;
            tx.prepare_cached(
                "UPDATE item SET edition = edition + 1, text_since = CASE WHEN ? THEN text_since ELSE edition + 1 END,
                   at = ?, shape = ?, version = ?, size = ?, transcripts = ? WHERE no = ?",
            )?
            .execute(params![same_text, item.at, shape, item.version, size, transcripts, row.no])?;
        }
        self.outcome.counts.updated += 1;
        Ok(())
    }

    /// Writes the marks, and the labels that stand under them; history gets what that changed. Each reading comes with
    /// the item's time.
    fn settle(
        &mut self,
        no: i64,
        old: (Millis, Reading),
        (at, new): (Millis, Reading),
        old_marks: &[Mark],
        marks: &[Mark],
    ) -> Result<()> {
        if old_marks != marks {
            self.tx.put_marks(no, marks)?;
        }
        let new = Reading { labels: with_marks(&new.labels, marks, self.now), ..new };
        self.tx.settle_reading(&mut self.counters, no, old, (at, new), self.now)
    }

    fn marks(&self, marks: &[IncomingMark], ids: &[String]) -> Result<Vec<Mark>> {
        let ordinals = ordinals_of(ids);
        // The line was refused if it said two things of one place.
        let mut known: Vec<Mark> = Vec::with_capacity(marks.len());
        for mark in marks {
            let ordinal = ordinals.get(mark.transcript.as_str());
            let &ordinal = ordinal.ok_or_else(|| Error::Invalid(format!("no transcript {:?}", mark.transcript)))?;
            let topic = self.tx.intern_topic(&mark.topic)?;
            let place = Place { transcript: ordinal, block: mark.block, topic };
            known.push(Mark { place, is: mark.mark == MarkWord::Is });
        }
        known.sort_unstable_by_key(|mark| mark.place);
        known.dedup_by_key(|mark| mark.place);
        Ok(known)
    }

    fn drop_marks(&mut self, line: u64, dropped: &[Mark], ids: &[String]) {
        self.outcome.counts.marks_dropped += dropped.len() as u64;
        let names = self.tx.names();
        for mark in dropped {
            let transcript = ids.get(mark.place.transcript as usize).map_or("?", String::as_str);
            let topic = names.topic_id(mark.place.topic);
            self.outcome.remarks.push((
                line,
                format!("mark of topic {topic:?} on block {} of transcript {transcript:?} dropped: the block's text is gone, or stands more than once", mark.place.block),
            ));
        }
    }
}

impl Tx<'_> {
    /// Writes a reading that came of no job, with the change that it is. Each comes with the item's time.
    pub(super) fn settle_reading(
        &self,
        counters: &mut Counters,
        no: i64,
        (old_at, old): (Millis, Reading),
        (new_at, mut new): (Millis, Reading),
        now: Millis,
    ) -> Result<()> {
        let edits = edits_between(&old.labels, &new.labels);
        counters.add_labels(old_at, &old.labels, -1);
        counters.add_labels(new_at, &new.labels, 1);
        if edits.is_empty() && old.fresh == new.fresh {
            return Ok(());
        }
        if !edits.is_empty() {
            let change = self.put_change(no, &edits, Provenance { job: 0, revision: 0, at: now })?;
            self.note_change(&mut new.changes, change)?;
        }
        self.put_reading(no, &new)
    }
}

/// The place of each of the item's transcripts in `ids`, which grows by those it did not have.
fn ordinals_in(ids: &mut Vec<String>, transcripts: &[Transcript]) -> Vec<u32> {
    let known: FxHashMap<String, u32> = ids.iter().cloned().zip(0..).collect();
    let mut ordinal = |id: &String| match known.get(id) {
        Some(&at) => at,
        // An item's own transcripts have ids of their own.
        None => {
            ids.push(id.clone());
            ids.len() as u32 - 1
        }
    };
    transcripts.iter().map(|transcript| ordinal(&transcript.id)).collect()
}

/// `body.sum` covers what `item` holds of the text, too.
fn sum_of_body(item: i64, content: &[u8], transcripts: &str, version: Option<i64>) -> i64 {
    sums::of([integer(item), Blob(content), Text(transcripts.as_bytes()), integer(version)])
}

fn ordinals_of(ids: &[String]) -> FxHashMap<&str, u32> {
    ids.iter().map(String::as_str).zip(0..).collect()
}

/// Why a note may not replace the stored one.
fn older_or_other(row: &ItemRow, before: Option<&str>, item: &Packed, text: Option<&str>) -> Option<String> {
    if row.kind != Kind::Note {
        return None;
    }
    let (stored, given) = (row.version.unwrap_or_default(), item.version.unwrap_or_default());
    if given < stored {
        return Some(format!("note {:?}: version {given} is older than the stored version {stored}", row.id));
    }
    (given == stored && before != text).then(|| {
        format!("note {:?}: version {given} is stored with other text; a new text needs a higher version", row.id)
    })
}

/// Whether a labeller would see the same.
fn read_alike(one: &[Transcript], other: &[Transcript]) -> bool {
    let same_block = |(a, b): (&Block, &Block)| (&a.speaker, &a.text) == (&b.speaker, &b.text);
    one.len() == other.len()
        && one.iter().zip(other).all(|(a, b)| {
            (&a.id, &a.language, a.blocks.len()) == (&b.id, &b.language, b.blocks.len())
                && a.blocks.iter().zip(&b.blocks).all(same_block)
        })
}
