//! What the seeds came across: a property that never gets anywhere proves little.

use std::collections::BTreeMap;
use std::sync::Mutex;

use relabeld::job::{JobKind, JobState};

use crate::pair::Pair;

#[derive(Debug, Default)]
pub struct Seen(Mutex<BTreeMap<String, u64>>);

impl Seen {
    pub fn note(&self, pair: &Pair) {
        let mut seen = self.0.lock().unwrap();
        let mut count = |what: String| *seen.entry(what).or_default() += 1;
        for job in pair.jobs.by_id.values() {
            let dry = if job.wish.dry { "dry " } else { "" };
            count(format!("job {dry}{} {}", job.kind, job.state));
            count(format!("lane {}", job.lane));
            let parent = job.parent.map(|parent| &pair.jobs.by_id[&parent]);
            let takes_back = |of: &i64| pair.jobs.by_id[of].reverts.is_some();
            let notable = [
                ("applied", job.kind != JobKind::Retry && parent.is_some_and(|parent| parent.wish.dry)),
                ("draft of an application", job.state == JobState::Draft && job.revision.is_some()),
                ("retried revert", job.kind == JobKind::Retry && job.reverts.is_some() && !job.tasks.is_empty()),
                ("reverted revert", job.reverts.as_ref().is_some_and(takes_back) && !job.tasks.is_empty()),
                ("split", job.leader.is_some()),
                ("pruned", job.pruned),
                ("deleted", job.deleted),
                ("breaker", job.tripped),
                ("held late", job.state == JobState::Paused && job.paused_from == JobState::Planning),
            ];
            notable.iter().filter(|(_, is)| *is).for_each(|(what, _)| count((*what).to_owned()));
            for task in &job.tasks {
                let word = task.outcome.map(|outcome| outcome.as_str()).or(task.reason);
                let work = if job.reverts.is_some() { "taken back" } else { "read" };
                count(format!("{work} {dry}{}", word.unwrap_or(task.state.as_str())));
            }
        }
        pair.late.iter().for_each(|_| count("late".to_owned()));
    }

    /// What of `wanted` was never seen.
    pub fn lacks(&self, wanted: &[&str]) -> Vec<String> {
        let seen = self.0.lock().unwrap();
        wanted.iter().filter(|what| !seen.contains_key(**what)).map(|what| (*what).to_owned()).collect()
    }

    pub fn tell(&self) -> String {
        self.0.lock().unwrap().iter().map(|(what, n)| format!("{n:>8} {what}\n")).collect()
    }
}
