//! What became of labels, packed: `change.entries`, `dry_change.edits`, and the numbers of `reading.changes`.

use super::{Cursor, Decoded, put, put_label, put_signed, take_label};
use crate::label::{Edit, Provenance};

/// Bits that open a packed edit: which sides there are.
const OLD: u64 = 1;
const NEW: u64 = 2;

/// New labels mostly have the row's own provenance, which is then left out.
fn put_edit(out: &mut Vec<u8>, edit: &Edit, row: Provenance) {
    put(out, (u64::from(edit.old.is_some()) * OLD) | (u64::from(edit.new.is_some()) * NEW));
    for label in [edit.old, edit.new].iter().flatten() {
        put_label(out, label, &mut row.clone());
    }
}

fn take_edit(from: &mut Cursor<'_>, row: Provenance) -> Decoded<Edit> {
    let sides = from.take()?;
    let mut side = |bit: u64| match sides & bit {
        0 => Ok(None),
        _ => take_label(from, &mut row.clone()).map(Some),
    };
    Ok(Edit { old: side(OLD)?, new: side(NEW)? })
}

/// `dry_change.edits`.
pub fn pack_edits(edits: &[Edit], row: Provenance) -> Vec<u8> {
    let mut out = Vec::with_capacity(edits.len() * 12);
    for edit in edits {
        put_edit(&mut out, edit, row);
    }
    out
}

pub fn unpack_edits(blob: &[u8], row: Provenance) -> Decoded<Vec<Edit>> {
    let mut from = Cursor(blob);
    let mut edits = Vec::new();
    while !from.at_end() {
        edits.push(take_edit(&mut from, row)?);
    }
    Ok(edits)
}

/// What one commit changed on one item's labels: an entry of `change.entries`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub no: i64,
    pub item: i64,
    /// Empty: nothing of the item stands any more.
    pub edits: Vec<Edit>,
}

/// `change.entries` under way. Numbers and items are told by their difference to those of the entry before.
#[derive(Debug, Default)]
pub struct PackedChanges {
    pub entries: Vec<u8>,
    no: i64,
    item: i64,
}

impl PackedChanges {
    pub fn push(&mut self, no: i64, item: i64, edits: &[Edit], row: Provenance) {
        put_signed(&mut self.entries, no.wrapping_sub(self.no));
        put_signed(&mut self.entries, item.wrapping_sub(self.item));
        put(&mut self.entries, edits.len() as u64);
        for edit in edits {
            put_edit(&mut self.entries, edit, row);
        }
        (self.no, self.item) = (no, item);
    }

    /// The number of the entry that was pushed last; 0 where there is none.
    pub fn last(&self) -> i64 {
        self.no
    }
}

pub fn unpack_changes(blob: &[u8], row: Provenance) -> Decoded<Vec<Change>> {
    let mut from = Cursor(blob);
    let mut changes = Vec::new();
    let (mut no, mut item) = (0i64, 0i64);
    while !from.at_end() {
        no = no.wrapping_add(from.take_signed()?);
        item = item.wrapping_add(from.take_signed()?);
        let edits = (0..from.take()?).map(|_| take_edit(&mut from, row)).collect::<Decoded<_>>()?;
        changes.push(Change { no, item, edits });
    }
    Ok(changes)
}

/// `reading.changes`: adds a number.
pub fn put_change_no(out: &mut Vec<u8>, no: i64) {
    put_signed(out, no);
}

pub fn unpack_change_nos(blob: &[u8]) -> Decoded<Vec<i64>> {
    let mut from = Cursor(blob);
    let mut numbers = Vec::new();
    while !from.at_end() {
        numbers.push(from.take_signed()?);
    }
    Ok(numbers)
}
