//! The one writer: a thread that owns the one writing connection.
//!
//! It takes one verb, then what else is waiting, runs each in a savepoint of its own, commits all of them at once and
//! replies only then: many callers share one sync of the disk, and nobody hears of a change that is not durable. A verb
//! that fails is rolled back alone. Between batches it checkpoints, so that no other thread ever has to.

use std::cell::{Cell, RefCell, RefMut};
use std::ops::Deref;
use std::sync::{Arc, Mutex, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use log::{error, info, warn};
use rusqlite::Connection;
use rusqlite::hooks::Wal;

use super::keys::KnownHashes;
use super::measured::{Measured, Tally};
use super::touched::{Seen, Touched};
use super::{Error, Names, Result};

/// Verbs that may wait for the writer; past it callers wait to be allowed to wait.
const WAITING: usize = 256;
/// Verbs in one commit at most, so that the first of them is not kept waiting for long.
const TOGETHER: usize = 64;
/// Pages of the write-ahead log (4 KiB each) from which on it is folded back into the database.
const CHECKPOINT_PAGES: i32 = 4_000;
/// Without work for this long, the log is folded back and cut to nothing.
const IDLE: Duration = Duration::from_secs(2);
/// How long the end waits for readers: one that only just looks is not to leave a log behind.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// Answers a verb, once it is known whether its commit held.
type Reply = Box<dyn FnOnce(&Result<()>) + Send>;
/// Takes the transaction, or why there is none.
type Verb = Box<dyn FnOnce(Result<&Tx<'_>>) -> Reply + Send>;

/// The transaction that a verb runs in.
pub(super) struct Tx<'a> {
    connection: &'a Connection,
    names: &'a RwLock<Names>,
    touched: &'a Touched,
    hashes: RefCell<KnownHashes>,
    /// A verb of this batch gave out new numbers: if it is rolled back, they must be forgotten.
    interned: Cell<bool>,
    /// The last number given to a row of `change`. A rolled-back verb leaves a gap, which nobody minds.
    changes: Cell<i64>,
    /// A verb of this batch wants the log cut after its commit, before its reply.
    cut_log: Cell<bool>,
    /// What the log is to say once the batch is committed.
    news: RefCell<Vec<String>>,
    /// What the verb that runs came to, and the others of the batch.
    tally: RefCell<Tally>,
    batch_tally: RefCell<Tally>,
    /// Why a verb of this batch ended the whole transaction.
    broken: RefCell<Option<Error>>,
}

impl Tx<'_> {
    pub fn names(&self) -> std::sync::RwLockReadGuard<'_, Names> {
        self.names.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub fn names_mut(&self) -> std::sync::RwLockWriteGuard<'_, Names> {
        self.interned.set(true);
        self.names.write().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub fn next_change(&self) -> i64 {
        self.changes.set(self.changes.get() + 1);
        self.changes.get()
    }

    pub fn last_given_change(&self) -> i64 {
        self.changes.get()
    }

    pub fn hashes(&self) -> RefMut<'_, KnownHashes> {
        self.hashes.borrow_mut()
    }

    /// For what this transaction reads.
    pub fn seen(&self) -> Seen {
        self.touched.seen()
    }

    /// Whether an item may be another than it was when it was read.
    pub fn touched_since(&self, item: i64, seen: Seen) -> bool {
        self.touched.since(item, seen)
    }

    /// A line for the log, if the commit holds.
    pub fn tell(&self, line: String) {
        self.news.borrow_mut().push(line);
    }

    /// For the metrics, if the verb succeeds and the commit holds.
    pub fn count(&self, count: impl FnOnce(&mut Tally)) {
        count(&mut self.tally.borrow_mut());
    }

    fn forget_names(&self) -> Result<()> {
        if self.interned.get() {
            let names = Names::load(self.connection)?;
            *self.names_mut() = names;
        }
        Ok(())
    }
}

impl Deref for Tx<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

/// What a verb will answer. Its change is made whether or not somebody waits.
#[must_use]
pub struct Promise<T>(Receiver<Result<T>>);

impl<T> Promise<T> {
    /// Until the change is committed, or refused.
    pub fn wait(self) -> Result<T> {
        self.0.recv().map_err(|_| Error::Stopping)?
    }
}

pub(super) struct Writer {
    verbs: Mutex<Option<Sender<Verb>>>,
    touched: Arc<Touched>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub fn start(mut connection: Connection, names: Arc<RwLock<Names>>, measured: Arc<Measured>) -> Result<Writer> {
        let changes = connection.query_row(
            "SELECT max(last_change, coalesce((SELECT max(no) FROM change), 0)) FROM daemon",
            [],
            |row| row.get(0),
        )?;
        rusqlite::vtab::array::load_module(&connection)?;
        connection.set_prepared_statement_cache_capacity(128);
        connection.wal_hook(Some(note_log_pages))?;
        let touched = Touched::watch(&mut connection)?;
        let watched = Arc::clone(&touched);
        let (sender, receiver) = bounded(WAITING);
        let thread = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || write_until_closed(connection, &names, &watched, &measured, changes, &receiver))
            .map_err(|error| Error::Unusable(format!("cannot start the writer thread: {error}")))?;
        Ok(Writer { verbs: Mutex::new(Some(sender)), touched, thread: Mutex::new(Some(thread)) })
    }

    /// For whoever begins to read after this.
    pub fn seen(&self) -> Seen {
        self.touched.seen()
    }

    /// Has `verb` run in a transaction; the promise is kept once that is committed.
    pub fn begin<T: Send + 'static>(
        &self,
        verb: impl FnOnce(&Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<Promise<T>> {
        let sender = lock(&self.verbs).clone().ok_or(Error::Stopping)?;
        let (answer, answered) = bounded(1);
        let verb: Verb = Box::new(move |tx| {
            let outcome = tx.and_then(|tx| savepoint(tx, verb));
            Box::new(move |committed| {
                let outcome = match committed {
                    Ok(()) => outcome,
                    // A verb that was refused stays refused, whatever became of the others.
                    Err(error) => outcome.and(Err(error.clone())),
                };
                // Nobody waits any more: the caller is gone, and its change stands all the same.
                let _ = answer.send(outcome);
            })
        });
        sender.send(verb).map_err(|_| Error::Stopping)?;
        Ok(Promise(answered))
    }

    /// Folds the write-ahead log into the database and cuts it, so that what was erased is in neither.
    pub fn fold_log(&self) -> Result<()> {
        let cut = self.begin(|tx| {
            tx.cut_log.set(true);
            Ok(())
        });
        cut?.wait()
    }

    /// Ends the thread after what was sent before.
    pub fn stop(&self) {
        drop(lock(&self.verbs).take());
        if let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            error!("the writer ended in a panic");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn savepoint<T>(tx: &Tx<'_>, verb: impl FnOnce(&Tx<'_>) -> Result<T>) -> Result<T> {
    tx.prepare_cached("SAVEPOINT verb")?.execute([])?;
    match verb(tx) {
        Ok(value) => {
            tx.prepare_cached("RELEASE verb")?.execute([])?;
            tx.batch_tally.borrow_mut().add(tx.tally.take());
            Ok(value)
        }
        Err(error) => {
            tx.tally.take();
            // SQLite may have rolled everything back by itself (a full disk); then there is no savepoint any more.
            if !tx.is_autocommit()
                && let Err(error) = tx.execute_batch("ROLLBACK TO verb; RELEASE verb")
            {
                // Half of a verb must not be committed with the others.
                error!("a verb could not be rolled back, so all of its batch are: {error}");
                roll_back(tx);
            }
            if tx.is_autocommit() {
                tx.broken.replace(Some(error.clone()));
            }
            tx.forget_names()?;
            Err(error)
        }
    }
}

fn write_until_closed(
    connection: Connection,
    names: &RwLock<Names>,
    touched: &Touched,
    measured: &Measured,
    changes: i64,
    verbs: &Receiver<Verb>,
) {
    let tx = Tx {
        connection: &connection,
        names,
        touched,
        hashes: RefCell::new(KnownHashes::none()),
        interned: Cell::new(false),
        changes: Cell::new(changes),
        cut_log: Cell::new(false),
        news: RefCell::default(),
        tally: RefCell::default(),
        batch_tally: RefCell::default(),
        broken: RefCell::new(None),
    };
    let mut replies: Vec<Reply> = Vec::with_capacity(TOGETHER);
    let mut log_is_cut = false;
    loop {
        match verbs.recv_timeout(IDLE) {
            Ok(first) => {
                let begun = Instant::now();
                let committed = commit_together(&tx, first, verbs, &mut replies);
                let tally = tx.batch_tally.take();
                if committed.is_ok() {
                    touched.committed();
                    measured.commits.took(begun.elapsed());
                    measured.committed(tally);
                }
                if let Err(error) = &committed {
                    measured.rolled_back();
                    warn!("a commit was rolled back: {error}");
                    if let Err(error) = tx.forget_names() {
                        error!("names could not be read again: {error}");
                    }
                }
                for line in tx.news.take().into_iter().filter(|_| committed.is_ok()) {
                    info!("{line}");
                }
                // Until no reader is in the way: what was erased is not to stay in the log.
                if tx.cut_log.get() && cut_log_unless_read(&connection, measured, Duration::ZERO) {
                    tx.cut_log.set(false);
                }
                replies.drain(..).for_each(|reply| reply(&committed));
                log_is_cut = false;
                if LOG_PAGES.get() >= CHECKPOINT_PAGES {
                    checkpoint(&connection, measured, "PASSIVE");
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                if !log_is_cut {
                    log_is_cut = cut_log_unless_read(&connection, measured, Duration::ZERO);
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    cut_log_unless_read(&connection, measured, LAST_PATIENCE);
}

fn commit_together(tx: &Tx<'_>, first: Verb, more: &Receiver<Verb>, replies: &mut Vec<Reply>) -> Result<()> {
    tx.interned.set(false);
    if let Err(error) = tx.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([])) {
        let error = Error::from(error);
        replies.push(first(Err(error.clone())));
        return Err(error);
    }
    for verb in std::iter::once(first).chain(more.try_iter().take(TOGETHER - 1)) {
        replies.push(verb(Ok(tx)));
        if tx.is_autocommit() {
            return Err(tx.broken.take().unwrap_or(Error::Full));
        }
    }
    tx.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])).map_err(|error| {
        roll_back(tx);
        Error::from(error)
    })?;
    Ok(())
}

/// Ends the transaction, where SQLite has not done so by itself.
fn roll_back(tx: &Tx<'_>) {
    if !tx.is_autocommit()
        && let Err(error) = tx.execute_batch("ROLLBACK")
    {
        error!("a transaction could not be rolled back: {error}");
    }
}

thread_local! {
    /// Pages in the write-ahead log after the last commit; only the writer's thread commits.
    static LOG_PAGES: Cell<i32> = const { Cell::new(0) };
}

fn note_log_pages(_: &mut Wal, pages: i32) -> rusqlite::Result<()> {
    LOG_PAGES.set(pages);
    Ok(())
}

/// Cuts the log. Where a reader still needs it after `readers_may`, that is left for another time: the next verb does not
/// wait for somebody's export, and the end of the daemon not long.
fn cut_log_unless_read(connection: &Connection, measured: &Measured, readers_may: Duration) -> bool {
    let patience = |patience| {
        if let Err(error) = connection.busy_timeout(patience) {
            warn!("busy_timeout: {error}");
        }
    };
    patience(readers_may);
    let cut = checkpoint(connection, measured, "TRUNCATE");
    patience(super::schema::PATIENCE);
    cut
}

/// Folds the log back. False where somebody was in the way.
fn checkpoint(connection: &Connection, measured: &Measured, mode: &str) -> bool {
    let begun = Instant::now();
    let done = connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i32>(1)?, row.get::<_, i32>(2)?))
    });
    measured.checkpoints.took(begun.elapsed());
    match done {
        // What could not be folded back (a reader still needs it) is tried again after the next commit.
        Ok((busy, in_log, folded)) => {
            LOG_PAGES.set((in_log - folded).max(0));
            busy == 0
        }
        Err(error) => {
            warn!("checkpoint: {error}");
            false
        }
    }
}
