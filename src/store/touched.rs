//! Which items the writer has touched, and when: so that what a worker read of an item can be taken as read inside the
//! transaction that commits what it found, where nothing has come between.
//!
//! Optimistic concurrency control (Kung and Robinson 1981), with versions by hashed slot. SQLite itself reports each row
//! of `item` and `reading` that is written (but for a DELETE without WHERE and what REPLACE takes away, which these tables
//! do not meet: <https://sqlite.org/c3ref/update_hook.html>); a change of an item's text or marks always writes its row of
//! `item` too. A commit also touches the items of readings that it has not inserted yet. What is rolled back counts as touched: that costs a look, no more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;

/// Items whose numbers differ by a multiple of this share a slot: then one is looked at once more than needed. Far above
/// what can be in flight at a time, of which most is neighbours.
const SLOTS: usize = 1 << 17;

/// How many commits had been made, at least, when something was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen(u64);

#[derive(Debug)]
pub(super) struct Touched {
    /// Commits since the start. Only the writer counts and touches.
    commits: AtomicU64,
    /// Per slot the commit that touched an item of it last.
    slots: Box<[AtomicU64]>,
}

impl Touched {
    /// Watches all that is written through `connection` from here on.
    pub fn watch(connection: &mut Connection) -> rusqlite::Result<Arc<Touched>> {
        let slots = std::iter::repeat_with(AtomicU64::default).take(SLOTS).collect();
        let touched = Arc::new(Touched { commits: AtomicU64::new(0), slots });
        let watching = Arc::clone(&touched);
        connection.update_hook(Some(move |_, _: &str, table: &str, row| {
            if matches!(table, "item" | "reading") {
                watching.touch(row);
            }
        }))?;
        Ok(touched)
    }

    /// Of whoever begins to read after this.
    pub fn seen(&self) -> Seen {
        Seen(self.commits.load(Ordering::Acquire))
    }

    /// The writer has committed.
    pub fn committed(&self) {
        self.commits.fetch_add(1, Ordering::Release);
    }

    /// Whether an item may be another than it was for a reader who had seen that much. To the writer this says what its
    /// own transaction has done, too.
    pub fn since(&self, item: i64, seen: Seen) -> bool {
        self.slot(item).load(Ordering::Relaxed) > seen.0
    }

    /// Marks the item as changed by the writer's current transaction.
    pub fn touch(&self, item: i64) {
        self.slot(item).store(self.commits.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    fn slot(&self, item: i64) -> &AtomicU64 {
        &self.slots[item as usize % SLOTS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched() -> (Connection, Arc<Touched>) {
        let mut connection = Connection::open_in_memory().unwrap();
        let schema =
            "CREATE TABLE item (no INTEGER PRIMARY KEY, x); CREATE TABLE reading (item INTEGER PRIMARY KEY, x);
            CREATE TABLE body (item INTEGER PRIMARY KEY, x)";
        connection.execute_batch(schema).unwrap();
        let touched = Touched::watch(&mut connection).unwrap();
        (connection, touched)
    }

    #[test]
    fn a_row_counts_as_touched_until_its_commit_was_seen() {
        let (connection, touched) = watched();
        let before = touched.seen();
        for (sql, item) in [
            ("INSERT INTO item VALUES (1, 0)", 1),
            ("INSERT INTO reading VALUES (2, 0)", 2),
            ("UPDATE item SET x = 1 WHERE no = 1", 1),
            ("UPDATE reading SET x = 1", 2),
            ("DELETE FROM reading WHERE item = 2", 2),
        ] {
            let seen = touched.seen();
            assert!(!touched.since(item, seen), "before {sql}");
            connection.execute(sql, []).unwrap();
            assert!(touched.since(item, seen), "after {sql}");
            assert!(touched.since(item, touched.seen()), "{sql} is not committed yet");
            touched.committed();
            assert!(!touched.since(item, touched.seen()), "{sql} can be seen");
            assert!(touched.since(item, before), "{sql} was not seen");
        }
        connection.execute("INSERT INTO body VALUES (3, 0)", []).unwrap();
        assert!(!touched.since(3, before), "a body of its own is no item");
    }

    #[test]
    fn what_was_rolled_back_counts_as_touched_and_neighbours_do_not() {
        let (connection, touched) = watched();
        let seen = touched.seen();
        connection.execute_batch("BEGIN; INSERT INTO item VALUES (7, 0); ROLLBACK").unwrap();
        assert!(touched.since(7, seen) && touched.since(7 + SLOTS as i64, seen));
        assert!(!touched.since(6, seen) && !touched.since(8, seen));
    }
}
