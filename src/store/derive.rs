//! Jobs that are made of others: retried, taken back, applied.

use rusqlite::{Connection, OptionalExtension, params};
use rustc_hash::FxHashSet;

use super::codec::{Key, unpack_keys};
use super::frozen::{Frozen, ITEM_WEIGHT};
use super::jobs::{job_by_id, job_row};
use super::publish::{NewJob, Origin, Published, cannot};
use super::tasks::{must_have_history, slots};
use super::writer::Tx;
use super::{Error, Result, Store};
use crate::job::{Action, Allowed, Job, JobId, JobKind, Lane};
use crate::label::ProgramNo;
use crate::model::Millis;

/// What is made of an ended job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// What went wrong, once more, with the rules of now; the expected `no_topics_detected` only where asked for.
    Retry { no_topics: bool },
    /// What it changed, taken back.
    Revert,
    /// What a dry run would have changed, in earnest.
    Apply,
}

impl Again {
    fn action(self) -> Action {
        match self {
            Again::Retry { .. } => Action::Retry,
            Again::Revert => Action::Revert,
            Again::Apply => Action::Apply,
        }
    }
}

/// A wish for such a job; what it leaves open is as it was with the other one.
#[derive(Debug, Clone, PartialEq)]
pub struct AgainWish {
    pub again: Again,
    pub name: Option<String>,
    pub description: Option<String>,
    pub priority: Option<i64>,
    pub max_per_second: Option<f64>,
    pub dry_run: bool,
    pub publish: bool,
    pub created_by: String,
}

impl Store {
    /// Makes a job of an ended one, or a group of a group.
    pub fn publish_again(&self, id: JobId, wish: AgainWish, now: Millis) -> Result<Published> {
        let mut parts: Vec<(JobId, Option<Frozen>)> = Vec::new();
        for id in self.group(id)? {
            let job = self.job(id)?;
            must_allow(&job, wish.again)?;
            let list = match wish.again {
                Again::Apply => {
                    self.must_read_alike(&job)?;
                    None
                }
                again => Some(self.read(|connection| list_of(connection, &job, again))?),
            };
            parts.push((id, list));
        }
        // Of a group only those with something to do; when there are none, one that says so.
        let nothing = |list: &Option<Frozen>| list.as_ref().is_some_and(|list| list.total == 0);
        if parts.iter().any(|(_, list)| !nothing(list)) {
            parts.retain(|(_, list)| !nothing(list));
        } else {
            parts.truncate(1);
        }
        self.write(move |tx| {
            let mut ids = Vec::with_capacity(parts.len());
            for (parent, list) in &parts {
                ids.push(make(tx, *parent, list.as_ref(), &wish, now)?);
            }
            tx.put_group(&ids)?;
            Ok(Published { job: job_by_id(tx, ids[0])?, group: ids, repeated: false })
        })
    }

    /// Refuses where a program in a dry run's scope has other rules by now.
    pub(super) fn must_read_alike(&self, dry: &Job) -> Result<()> {
        let Some(revision) = dry.revision else { return Ok(()) };
        self.read(|connection| {
            let named = {
                let names = self.names();
                dry.filter.programs.iter().filter_map(|id| names.program(id)).collect::<Vec<_>>()
            };
            let mut statement = connection.prepare_cached(
                "SELECT no, id FROM program
                 WHERE coalesce((SELECT hash FROM ruleset WHERE revision = ?1 AND program = no), 0)
                    <> coalesce((SELECT hash FROM ruleset WHERE revision = (SELECT max(no) FROM revision) AND program = no), 0)",
            )?;
            let changed = statement
                .query_map([revision], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<Vec<(ProgramNo, String)>>>()?;
            let changed: Vec<(ProgramNo, String)> = changed
                .into_iter()
                .filter(|(program, _)| dry.filter.programs.is_empty() || named.contains(program))
                .collect();
            if changed.is_empty() {
                return Ok(());
            }
            let of_items = self.programs_of_list(connection, dry.id)?;
            match changed.iter().find(|(program, _)| of_items.contains(program)) {
                None => Ok(()),
                Some((_, program)) => Err(Error::Conflict(format!(
                    "the rules of program {program:?} have changed since revision {revision}, which job {} was run with: make a new dry run",
                    dry.id
                ))),
            }
        })
    }

    /// The programs of the items on a job's list.
    fn programs_of_list(&self, connection: &Connection, job: JobId) -> Result<FxHashSet<ProgramNo>> {
        let mut shapes: FxHashSet<i64> = FxHashSet::default();
        let mut shape_of = connection.prepare_cached("SELECT shape FROM item WHERE no = ? AND at IS NOT NULL")?;
        let mut chunks = connection.prepare_cached("SELECT keys FROM chunk WHERE job = ? ORDER BY no")?;
        let mut rows = chunks.query([job])?;
        while let Some(row) = rows.next()? {
            for key in unpack_keys(&row.get::<_, Vec<u8>>(0)?)? {
                shapes.extend(shape_of.query_row([key.item], |row| row.get::<_, i64>(0)).optional()?);
            }
        }
        let names = self.names();
        let shapes = shapes.into_iter().filter_map(|shape| names.shape(shape));
        Ok(shapes
            .flat_map(|shape| shape.programs.iter().filter_map(|id| names.program(id)).collect::<Vec<_>>())
            .collect())
    }
}

/// Refuses what cannot be made of a job as it stands.
fn must_allow(job: &Job, again: Again) -> Result<()> {
    if again == Again::Apply && !job.dry_run {
        return Err(Error::Conflict(format!("job {} is no dry run: it has done what it would do", job.id)));
    }
    if again.action().in_state(job.state) != Allowed::Yes {
        return Err(cannot(job, again.action()));
    }
    match (again, job.applied_by) {
        (Again::Apply, Some(by)) => {
            return Err(Error::Conflict(format!("job {} was applied already, by job {by}", job.id)));
        }
        (Again::Revert, _) if job.dry_run => {
            return Err(Error::Conflict(format!("job {} is a dry run: it changed nothing", job.id)));
        }
        _ => {}
    }
    must_have_history(job)
}

/// The items of an ended job that there is something to do about.
fn list_of(connection: &Connection, job: &Job, again: Again) -> Result<Frozen> {
    let weight = match again {
        // Nothing of it is read.
        Again::Revert => ITEM_WEIGHT,
        _ => job.weight / job.counts.total.unwrap_or(1).max(1),
    };
    let mut list = Frozen::default();
    let mut from = 0;
    loop {
        let slots = slots(connection, job, from)?;
        let Some(last) = slots.last() else { return Ok(list.whole()) };
        from = last.pos + 1;
        for slot in slots {
            let asked = match again {
                Again::Revert => {
                    slot.entry.as_ref().is_some_and(|entry| entry.change != 0 || !entry.refreshed.is_empty())
                }
                Again::Retry { no_topics } => slot.is_error() || (no_topics && slot.found_no_topics()),
                Again::Apply => true,
            };
            if asked {
                let key = match again {
                    Again::Revert => Key { asked: Some(slot.pos), ..slot.key },
                    _ => slot.key,
                };
                list.push(key, weight);
            }
        }
    }
}

fn make(tx: &Tx<'_>, parent: JobId, list: Option<&Frozen>, wish: &AgainWish, now: Millis) -> Result<JobId> {
    let parent = job_row(tx, parent)?;
    // It may have been pruned, or applied, since it was looked at.
    must_allow(&parent, wish.again)?;
    let (kind, reverts) = match wish.again {
        Again::Retry { .. } => (JobKind::Retry, parent.reverts),
        Again::Revert => (JobKind::Revert, Some(parent.id)),
        Again::Apply => (parent.kind, parent.reverts),
    };
    if let Some(reverts) = reverts.filter(|&reverts| reverts != parent.id) {
        let gone = |_| Error::HistoryPruned(format!("job {reverts}, which this takes back, was deleted"));
        must_have_history(&job_row(tx, reverts).map_err(gone)?)?;
    }
    let applies = wish.again == Again::Apply;
    let lane = if applies { parent.lane } else { Lane::Bulk };
    let revision = parent.revision.filter(|_| applies);
    let new = NewJob {
        name: wish.name.clone().or_else(|| parent.name.clone().filter(|_| applies)),
        description: wish.description.clone().or_else(|| parent.description.clone().filter(|_| applies)),
        priority: wish.priority.unwrap_or(parent.priority),
        max_per_second: wish.max_per_second.or(parent.max_per_second),
        // What is retried of a dry run stays one.
        dry_run: wish.dry_run || (parent.dry_run && !applies),
        ..NewJob::new(parent.filter.clone(), &wish.created_by)
    };
    let id = tx.insert_job(&new, Origin { kind, lane, parent: Some(parent.id), reverts, revision }, now)?;
    let empty = match list {
        Some(list) => {
            tx.put_list(id, list)?;
            list.total == 0
        }
        None => {
            copy_list(tx, parent.id, id)?;
            parent.counts.total == Some(0)
        }
    };
    if applies {
        tx.prepare_cached("UPDATE job SET applied_by = ?2 WHERE id = ?1")?.execute([parent.id, id])?;
    }
    if wish.publish {
        let because = match wish.again {
            Again::Retry { .. } => format!("job {} left nothing to retry", parent.id),
            Again::Revert => format!("job {} changed nothing", parent.id),
            Again::Apply => format!("the list of job {} is empty", parent.id),
        };
        tx.publish(id, Some(because.as_str()).filter(|_| empty), now)?;
    }
    Ok(id)
}

/// The very list of another job.
fn copy_list(tx: &Tx<'_>, from: JobId, to: JobId) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO chunk (job, no, pos, n, weight, keys) SELECT ?2, no, pos, n, weight, keys FROM chunk WHERE job = ?1",
    )?
    .execute([from, to])?;
    tx.prepare_cached(
        "UPDATE job SET (total, pending, planned, chunks, weight)
           = (SELECT planned, planned, planned, chunks, weight FROM job WHERE id = ?1) WHERE id = ?2",
    )?
    .execute(params![from, to])?;
    Ok(())
}
