//! The model's verbs on jobs that there are: held, ended, deleted, retried, taken back, applied.

use relabeld::job::{JobKind, JobState, Lane};

use crate::jobs::{Answer, Job, Jobs, NO_TOPICS, Refusal, Task, Wish};
use crate::rules::Revision;
use crate::world::Items;

/// What people may do to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Publish,
    Pause,
    Resume,
    Cancel,
    Steer,
    Retry { no_topics: bool },
    Revert,
    Apply,
    Delete,
}

impl Verb {
    /// None: refused. False: it is so already.
    pub fn in_state(self, state: JobState) -> Option<bool> {
        use JobState::*;
        let yes = match self {
            Verb::Publish => state == Draft,
            Verb::Pause => matches!(state, Queued | Planning | Running),
            Verb::Resume => state == Paused,
            Verb::Cancel => matches!(state, Draft | Queued | Planning | Running | Paused),
            Verb::Steer => !state.ended(),
            Verb::Retry { .. } | Verb::Revert => state.ended(),
            Verb::Apply => matches!(state, Completed | CompletedWithFailures),
            Verb::Delete => state == Draft || state.ended(),
        };
        let already = match self {
            Verb::Pause => state == Paused,
            Verb::Resume => matches!(state, Queued | Planning | Running),
            Verb::Cancel => state == Cancelling,
            _ => false,
        };
        if yes || already { Some(yes) } else { None }
    }
}

impl Jobs {
    /// Control of the first of a group is control of the group.
    pub fn control(&mut self, id: i64, verb: Verb, now: i64) -> Answer<()> {
        let open: Vec<i64> = self.group(id)?.into_iter().filter(|&id| !self.by_id[&id].state.ended()).collect();
        // One that allows it is enough.
        open.iter().find_map(|id| verb.in_state(self.by_id[id].state)).ok_or(Refusal::Conflict)?;
        for id in open {
            let job = self.job(id);
            if verb.in_state(job.state) != Some(true) {
                continue;
            }
            if verb == Verb::Cancel {
                self.withdraw_application(id);
            }
            let job = self.job(id);
            match verb {
                Verb::Pause => (job.paused_from, job.state) = (job.state, JobState::Paused),
                Verb::Resume => job.state = job.paused_from,
                _ => job.call_off(JobState::Cancelled, now),
            }
        }
        Ok(())
    }

    /// A job that has not ended and takes `id` back.
    pub fn reverted_by_open(&self, id: i64) -> bool {
        self.alive().any(|job| job.reverts == Some(id) && job.finished_at.is_none())
    }

    pub fn delete(&mut self, id: i64) -> Answer<()> {
        let group = self.group(id)?;
        for &id in &group {
            Verb::Delete.in_state(self.by_id[&id].state).ok_or(Refusal::Conflict)?;
            if self.reverted_by_open(id) {
                return Err(Refusal::Conflict);
            }
        }
        for id in group {
            self.withdraw_application(id);
            self.job(id).deleted = true;
        }
        Ok(())
    }

    /// A draft that was to apply a dry run comes to nothing.
    fn withdraw_application(&mut self, id: i64) {
        let draft = &self.by_id[&id];
        if let (None, Some(parent)) = (draft.published_at, draft.parent)
            && let Some(parent) = self.by_id.get_mut(&parent).filter(|parent| parent.applied_by == Some(id))
        {
            parent.applied_by = None;
        }
    }

    /// Whether the rules of a dry run's scope are still those that it was run with.
    pub fn reads_alike(&self, dry: &Job, items: &Items, rules: &[Revision]) -> bool {
        let Some(revision) = dry.revision else { return true };
        let named = &dry.wish.filter.programs;
        let of_items = dry.tasks.iter().filter_map(|task| items.live(&task.key)).flat_map(crate::world::programs);
        let mut in_scope = of_items.filter(|p| named.is_empty() || named.contains(p));
        in_scope.all(|p| Revision::alike(&rules[revision as usize], &rules[rules.len() - 1], &p))
    }

    fn may(&self, job: &Job, verb: Verb) -> Answer<()> {
        if verb == Verb::Apply && !job.wish.dry {
            return Err(Refusal::Conflict);
        }
        verb.in_state(job.state).ok_or(Refusal::Conflict)?;
        if verb == Verb::Apply && job.applied_by.is_some() || verb == Verb::Revert && job.wish.dry {
            return Err(Refusal::Conflict);
        }
        if job.pruned { Err(Refusal::Pruned) } else { Ok(()) }
    }

    /// Makes a job of an ended one, or a group of a group.
    pub fn again(
        &mut self,
        id: i64,
        verb: Verb,
        wish: (bool, bool),
        (items, rules): (&Items, &[Revision]),
        now: i64,
    ) -> Answer<Vec<i64>> {
        let (dry, publish) = wish;
        let mut parts = Vec::new();
        for id in self.group(id)? {
            let job = &self.by_id[&id];
            self.may(job, verb)?;
            if verb == Verb::Apply && !self.reads_alike(job, items, rules) {
                return Err(Refusal::Conflict);
            }
            let list: Vec<Task> = (0..).zip(&job.tasks).filter_map(|(pos, task)| listed(verb, pos, task)).collect();
            parts.push((id, list));
        }
        let nothing = |list: &Vec<Task>| list.is_empty() && verb != Verb::Apply;
        match parts.iter().any(|(_, list)| !nothing(list)) {
            true => parts.retain(|(_, list)| !nothing(list)),
            false => parts.truncate(1),
        }
        // What a job takes back must be known still, also where that is only tried again.
        let lost = |of: i64| self.get(of).map_or(true, |job| job.pruned);
        if verb != Verb::Revert && parts.iter().any(|(id, _)| self.by_id[id].reverts.is_some_and(lost)) {
            return Err(Refusal::Lost);
        }
        let mut made = Vec::new();
        for (parent, list) in parts {
            let parent = self.by_id[&parent].clone();
            let applies = verb == Verb::Apply;
            let (kind, reverts) = match verb {
                Verb::Retry { .. } => (JobKind::Retry, parent.reverts),
                Verb::Revert => (JobKind::Revert, Some(parent.id)),
                _ => (parent.kind, parent.reverts),
            };
            let dry = dry || parent.wish.dry && !applies;
            let wish = Wish { dry, publish, split: false, limit: 0, ..parent.wish.clone() };
            let id = self.add(kind, if applies { parent.lane } else { Lane::Bulk }, &wish);
            let job = self.job(id);
            job.name = parent.name.filter(|_| applies);
            job.speed = parent.speed;
            (job.parent, job.reverts) = (Some(parent.id), reverts);
            job.revision = parent.revision.filter(|_| applies);
            let empty = list.is_empty();
            self.put_list(id, list);
            if applies {
                self.job(parent.id).applied_by = Some(id);
            }
            if publish {
                self.publish(id, empty, rules.len() as i64 - 1, now);
            }
            made.push(id);
        }
        self.lead(&made);
        Ok(made)
    }
}

/// What a job made of another does about one of its tasks.
fn listed(verb: Verb, pos: usize, task: &Task) -> Option<Task> {
    let (asked, of) = match verb {
        Verb::Retry { no_topics } if task.is_error() || no_topics && task.reason == Some(NO_TOPICS) => {
            (task.asked, task.of)
        }
        Verb::Revert if task.did.touched => (None, pos),
        Verb::Apply => (task.asked, task.of),
        _ => return None,
    };
    Some(Task::new(task.key.clone(), asked, of))
}
