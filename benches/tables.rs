//! What chose the tables: the writer's work for one item, in four ways to store it, beside label rows alone.
//!
//! | way | labels | freshness | task | history |
//! |---|---|---|---|---|
//! | bare | a row each | – | – | – |
//! | A | a row each | a row a program | a row | a row an item |
//! | B | a row each | a row a program | packed, a row a lease | a row an item |
//! | C | packed, a row an item | in the same row | packed, a row a lease | a row an item |
//! | D, as in schema.sql | packed, a row an item | in the same row | packed, a row a lease | packed, a row a lease |
//!
//! Every item is new to its way: read once before, nothing there, two or three labels found.

use std::time::Instant;

use rusqlite::{Connection, params};

use crate::report::{Goal, Line, grouped, median};
use crate::scratch;
use crate::stock::Stock;

/// Items in a transaction.
const TOGETHER: i64 = 500;
/// Items in a lease.
const LEASE: i64 = 250;
const NOW: i64 = 1_795_132_800_000;

const SCHEMA: &str = "
CREATE TABLE item (
  no INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, edition INTEGER NOT NULL, at INTEGER NOT NULL,
  UNIQUE (kind, id)
) STRICT;

CREATE TABLE label (
  item INTEGER NOT NULL, transcript INTEGER NOT NULL, block INTEGER NOT NULL, topic INTEGER NOT NULL,
  phrase INTEGER, score INTEGER, start INTEGER, ends INTEGER, job INTEGER, revision INTEGER, at INTEGER NOT NULL,
  PRIMARY KEY (item, transcript, block, topic)
) STRICT, WITHOUT ROWID;
CREATE TABLE fresh (
  item INTEGER NOT NULL, program INTEGER NOT NULL, revision INTEGER NOT NULL, PRIMARY KEY (item, program)
) STRICT, WITHOUT ROWID;
CREATE TABLE reading (
  item INTEGER PRIMARY KEY, fresh BLOB NOT NULL, labels BLOB NOT NULL, changes BLOB NOT NULL
) STRICT;

CREATE TABLE task (
  job INTEGER NOT NULL, pos INTEGER NOT NULL, item INTEGER NOT NULL, state TEXT NOT NULL, outcome TEXT,
  attempts INTEGER NOT NULL, edition INTEGER, at INTEGER, change INTEGER, fresh_before BLOB,
  PRIMARY KEY (job, pos)
) STRICT, WITHOUT ROWID;
CREATE TABLE result (
  job INTEGER NOT NULL, pos INTEGER NOT NULL, n INTEGER NOT NULL, at INTEGER NOT NULL, entries BLOB NOT NULL,
  PRIMARY KEY (job, pos)
) STRICT, WITHOUT ROWID;

CREATE TABLE change (
  no INTEGER PRIMARY KEY, item INTEGER NOT NULL, job INTEGER, revision INTEGER, at INTEGER NOT NULL, edits BLOB NOT NULL
) STRICT;
CREATE INDEX change_by_item ON change (item);
CREATE TABLE history (
  no INTEGER PRIMARY KEY, job INTEGER, revision INTEGER, at INTEGER NOT NULL, entries BLOB NOT NULL
) STRICT;
";

/// What the writer does for item number `n`.
type Way = fn(&Connection, i64) -> rusqlite::Result<()>;

const WAYS: [(&str, Way); 5] = [
    ("bare: label rows", bare),
    ("A: rows", rows),
    ("B: results packed", results_packed),
    ("C: labels packed too", labels_packed),
    ("D: history packed too", history_packed),
];

pub fn run(stock: &Stock) -> anyhow::Result<Vec<Line>> {
    let sizes = stock.sizes;
    let mut micros = [const { Vec::new() }; WAYS.len()];
    let mut bytes = [0; WAYS.len()];
    for _ in 0..sizes.rounds {
        for (at, (_, way)) in WAYS.into_iter().enumerate() {
            let (took, grew) = measure(way, sizes.items as i64)?;
            micros[at].push(took);
            bytes[at] = grew;
        }
    }
    let micros = micros.map(median);
    for ((name, _), (micros, bytes)) in WAYS.iter().zip(micros.iter().zip(bytes)) {
        eprintln!("  {name:22} {micros:5.2} µs and {bytes} bytes an item");
    }
    let [bare, a, b, c, d] = micros;
    Ok(vec![Line {
        what: "tables: the writer as stored, of the best of rows".into(),
        goal: Goal::AtMost(0.75),
        reached: d / a.min(b),
        figures: format!(
            "{d:.1} µs an item of {:.1}; history a row an item {c:.1}, label rows alone {bare:.1}; {} items",
            a.min(b),
            grouped(sizes.items as f64)
        ),
    }])
}

/// Microseconds and bytes an item.
fn measure(way: Way, items: i64) -> anyhow::Result<(f64, u64)> {
    let dir = scratch::directory()?;
    let path = dir.path().join("tables.db");
    let connection = scratch::writing(&path)?;
    connection.execute_batch(SCHEMA)?;
    connection.execute(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?)
         INSERT INTO item SELECT n, 'conversation', format('conversation-%032x', n), 1, ? + n FROM n",
        [items, NOW],
    )?;
    let size = || -> anyhow::Result<u64> {
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(std::fs::metadata(&path)?.len())
    };
    let before = size()?;
    let started = Instant::now();
    for first in (1..=items).step_by(TOGETHER as usize) {
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        (first..(first + TOGETHER).min(items + 1)).try_for_each(|n| way(&connection, n))?;
        connection.prepare_cached("COMMIT")?.execute([])?;
    }
    let micros = started.elapsed().as_secs_f64() * 1e6;
    Ok((micros / items as f64, (size()? - before) / items as u64))
}

fn bare(connection: &Connection, n: i64) -> rusqlite::Result<()> {
    put_label_rows(connection, n)
}

fn rows(connection: &Connection, n: i64) -> rusqlite::Result<()> {
    look_at_rows(connection, n)?;
    put_label_rows(connection, n)?;
    put_fresh_row(connection, n)?;
    connection
        .prepare_cached("INSERT INTO task VALUES (1, ?, ?, 'done', 'changed', 1, 1, ?, ?, x'0100')")?
        .execute(params![n, n, NOW, n])?;
    put_change(connection, n)
}

fn results_packed(connection: &Connection, n: i64) -> rusqlite::Result<()> {
    look_at_rows(connection, n)?;
    put_label_rows(connection, n)?;
    put_fresh_row(connection, n)?;
    put_change(connection, n)?;
    put_result(connection, n)
}

fn labels_packed(connection: &Connection, n: i64) -> rusqlite::Result<()> {
    put_reading(connection, n)?;
    put_change(connection, n)?;
    put_result(connection, n)
}

fn history_packed(connection: &Connection, n: i64) -> rusqlite::Result<()> {
    put_reading(connection, n)?;
    // With the last item of a lease comes what was changed on all of them.
    if n % LEASE == 0 {
        let entries = vec![7u8; (n - LEASE + 1..=n).map(|n| 4 + 9 * labels_of(n) as usize).sum()];
        connection.prepare_cached("INSERT INTO history VALUES (?, 1, 1, ?, ?)")?.execute(params![n, NOW, entries])?;
    }
    put_result(connection, n)
}

fn put_reading(connection: &Connection, n: i64) -> rusqlite::Result<()> {
    look(connection, "SELECT edition FROM item WHERE no = ?", n)?;
    look(connection, "SELECT fresh, labels, changes FROM reading WHERE item = ?", n)?;
    // A label takes 9 bytes, and the provenance that they share takes 8.
    let labels = vec![7u8; 8 + 9 * labels_of(n) as usize];
    connection.prepare_cached("INSERT INTO reading VALUES (?, x'0102', ?, x'010203')")?.execute(params![n, labels])?;
    Ok(())
}

/// Two of five items have two labels, the others three.
fn labels_of(n: i64) -> i64 {
    if n % 5 < 2 { 2 } else { 3 }
}

fn look(connection: &Connection, sql: &str, n: i64) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([n])?;
    while rows.next()?.is_some() {}
    Ok(())
}

fn look_at_rows(connection: &Connection, n: i64) -> rusqlite::Result<()> {
    look(connection, "SELECT edition FROM item WHERE no = ?", n)?;
    look(connection, "SELECT * FROM label WHERE item = ?", n)?;
    look(connection, "SELECT * FROM fresh WHERE item = ?", n)
}

fn put_label_rows(connection: &Connection, n: i64) -> rusqlite::Result<()> {
    let mut put = connection.prepare_cached("INSERT INTO label VALUES (?, 0, ?, ?, ?, 100, 20, 40, 1, 1, ?)")?;
    (0..labels_of(n)).try_for_each(|at| put.execute(params![n, at * 3, at + n % 30, n % 300, NOW]).map(|_| ()))
}

fn put_fresh_row(connection: &Connection, n: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO fresh VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET revision = excluded.revision")?
        .execute([n, n % 20])?;
    Ok(())
}

fn put_change(connection: &Connection, n: i64) -> rusqlite::Result<()> {
    let edits = vec![7u8; 10 * labels_of(n) as usize];
    connection.prepare_cached("INSERT INTO change VALUES (?, ?, 1, 1, ?, ?)")?.execute(params![n, n, NOW, edits])?;
    Ok(())
}

/// With the last item of a lease comes what was made of all of them.
fn put_result(connection: &Connection, n: i64) -> rusqlite::Result<()> {
    if n % LEASE == 0 {
        let entries = vec![7u8; 9 * LEASE as usize];
        connection.prepare_cached("INSERT INTO result VALUES (1, ?, ?, ?, ?)")?.execute(params![
            n - LEASE,
            LEASE,
            NOW,
            entries
        ])?;
    }
    Ok(())
}
