//! The store: one SQLite file, one writer, a pool of readers.
//!
//! Every verb is one whole transaction; time and names are arguments; no signature names a type of rusqlite. Writes go
//! through one thread that takes what is waiting and commits it together (see [`writer`]): a verb that has answered is
//! on the disk.

mod backup;
mod body;
mod catalogue;
pub mod check;
mod codec;
mod commit;
mod control;
mod count;
mod data_dir;
mod derive;
mod frozen;
mod history;
mod import;
mod items;
mod jobs;
mod keys;
mod labels;
mod lease;
mod list;
mod log_file;
mod marks;
mod measured;
mod names;
mod plan;
mod prune;
mod publish;
mod queue;
mod recover;
mod restore;
mod rows;
mod schema;
mod sums;
mod system_calls;
mod tasks;
mod touched;
mod undo;
mod upgrade;
mod wal;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use crossbeam_channel::Receiver;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use rustc_hash::FxHashSet;

pub use backup::{Copy, SCRATCH};
pub use catalogue::{AppliedCatalogue, StoredRevision};
pub use check::check_directory;
pub use codec::Key;
pub use commit::{Committed, Deed, Done, Finding, LeaseId, LeaseOutcome, Source, Stood};
pub use control::Steering;
pub use count::{Count, ProgramItems, TopicCounts};
pub use data_dir::{Contents, contents};
pub use derive::{Again, AgainWish};
pub use import::{Batch, ImportCounts, ImportOutcome};
pub use items::{ItemBatch, ReadItem, ShownEvidence, ShownItem, ShownLabel, ShownMark};
pub use jobs::{DamagedJob, JobPage, JobSearch};
pub use labels::{ChangeRow, LabelCursor, LabelQuery, LabelRow};
pub use lease::{Ask, Leased, LeasedItem, Runnable};
pub use marks::MarkWish;
pub use measured::{Measured, Tally};
pub use names::{Names, Shape};
pub use plan::{Planned, Planning};
pub use publish::{NewJob, Published, RequestKey};
pub use queue::{InLane, Queue};
pub use recover::{Begun, Recovered};
pub use restore::{Header, Restored};
pub use tasks::TaskRow;
pub use undo::Undo;
pub use writer::Promise;

use crate::model::Kind;
use crate::os;
use crate::wire::shorten;

/// The stored forms, for measuring them from outside; the daemon's own callers go through the verbs.
pub mod forms {
    pub use super::body::document;
    pub use super::codec::{pack_labels, put_fresh};
}

/// The database's name in its directory.
pub const FILE: &str = "relabeld.db";

/// The oldest SQLite that does not lose a database when the write-ahead log is reset: <https://sqlite.org/wal.html>.
const OLDEST_SQLITE: i32 = 3_053_000;

/// Of the SQLite that is built in.
pub fn sqlite_version() -> &'static str {
    rusqlite::version()
}

/// What a verb can answer instead. A caller matches on it; the text is fit for people.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("{0} not found")]
    NotFound(String),
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    StaleVersion(String),
    #[error("{0}")]
    HistoryPruned(String),
    #[error("{0}")]
    Invalid(String),
    #[error(
        "the job would have {count} items, and at most {limit} are allowed (max_items_per_job); narrow the filter or ask for a split"
    )]
    TooManyItems { count: i64, limit: i64 },
    #[error("the disk is full")]
    Full,
    /// What was asked for needs more room than there is; nothing else is held up by that.
    #[error("{0}")]
    NoRoom(String),
    #[error("{0}")]
    Busy(String),
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// The rows of one job: the others are not concerned.
    #[error("job {id} is damaged ({what}): stop the daemon and run `relabeld check`")]
    DamagedJob { id: crate::job::JobId, what: String },
    #[error("{0}")]
    Unusable(String),
    /// The disk failed, which says nothing about the database.
    #[error("the disk failed: {0}")]
    Io(String),
    /// An fsync failed: what it covered may never reach the disk, although this process still reads it.
    #[error("the disk failed to sync: {0}")]
    NotSynced(String),
    #[error("the daemon is stopping")]
    Stopping,
    #[error("database: {0}")]
    Database(String),
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    fn no_item(kind: Kind, id: &str) -> Error {
        Error::NotFound(format!("{kind} {:?}", shorten(id)))
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Error {
        use rusqlite::ffi::{SQLITE_IOERR_DIR_FSYNC, SQLITE_IOERR_FSYNC};
        // A value of another type than its column has: SQLite itself would not have stored it.
        if let rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::Utf8Error(..) = error
        {
            return Error::Damaged(error.to_string());
        }
        match error.sqlite_error().map(|error| (error.code, error.extended_code)) {
            Some((ErrorCode::DiskFull, _)) => Error::Full,
            Some((ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _)) => Error::Damaged(error.to_string()),
            Some((_, SQLITE_IOERR_FSYNC | SQLITE_IOERR_DIR_FSYNC)) => Error::NotSynced(error.to_string()),
            Some((ErrorCode::SystemIoFailure | ErrorCode::CannotOpen, _)) => Error::Io(error.to_string()),
            _ => Error::Database(error.to_string()),
        }
    }
}

/// Completes an error of this connection by what the operating system said. A disk without space is [`Error::Full`],
/// whichever call met it.
fn with_system_error(connection: &Connection, error: Error) -> Error {
    let (Error::Io(_) | Error::NotSynced(_)) = error else { return error };
    let Some(system) = system_calls::last_error(connection) else { return error };
    match error {
        _ if Error::from_io(&system) == Error::Full => Error::Full,
        Error::NotSynced(text) => Error::NotSynced(format!("{system} (SQLite: {text})")),
        Error::Io(text) => Error::Io(format!("{system} (SQLite: {text})")),
        other => other,
    }
}

impl From<codec::Damaged> for Error {
    fn from(_: codec::Damaged) -> Error {
        Error::Damaged("a packed column does not decode".into())
    }
}

impl Error {
    fn from_io(error: &io::Error) -> Error {
        if os::is_full(error) { Error::Full } else { Error::Io(error.to_string()) }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::from_io(&error)
    }
}

/// How hard a commit is pushed to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// What was answered survives a power cut.
    #[default]
    Full,
    /// What was answered survives the death of the process; a power cut may take the last commits.
    Normal,
}

/// The whole database, shared by all threads.
pub struct Store {
    writer: writer::Writer,
    readers: r2d2::Pool<Readers>,
    names: Arc<RwLock<Names>>,
    measured: Arc<Measured>,
    copying: backup::Copying,
    /// Damaged jobs that the log has named.
    passed_over: Mutex<FxHashSet<crate::job::JobId>>,
    path: PathBuf,
}

impl Store {
    /// Opens or creates `DIR/relabeld.db` and brings its schema up to date.
    ///
    /// The caller holds the lock of the directory.
    pub fn open(dir: &Path, durability: Durability) -> Result<Store> {
        if rusqlite::version_number() < OLDEST_SQLITE {
            return Err(Error::Unusable(format!(
                "SQLite {} is too old: at least 3.53.0 is needed",
                rusqlite::version()
            )));
        }
        system_calls::install()?;
        backup::clear_scratch(dir);
        let path = dir.join(FILE);
        make_private(&path)?;
        wal::write_again(&path)?;
        let mut connection = Connection::open(&path)
            .map_err(|error| Error::Unusable(format!("cannot open {}: {error}", path.display())))?;
        schema::prepare(&mut connection, &path, durability)?;
        wal::fold_at_open(&connection)?;
        let names = Arc::new(RwLock::new(Names::load(&connection)?));
        let readers = r2d2::Pool::builder()
            // More than can read at once (requests and threads of the engine): a worker that waited in vain for long
            // readers would end the daemon. They are opened as needed.
            .max_size(1_200)
            .min_idle(Some(1))
            .connection_timeout(Duration::from_secs(10))
            .build(Readers { path: path.clone() })
            .map_err(|error| Error::Database(error.to_string()))?;
        let measured = Arc::new(Measured::new());
        let writer = writer::Writer::start(connection, Arc::clone(&names), Arc::clone(&measured))?;
        let copying = backup::Copying::default();
        Ok(Store { writer, readers, names, measured, copying, passed_over: Mutex::default(), path })
    }

    /// What it has done since it was opened.
    pub fn measured(&self) -> &Measured {
        &self.measured
    }

    /// Bytes of the database file and of its write-ahead log.
    pub fn sizes(&self) -> (u64, u64) {
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |meta| meta.len());
        (size(&self.path), size(&wal::path_of(&self.path)))
    }

    /// Ids of programs, topics and phrases by number, and back.
    pub fn names(&self) -> std::sync::RwLockReadGuard<'_, Names> {
        self.names.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Gets the reason once, when the writer cannot go on: the process must end, and its next start recovers.
    pub fn failed(&self) -> &Receiver<String> {
        self.writer.failed()
    }

    /// The writer cannot go on: every write is refused, and the process ends.
    pub fn has_failed(&self) -> bool {
        self.writer.has_failed()
    }

    /// Ends the writer after all that was sent to it; the write-ahead log is folded into the database.
    pub fn close(&self) {
        self.copying.end();
        self.writer.stop();
    }

    /// Waits for the writer's next commit, which changes nothing: it has not hung. A full disk is no hang either.
    pub fn writer_answers(&self) -> Result<()> {
        match self.write(|_| Ok(())) {
            Err(Error::Full) => Ok(()),
            answered => answered,
        }
    }

    fn is_passed_over(&self, id: crate::job::JobId) -> bool {
        self.passed_over.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).contains(&id)
    }

    /// The damaged jobs that were met since the start.
    fn passed_over(&self) -> FxHashSet<crate::job::JobId> {
        self.passed_over.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// Passes over a job that is damaged, so that the others go on; the log names it once. Any other error is answered.
    pub fn pass_over(&self, error: Error) -> Result<()> {
        let Error::DamagedJob { id, .. } = error else { return Err(error) };
        if self.passed_over.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(id) {
            log::error!("{error}; it is passed over");
        }
        Ok(())
    }

    fn fold_log(&self) -> Result<()> {
        self.writer.fold_log()
    }

    /// Tries once to fold the log into the database, which gives its space back to a full disk.
    pub fn fold_log_once(&self) -> Result<()> {
        self.writer.fold_log_once()
    }

    fn read<T>(&self, verb: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let connection = self.readers.get().map_err(|error| Error::Database(error.to_string()))?;
        let begun = connection.execute_batch("BEGIN").map_err(Error::from);
        let answer = begun.and_then(|()| verb(&connection)).map_err(|error| with_system_error(&connection, error));
        // SQLite ends the transaction by itself after some errors. The pool drops a connection that is still in one.
        if !connection.is_autocommit()
            && let Err(error) = connection.execute_batch("ROLLBACK")
        {
            log::warn!("a read transaction could not be ended: {error}");
        }
        answer
    }

    fn write<T: Send + 'static>(&self, verb: impl FnOnce(&writer::Tx<'_>) -> Result<T> + Send + 'static) -> Result<T> {
        self.begin_write(verb)?.wait()
    }

    fn begin_write<T: Send + 'static>(
        &self,
        verb: impl FnOnce(&writer::Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<Promise<T>> {
        self.writer.begin(verb)
    }
}

/// Creates the database file, empty and private, if it is missing. SQLite gives its WAL the same mode.
fn make_private(path: &Path) -> Result<()> {
    let created = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => os::create_private(path).map(drop),
        about => about.map(drop),
    };
    created.map_err(|error| match Error::from_io(&error) {
        Error::Full => Error::Full,
        _ => Error::Unusable(format!("cannot create {}: {error}", path.display())),
    })
}

/// Opens the read-only connections of the pool.
#[derive(Debug)]
struct Readers {
    path: PathBuf,
}

impl r2d2::ManageConnection for Readers {
    type Connection = Connection;
    type Error = rusqlite::Error;

    fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        rusqlite::vtab::array::load_module(&connection)?;
        schema::plan_once(&connection)?;
        sums::register(&connection)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.pragma_update(None, "query_only", true)?;
        // 1 MB: most go once through much, and each of many keeps what it has.
        connection.pragma_update(None, "cache_size", -1000)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    }

    fn is_valid(&self, _: &mut Connection) -> rusqlite::Result<()> {
        Ok(())
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        // Still in a transaction: its snapshot is old, and the next reader could not begin one.
        !connection.is_autocommit()
    }
}
