//! Import: an item goes in, replaces an older one, or is refused.

use std::collections::BTreeMap;

use rusqlite::params;
use rustc_hash::FxHashMap;

use super::names::{Shape, list_into};
use super::rows::{Counters, ItemRow, Reading, find_item, marks_of, reading_of, readings_by_program};
use super::writer::Tx;
use super::{Error, Result, Store, body};
use crate::label::{Label, Mark, Place, Provenance, edits_between, with_marks};
use crate::lines::{Incoming, IncomingMark, MarkWord};
use crate::model::{Block, Item, Kind, Millis, Transcript};

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
    /// Puts a batch in, whole. Each item comes with the number of the line that it stood on.
    pub fn import(&self, batch: Vec<(u64, Incoming)>, now: Millis) -> Result<ImportOutcome> {
        self.write(move |tx| {
            let mut importing = Importing { tx, now, counters: Counters::default(), outcome: ImportOutcome::default() };
            for (line, incoming) in &batch {
                importing.put(*line, incoming)?;
            }
            let Importing { counters, outcome, .. } = importing;
            counters.flush(tx)?;
            tx.count(|tally| tally.imported.add(outcome.counts));
            Ok(outcome)
        })
    }
}

struct Importing<'a> {
    tx: &'a Tx<'a>,
    now: Millis,
    counters: Counters,
    outcome: ImportOutcome,
}

impl Importing<'_> {
    fn put(&mut self, line: u64, incoming: &Incoming) -> Result<()> {
        let item = &incoming.item;
        match find_item(self.tx, item.kind, &item.id)? {
            None => self.insert(None, incoming),
            Some(row) if row.at.is_none() => self.insert(Some(row), incoming),
            Some(row) => self.replace(line, row, incoming),
        }
    }

    fn insert(&mut self, gone: Option<ItemRow>, incoming: &Incoming) -> Result<()> {
        let tx = self.tx;
        let item = &incoming.item;
        let shape = tx.intern_shape(&shape_of(item))?;
        let ids: Vec<String> = item.transcripts.iter().map(|t| t.id.clone()).collect();
        let ordinals: Vec<u32> = (0..).take(ids.len()).collect();
        let content = body::pack(item, &ordinals);
        let size = content.len() as i64;
        let no = match gone {
            None => {
                tx.prepare_cached(
                    "INSERT INTO item (kind, id, edition, at, shape, version, size, transcripts)
                     VALUES (?, ?, 1, ?, ?, ?, ?, ?)",
                )?
                .execute(params![
                    item.kind.as_str(),
                    item.id,
                    item.at,
                    shape,
                    item.version,
                    size,
                    list_into(&ids)
                ])?;
                tx.last_insert_rowid()
            }
            Some(row) => {
                tx.prepare_cached(
                    "UPDATE item SET edition = edition + 1, text_since = edition + 1, at = ?, shape = ?, version = ?,
                       size = ?, transcripts = ? WHERE no = ?",
                )?
                .execute(params![item.at, shape, item.version, size, list_into(&ids), row.no])?;
                row.no
            }
        };
        tx.prepare_cached("INSERT INTO body (item, content) VALUES (?, ?)")?.execute(params![no, content])?;
        self.counters.add(&readings_by_program(&tx.programs_of(shape)?, &Vec::new()), 1);
        self.counters.add_item(shape, 1);
        if let Some(marks) = &incoming.marks {
            let marks = self.marks(marks, &ids)?;
            self.settle(no, (item.at, Reading::default()), (item.at, Reading::default()), &[], &marks)?;
        }
        self.outcome.counts.inserted += 1;
        Ok(())
    }

    fn replace(&mut self, line: u64, row: ItemRow, incoming: &Incoming) -> Result<()> {
        let tx = self.tx;
        let item = &incoming.item;
        let mut ids = row.transcript_ids()?;
        let ordinals = ordinals_in(&mut ids, item);
        let content = body::pack(item, &ordinals);
        let stored: Vec<u8> =
            tx.prepare_cached("SELECT content FROM body WHERE item = ?")?.query_row([row.no], |row| row.get(0))?;
        let before = body::unpack(row.kind, &stored, &ids)?;
        if let Some(refusal) = older_or_other(&row, before.text.as_deref(), item) {
            self.outcome.counts.refused += 1;
            self.outcome.remarks.push((line, refusal));
            return Ok(());
        }
        let shape = tx.intern_shape(&shape_of(item))?;
        let reading = reading_of(tx, row.no)?;
        let marks_before = if row.marked { marks_of(tx, row.no)? } else { Vec::new() };
        let same = content == stored && (row.at, row.shape, row.version) == (Some(item.at), Some(shape), item.version);
        if same && incoming.marks.is_none() {
            self.outcome.counts.unchanged += 1;
            return Ok(());
        }

        let moves = Moves::new(&before.transcripts, &item.transcripts, &ids);
        let (labels, kept_marks, dropped) = moves.carry(&reading.labels, &marks_before);
        let marks = match &incoming.marks {
            Some(marks) => self.marks(marks, &ids)?,
            None => {
                self.drop_marks(line, &dropped, &ids);
                kept_marks
            }
        };
        if same && marks == marks_before {
            self.outcome.counts.unchanged += 1;
            return Ok(());
        }
        let withdrawn = incoming.marks.is_some()
            && marks_before.iter().any(|before| {
                let now = marks.binary_search_by_key(&before.place, |mark| mark.place);
                !now.is_ok_and(|at| marks[at] == *before)
            });
        let same_text = read_alike(&before.transcripts, &item.transcripts);
        let read_again = withdrawn || !same_text;
        let old_programs = tx.programs_of(row.shape.unwrap_or(shape))?;
        let programs = tx.programs_of(shape)?;
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
            tx.prepare_cached("UPDATE body SET content = ? WHERE item = ?")?.execute(params![content, row.no])?;
            tx.prepare_cached(
                "UPDATE item SET edition = edition + 1, text_since = CASE WHEN ? THEN text_since ELSE edition + 1 END,
                   at = ?, shape = ?, version = ?, size = ?, transcripts = ? WHERE no = ?",
            )?
            .execute(params![same_text, item.at, shape, item.version, size, list_into(&ids), row.no])?;
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

fn shape_of(item: &Item) -> Shape {
    let mut languages: Vec<String> = item.transcripts.iter().filter_map(|t| t.language.clone()).collect();
    languages.sort();
    languages.dedup();
    Shape { kind: item.kind, media: item.media.clone(), programs: item.all_programs(), languages }
}

/// The place of each of the item's transcripts in `ids`, which grows by those it did not have.
fn ordinals_in(ids: &mut Vec<String>, item: &Item) -> Vec<u32> {
    let known: FxHashMap<String, u32> = ids.iter().cloned().zip(0..).collect();
    let mut ordinal = |id: &String| match known.get(id) {
        Some(&at) => at,
        // An item's own transcripts have ids of their own.
        None => {
            ids.push(id.clone());
            ids.len() as u32 - 1
        }
    };
    item.transcripts.iter().map(|transcript| ordinal(&transcript.id)).collect()
}

fn ordinals_of(ids: &[String]) -> FxHashMap<&str, u32> {
    ids.iter().map(String::as_str).zip(0..).collect()
}

/// Why a note may not replace the stored one.
fn older_or_other(row: &ItemRow, text: Option<&str>, item: &Item) -> Option<String> {
    if row.kind != Kind::Note {
        return None;
    }
    let (stored, given) = (row.version.unwrap_or_default(), item.version.unwrap_or_default());
    if given < stored {
        return Some(format!("note {:?}: version {given} is older than the stored version {stored}", item.id));
    }
    (given == stored && text != item.text.as_deref()).then(|| {
        format!("note {:?}: version {given} is stored with other text; a new text needs a higher version", item.id)
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

/// What stays when an item's text is replaced.
struct Moves<'a> {
    before: FxHashMap<&'a str, &'a Transcript>,
    after: FxHashMap<&'a str, &'a Transcript>,
    ids: &'a [String],
    /// Of each new text its only (transcript, block); None for one that stands more than once.
    only: FxHashMap<&'a str, Option<(u32, u32)>>,
}

impl<'a> Moves<'a> {
    fn new(before: &'a [Transcript], after: &'a [Transcript], ids: &'a [String]) -> Moves<'a> {
        let by_id = |transcripts: &'a [Transcript]| transcripts.iter().map(|t| (t.id.as_str(), t)).collect();
        let ordinals = ordinals_of(ids);
        let mut only = FxHashMap::default();
        for transcript in after {
            let Some(&ordinal) = ordinals.get(transcript.id.as_str()) else { continue };
            for (block, at) in transcript.blocks.iter().zip(0..) {
                only.entry(block.text.as_str()).and_modify(|place| *place = None).or_insert(Some((ordinal, at)));
            }
        }
        Moves { before: by_id(before), after: by_id(after), ids, only }
    }
}

impl<'a> Moves<'a> {
    /// Labels and marks that stay or follow, and the marks that do not.
    ///
    /// A block equal in speaker and text at its place keeps all. Elsewhere rule labels go, and a mark (with its human
    /// label) follows the only block of equal text.
    fn carry(&self, labels: &[Label], marks: &[Mark]) -> (Vec<Label>, Vec<Mark>, Vec<Mark>) {
        let stays = |place| self.stays(place);
        let mut kept: BTreeMap<Place, Mark> =
            marks.iter().filter(|mark| stays(mark.place)).map(|&mark| (mark.place, mark)).collect();
        let mut standing: BTreeMap<Place, Label> =
            labels.iter().filter(|label| stays(label.place)).map(|&label| (label.place, label)).collect();
        let mut dropped = Vec::new();
        for &mark in marks.iter().filter(|mark| !stays(mark.place)) {
            let Some(place) = self.only_equal(mark.place).filter(|place| !kept.contains_key(place)) else {
                dropped.push(mark);
                continue;
            };
            kept.insert(place, Mark { place, ..mark });
            if let Ok(at) = labels.binary_search_by_key(&mark.place, |label| label.place)
                && labels[at].is_human()
            {
                standing.insert(place, Label { place, ..labels[at] });
            }
        }
        (standing.into_values().collect(), kept.into_values().collect(), dropped)
    }

    fn block(&self, transcripts: &FxHashMap<&str, &'a Transcript>, place: Place) -> Option<&'a Block> {
        let id = self.ids.get(place.transcript as usize)?;
        transcripts.get(id.as_str())?.blocks.get(place.block as usize)
    }

    fn stays(&self, place: Place) -> bool {
        match (self.block(&self.before, place), self.block(&self.after, place)) {
            (Some(before), Some(after)) => (&before.speaker, &before.text) == (&after.speaker, &after.text),
            _ => false,
        }
    }

    fn only_equal(&self, place: Place) -> Option<Place> {
        let text = &self.block(&self.before, place)?.text;
        let (transcript, block) = self.only.get(text.as_str()).copied().flatten()?;
        Some(Place { transcript, block, topic: place.topic })
    }
}
