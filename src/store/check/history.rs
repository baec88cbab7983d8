//! Of `check`: the history by itself, and what stands on an item against what its history says.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension};

use super::{Faults, Known};
use crate::label::{Edit, Label, Place, Provenance};
use crate::store::codec::{unpack_change_nos, unpack_edits};
use crate::store::history::Stored;
use crate::store::{Error, Result};

/// Decoded rows of `change` that are kept: neighbours among items share the rows of each job that read them.
const ROWS_KEPT: usize = 64;

/// Rows of `change` by their numbers.
pub(super) struct Rows<'a> {
    connection: &'a Connection,
    kept: BTreeMap<i64, Stored>,
}

impl<'a> Rows<'a> {
    pub fn new(connection: &'a Connection) -> Rows<'a> {
        Rows { connection, kept: BTreeMap::new() }
    }

    /// The row that has the change of that number, if it was not pruned or erased. A row that does not decode has none:
    /// [`history`] reports it.
    pub fn holding(&mut self, no: i64) -> Result<Option<&Stored>> {
        let near = self.kept.range(no..).next().filter(|(_, row)| row.change(no).is_some()).map(|(&row, _)| row);
        let row = match near {
            Some(row) => Some(row),
            None => match Stored::holding(self.connection, no) {
                Err(Error::Damaged(_)) => None,
                found => found?.map(|stored| {
                    if self.kept.len() == ROWS_KEPT {
                        self.kept.clear();
                    }
                    let row = stored.no;
                    self.kept.insert(row, stored);
                    row
                }),
            },
        };
        Ok(row.and_then(|row| self.kept.get(&row)).filter(|row| row.change(no).is_some()))
    }

    /// What disagrees between an item's labels, its list of changes and the history.
    ///
    /// The last change of a place must match the label there, unless a later change of the place may be pruned: pruned
    /// changes have numbers up to `daemon.pruned_change`.
    pub fn faults_of(&mut self, known: &Known, item: i64, labels: &[Label], changes: &[i64]) -> Vec<String> {
        let mut faults = Vec::new();
        let mut last: BTreeMap<Place, (i64, Option<Label>)> = BTreeMap::new();
        if !changes.is_sorted_by(|one, next| one < next) {
            faults.push("reading.changes is out of order".to_owned());
        }
        for &no in changes {
            let row = match self.holding(no) {
                Ok(row) => row,
                Err(error) => return vec![format!("change {no} cannot be read: {error}")],
            };
            match row.and_then(|row| row.change(no)) {
                None if no > known.pruned_change => {
                    faults.push(format!("reading.changes names change {no}, which is not in change.entries"));
                }
                None => {}
                Some(change) if change.item != item => {
                    faults.push(format!("reading.changes names change {no}, which is one of item {}", change.item));
                }
                Some(change) => {
                    for edit in &change.edits {
                        if let Some(label) = edit.new.or(edit.old) {
                            last.insert(label.place, (no, edit.new));
                        }
                    }
                }
            }
        }
        // One fault is enough: those that follow from it would hide it.
        if !faults.is_empty() {
            return faults;
        }
        for label in labels {
            let (no, left) = last.remove(&label.place).unwrap_or((0, None));
            if no >= known.pruned_change && left != Some(*label) {
                let place = known.place(label.place);
                faults.push(match no {
                    0 => format!("reading.labels, {place}: no change in change.entries put it there"),
                    no => format!("reading.labels, {place}: after change {no} in change.entries the label differs"),
                });
            }
        }
        for (place, (no, left)) in last {
            if no > known.pruned_change && left.is_some() {
                let place = known.place(place);
                faults.push(format!(
                    "reading.labels, {place}: it is missing, and change {no} in change.entries put it there"
                ));
            }
        }
        faults
    }
}

pub(super) fn history(connection: &Connection, known: &Known, faults: &mut Faults) -> Result<()> {
    let mut listed = connection.prepare("SELECT changes FROM reading WHERE item = ?")?;
    let mut before = 0;
    let mut statement = connection.prepare("SELECT no, job, revision, at, entries FROM change ORDER BY no")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let no: i64 = row.get(0)?;
        let Ok(row) = Stored::from(row) else {
            faults.push(format!("change {no}: change.entries does not decode"));
            continue;
        };
        let numbers: Vec<i64> = row.changes.iter().map(|change| change.no).collect();
        if !numbers.is_sorted_by(|one, next| one < next) || !numbers.iter().all(|n| (before + 1..=no).contains(n)) {
            faults.push(format!("change {no}: change.entries is out of order"));
        }
        before = no;
        let Provenance { job, revision, .. } = row.by;
        if !(0..=known.last_job).contains(&job) {
            faults.push(format!("change {no}: change.job {job} was never made"));
        }
        if !known.has_revision(revision) {
            faults.push(format!("change {no}: change.revision {revision} is not there"));
        }
        for change in &row.changes {
            faults
                .extend(edits(known, &change.edits).map(|why| format!("change {}: change.entries, {why}", change.no)));
            if change.edits.is_empty() {
                continue;
            }
            let list: Option<Vec<u8>> = listed.query_row([change.item], |row| row.get(0)).optional()?;
            // One that does not decode was reported with its item.
            if unpack_change_nos(&list.unwrap_or_default()).is_ok_and(|list| !list.contains(&change.no)) {
                faults.push(format!("change {}: reading.changes of item {} does not list it", change.no, change.item));
            }
        }
    }
    dry_changes(connection, known, faults)?;
    daemon(connection, faults)
}

fn dry_changes(connection: &Connection, known: &Known, faults: &mut Faults) -> Result<()> {
    let mut statement = connection.prepare("SELECT no, edits, job FROM dry_change")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let no: i64 = row.get(0)?;
        match unpack_edits(&row.get::<_, Vec<u8>>(1)?, Provenance::default()) {
            Err(_) => faults.push(format!("dry_change {no}: dry_change.edits does not decode")),
            Ok(found) => {
                faults.extend(edits(known, &found).map(|why| format!("dry_change {no}: dry_change.edits, {why}")))
            }
        }
        if !(1..=known.last_job).contains(&row.get(2)?) {
            faults.push(format!("dry_change {no}: dry_change.job was never made"));
        }
    }
    Ok(())
}

fn edits(known: &Known, edits: &[Edit]) -> Option<String> {
    edits
        .iter()
        .flat_map(|edit| [edit.old, edit.new])
        .flatten()
        .find_map(|label| known.fault_of(&label).map(|why| format!("{}: {why}", known.place(label.place))))
}

fn daemon(connection: &Connection, faults: &mut Faults) -> Result<()> {
    let row: Option<[i64; 4]> = connection
        .query_row(
            "SELECT epoch, pruned_change, max(last_change, coalesce((SELECT max(no) FROM change), 0)),
               max(coalesce((SELECT max(epoch) FROM chunk), 0), coalesce((SELECT max(epoch) FROM task), 0)) FROM daemon",
            [],
            |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]),
        )
        .optional()?;
    let Some([epoch, pruned, last, leased]) = row else {
        faults.push("daemon: its only row is not there".into());
        return Ok(());
    };
    if leased > epoch {
        faults.push(format!("daemon: daemon.epoch is {epoch}, and a lease has a later one"));
    }
    if !(0..=last).contains(&pruned) {
        faults.push(format!("daemon: daemon.pruned_change is {pruned}, and the last change is {last}"));
    }
    Ok(())
}
