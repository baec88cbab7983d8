//! The model's items: texts, labels, marks and freshness as plain maps, written from contract.md 1, 2 and 4.

use std::collections::{BTreeMap, BTreeSet};

use relabeld::label::Provenance;
use relabeld::model::{Item as Content, Kind};
use relabeld::store::ImportCounts;

use crate::rules::Revision;

pub type Key = (Kind, String);
/// Transcript, block, topic.
pub type Place = (String, u32, String);
pub type Marks = BTreeMap<Place, bool>;
pub type Labels = BTreeMap<Place, Label>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    pub phrase: String,
    pub score: u8,
    pub start: u32,
    pub end: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// None: a person's.
    pub evidence: Option<Evidence>,
    pub by: Provenance,
}

/// A key that was imported or named, and what stands of it.
#[derive(Debug, Clone, Default)]
pub struct Item {
    /// In the order in which keys were heard of first: items of one time are selected in this order.
    pub no: i64,
    /// None: erased, or named and never imported.
    pub content: Option<Content>,
    /// Contents so far, and the one since which the text is what it is.
    pub edition: i64,
    pub text_since: i64,
    /// Transcripts that it ever had: marks move in this order.
    pub transcripts: Vec<String>,
    pub labels: Labels,
    pub marks: Marks,
    /// The revision that read it last, by program.
    pub fresh: BTreeMap<String, i64>,
}

impl Item {
    pub fn version(&self) -> Option<i64> {
        self.content.as_ref().and_then(|content| content.version)
    }

    pub fn read_by(&self, program: &str) -> i64 {
        self.fresh.get(program).copied().unwrap_or(0)
    }
}

/// An item's own programs and those of its transcripts; `default` where there is none.
pub fn programs(content: &Content) -> BTreeSet<String> {
    let own = content.programs.iter().chain(content.transcripts.iter().filter_map(|t| t.program.as_ref()));
    let all: BTreeSet<String> = own.cloned().collect();
    if all.is_empty() { ["default".to_owned()].into() } else { all }
}

type Said = (Option<String>, String);

/// By place, who said what.
pub fn blocks(content: &Content) -> BTreeMap<(String, u32), Said> {
    let transcripts = content.transcripts.iter();
    let of = |t: &relabeld::model::Transcript| {
        let said = t.blocks.iter().map(|block| (block.speaker.clone(), block.text.clone()));
        (0..).zip(said).map(|(at, said)| ((t.id.clone(), at), said)).collect::<Vec<_>>()
    };
    transcripts.flat_map(of).collect()
}

/// Whether a labeller sees the same.
fn same_text(one: &Content, other: &Content) -> bool {
    let seen = |content: &Content| -> Vec<(String, Option<String>, Vec<Said>)> {
        let said = |t: &relabeld::model::Transcript| {
            t.blocks.iter().map(|block| (block.speaker.clone(), block.text.clone())).collect()
        };
        content.transcripts.iter().map(|t| (t.id.clone(), t.language.clone(), said(t))).collect()
    };
    seen(one) == seen(other)
}

/// What stands after people's words are heard.
fn with_marks(mut labels: Labels, marks: &Marks, now: i64) -> Labels {
    labels.retain(|place, label| match marks.get(place) {
        Some(is) => *is && label.evidence.is_none(),
        None => label.evidence.is_some(),
    });
    let human = Label { evidence: None, by: Provenance { job: 0, revision: 0, at: now } };
    for (place, _) in marks.iter().filter(|(_, is)| **is) {
        labels.entry(place.clone()).or_insert_with(|| human.clone());
    }
    labels
}

/// A mark that is set (`Some`) or taken away.
pub type MarkChange = (Place, Option<bool>);

#[derive(Debug, Default)]
pub struct Items {
    pub by_key: BTreeMap<Key, Item>,
    named: i64,
}

impl Items {
    pub fn get(&self, key: &Key) -> &Item {
        &self.by_key[key]
    }

    pub fn live(&self, key: &Key) -> Option<&Content> {
        self.by_key.get(key)?.content.as_ref()
    }

    pub fn name(&mut self, key: &Key) -> &mut Item {
        let named = &mut self.named;
        self.by_key.entry(key.clone()).or_insert_with(|| {
            *named += 1;
            Item { no: *named, ..Item::default() }
        })
    }

    pub fn import(&mut self, new: Content, marks: Option<Marks>, now: i64, counts: &mut ImportCounts) {
        let item = self.name(&(new.kind, new.id.clone()));
        let Some(old) = item.content.clone() else {
            item.edition += 1;
            item.text_since = item.edition;
            item.transcripts = new.transcripts.iter().map(|t| t.id.clone()).collect();
            item.marks = marks.unwrap_or_default();
            item.labels = with_marks(Labels::new(), &item.marks, now);
            item.content = Some(new);
            counts.inserted += 1;
            return;
        };
        // A note with a lower version, or with the same and other text.
        if new.kind == Kind::Note && (new.version < old.version || new.version == old.version && new.text != old.text) {
            counts.refused += 1;
            return;
        }
        if new == old && marks.as_ref().is_none_or(|marks| *marks == item.marks) {
            counts.unchanged += 1;
            return;
        }
        for transcript in &new.transcripts {
            if !item.transcripts.contains(&transcript.id) {
                item.transcripts.push(transcript.id.clone());
            }
        }
        let (labels, kept, dropped) = carried(item, &blocks(&old), &blocks(&new));
        let withdrawn = marks.as_ref().is_some_and(|marks| item.marks.iter().any(|(p, is)| marks.get(p) != Some(is)));
        counts.marks_dropped += if marks.is_none() { dropped } else { 0 };
        item.marks = marks.unwrap_or(kept);
        item.labels = with_marks(labels, &item.marks, now);
        let alike = same_text(&old, &new);
        let now_in = programs(&new);
        // Changed text clears freshness, and so does a mark that is taken away.
        item.fresh.retain(|program, _| alike && !withdrawn && now_in.contains(program));
        if new != old {
            item.edition += 1;
            if !alike {
                item.text_since = item.edition;
            }
        }
        item.content = Some(new);
        counts.updated += 1;
    }

    /// False where a block does not exist: then nothing is done.
    pub fn mark(&mut self, key: &Key, changes: &[MarkChange], now: i64) -> Option<bool> {
        let blocks = blocks(self.live(key)?);
        let item = self.by_key.get_mut(key)?;
        if changes.iter().any(|((t, b, _), _)| !blocks.contains_key(&(t.clone(), *b))) {
            return Some(false);
        }
        let before = item.marks.clone();
        for (place, is) in changes {
            item.marks.remove(place);
            item.marks.extend(is.map(|is| (place.clone(), is)));
        }
        if before.keys().any(|place| !item.marks.contains_key(place)) {
            item.fresh.clear();
        }
        item.labels = with_marks(std::mem::take(&mut item.labels), &item.marks, now);
        Some(true)
    }

    pub fn erase(&mut self, key: &Key) -> bool {
        let Some(item) = self.by_key.get_mut(key).filter(|item| item.content.is_some()) else { return false };
        *item = Item { no: item.no, edition: item.edition + 1, text_since: item.text_since, ..Item::default() };
        true
    }

    /// Whether all programs of an item that `named` names were read by what reads as `revision` does.
    pub fn is_fresh(&self, key: &Key, named: &[String], revision: i64, rules: &[Revision]) -> bool {
        let item = self.get(key);
        let Some(content) = &item.content else { return false };
        let mut in_scope = programs(content).into_iter().filter(|p| named.is_empty() || named.contains(p));
        in_scope.all(|program| {
            let by = item.read_by(&program);
            by > 0 && Revision::alike(&rules[by as usize], &rules[revision as usize], &program)
        })
    }
}

/// A block equal in speaker and text at its place keeps all. Elsewhere rule labels go, and a mark with its human label
/// follows the only block of equal text; else it is dropped.
fn carried(
    item: &Item,
    before: &BTreeMap<(String, u32), Said>,
    after: &BTreeMap<(String, u32), Said>,
) -> (Labels, Marks, u64) {
    let block = |place: &Place| (place.0.clone(), place.1);
    let stays = |place: &Place| before.get(&block(place)).is_some_and(|said| after.get(&block(place)) == Some(said));
    let mut labels: Labels = item.labels.clone();
    labels.retain(|place, _| stays(place));
    let mut marks: Marks = item.marks.clone();
    marks.retain(|place, _| stays(place));
    let mut moving: Vec<(&Place, bool)> =
        item.marks.iter().filter(|(p, _)| !stays(p)).map(|(p, is)| (p, *is)).collect();
    moving.sort_by_key(|(place, _)| (item.transcripts.iter().position(|t| *t == place.0), place.1));
    let mut dropped = 0;
    for (place, is) in moving {
        let text = before.get(&block(place)).map(|said| &said.1);
        let equal: Vec<_> = after.iter().filter(|(_, said)| Some(&said.1) == text).map(|(place, _)| place).collect();
        let target = match equal[..] {
            [(transcript, block)] => Some((transcript.clone(), *block, place.2.clone())),
            _ => None,
        };
        let Some(target) = target.filter(|target| !marks.contains_key(target)) else {
            dropped += 1;
            continue;
        };
        marks.insert(target.clone(), is);
        if let Some(human) = item.labels.get(place).filter(|label| label.evidence.is_none()) {
            labels.insert(target, human.clone());
        }
    }
    (labels, marks, dropped)
}
