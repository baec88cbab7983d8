//! Opening a database file: pragmas set and read back, schema made or brought up to date.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, MAIN_DB};

use super::{Durability, Error, Result, sums, upgrade, with_system_error};

/// `schema.sql`, the map of the data.
pub(super) const SCHEMA: &str = include_str!("../../schema.sql");

/// Marks the file as relabeld's: `rlbd`.
pub(super) const APPLICATION_ID: i32 = 0x726c_6264;

/// The schema that this program writes; `user_version` of the file.
pub(super) const VERSION: i32 = 4;

/// How long the writer waits for readers that are in its way.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// What a file says of itself, once it is known to be relabeld's.
pub(super) struct Recognised {
    /// It holds no tables yet.
    pub fresh: bool,
    pub version: i32,
}

/// Reads what a file is, and writes nothing. An error where this program must not touch it.
pub(super) fn recognise(connection: &Connection, path: &Path) -> Result<Recognised> {
    let wrong = |error: rusqlite::Error| unusable(path, error);
    let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(wrong)?;
    let id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(wrong)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(wrong)?;
    let fresh = tables == 0 && version == 0;
    if !fresh && id != APPLICATION_ID {
        return Err(Error::Unusable(format!(
            "{} is a SQLite database of another program; name another data directory",
            path.display()
        )));
    }
    if version > VERSION {
        return Err(Error::Unusable(format!(
            "{} has schema {version}, made by a newer relabeld; this one knows up to {VERSION}: run the newer one, or restore a backup made before the upgrade",
            path.display()
        )));
    }
    if !fresh && version < 1 {
        return Err(Error::Unusable(format!("{} has no schema {version}: it is damaged", path.display())));
    }
    Ok(Recognised { fresh, version })
}

fn unusable(path: &Path, error: rusqlite::Error) -> Error {
    let path = path.display();
    if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) {
        return Error::Unusable(format!(
            "{path} is not a SQLite database; move it away, or name another data directory"
        ));
    }
    match Error::from(error) {
        disk @ (Error::Full | Error::Io(_) | Error::NotSynced(_)) => disk,
        Error::Damaged(why) => Error::Unusable(format!("{path} is damaged ({why}): restore a backup")),
        other => Error::Unusable(format!("cannot open {path}: {other}")),
    }
}

pub(super) fn prepare(connection: &mut Connection, path: &Path, durability: Durability) -> Result<()> {
    prepare_with(connection, path, durability).map_err(|error| with_system_error(connection, error))
}

fn prepare_with(connection: &mut Connection, path: &Path, durability: Durability) -> Result<()> {
    let wrong = |error: rusqlite::Error| unusable(path, error);
    connection.busy_timeout(PATIENCE).map_err(wrong)?;
    // Before the first table is made, or it has no effect.
    let Recognised { fresh, version } = recognise(connection, path)?;
    if connection.is_readonly(MAIN_DB).map_err(wrong)? {
        return Err(Error::Unusable(format!(
            "{} cannot be written: the file or its file system is read-only, or byte 18 of its header is damaged; run \
             `relabeld check`",
            path.display()
        )));
    }
    if fresh {
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(wrong)?;
    }
    set_pragmas(connection, durability)?;
    plan_once(connection)?;
    let outdated = !fresh && version < VERSION;
    if outdated {
        // A table that others name is made anew: for that they must neither mind nor follow its old name. Both have no
        // effect inside a transaction.
        connection.execute_batch("PRAGMA foreign_keys = 0; PRAGMA legacy_alter_table = 1")?;
    }
    let transaction = connection.transaction()?;
    if fresh {
        transaction.execute_batch(SCHEMA)?;
        sums::keep(&transaction)?;
        transaction.execute("INSERT INTO daemon (id, epoch) VALUES (1, 0)", [])?;
        // Every store begins with an empty catalogue, so that a job always has a revision.
        transaction.execute(
            "INSERT INTO revision (no, applied_at, labeller, catalogue) VALUES (0, 0, '', '{\"topics\":[],\"programs\":[]}')",
            [],
        )?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    if outdated {
        // So that a daemon can be replaced in place.
        for step in upgrade::STEPS.iter().skip(version as usize - 1) {
            step(&transaction)?;
        }
        if transaction.prepare("PRAGMA foreign_key_check")?.exists([])? {
            return Err(Error::Damaged("a row names one that is not there: it was not brought up to date".into()));
        }
    }
    if !fresh {
        sums::keep(&transaction)?;
    }
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    if outdated {
        connection.execute_batch("PRAGMA foreign_keys = 1; PRAGMA legacy_alter_table = 0")?;
        log::info!("{} was brought from schema {version} to {VERSION}", path.display());
    }
    Ok(())
}

/// Has statements prepared once, for whatever is bound: SQLite would plan some of them anew at each new value.
pub(super) fn plan_once(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(|_| ())
}

/// Sets what the writer relies on and reads each back: SQLite ignores a pragma that it cannot follow.
fn set_pragmas(connection: &Connection, durability: Durability) -> Result<()> {
    let synchronous = match durability {
        Durability::Full => "2",
        Durability::Normal => "1",
    };
    let wanted = [
        ("journal_mode", "wal"),
        ("synchronous", synchronous),
        ("foreign_keys", "1"),
        // From the first: what an erased item's earlier texts have left behind cannot be found again to be overwritten.
        ("secure_delete", "1"),
        // The writer checkpoints by itself, after its replies.
        ("wal_autocheckpoint", "0"),
        ("journal_size_limit", "67108864"),
        ("temp_store", "2"),
        ("cache_size", "-8000"),
    ];
    for (pragma, value) in wanted {
        connection.pragma_update_and_check(None, pragma, value, |_| Ok(())).or_else(|error| match error {
            // Most pragmas answer nothing when set.
            rusqlite::Error::QueryReturnedNoRows => Ok(()),
            error => Err(error),
        })?;
        let read = connection.pragma_query_value(None, pragma, |row| row.get::<_, rusqlite::types::Value>(0))?;
        let read = match read {
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Text(text) => text,
            other => format!("{other:?}"),
        };
        if read != value {
            return Err(Error::Unusable(format!("SQLite did not accept {pragma} = {value}: it stands at {read}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> Result<()> {
        prepare(&mut Connection::open(path).unwrap(), path, Durability::Full)
    }

    #[test]
    fn a_new_file_has_the_schema_of_schema_sql() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        open(&path).unwrap();
        let listing = |connection: &Connection| -> Vec<String> {
            let mut statement =
                connection.prepare("SELECT name || ':' || coalesce(sql, '') FROM sqlite_schema ORDER BY name").unwrap();
            statement.query_map([], |row| row.get(0)).unwrap().map(|row| row.unwrap()).collect()
        };
        let by_hand = Connection::open_in_memory().unwrap();
        by_hand.execute_batch(SCHEMA).unwrap();
        assert_eq!(listing(&Connection::open(&path).unwrap()), listing(&by_hand));
        open(&path).unwrap();
    }

    #[test]
    fn a_newer_schema_is_refused_and_untouched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        open(&path).unwrap();
        Connection::open(&path).unwrap().pragma_update(None, "user_version", VERSION + 1).unwrap();
        let Err(Error::Unusable(text)) = open(&path) else { panic!("opened") };
        assert!(text.contains("newer relabeld"), "{text}");
    }

    #[test]
    fn a_schema_that_never_was_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        for version in [0, -1] {
            open(&path).unwrap();
            Connection::open(&path).unwrap().pragma_update(None, "user_version", version).unwrap();
            let Err(Error::Unusable(text)) = open(&path) else { panic!("opened") };
            assert!(text.contains("damaged"), "{text}");
            Connection::open(&path).unwrap().pragma_update(None, "user_version", VERSION).unwrap();
        }
    }

    #[test]
    fn a_file_that_is_not_sqlite_is_refused_and_untouched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        let text = "not a database, and long enough to be taken for one".repeat(100);
        std::fs::write(&path, &text).unwrap();
        let Err(Error::Unusable(said)) = open(&path) else { panic!("opened") };
        assert!(said.contains("not a SQLite database"), "{said}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn a_database_of_another_program_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        let Err(Error::Unusable(said)) = open(&path) else { panic!("opened") };
        assert!(said.contains("another program"), "{said}");
    }
}
