//! What stays of an item's labels and marks when its text is replaced.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::ordinals_of;
use crate::label::{Label, Mark, Place};
use crate::model::{Block, Transcript};

/// The texts before and after.
pub(super) struct Moves<'a> {
    before: FxHashMap<&'a str, &'a Transcript>,
    after: FxHashMap<&'a str, &'a Transcript>,
    ids: &'a [String],
    /// Of each new text its only (transcript, block); None for one that stands more than once.
    only: FxHashMap<&'a str, Option<(u32, u32)>>,
}

impl<'a> Moves<'a> {
    pub(super) fn new(before: &'a [Transcript], after: &'a [Transcript], ids: &'a [String]) -> Moves<'a> {
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
    pub(super) fn carry(&self, labels: &[Label], marks: &[Mark]) -> (Vec<Label>, Vec<Mark>, Vec<Mark>) {
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
