//! Where the benchmarks write: below the build's own directory, which is on a disk where /tmp may not be.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use rusqlite::Connection;
use tempfile::TempDir;

pub const DATABASE: &str = "relabeld.db";

/// A directory that goes when it is dropped, for its owner alone: the daemon takes no other.
pub fn directory() -> anyhow::Result<TempDir> {
    let parent = env!("CARGO_TARGET_TMPDIR");
    fs::create_dir_all(parent)?;
    let mut directory = tempfile::Builder::new();
    directory.permissions(Permissions::from_mode(0o700));
    directory.tempdir_in(parent).with_context(|| format!("cannot make a directory in {parent}"))
}

/// A data directory with a copy of another's closed database, written through to the disk: what the copy left to
/// write would be paid by the first to sync.
pub fn copy_of(dir: &Path) -> anyhow::Result<TempDir> {
    let copy = directory()?;
    let path = copy.path().join(DATABASE);
    fs::copy(dir.join(DATABASE), &path)?;
    File::open(&path)?.sync_all()?;
    Ok(copy)
}

/// A writing connection that is set up as the store's own.
pub fn writing(path: &Path) -> anyhow::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -8000; PRAGMA wal_autocheckpoint = 4000;",
    )?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}
