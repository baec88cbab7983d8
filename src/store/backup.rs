//! A copy of the whole database, made while it is read and written.
//!
//! By `VACUUM INTO` a scratch file, on a connection of its own:
//!
//! - It reads one snapshot. The writer goes on; only the write-ahead log cannot be reset meanwhile, so the copy is whole
//!   before its first byte is sent: a slow client holds a file, and no snapshot.
//! - SQLite's backup API begins again when another connection commits, unless it holds one snapshot too. Then it is
//!   seven times as fast (0.08 s against 0.55 s for 50 MB while a job ran; the log grew by a few MB at most with either).
//!   But it takes free pages along, and damage without a look at it. A backup is worth that second.
//! - What was erased is not in the copy: free pages and free space in pages are left behind. Page size, auto_vacuum,
//!   `application_id` and `user_version` are kept. The copy is one file by itself, without a log.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use sha2::{Digest, Sha256};

use super::{Error, Result, Store};
use crate::os::{create_private, create_private_dir, free_bytes};

/// Of the data directory: what is in it is of no use to the next start.
pub const SCRATCH: &str = ".scratch";

/// Copies that there are at a time, made or being sent: each takes the room of a database.
const AT_ONCE: usize = 2;

/// Steps of SQLite's machine between two looks at the disk and at the stop: some milliseconds.
const LOOK_EVERY: i32 = 20_000;

/// A whole copy. Its file has no name: it goes when this does, however the process ends.
#[derive(Debug)]
pub struct Copy {
    file: File,
    pub bytes: u64,
    pub sha256: [u8; 32],
    _place: Place,
}

impl Read for Copy {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

/// How many copies there are, and whether they are to come to an end.
#[derive(Debug, Default)]
pub(super) struct Copying {
    places: Arc<AtomicUsize>,
    ending: Arc<AtomicBool>,
    /// Held for reading while a copy is made.
    making: RwLock<()>,
}

impl Copying {
    /// Breaks off the copies that are being made, and waits until they are: they would keep the log from being folded.
    pub fn end(&self) {
        self.ending.store(true, Ordering::SeqCst);
        drop(self.making.write());
    }

    fn take_place(&self) -> Result<Place> {
        let taken = self.places.fetch_add(1, Ordering::SeqCst);
        let place = Place(Arc::clone(&self.places));
        if taken < AT_ONCE {
            return Ok(place);
        }
        Err(Error::Busy(format!("{AT_ONCE} backups are being made or downloaded: wait until one of them is done")))
    }
}

#[derive(Debug)]
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A file in the scratch directory, gone with its journal when this is.
struct Scratch(PathBuf);

impl Scratch {
    fn new(data_dir: &Path) -> io::Result<Scratch> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let dir = data_dir.join(SCRATCH);
        create_private_dir(&dir)?;
        let path = dir.join(format!("backup.{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        // Private from the first byte on: SQLite takes an empty file as it is.
        create_private(&path)?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let mut journal = self.0.clone().into_os_string();
        journal.push("-journal");
        for path in [self.0.as_path(), Path::new(&journal)] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    log::warn!("{} stays until the next start: {error}", path.display());
                }
                _ => {}
            }
        }
    }
}

/// Removes what a killed process left in the data directory.
pub(super) fn clear_scratch(data_dir: &Path) {
    let scratch = data_dir.join(SCRATCH);
    match fs::remove_dir_all(&scratch) {
        // In nobody's way but that of the next backup, which says so.
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            log::warn!("{} stays: {error}", scratch.display());
        }
        _ => {}
    }
}

impl Store {
    /// Copies the database as it stands. `min_free` bytes of the disk stay free, or it comes to nothing: a backup must
    /// not be what holds the queue.
    pub fn backup(&self, min_free: u64) -> Result<Copy> {
        let place = self.copying.take_place()?;
        let making = self.copying.making.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        if self.copying.ending.load(Ordering::SeqCst) {
            return Err(Error::Stopping);
        }
        let data_dir = self.path.parent().unwrap_or(Path::new(".")).to_owned();
        let mut connection = open_to_copy(&self.path)?;
        let size = size_of_copy(&connection)?;
        let free = free_bytes(&data_dir)?;
        if free < size.saturating_add(min_free) {
            return Err(Error::NoRoom(format!(
                "a backup takes {size} bytes in the data directory, beside the {min_free} of min_free_bytes, and {free} \
                 are free: make room, or stop the daemon and copy relabeld.db"
            )));
        }
        let scratch = Scratch::new(&data_dir)?;
        let ending = Arc::clone(&self.copying.ending);
        let watch = move || ending.load(Ordering::SeqCst) || free_bytes(&data_dir).is_ok_and(|free| free < min_free);
        connection.progress_handler(LOOK_EVERY, Some(watch))?;
        let name = ToSqlOutput::Borrowed(ValueRef::Text(scratch.0.as_os_str().as_bytes()));
        connection.execute("VACUUM INTO ?", [name]).map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) if self.copying.ending.load(Ordering::SeqCst) => Error::Stopping,
            Some(ErrorCode::OperationInterrupted | ErrorCode::DiskFull) => Error::NoRoom(
                "the disk became full, or nearly, while the backup was made: make room, and repeat the request".into(),
            ),
            _ => error.into(),
        })?;
        drop(connection);
        drop(making);
        let mut file = File::open(&scratch.0)?;
        drop(scratch);
        let (bytes, sha256) = digest(&mut file)?;
        Ok(Copy { file, bytes, sha256, _place: place })
    }
}

/// A connection that only reads. Not one of the pool: `query_only` would keep it from writing the copy.
fn open_to_copy(path: &Path) -> Result<Connection> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(super::schema::PATIENCE)?;
    connection.pragma_update(None, "cache_size", -8000)?;
    // The copy is read again from memory, and the client puts it on a disk.
    connection.pragma_update(None, "synchronous", "OFF")?;
    Ok(connection)
}

/// At most: what is packed closer becomes smaller.
fn size_of_copy(connection: &Connection) -> Result<u64> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let pages = number("page_count")? - number("freelist_count")?;
    Ok(u64::try_from(pages * number("page_size")?).unwrap_or(0))
}

/// The length and the digest of a file, which is then at its beginning again.
fn digest(file: &mut File) -> Result<(u64, [u8; 32])> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        hash.update(&buffer[..n]);
        bytes += n as u64;
    }
    file.rewind()?;
    Ok((bytes, hash.finalize().into()))
}
