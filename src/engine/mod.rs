//! The engine: plan, lease, analyse, commit. All its threads are spawned, named and joined here.
//!
//! ```text
//! plan ──► chunk rows ──► lease ──► bounded channels ──► workers ──► bounded channels ──► commit
//!                            ▲        (live, bulk)                    (live, bulk)           │
//!                            └───────────────── woken by publish, control, commit ───────────┘
//! ```

mod begun;
mod commit;
mod lease;
mod plan;
mod prune;
mod rules;
mod shared;
mod stats;
mod work;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use crossbeam_channel::{Receiver, Sender, bounded};
use log::{error, warn};

pub use rules::Compile;
pub use stats::{Speed, Totals};

use self::shared::Shared;
use crate::histogram::Observed;
use crate::job::{Job, JobId};
use crate::model::Millis;
use crate::os::reserve::Reserve;
use crate::store::{Recovered, Result, Steering, Store};

/// What the engine is told once.
#[derive(Debug, Clone)]
pub struct Settings {
    pub data_dir: PathBuf,
    /// Threads for bulk jobs; the live lane has its own.
    pub workers: usize,
    pub max_attempts: u32,
    /// An analysis that takes longer ends the process.
    pub max_item_time: Duration,
    /// How long an ended job keeps its items and history, in milliseconds.
    pub retention: Millis,
    /// Below this much free space nothing is leased.
    pub min_free_bytes: u64,
    /// Milliseconds since the epoch, now.
    pub clock: fn() -> Millis,
}

/// A stop waits so long for what is being analysed.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// Capacity of the live lane's channels, in leases.
const LIVE_CAPACITY: usize = 64;

/// The live lane never waits for the bulk lane; and one item of its own that takes long is not to hold up the others.
fn live_workers(workers: usize) -> usize {
    workers.max(2)
}

/// The running engine.
pub struct Engine {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    recovered: Recovered,
}

impl Engine {
    /// Recovers what an earlier process left and starts to drain. `failed` hears when the store cannot be written to.
    pub fn start(
        store: Arc<Store>,
        settings: Settings,
        compile: Arc<Compile>,
        failed: Sender<String>,
    ) -> anyhow::Result<Engine> {
        let reserve = Reserve::of(&settings.data_dir)
            .with_context(|| format!("cannot read the file system size of {}", settings.data_dir.display()))?;
        let left = begun::Notes::left(&settings.data_dir)?;
        let recovered = store.recover(left, settings.max_attempts, (settings.clock)())?;
        let workers = settings.workers.max(1);
        let notes = begun::Notes::create(&settings.data_dir, recovered.epoch, workers + live_workers(workers))?;
        let (wake_lease, lease_woken) = bounded(1);
        let (wake_plan, plan_woken) = bounded(1);
        let (wake_prune, prune_woken) = bounded(1);
        let shared = Arc::new(Shared {
            suspects: AtomicBool::new(store.has_suspects()?),
            store,
            settings,
            compile,
            notes,
            begun: (0..workers + live_workers(workers)).map(|_| Mutex::default()).collect(),
            started: Instant::now(),
            epoch: recovered.epoch,
            stats: stats::Stats::default(),
            stopping: AtomicBool::new(false),
            held: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            disk_looked_at: Mutex::new(None),
            reserve,
            reserve_failed: AtomicBool::new(false),
            stops: Mutex::default(),
            news: Default::default(),
            wake_lease,
            wake_plan,
            wake_prune,
            failed,
        });
        // Before anything is answered: `held` is right from the first request on.
        shared.look_at_disk();
        let engine = Engine { shared, threads: Mutex::default(), recovered };
        engine.spawn_all(workers, lease_woken, plan_woken, prune_woken)?;
        engine.shared.wake_plan();
        Ok(engine)
    }

    fn spawn_all(
        &self,
        workers: usize,
        lease_woken: Receiver<()>,
        plan_woken: Receiver<()>,
        prune_woken: Receiver<()>,
    ) -> std::io::Result<()> {
        let (live, live_work) = bounded(LIVE_CAPACITY);
        // New leases come when a commit has brought some back. With four commits' worth the workers do not run dry while
        // the writer waits for its turn at the processor.
        let (bulk, bulk_work) = bounded((workers * lease::AHEAD).max(4 * commit::LEASES));
        let (bulk_outcomes, bulk_receiver) = bounded((workers * 4).max(commit::BACKLOG));
        let (live_outcomes, live_receiver) = bounded(LIVE_CAPACITY);
        self.spawn("prune", move |shared| prune::prune_until_stopped(shared, &prune_woken))?;
        self.spawn("plan", move |shared| plan::plan_until_closed(shared, &plan_woken))?;
        self.spawn("lease", move |shared| lease::lease_until_stopped(shared, &lease_woken, live, bulk))?;
        for slot in 0..workers {
            let (work, outcomes) = (bulk_work.clone(), bulk_outcomes.clone());
            self.spawn(&format!("work-{slot}"), move |shared| {
                work::work_until_closed(shared, slot, &work, &outcomes);
            })?;
        }
        for live in 0..live_workers(workers) {
            let (work, outcomes) = (live_work.clone(), live_outcomes.clone());
            self.spawn(&format!("live-{live}"), move |shared| {
                work::work_until_closed(shared, workers + live, &work, &outcomes);
            })?;
        }
        drop((bulk_outcomes, live_outcomes));
        let outcomes = commit::OutcomeReceivers { live: live_receiver, bulk: bulk_receiver };
        self.spawn("commit", move |shared| commit::commit_until_closed(shared, &outcomes))
    }

    fn spawn(&self, name: &str, run: impl FnOnce(&Shared) + Send + 'static) -> std::io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || run(&shared))?;
        self.threads.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(thread);
        Ok(())
    }

    /// Ends gracefully: items being analysed end and are committed, leases not begun go back.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.shared.notes.forgive();
        self.shared.wake_lease();
        self.shared.wake_plan();
        self.shared.wake_prune();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
        let patience = Instant::now() + STOP_PATIENCE;
        while threads.iter().any(|thread| !thread.is_finished()) {
            if Instant::now() > patience {
                // They end with the process. Their leases go back at the next start.
                let unfinished = threads.iter().filter(|thread| !thread.is_finished());
                let names: Vec<&str> = unfinished.filter_map(|thread| thread.thread().name()).collect();
                warn!(
                    "stop: {} did not end within {} s; the next start repeats what is not committed",
                    names.join(", "),
                    STOP_PATIENCE.as_secs()
                );
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        for thread in threads {
            let name = thread.thread().name().unwrap_or("?").to_owned();
            if thread.join().is_err() {
                error!("thread {name} ended in a panic");
            }
        }
    }

    /// A job was published or resumed, or items came: there may be something to do.
    pub fn wake(&self) {
        self.shared.wake_plan();
        self.shared.wake_lease();
    }

    pub fn pause(&self, job: JobId) -> Result<Job> {
        let paused = self.shared.with_reserve(|| self.shared.store.pause_job(job))?;
        self.interrupt_group(job)?;
        Ok(paused)
    }

    pub fn resume(&self, job: JobId) -> Result<Job> {
        let resumed = self.shared.with_reserve(|| self.shared.store.resume_job(job))?;
        if self.shared.store.has_suspects()? && !self.shared.suspects.swap(true, Ordering::Relaxed) {
            // They wait until nothing is in flight, and the live lane with them.
            self.shared.interrupt_all();
        }
        self.wake();
        Ok(resumed)
    }

    pub fn cancel(&self, job: JobId) -> Result<Job> {
        let cancelled = self.shared.with_reserve(|| self.shared.store.cancel_job(job, self.shared.now()))?;
        self.interrupt_group(job)?;
        Ok(cancelled)
    }

    /// Changes a job while it runs, at once: what was leased under its old speed goes back.
    pub fn steer(&self, job: JobId, steering: Steering) -> Result<Job> {
        let new_speed = steering.max_per_second.is_some();
        let steered = self.shared.with_reserve(|| self.shared.store.steer_job(job, steering.clone()))?;
        if new_speed {
            self.interrupt_group(job)?;
        }
        self.wake();
        Ok(steered)
    }

    /// Makes an ended job, or a draft, as good as gone.
    pub fn delete(&self, job: JobId) -> Result<()> {
        self.shared.with_reserve(|| self.shared.store.delete_job(job))?;
        self.shared.wake_prune();
        Ok(())
    }

    fn interrupt_group(&self, job: JobId) -> Result<()> {
        for job in self.shared.store.group(job)? {
            self.shared.interrupt(job);
            self.shared.stats.forget(job);
        }
        Ok(())
    }

    /// Waits until something was committed or planned after `seen`, at most for `patience`; the count as it then stands.
    pub fn await_news(&self, seen: u64, patience: Duration) -> u64 {
        let (count, told) = &self.shared.news;
        let count = count.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let waited = told.wait_timeout_while(count, patience, |count| *count <= seen);
        *waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0
    }

    /// How fast a job goes just now; None while unknown.
    pub fn speed(&self, job: JobId) -> Option<Speed> {
        self.shared.stats.speed(job, self.shared.now())
    }

    pub fn totals(&self) -> Totals {
        self.shared.stats.totals()
    }

    /// The labeller's time on each item since the start.
    pub fn analyses(&self) -> Observed {
        self.shared.stats.analyses.observed()
    }

    /// The items of each commit since the start.
    pub fn batches(&self) -> Observed {
        self.shared.stats.batches.observed()
    }

    /// A write beside the database found the disk full: the queue is held, and the reserve is released.
    pub fn disk_is_full(&self) {
        self.shared.disk_is_full();
    }

    /// Nothing is leased until the disk has room.
    pub fn held(&self) -> bool {
        self.shared.held()
    }

    pub fn stopping(&self) -> bool {
        self.shared.stopping()
    }

    pub fn uptime(&self) -> Duration {
        self.shared.started.elapsed()
    }

    pub fn workers(&self) -> usize {
        self.shared.settings.workers.max(1)
    }

    pub fn recovered(&self) -> Recovered {
        self.recovered
    }
}
