//! How the queue stands, as a whole and for one job.

use std::collections::BTreeMap;

use rusqlite::params;

use super::{Result, Store};
use crate::job::{Job, JobState, Lane};

/// Tasks that wait and that run, by lane, and what there is besides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Queue {
    /// (pending, running); a job whose list is not whole yet has what is planned of it pending, at least one.
    pub live: (i64, i64),
    pub bulk: (i64, i64),
    /// Jobs that have not ended, by state.
    pub jobs: BTreeMap<String, i64>,
    pub items: i64,
}

impl Store {
    pub fn queue(&self) -> Result<Queue> {
        self.read(|connection| {
            let mut queue = Queue::default();
            let mut statement =
                connection.prepare_cached("SELECT lane, state, CASE WHEN state = 'draft' THEN 0 WHEN total IS NULL THEN max(planned, 1) ELSE pending END, running
                 FROM job WHERE finished_at IS NULL AND deleted = 0")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let lane: String = row.get(0)?;
                let of_lane = if lane == Lane::Live.as_str() { &mut queue.live } else { &mut queue.bulk };
                of_lane.0 += row.get::<_, i64>(2)?;
                of_lane.1 += row.get::<_, i64>(3)?;
                *queue.jobs.entry(row.get(1)?).or_default() += 1;
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
