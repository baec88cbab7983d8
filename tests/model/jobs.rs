//! The model's jobs: how they are made, steered and ended, written from contract.md 5.

use std::collections::BTreeMap;

use relabeld::job::{Filter, JobKind, JobState, LabelCounts, Lane, Outcome, TaskState};

use crate::rules::{Edits, Refreshed, fits};
use crate::world::{Items, Key};

/// A place in the order in which items are selected: time, and number.
pub type Border = (i64, i64);

/// Why a verb is refused, as far as callers tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    NotFound,
    Conflict,
    Stale,
    Pruned,
    Invalid,
    TooMany(i64, i64),
    /// What it needs was deleted or pruned.
    Lost,
}

pub type Answer<T> = Result<T, Refusal>;

/// What a task did to its item: enough to take it back.
#[derive(Debug, Clone, Default)]
pub struct Did {
    pub edition: i64,
    pub edits: Edits,
    pub refreshed: Refreshed,
    /// It did something, also where an erasure took the history of it.
    pub touched: bool,
}

#[derive(Debug, Clone)]
pub struct Task {
    pub key: Key,
    /// The version that was asked for.
    pub asked: Option<i64>,
    /// In a job that takes another back: the position there.
    pub of: usize,
    pub state: TaskState,
    pub outcome: Option<Outcome>,
    pub reason: Option<&'static str>,
    pub attempts: u32,
    /// Of those, the ones in which others were in flight at a death.
    pub uncharged: u32,
    pub deaths: u32,
    pub suspect: bool,
    pub not_before: i64,
    pub finished_at: Option<i64>,
    pub version: Option<i64>,
    pub did: Did,
}

impl Task {
    pub fn new(key: Key, asked: Option<i64>, of: usize) -> Task {
        Task {
            key,
            asked,
            of,
            state: TaskState::Pending,
            outcome: None,
            reason: None,
            attempts: 0,
            uncharged: 0,
            deaths: 0,
            suspect: false,
            not_before: 0,
            finished_at: None,
            version: None,
            did: Did::default(),
        }
    }

    /// It is to be tried again, and not yet. What seems to be put off for long was so before the clock was set back.
    pub fn waits(&self, now: i64) -> bool {
        let until = self.not_before;
        self.state == TaskState::Pending && !self.suspect && until > now && until <= now + LONGEST_WAIT
    }

    pub fn is_error(&self) -> bool {
        self.state == TaskState::Quarantined || self.state == TaskState::Failed && self.reason != Some(NO_TOPICS)
    }
}

/// No task is put off for longer.
const LONGEST_WAIT: i64 = 120_000;

pub const NO_TOPICS: &str = relabeld::job::Reason::NoTopicsDetected.as_str();

/// What a wish settles of a job.
#[derive(Debug, Clone)]
pub struct Wish {
    pub filter: Filter,
    pub priority: i64,
    pub dry: bool,
    pub publish: bool,
    pub split: bool,
    pub limit: i64,
}

#[derive(Debug, Clone)]
pub struct Job {
    pub id: i64,
    pub kind: JobKind,
    pub lane: Lane,
    pub state: JobState,
    pub paused_from: JobState,
    pub wish: Wish,
    pub name: Option<String>,
    pub speed: Option<f64>,
    pub revision: Option<i64>,
    pub parent: Option<i64>,
    pub reverts: Option<i64>,
    pub applied_by: Option<i64>,
    pub leader: Option<i64>,
    /// Its list is whole.
    pub listed: bool,
    pub tasks: Vec<Task>,
    /// Of a part of a range: where it begins, and where the next one does.
    pub part: (Option<Border>, Option<Border>),
    pub published_at: Option<i64>,
    pub started_at: Option<i64>,
    pub finished_at: Option<i64>,
    pub tripped: bool,
    pub endings: Vec<bool>,
    pub labels: LabelCounts,
    pub topics: BTreeMap<String, [i64; 3]>,
    pub pruned: bool,
    pub deleted: bool,
}

impl Job {
    pub fn count(&self, state: TaskState) -> i64 {
        self.tasks.iter().filter(|task| task.state == state).count() as i64
    }

    pub fn may_run(&self) -> bool {
        self.state == JobState::Running || self.state == JobState::Queued && self.lane == Lane::Live
    }

    fn cancel_pending(&mut self) {
        for task in self.tasks.iter_mut().filter(|task| task.state == TaskState::Pending) {
            task.state = TaskState::Cancelled;
            task.suspect = false;
        }
    }

    fn end(&mut self, state: JobState, now: i64) {
        self.state = state;
        self.finished_at = Some(now);
    }

    /// Cancelled by a person or by the breaker: at once, or after what is in flight.
    pub fn call_off(&mut self, to: JobState, now: i64) {
        self.listed = true;
        self.cancel_pending();
        if self.count(TaskState::Running) > 0 { self.state = JobState::Cancelling } else { self.end(to, now) }
    }

    /// The breaker: more than half of the last 200, at least 50, ended tasks were errors.
    pub fn note_ending(&mut self, error: bool) -> bool {
        self.endings.push(error);
        let last = &self.endings[self.endings.len().saturating_sub(200)..];
        last.len() >= 50 && 2 * last.iter().filter(|error| **error).count() > last.len()
    }

    /// All were tried, and of all no more than half went wrong: the last ones are the retries of those that failed.
    fn only_retries_are_left(&self) -> bool {
        let open = |task: &&Task| matches!(task.state, TaskState::Pending | TaskState::Running);
        let errors = self.endings.iter().filter(|error| **error).count();
        2 * errors <= self.endings.len() && self.tasks.iter().filter(open).all(|task| task.attempts > 0)
    }

    pub fn trip(&mut self, now: i64) -> bool {
        let trips = matches!(self.state, JobState::Running | JobState::Paused) && !self.only_retries_are_left();
        if trips {
            self.tripped = true;
            self.call_off(JobState::Failed, now);
        }
        trips
    }

    /// Ends the job when nothing of it is left to do.
    pub fn settle(&mut self, now: i64) {
        if self.state == JobState::Cancelling {
            self.cancel_pending();
        }
        let left = self.tasks.iter().any(|task| task.state == TaskState::Pending);
        match self.state {
            _ if self.count(TaskState::Running) > 0 => {}
            JobState::Cancelling if self.tripped => self.end(JobState::Failed, now),
            JobState::Cancelling => self.end(JobState::Cancelled, now),
            JobState::Running | JobState::Paused if self.listed && !left => {
                let errors = self.tasks.iter().any(Task::is_error);
                self.end(if errors { JobState::CompletedWithFailures } else { JobState::Completed }, now);
            }
            _ => {}
        }
    }
}

#[derive(Debug, Default)]
pub struct Jobs {
    pub by_id: BTreeMap<i64, Job>,
    /// By idempotency key: the body it came with, and the job it made.
    pub requests: BTreeMap<u8, (u8, i64)>,
    last: i64,
}

impl Jobs {
    pub fn get(&self, id: i64) -> Answer<&Job> {
        self.by_id.get(&id).filter(|job| !job.deleted).ok_or(Refusal::NotFound)
    }

    pub fn job(&mut self, id: i64) -> &mut Job {
        self.by_id.get_mut(&id).expect("the model knows it")
    }

    pub fn alive(&self) -> impl DoubleEndedIterator<Item = &Job> {
        self.by_id.values().filter(|job| !job.deleted)
    }

    /// The job, and those that it leads.
    pub fn group(&self, id: i64) -> Answer<Vec<i64>> {
        self.get(id)?;
        let led = self.alive().filter(|job| job.leader == Some(id) && job.id != id).map(|job| job.id);
        Ok(std::iter::once(id).chain(led).collect())
    }

    pub fn add(&mut self, kind: JobKind, lane: Lane, wish: &Wish) -> i64 {
        self.last += 1;
        let job = Job {
            id: self.last,
            kind,
            lane,
            state: JobState::Draft,
            paused_from: JobState::Queued,
            wish: wish.clone(),
            name: None,
            speed: None,
            revision: None,
            parent: None,
            reverts: None,
            applied_by: None,
            leader: None,
            listed: false,
            tasks: Vec::new(),
            part: (None, None),
            published_at: None,
            started_at: None,
            finished_at: None,
            tripped: false,
            endings: Vec::new(),
            labels: LabelCounts::default(),
            topics: BTreeMap::new(),
            pruned: false,
            deleted: false,
        };
        self.by_id.insert(self.last, job);
        self.last
    }

    /// The job that the same request made before; another body under the same key is refused.
    pub fn repeated(&self, (key, body): (u8, u8)) -> Answer<Option<i64>> {
        match self.requests.get(&key).filter(|(_, id)| self.get(*id).is_ok()) {
            Some((of, id)) if *of == body => Ok(Some(*id)),
            Some(_) => Err(Refusal::Conflict),
            None => Ok(None),
        }
    }

    pub fn put_list(&mut self, id: i64, tasks: Vec<Task>) {
        let job = self.job(id);
        (job.listed, job.tasks) = (true, tasks);
    }

    /// Its turn begins; where it is known to have nothing to do, it ends at once.
    pub fn publish(&mut self, id: i64, empty: bool, revision: i64, now: i64) {
        let job = self.job(id);
        job.state = JobState::Queued;
        job.published_at = Some(now);
        job.revision = if job.reverts.is_some() { None } else { job.revision.or(Some(revision)) };
        if empty {
            job.listed = true;
            job.started_at = Some(now);
            job.end(JobState::Completed, now);
        }
    }

    pub fn lead(&mut self, group: &[i64]) {
        for &id in group.iter().filter(|_| group.len() > 1) {
            self.job(id).leader = Some(group[0]);
        }
    }

    /// Makes a draft of a range as many jobs as it takes, and publishes them.
    pub fn publish_range(&mut self, id: i64, items: &Items, revision: i64, now: i64) -> Vec<i64> {
        let Job { wish, name, speed, .. } = self.job(id).clone();
        let selected = selection(items, &wish.filter);
        let size = if wish.split && wish.limit > 0 { wish.limit as usize } else { selected.len().max(1) };
        let borders: Vec<Border> = selected.iter().step_by(size).skip(1).map(|(place, _)| *place).collect();
        let mut group = Vec::new();
        for part in 0..=borders.len() {
            let id = match part {
                0 => id,
                _ => self.add(JobKind::Range, Lane::Bulk, &wish),
            };
            let from = part.checked_sub(1).map(|before| borders[before]);
            let job = self.job(id);
            job.part = (from, borders.get(part).copied());
            (job.name, job.speed) = (name.clone(), speed);
            self.publish(id, selected.is_empty(), revision, now);
            group.push(id);
        }
        self.lead(&group);
        group
    }
}

/// What a filter selects, oldest first.
pub fn selection(items: &Items, filter: &Filter) -> Vec<(Border, Key)> {
    let fitting = items.by_key.iter().filter_map(|(key, item)| {
        let content = item.content.as_ref().filter(|content| fits(filter, content))?;
        Some(((content.at, item.no), key.clone()))
    });
    let mut selected: Vec<_> = fitting.collect();
    selected.sort();
    selected
}
