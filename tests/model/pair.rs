//! The product and its model, side by side: each operation is done to both.

use std::collections::BTreeMap;
use std::sync::Arc;

use relabeld::job::TaskState;
use relabeld::model::Kind;
use relabeld::store::{Begun, Durability, Error, LeaseOutcome, Store};

use crate::feed::Feed;
use crate::jobs::{Answer, Jobs, Refusal};
use crate::ops::Which;
use crate::rules::{Revision, Topic};
use crate::work::Held;
use crate::world::{Items, Key};

pub type Verdict = Result<(), String>;

pub const ATTEMPTS: u32 = 3;
/// 2026-11-20T00:00:00Z.
pub const NOW: i64 = 1_795_132_800_000;

pub struct Pair {
    pub items: Items,
    pub rules: Vec<Revision>,
    pub jobs: Jobs,
    pub now: i64,
    pub store: Arc<Store>,
    pub dir: tempfile::TempDir,
    pub epoch: i64,
    pub next_lease: i64,
    pub held: Vec<Held>,
    /// What came of leases that are nobody's any more.
    pub late: Vec<LeaseOutcome>,
    pub feed: Feed,
    pub labeller: u8,
}

/// What a store refuses, in the model's words.
pub fn refusal(error: Error) -> Result<Refusal, String> {
    Ok(match error {
        Error::NotFound(_) => Refusal::NotFound,
        Error::Conflict(_) => Refusal::Conflict,
        Error::StaleVersion(_) => Refusal::Stale,
        Error::HistoryPruned(_) => Refusal::Pruned,
        Error::Invalid(_) => Refusal::Invalid,
        Error::TooManyItems { count, limit } => Refusal::TooMany(count, limit),
        other => return Err(format!("the store gives up: {other:?}")),
    })
}

pub fn tell(error: Error) -> String {
    format!("refused: {error:?}")
}

pub fn same<T: std::fmt::Debug + PartialEq>(what: &str, got: &T, wanted: &T) -> Verdict {
    if got == wanted { Ok(()) } else { Err(format!("{what}:\n  the store has {got:?}\n  the model has {wanted:?}")) }
}

/// Both refuse for the same reason, or both do it.
pub fn agree<T, W>(what: &str, got: Result<T, Error>, wanted: Answer<W>) -> Result<Option<(T, W)>, String> {
    match (got, wanted) {
        (Ok(got), Ok(wanted)) => Ok(Some((got, wanted))),
        (Ok(_), Err(why)) => Err(format!("{what}: done, and should be refused: {why:?}")),
        (Err(error), Ok(_)) => Err(format!("{what}: refused, and should be done: {error:?}")),
        (Err(error), Err(why)) => match (refusal(error)?, why) {
            (Refusal::NotFound | Refusal::Pruned, Refusal::Lost) => Ok(None),
            (got, wanted) => same(what, &got, &wanted).map(|()| None),
        },
    }
}

pub fn key(which: Which) -> Key {
    match which {
        0..=4 | 8 => (Kind::Conversation, format!("c{which}")),
        _ => (Kind::Note, format!("n{which}")),
    }
}

/// In memory where there is such a place: no test here asks what the disk keeps.
pub fn scratch() -> Result<tempfile::TempDir, String> {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    dir.map_err(|error| error.to_string())
}

pub fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

impl Pair {
    pub fn new() -> Result<Pair, String> {
        let dir = scratch()?;
        let store = Arc::new(Store::open(dir.path(), Durability::Normal).map_err(tell)?);
        let mut pair = Pair {
            items: Items::default(),
            rules: vec![Revision::default()],
            jobs: Jobs::default(),
            now: NOW,
            store,
            dir,
            epoch: 0,
            next_lease: 0,
            held: Vec::new(),
            late: Vec::new(),
            feed: Feed::default(),
            labeller: 0,
        };
        pair.recover(&[])?;
        Ok(pair)
    }

    pub fn revise(&mut self, change: impl FnOnce(&mut BTreeMap<String, Topic>)) -> Verdict {
        let current = self.rules.last().cloned().unwrap_or_default();
        let mut next = Revision { labeller: format!("stub/{}", self.labeller), ..current.clone() };
        change(&mut next.topics);
        let parsed = relabeld::catalogue::parse(next.json().as_bytes(), |_| true).map_err(|e| format!("{e:?}"))?;
        let got = self.store.apply_catalogue(parsed, &next.labeller, true, None, self.now).map_err(tell)?;
        same("a catalogue is new", &got.new, &(next != current))?;
        if got.new {
            self.rules.push(next);
        }
        same("the revision", &got.revision, &(self.rules.len() as i64 - 1))
    }

    /// After a start: what is given back, who is suspect, who was alone in flight once too often.
    pub fn recover(&mut self, begun: &[(i64, usize)]) -> Verdict {
        let notes = begun.iter().map(|&(job, pos)| Begun { epoch: self.epoch, job, pos: pos as i64 });
        let got = self.store.recover(notes.collect(), ATTEMPTS, self.now).map_err(tell)?;
        self.epoch += 1;
        self.next_lease = 0;
        for job in self.jobs.by_id.values_mut() {
            for (pos, task) in job.tasks.iter_mut().enumerate().filter(|(_, task)| task.state == TaskState::Running) {
                task.state = TaskState::Pending;
                if begun.contains(&(job.id, pos)) {
                    (task.suspect, task.attempts, task.not_before) = (true, task.attempts + 1, 0);
                }
            }
        }
        for &(id, pos) in begun.iter().filter(|_| begun.len() > 1) {
            self.jobs.job(id).tasks[pos].uncharged += 1;
        }
        let mut quarantined = 0;
        if let [(id, pos)] = *begun {
            let job = self.jobs.job(id);
            job.tasks[pos].deaths += 1;
            if job.tasks[pos].deaths >= ATTEMPTS {
                quarantined = 1;
                let task = &mut job.tasks[pos];
                (task.state, task.suspect, task.reason) = (TaskState::Quarantined, false, Some("crashed"));
                task.finished_at = Some(self.now);
                if job.note_ending(true) {
                    job.trip(self.now);
                }
            }
        }
        let now = self.now;
        self.jobs.by_id.values_mut().filter(|job| job.finished_at.is_none()).for_each(|job| job.settle(now));
        same("what recovery did", &(got.epoch, got.suspects, got.quarantined), &(self.epoch, begun.len(), quarantined))
    }
}
