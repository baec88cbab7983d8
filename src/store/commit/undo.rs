//! What taking back comes to on one item: all of what a job did to it, or nothing.

use super::stood::{Known, Stood};
use super::{Commit, Done, Ending, LeaseOutcome, Sum};
use crate::job::{LabelCounts, Outcome};
use crate::label::{Edit, Label, Mark, Place};
use crate::store::Result;
use crate::store::codec::{Entry, Fresh, Refreshed};
use crate::store::rows::{Reading, marks_of, read_by};
use crate::store::undo::Undo;

impl Commit<'_> {
    pub(super) fn take_back(
        &mut self,
        outcome: &LeaseOutcome,
        Sum { ledger, changes }: &mut Sum,
        done: &Done,
        undo: &Undo,
    ) -> Result<Ending> {
        let item = done.key.item;
        let ended = |code| Entry { code: Entry::code_of(code), attempts: done.attempts, ..Entry::elsewhere() };
        let Some(Known { text_since, shape, stood }) = self.read_again(item)? else {
            return Ok(Ending::Entry(ended(Outcome::Gone)));
        };
        let Stood { edition, version, at, marked, reading, .. } = stood;
        let old = match reading {
            // As in a reading: damage is its item's alone, as long as nothing is written.
            Err(what) => return Ok(Ending::Error(what)),
            Ok(old) => old,
        };
        let nothing = Reading::default();
        let stood = old.as_deref().unwrap_or(&nothing);
        let marks = if marked { marks_of(self.tx, item)? } else { Vec::new() };
        let ended = |code| Entry { edition, version, ..ended(code) };
        if undo.edition < text_since || !stands(&stood.labels, &marks, &undo.edits) {
            return Ok(Ending::Entry(ended(Outcome::NewerChange)));
        }

        let programs = self.tx.programs_of(shape)?;
        let refreshed = restored(&stood.fresh, undo.refreshed.iter().filter(|r| programs.contains(&r.program)));
        let edits: Vec<Edit> = undo.edits.iter().map(|edit| Edit { old: edit.new, new: edit.old }).collect();
        let labels = edited(&stood.labels, &edits);
        let counts = counts_of(&labels, &edits);
        ledger.count_labels(counts, &edits);
        self.total.labels.add(counts);
        let change = self.put_edits(outcome, changes, item, &edits)?;
        let code = if edits.is_empty() { Outcome::Unchanged } else { Outcome::Changed };
        if outcome.dry_run {
            return Ok(Ending::Entry(Entry { change, ..ended(code) }));
        }
        self.settle(item, at, old.as_deref(), labels, change, &refreshed)?;
        Ok(Ending::Entry(Entry { change, refreshed, ..ended(code) }))
    }
}

fn label_at(labels: &[Label], place: Place) -> Option<Label> {
    labels.binary_search_by_key(&place, |label| label.place).ok().map(|at| labels[at])
}

/// Whether every label that was touched stands as it was left, and no person has spoken of one since. (Where a rule's
/// label came or went there was no mark: one that is there now is new.)
fn stands(labels: &[Label], marks: &[Mark], edits: &[Edit]) -> bool {
    edits.iter().all(|edit| {
        let Some(place) = edit.new.or(edit.old).map(|label| label.place) else { return true };
        label_at(labels, place) == edit.new && marks.iter().all(|mark| mark.place != place)
    })
}

/// Freshness goes back to what it was where it is what the job left. Where others have read the item since, it is not
/// known what stands by whose rules: it counts as not read, and the next job that looks for stale items takes it.
fn restored<'a>(fresh: &Fresh, refreshed: impl Iterator<Item = &'a Refreshed>) -> Vec<Refreshed> {
    refreshed
        .map(|&Refreshed { program, before, after }| {
            let now = read_by(fresh, program);
            Refreshed { program, before: now, after: if now == after { before } else { 0 } }
        })
        .filter(|refreshed| refreshed.before != refreshed.after)
        .collect()
}

/// The labels after the edits, all of which fit.
fn edited(labels: &[Label], edits: &[Edit]) -> Vec<Label> {
    let mut replaced: Vec<Place> = edits.iter().filter_map(|edit| edit.old).map(|old| old.place).collect();
    replaced.sort_unstable();
    let stays = |label: &&Label| replaced.binary_search(&label.place).is_err();
    let mut edited: Vec<Label> = labels.iter().filter(stays).copied().collect();
    edited.extend(edits.iter().filter_map(|edit| edit.new));
    edited.sort_unstable_by_key(|label| label.place);
    edited
}

fn counts_of(labels: &[Label], edits: &[Edit]) -> LabelCounts {
    let count = |old: bool, new: bool| {
        edits.iter().filter(|edit| (edit.old.is_some(), edit.new.is_some()) == (old, new)).count() as i64
    };
    let (added, removed, updated) = (count(false, true), count(true, false), count(true, true));
    let by_rules = labels.iter().filter(|label| !label.is_human()).count() as i64;
    LabelCounts { added, removed, updated, kept: by_rules - added - updated }
}
