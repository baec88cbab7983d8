//! How the queue stands, as a whole and for one job.

use std::collections::BTreeMap;

use rusqlite::params;

use super::jobs::word;
use super::{Result, Store};
use crate::job::{Job, JobState, Lane};
use crate::model::Millis;

/// Tasks of one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InLane {
    /// A job whose list is not whole yet has what is planned of it pending, at least one.
    pub pending: i64,
    /// Of those, the ones of jobs that people hold.
    pub paused: i64,
    pub running: i64,
    /// When the oldest job was published that has tasks pending and is not held.
    pub waits_since: Option<Millis>,
}

/// Tasks that wait and that run, by lane, and what there is besides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Queue {
    pub live: InLane,
    pub bulk: InLane,
    /// Jobs that have not ended, by state.
    pub jobs: BTreeMap<String, i64>,
    pub items: i64,
}

impl Store {
    pub fn queue(&self) -> Result<Queue> {
        self.read(|connection| {
            let mut queue = Queue::default();
            let mut statement =
                connection.prepare_cached("SELECT lane, state, CASE WHEN state = 'draft' THEN 0 WHEN total IS NULL THEN max(planned, 1) ELSE pending END, running, published_at
                 FROM job WHERE finished_at IS NULL AND deleted = 0")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                // The lease loop skips damaged jobs, so their tasks do not count as waiting.
                let (Ok(lane), Ok(state)) = (word(row, 0, Lane::from_word), word(row, 1, JobState::from_word)) else {
                    continue;
                };
                let of_lane = if lane == Lane::Live { &mut queue.live } else { &mut queue.bulk };
                let pending: i64 = row.get(2)?;
                of_lane.pending += pending;
                of_lane.running += row.get::<_, i64>(3)?;
                if state == JobState::Paused {
                    of_lane.paused += pending;
                } else if pending > 0 {
                    of_lane.waits_since = [of_lane.waits_since, row.get(4)?].into_iter().flatten().min();
                }
                *queue.jobs.entry(state.to_string()).or_default() += 1;
            }
            queue.items = connection
                .prepare_cached("SELECT coalesce(sum(items), 0) FROM shape")?
                .query_row([], |row| row.get(0))?;
            Ok(queue)
        })
    }

    /// The job's place among those that wait for their lists, from 1; None where it does not wait.
    pub fn queue_position(&self, job: &Job) -> Result<Option<i64>> {
        if job.state != JobState::Queued || job.lane != Lane::Bulk {
            return Ok(None);
        }
        self.read(|connection| {
            let position = connection
                .prepare_cached(
                    "SELECT count(*) FROM job WHERE state IN ('queued', 'planning') AND lane = 'bulk' AND id <= ?",
                )?
                .query_row(params![job.id], |row| row.get(0))?;
            Ok(Some(position))
        })
    }
}
