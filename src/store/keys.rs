//! Items by their keys: (kind, id) to the row of `item`, over a hash of 32 bits, in two tables.
//!
//! A key comes into `new_key`, which stays small, and moves to `key` with all those of its range of hashes: so a page of
//! the large table is changed once for many keys. A hash says where to look; the row itself says whether it is that key.

use rusqlite::Connection;

use super::Result;
use super::rows::{ItemRow, item_by_no};
use super::writer::Tx;
use crate::model::Kind;

/// Whenever this many more items have numbers, the keys of one range are moved.
const ITEMS_A_MOVE: i64 = 2_048;
/// Ranges of hashes. More of them keep keys longer in `new_key`: that is then larger, and `key` is changed less often.
/// With 32, both change a page for some twelve keys where there are a million items.
const RANGES: i64 = 32;
const RANGE: i64 = (1 << 32) / RANGES;

/// FNV-1a, and the last step of MurmurHash3, without which short ids that count up would crowd some ranges. Part of the
/// stored form, so it stays as it is.
fn hash_of(kind: Kind, id: &str) -> u32 {
    let bytes = kind.as_str().bytes().chain([0]).chain(id.bytes());
    let hash = bytes.fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    let hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

/// As it is stored: signed, or half of them would take another two bytes.
fn signed(hash: i64) -> i64 {
    hash + i64::from(i32::MIN)
}

pub(super) fn stored_hash(kind: Kind, id: &str) -> i64 {
    signed(hash_of(kind, id).into())
}

pub(super) fn find_item(connection: &Connection, kind: Kind, id: &str) -> Result<Option<ItemRow>> {
    let hash = stored_hash(kind, id);
    for sql in ["SELECT item FROM new_key WHERE hash = ?", "SELECT item FROM key WHERE hash = ?"] {
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query([hash])?;
        while let Some(row) = rows.next()? {
            let found = item_by_no(connection, row.get(0)?)?;
            if let Some(row) = found.filter(|row| row.kind == kind && row.id == id) {
                return Ok(Some(row));
            }
        }
    }
    Ok(None)
}

impl Tx<'_> {
    /// For the row that was inserted just now.
    pub fn put_key(&self, kind: Kind, id: &str) -> Result<i64> {
        let no = self.last_insert_rowid();
        self.prepare_cached("INSERT INTO new_key (hash, item) VALUES (?, ?)")?.execute([stored_hash(kind, id), no])?;
        if no % ITEMS_A_MOVE == 0 {
            self.move_keys(no / ITEMS_A_MOVE % RANGES)?;
        }
        Ok(no)
    }

    fn move_keys(&self, range: i64) -> Result<()> {
        let (from, until) = (signed(range * RANGE), signed((range + 1) * RANGE));
        self.prepare_cached(
            "INSERT INTO key (hash, item) SELECT hash, item FROM new_key WHERE hash >= ? AND hash < ?",
        )?
        .execute([from, until])?;
        self.prepare_cached("DELETE FROM new_key WHERE hash >= ? AND hash < ?")?.execute([from, until])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_key_is_what_it_always_was() {
        // By an implementation that is not this one.
        assert_eq!(hash_of(Kind::Note, "n-9"), 0xc343_2a53);
        assert_eq!(hash_of(Kind::Conversation, "n-9"), 0xdbe3_d155);
    }

    #[test]
    fn the_ranges_hold_every_hash_once() {
        let borders: Vec<i64> = (0..=RANGES).map(|range| signed(range * RANGE)).collect();
        assert_eq!((borders[0], borders[RANGES as usize]), (i64::from(i32::MIN), i64::from(i32::MAX) + 1));
        assert!(borders.is_sorted_by(|one, other| one < other));
        assert_eq!((signed(0), signed(u32::MAX.into())), (i64::from(i32::MIN), i64::from(i32::MAX)));
    }
}
