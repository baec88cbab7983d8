//! `check` of a database that no daemon uses: nothing in its directory is written, made or removed.

use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::{Faults, all};
use crate::store::restore::Header;
use crate::store::schema::{self, Recognised, VERSION};
use crate::store::{Error, FILE, Result, data_dir, log_file, system_calls, with_system_error};

/// All that may stand for something else in the path of a `file:` URI.
const IN_URI: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_');

/// Checks `DIR/relabeld.db` and its write-ahead log. The caller sees to it that nobody writes to them meanwhile.
pub fn check_directory(dir: &Path) -> Result<Faults> {
    // A read error of the disk must not look like damage.
    system_calls::install()?;
    let path = dir.join(FILE);
    let mut faults = Faults::new();
    let log = log_file::read(&path).map_err(|error| Error::Unusable(format!("cannot read {FILE}-wal: {error}")))?;
    faults.extend(log.fault);
    // A read-only connection ignores this byte.
    let (first, _) = data_dir::first_bytes(&path)
        .map_err(|error| Error::Unusable(format!("cannot read {}: {error}", path.display())))?;
    faults.extend(Header::format_fault(&first).map(|fault| format!("{FILE}: {fault}")));
    let connection = open(&path, log.usable > 0)
        .map_err(|error| Error::Unusable(format!("cannot open {}: {error}", path.display())))?;
    match schema::recognise(&connection, &path)? {
        Recognised { fresh: true, .. } => Ok(faults),
        Recognised { version, .. } if version < VERSION => Err(Error::Unusable(format!(
            "{} has schema {version}, made by an older relabeld, and this one checks schema {VERSION} alone: start the \
             daemon once, which brings it up to date (keep a copy of {FILE}* if you may want to go back), and check then; \
             or check it with the relabeld that made it",
            path.display()
        ))),
        Recognised { .. } => {
            all(&connection, &mut faults).map_err(|error| with_system_error(&connection, error))?;
            Ok(faults)
        }
    }
}

/// Opens a database so that SQLite writes nothing, not even the index of the log.
fn open(path: &Path, has_log: bool) -> rusqlite::Result<Connection> {
    // Without a log a file that nobody writes to is immutable. A log is read into memory where the connection has the
    // database alone, and without locks: SQLite's own would need a file opened for writing.
    let how = if has_log { "vfs=unix-none" } else { "immutable=1" };
    let name = percent_encode(path.as_os_str().as_encoded_bytes(), IN_URI);
    // Of a URI that begins with two slashes the first name would be a host.
    let root = if path.is_absolute() { "//" } else { "" };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(format!("file:{root}{name}?{how}"), flags)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update_and_check(None, "locking_mode", "exclusive", |_| Ok(()))?;
    schema::plan_once(&connection)?;
    connection.pragma_update(None, "cache_size", -64_000)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}
