//! What a task does, as contract.md 4 and 5 have it: to its item, to its job, and to itself.

use relabeld::job::{LabelCounts, Outcome, TaskState};
use relabeld::label::Provenance;

use crate::jobs::{Did, NO_TOPICS};
use crate::pair::{ATTEMPTS, Pair};
use crate::rules::{Edits, Made, counted, reprocess};
use crate::work::Plan;
use crate::world::{Item, programs};

impl Pair {
    /// One task, as the contract has it. None: it is to be run again; else whether it is an error, and its labels.
    pub fn ends(&mut self, id: i64, pos: usize, plan: &Plan, attempts: u32) -> Option<(bool, LabelCounts)> {
        let now = self.now;
        let job = &self.jobs.by_id[&id];
        let key = job.tasks[pos].key.clone();
        let item = self.items.get(&key);
        let mut edition = 0;
        let made = match plan {
            Plan::Elsewhere => None,
            Plan::Plain(outcome) => Some(Made { outcome: Some(*outcome), ..Made::default() }),
            Plan::Failed { permanent, not_before } => {
                let task = &mut self.jobs.job(id).tasks[pos];
                (task.attempts, task.suspect) = (attempts, false);
                task.reason = Some(if *permanent { "cannot" } else { "busy" });
                if !permanent && attempts - task.uncharged < ATTEMPTS {
                    (task.state, task.not_before) = (TaskState::Pending, *not_before);
                    return None;
                }
                (task.state, task.finished_at) = (TaskState::Failed, Some(now));
                return Some((true, LabelCounts::default()));
            }
            _ if item.content.is_none() => Some(Made { outcome: Some(Outcome::Gone), ..Made::default() }),
            Plan::Read { edition: read } if *read == item.edition => {
                edition = item.edition;
                let by = Provenance { job: id, revision: job.revision.unwrap_or_default(), at: now };
                let filter = &job.wish.filter;
                Some(reprocess(item, &filter.programs, filter.keep_when_empty, by, &self.rules))
            }
            Plan::Read { .. } => None,
            Plan::TakeBack => {
                edition = item.edition;
                let of = &self.jobs.by_id[&job.reverts.unwrap_or_default()].tasks[job.tasks[pos].of];
                Some(take_back(item, &of.did))
            }
        };
        let task = &mut self.jobs.job(id).tasks[pos];
        task.suspect = false;
        let Some(mut made) = made else {
            // It changed after it was looked at: nobody is charged.
            (task.state, task.attempts, task.not_before, task.reason) = (TaskState::Pending, attempts - 1, 0, None);
            return None;
        };
        task.attempts = attempts;
        task.finished_at = Some(now);
        task.outcome = made.outcome;
        task.reason = if made.outcome.is_none() { Some(NO_TOPICS) } else { None };
        task.state = if made.outcome.is_none() { TaskState::Failed } else { TaskState::Done };
        task.version = if edition > 0 { item.version() } else { None };
        let dry = self.jobs.by_id[&id].wish.dry;
        if dry {
            made.refreshed.clear();
        }
        self.put(id, pos, edition, &made, dry);
        Some((false, made.counts))
    }

    fn put(&mut self, id: i64, pos: usize, edition: i64, made: &Made, dry: bool) {
        let job = self.jobs.job(id);
        add(&mut job.labels, made.counts);
        for (place, (old, new)) in &made.edits {
            let column = if old.is_none() { 0 } else { 1 + usize::from(new.is_some()) };
            job.topics.entry(place.2.clone()).or_default()[column] += 1;
        }
        let touched = !made.edits.is_empty() || !made.refreshed.is_empty();
        let (edits, refreshed) = (made.edits.clone(), made.refreshed.clone());
        job.tasks[pos].did = Did { edition, edits, refreshed, touched };
        let key = job.tasks[pos].key.clone();
        let Some(item) = self.items.by_key.get_mut(&key).filter(|_| !dry) else { return };
        for (place, (_, new)) in &made.edits {
            item.labels.remove(place);
            item.labels.extend(new.clone().map(|new| (place.clone(), new)));
        }
        for (program, (_, after)) in &made.refreshed {
            item.fresh.insert(program.clone(), *after);
        }
        item.fresh.retain(|_, by| *by != 0);
    }
}

/// Contract 5, revert: labels, evidence and freshness go back, or the item is left.
fn take_back(item: &Item, did: &Did) -> Made {
    let stands = did.edits.iter().all(|(place, (_, left))| item.labels.get(place) == left.as_ref());
    let spoken = did.edits.keys().any(|place| item.marks.contains_key(place));
    if did.edition < item.text_since || !stands || spoken {
        return Made { outcome: Some(Outcome::NewerChange), ..Made::default() };
    }
    let own = item.content.as_ref().map(programs).unwrap_or_default();
    // Where others have read it since, nobody knows by whose rules what stands there stands: it is not read.
    let back = |(program, (before, after)): (&String, &(i64, i64))| {
        let now = item.read_by(program);
        (program.clone(), (now, if now == *after { *before } else { 0 }))
    };
    let refreshed = did.refreshed.iter().filter(|(p, _)| own.contains(*p)).map(back).filter(|(_, (b, a))| b != a);
    let refreshed = refreshed.collect();
    let edits: Edits =
        did.edits.iter().map(|(place, (old, new))| (place.clone(), (new.clone(), old.clone()))).collect();
    let mut labels = item.labels.clone();
    for (place, (_, new)) in &edits {
        labels.remove(place);
        labels.extend(new.clone().map(|new| (place.clone(), new)));
    }
    let outcome = if edits.is_empty() { Outcome::Unchanged } else { Outcome::Changed };
    Made { outcome: Some(outcome), counts: counted(&labels, &edits), edits, refreshed }
}

pub fn add(total: &mut LabelCounts, more: LabelCounts) {
    total.added += more.added;
    total.removed += more.removed;
    total.updated += more.updated;
    total.kept += more.kept;
}
