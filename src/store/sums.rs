//! Checksums of rows: what no other table repeats could change on the disk without a sign.
//!
//! The column `sum` holds the CRC-32 of a row's other columns. Rows that are written for each item or each lease get it with
//! the statement that inserts them, by [`of`]: a trigger would write the row, which may be long, a second time. On all
//! others temporary triggers of the writer's connection keep it, so that no statement can forget it; they are not part of
//! the file. A row that was last written before schema 4 has NULL there, and is not
//! covered until it is written again. What is counted again or follows from other rows needs no sum.

use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::Result;

/// An argument of [`of`].
pub(super) fn integer<'a>(number: impl Into<Option<i64>>) -> ValueRef<'a> {
    number.into().map_or(ValueRef::Null, ValueRef::Integer)
}

/// The SQL function that makes a sum of its arguments.
const FUNCTION: &str = "row_sum";

/// A table with sums.
pub(super) struct Summed {
    pub table: &'static str,
    pub key: &'static [&'static str],
    /// Besides the key.
    pub columns: &'static [&'static str],
}

const fn summed(table: &'static str, key: &'static [&'static str], columns: &'static [&'static str]) -> Summed {
    Summed { table, key, columns }
}

/// Those that triggers keep.
pub(super) const BY_TRIGGER: [Summed; 14] = [
    summed("daemon", &["id"], &["epoch", "last_change", "pruned_change"]),
    summed("program", &["no"], &["id"]),
    summed("topic", &["no"], &["id"]),
    summed("phrase", &["no"], &["text"]),
    summed("shape", &["no"], &["kind", "media", "programs", "languages"]),
    summed("mark", &["item", "transcript", "block", "topic"], &["mark"]),
    summed("change", &["no"], &["job", "revision", "at", "entries"]),
    summed("dry_change", &["no"], &["item", "job", "at", "edits"]),
    summed("revision", &["no"], &["applied_at", "labeller", "catalogue"]),
    summed(
        "job",
        &["id"],
        &[
            "kind",
            "name",
            "description",
            "state",
            "paused_from",
            "lane",
            "priority",
            "max_per_second",
            "dry_run",
            "filter",
            "span",
            "split",
            "revision",
            "parent",
            "reverts",
            "applied_by",
            "request_key",
            "request_hash",
            "leader",
            "plan_at",
            "plan_item",
            "plan_end_at",
            "plan_end_item",
            "chunks",
            "planned",
            "weight",
            "weight_done",
            "total",
            "pending",
            "running",
            "done",
            "failed",
            "quarantined",
            "cancelled",
            "errors",
            "labels_added",
            "labels_removed",
            "labels_updated",
            "labels_kept",
            "created_by",
            "created_at",
            "published_at",
            "started_at",
            "finished_at",
            "empty_because",
            "error",
            "recent",
            "pruned_at",
            "deleted",
        ],
    ),
    summed("job_topic", &["job", "topic"], &["added", "removed", "updated"]),
    // What a lease changes is counted again.
    summed("chunk", &["job", "no"], &["pos", "n", "weight", "keys"]),
    summed("result", &["job", "pos"], &["n", "at", "entries"]),
    summed(
        "task",
        &["job", "pos"],
        &[
            "item",
            "asked",
            "state",
            "attempts",
            "deaths",
            "uncharged",
            "suspect",
            "not_before",
            "epoch",
            "lease",
            "reason",
            "error",
            "finished_at",
            "entry",
        ],
    ),
];

impl Summed {
    /// All columns that the sum is of.
    pub fn columns(&self, before: &str) -> String {
        let names = self.key.iter().chain(self.columns).map(|column| format!("{before}{column}"));
        names.collect::<Vec<_>>().join(", ")
    }
}

/// The sum of some columns' values, in the order in which [`BY_TRIGGER`] names them.
pub(super) fn of<'a>(values: impl IntoIterator<Item = ValueRef<'a>>) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    values.into_iter().for_each(|value| add(&mut hasher, value));
    hasher.finalize().into()
}

fn add(hasher: &mut crc32fast::Hasher, value: ValueRef<'_>) {
    // The type and the length are part of it: no two rows of values are the same bytes.
    let mut put = |kind: u8, number: u64| {
        let mut bytes = [kind; 9];
        bytes[1..].copy_from_slice(&number.to_le_bytes());
        hasher.update(&bytes);
    };
    match value {
        ValueRef::Null => put(0, 0),
        ValueRef::Integer(number) => put(1, number as u64),
        ValueRef::Real(number) => put(2, number.to_bits()),
        ValueRef::Text(bytes) => {
            put(3, bytes.len() as u64);
            hasher.update(bytes);
        }
        ValueRef::Blob(bytes) => {
            put(4, bytes.len() as u64);
            hasher.update(bytes);
        }
    }
}

/// Whether a row's sum, in one of its columns, is that of others; true where it has none yet.
pub(super) fn fits(row: &Row<'_>, sum: usize, columns: &[usize]) -> Result<bool> {
    let Some(sum) = row.get::<_, Option<i64>>(sum)? else { return Ok(true) };
    let mut hasher = crc32fast::Hasher::new();
    for &column in columns {
        add(&mut hasher, row.get_ref(column)?);
    }
    Ok(i64::from(hasher.finalize()) == sum)
}

/// Gives a connection the function `row_sum`.
pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection
        .create_scalar_function(FUNCTION, -1, flags, |context| Ok(of((0..context.len()).map(|at| context.get_raw(at)))))
}

/// From here on, what this connection writes has sums.
pub(super) fn keep(connection: &Connection) -> rusqlite::Result<()> {
    register(connection)?;
    for summed in &BY_TRIGGER {
        let Summed { table, key, columns } = summed;
        let row = key.iter().map(|column| format!("{column} = NEW.{column}")).collect::<Vec<_>>().join(" AND ");
        let put = format!("UPDATE {table} SET sum = {FUNCTION}({}) WHERE {row}", summed.columns("NEW."));
        let written = key.iter().chain(*columns).copied().collect::<Vec<_>>().join(", ");
        connection.execute_batch(&format!(
            "CREATE TEMP TRIGGER {table}_inserted AFTER INSERT ON main.{table} WHEN NEW.sum IS NULL BEGIN {put}; END;
             CREATE TEMP TRIGGER {table}_updated AFTER UPDATE OF {written} ON main.{table} BEGIN {put}; END;"
        ))?;
    }
    Ok(())
}
