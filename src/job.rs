//! Jobs and tasks as types: the words of the queue, and the two transition tables. No I/O.

use std::collections::VecDeque;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{Kind, Millis};

/// The priority of a job that names none.
pub const PRIORITY: i64 = 50;

/// Number of a job; shown to people as a string.
pub type JobId = i64;

/// A set of items, by what they are: the wish of a range job, also what `count` counts.
///
/// An item fits when its time is in [from, until), its kind and media are among those named, and any one of its
/// programs is. An empty list names all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    pub from: Option<Millis>,
    pub until: Option<Millis>,
    pub types: Vec<Kind>,
    /// Where it names any, notes are left out: they have no media.
    pub media: Vec<String>,
    pub programs: Vec<String>,
    /// Of the transcripts; any one of them is enough.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub languages: Vec<String>,
    /// Skip the items whose programs in scope were all read by the rules of the job's revision.
    pub stale_only: bool,
    /// A block on which nothing is found keeps what it has.
    pub keep_when_empty: bool,
}

impl Filter {
    /// Every item there is.
    pub fn all() -> Filter {
        Filter {
            from: None,
            until: None,
            types: Vec::new(),
            media: Vec::new(),
            programs: Vec::new(),
            languages: Vec::new(),
            stale_only: false,
            keep_when_empty: true,
        }
    }

    pub fn fits_time(&self, at: Millis) -> bool {
        self.from.is_none_or(|from| at >= from) && self.until.is_none_or(|until| at < until)
    }

    /// All but the time: what a whole shape of items has in common.
    pub fn fits_shape(&self, kind: Kind, media: Option<&str>, programs: &[String], languages: &[String]) -> bool {
        let fits_kind = self.types.is_empty() || self.types.contains(&kind);
        let fits_media =
            self.media.is_empty() || media.is_some_and(|media| self.media.iter().any(|wanted| wanted == media));
        let fits_program = self.programs.is_empty() || programs.iter().any(|program| self.programs.contains(program));
        let fits_language = self.languages.is_empty()
            || languages.iter().any(|spoken| self.languages.iter().any(|wanted| wanted.eq_ignore_ascii_case(spoken)));
        fits_kind && fits_media && fits_program && fits_language
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }

            pub fn from_word(word: &str) -> Option<$name> {
                match word { $($word => Some($name::$variant),)+ _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// What made a job.
    JobKind {
        /// A filter.
        Range = "range",
        /// Items named one by one.
        List = "list",
        /// One item, in the live lane.
        Single = "single",
        /// What went wrong in an ended job, with the rules of now.
        Retry = "retry",
        /// What an ended job changed, taken back.
        Revert = "revert",
    }
}

words! {
    /// `live` for single items, `bulk` for the rest; the live lane never waits for the bulk lane.
    Lane { Live = "live", Bulk = "bulk" }
}

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

words! {
    /// How a task that is `done` came out.
    Outcome {
        Changed = "changed",
        Unchanged = "unchanged",
        ProgramHasNoTopics = "program_has_no_topics",
        SkippedCurrent = "skipped_current",
        Superseded = "superseded",
        StaleVersion = "stale_version",
        Gone = "gone",
        NewerChange = "newer_change",
    }
}

/// The reason of a task that failed because no block of its item has a topic: expected, and never an error.
pub const NO_TOPICS_DETECTED: &str = "no_topics_detected";

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

/// How the last tasks of a job ended: the breaker ends a job of which most go wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recent {
    /// True: an error. Oldest first.
    endings: VecDeque<bool>,
}

impl Recent {
    /// So many endings are looked at.
    const WINDOW: usize = 200;
    /// With fewer nothing is said yet.
    const AT_LEAST: usize = 50;

    /// After `n` tasks that all ended well.
    pub fn after(n: i64) -> Recent {
        let n = usize::try_from(n).unwrap_or(0).min(Self::WINDOW);
        Recent { endings: std::iter::repeat_n(false, n).collect() }
    }

    /// Notes an ending, and answers whether more than half of the last ones are errors.
    pub fn push(&mut self, error: bool) -> bool {
        if self.endings.len() == Self::WINDOW {
            self.endings.pop_front();
        }
        self.endings.push_back(error);
        self.endings.len() >= Self::AT_LEAST && self.errors() * 2 > self.endings.len()
    }

    pub fn errors(&self) -> usize {
        self.endings.iter().filter(|&&error| error).count()
    }

    pub fn len(&self) -> usize {
        self.endings.len()
    }

    pub fn is_empty(&self) -> bool {
        self.endings.is_empty()
    }

    /// A byte an ending, as `job.recent` has it.
    pub fn bytes(&self) -> Vec<u8> {
        self.endings.iter().map(|&error| u8::from(error)).collect()
    }

    pub fn from_bytes(bytes: &[u8]) -> Recent {
        Recent { endings: bytes.iter().map(|&byte| byte != 0).collect() }
    }
}

/// Tasks of a job by state. Their sum is the total at every commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Null until planning ends.
    pub total: Option<i64>,
    pub pending: i64,
    /// What is leased.
    pub running: i64,
    pub done: i64,
    pub failed: i64,
    pub quarantined: i64,
    pub cancelled: i64,
}

/// Labels that a job touched, by what it did to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LabelCounts {
    pub added: i64,
    pub removed: i64,
    pub updated: i64,
    pub kept: i64,
}

/// What a job did, or would have done, to the labels of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicTally {
    pub topic: String,
    pub added: i64,
    pub removed: i64,
    pub updated: i64,
}

/// A job as it stands, with all that is stored of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub id: JobId,
    pub kind: JobKind,
    pub name: Option<String>,
    pub description: Option<String>,
    pub state: JobState,
    pub lane: Lane,
    /// 1 to 100; a bulk job's share of the workers is its part of the sum.
    pub priority: i64,
    /// Tasks a second at most.
    pub max_per_second: Option<f64>,
    /// Everything as it would be, and no label written.
    pub dry_run: bool,
    pub filter: Filter,
    /// Of a draft: `from` and `until` as they were asked for, JSON.
    pub span: Option<String>,
    /// Make as many jobs as it takes.
    pub split: bool,
    /// None where no rules are used: a draft, a revert.
    pub revision: Option<i64>,
    /// The job that it retries, takes back or applies; it may be deleted by now.
    pub parent: Option<JobId>,
    /// The job whose changes it takes back.
    pub reverts: Option<JobId>,
    /// Of a dry run: the job that applied it.
    pub applied_by: Option<JobId>,
    /// The first job of the group that a split made, also on the first itself.
    pub group: Option<JobId>,
    pub counts: Counts,
    /// Of its whole list, in bytes of text with a share for each item; and of the tasks that ended.
    pub weight: i64,
    pub weight_done: i64,
    /// Of those failed, the ones that are errors.
    pub errors: i64,
    pub outcomes: Vec<(String, i64)>,
    pub reasons: Vec<(String, i64)>,
    pub labels: LabelCounts,
    pub created_by: String,
    pub created_at: Millis,
    pub published_at: Option<Millis>,
    pub started_at: Option<Millis>,
    pub finished_at: Option<Millis>,
    pub empty_because: Option<String>,
    pub error: Option<String>,
    /// When its list, its results and its history were pruned.
    pub pruned_at: Option<Millis>,
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
    fn the_breaker_trips_past_half_of_the_last_two_hundred_and_never_before_fifty() {
        let mut recent = Recent::default();
        assert!((0..49).all(|_| !recent.push(true)), "fewer than fifty say nothing");
        assert!(recent.push(true));
        // Half is not more than half.
        let mut recent = Recent::after(100);
        assert_eq!((0..).find(|_| recent.push(true)), Some(100));
        let mut recent = Recent::after(10_000);
        assert_eq!(recent.len(), 200);
        assert_eq!((0..).find(|_| recent.push(true)), Some(100));
        assert_eq!(Recent::from_bytes(&recent.bytes()), recent);
    }

    #[test]
    fn words_round_trip() {
        for &state in JobState::ALL {
            assert_eq!(JobState::from_word(state.as_str()), Some(state));
        }
        assert_eq!(JobState::from_word("resting"), None);
    }

    #[test]
    fn a_media_filter_leaves_notes_out() {
        let filter = Filter { media: vec!["voice".into()], ..Filter::all() };
        assert!(filter.fits_shape(Kind::Conversation, Some("voice"), &[], &[]));
        assert!(!filter.fits_shape(Kind::Conversation, Some("chat"), &[], &[]));
        assert!(!filter.fits_shape(Kind::Note, None, &[], &[]));
    }

    #[test]
    fn one_language_of_many_is_enough_in_any_case() {
        let filter = Filter { languages: vec!["en-US".into(), "de".into()], ..Filter::all() };
        let fits = |languages: &[&str]| {
            let languages: Vec<String> = languages.iter().map(|&l| l.to_owned()).collect();
            filter.fits_shape(Kind::Conversation, Some("voice"), &[], &languages)
        };
        assert!(fits(&["fr", "EN-us"]) && fits(&["de"]));
        assert!(!fits(&[]) && !fits(&["en"]));
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

    #[test]
    fn a_range_is_half_open() {
        let filter = Filter { from: Some(10), until: Some(20), ..Filter::all() };
        assert!(filter.fits_time(10) && filter.fits_time(19));
        assert!(!filter.fits_time(9) && !filter.fits_time(20));
    }
}
