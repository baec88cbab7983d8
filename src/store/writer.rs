//! The one writer: a thread that owns the one writing connection.
//!
//! It takes one verb, then what else is waiting, runs each in a savepoint of its own, commits all of them at once and
//! replies only then: many callers share one sync of the disk, and nobody hears of a change that is not durable. A verb
//! that fails is rolled back alone. Between batches it checkpoints, so that no other thread ever has to.
//!
//! # Memory that mirrors rows, and what happens to it after a rollback
//!
//! | memory | after a rollback |
//! |---|---|
//! | [`Names`] | [`Tx::forget_interned`] removes the names of the failed verb or batch. It reads nothing, so it cannot fail. A number is never given twice in one process, so a number that another thread saw too early means nothing later |
//! | [`KnownHashes`] | keeps the hashes of the failed verb: false positives, which cost one look-up |
//! | [`Touched`] | counts the rows of the failed verb as changed: a commit reads them again |
//! | `Tx::changes` | leaves a gap in the numbers of changes |
//! | [`Tally`], `Tx::news` | are dropped with the verb or the batch |
//! | [`wal::pages`] | changes only at a commit or a checkpoint |
//! | compiled revisions, scopes and job settings of the engine | come from committed rows, and by number from [`Names`] |
//! | statements that SQLite prepared | are SQLite's own; it prepares them again when the schema changed |
//!
//! # When the writer ends
//!
//! After a failed fsync, and after a transaction that cannot be ended, the writer refuses every verb and reports the
//! reason through [`Writer::failed`], so that the process ends. The next start writes the log again
//! ([`wal::write_again`]) and reads everything from the disk.

use std::cell::{Cell, RefCell, RefMut};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use log::{error, info, warn};
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::keys::KnownHashes;
use super::measured::{Measured, Tally};
use super::names::Interned;
use super::touched::{Seen, Touched};
use super::wal::{self, Folded};
use super::{Error, Names, Result, with_system_error};

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

/// Whether the log is cut to nothing after the next commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum CutLog {
    No,
    /// One attempt once no reader is in the way, also on a full disk: it may free the log's space.
    Once,
    /// Attempts until one succeeds: what was erased must not stay in the log.
    Until,
}

/// The transaction that a verb runs in.
pub(super) struct Tx<'a> {
    connection: &'a Connection,
    names: &'a RwLock<Names>,
    touched: &'a Touched,
    hashes: RefCell<KnownHashes>,
    /// The names that this batch added, oldest first.
    interned: RefCell<Vec<Interned>>,
    /// The last number given to a row of `change`. A rolled-back verb leaves a gap, which nobody minds.
    changes: Cell<i64>,
    /// What a verb wants done to the log after its commit, before its reply.
    cut_log: Cell<CutLog>,
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
        self.names.write().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A name was added to [`Names`]: it goes if the verb or the batch is rolled back.
    pub fn note_interned(&self, name: Interned) {
        self.interned.borrow_mut().push(name);
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

    /// Marks the item as changed, ahead of the write.
    pub fn touch(&self, item: i64) {
        self.touched.touch(item);
    }

    /// A line for the log, if the commit holds.
    pub fn tell(&self, line: String) {
        self.news.borrow_mut().push(line);
    }

    /// For the metrics, if the verb succeeds and the commit holds.
    pub fn count(&self, count: impl FnOnce(&mut Tally)) {
        count(&mut self.tally.borrow_mut());
    }

    /// Removes the names that this batch added, but for the first `kept`.
    fn forget_interned(&self, kept: usize) {
        let mut interned = self.interned.borrow_mut();
        if interned.len() > kept {
            let mut names = self.names_mut();
            interned.drain(kept..).for_each(|name| names.forget(name));
        }
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
    failed: Receiver<String>,
    /// No verb runs any more.
    ended: Arc<AtomicBool>,
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
        wal::watch(&mut connection)?;
        let touched = Touched::watch(&mut connection)?;
        let watched = Arc::clone(&touched);
        let (sender, receiver) = bounded(WAITING);
        let (failing, failed) = bounded(1);
        let ended = Arc::new(AtomicBool::new(false));
        let failure = Failure { failing, ended: Arc::clone(&ended) };
        let thread = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || write_until_closed(connection, &names, &watched, &measured, changes, &receiver, &failure))
            .map_err(|error| Error::Unusable(format!("cannot start the writer thread: {error}")))?;
        Ok(Writer { verbs: Mutex::new(Some(sender)), touched, failed, ended, thread: Mutex::new(Some(thread)) })
    }

    /// The writer cannot go on.
    pub fn has_failed(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Gets the reason once, when the writer cannot go on.
    pub fn failed(&self) -> &Receiver<String> {
        &self.failed
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

    /// Folds the write-ahead log into the database and cuts it, so that what was erased is in neither. Where a reader still
    /// needs it, later batches try again.
    pub fn fold_log(&self) -> Result<()> {
        self.cut_log(CutLog::Until)
    }

    /// Tries once to fold the log and to give its space back.
    pub fn fold_log_once(&self) -> Result<()> {
        self.cut_log(CutLog::Once)
    }

    fn cut_log(&self, cut: CutLog) -> Result<()> {
        let asked = self.begin(move |tx| {
            tx.cut_log.set(tx.cut_log.get().max(cut));
            Ok(())
        });
        asked?.wait()
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

/// How the writer's thread reports that it cannot go on.
struct Failure {
    failing: Sender<String>,
    ended: Arc<AtomicBool>,
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
    let interned = tx.interned.borrow().len();
    tx.prepare_cached("SAVEPOINT verb")?.execute([])?;
    let done = verb(tx).and_then(|value| {
        tx.prepare_cached("RELEASE verb")?.execute([])?;
        Ok(value)
    });
    let error = match done {
        Ok(value) => {
            tx.batch_tally.borrow_mut().add(tx.tally.take());
            return Ok(value);
        }
        Err(error) => with_system_error(tx, error),
    };
    tx.tally.take();
    // SQLite may have rolled everything back by itself (a full disk); then there is no savepoint any more.
    let alone = !tx.is_autocommit()
        && match tx.execute_batch("ROLLBACK TO verb; RELEASE verb") {
            Ok(()) => true,
            Err(error) => {
                // Half of a verb must not be committed with the others.
                error!("a verb could not be rolled back, so its whole batch is: {error}");
                roll_back(tx);
                false
            }
        };
    if alone {
        tx.forget_interned(interned);
    } else {
        tx.broken.replace(Some(error.clone()));
    }
    Err(error)
}

fn write_until_closed(
    connection: Connection,
    names: &RwLock<Names>,
    touched: &Touched,
    measured: &Measured,
    changes: i64,
    verbs: &Receiver<Verb>,
    failure: &Failure,
) {
    let tx = Tx {
        connection: &connection,
        names,
        touched,
        hashes: RefCell::new(KnownHashes::none()),
        interned: RefCell::default(),
        changes: Cell::new(changes),
        cut_log: Cell::new(CutLog::No),
        news: RefCell::default(),
        tally: RefCell::default(),
        batch_tally: RefCell::default(),
        broken: RefCell::new(None),
    };
    let Err(error) = write_verbs(&tx, measured, verbs) else { return };
    error!("the writer ends: {error}");
    // What may not be on the disk is not folded into the database: the next start writes the log again first.
    if let Err(error) = keep_log(&connection) {
        error!("{error}");
    }
    failure.ended.store(true, Ordering::Release);
    // Full: the reason is known.
    let _ = failure.failing.try_send(error.to_string());
    for verb in verbs {
        verb(Err(error.clone()))(&Err(error.clone()));
    }
}

/// Runs verbs until there are no more to come.
///
/// # Errors
///
/// [`Error::NotSynced`] or [`Error::Unusable`] where the writer must not go on.
fn write_verbs(tx: &Tx<'_>, measured: &Measured, verbs: &Receiver<Verb>) -> Result<()> {
    let mut replies: Vec<Reply> = Vec::with_capacity(TOGETHER);
    let mut log_is_cut = false;
    loop {
        match verbs.recv_timeout(IDLE) {
            Ok(first) => {
                let committed = write_batch(tx, measured, first, verbs, &mut replies);
                let cut = cut_log(tx, measured);
                replies.drain(..).for_each(|reply| reply(&committed));
                cut?;
                if let Err(error @ Error::NotSynced(_)) = committed {
                    return Err(error);
                }
                if !tx.is_autocommit() {
                    return Err(Error::Unusable("a transaction of the database could not be ended".into()));
                }
                log_is_cut = false;
                if wal::pages() >= CHECKPOINT_PAGES && wal::has_room(tx) {
                    wal::checkpoint(tx, measured, "PASSIVE")?;
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                // One that a reader was in the way of.
                cut_log(tx, measured)?;
                if !log_is_cut && wal::has_room(tx) {
                    log_is_cut = wal::cut_unless_read(tx, measured, Duration::ZERO)? == Folded::All;
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    if wal::has_room(tx) { wal::cut_unless_read(tx, measured, LAST_PATIENCE).map(drop) } else { keep_log(tx) }
}

/// Lets the log stay as it is when the connection closes. The next start folds it into the database.
fn keep_log(connection: &Connection) -> Result<()> {
    Ok(connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map(drop)?)
}

fn cut_log(tx: &Tx<'_>, measured: &Measured) -> Result<()> {
    let wanted = tx.cut_log.get();
    if wanted == CutLog::No || (wanted == CutLog::Until && !wal::has_room(tx)) {
        return Ok(());
    }
    match (wal::cut_unless_read(tx, measured, Duration::ZERO)?, wanted) {
        (Folded::All, _) | (Folded::Failed, CutLog::Once) => tx.cut_log.set(CutLog::No),
        (Folded::Busy | Folded::Failed, _) => {}
    }
    Ok(())
}

/// Runs and commits what is waiting. The replies are for the caller to send.
fn write_batch(
    tx: &Tx<'_>,
    measured: &Measured,
    first: Verb,
    more: &Receiver<Verb>,
    replies: &mut Vec<Reply>,
) -> Result<()> {
    let begun = Instant::now();
    let committed = commit_together(tx, first, more, replies);
    let (tally, news) = (tx.batch_tally.take(), tx.news.take());
    match &committed {
        Ok(()) => {
            tx.interned.borrow_mut().clear();
            tx.touched.committed();
            measured.commits.took(begun.elapsed());
            measured.committed(tally);
            news.iter().for_each(|line| info!("{line}"));
        }
        Err(error) => {
            tx.forget_interned(0);
            measured.rolled_back();
            warn!("a commit was rolled back: {error}");
        }
    }
    committed
}

fn commit_together(tx: &Tx<'_>, first: Verb, more: &Receiver<Verb>, replies: &mut Vec<Reply>) -> Result<()> {
    if let Err(error) = tx.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([])) {
        let error = with_system_error(tx, error.into());
        replies.push(first(Err(error.clone())));
        return Err(error);
    }
    for verb in std::iter::once(first).chain(more.try_iter().take(TOGETHER - 1)) {
        replies.push(verb(Ok(tx)));
        if let Some(error) = tx.broken.take() {
            return Err(error);
        }
    }
    tx.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])).map_err(|error| {
        let error = with_system_error(tx, error.into());
        roll_back(tx);
        error
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

#[cfg(test)]
mod tests {
    use super::super::{Durability, Store};
    use super::*;

    #[test]
    fn a_failed_sync_ends_the_writer_with_a_reason_and_leaves_the_log_to_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Durability::Normal).unwrap();
        store.write(|tx| tx.intern_topic("kept")).unwrap();
        assert!(store.failed().is_empty() && !store.has_failed());
        let lost = store.write(|tx| {
            tx.intern_topic("lost")?;
            tx.execute_batch("ROLLBACK")?;
            Err::<(), Error>(Error::NotSynced("as if the disk failed".into()))
        });
        let reason = store.failed().recv_timeout(Duration::from_secs(60)).unwrap();
        assert!(store.has_failed());
        assert_eq!(lost, Err(Error::NotSynced("as if the disk failed".into())));
        assert!(reason.contains("as if the disk failed"), "{reason}");
        assert_eq!(store.write(|_| Ok(())), lost, "no verb runs after it");
        store.close();
        drop(store);
        assert!(std::fs::metadata(dir.path().join("relabeld.db-wal")).unwrap().len() > 0, "the log was folded");

        let store = Store::open(dir.path(), Durability::Normal).unwrap();
        assert_eq!(std::fs::metadata(dir.path().join("relabeld.db-wal")).unwrap().len(), 0, "the log was not folded");
        assert!(store.names().topic("kept").is_some() && store.names().topic("lost").is_none());
        store.close();
    }
}
