//! The write-ahead log (WAL): written again before the database is opened, and folded into the database by checkpoints.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use log::{info, warn};
use rusqlite::Connection;
use rusqlite::hooks::Wal;

use super::log_file::beside;
use super::measured::Measured;
use super::{Error, Result, schema, with_system_error};
use crate::os;

/// Bytes that are read and written at once.
const PIECE: usize = 1 << 20;

pub(super) fn path_of(database: &Path) -> PathBuf {
    beside(database, "-wal")
}

/// Writes the log over itself and syncs it, so that the disk holds what the next start reads from the page cache.
///
/// After a failed fsync the kernel marks the pages as clean although they never reached the disk
/// (<https://wiki.postgresql.org/wiki/Fsync_Errors>). A restarted process still reads them and commits on top of them; a
/// power cut would then lose commits that were synced later. Every byte is replaced by itself, so a crash in the middle
/// changes nothing. SQLite must not have the log open: closing this file would drop SQLite's locks.
///
/// # Errors
///
/// [`Error::Unusable`] with the path where the log is not a regular file or the disk fails.
pub(super) fn write_again(database: &Path) -> Result<()> {
    let path = path_of(database);
    let unusable = |error: io::Error| Error::Unusable(format!("cannot rewrite {}: {error}", path.display()));
    let file = match os::open_regular(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened.map_err(unusable)?,
    };
    match copy_onto_itself(&file) {
        // A copy-on-write file system needs space for this. The log stays as it was.
        Err(error) if Error::from_io(&error) == Error::Full => {
            warn!("{} is not rewritten, because the disk is full: {error}", path.display());
            Ok(())
        }
        Err(error) => Err(unusable(error)),
        Ok(0) => Ok(()),
        Ok(_) => file.sync_all().map_err(unusable),
    }
}

/// The bytes that were written.
fn copy_onto_itself(file: &File) -> io::Result<u64> {
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    loop {
        let bytes = file.read_at(&mut piece, at)?;
        if bytes == 0 {
            break;
        }
        file.write_all_at(&piece[..bytes], at)?;
        at += bytes as u64;
    }
    Ok(at)
}

/// Folds the whole log into the database and syncs the database, before anything is served.
///
/// A full disk, or a reader of another process, leaves the log as it is: it is durable by itself after [`write_again`].
pub(super) fn fold_at_open(connection: &Connection) -> Result<()> {
    if !has_room(connection) {
        return Ok(());
    }
    match run_checkpoint(connection, "TRUNCATE") {
        Ok(Checkpoint { busy: true, .. }) => {
            info!("startup checkpoint skipped: another process reads the database; the WAL is unchanged")
        }
        Ok(_) => {}
        Err(Error::Full) => warn!("startup checkpoint failed: the disk is full; the WAL is unchanged"),
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Whether the database can grow by the whole log: folding it needs no more. On a full disk a checkpoint would take the
/// space that pausing and cancelling need.
pub(super) fn has_room(connection: &Connection) -> bool {
    let Some(database) = connection.path().map(Path::new) else { return true };
    let log = std::fs::metadata(path_of(database)).map_or(0, |about| about.len());
    let free = database.parent().map_or(Ok(u64::MAX), os::free_bytes);
    // Where that cannot be seen, the checkpoint itself finds out.
    free.is_err() || free.is_ok_and(|free| free >= log)
}

thread_local! {
    /// Pages in the log after the last commit. Only the writer's thread commits.
    static LOG_PAGES: Cell<i32> = const { Cell::new(0) };
}

/// Pages (4 KiB each) in the log that are not folded into the database. Only for the writer's thread.
pub(super) fn pages() -> i32 {
    LOG_PAGES.get()
}

/// Counts the pages of the log at each commit of this connection.
pub(super) fn watch(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.wal_hook(Some(note_pages))
}

fn note_pages(_: &mut Wal, pages: i32) -> rusqlite::Result<()> {
    LOG_PAGES.set(pages);
    Ok(())
}

/// How much of the log a checkpoint folded into the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Folded {
    All,
    /// A reader still needs some of it.
    Busy,
    /// The disk is full, or failed.
    Failed,
}

/// Checkpoints the whole log and truncates it to 0 bytes. Waits at most `readers_may` for readers, then gives up with
/// [`Folded::Busy`] until a later time: no call waits for a client's export, and shutdown stays short.
///
/// # Errors
///
/// As [`checkpoint`].
pub(super) fn cut_unless_read(connection: &Connection, measured: &Measured, readers_may: Duration) -> Result<Folded> {
    let patience = |patience| {
        if let Err(error) = connection.busy_timeout(patience) {
            warn!("busy_timeout: {error}");
        }
    };
    patience(readers_may);
    let cut = checkpoint(connection, measured, "TRUNCATE");
    patience(schema::PATIENCE);
    cut
}

/// Folds the log into the database. What stays is tried again after the next commit or at the next idle moment.
///
/// # Errors
///
/// [`Error::NotSynced`]: the writer must not go on.
pub(super) fn checkpoint(connection: &Connection, measured: &Measured, mode: &str) -> Result<Folded> {
    let begun = Instant::now();
    let done = run_checkpoint(connection, mode);
    measured.checkpoints.took(begun.elapsed());
    match done {
        Ok(Checkpoint { busy, pages_left }) => {
            LOG_PAGES.set(pages_left);
            Ok(if busy { Folded::Busy } else { Folded::All })
        }
        Err(error @ Error::NotSynced(_)) => Err(error),
        Err(error) => {
            warn!("checkpoint: {error}");
            Ok(Folded::Failed)
        }
    }
}

struct Checkpoint {
    busy: bool,
    pages_left: i32,
}

fn run_checkpoint(connection: &Connection, mode: &str) -> Result<Checkpoint> {
    let done = connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i32>(1)?, row.get::<_, i32>(2)?))
    });
    let (busy, in_log, folded) = done.map_err(|error| with_system_error(connection, error.into()))?;
    Ok(Checkpoint { busy: busy != 0, pages_left: (in_log - folded).max(0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_is_written_again_stays_what_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("x.db");
        write_again(&database).unwrap();
        assert!(!path_of(&database).exists(), "a missing log is not made");
        let bytes: Vec<u8> = (0..2 * PIECE + 7).map(|n| (n % 251) as u8).collect();
        std::fs::write(path_of(&database), &bytes).unwrap();
        write_again(&database).unwrap();
        assert_eq!(std::fs::read(path_of(&database)).unwrap(), bytes);
    }

    #[test]
    fn a_log_that_is_no_regular_file_is_refused_with_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("x.db");
        std::fs::create_dir(path_of(&database)).unwrap();
        let refused = write_again(&database).unwrap_err().to_string();
        assert!(refused.contains("x.db-wal"), "{refused}");
    }
}
