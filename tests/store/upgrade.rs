//! Files of older schemas: they open, tell what they told, and go on.
//!
//! `schema_1` was left by a SIGKILL: the database as it was made, and all else in its write-ahead log. `labels.csv` and
//! `feed.csv` are what the daemon of that time exported before.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::GzDecoder;
use relabeld::export::{self, Export, Format};
use relabeld::job::{Filter, JobState};
use relabeld::model::Kind::Conversation;
use relabeld::store::{Durability, LabelQuery, Store};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::Desk;
use crate::common::{NOW, note, wish};

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store/schema_1")
}

fn left_behind() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["relabeld.db", "relabeld.db-wal"] {
        let mut packed = GzDecoder::new(File::open(kept().join(format!("{name}.gz"))).unwrap());
        io::copy(&mut packed, &mut File::create(dir.path().join(name)).unwrap()).unwrap();
    }
    dir
}

fn text(mut export: Export) -> String {
    let mut text = String::new();
    export.read_to_string(&mut text).unwrap();
    text
}

fn labels(store: &Arc<Store>) -> String {
    text(export::labels(Arc::clone(store), LabelQuery { filter: Filter::all(), topics: Vec::new() }, Format::Csv))
}

fn feed(store: &Arc<Store>, after: i64) -> String {
    text(export::changes(Arc::clone(store), after, Format::Csv))
}

/// Tables, columns and indexes, but for how they are worded.
fn shape(dir: &Path) -> Vec<String> {
    let connection = Connection::open(dir.join("relabeld.db")).unwrap();
    let mut shape = Vec::new();
    for sql in [
        "SELECT s.type, s.name, c.cid, c.name, c.type, c.\"notnull\", c.dflt_value, c.pk
         FROM sqlite_schema s, pragma_table_xinfo(s.name) c ORDER BY 1, 2, 3",
        "SELECT s.name, i.name, i.\"unique\", i.origin, i.partial, c.seqno, c.cid, c.\"desc\"
         FROM sqlite_schema s, pragma_index_list(s.name) i, pragma_index_xinfo(i.name) c ORDER BY 1, 2, 6",
        "SELECT s.name, f.\"from\", f.\"table\", f.\"to\" FROM sqlite_schema s, pragma_foreign_key_list(s.name) f
         ORDER BY 1, 2",
        "SELECT name, strict, wr FROM pragma_table_list ORDER BY 1",
    ] {
        let mut statement = connection.prepare(sql).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            (0..columns).map(|at| row.get::<_, rusqlite::types::Value>(at).map(|value| format!("{value:?} "))).collect()
        });
        shape.extend(rows.unwrap().map(|row: rusqlite::Result<String>| row.unwrap()));
    }
    shape
}

#[test]
fn a_file_of_schema_1_with_its_log_opens_and_goes_on() {
    let dir = left_behind();
    let store = Arc::new(Store::open(dir.path(), Durability::Full).unwrap());
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
    let told = |name: &str| fs::read_to_string(kept().join(name)).unwrap();
    assert_eq!((labels(&store), feed(&store, 0)), (told("labels.csv"), told("feed.csv")));
    assert_eq!(store.last_change().unwrap(), (10, 0));
    let (rows, _) = store.job_changes(3, 0).unwrap();
    assert_eq!(rows.iter().map(|row| row.no).collect::<Vec<_>>(), [6, 7]);
    // Keys are found.
    assert_eq!(store.show_item(Conversation, "c2").unwrap().labels.len(), 3);

    // What it had begun, a draft, is published; history is erased with its item.
    let job = store.publish_draft(6, None, 0, NOW).unwrap().job;
    assert_eq!(job.state, JobState::Queued);
    store.erase_item(Conversation, "c1", NOW).unwrap();
    assert!(!feed(&store, 0).contains("c1,,t1"), "{}", feed(&store, 0));
    assert!(feed(&store, 10).contains("11,conversation,c1,,,,,erased"), "{}", feed(&store, 10));
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
    store.publish_range(wish(Filter::all()), 0, NOW).unwrap();
    store.close();
    drop(store);

    let fresh = tempfile::tempdir().unwrap();
    Store::open(fresh.path(), Durability::Full).unwrap().close();
    assert_eq!(shape(dir.path()), shape(fresh.path()));
    let again = Store::open(dir.path(), Durability::Full).unwrap();
    assert_eq!(again.check().unwrap(), Vec::<String>::new());
}

/// Takes away what schema 4 added.
fn without_sums(raw: &Connection) {
    let tables = raw
        .prepare(
            "SELECT s.name FROM sqlite_schema s, pragma_table_info(s.name) c WHERE s.type = 'table' AND c.name = 'sum'",
        )
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<rusqlite::Result<Vec<String>>>()
        .unwrap();
    assert_eq!(tables.len(), 16);
    for table in tables {
        raw.execute_batch(&format!("ALTER TABLE {table} DROP COLUMN sum")).unwrap();
    }
}

#[test]
fn rows_of_schema_3_get_their_sums_when_they_are_written() {
    let mut desk = Desk::with_items(2);
    desk.store.close();
    without_sums(&desk.raw());
    desk.raw().pragma_update(None, "user_version", 3).unwrap();
    desk.reopen();
    desk.check();
    desk.recover(&[]);
    desk.run(desk.planned());
    desk.check();
    let sums = |sql: &str| desk.raw().query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(sums("SELECT count(*) FROM body WHERE sum IS NOT NULL"), 0);
    assert_eq!(sums("SELECT count(*) FROM reading WHERE sum IS NULL"), 0);
    assert_eq!(sums("SELECT count(*) FROM job WHERE sum IS NULL"), 0);
    desk.raw().execute_batch("UPDATE job SET name = 'x'").unwrap();
    assert_eq!(desk.store.check().unwrap(), ["job of id 1: one of its columns does not match the checksum job.sum"]);
}

#[test]
fn a_file_of_schema_2_opens_and_goes_on() {
    let mut desk = Desk::new();
    let lines: Vec<String> = (0..2_100).map(|n| note(&format!("n-{n}"), 1, &[], "x")).collect();
    desk.import(&lines);
    desk.store.close();
    without_sums(&desk.raw());
    desk.raw()
        .execute_batch(
            "INSERT INTO key SELECT hash, item FROM recent_key; DROP TABLE recent_key; PRAGMA user_version = 2",
        )
        .unwrap();
    desk.reopen();
    assert_eq!(desk.import(&lines).counts.unchanged, 2_100);
    desk.check();
}

#[test]
fn a_damaged_file_of_schema_1_is_refused_and_left_as_it_was() {
    for (damage, word) in [
        ("UPDATE change SET edits = x'03' WHERE no = 2", "does not decode"),
        ("PRAGMA foreign_keys = 0; DELETE FROM shape WHERE no = 1", "names one that is not there"),
    ] {
        let dir = left_behind();
        let raw = Connection::open(dir.path().join("relabeld.db")).unwrap();
        raw.execute_batch(damage).unwrap();
        let Err(error) = Store::open(dir.path(), Durability::Full) else { panic!("opened") };
        assert!(error.to_string().contains(word), "{error}");
        let version: i64 = raw.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        let changes: i64 = raw.query_row("SELECT count(edits) FROM change", [], |row| row.get(0)).unwrap();
        assert_eq!((version, changes), (1, 10));
    }
}
