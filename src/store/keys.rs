//! Items by their keys: (kind, id) to the row of `item`, over a hash of 32 bits, in three tables.
//!
//! A key comes into `new_key`, moves on to `recent_key` and from there to `key`, each time with all those of its range of
//! hashes: so a page of a larger table is changed once for many keys. A hash says where to look; the row itself says
//! whether it is that key. Most keys of an import are new, and [`known`] says so of them without a look at the tables.

mod known;

use rusqlite::Connection;

pub(super) use self::known::KnownHashes;
use super::Result;
use super::rows::{ItemRow, item_by_no};
use super::writer::Tx;
use crate::model::Kind;

/// Whenever this many more items have numbers, the keys of one range are moved on, from each table but the last.
const ITEMS_A_MOVE: i64 = 2_048;
/// Ranges of hashes. More of them keep keys longer in a table: that is then larger, and the next is changed less often.
const RANGES_OF_NEW: i64 = 16;
/// So that `recent_key` holds half a million keys, and of `key` a page is changed for some thirty keys where there are ten
/// million items.
const RANGES_OF_RECENT: i64 = 512;
const HASHES: i64 = 1 << 32;

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
    for sql in [
        "SELECT item FROM new_key WHERE hash = ?",
        "SELECT item FROM recent_key WHERE hash = ?",
        "SELECT item FROM key WHERE hash = ?",
    ] {
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
    /// As [`find_item`], and faster where no such item ever was.
    pub fn find_item(&self, kind: Kind, id: &str) -> Result<Option<ItemRow>> {
        let may_be = self.hashes().may_have(stored_hash(kind, id));
        if may_be { find_item(self, kind, id) } else { Ok(None) }
    }

    /// For the row that was inserted just now.
    pub fn put_key(&self, kind: Kind, id: &str) -> Result<i64> {
        let (hash, no) = (stored_hash(kind, id), self.last_insert_rowid());
        self.hashes().add(hash);
        self.prepare_cached("INSERT INTO new_key (hash, item) VALUES (?, ?)")?.execute([hash, no])?;
        if no % ITEMS_A_MOVE == 0 {
            let turn = no / ITEMS_A_MOVE;
            self.move_keys(
                range(turn, RANGES_OF_NEW),
                "INSERT INTO recent_key (hash, item) SELECT hash, item FROM new_key WHERE hash >= ? AND hash < ?",
                "DELETE FROM new_key WHERE hash >= ? AND hash < ?",
            )?;
            self.move_keys(
                range(turn, RANGES_OF_RECENT),
                "INSERT INTO key (hash, item) SELECT hash, item FROM recent_key WHERE hash >= ? AND hash < ?",
                "DELETE FROM recent_key WHERE hash >= ? AND hash < ?",
            )?;
        }
        Ok(no)
    }

    fn move_keys(&self, range: [i64; 2], insert: &str, delete: &str) -> Result<()> {
        for sql in [insert, delete] {
            self.prepare_cached(sql)?.execute(range)?;
        }
        Ok(())
    }
}

/// Where the range begins whose turn it is, and where the next one does.
fn range(turn: i64, ranges: i64) -> [i64; 2] {
    let (at, width) = (turn % ranges, HASHES / ranges);
    [signed(at * width), signed((at + 1) * width)]
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
        for ranges in [RANGES_OF_NEW, RANGES_OF_RECENT] {
            let first = range(0, ranges);
            let last = (1..ranges).fold(first, |before, turn| {
                let [from, until] = range(turn, ranges);
                assert!(before[1] == from && from < until);
                [from, until]
            });
            assert_eq!((first[0], last[1]), (i64::from(i32::MIN), i64::from(i32::MAX) + 1));
            assert_eq!(range(ranges, ranges), first);
        }
        assert_eq!((signed(0), signed(u32::MAX.into())), (i64::from(i32::MIN), i64::from(i32::MAX)));
    }
}
