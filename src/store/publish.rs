//! Jobs are made, and published: the rules are frozen, and of all but ranges the list is too.

use rusqlite::params;

use super::codec::Key;
use super::frozen::{Frozen, ITEM_WEIGHT};
use super::jobs::{group_of, job_by_id, job_of_request, job_row};
use super::writer::Tx;
use super::{Error, Result, Store};
use crate::job::{Action, Allowed, Filter, Job, JobId, JobKind, JobState, Lane};
use crate::label::Revision;
use crate::model::{Kind, Millis};
use crate::wire::ItemKey;

/// A wish for a job.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    pub name: Option<String>,
    pub description: Option<String>,
    pub filter: Filter,
    /// `from` and `until` as they were asked for, JSON: kept with a draft.
    pub span: Option<String>,
    pub priority: i64,
    pub max_per_second: Option<f64>,
    pub created_by: String,
    /// Everything as it would be, and no label written.
    pub dry_run: bool,
    /// Else it stays a draft.
    pub publish: bool,
    /// Make as many jobs as it takes, where one may not have as many items.
    pub split: bool,
    pub request: Option<RequestKey>,
}

/// What makes a repeated request known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    pub key: String,
    /// Of the request.
    pub hash: Vec<u8>,
}

impl NewJob {
    /// A plain wish, published at once.
    pub fn new(filter: Filter, created_by: &str) -> NewJob {
        NewJob {
            name: None,
            description: None,
            filter,
            span: None,
            priority: crate::job::PRIORITY,
            max_per_second: None,
            created_by: created_by.to_owned(),
            dry_run: false,
            publish: true,
            split: false,
            request: None,
        }
    }
}

/// What came of a wish.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// The first, or the only one.
    pub job: Job,
    /// All of its group.
    pub group: Vec<JobId>,
    /// It was made by the same request before.
    pub repeated: bool,
}

/// Where a job comes from, besides its wish.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub kind: JobKind,
    pub lane: Lane,
    pub parent: Option<JobId>,
    pub reverts: Option<JobId>,
    /// None: that of now.
    pub revision: Option<Revision>,
}

impl Origin {
    pub(super) fn own(kind: JobKind, lane: Lane) -> Origin {
        Origin { kind, lane, parent: None, reverts: None, revision: None }
    }
}

impl Tx<'_> {
    pub(super) fn current_revision(&self) -> Result<Revision> {
        Ok(self.prepare_cached("SELECT max(no) FROM revision")?.query_row([], |row| row.get(0))?)
    }

    /// A draft. Its revision is settled here only where it is not that of its publishing.
    pub(super) fn insert_job(&self, wish: &NewJob, origin: Origin, now: Millis) -> Result<JobId> {
        let filter = serde_json::to_string(&wish.filter).map_err(|error| Error::Invalid(format!("filter: {error}")))?;
        self.prepare_cached(
            "INSERT INTO job (kind, name, description, state, lane, priority, max_per_second, dry_run, filter, span,
               split, revision, parent, reverts, created_by, created_at)
             VALUES (?, ?, ?, 'draft', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            origin.kind.as_str(),
            wish.name,
            wish.description,
            origin.lane.as_str(),
            wish.priority,
            wish.max_per_second,
            wish.dry_run,
            filter,
            wish.span,
            wish.split,
            origin.revision,
            origin.parent,
            origin.reverts,
            wish.created_by,
            now,
        ])?;
        Ok(self.last_insert_rowid())
    }

    /// The whole list of a draft.
    pub(super) fn put_list(&self, job: JobId, list: &Frozen) -> Result<()> {
        self.put_chunks(job, 0, 0, list)?;
        self.prepare_cached(
            "UPDATE job SET total = ?2, pending = ?2, planned = ?2, chunks = ?3, weight = ?4 WHERE id = ?1",
        )?
        .execute(params![job, list.total, list.chunks(), list.weight])?;
        Ok(())
    }

    /// A draft's turn in the queue begins. With a reason for it to be empty, it ends at once.
    pub(super) fn publish(&self, id: JobId, empty_because: Option<&str>, now: Millis) -> Result<()> {
        let revision = self.current_revision()?;
        self.prepare_cached(
            "UPDATE job SET published_at = ?2, span = NULL,
               revision = CASE WHEN reverts IS NULL THEN coalesce(revision, ?3) END WHERE id = ?1",
        )?
        .execute(params![id, now, revision])?;
        self.set_state(id, JobState::Draft, JobState::Queued)?;
        if let Some(because) = empty_because {
            self.prepare_cached(
                "UPDATE job SET total = 0, started_at = ?2, finished_at = ?2, empty_because = ?3 WHERE id = ?1",
            )?
            .execute(params![id, now, because])?;
            self.set_state(id, JobState::Queued, JobState::Completed)?;
        }
        Ok(())
    }

    /// Makes a group of more than one job: the first of them leads it.
    pub(super) fn put_group(&self, ids: &[JobId]) -> Result<()> {
        for id in ids.iter().filter(|_| ids.len() > 1) {
            self.prepare_cached("UPDATE job SET leader = ?2 WHERE id = ?1")?.execute(params![id, ids[0]])?;
        }
        Ok(())
    }

    pub(super) fn put_request(&self, id: JobId, request: Option<&RequestKey>) -> Result<()> {
        if let Some(RequestKey { key, hash }) = request {
            self.prepare_cached("UPDATE job SET request_key = ?2, request_hash = ?3 WHERE id = ?1")?
                .execute(params![id, key, hash])?;
        }
        Ok(())
    }

    pub(super) fn repeated(&self, request: Option<&RequestKey>) -> Result<Option<Published>> {
        let Some(RequestKey { key, hash }) = request else { return Ok(None) };
        let made = job_of_request(self, key, hash)?;
        Ok(made.map(|job| Published { group: vec![job.id], job, repeated: true }))
    }

    pub(super) fn published(&self, ids: Vec<JobId>) -> Result<Published> {
        Ok(Published { job: job_by_id(self, ids[0])?, group: ids, repeated: false })
    }
}

impl Store {
    /// Makes a range job, with the rules of now.
    ///
    /// `limit` is the most items that a job may have; 0 is no limit.
    pub fn publish_range(&self, wish: NewJob, limit: i64, now: Millis) -> Result<Published> {
        let prepared = self.prepare_range(&wish.filter, wish.split, limit, wish.publish)?;
        self.write(move |tx| {
            if let Some(repeated) = tx.repeated(wish.request.as_ref())? {
                return Ok(repeated);
            }
            let origin = Origin::own(JobKind::Range, Lane::Bulk);
            let id = tx.insert_job(&wish, origin, now)?;
            tx.put_request(id, wish.request.as_ref())?;
            let ids = match prepared {
                Some(range) => publish_parts(tx, id, &wish, origin, &range, now)?,
                None => vec![id],
            };
            tx.published(ids)
        })
    }

    /// Publishes a draft; of a range, `from` and `until` are what its span comes to by now.
    pub fn publish_draft(
        &self,
        id: JobId,
        span: Option<(Millis, Millis)>,
        limit: i64,
        now: Millis,
    ) -> Result<Published> {
        let draft = self.job(id)?;
        if Action::Publish.in_state(draft.state) != Allowed::Yes {
            return Err(cannot(&draft, Action::Publish));
        }
        let (mut filter, mut range) = (draft.filter.clone(), None);
        // The list of a draft that applies a dry run is frozen, of whatever kind it is.
        if draft.kind == JobKind::Range && draft.counts.total.is_none() {
            if let Some((from, until)) = span {
                (filter.from, filter.until) = (Some(from), Some(until));
            }
            range = self.prepare_range(&filter, draft.split, limit, true)?;
        }
        for id in self.group(id)? {
            // A draft with a revision applies a dry run: its rules may have changed since it was made.
            let draft = self.job(id)?;
            if draft.state == JobState::Draft && draft.revision.is_some() {
                self.must_read_alike(&draft)?;
            }
        }
        self.write(move |tx| {
            let draft = job_row(tx, id)?;
            if Action::Publish.in_state(draft.state) != Allowed::Yes {
                return Err(cannot(&draft, Action::Publish));
            }
            let wish = NewJob {
                name: draft.name,
                description: draft.description,
                priority: draft.priority,
                max_per_second: draft.max_per_second,
                split: draft.split,
                dry_run: draft.dry_run,
                ..NewJob::new(filter, &draft.created_by)
            };
            let Some(range) = range else {
                // Its list is frozen already, and may have been too long for one job.
                let ids = group_of(tx, id)?;
                for &id in &ids {
                    let draft = job_row(tx, id)?;
                    let nothing = (draft.counts.total == Some(0)).then_some("its list is empty");
                    if draft.state == JobState::Draft {
                        tx.publish(id, nothing, now)?;
                    }
                }
                return tx.published(ids);
            };
            let filter =
                serde_json::to_string(&wish.filter).map_err(|error| Error::Invalid(format!("filter: {error}")))?;
            tx.execute("UPDATE job SET filter = ?2 WHERE id = ?1", params![id, filter])?;
            let ids = publish_parts(tx, id, &wish, Origin::own(JobKind::Range, Lane::Bulk), &range, now)?;
            tx.published(ids)
        })
    }

    /// Makes a single job in the live lane. A version must be the latest where it is given.
    pub fn publish_single(&self, wish: NewJob, key: ItemKey, now: Millis) -> Result<Published> {
        let ItemKey { kind, id, version } = key;
        if kind == Kind::Conversation && version.is_some() {
            return Err(Error::Invalid("version: conversations have none".into()));
        }
        self.write(move |tx| {
            if let Some(repeated) = tx.repeated(wish.request.as_ref())? {
                return Ok(repeated);
            }
            let row =
                tx.find_item(kind, &id)?.filter(|row| row.at.is_some()).ok_or_else(|| Error::no_item(kind, &id))?;
            if version.is_some() && version != row.version {
                return Err(Error::StaleVersion(format!(
                    "note {id:?} is stored at version {}, not {}",
                    row.version.unwrap_or_default(),
                    version.unwrap_or_default()
                )));
            }
            let mut list = Frozen::default();
            list.push(Key { item: row.no, asked: version }, row.size + ITEM_WEIGHT);
            let job = tx.insert_job(&wish, Origin::own(JobKind::Single, Lane::Live), now)?;
            tx.put_list(job, &list.whole())?;
            tx.put_request(job, wish.request.as_ref())?;
            if wish.publish {
                tx.publish(job, None, now)?;
            }
            tx.published(vec![job])
        })
    }

    /// What a range comes to as it is published: None for one that stays a draft.
    fn prepare_range(&self, filter: &Filter, split: bool, limit: i64, publish: bool) -> Result<Option<Range>> {
        if !publish {
            return Ok(None);
        }
        let mut borders = Vec::new();
        let any = if limit == 0 {
            self.selects_any(filter)?
        } else {
            let cut = self.cut(filter, if split { limit } else { 0 })?;
            if cut.total > limit && !split {
                return Err(Error::TooManyItems { count: cut.total, limit });
            }
            borders = cut.borders;
            cut.total > 0
        };
        let empty_because = if any { None } else { Some(self.why_empty(filter)?) };
        Ok(Some(Range { borders, empty_because }))
    }
}

/// What a range selects as it is published, and why it may be nothing.
struct Range {
    /// Each is the first item of a next part.
    borders: Vec<(Millis, i64)>,
    empty_because: Option<String>,
}

/// Publishes a draft of a range, and as many jobs beside it as it takes.
fn publish_parts(
    tx: &Tx<'_>,
    draft: JobId,
    wish: &NewJob,
    origin: Origin,
    range: &Range,
    now: Millis,
) -> Result<Vec<JobId>> {
    let mut ids = Vec::new();
    let mut start: Option<(Millis, i64)> = None;
    for end in range.borders.iter().copied().map(Some).chain([None]) {
        let id = if ids.is_empty() { draft } else { tx.insert_job(wish, origin, now)? };
        tx.prepare_cached(
            "UPDATE job SET plan_at = ?2, plan_item = ?3, plan_end_at = ?4, plan_end_item = ?5 WHERE id = ?1",
        )?
        .execute(params![
            id,
            start.map(|at| at.0),
            start.map(|at| at.1),
            end.map(|at| at.0),
            end.map(|at| at.1)
        ])?;
        tx.publish(id, range.empty_because.as_deref(), now)?;
        ids.push(id);
        start = end;
    }
    tx.put_group(&ids)?;
    Ok(ids)
}

/// Why an action is refused.
pub(super) fn cannot(job: &Job, action: Action) -> Error {
    let stands = if job.state.ended() { "has ended as" } else { "is" };
    let hint = match action {
        Action::Retry | Action::Revert | Action::Delete if !job.state.ended() => " before it has ended",
        _ => "",
    };
    Error::Conflict(format!("job {} {stands} {}: it cannot be {}{hint}", job.id, job.state, action.participle()))
}
