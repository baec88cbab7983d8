//! Labels that stand, and what changed them: read page by page, so that an export of any size costs the same memory.

use rusqlite::{Connection, params_from_iter};
use rustc_hash::FxHashSet;

use super::codec::{Change, unpack_labels};
use super::count::fitting_shapes;
use super::history::{Lookup, dry_change, each_change_after};
use super::items::ShownLabel;
use super::jobs::job_row;
use super::names::list_from;
use super::rows::item_by_no;
use super::{Error, Result, Store};
use crate::job::{Filter, JobId};
use crate::label::{Provenance, TopicNo};
use crate::model::{Kind, Millis};

/// Which labels an export wants.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelQuery {
    /// Of the items.
    pub filter: Filter,
    /// Empty: all.
    pub topics: Vec<String>,
}

/// A label that stands.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelRow {
    pub kind: Kind,
    pub id: String,
    pub version: Option<i64>,
    pub label: ShownLabel,
}

/// One change of one label, or the erasure of an item where both sides are None.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeRow {
    /// Changes that were committed together on one item share their number.
    pub no: i64,
    pub kind: Kind,
    pub id: String,
    pub version: Option<i64>,
    pub old: Option<ShownLabel>,
    pub new: Option<ShownLabel>,
    pub by: Provenance,
}

/// Where the next page of [`Store::label_rows`] begins: past this (time, item).
pub type LabelCursor = (Millis, i64);

/// Items looked at for one page.
const PAGE_ITEMS: usize = 512;

impl Store {
    /// The labels of the next items, oldest first, and where to go on; None at the end.
    pub fn label_rows(
        &self,
        query: &LabelQuery,
        after: Option<LabelCursor>,
    ) -> Result<(Vec<LabelRow>, Option<LabelCursor>)> {
        self.read(|connection| {
            let names = self.names();
            let shapes = fitting_shapes(&names, &query.filter);
            let topics: FxHashSet<TopicNo> = query.topics.iter().filter_map(|id| names.topic(id)).collect();
            let from = query.filter.from.map_or((i64::MIN, i64::MIN), |from| (from, i64::MIN));
            let (at, no) = after.unwrap_or(from);
            let until = query.filter.until.unwrap_or(i64::MAX);
            let mut rows = Vec::new();
            let mut seen = 0;
            let mut next = None;
            // In two goes, as in planning: items of one time may be many.
            for (sql, from) in [
                (
                    "SELECT at, no, shape, id, version, transcripts, labels FROM item JOIN reading ON item = no
                     WHERE at < ?1 AND at = ?2 AND no > ?3 ORDER BY no",
                    &[until, at, no][..],
                ),
                (
                    "SELECT at, no, shape, id, version, transcripts, labels FROM item JOIN reading ON item = no
                     WHERE at < ?1 AND at > ?2 ORDER BY at, no",
                    &[until, at][..],
                ),
            ] {
                let mut statement = connection.prepare_cached(sql)?;
                let mut items = statement.query(params_from_iter(from))?;
                while seen < PAGE_ITEMS
                    && let Some(item) = items.next()?
                {
                    seen += 1;
                    next = Some((item.get(0)?, item.get(1)?));
                    let shape = item.get(2)?;
                    if !shapes.contains(&shape) {
                        continue;
                    }
                    let labels = unpack_labels(item.get_ref(6)?.as_blob().map_err(|_| damaged("labels"))?)?;
                    if labels.is_empty() {
                        continue;
                    }
                    let kind = names.shape(shape).map(|shape| shape.kind).ok_or_else(|| damaged("shape"))?;
                    let transcripts = list_from(&item.get::<_, String>(5)?)?;
                    let id: String = item.get(3)?;
                    let version = item.get(4)?;
                    let wanted = |topic| query.topics.is_empty() || topics.contains(&topic);
                    rows.extend(labels.iter().filter(|label| wanted(label.place.topic)).map(|label| LabelRow {
                        kind,
                        id: id.clone(),
                        version,
                        label: names.show(label, &transcripts),
                    }));
                }
            }
            Ok((rows, next.filter(|_| seen == PAGE_ITEMS)))
        })
    }

    /// The changes numbered above `after`, in order: at most those of `limit` commits on an item.
    ///
    /// Where changes after that number were pruned, who follows the feed has missed them: [`Error::HistoryPruned`].
    pub fn changes_after(&self, after: i64, limit: usize) -> Result<Vec<ChangeRow>> {
        self.read(|connection| {
            let pruned: i64 = connection
                .prepare_cached("SELECT pruned_change FROM daemon")?
                .query_row([], |row| row.get(0))?;
            if after < pruned {
                return Err(Error::HistoryPruned(format!(
                    "since: changes up to number {pruned} are not here any more (retention_days, or a restore): take the last_change of /api/v1/status, read all labels, and follow from there"
                )));
            }
            let mut changes = Vec::new();
            let mut left = limit;
            each_change_after(connection, after, |change, by| {
                self.push_changes(connection, change, by, &mut changes)?;
                left = left.saturating_sub(1);
                Ok(left > 0)
            })?;
            Ok(changes)
        })
    }

    /// What a job changed on its items from position `from` on, and where to go on; None at the end.
    pub fn job_changes(&self, job: JobId, from: i64) -> Result<(Vec<ChangeRow>, Option<i64>)> {
        let dry_run = self.read(|connection| Ok(job_row(connection, job)?.dry_run))?;
        let tasks = self.task_rows(job, from)?;
        let next = tasks.last().map(|task| task.pos + 1);
        self.read(|connection| {
            let mut changes = Vec::new();
            let mut lookup = Lookup::new(connection);
            for task in tasks.iter().filter(|task| task.change != 0) {
                let first = changes.len();
                if dry_run {
                    if let Some((change, by)) = dry_change(connection, task.change)? {
                        self.push_changes(connection, &change, by, &mut changes)?;
                    }
                } else if let Some((change, by)) = lookup.change(task.change)? {
                    self.push_changes(connection, change, by, &mut changes)?;
                }
                // As the job read it, not as it is now.
                changes[first..].iter_mut().for_each(|change| change.version = task.version);
            }
            Ok((changes, next))
        })
    }

    fn push_changes(
        &self,
        connection: &Connection,
        change: &Change,
        by: Provenance,
        changes: &mut Vec<ChangeRow>,
    ) -> Result<()> {
        let item = item_by_no(connection, change.item)?.ok_or_else(|| damaged("history"))?;
        let transcripts = item.transcript_ids()?;
        let names = self.names();
        let blank =
            ChangeRow { no: change.no, kind: item.kind, id: item.id, version: item.version, old: None, new: None, by };
        if change.edits.is_empty() {
            changes.push(blank);
            return Ok(());
        }
        changes.extend(change.edits.iter().map(|edit| ChangeRow {
            old: edit.old.map(|label| names.show(&label, &transcripts)),
            new: edit.new.map(|label| names.show(&label, &transcripts)),
            ..blank.clone()
        }));
        Ok(())
    }
}

fn damaged(what: &str) -> Error {
    Error::Damaged(format!("{what} of an item"))
}
