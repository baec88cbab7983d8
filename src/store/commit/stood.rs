//! What stands of an item before a finding is applied to it.

use std::sync::Arc;

use rusqlite::Row;

use crate::label::{ProgramNo, Revision};
use crate::model::Millis;
use crate::store::rows::{Reading, reading_from};
use crate::store::touched::Seen;
use crate::store::writer::Tx;
use crate::store::{Error, Result};

/// As a worker read it, along with the item. At the commit it still stands, unless somebody has touched the item since.
#[derive(Debug, Clone, PartialEq)]
pub struct Stood {
    pub(in crate::store) seen: Seen,
    pub edition: i64,
    pub(in crate::store) version: Option<i64>,
    pub(in crate::store) at: Millis,
    pub(in crate::store) marked: bool,
    /// None: nothing was made of it yet. An error where that does not decode, which is this item's alone.
    pub(in crate::store) reading: std::result::Result<Option<Arc<Reading>>, String>,
}

impl Stood {
    /// Who read the item last, per program.
    pub fn fresh(&self) -> &[(ProgramNo, Revision)] {
        match &self.reading {
            Ok(Some(reading)) => &reading.fresh,
            Ok(None) | Err(_) => &[],
        }
    }

    /// How many labels there are.
    pub fn labels(&self) -> usize {
        match &self.reading {
            Ok(Some(reading)) => reading.labels.len(),
            Ok(None) | Err(_) => 0,
        }
    }

    /// From the columns version, at, edition, marked, fresh, labels, changes.
    pub(in crate::store) fn from(row: &Row<'_>, first: usize, seen: Seen) -> Result<Stood> {
        let reading = match row.get_ref(first + 4)? {
            rusqlite::types::ValueRef::Null => Ok(None),
            _ => match reading_from(row, first + 4) {
                Err(Error::Damaged(what)) => Err(what),
                read => Ok(Some(Arc::new(read?))),
            },
        };
        let (version, at, edition) = (row.get(first)?, row.get(first + 1)?, row.get(first + 2)?);
        Ok(Stood { seen, edition, version, at, marked: row.get(first + 3)?, reading })
    }
}

/// All that a commit may have to know of an item, read in its own transaction.
pub(super) struct Known {
    pub text_since: i64,
    pub shape: i64,
    pub stood: Stood,
}

impl Known {
    /// None where the item is gone.
    pub fn of(tx: &Tx<'_>, item: i64) -> Result<Option<Known>> {
        let mut statement = tx.prepare_cached(
            "SELECT text_since, shape, version, at, edition, marked, fresh, labels, changes
             FROM item LEFT JOIN reading ON item = no WHERE no = ? AND at IS NOT NULL",
        )?;
        let known = |row: &Row<'_>| {
            Ok(Known { text_since: row.get(0)?, shape: row.get(1)?, stood: Stood::from(row, 2, tx.seen())? })
        };
        statement.query_and_then([item], known)?.next().transpose()
    }
}
