//! Of `check`: every item is found by its key, and no key stands twice.

use rusqlite::Connection;

use super::Faults;
use crate::store::Result;
use crate::store::keys::find_item;
use crate::store::names::kind_from;

pub(super) fn keys(connection: &Connection, faults: &mut Faults) -> Result<()> {
    let mut statement = connection.prepare("SELECT no, kind, id FROM item")?;
    let mut rows = statement.query([])?;
    let mut items = 0;
    while let Some(row) = rows.next()? {
        items += 1;
        let (no, kind, id): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let Ok(kind) = kind_from(&kind) else { continue };
        if find_item(connection, kind, &id)?.is_none_or(|found| found.no != no) {
            faults.push(format!("item {no}: item.kind and item.id are not found in key, recent_key or new_key"));
        }
    }
    let keys = "SELECT (SELECT count(*) FROM key) + (SELECT count(*) FROM recent_key) + (SELECT count(*) FROM new_key)";
    let keys: i64 = connection.query_row(keys, [], |row| row.get(0))?;
    if keys != items {
        faults.push(format!("key, recent_key and new_key: there are {keys} keys of {items} items"));
    }
    Ok(())
}
