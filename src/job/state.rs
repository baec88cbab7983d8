//! Where jobs and tasks stand, and the two transition tables; what people may do to a job in which state.

use std::fmt;

use serde::{Deserialize, Serialize};

words! {
    /// Where a job stands; [`JobState::may_become`] has the arrows.
    JobState {
        Draft = "draft",
        Queued = "queued",
        Planning = "planning",
        Running = "running",
        Paused = "paused",
        Cancelling = "cancelling",
        Completed = "completed",
        CompletedWithFailures = "completed_with_failures",
        Failed = "failed",
        Cancelled = "cancelled",
    }
}

impl JobState {
    /// Ended jobs never change again.
    pub fn ended(self) -> bool {
        use JobState::*;
        matches!(self, Completed | CompletedWithFailures | Failed | Cancelled)
    }

    /// Whether a job may go from this state to `next`.
    pub fn may_become(self, next: JobState) -> bool {
        use JobState::*;
        match (self, next) {
            // Published.
            (Draft, Queued) => true,
            // The planner took it up.
            (Queued, Planning) => true,
            // A single job is planned as it is published: its first lease starts it.
            (Queued | Planning, Running) => true,
            // It selects nothing.
            (Queued, Completed) => true,
            // Its list is empty, or its last task ended.
            (Planning | Running, Completed) => true,
            (Running, CompletedWithFailures) => true,
            // Planning could not be done, or most of what it did were errors and nothing else of it is in flight.
            (Planning | Running | Paused | Cancelling, Failed) => true,
            // A person holds it, and lets it go back to where it was.
            (Queued | Planning | Running, Paused) => true,
            (Paused, Queued | Planning | Running) => true,
            // The last items in flight may end while a job is held.
            (Paused, Completed | CompletedWithFailures) => true,
            // A person ends it, or the breaker: at once when nothing is in flight, else after what is.
            (Draft | Queued | Planning | Running | Paused, Cancelled) => true,
            (Running | Paused, Cancelling) => true,
            (Cancelling, Cancelled) => true,
            _ => false,
        }
    }
}

words! {
    /// Where a task stands. Most tasks never need a row to say so: see `schema.sql`.
    TaskState {
        Pending = "pending",
        Running = "running",
        Done = "done",
        Failed = "failed",
        Quarantined = "quarantined",
        Cancelled = "cancelled",
    }
}

impl TaskState {
    /// Whether a task may go from this state to `next`.
    pub fn may_become(self, next: TaskState) -> bool {
        use TaskState::*;
        match (self, next) {
            // Leased.
            (Pending, Running) => true,
            // Given back: the daemon stops, the job is held, an older lease was recovered, or the attempt was transient.
            (Running, Pending) => true,
            // Read, and what was found is committed.
            (Running, Done | Failed) => true,
            // It was alone in flight each time that the process died: only recovery knows that.
            (Pending | Running, Quarantined) => true,
            // Its job was cancelled before its turn came.
            (Pending | Running, Cancelled) => true,
            _ => false,
        }
    }
}

/// What people may do to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Publish,
    Pause,
    Resume,
    Cancel,
    /// Its priority and its speed.
    Steer,
    Retry,
    Revert,
    Apply,
    Delete,
}

/// What comes of an [`Action`] in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    Yes,
    /// It is so already: nothing is done, and nobody minds.
    Already,
    No,
}

impl Action {
    pub fn in_state(self, state: JobState) -> Allowed {
        use Action::*;
        use JobState::*;
        match (self, state) {
            (Publish, Draft) => Allowed::Yes,
            (Pause, Queued | Planning | Running) => Allowed::Yes,
            (Pause, Paused) => Allowed::Already,
            (Resume, Paused) => Allowed::Yes,
            (Resume, Queued | Planning | Running) => Allowed::Already,
            (Cancel, Draft | Queued | Planning | Running | Paused) => Allowed::Yes,
            (Cancel, Cancelling) => Allowed::Already,
            (Steer, state) if !state.ended() => Allowed::Yes,
            // What may still change cannot be taken back, and is not known to have gone wrong.
            (Retry | Revert, state) if state.ended() => Allowed::Yes,
            // The work list of any other is not whole, or not to be trusted.
            (Apply, Completed | CompletedWithFailures) => Allowed::Yes,
            (Delete, Draft) => Allowed::Yes,
            (Delete, state) if state.ended() => Allowed::Yes,
            _ => Allowed::No,
        }
    }

    /// As in "cannot be …".
    pub fn participle(self) -> &'static str {
        match self {
            Action::Publish => "published",
            Action::Pause => "paused",
            Action::Resume => "resumed",
            Action::Cancel => "cancelled",
            Action::Steer => "steered",
            Action::Retry => "retried",
            Action::Revert => "reverted",
            Action::Apply => "applied",
            Action::Delete => "deleted",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ended_job_never_changes() {
        for &from in JobState::ALL.iter().filter(|s| s.ended()) {
            for &to in JobState::ALL {
                assert!(!from.may_become(to), "{from} -> {to}");
            }
        }
    }

    #[test]
    fn every_state_but_draft_can_be_reached_and_every_open_one_cancelled() {
        for &to in JobState::ALL.iter().filter(|&&s| s != JobState::Draft) {
            assert!(JobState::ALL.iter().any(|from| from.may_become(to)), "nothing becomes {to}");
        }
        for &from in JobState::ALL.iter().filter(|s| !s.ended()) {
            assert!(from.may_become(JobState::Cancelled), "{from} cannot be cancelled");
        }
    }

    #[test]
    fn an_ended_task_never_changes() {
        use TaskState::*;
        for from in [Done, Failed, Quarantined, Cancelled] {
            for &to in TaskState::ALL {
                assert!(!from.may_become(to), "{from} -> {to}");
            }
        }
    }

    #[test]
    fn words_round_trip() {
        for &state in JobState::ALL {
            assert_eq!(JobState::from_word(state.as_str()), Some(state));
        }
        assert_eq!(JobState::from_word("resting"), None);
    }

    #[test]
    fn every_state_lets_something_be_done() {
        use Action::*;
        let all = [Publish, Pause, Resume, Cancel, Steer, Retry, Revert, Apply, Delete];
        for &state in JobState::ALL {
            assert!(all.iter().any(|action| action.in_state(state) != Allowed::No), "{state}");
            // Whoever may be taken back may not be steered any more, and the other way round.
            assert_ne!(Revert.in_state(state) == Allowed::Yes, Steer.in_state(state) == Allowed::Yes, "{state}");
        }
    }
}
