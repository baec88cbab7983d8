//! What stands of a lease's items before its findings are applied, read in the transaction that applies them.

use std::rc::Rc;

use rusqlite::types::Value;
use rusqlite::{CachedStatement, Row};

use super::{Done, Finding};
use crate::model::Millis;
use crate::store::rows::{Reading, reading_from};
use crate::store::writer::Tx;
use crate::store::{Error, Result};

/// One item.
pub(super) struct Known {
    pub edition: i64,
    pub text_since: i64,
    /// None: it is gone.
    pub at: Option<Millis>,
    pub shape: Option<i64>,
    pub version: Option<i64>,
    pub marked: bool,
    /// None: nothing was made of it yet. An error where that does not decode, which is this item's alone.
    pub reading: std::result::Result<Option<Reading>, String>,
}

/// Reads the items of many findings in one go: a statement an item would cost as much as the items themselves.
pub(super) struct LookUp<'a>(CachedStatement<'a>);

impl<'a> LookUp<'a> {
    pub fn new(tx: &'a Tx<'_>) -> Result<LookUp<'a>> {
        // In the order of the array.
        Ok(LookUp(tx.prepare_cached(
            "SELECT item.no, edition, text_since, at, shape, version, marked, fresh, labels, changes
             FROM rarray(?) CROSS JOIN item ON item.no = value LEFT JOIN reading ON reading.item = item.no",
        )?))
    }

    /// What is known of each finding's item, in their order; None where nothing has to be known, or there is no such item.
    pub fn items(&mut self, done: &[Done]) -> Result<Vec<Option<Known>>> {
        let matters = |done: &Done| matches!(done.finding, Finding::Read { .. } | Finding::TakeBack(_));
        let numbers: Vec<Value> = done.iter().filter(|done| matters(done)).map(|done| done.key.item.into()).collect();
        if numbers.is_empty() {
            return Ok(done.iter().map(|_| None).collect());
        }
        let mut rows = self.0.query([Rc::new(numbers)])?;
        let mut row = rows.next()?;
        let mut known = Vec::with_capacity(done.len());
        for done in done {
            let here = match row {
                Some(found) if matters(done) => found.get::<_, i64>(0)? == done.key.item,
                _ => false,
            };
            if !here {
                known.push(None);
                continue;
            }
            known.push(row.map(known_from).transpose()?);
            row = rows.next()?;
        }
        Ok(known)
    }
}

fn known_from(row: &Row<'_>) -> Result<Known> {
    let reading = match row.get_ref(7)? {
        rusqlite::types::ValueRef::Null => Ok(None),
        _ => match reading_from(row, 7) {
            Err(Error::Damaged(what)) => Err(what),
            read => Ok(Some(read?)),
        },
    };
    Ok(Known {
        edition: row.get(1)?,
        text_since: row.get(2)?,
        at: row.get(3)?,
        shape: row.get(4)?,
        version: row.get(5)?,
        marked: row.get(6)?,
        reading,
    })
}
