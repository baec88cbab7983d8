//! History: what became of labels, old and new of each. It is also the change feed.
//!
//! What is committed of a lease at once lies in one row, an entry an item; the row has the number of its last entry. A
//! reading lists the numbers of its item's entries, so that they are found again when the item is erased.

use rusqlite::types::ValueRef::Blob;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::codec::{Change, PackedChanges, pack_edits, put_change_no, unpack_change_nos, unpack_changes, unpack_edits};
use super::sums::{self, integer};
use super::writer::Tx;
use super::{Error, Result};
use crate::job::JobId;
use crate::label::{Edit, Provenance};

/// A reading's list of numbers that has become longer than this, in bytes, is cleared of those that were pruned; and again
/// whenever it is twice as long.
const LONG_LIST: usize = 256;
/// What a number takes at most.
const LONGEST_NO: usize = 10;

/// The changes of one lease, gathered until its end.
pub(super) struct Changes {
    by: Provenance,
    packed: PackedChanges,
}

impl Changes {
    pub fn new(by: Provenance) -> Changes {
        Changes { by, packed: PackedChanges::default() }
    }

    pub fn by(&self) -> Provenance {
        self.by
    }

    /// What became of one item's labels, and its number.
    pub fn push(&mut self, tx: &Tx<'_>, item: i64, edits: &[Edit]) -> i64 {
        let no = tx.next_change();
        self.packed.push(no, item, edits, self.by);
        no
    }

    /// Writes them, where there are any.
    pub fn flush(self, tx: &Tx<'_>) -> Result<()> {
        if self.packed.last() == 0 {
            return Ok(());
        }
        let Provenance { job, revision, at } = self.by;
        let or_null = |number: i64| Some(number).filter(|&number| number != 0);
        let (no, job, revision, entries) = (self.packed.last(), or_null(job), or_null(revision), self.packed.entries);
        let sum = sums::of([integer(no), integer(job), integer(revision), integer(at), Blob(&entries)]);
        tx.prepare_cached("INSERT INTO change (no, job, revision, at, entries, sum) VALUES (?, ?, ?, ?, ?, ?)")?
            .execute(params![no, job, revision, at, entries, sum])?;
        Ok(())
    }
}

/// A row of `change`.
pub(super) struct Stored {
    /// The number of its last entry, before any item was erased.
    pub no: i64,
    pub by: Provenance,
    pub changes: Vec<Change>,
}

impl Stored {
    /// From the columns no, job, revision, at, entries.
    pub fn from(row: &Row<'_>) -> Result<Stored> {
        let number = |column| row.get::<_, Option<i64>>(column).map(Option::unwrap_or_default);
        let by = Provenance { job: number(1)?, revision: number(2)?, at: row.get(3)? };
        let entries = row.get_ref(4)?.as_blob().map_err(|_| Error::Damaged("change.entries".into()))?;
        Ok(Stored { no: row.get(0)?, by, changes: unpack_changes(entries, by)? })
    }

    /// The row that has, or had, the change of that number.
    pub fn holding(connection: &Connection, no: i64) -> Result<Option<Stored>> {
        connection
            .prepare_cached("SELECT no, job, revision, at, entries FROM change WHERE no >= ? ORDER BY no LIMIT 1")?
            .query_and_then([no], Stored::from)?
            .next()
            .transpose()
    }

    pub fn change(&self, no: i64) -> Option<&Change> {
        self.changes.binary_search_by_key(&no, |change| change.no).ok().and_then(|at| self.changes.get(at))
    }
}

/// Looks changes up by their numbers; neighbours mostly share a row.
pub(super) struct Lookup<'a> {
    connection: &'a Connection,
    row: Option<Stored>,
}

impl<'a> Lookup<'a> {
    pub fn new(connection: &'a Connection) -> Lookup<'a> {
        Lookup { connection, row: None }
    }

    /// None where it was pruned, or erased with its item.
    pub fn change(&mut self, no: i64) -> Result<Option<(&Change, Provenance)>> {
        let known = self.row.as_ref().is_some_and(|row| row.change(no).is_some());
        if !known {
            self.row = Stored::holding(self.connection, no)?;
        }
        Ok(self.row.as_ref().and_then(|row| Some((row.change(no)?, row.by))))
    }
}

/// Calls `see` with the changes numbered above `after`, in order, until it answers false.
pub(super) fn each_change_after(
    connection: &Connection,
    after: i64,
    mut see: impl FnMut(&Change, Provenance) -> Result<bool>,
) -> Result<()> {
    let mut statement =
        connection.prepare_cached("SELECT no, job, revision, at, entries FROM change WHERE no > ? ORDER BY no")?;
    for row in statement.query_and_then([after], Stored::from)? {
        let Stored { by, changes, .. } = row?;
        for change in changes.iter().filter(|change| change.no > after) {
            if !see(change, by)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// What a dry run would have changed on an item, and whose it is; None where it is not there any more.
pub(super) fn dry_change(connection: &Connection, no: i64) -> Result<Option<(Change, Provenance)>> {
    connection
        .prepare_cached("SELECT item, job, at, edits FROM dry_change WHERE no = ?")?
        .query_and_then([no], |row| {
            let by = Provenance { job: row.get(1)?, revision: 0, at: row.get(2)? };
            let edits = row.get_ref(3)?.as_blob().map_err(|_| Error::Damaged("dry_change.edits".into()))?;
            Ok((Change { no, item: row.get(0)?, edits: unpack_edits(edits, by)? }, by))
        })?
        .next()
        .transpose()
}

impl Tx<'_> {
    /// Adds what became of one item's labels, and answers its number.
    pub fn put_change(&self, item: i64, edits: &[Edit], by: Provenance) -> Result<i64> {
        let mut changes = Changes::new(by);
        let no = changes.push(self, item, edits);
        changes.flush(self)?;
        Ok(no)
    }

    /// Adds a row of what a dry run would have changed, and answers its number.
    pub fn put_dry_change(&self, item: i64, edits: &[Edit], by: Provenance) -> Result<i64> {
        self.prepare_cached("INSERT INTO dry_change (item, job, at, edits) VALUES (?, ?, ?, ?)")?.execute(params![
            item,
            by.job,
            by.at,
            pack_edits(edits, by)
        ])?;
        Ok(self.last_insert_rowid())
    }

    /// Adds a number to a reading's list.
    pub fn note_change(&self, list: &mut Vec<u8>, no: i64) -> Result<()> {
        let doubles = (list.len() + LONGEST_NO).next_power_of_two() > list.len().next_power_of_two();
        if list.len() >= LONG_LIST - LONGEST_NO && doubles {
            *list = self.kept_changes(list)?;
        }
        put_change_no(list, no);
        Ok(())
    }

    /// A reading's list without the numbers that were pruned. What does not decode is left as it is: it is no reason for a
    /// commit to fail.
    fn kept_changes(&self, list: &[u8]) -> Result<Vec<u8>> {
        let Ok(numbers) = unpack_change_nos(list) else { return Ok(list.to_vec()) };
        let written: Option<i64> =
            self.prepare_cached("SELECT max(no) FROM change")?.query_row([], |row| row.get(0))?;
        let mut lookup = Lookup::new(self);
        let mut kept = Vec::new();
        for no in numbers {
            // Those above are of the commit that is under way.
            let is_pruned = Some(no) <= written
                && match lookup.change(no) {
                    Err(Error::Damaged(_)) => false,
                    found => found?.is_none(),
                };
            if !is_pruned {
                put_change_no(&mut kept, no);
            }
        }
        Ok(kept)
    }

    /// Takes an item's entries out of the history; `list` is that of its reading.
    pub fn erase_changes(&self, item: i64, list: &[u8]) -> Result<()> {
        for no in unpack_change_nos(list)? {
            let Some(row) = Stored::holding(self, no)?.filter(|row| row.change(no).is_some()) else { continue };
            let mut packed = PackedChanges::default();
            for change in row.changes.iter().filter(|change| change.item != item) {
                packed.push(change.no, change.item, &change.edits, row.by);
            }
            match packed.entries.is_empty() {
                true => self.prepare_cached("DELETE FROM change WHERE no = ?")?.execute([row.no])?,
                false => self
                    .prepare_cached("UPDATE change SET entries = ?2 WHERE no = ?1")?
                    .execute(params![row.no, packed.entries])?,
            };
        }
        self.prepare_cached("DELETE FROM dry_change WHERE item = ?")?.execute([item])?;
        Ok(())
    }

    /// Removes the row of a job's history that has the change of that number; the last number that went with it, if there
    /// was one.
    pub fn prune_change(&self, job: JobId, no: i64) -> Result<Option<i64>> {
        let pruned: Option<i64> = self
            .prepare_cached(
                "DELETE FROM change WHERE no = (SELECT no FROM change WHERE no >= ?1 ORDER BY no LIMIT 1) AND job = ?2
                 RETURNING no",
            )?
            .query_row([no, job], |row| row.get(0))
            .optional()?;
        if let Some(no) = pruned {
            self.prepare_cached("UPDATE daemon SET last_change = ?1, pruned_change = max(pruned_change, ?2)")?
                .execute([self.last_given_change(), no])?;
        }
        Ok(pruned)
    }
}
