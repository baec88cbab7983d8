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

impl Edit {
    pub fn place(&self) -> Option<Place> {
        self.new.or(self.old).map(|label| label.place)
    }
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
}

/// Topics by what a reading may do to them: contract 4.2's S, and R of which S is a part.
#[derive(Debug, Clone, Default)]
struct Reach(FxHashMap<TopicNo, bool>);

impl Reach {
    fn of(scope: &Scope, hands_off: &[TopicNo]) -> Reach {
        let mut reach = FxHashMap::default();
        for rules in &scope.programs {
            for topic in rules.former.iter().filter(|topic| !scope.elsewhere.contains(topic)) {
                reach.entry(*topic).or_insert(false);
            }
        }
        for rules in &scope.programs {
            reach.extend(rules.topics.iter().map(|&topic| (topic, true)));
        }
        for topic in hands_off {
            reach.remove(topic);
        }
        Reach(reach)
    }

    fn detects(&self, topic: TopicNo) -> bool {
        self.0.get(&topic) == Some(&true)
    }

    fn removes(&self, topic: TopicNo) -> bool {
        self.0.contains_key(&topic)
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
    /// By place.
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
    let reach = Reach::of(scope, standing.hands_off);
    let denied = |place: Place| standing.marks.iter().any(|mark| !mark.is && mark.place == place);
    let mut found = found.iter().filter(|label| reach.detects(label.place.topic) && !denied(label.place)).peekable();
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
            applied.settle(before.copied(), now.copied(), |label| !keeps && reach.removes(label.place.topic));
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

/// What stands after people's words are heard: a human label for each `is`, no label for each `is_not`.
///
/// A human label whose mark is gone goes too. `now` is when a new human label came.
pub fn with_marks(labels: &[Label], marks: &[Mark], now: Millis) -> Vec<Label> {
    let mut standing: Vec<Label> = labels
        .iter()
        .filter(|label| match marks.iter().find(|mark| mark.place == label.place) {
            Some(mark) => mark.is && label.is_human(),
            None => !label.is_human(),
        })
        .copied()
        .collect();
    for mark in marks.iter().filter(|mark| mark.is) {
        if !standing.iter().any(|label| label.place == mark.place) {
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
