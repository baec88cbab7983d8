//! What lies in a data directory before its database is opened. SQLite would take a missing, empty or cut-off file for a
//! new database, and a daemon that made one would hide the loss of the old one.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use super::log_file;
use super::restore::Header;
use super::{Error, FILE, Result};

/// What a directory holds of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contents {
    /// No database, and no sign that there ever was one.
    Nothing,
    /// A database file; [`super::Store::open`] checks whether it is usable. The text describes damage in the
    /// write-ahead log that loses commits; None if no commit is lost.
    Database(Option<String>),
    /// The database is missing, empty or cut off: which, and how to go on.
    Lost(String),
}

/// Looks at a directory, and writes nothing. `markers` are the names of files that a daemon makes after its database is
/// complete: where one is there, a database was there too.
///
/// A first start that ends at any moment leaves [`Contents::Nothing`] or [`Contents::Database`].
pub fn contents(dir: &Path, markers: &[&str]) -> Result<Contents> {
    let path = dir.join(FILE);
    let there = |name: &&&str| dir.join(name).symlink_metadata().is_ok();
    let mut left: Vec<String> = markers.iter().filter(there).map(|name| (*name).to_owned()).collect();
    let failed = |error: io::Error| Error::Unusable(format!("cannot read {}: {error}", path.display()));
    let first = match first_bytes(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        read => Some(read.map_err(failed)?),
    };
    let Some((first, bytes)) = first.filter(|(_, bytes)| *bytes > 0) else {
        // SQLite makes a log only beside a database of at least one page.
        let log = format!("{FILE}-wal");
        left.extend(Some(log).filter(|log| dir.join(log).symlink_metadata().is_ok()));
        let what = if first_bytes(&path).is_ok() { "is empty" } else { "is missing" };
        return Ok(if left.is_empty() { Contents::Nothing } else { lost(dir, what, &left) });
    };
    if bytes < Header::LENGTH as u64 && Header::begins_as(&first) {
        return Ok(lost(dir, &format!("is cut off after {bytes} bytes"), &left));
    }
    let log = log_file::read(&path).map_err(failed)?;
    // What the log holds takes the place of pages that the file does not have yet.
    if log.usable > 0 {
        return Ok(Contents::Database(log.fault));
    }
    match Header::read(&first) {
        Ok(header) => Ok(match header.check_length(bytes) {
            Ok(()) => Contents::Database(log.fault),
            Err(_) => lost(dir, &format!("is cut off: {bytes} of {} bytes are there", header.bytes()), &left),
        }),
        // The first page alone: SQLite writes it before the first table.
        Err(_) if Header::is_blank(&first) => {
            let why = log.fault.map_or_else(String::new, |fault| format!(" ({fault})"));
            Ok(if left.is_empty() { Contents::Nothing } else { lost(dir, &format!("holds no tables{why}"), &left) })
        }
        // Of another program, of a newer relabeld, or damaged: opening it says so.
        Err(_) => Ok(Contents::Database(log.fault)),
    }
}

/// The header of a file, all of it where it is shorter; and how long it is.
pub(super) fn first_bytes(path: &Path) -> io::Result<(Vec<u8>, u64)> {
    let mut first = Vec::new();
    let bytes = fs::metadata(path)?.len();
    File::open(path)?.take(Header::LENGTH as u64).read_to_end(&mut first)?;
    Ok((first, bytes))
}

fn lost(dir: &Path, what: &str, left: &[String]) -> Contents {
    let used = match left {
        [] => String::new(),
        left => format!(", and {} was used before ({} is there)", dir.display(), left.join(", ")),
    };
    let path = dir.join(FILE);
    Contents::Lost(format!(
        "{} {what}{used}: to restore a backup, move all files whose name begins with {FILE} away and run \
         `relabeld restore FILE --data-dir {}`; to begin with an empty database, move everything in that directory away",
        path.display(),
        dir.display()
    ))
}
