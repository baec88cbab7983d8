//! What the threads of the engine share: the store, the flags they look at, and the wake-ups they send each other.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use log::{error, info, warn};
use rustc_hash::FxHashMap;

use super::{Compile, Settings, begun, stats};
use crate::job::JobId;
use crate::model::Millis;
use crate::os;
use crate::os::reserve::Reserve;
use crate::store::{Error, Result, Store};

/// An item in analysis.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begun {
    job: JobId,
    pos: i64,
    since: Instant,
}

/// What all threads of the engine share.
pub(super) struct Shared {
    pub store: Arc<Store>,
    pub settings: Settings,
    pub compile: Arc<Compile>,
    pub notes: begun::Notes,
    /// What each worker is analysing, and since when.
    pub begun: Vec<Mutex<Option<Begun>>>,
    pub started: Instant,
    pub epoch: i64,
    pub stats: stats::Stats,
    pub stopping: AtomicBool,
    /// Nothing is leased until the disk has room.
    pub held: AtomicBool,
    pub reserve: Reserve,
    /// The log says that the reserve cannot be made.
    pub reserve_failed: AtomicBool,
    pub suspects: AtomicBool,
    /// Leases that are out.
    pub in_flight: AtomicUsize,
    pub disk_looked_at: Mutex<Option<Instant>>,
    pub stops: Mutex<FxHashMap<JobId, Arc<AtomicBool>>>,
    /// Counts what was committed or planned, for those who wait to see it.
    pub news: (Mutex<u64>, Condvar),
    pub wake_lease: Sender<()>,
    pub wake_plan: Sender<()>,
    pub wake_prune: Sender<()>,
    pub failed: Sender<String>,
}

/// The free space is looked at this often.
const DISK_EVERY: Duration = Duration::from_secs(1);

impl Shared {
    pub fn now(&self) -> Millis {
        (self.settings.clock)()
    }

    pub fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub fn held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    /// The store cannot be relied on any more: say so and end, so that a new start recovers from what is committed.
    pub fn fail(&self, why: String) {
        error!("{why}");
        self.stopping.store(true, Ordering::Relaxed);
        // The first reason counts.
        let _ = self.failed.try_send(why);
        self.wake_lease();
    }

    /// A full channel means that a wake-up is on its way already.
    pub fn wake_lease(&self) {
        let _ = self.wake_lease.try_send(());
    }

    pub fn wake_plan(&self) {
        let _ = self.wake_plan.try_send(());
    }

    pub fn wake_prune(&self) {
        let _ = self.wake_prune.try_send(());
    }

    /// A write found the disk full: the queue is held, and the reserve is released for what must still be written.
    pub fn disk_is_full(&self) {
        self.hold();
        if !self.reserve.is_kept() {
            return;
        }
        // First: a checkpoint may free the log's space, and must not take the reserve's.
        if let Err(error) = self.store.fold_log_once() {
            warn!("WAL checkpoint failed: {error}");
        }
        self.reserve.release();
    }

    /// Runs a write that must also work on a full disk. If the disk is full, releases the reserve and retries once.
    pub fn with_reserve<T>(&self, run: impl Fn() -> Result<T>) -> Result<T> {
        match run() {
            Err(Error::Full) => {
                self.disk_is_full();
                run()
            }
            other => other,
        }
    }

    fn hold(&self) {
        if !self.held.swap(true, Ordering::Relaxed) {
            let needed = self.settings.min_free_bytes.saturating_add(2 * self.reserve.bytes());
            let free = os::describe_free(&self.settings.data_dir);
            warn!("the disk is full: {free}; leasing stops until {needed} bytes are free");
        }
    }

    fn disk_has_room(&self) {
        if self.held.swap(false, Ordering::Relaxed) {
            info!("the disk has room again: leasing goes on");
            self.wake_plan();
            self.wake_prune();
        }
    }

    /// The queue goes on where the reserve is whole, or cannot be made for another reason than space.
    fn keep_reserve(&self, least: u64) {
        match self.reserve.keep(least) {
            Err(error) if os::is_full(&error) => return self.hold(),
            Err(error) if !self.reserve_failed.swap(true, Ordering::Relaxed) => {
                warn!("no space is reserved for a full disk: {}/reserve: {error}", self.settings.data_dir.display());
            }
            _ => {}
        }
        self.disk_has_room();
    }

    /// Looks at the free space, at most once a second. False where there is too little.
    pub fn look_at_disk(&self) -> bool {
        let mut looked_at = self.disk_looked_at.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if looked_at.is_none_or(|at| at.elapsed() >= DISK_EVERY) {
            *looked_at = Some(Instant::now());
            let least = self.settings.min_free_bytes;
            match os::free_bytes(&self.settings.data_dir) {
                // Without `min_free_bytes` too: whatever is written next would find the disk full.
                Ok(free) if free < self.reserve.bytes() => self.disk_is_full(),
                Ok(free) if free < least => self.hold(),
                Ok(_) => self.keep_reserve(least),
                Err(error) => warn!("cannot read the free space of {}: {error}", self.settings.data_dir.display()),
            }
        }
        !self.held()
    }

    pub fn suspects(&self) -> bool {
        self.suspects.load(Ordering::Relaxed)
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    pub fn sent_out(&self) {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
    }

    pub fn returned(&self, leases: usize) {
        self.in_flight.fetch_sub(leases, Ordering::AcqRel);
        self.tell_news();
        self.wake_lease();
    }

    /// Worker `slot` begins to analyse an item, at the time that it answers.
    pub fn begins(&self, slot: usize, job: JobId, pos: i64) -> Instant {
        self.notes.begin(slot, job, pos);
        let since = Instant::now();
        *self.begun(slot) = Some(Begun { job, pos, since });
        since
    }

    fn begun(&self, slot: usize) -> std::sync::MutexGuard<'_, Option<Begun>> {
        self.begun[slot].lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// An analysis cannot be ended from outside. One that has taken too long is treated as one that ends the process:
    /// its item is then run alone, and quarantined when it does so again.
    pub fn end_if_an_item_hangs(&self) {
        for slot in 0..self.begun.len() {
            let Some(Begun { job, pos, since }) = *self.begun(slot) else { continue };
            if since.elapsed() > self.settings.max_item_time {
                error!(
                    "job {job}: its item at position {pos} has been in analysis for {} s (max_item_seconds): the process ends, and its next start runs it alone",
                    since.elapsed().as_secs()
                );
                std::process::exit(1);
            }
        }
    }

    /// Worker `slot` has ended the analysis: its item is not suspect any more.
    pub fn ends(&self, slot: usize) {
        *self.begun(slot) = None;
        self.notes.end(slot);
    }

    pub fn tell_news(&self) {
        *self.news.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) += 1;
        self.news.1.notify_all();
    }

    pub fn stops(&self) -> std::sync::MutexGuard<'_, FxHashMap<JobId, Arc<AtomicBool>>> {
        self.stops.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub fn stop_flag(&self, job: JobId) -> Arc<AtomicBool> {
        let mut stops = self.stops();
        // Flags that no lease holds any more are of no use to anybody.
        if stops.len() > 256 {
            stops.retain(|_, flag| Arc::strong_count(flag) > 1);
        }
        Arc::clone(stops.entry(job).or_default())
    }

    /// Leases of the job that are out end at their next item; later ones are not concerned.
    pub fn interrupt(&self, job: JobId) {
        if let Some(flag) = self.stops().remove(&job) {
            flag.store(true, Ordering::Relaxed);
        }
    }

    /// The same of all jobs.
    pub fn interrupt_all(&self) {
        self.stops().drain().for_each(|(_, flag)| flag.store(true, Ordering::Relaxed));
    }
}
