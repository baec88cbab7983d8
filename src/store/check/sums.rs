//! Of `check`: every row that has a sum is the row that the sum was made of.

use rusqlite::Connection;

use super::Faults;
use crate::store::Result;
use crate::store::sums::{BY_TRIGGER, Summed, register};

pub(super) fn sums(connection: &Connection, faults: &mut Faults) -> Result<()> {
    register(connection)?;
    for summed in &BY_TRIGGER {
        let sql = format!(
            "SELECT {} FROM {} WHERE sum <> row_sum({})",
            summed.key.join(", "),
            summed.table,
            summed.columns("")
        );
        each(connection, &sql, summed, faults)?;
    }
    let reading = Summed { table: "reading", key: &["item"], columns: &["fresh", "labels", "changes"] };
    let sql = "SELECT item FROM reading WHERE sum <> row_sum(item, fresh, labels, changes)";
    each(connection, sql, &reading, faults)?;
    let text = Summed { table: "body", key: &["item"], columns: &["content", "item.transcripts", "item.version"] };
    let sql = "SELECT body.item FROM body JOIN item ON item.no = body.item
        WHERE sum <> row_sum(body.item, content, transcripts, version)";
    each(connection, sql, &text, faults)
}

/// A fault for each row that a query finds.
fn each(connection: &Connection, sql: &str, summed: &Summed, faults: &mut Faults) -> Result<()> {
    let Summed { table, key, columns } = summed;
    let columns = columns.join(", ");
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let mut names = Vec::with_capacity(key.len());
        for (at, column) in key.iter().enumerate() {
            names.push(format!("{column} {}", row.get::<_, i64>(at)?));
        }
        faults
            .push(format!("{table} of {}: {table}.sum is not that of its other columns ({columns})", names.join(", ")));
    }
    Ok(())
}
