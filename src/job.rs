//! Jobs and tasks as types: the words of the queue, and the two transition tables. No I/O.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::Millis;

pub use filter::Filter;
pub use recent::Recent;
pub use state::{Action, Allowed, JobState, TaskState};

/// The priority of a job that names none.
pub const PRIORITY: i64 = 50;

/// Number of a job; shown to people as a string.
pub type JobId = i64;

/// A closed set of words, with the text that stands for each outside.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            pub const fn as_str(self) -> &'static str {
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

mod filter;
mod recent;
mod state;

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

words! {
    /// Why tasks failed, as their job counts it: what the row of an error says is longer.
    Reason {
        /// No block of the item has a topic: expected, and never an error.
        NoTopicsDetected = "no_topics_detected",
        Error = "error",
        /// The item is quarantined.
        Crashed = "crashed",
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

impl LabelCounts {
    pub fn add(&mut self, other: LabelCounts) {
        self.added += other.added;
        self.removed += other.removed;
        self.updated += other.updated;
        self.kept += other.kept;
    }
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
