//! Labels as the store keeps them, and the rule of what a reading changes: pure, so that it can be tested to the bone.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::job::{JobId, LabelCounts};
use crate::model::Millis;

/// Number of an interned topic id.
pub type TopicNo = u32;
/// Number of an interned program id.
pub type ProgramNo = u32;
/// Number of an interned phrase text.
pub type PhraseNo = u32;
/// Number of a catalogue revision, from 1.
pub type Revision = i64;

/// Where a label stands in its item: a (block, topic).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Ordinal in the item's list of transcript ids, which only grows: history never loses its place.
    pub transcript: u32,
    pub block: u32,
    pub topic: TopicNo,
}

impl Place {
    pub fn same_block(&self, other: &Place) -> bool {
        (self.transcript, self.block) == (other.transcript, other.block)
    }
}

/// The phrase that found a label, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Evidence {
    pub phrase: PhraseNo,
    pub score: u8,
    /// Code points of the block's stored text, half-open.
    pub start: u32,
    pub end: u32,
}

/// Who put a label there, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Provenance {
    /// 0 where no job did.
    pub job: JobId,
    /// 0 where no rules did.
    pub revision: Revision,
    pub at: Millis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Label {
    pub place: Place,
    /// None on a human label: a person needs no phrase.
    pub evidence: Option<Evidence>,
    pub by: Provenance,
}

impl Label {
    pub fn is_human(&self) -> bool {
        self.evidence.is_none()
    }
}

/// A person's word on a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mark {
    pub place: Place,
    /// `is`, else `is_not`.
    pub is: bool,
}

/// What became of one label: `old` None is added, `new` None is removed, both is updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Edit {
    pub old: Option<Label>,
    pub new: Option<Label>,
}

/// The topics of one program at a job's revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramRules {
    pub program: ProgramNo,
    pub topics: Vec<TopicNo>,
    /// Topics that the program had in an earlier revision and has no more.
    pub former: Vec<TopicNo>,
}

/// What one job may do to the items of one shape.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope {
    /// Those of the item's programs that the job names.
    pub programs: Vec<Arc<ProgramRules>>,
    /// Topics of the item's other programs: a topic that moved there is not the job's to remove.
    pub elsewhere: Vec<TopicNo>,
    /// Contract 4.2's R: true for the topics of S, which may be found, false for those that may only be removed.
    reach: FxHashMap<TopicNo, bool>,
}

impl Scope {
    pub fn new(programs: Vec<Arc<ProgramRules>>, elsewhere: Vec<TopicNo>) -> Scope {
        let former = programs.iter().flat_map(|rules| &rules.former).filter(|topic| !elsewhere.contains(topic));
        let mut reach: FxHashMap<TopicNo, bool> = former.map(|&topic| (topic, false)).collect();
        reach.extend(programs.iter().flat_map(|rules| &rules.topics).map(|&topic| (topic, true)));
        Scope { programs, elsewhere, reach }
    }
}

/// What a reading makes of an item's labels.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// All labels that stand afterwards, by place.
    pub labels: Vec<Label>,
    pub edits: Vec<Edit>,
    pub counts: LabelCounts,
    /// A topic in scope was detected on at least one block, and no mark denies it.
    pub detected: bool,
}

/// What is known of an item when what was found on it is applied.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// By place, as the marks.
    pub labels: &'a [Label],
    pub marks: &'a [Mark],
    /// Topics that newer rules have read here already: neither found nor removed.
    pub hands_off: &'a [TopicNo],
}

/// The second and third rule of contract 4: the labels of each block after `found` was found on it.
///
/// `found` is by place, at most one a place. A block on which nothing in scope is found keeps what it has, unless
/// `keep_when_empty` is false. A label found again with the same evidence stays as it is, provenance included.
pub fn apply(standing: Standing<'_>, found: &[Label], scope: &Scope, keep_when_empty: bool) -> Applied {
    let hands_off = |topic: TopicNo| standing.hands_off.contains(&topic);
    let may_find = |topic| scope.reach.get(&topic) == Some(&true) && !hands_off(topic);
    let may_remove = |topic| scope.reach.contains_key(&topic) && !hands_off(topic);
    let denied = |place: Place| mark_at(standing.marks, place).is_some_and(|mark| !mark.is);
    let mut found = found.iter().filter(|label| may_find(label.place.topic) && !denied(label.place)).peekable();
    let mut old = standing.labels.iter().peekable();
    let mut applied = Applied { detected: found.peek().is_some(), ..Applied::default() };

    // Both sides are by place, so blocks come up in step: a merge, block by block.
    while let Some(first) = match (old.peek(), found.peek()) {
        (Some(old), Some(new)) => Some(old.place.min(new.place)),
        (Some(label), None) | (None, Some(label)) => Some(label.place),
        (None, None) => None,
    } {
        let nothing_found = !found.peek().is_some_and(|label| label.place.same_block(&first));
        let keeps = nothing_found && keep_when_empty;
        loop {
            let before = old.peek().filter(|l| l.place.same_block(&first)).map(|l| l.place);
            let now = found.peek().filter(|l| l.place.same_block(&first)).map(|l| l.place);
            let (before, now) = match (before, now) {
                (None, None) => break,
                (Some(before), Some(now)) if before == now => (old.next(), found.next()),
                (Some(before), Some(now)) if now < before => (None, found.next()),
                (None, Some(_)) => (None, found.next()),
                (Some(_), _) => (old.next(), None),
            };
            applied.settle(before.copied(), now.copied(), |label| !keeps && may_remove(label.place.topic));
        }
    }
    applied
}

impl Applied {
    fn settle(&mut self, before: Option<Label>, now: Option<Label>, removes: impl Fn(&Label) -> bool) {
        match (before, now) {
            // A person's word stands whatever was found.
            (Some(old), _) if old.is_human() => self.labels.push(old),
            (Some(old), Some(new)) if old.evidence == new.evidence => {
                self.counts.kept += 1;
                self.labels.push(old);
            }
            (Some(old), Some(new)) => {
                self.counts.updated += 1;
                self.edits.push(Edit { old: Some(old), new: Some(new) });
                self.labels.push(new);
            }
            (Some(old), None) if removes(&old) => {
                self.counts.removed += 1;
                self.edits.push(Edit { old: Some(old), new: None });
            }
            (Some(old), None) => {
                self.counts.kept += 1;
                self.labels.push(old);
            }
            (None, Some(new)) => {
                self.counts.added += 1;
                self.edits.push(Edit { old: None, new: Some(new) });
                self.labels.push(new);
            }
            (None, None) => {}
        }
    }
}

fn mark_at(marks: &[Mark], place: Place) -> Option<&Mark> {
    marks.binary_search_by_key(&place, |mark| mark.place).ok().map(|at| &marks[at])
}

/// What stands after people's words are heard: a human label for each `is`, no label for each `is_not`.
///
/// Both come by place. A human label whose mark is gone goes too. `now` is when a new human label came.
pub fn with_marks(labels: &[Label], marks: &[Mark], now: Millis) -> Vec<Label> {
    let mut standing: Vec<Label> = labels
        .iter()
        .filter(|label| match mark_at(marks, label.place) {
            Some(mark) => mark.is && label.is_human(),
            None => !label.is_human(),
        })
        .copied()
        .collect();
    for mark in marks.iter().filter(|mark| mark.is) {
        let stood = labels.binary_search_by_key(&mark.place, |label| label.place).is_ok_and(|at| labels[at].is_human());
        if !stood {
            let by = Provenance { job: 0, revision: 0, at: now };
            standing.push(Label { place: mark.place, evidence: None, by });
        }
    }
    standing.sort_unstable_by_key(|label| label.place);
    standing
}

/// What leads from `old` to `new`; both are by place.
pub fn edits_between(old: &[Label], new: &[Label]) -> Vec<Edit> {
    let find = |labels: &[Label], place: Place| -> Option<Label> {
        labels.binary_search_by_key(&place, |label| label.place).ok().map(|at| labels[at])
    };
    let mut edits: Vec<Edit> = old
        .iter()
        .map(|&label| Edit { old: Some(label), new: find(new, label.place) })
        .filter(|edit| edit.old != edit.new)
        .collect();
    let added = new.iter().filter(|label| find(old, label.place).is_none());
    edits.extend(added.map(|&label| Edit { old: None, new: Some(label) }));
    edits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(block: u32, topic: TopicNo) -> Place {
        Place { transcript: 0, block, topic }
    }

    fn rule(block: u32, topic: TopicNo, phrase: PhraseNo) -> Label {
        let evidence = Some(Evidence { phrase, score: 100, start: 0, end: 1 });
        Label { place: at(block, topic), evidence, by: Provenance::default() }
    }

    fn human(block: u32, topic: TopicNo) -> Label {
        Label { evidence: None, ..rule(block, topic, 0) }
    }

    fn scope(topics: &[TopicNo], former: &[TopicNo]) -> Scope {
        let rules = ProgramRules { program: 1, topics: topics.to_vec(), former: former.to_vec() };
        Scope::new(vec![Arc::new(rules)], Vec::new())
    }

    fn standing<'a>(labels: &'a [Label], marks: &'a [Mark]) -> Standing<'a> {
        Standing { labels, marks, hands_off: &[] }
    }

    #[test]
    fn a_label_found_again_keeps_its_provenance_and_one_with_other_evidence_does_not() {
        let by = Provenance { job: 1, revision: 1, at: 1 };
        let old = [Label { by, ..rule(0, 1, 7) }, Label { by, ..rule(1, 1, 7) }];
        let applied = apply(standing(&old, &[]), &[rule(0, 1, 7), rule(1, 1, 8)], &scope(&[1], &[]), true);
        assert_eq!(applied.labels, [old[0], rule(1, 1, 8)]);
        assert_eq!(applied.edits, [Edit { old: Some(old[1]), new: Some(rule(1, 1, 8)) }]);
        assert_eq!(applied.counts, LabelCounts { kept: 1, updated: 1, ..LabelCounts::default() });
    }

    #[test]
    fn blocks_of_different_transcripts_are_different_blocks() {
        let elsewhere = |label: Label| Label { place: Place { transcript: 1, ..label.place }, ..label };
        let old = [rule(0, 1, 1), elsewhere(rule(0, 1, 1))];
        let applied = apply(standing(&old, &[]), &[elsewhere(rule(0, 2, 1))], &scope(&[1, 2], &[]), true);
        assert_eq!(applied.labels, [old[0], elsewhere(rule(0, 2, 1))]);
    }

    #[test]
    fn a_mark_that_denies_all_that_was_found_makes_the_block_an_empty_one() {
        let old = [rule(0, 2, 1)];
        let denied = [Mark { place: at(0, 1), is: false }];
        let applied = apply(standing(&old, &denied), &[rule(0, 1, 1)], &scope(&[1, 2], &[]), true);
        assert_eq!((applied.labels, applied.detected), (old.to_vec(), false));
    }

    #[test]
    fn topics_that_newer_rules_have_read_are_neither_found_nor_removed() {
        let old = [rule(0, 1, 1), rule(0, 2, 1)];
        let standing = Standing { labels: &old, marks: &[], hands_off: &[1, 3] };
        let applied = apply(standing, &[rule(0, 3, 1), rule(0, 4, 1)], &scope(&[2, 3, 4], &[1]), false);
        assert_eq!(applied.labels, [rule(0, 1, 1), rule(0, 4, 1)]);
    }

    fn places(topics: u32) -> impl Strategy<Value = Vec<(Place, PhraseNo)>> {
        proptest::collection::btree_map((0u32..2, 0u32..3, 0..topics), 0u32..3, 0..12).prop_map(|places| {
            let place = |((transcript, block, topic), phrase)| (Place { transcript, block, topic }, phrase);
            places.into_iter().map(place).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// The second and third rule as contract.md words them, block by block and set by set, on any input.
        #[test]
        fn apply_is_the_rule(
            old in places(6), found in places(6), people in places(6),
            topics in proptest::sample::subsequence((0u32..6).collect::<Vec<_>>(), 0..=6),
            former in proptest::sample::subsequence((0u32..6).collect::<Vec<_>>(), 0..=6),
            keep in any::<bool>(),
        ) {
            let label = |&(place, phrase): &(Place, PhraseNo)| Label { place, ..rule(0, 0, phrase) };
            let found: Vec<Label> = found.iter().map(label).collect();
            let marks: Vec<Mark> = people.iter().map(|&(place, word)| Mark { place, is: word == 0 }).collect();
            let old = with_marks(&old.iter().map(label).collect::<Vec<_>>(), &marks, 5);
            let applied = apply(standing(&old, &marks), &found, &scope(&topics, &former), keep);

            let denied = |place: Place| marks.iter().any(|mark| !mark.is && mark.place == place);
            let in_r = |topic: TopicNo| topics.contains(&topic) || former.contains(&topic);
            let mut wanted: Vec<Label> = Vec::new();
            for transcript in 0..2 {
                for block in 0..3 {
                    let here = |place: Place| (place.transcript, place.block) == (transcript, block);
                    let d: Vec<Label> = found.iter().copied()
                        .filter(|l| here(l.place) && topics.contains(&l.place.topic) && !denied(l.place)).collect();
                    for before in old.iter().filter(|l| here(l.place)) {
                        let now = d.iter().find(|l| l.place == before.place);
                        let stays = before.is_human() || (d.is_empty() && keep) || !in_r(before.place.topic);
                        wanted.extend(match now {
                            Some(now) if !before.is_human() => Some(*now),
                            Some(_) => Some(*before),
                            None => stays.then_some(*before),
                        });
                    }
                    wanted.extend(d.iter().filter(|l| old.iter().all(|o| o.place != l.place)));
                }
            }
            wanted.sort_by_key(|label| label.place);
            prop_assert_eq!(&applied.labels, &wanted);
            prop_assert_eq!(applied.detected,
                found.iter().any(|l| topics.contains(&l.place.topic) && !denied(l.place)));
            // What is counted and what history gets is what happened.
            let edits = edits_between(&old, &applied.labels);
            prop_assert_eq!(edits.len(), applied.edits.len());
            prop_assert!(edits.iter().all(|edit| applied.edits.contains(edit)));
            let counted = |old: bool, new: bool| {
                applied.edits.iter().filter(|e| (e.old.is_some(), e.new.is_some()) == (old, new)).count() as i64
            };
            let counts = applied.counts;
            prop_assert_eq!((counts.added, counts.removed, counts.updated),
                (counted(false, true), counted(true, false), counted(true, true)));
            let rules_standing = applied.labels.iter().filter(|label| !label.is_human()).count() as i64;
            prop_assert_eq!(counts.kept + counts.added + counts.updated, rules_standing);
        }

        #[test]
        fn people_have_the_last_word(labels in places(4), people in places(4)) {
            let labels: Vec<Label> = labels.iter().map(|&(place, phrase)| Label { place, ..rule(0, 0, phrase) }).collect();
            let marks: Vec<Mark> = people.iter().map(|&(place, word)| Mark { place, is: word == 0 }).collect();
            let standing = with_marks(&labels, &marks, 5);
            for mark in &marks {
                let there = standing.iter().find(|label| label.place == mark.place);
                prop_assert_eq!(there.map(Label::is_human), mark.is.then_some(true));
            }
            prop_assert!(standing.is_sorted_by(|one, other| one.place < other.place));
            prop_assert_eq!(with_marks(&standing, &marks, 9), standing.clone(), "a second time changes nothing");
            // Without its mark a person's label goes.
            prop_assert!(with_marks(&standing, &[], 9).iter().all(|label| !label.is_human()));
        }
    }

    #[test]
    fn a_human_label_outlasts_every_job() {
        let old = [human(0, 1)];
        for found in [&[][..], &[rule(0, 1, 1)], &[rule(0, 2, 1)]] {
            let applied = apply(standing(&old, &[]), found, &scope(&[1, 2], &[]), false);
            assert_eq!(applied.labels[0], old[0]);
        }
    }
}
