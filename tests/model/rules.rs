//! The model's catalogue, the stub labeller, and what one reading makes of an item: contract.md 3 and 4.

use std::collections::{BTreeMap, BTreeSet};

use relabeld::job::{Filter, LabelCounts, Outcome};
use relabeld::label::Provenance;
use relabeld::model::{Item as Content, Kind};
use serde_json::json;

use crate::world::{Evidence, Item, Label, Labels, Place, blocks, programs};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    pub programs: Vec<&'static str>,
    pub participants: &'static str,
    pub phrases: Vec<&'static str>,
    /// Part of its name, which matters to no reading.
    pub spelling: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Revision {
    pub labeller: String,
    pub topics: BTreeMap<String, Topic>,
}

impl Revision {
    pub fn json(&self) -> String {
        let topic = |(id, topic): (&String, &Topic)| {
            json!({"id": id, "name": format!("{id}{}", topic.spelling), "programs": topic.programs,
                "participants": topic.participants, "phrases": topic.phrases})
        };
        json!({"topics": self.topics.iter().map(topic).collect::<Vec<_>>()}).to_string()
    }

    pub fn of_program(&self, program: &str) -> BTreeSet<String> {
        let has = |topic: &Topic| topic.programs.contains(&program);
        self.topics.iter().filter(|(_, topic)| has(topic)).map(|(id, _)| id.clone()).collect()
    }

    /// Whether two revisions read a program's items alike: its topics but for their names, and the labeller.
    pub fn alike(one: &Revision, other: &Revision, program: &str) -> bool {
        let read = |revision: &Revision| -> Vec<_> {
            let topics = revision.of_program(program);
            let key = |id: &String| (id.clone(), revision.topics[id].participants, revision.topics[id].phrases.clone());
            topics.iter().map(key).collect()
        };
        let (mine, its) = (read(one), read(other));
        mine == its && (mine.is_empty() || one.labeller == other.labeller)
    }
}

/// The stub labeller: the first phrase of the topic that is a word of the text, where it stands first.
pub fn find(topic: &Topic, kind: Kind, speaker: Option<&str>, text: &str) -> Option<Evidence> {
    if kind == Kind::Conversation && topic.participants != "all" && speaker != Some(topic.participants) {
        return None;
    }
    (0..).zip(&topic.phrases).find_map(|(no, phrase)| {
        let word = text.split(' ').position(|word| word == *phrase)?;
        let before: usize = text.split(' ').take(word).map(|word| word.chars().count() + 1).sum();
        let (start, end) = (before as u32, (before + phrase.chars().count()) as u32);
        Some(Evidence { phrase: (*phrase).to_owned(), score: 100 - no, start, end })
    })
}

pub fn fits(filter: &Filter, content: &Content) -> bool {
    let time = filter.from.is_none_or(|from| content.at >= from) && filter.until.is_none_or(|until| content.at < until);
    let kind = filter.types.is_empty() || filter.types.contains(&content.kind);
    let media = filter.media.is_empty() || content.media.as_ref().is_some_and(|media| filter.media.contains(media));
    let program = filter.programs.is_empty() || programs(content).iter().any(|p| filter.programs.contains(p));
    let spoken = |language: &String| filter.languages.iter().any(|l| l.eq_ignore_ascii_case(language));
    let languages = content.transcripts.iter().filter_map(|t| t.language.as_ref());
    time && kind && media && program && (filter.languages.is_empty() || languages.into_iter().any(spoken))
}

/// Old and new of every place that was touched.
pub type Edits = BTreeMap<Place, (Option<Label>, Option<Label>)>;
/// By program, the revision that read the item before, and after.
pub type Refreshed = BTreeMap<String, (i64, i64)>;

/// What a task makes of an item.
#[derive(Debug, Clone, Default)]
pub struct Made {
    /// None: `no_topics_detected`.
    pub outcome: Option<Outcome>,
    pub edits: Edits,
    pub refreshed: Refreshed,
    pub counts: LabelCounts,
}

/// Reprocesses an item by `revision`, for the programs that `named` names (all where it names none).
pub fn reprocess(item: &Item, named: &[String], keep: bool, by: Provenance, rules: &[Revision]) -> Made {
    let content = item.content.as_ref().expect("it is there");
    let rev = &rules[by.revision as usize];
    let own = programs(content);
    let asked: Vec<&String> = own.iter().filter(|p| named.is_empty() || named.contains(p)).collect();
    // 7: what a newer revision has read is not touched for that program.
    let (newer, scope): (Vec<&String>, Vec<&String>) = asked.iter().partition(|p| item.read_by(p) > by.revision);
    let made = |outcome| Made { outcome: Some(outcome), ..Made::default() };
    if scope.is_empty() {
        return made(Outcome::Superseded);
    }
    let of = |programs: &[&String]| programs.iter().flat_map(|p| rev.of_program(p)).collect::<BTreeSet<_>>();
    let hands_off: BTreeSet<String> =
        newer.iter().flat_map(|p| rules[item.read_by(p) as usize].of_program(p)).collect();
    let s = of(&scope);
    let refreshed: Refreshed = scope
        .iter()
        .map(|p| ((*p).clone(), (item.read_by(p), by.revision)))
        .filter(|(_, (before, after))| before != after)
        .collect();
    // 5: nothing to look for.
    if s.is_empty() {
        return Made { refreshed, ..made(Outcome::ProgramHasNoTopics) };
    }
    // R: S, and the topics that these programs had earlier and have no more, unless the item's other programs have them.
    let elsewhere = of(&own.iter().filter(|p| !asked.contains(p)).collect::<Vec<_>>());
    let earlier = scope.iter().flat_map(|p| rules[..by.revision as usize].iter().flat_map(|r| r.of_program(p)));
    let mut r: BTreeSet<String> = earlier.filter(|topic| !elsewhere.contains(topic)).collect();
    r.extend(s.iter().cloned());

    let mut labels = item.labels.clone();
    let mut detected = false;
    for ((transcript, block), (speaker, text)) in blocks(content) {
        let place = |topic: &String| (transcript.clone(), block, topic.clone());
        let d: BTreeMap<Place, Evidence> = s
            .iter()
            .filter(|topic| !hands_off.contains(*topic) && item.marks.get(&place(topic)) != Some(&false))
            .filter_map(|t| Some((place(t), find(&rev.topics[t], content.kind, speaker.as_deref(), &text)?)))
            .collect();
        detected |= !d.is_empty();
        // 2: the block keeps what it has, or loses R and gains D; 3: what a person said stays as it is.
        if !d.is_empty() || !keep {
            let here = |place: &Place| (&place.0, place.1) == (&transcript, block);
            let goes = |place: &Place| here(place) && r.contains(&place.2) && !hands_off.contains(&place.2);
            labels.retain(|place, label| label.evidence.is_none() || !goes(place) || d.contains_key(place));
        }
        for (place, evidence) in d {
            let new = Label { evidence: Some(evidence), by };
            let old = labels.entry(place).or_insert_with(|| new.clone());
            // What is found again as it was keeps its origin.
            if old.evidence.is_some() && old.evidence != new.evidence {
                *old = new;
            }
        }
    }
    let edits = between(&item.labels, &labels);
    let outcome = match (detected, edits.is_empty()) {
        // 4: a failure that is expected.
        (false, _) if keep => None,
        (_, true) => Some(Outcome::Unchanged),
        (_, false) => Some(Outcome::Changed),
    };
    Made { outcome, counts: counted(&labels, &edits), edits, refreshed }
}

pub fn between(old: &Labels, new: &Labels) -> Edits {
    let places: BTreeSet<&Place> = old.keys().chain(new.keys()).collect();
    let sides = |place: &Place| (old.get(place).cloned(), new.get(place).cloned());
    let edits = places.into_iter().map(|place| (place.clone(), sides(place)));
    edits.filter(|(_, (old, new))| old != new).collect()
}

/// What was touched; of the rest, what rules put there is kept.
pub fn counted(labels: &Labels, edits: &Edits) -> LabelCounts {
    let count =
        |old: bool, new: bool| edits.values().filter(|(o, n)| (o.is_some(), n.is_some()) == (old, new)).count() as i64;
    let by_rules = labels.values().filter(|label| label.evidence.is_some()).count() as i64;
    let (added, removed, updated) = (count(false, true), count(true, false), count(true, true));
    LabelCounts { added, removed, updated, kept: by_rules - added - updated }
}
