//! What a job leaves on the disk beside the text: whole pages of tables and their indexes, as SQLite's `dbstat` counts
//! them after a first job over everything, spread over what they hold.

use rusqlite::Connection;

use crate::child::{self, Role};
use crate::report::{Goal, Line, grouped};
use crate::scratch;
use crate::stock::Stock;

const ITEMS: usize = 100_000;
/// The queue, and everything that is kept of a job.
const TASKS: &str = "'job', 'chunk', 'result', 'task', 'tally', 'job_topic'";
/// Freshness lies in the same row as the labels, and is counted with them.
const LABELS: &str = "'reading', 'topic_day', 'coverage'";
const CHANGES: &str = "'change'";

pub fn run(stock: &Stock) -> anyhow::Result<Vec<Line>> {
    let items = ITEMS.min(stock.sizes.items);
    let copy = scratch::copy_of(&stock.imported(items)?.path())?;
    let empty = pages(&copy.path().join(scratch::DATABASE))?;
    let job = child::run(Role::First, copy.path(), None)?;
    let path = copy.path().join(scratch::DATABASE);
    let full = pages(&path)?;
    let rows: f64 = Connection::open(&path)?.query_row("SELECT count(*) FROM change", [], |row| row.get(0))?;
    let line = |at: usize, what: &str, goal: f64, n: f64, beside: String| {
        let bytes = full[at] - empty[at];
        Line {
            what: format!("bytes: {what}"),
            goal: Goal::AtMost(goal),
            reached: bytes / n,
            figures: format!("{:.1} MB of {}{beside}", bytes / 1e6, grouped(n)),
        }
    };
    // A first job adds labels and does nothing else: each is one change.
    let labels = job.labels as f64;
    let a_row = format!("; {:.0} a row of history", (full[2] - empty[2]) / rows);
    Ok(vec![
        line(0, "a done task", 100.0, job.items as f64, String::new()),
        line(1, "a label", 40.0, labels, String::new()),
        line(2, "a change", 40.0, labels, a_row),
    ])
}

/// Bytes of tasks, labels and changes.
fn pages(path: &std::path::Path) -> anyhow::Result<[f64; 3]> {
    let connection = Connection::open(path)?;
    let of = |tables: &str| -> anyhow::Result<f64> {
        let sql = format!(
            "SELECT coalesce(sum(pgsize), 0.0) FROM dbstat
             WHERE aggregate = TRUE AND name IN (SELECT name FROM sqlite_schema WHERE tbl_name IN ({tables}))"
        );
        Ok(connection.query_row(&sql, [], |row| row.get(0))?)
    };
    Ok([of(TASKS)?, of(LABELS)?, of(CHANGES)?])
}
