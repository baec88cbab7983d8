//! Of `check`: the tables are those of `schema.sql`, and the names that rows give numbers for are well-formed.

use rusqlite::Connection;
use rusqlite::types::Value;

use super::Faults;
use crate::store::schema::SCHEMA;
use crate::store::{Names, Result};

/// Tables, columns, indexes and foreign keys, a line each. How they are worded is left out: an upgrade words them
/// otherwise than `schema.sql`.
const SHAPE: [&str; 4] = [
    "SELECT s.name, c.name, c.type, c.\"notnull\", c.dflt_value, c.pk, c.hidden
     FROM sqlite_schema s, pragma_table_xinfo(s.name) c WHERE s.type = 'table' ORDER BY s.name, c.cid",
    "SELECT s.name, i.name, i.\"unique\", i.origin, i.partial, c.name, c.\"desc\"
     FROM sqlite_schema s, pragma_index_list(s.name) i, pragma_index_xinfo(i.name) c
     WHERE s.type = 'table' ORDER BY s.name, i.name, c.seqno",
    "SELECT s.name, f.\"from\", f.\"table\", f.\"to\" FROM sqlite_schema s, pragma_foreign_key_list(s.name) f
     WHERE s.type = 'table' ORDER BY s.name, f.\"from\", f.\"table\"",
    "SELECT name, strict, wr FROM pragma_table_list WHERE schema = 'main' ORDER BY name",
];

pub(super) fn tables(connection: &Connection, faults: &mut Faults) -> Result<()> {
    let wanted = Connection::open_in_memory()?;
    wanted.execute_batch(SCHEMA)?;
    for sql in SHAPE {
        let (wanted, found) = (lines(&wanted, sql)?, lines(connection, sql)?);
        let differs = |lines: &[String], others: &[String]| lines.iter().find(|line| !others.contains(line)).cloned();
        if let Some(missing) = differs(&wanted, &found) {
            faults.push(format!("sqlite_schema: {missing} is not there; the tables are not those of this relabeld"));
        } else if let Some(other) = differs(&found, &wanted) {
            faults.push(format!("sqlite_schema: {other} is unknown; the tables are not those of this relabeld"));
        }
    }
    Ok(())
}

fn lines(connection: &Connection, sql: &str) -> Result<Vec<String>> {
    let mut statement = connection.prepare(sql)?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    let mut lines = Vec::new();
    while let Some(row) = rows.next()? {
        let words = (0..columns).map(|column| match row.get(column) {
            Ok(Value::Text(text)) => text,
            Ok(Value::Integer(number)) => number.to_string(),
            _ => "-".to_owned(),
        });
        lines.push(words.collect::<Vec<_>>().join(" "));
    }
    Ok(lines)
}

/// A name stands once among its kind, by the UNIQUE of its table.
pub(super) fn names(names: &Names, faults: &mut Faults) {
    for (no, shape) in names.shapes() {
        let mut bad = |column: &str, why: &str| faults.push(format!("shape {no}: shape.{column} {why}"));
        if shape.programs.is_empty() || !shape.programs.is_sorted_by(|one, other| one < other) {
            bad("programs", "is empty, or not in order");
        }
        if !shape.languages.is_sorted_by(|one, other| one < other) {
            bad("languages", "is not in order");
        }
        if let Some(id) = shape.programs.iter().find(|id| names.program(id).is_none()) {
            bad("programs", &format!("names program {id:?}, which the table program does not have"));
        }
        if shape.media.is_some() != (shape.kind == crate::model::Kind::Conversation) {
            bad("media", "is set for a note, or missing for a conversation");
        }
    }
}
