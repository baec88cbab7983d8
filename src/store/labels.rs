//! Labels that stand, and what changed them: read page by page, so that an export of any size costs the same memory.

use rusqlite::{Connection, Row, params};
use rustc_hash::FxHashSet;

use super::codec::{unpack_edits, unpack_labels};
use super::count::fitting_shapes;
use super::items::ShownLabel;
use super::jobs::job_row;
use super::names::{kind_from, list_from};
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
            let mut statement = connection.prepare_cached(
                "SELECT at, no, shape, id, version, transcripts, labels FROM item JOIN reading ON item = no
                 WHERE at IS NOT NULL AND (at, no) > (?, ?) AND at < ? ORDER BY at, no LIMIT ?",
            )?;
            let from = query.filter.from.map_or((i64::MIN, i64::MIN), |from| (from, i64::MIN));
            let (at, no) = after.unwrap_or(from);
            let mut items =
                statement.query(params![at, no, query.filter.until.unwrap_or(i64::MAX), PAGE_ITEMS as i64])?;
            let mut rows = Vec::new();
            let mut seen = 0;
            let mut next = None;
            while let Some(item) = items.next()? {
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
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {CHANGE} FROM change JOIN item ON item.no = change.item WHERE change.no > ?
                 ORDER BY change.no LIMIT ?"
            ))?;
            let mut rows = statement.query(params![after, limit as i64])?;
            let mut changes = Vec::new();
            while let Some(row) = rows.next()? {
                self.push_changes(row, &mut changes)?;
            }
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
            for task in tasks.iter().filter(|task| task.change != 0) {
                let first = changes.len();
                self.change_by_no(connection, task.change, dry_run, &mut changes)?;
                // As the job read it, not as it is now.
                changes[first..].iter_mut().for_each(|change| change.version = task.version);
            }
            Ok((changes, next))
        })
    }

    fn change_by_no(
        &self,
        connection: &Connection,
        no: i64,
        dry_run: bool,
        changes: &mut Vec<ChangeRow>,
    ) -> Result<()> {
        let sql = match dry_run {
            false => format!("SELECT {CHANGE} FROM change JOIN item ON item.no = change.item WHERE change.no = ?"),
            true => format!(
                "SELECT {DRY_CHANGE} FROM dry_change JOIN item ON item.no = dry_change.item WHERE dry_change.no = ?"
            ),
        };
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query([no])?;
        // An erased item has no history any more.
        while let Some(row) = rows.next()? {
            self.push_changes(row, changes)?;
        }
        Ok(())
    }

    fn push_changes(&self, row: &Row<'_>, changes: &mut Vec<ChangeRow>) -> Result<()> {
        let kind = kind_from(row.get_ref(1)?.as_str().map_err(|_| damaged("kind"))?)?;
        let transcripts = list_from(&row.get::<_, String>(4)?)?;
        let by = Provenance {
            job: row.get::<_, Option<i64>>(5)?.unwrap_or_default(),
            revision: row.get::<_, Option<i64>>(6)?.unwrap_or_default(),
            at: row.get(7)?,
        };
        let edits = unpack_edits(row.get_ref(8)?.as_blob().map_err(|_| damaged("edits"))?, by)?;
        let names = self.names();
        let blank =
            ChangeRow { no: row.get(0)?, kind, id: row.get(2)?, version: row.get(3)?, old: None, new: None, by };
        if edits.is_empty() {
            changes.push(blank);
            return Ok(());
        }
        changes.extend(edits.iter().map(|edit| ChangeRow {
            old: edit.old.map(|label| names.show(&label, &transcripts)),
            new: edit.new.map(|label| names.show(&label, &transcripts)),
            ..blank.clone()
        }));
        Ok(())
    }
}

const CHANGE: &str = "change.no, kind, id, version, transcripts, job, revision, change.at, edits";
const DRY_CHANGE: &str = "dry_change.no, kind, id, version, transcripts, job, NULL, dry_change.at, edits";

fn damaged(what: &str) -> Error {
    Error::Damaged(format!("{what} of an item"))
}
