//! Jobs are steered, and end: by people, by their last task, or by the breaker.

use rusqlite::{OptionalExtension, params};

use super::jobs::{group_of, job_by_id, job_row};
use super::publish::cannot;
use super::writer::Tx;
use super::{Error, Result, Store};
use crate::job::{Action, Allowed, Counts, Job, JobId, JobState, Lane, Recent, TaskState};
use crate::model::Millis;

/// What people may change of a job; None leaves it as it is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Steering {
    pub name: Option<Option<String>>,
    pub description: Option<Option<String>>,
    pub priority: Option<i64>,
    pub max_per_second: Option<Option<f64>>,
}

impl Tx<'_> {
    pub(super) fn set_state(&self, job: JobId, from: JobState, to: JobState) -> Result<()> {
        if !from.may_become(to) {
            return Err(Error::Conflict(format!("job {job} is {from} and cannot become {to}")));
        }
        let paused_from = (to == JobState::Paused).then_some(from.as_str());
        self.prepare_cached("UPDATE job SET state = ?2, paused_from = ?3 WHERE id = ?1")?.execute(params![
            job,
            to.as_str(),
            paused_from
        ])?;
        if to.ended() {
            self.count(|tally| *tally.jobs.entry(to).or_default() += 1);
        }
        Ok(())
    }

    /// Ends a job whose last task has ended, or whose cancelling has nothing in flight any more.
    pub(super) fn settle_job(&self, id: JobId, now: Millis) -> Result<()> {
        let job = job_row(self, id)?;
        if job.state == JobState::Cancelling && job.counts.pending > 0 {
            self.cancel_pending(&job)?;
        }
        let Counts { total, pending, running, .. } = job.counts;
        let to = match job.state {
            // The breaker leaves its reason, people leave none.
            JobState::Cancelling if running == 0 && job.error.is_some() => JobState::Failed,
            JobState::Cancelling if running == 0 => JobState::Cancelled,
            JobState::Running | JobState::Paused if total.is_some() && pending + running == 0 => {
                if job.errors + job.counts.quarantined > 0 {
                    JobState::CompletedWithFailures
                } else {
                    JobState::Completed
                }
            }
            _ => return Ok(()),
        };
        self.end_job(&job, to, now)
    }

    fn end_job(&self, job: &Job, to: JobState, now: Millis) -> Result<()> {
        self.set_state(job.id, job.state, to)?;
        self.prepare_cached("UPDATE job SET finished_at = ?2 WHERE id = ?1")?.execute(params![job.id, now])?;
        if job.lane == Lane::Bulk {
            let Counts { done, failed, quarantined, cancelled, .. } = job_row(self, job.id)?.counts;
            self.tell(format!(
                "job {}: {to} ({done} done, {failed} failed, {} of them errors, {quarantined} quarantined, {cancelled} cancelled)",
                job.id, job.errors
            ));
        }
        Ok(())
    }

    /// `job` as it stands.
    fn cancel_pending(&self, job: &Job) -> Result<()> {
        self.prepare_cached("UPDATE job SET cancelled = cancelled + pending, pending = 0 WHERE id = ?")?
            .execute([job.id])?;
        self.prepare_cached("UPDATE task SET state = 'cancelled' WHERE job = ? AND state = 'pending'")?
            .execute([job.id])?;
        self.count(|tally| tally.ended(job.lane, TaskState::Cancelled, "", job.counts.pending));
        Ok(())
    }

    /// What was not begun of a job is cancelled, and the job ends when nothing of it is in flight.
    fn call_off(&self, job: &Job, to: JobState, now: Millis) -> Result<()> {
        self.withdraw_application(job)?;
        if job.counts.total.is_none() {
            // Its list was not whole yet: what there is of it is its list.
            let cancelled = self
                .prepare_cached("UPDATE job SET total = planned, cancelled = planned WHERE id = ? RETURNING cancelled")?
                .query_row([job.id], |row| row.get(0))?;
            self.count(|tally| tally.ended(job.lane, TaskState::Cancelled, "", cancelled));
        } else {
            self.cancel_pending(job)?;
        }
        if job.counts.running > 0 {
            return self.set_state(job.id, job.state, JobState::Cancelling);
        }
        self.end_job(job, to, now)
    }

    /// A draft that was to apply a dry run comes to nothing: the dry run can be applied by another.
    fn withdraw_application(&self, draft: &Job) -> Result<()> {
        if draft.published_at.is_none() {
            self.prepare_cached("UPDATE job SET applied_by = NULL WHERE id = ?1 AND applied_by = ?2")?
                .execute(params![draft.parent, draft.id])?;
        }
        Ok(())
    }

    /// Notes how tasks of a job ended (true: an error), and ends the job when most of the last ones went wrong. True
    /// when that is so.
    pub(super) fn note_endings(&self, id: JobId, endings: &[bool], now: Millis) -> Result<bool> {
        let (stored, before): (Option<Vec<u8>>, i64) = self
            .prepare_cached("SELECT recent, done + failed + quarantined FROM job WHERE id = ?")?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if stored.is_none() && !endings.contains(&true) {
            return Ok(false);
        }
        // The counters have these endings by now.
        let mut recent = match stored {
            Some(bytes) => Recent::from_bytes(&bytes),
            None => Recent::after(before - endings.len() as i64),
        };
        let mut tripped = None;
        for &error in endings {
            if recent.push(error) && tripped.is_none() {
                tripped = Some((recent.errors(), recent.len()));
            }
        }
        self.prepare_cached("UPDATE job SET recent = ?2 WHERE id = ?1")?.execute(params![id, recent.bytes()])?;
        let job = job_row(self, id)?;
        let Some((errors, of)) = tripped.filter(|_| matches!(job.state, JobState::Running | JobState::Paused)) else {
            return Ok(false);
        };
        if self.only_retries_are_left(&job)? {
            return Ok(false);
        }
        let why =
            format!("most of it went wrong: {errors} of the last {of} tasks were errors; items.csv has the reasons");
        self.prepare_cached("UPDATE job SET error = ?2 WHERE id = ?1")?.execute(params![id, why])?;
        self.tell(format!("job {id}: {why}"));
        self.call_off(&Job { error: Some(why), ..job }, JobState::Failed, now)?;
        Ok(true)
    }

    /// Every item was tried, and of the whole job no more than half went wrong. What ends last then are the retries of
    /// those that had failed before: they say nothing about the job.
    fn only_retries_are_left(&self, job: &Job) -> Result<bool> {
        let Counts { done, failed, quarantined, .. } = job.counts;
        if (job.errors + quarantined) * 2 > done + failed + quarantined {
            return Ok(false);
        }
        let mut retried = 0;
        for sql in [
            "SELECT count(*) FROM task WHERE job = ? AND state = 'pending' AND attempts > 0",
            "SELECT count(*) FROM task WHERE job = ? AND state = 'running' AND attempts > 0",
        ] {
            retried += self.prepare_cached(sql)?.query_row([job.id], |row| row.get::<_, i64>(0))?;
        }
        Ok(retried == job.counts.pending + job.counts.running)
    }
}

impl Store {
    /// Holds a job, or its group: nothing of it is leased any more. Already held is fine.
    pub fn pause_job(&self, id: JobId) -> Result<Job> {
        self.control(id, Action::Pause, |tx, job| tx.set_state(job.id, job.state, JobState::Paused))
    }

    /// Lets a held job go on where it was. One that is not held is fine.
    pub fn resume_job(&self, id: JobId) -> Result<Job> {
        self.control(id, Action::Resume, |tx, job| {
            let paused_from: Option<String> =
                tx.query_row("SELECT paused_from FROM job WHERE id = ?", [job.id], |row| row.get(0))?;
            let to = paused_from.as_deref().and_then(JobState::from_word);
            tx.set_state(job.id, JobState::Paused, to.ok_or_else(|| Error::Damaged("job.paused_from".into()))?)
        })
    }

    /// Ends a job, or its group: what is in flight ends first.
    pub fn cancel_job(&self, id: JobId, now: Millis) -> Result<Job> {
        self.control(id, Action::Cancel, move |tx, job| tx.call_off(job, JobState::Cancelled, now))
    }

    /// Changes a job, or its group. Only its name and description may still change once it has ended.
    pub fn steer_job(&self, id: JobId, steering: Steering) -> Result<Job> {
        self.write(move |tx| {
            let group = group_of(tx, id)?.into_iter().map(|id| job_row(tx, id)).collect::<Result<Vec<_>>>()?;
            let open = |job: &&Job| Action::Steer.in_state(job.state) == Allowed::Yes;
            let steers = steering.priority.is_some() || steering.max_per_second.is_some();
            if steers && !group.iter().any(|job| open(&job)) {
                return Err(cannot(&group[0], Action::Steer));
            }
            for job in &group {
                tx.steer(job.id, &steering, open(&job))?;
            }
            job_by_id(tx, id)
        })
    }

    /// Ends a job whose list cannot be made.
    pub fn fail_planning(&self, id: JobId, why: String, now: Millis) -> Result<()> {
        self.write(move |tx| {
            let job = job_row(tx, id)?;
            if job.state != JobState::Planning {
                return Ok(());
            }
            let why = format!("its list could not be made: {why}");
            tx.prepare_cached("UPDATE job SET error = ?2 WHERE id = ?1")?.execute(params![id, why])?;
            tx.call_off(&job, JobState::Failed, now)
        })
    }

    /// Makes a job, or its group, as good as gone: nobody sees it any more, and [`Store::prune`] removes its rows.
    pub fn delete_job(&self, id: JobId) -> Result<()> {
        self.write(move |tx| {
            for id in group_of(tx, id)? {
                let job = job_row(tx, id)?;
                if Action::Delete.in_state(job.state) != Allowed::Yes {
                    return Err(cannot(&job, Action::Delete));
                }
                if let Some(revert) = tx.open_revert(id)? {
                    return Err(Error::Conflict(format!(
                        "job {id} is being taken back by job {revert}: wait for its end"
                    )));
                }
                tx.withdraw_application(&job)?;
                tx.prepare_cached("UPDATE job SET deleted = 1, request_key = NULL, request_hash = NULL WHERE id = ?")?
                    .execute([id])?;
            }
            Ok(())
        })
    }

    /// Does to a job, or to what is open of its group, what its state lets be done.
    fn control(
        &self,
        id: JobId,
        action: Action,
        steer: impl Fn(&Tx<'_>, &Job) -> Result<()> + Send + 'static,
    ) -> Result<Job> {
        self.write(move |tx| {
            let group = group_of(tx, id)?.into_iter().map(|id| job_row(tx, id)).collect::<Result<Vec<_>>>()?;
            let open: Vec<&Job> = group.iter().filter(|job| !job.state.ended()).collect();
            // One that allows it is enough: others of a group may have ended, or be ending.
            if open.iter().all(|job| action.in_state(job.state) == Allowed::No) {
                return Err(cannot(open.first().copied().unwrap_or(&group[0]), action));
            }
            let may = |job: &&Job| action.in_state(job.state) == Allowed::Yes;
            open.into_iter().filter(may).try_for_each(|job| steer(tx, job))?;
            job_by_id(tx, id)
        })
    }
}

impl Tx<'_> {
    fn steer(&self, id: JobId, steering: &Steering, open: bool) -> Result<()> {
        if let Some(name) = &steering.name {
            self.prepare_cached("UPDATE job SET name = ?2 WHERE id = ?1")?.execute(params![id, name])?;
        }
        if let Some(description) = &steering.description {
            self.prepare_cached("UPDATE job SET description = ?2 WHERE id = ?1")?.execute(params![id, description])?;
        }
        if let Some(priority) = steering.priority.filter(|_| open) {
            self.prepare_cached("UPDATE job SET priority = ?2 WHERE id = ?1")?.execute([id, priority])?;
        }
        if let Some(speed) = steering.max_per_second.filter(|_| open) {
            self.prepare_cached("UPDATE job SET max_per_second = ?2 WHERE id = ?1")?.execute(params![id, speed])?;
        }
        Ok(())
    }

    /// A job that has not ended and needs the history of `id`.
    pub(super) fn open_revert(&self, id: JobId) -> Result<Option<JobId>> {
        Ok(self
            .prepare_cached(
                "SELECT id FROM job WHERE reverts = ? AND reverts IS NOT NULL AND finished_at IS NULL AND deleted = 0 LIMIT 1",
            )?
            .query_row([id], |row| row.get(0))
            .optional()?)
    }
}
