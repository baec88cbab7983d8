//! Of `check`: every row that has a sum is the row that the sum was made of.

use rusqlite::Connection;

use super::Faults;
use crate::store::Result;
use crate::store::sums::{BY_TRIGGER, Summed, register};

pub(super) fn sums(connection: &Connection, faults: &mut Faults) -> Result<()> {
    register(connection)?;
    for summed in &BY_TRIGGER {
        let Summed { table, key, .. } = summed;
        let sql = format!("SELECT {} FROM {table} WHERE sum <> row_sum({})", key.join(", "), summed.columns(""));
        each(connection, &sql, table, key, faults)?;
    }
    let reading = "SELECT item FROM reading WHERE sum <> row_sum(item, fresh, labels, changes)";
    each(connection, reading, "reading", &["item"], faults)?;
    let text = "SELECT body.item FROM body JOIN item ON item.no = body.item
        WHERE sum <> row_sum(body.item, content, transcripts, version)";
    each(connection, text, "body", &["item"], faults)
}

/// A fault for each row that a query finds, by its key. Which of the columns is another is not known.
fn each(connection: &Connection, sql: &str, table: &str, key: &[&str], faults: &mut Faults) -> Result<()> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let mut names = Vec::with_capacity(key.len());
        for (at, column) in key.iter().enumerate() {
            names.push(format!("{column} {}", row.get::<_, i64>(at)?));
        }
        let of = if table == "body" { "body.content, item.transcripts or item.version" } else { "one of its columns" };
        faults.push(format!("{table} of {}: {of} does not match the checksum {table}.sum", names.join(", ")));
    }
    Ok(())
}
