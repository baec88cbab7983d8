//! Checksums of rows: what no other table repeats could change on the disk without a sign.
//!
//! The column `sum` holds the CRC-32 of a row's other columns. Rows that are written for each item or each lease get it with
//! the statement that inserts them, by [`of`]: a trigger would write the row, which may be long, a second time. On all
//! others temporary triggers of the writer's connection keep it, so that no statement can forget it; they are not part of
//! the file. A row that was last written before schema 4 has NULL there, and is not
//! covered until it is written again. What is counted again or follows from other rows needs no sum.

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;

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
    let mut summing = Summing { hasher: crc32fast::Hasher::new(), short: [0; SHORT], length: 0 };
    for value in values {
        // The type and the length are part of it: no two rows of values are the same bytes.
        match value {
            ValueRef::Null => summing.head(0, 0),
            ValueRef::Integer(number) => summing.head(1, number as u64),
            ValueRef::Real(number) => summing.head(2, number.to_bits()),
            ValueRef::Text(bytes) => summing.bytes(3, bytes),
            ValueRef::Blob(bytes) => summing.bytes(4, bytes),
        }
    }
    summing.finish()
}

/// Buffers short values, because a call of the hasher costs more than hashing them.
struct Summing {
    hasher: crc32fast::Hasher,
    short: [u8; SHORT],
    /// Bytes in `short`.
    length: usize,
}

/// Bytes of the buffer. Most rows that get their sum from [`of`] fit, and a larger one costs more to set up.
const SHORT: usize = 192;
/// Bytes of a value's type and its number or length.
const HEAD: usize = 9;

impl Summing {
    fn head(&mut self, kind: u8, number: u64) {
        let mut head = [kind; HEAD];
        head[1..].copy_from_slice(&number.to_le_bytes());
        if self.length > SHORT - HEAD {
            self.hash_short();
        }
        if let Some(free) = self.short.get_mut(self.length..).and_then(<[u8]>::first_chunk_mut) {
            *free = head;
            self.length += HEAD;
        }
    }

    fn bytes(&mut self, kind: u8, bytes: &[u8]) {
        self.head(kind, bytes.len() as u64);
        if bytes.len() > SHORT - self.length {
            self.hash_short();
        }
        match self.short.get_mut(self.length..self.length + bytes.len()) {
            Some(free) => {
                free.copy_from_slice(bytes);
                self.length += bytes.len();
            }
            None => self.hasher.update(bytes),
        }
    }

    fn hash_short(&mut self) {
        self.hasher.update(&self.short[..self.length]);
        self.length = 0;
    }

    fn finish(mut self) -> i64 {
        self.hash_short();
        self.hasher.finalize().into()
    }
}

/// Whether the stored sum matches the values; true if the row has no sum yet.
pub(super) fn fits<'a>(sum: Option<i64>, values: impl IntoIterator<Item = ValueRef<'a>>) -> bool {
    sum.is_none_or(|sum| of(values) == sum)
}

/// Gives a connection the function `row_sum`.
pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection
        .create_scalar_function(FUNCTION, -1, flags, |context| Ok(of((0..context.len()).map(|at| context.get_raw(at)))))
}

/// From here on, what this connection writes has sums. A statement that sets `sum` itself saves the second write
/// of the trigger.
pub(super) fn keep(connection: &Connection) -> rusqlite::Result<()> {
    register(connection)?;
    for summed in &BY_TRIGGER {
        let Summed { table, key, columns } = summed;
        let row = key.iter().map(|column| format!("{column} = NEW.{column}")).collect::<Vec<_>>().join(" AND ");
        let put = format!("UPDATE {table} SET sum = {FUNCTION}({}) WHERE {row}", summed.columns("NEW."));
        let written = key.iter().chain(*columns).copied().collect::<Vec<_>>().join(", ");
        connection.execute_batch(&format!(
            "CREATE TEMP TRIGGER {table}_inserted AFTER INSERT ON main.{table} WHEN NEW.sum IS NULL BEGIN {put}; END;
             CREATE TEMP TRIGGER {table}_updated AFTER UPDATE OF {written} ON main.{table} WHEN NEW.sum IS OLD.sum
             BEGIN {put}; END;"
        ))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::types::ValueRef::{Blob, Integer, Null, Text};

    use super::*;

    #[test]
    fn a_sum_is_the_crc_of_all_values_however_long_they_are() {
        let long = [7u8; 1000];
        for values in [
            vec![],
            vec![Null, Integer(-1), ValueRef::Real(0.5), Text(b"ab"), Blob(b"")],
            vec![
                Blob(&long),
                Integer(1),
                Blob(&long[..SHORT - HEAD]),
                Blob(&long[..SHORT - HEAD + 1]),
                Blob(&long[..SHORT]),
                Blob(&long[..SHORT + 1]),
                Text(b"end"),
            ],
            vec![Blob(&long[..SHORT - HEAD])],
            vec![Integer(5); 60],
        ] {
            let mut bytes = Vec::new();
            for value in &values {
                let (kind, number, rest): (u8, u64, &[u8]) = match *value {
                    Null => (0, 0, b""),
                    Integer(number) => (1, number as u64, b""),
                    Text(text) => (3, text.len() as u64, text),
                    Blob(blob) => (4, blob.len() as u64, blob),
                    ValueRef::Real(number) => (2, number.to_bits(), b""),
                };
                bytes.push(kind);
                bytes.extend_from_slice(&number.to_le_bytes());
                bytes.extend_from_slice(rest);
            }
            assert_eq!(of(values.iter().copied()), i64::from(crc32fast::hash(&bytes)), "{values:?}");
        }
    }

    #[test]
    fn a_row_has_its_sum_whether_the_trigger_or_the_statement_sets_it() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("../../schema.sql")).unwrap();
        connection.pragma_update(None, "foreign_keys", false).unwrap();
        keep(&connection).unwrap();
        let sum = || -> (i64, i64) {
            let sql = "SELECT sum, row_sum(job, topic, added, removed, updated) FROM job_topic";
            connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
        };
        for sql in [
            "INSERT INTO job_topic (job, topic, added, removed, updated) VALUES (1, 2, 3, 4, 5)",
            "UPDATE job_topic SET added = 6",
            "UPDATE job_topic SET added = 7, sum = row_sum(job, topic, 7, removed, updated)",
            "UPDATE job_topic SET removed = 8",
        ] {
            connection.execute_batch(sql).unwrap();
            let (kept, wanted) = sum();
            assert_eq!(kept, wanted, "after {sql}");
        }
    }
}
