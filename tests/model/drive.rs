//! One operation after the other, on both sides; after each they are compared.

use std::sync::Arc;

use relabeld::job::JobState;
use relabeld::store::{Committed, Durability, Planned, Steering, Store};

use crate::jobs::{Job, Refusal, Task, selection};
use crate::ops::{ANY, DAY, Fate, Meanwhile, Op, Pick};
use crate::pair::{ATTEMPTS, Pair, Verdict, agree, same, scratch, tell};
use crate::seen::Seen;
use crate::verbs::Verb;

/// All is compared after so many operations, and at the end.
const OFTEN: usize = 16;

pub fn run(ops: &[Op], begin: impl FnOnce(&mut Pair) -> Verdict, seen: &Seen) -> Verdict {
    let mut pair = Pair::new()?;
    begin(&mut pair)?;
    for (no, op) in (1..).zip(ops) {
        let done = pair.apply(op).and_then(|()| pair.compare_jobs());
        let compared = done.and_then(|()| if no % OFTEN == 0 { pair.compare_all() } else { Ok(()) });
        compared.map_err(|why| format!("operation {no}, {op:?}:\n{why}"))?;
    }
    seen.note(&pair);
    pair.compare_all().map_err(|why| format!("at the end:\n{why}"))
}

impl Pair {
    fn apply(&mut self, op: &Op) -> Verdict {
        match op {
            Op::Import(lines) => self.import(lines),
            Op::Change(which, edit, words) => self.change(*which, edit, words.as_deref()),
            Op::Erase(which) => self.erase(*which),
            Op::Mark(which, words) => self.mark(*which, words),
            Op::Topic(id, topic) => self.revise(|topics| drop(topics.insert((*id).to_owned(), topic.clone()))),
            Op::RemoveTopic(id) => self.revise(|topics| drop(topics.remove(*id))),
            Op::ApplyAgain(back) => {
                let before = self.rules.len().saturating_sub(1 + usize::from(*back));
                let then = self.rules[before].topics.clone();
                self.revise(|topics| *topics = then)
            }
            Op::Labeller(version) => {
                self.labeller = *version;
                self.revise(|_| {})
            }
            Op::Publish(what, how) => self.publish(what, how),
            Op::PublishDraft(pick, days, limit) => self.publish_draft(self.pick(*pick, Verb::Publish), *days, *limit),
            Op::Again(pick, verb, dry, draft) => self.again(self.pick(*pick, *verb), *verb, *dry, *draft),
            Op::Control(pick, verb) => self.control(self.pick(*pick, *verb), *verb),
            Op::Steer(pick, name, priority, speed) => {
                self.steer(self.pick(*pick, Verb::Steer), *name, *priority, *speed)
            }
            Op::Plan(meanwhile) => self.plan_next(meanwhile).map(drop),
            Op::Lease(pick, n, at_once) => {
                let Some(id) = self.worked_on(*pick) else { return Ok(()) };
                match self.lease(id, usize::from(*n))? {
                    Some(at) if *at_once => self.look(at, &[Fate::Well]),
                    _ => Ok(()),
                }
            }
            Op::LeaseSuspect(at_once) => match self.held.is_empty() {
                true => match self.lease_suspect()? {
                    Some(at) if *at_once => self.look(at, &[Fate::Well]),
                    _ => Ok(()),
                },
                false => Ok(()),
            },
            Op::Finish(pick, n, ends, fates) => match self.held.len() {
                0 => Ok(()),
                held => self.finish(usize::from(*pick) % held, usize::from(*n), *ends, fates),
            },
            Op::Late(pick) => self.deliver_late(usize::from(*pick)),
            Op::Drain(pick, n, fates) => self.drain(*pick, usize::from(*n), fates),
            Op::Die(pick, times) => (0..*times).try_for_each(|_| self.die(*pick)),
            Op::Prune(days, steps) => self.prune(self.now - days * DAY + 1, *steps),
            Op::Restart { killed, begun } => self.restart(*killed, begun),
            Op::Clock(by) => {
                self.now += by;
                Ok(())
            }
        }
    }

    /// Mostly a job that the verb is for, and that it does something about, latest first; 0 where there is none.
    fn pick(&self, pick: Pick, verb: Verb) -> i64 {
        let all: Vec<&Job> = self.jobs.alive().rev().collect();
        let fits = |job: &&&Job| {
            let worth = match verb {
                Verb::Apply => job.wish.dry && job.applied_by.is_none(),
                Verb::Revert => !job.wish.dry && job.tasks.iter().any(|task| task.did.touched),
                Verb::Retry { no_topics } => {
                    job.tasks.iter().any(|task| task.is_error() || no_topics && task.outcome.is_none())
                }
                _ => true,
            };
            verb.in_state(job.state) == Some(true) && !job.pruned && worth
        };
        let fitting: Vec<&Job> = all.iter().filter(fits).copied().collect();
        let among = if pick >= ANY || fitting.is_empty() { all } else { fitting };
        among.get(usize::from(pick % ANY) % among.len().max(1)).map_or(0, |job| job.id)
    }

    /// A job that work may be asked of: the engine never asks it of a bulk job that is not planned.
    fn worked_on(&self, pick: Pick) -> Option<i64> {
        let planned = |job: &&Job| job.listed && (job.may_run() || job.state != JobState::Queued);
        let all: Vec<i64> = self.jobs.alive().rev().filter(planned).map(|job| job.id).collect();
        let may: Vec<i64> = all.iter().copied().filter(|id| self.jobs.by_id[id].may_run()).collect();
        let among = if pick >= ANY || may.is_empty() { all } else { may };
        among.get(usize::from(pick % ANY) % among.len().max(1)).copied()
    }

    fn control(&mut self, id: i64, verb: Verb) -> Verdict {
        let now = self.now;
        let what = format!("{verb:?} of job {id}");
        let got = match verb {
            Verb::Delete => return agree(&what, self.store.delete_job(id), self.jobs.delete(id)).map(drop),
            Verb::Pause => self.store.pause_job(id),
            Verb::Resume => self.store.resume_job(id),
            _ => self.store.cancel_job(id, now),
        };
        match agree(&what, got, self.jobs.control(id, verb, now))? {
            Some((job, ())) => same("the state answered", &job.state, &self.jobs.by_id[&id].state),
            None => Ok(()),
        }
    }

    fn steer(&mut self, id: i64, name: Option<&str>, priority: Option<i64>, speed: Option<Option<f64>>) -> Verdict {
        let name = name.map(|name| Some(name.to_owned()));
        let steering = Steering { name: name.clone(), description: None, priority, max_per_second: speed };
        let got = self.store.steer_job(id, steering);
        let wanted = self.jobs.group(id).and_then(|group| {
            let open = |id: &i64| !self.jobs.by_id[id].state.ended();
            let steers = priority.is_some() || speed.is_some();
            if steers && !group.iter().any(open) { Err(Refusal::Conflict) } else { Ok(group) }
        });
        let Some((_, group)) = agree("steer", got, wanted)? else { return Ok(()) };
        for id in group {
            let job = self.jobs.job(id);
            job.name = name.clone().unwrap_or(job.name.take());
            // An ended job keeps how it was run.
            if !job.state.ended() {
                job.wish.priority = priority.unwrap_or(job.wish.priority);
                job.speed = speed.unwrap_or(job.speed);
            }
        }
        Ok(())
    }

    /// Plans the job whose turn it is. False when none waits.
    fn plan_next(&mut self, meanwhile: &Meanwhile) -> Result<bool, String> {
        let waits = |job: &&Job| {
            matches!(job.state, JobState::Queued | JobState::Planning) && job.lane == relabeld::job::Lane::Bulk
        };
        let next = self.jobs.alive().find(waits).map(|job| job.id);
        let (store, now) = (Arc::clone(&self.store), self.now);
        let planning = store.begin_planning(now).map_err(tell)?;
        same("the job whose turn it is to be planned", &planning.as_ref().map(|planning| planning.job()), &next)?;
        let (Some(mut planning), Some(id)) = (planning, next) else { return Ok(false) };
        let job = self.jobs.job(id);
        job.state = JobState::Planning;
        job.started_at = job.started_at.or(Some(now));
        // The list is that of this moment.
        let (first, end) = job.part;
        let filter = job.wish.filter.clone();
        let list: Vec<Task> = selection(&self.items, &filter)
            .into_iter()
            .filter(|(at, _)| first.is_none_or(|first| *at >= first) && end.is_none_or(|end| *at < end))
            .map(|(_, key)| Task::new(key, None, 0))
            .collect();
        match meanwhile {
            Meanwhile::Nothing => {}
            Meanwhile::Abandon => return Ok(true),
            Meanwhile::Import(which, text) => self.import(&[(*which, text.clone(), None)])?,
            Meanwhile::Erase(which) => self.erase(*which)?,
            Meanwhile::Pause => self.control(id, Verb::Pause)?,
            Meanwhile::Cancel => self.control(id, Verb::Cancel)?,
            Meanwhile::CancelAndDelete => {
                self.control(id, Verb::Cancel)?;
                self.control(id, Verb::Delete)?;
                self.prune(i64::MIN, u8::MAX)?;
            }
        }
        let job = self.jobs.job(id);
        let planned = planning.step(now).map_err(tell)?;
        if job.state != JobState::Planning {
            return same("a step of planning", &planned, &Planned::Stopped).map(|()| true);
        }
        if !job.listed {
            (job.listed, job.tasks) = (true, list);
        }
        job.state = JobState::Running;
        job.settle(now);
        same("a step of planning", &planned, &Planned::Whole).map(|()| true)
    }

    /// Plans what waits, and works a job off until it ends or can go no further.
    fn drain(&mut self, pick: Pick, n: usize, fates: &[Fate]) -> Verdict {
        while self.plan_next(&Meanwhile::Nothing)? {}
        let Some(id) = self.worked_on(pick) else { return Ok(()) };
        while let Some(at) = (0..self.held.len()).find(|&at| self.held[at].job() == id) {
            self.finish(at, usize::MAX / 2, true, fates)?;
        }
        loop {
            match self.lease(id, n)? {
                Some(at) => self.finish(at, usize::MAX / 2, true, fates)?,
                None if self.jobs.by_id[&id].may_run()
                    && self.jobs.by_id[&id].tasks.iter().any(|t| t.waits(self.now)) =>
                {
                    self.now += 2_000;
                }
                None => return Ok(()),
            }
        }
    }

    /// The process dies with one item of a job in analysis, and nothing beside it.
    fn die(&mut self, pick: Pick) -> Verdict {
        if self.held.is_empty() && self.lease_suspect()?.is_none() {
            let Some(id) = self.worked_on(pick) else { return Ok(()) };
            self.lease(id, 1)?;
        }
        self.restart(true, &[0])
    }

    /// An outcome under a lease that has passed changes nothing.
    fn deliver_late(&mut self, pick: usize) -> Verdict {
        if self.late.is_empty() {
            return Ok(());
        }
        let outcome = self.late[self.late.len() - 1 - pick % self.late.len()].clone();
        let fenced = outcome.done.len() as u64;
        let got = self.store.commit(Arc::new([outcome]), ATTEMPTS, self.now).map_err(tell)?;
        same("what comes late", &got, &Committed { fenced, ..Committed::default() })
    }

    /// Deleted jobs go first, then what ended before `before` and is not needed by a job that has not ended.
    fn prune(&mut self, before: i64, steps: u8) -> Verdict {
        let may = |pair: &Pair| -> Vec<i64> {
            let old = |job: &&Job| {
                job.finished_at.is_some_and(|at| at < before)
                    && !job.tasks.is_empty()
                    && !pair.jobs.reverted_by_open(job.id)
            };
            pair.jobs.alive().filter(old).map(|job| job.id).collect()
        };
        let may = may(self);
        let mut more = true;
        for _ in 0..steps {
            more = self.store.prune(before, self.now).map_err(tell)?;
        }
        for id in may {
            let pruned = self.store.job(id).map_err(tell)?.pruned_at.is_some();
            if !pruned && !more {
                return Err(format!("job {id} is not pruned"));
            }
            self.jobs.job(id).pruned |= pruned;
        }
        Ok(())
    }

    fn restart(&mut self, killed: bool, begun: &[u8]) -> Verdict {
        let reads = |job: i64| self.jobs.by_id[&job].reverts.is_none();
        let leased: Vec<(i64, usize)> = self
            .held
            .iter()
            .filter(|held| reads(held.job()))
            .flat_map(|held| held.left().map(|pos| (held.job(), pos)))
            .collect();
        let mut in_analysis: Vec<(i64, usize)> = Vec::new();
        for pick in begun.iter().filter(|_| !leased.is_empty()) {
            let one = leased[usize::from(*pick) % leased.len()];
            if !in_analysis.contains(&one) {
                in_analysis.push(one);
            }
        }
        // Who works on does not know that the process has died.
        for at in 0..self.held.len() {
            if self.held[at].looked.is_none() {
                self.look(at, &[Fate::Well])?;
            }
            let held = &self.held[at];
            let found = held.looked.iter().flatten().skip(held.done).map(|(done, _)| done.clone());
            let late = self.outcome(held, found.collect(), true);
            self.late.push(late);
        }
        self.held.clear();
        if killed {
            // The files as they are at this moment, with nothing folded back.
            let dir = scratch()?;
            for file in ["relabeld.db", "relabeld.db-wal"] {
                std::fs::copy(self.dir.path().join(file), dir.path().join(file)).map_err(|error| error.to_string())?;
            }
            self.store = Arc::new(Store::open(dir.path(), Durability::Normal).map_err(tell)?);
            self.dir = dir;
        } else {
            self.store.close();
            self.store = Arc::new(Store::open(self.dir.path(), Durability::Normal).map_err(tell)?);
        }
        self.recover(&in_analysis)
    }
}
