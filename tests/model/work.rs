//! Leases, on both sides: taken, worked off, and finished.

use std::sync::Arc;

use relabeld::job::{JobState, Outcome, TaskState};
use relabeld::store::{Ask, Committed, Deed, Done, LeaseOutcome, Leased};

use crate::effect::add;
use crate::jobs::Job;
use crate::ops::Fate;
use crate::pair::{ATTEMPTS, Pair, Verdict, same, tell};

/// What the model says that an attempt comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Plan {
    Elsewhere,
    Plain(Outcome),
    Read { edition: i64 },
    TakeBack,
    Failed { permanent: bool, not_before: i64 },
}

/// A lease that is out.
#[derive(Debug)]
pub struct Held {
    pub leased: Leased,
    /// How far it has been worked off.
    pub done: usize,
    /// What was found, from when it was looked at.
    pub looked: Option<Vec<(Done, Plan)>>,
}

impl Held {
    pub fn job(&self) -> i64 {
        self.leased.lease.job
    }

    /// Items that were leased by it and are not finished.
    pub fn left(&self) -> impl Iterator<Item = usize> {
        let left = self.leased.items[self.done..].iter().filter(|item| !item.elsewhere);
        left.map(|item| item.pos as usize)
    }
}

impl Pair {
    /// Leases items of a job, whatever the model thinks of it, and checks that they were there to be leased.
    pub fn lease(&mut self, id: i64, n: usize) -> Result<Option<usize>, String> {
        self.next_lease += 1;
        let ask = Ask { job: id, items: n, lease: self.next_lease };
        let leased = self.store.lease(vec![ask], self.epoch, self.now).map_err(tell)?.pop();
        let now = self.now;
        let Some(job) = self.jobs.by_id.get(&id) else { return same("a lease", &leased, &None).map(|()| None) };
        let due = |at: usize| {
            let task = &job.tasks[at];
            task.state == TaskState::Pending && !task.suspect && !task.waits(now)
        };
        let Some(leased) = leased else {
            // One lease holds a whole chunk, and its items may be of that.
            let held = self.held.iter().any(|held| held.job() == id);
            let waits = job.may_run() && !held && (0..job.tasks.len()).any(due);
            return if waits { Err(format!("nothing of job {id} is leased")) } else { Ok(None) };
        };
        let here: Vec<usize> =
            leased.items.iter().filter(|item| !item.elsewhere).map(|item| item.pos as usize).collect();
        if !job.may_run() || leased.items.len() > n || !here.iter().all(|&at| due(at)) {
            return Err(format!("job {id} is {}: {here:?} is not there to be leased", job.state));
        }
        self.takes(leased).map(Some)
    }

    /// Leases what was in flight at a death, with nothing beside it.
    pub fn lease_suspect(&mut self) -> Result<Option<usize>, String> {
        self.next_lease += 1;
        let leased = self.store.lease_suspect(self.epoch, self.next_lease, self.now).map_err(tell)?;
        let Some((_, leased)) = leased else {
            return same("suspects that may run", &self.has_suspects(), &false).map(|()| None);
        };
        let (job, pos) = (&self.jobs.by_id[&leased.lease.job], leased.items[0].pos as usize);
        let task = &job.tasks[pos];
        let may = matches!(job.state, JobState::Queued | JobState::Running);
        if leased.items.len() != 1 || !may || !task.suspect || task.state != TaskState::Pending {
            return Err(format!("job {} position {pos} is no suspect: {task:?}", job.id));
        }
        self.takes(leased).map(Some)
    }

    pub fn has_suspects(&self) -> bool {
        let may = |job: &&Job| matches!(job.state, JobState::Queued | JobState::Running);
        self.jobs.alive().filter(may).any(|job| job.tasks.iter().any(|t| t.suspect && t.state == TaskState::Pending))
    }

    fn takes(&mut self, leased: Leased) -> Result<usize, String> {
        let now = self.now;
        let job = self.jobs.job(leased.lease.job);
        job.started_at = job.started_at.or(Some(now));
        if job.state == JobState::Queued {
            job.state = JobState::Running;
        }
        for item in leased.items.iter().filter(|item| !item.elsewhere) {
            let task = &mut job.tasks[item.pos as usize];
            same("attempts of a leased item", &item.attempts, &task.attempts)?;
            task.state = TaskState::Running;
        }
        self.held.push(Held { leased, done: 0, looked: None });
        Ok(self.held.len() - 1)
    }

    /// Commits what has come of the next `n` items of a lease, on both sides.
    pub fn finish(&mut self, at: usize, n: usize, ends: bool, fates: &[Fate]) -> Verdict {
        if self.held[at].looked.is_none() {
            self.look(at, fates)?;
        }
        let held = &self.held[at];
        let looked = held.looked.as_ref().ok_or("not looked at")?;
        let (lease, from, until) = (held.leased.lease, held.done, (held.done + n).min(looked.len()));
        let plans = looked[from..until].to_vec();
        let found = |until| looked[from..until].iter().map(|(done, _)| done.clone()).collect();
        let (outcome, late) = (self.outcome(held, found(until), ends), self.outcome(held, found(looked.len()), true));
        let got = self.store.commit(Arc::new([outcome]), ATTEMPTS, self.now).map_err(tell)?;

        let mut wanted = Committed::default();
        let mut trips = false;
        for (done, plan) in plans.iter().filter(|(_, plan)| *plan != Plan::Elsewhere) {
            let Some((error, counts)) = self.ends(lease.job, done.pos as usize, plan, done.attempts) else {
                wanted.again += 1;
                continue;
            };
            wanted.finished += 1;
            let task = &self.jobs.by_id[&lease.job].tasks[done.pos as usize];
            wanted.failed += u64::from(task.state == TaskState::Failed);
            wanted.errors += u64::from(error);
            add(&mut wanted.labels, counts);
            trips |= self.jobs.job(lease.job).note_ending(error);
        }
        let all = until == self.held[at].leased.items.len();
        let held = &mut self.held[at];
        held.done = until;
        let job = self.jobs.job(lease.job);
        if ends || all {
            held.left().for_each(|pos| job.tasks[pos].state = TaskState::Pending);
            self.held.remove(at);
            self.late.push(late);
        }
        if trips && job.trip(self.now) {
            wanted.called_off.push(job.id);
        }
        job.settle(self.now);
        same("what a commit came to", &got, &wanted)
    }

    pub fn outcome(&self, held: &Held, done: Vec<Done>, ends: bool) -> LeaseOutcome {
        let job = &self.jobs.by_id[&held.job()];
        let keep_when_empty = job.wish.filter.keep_when_empty;
        let deed = match (job.reverts, job.revision) {
            (None, Some(revision)) => Deed::Label { revision, keep_when_empty },
            _ => Deed::TakeBack,
        };
        let weight_each = held.leased.weight_each;
        LeaseOutcome { lease: held.leased.lease, weight_each, deed, dry_run: job.wish.dry, done, ends }
    }
}
