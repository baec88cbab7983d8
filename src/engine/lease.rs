//! The lease loop: gives out items while the workers have room, the live lane first, bulk jobs by priority.

use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use log::error;
use rustc_hash::FxHashMap;

use super::Shared;
use super::rules::{JobRules, Rules, Way};
use super::stats::LEASE_ITEMS;
use super::work::Work;
use crate::job::{JobId, Lane};
use crate::label::Revision;
use crate::model::Millis;
use crate::store::{Ask, Error, Leased, Result, Runnable};

/// Bulk jobs looked at in one turn: past it the youngest wait.
const JOBS: usize = 1_000;
/// With nothing to wait for, how long until the next look: a clock that was set back must not stop the queue.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// Leases given out ahead for each worker; of quick items, as many as the channel takes.
pub const AHEAD: usize = 8;
/// Compiled revisions kept at hand.
const REVISIONS: usize = 4;

pub fn lease_until_stopped(shared: &Shared, wake: &Receiver<()>, live: Sender<Work>, bulk: Sender<Work>) {
    let mut leaser = Leaser {
        shared,
        live,
        bulk,
        ahead: shared.settings.workers.max(1) * AHEAD,
        jobs: FxHashMap::default(),
        furthest: 0.0,
        revisions: Vec::new(),
        next_lease: 0,
        suspect_next: true,
    };
    while !shared.stopping() {
        let sleep = match leaser.turn(Instant::now(), shared.now()) {
            Ok(sleep) => sleep,
            Err(Error::Full) => {
                shared.disk_is_full();
                Duration::from_secs(1)
            }
            Err(Error::Stopping) => return,
            Err(error) => {
                shared.fail(format!("leasing failed: {error}"));
                return;
            }
        };
        match wake.recv_timeout(sleep) {
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// What the loop keeps of a running job between turns.
struct Running {
    rules: Arc<JobRules>,
    /// Items leased so far, divided by priority: the job with the least comes next, so that shares follow priorities
    /// and none starves (stride scheduling, Waldspurger and Weihl 1995).
    pass: f64,
    priority: f64,
    allowance: Option<Allowance>,
}

/// A token bucket: what `max_per_second` still allows.
struct Allowance {
    per_second: f64,
    tokens: f64,
    at: Instant,
}

impl Allowance {
    fn new(per_second: f64, now: Instant) -> Allowance {
        Allowance { per_second, tokens: 1.0, at: now }
    }

    /// A quarter of a second's worth, or one item.
    fn size(&self) -> f64 {
        (self.per_second / 4.0).max(1.0)
    }

    fn refill(&mut self, per_second: f64, now: Instant) {
        self.tokens += now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        (self.per_second, self.at) = (per_second, now);
        self.tokens = self.tokens.min(self.size());
    }

    /// Items that may go now: a bucketful, so that a fast job is not leased item by item.
    fn items(&self) -> usize {
        if self.tokens + 1e-9 >= self.size() { self.tokens.round() as usize } else { 0 }
    }

    fn until_full(&self) -> Duration {
        Duration::from_secs_f64(((self.size() - self.tokens).max(0.0) / self.per_second).min(3600.0))
    }
}

/// How long until a task is due; no time to speak of where none is, or where it could be leased already.
fn until(due: Option<Millis>, now: Millis) -> Duration {
    due.filter(|&due| due > now).map_or(LONGEST_SLEEP, |due| Duration::from_millis((due - now).unsigned_abs()))
}

struct Leaser<'a> {
    shared: &'a Shared,
    live: Sender<Work>,
    bulk: Sender<Work>,
    /// Leases of slow items that wait for all workers.
    ahead: usize,
    jobs: FxHashMap<JobId, Running>,
    /// The furthest that any bulk job has come: where one that comes, or comes back, begins.
    furthest: f64,
    revisions: Vec<Arc<Rules>>,
    next_lease: i64,
    /// Of suspects and the live lane, whose turn it is.
    suspect_next: bool,
}

impl Leaser<'_> {
    /// Leases what there is room for, and answers how long nothing can be expected to change by itself.
    fn turn(&mut self, at: Instant, now: Millis) -> Result<Duration> {
        self.shared.end_if_an_item_hangs();
        if !self.shared.look_at_disk() {
            return Ok(Duration::from_secs(1));
        }
        if self.shared.suspects() {
            return self.suspect_turn(at, now);
        }
        let (bulk, bulk_sleep) = self.bulk_asks(at, now)?;
        let (live, live_sleep) = self.live_asks(at, now)?;
        let sleep = bulk_sleep.min(live_sleep);
        if live.is_empty() && bulk.is_empty() {
            return Ok(sleep);
        }
        let some = self.lease(live.into_iter().chain(bulk).collect(), now)?;
        if self.shared.suspects() {
            // They came while this was leased: it may have gone out after all else was interrupted.
            self.shared.interrupt_all();
        }
        // What could be leased was; more comes only when something changes, and that wakes this loop.
        Ok(if some { Duration::ZERO } else { sleep })
    }

    /// Leases what is asked for, and sends it to the workers. False where there was nothing.
    fn lease(&mut self, asks: Vec<Ask>, now: Millis) -> Result<bool> {
        // Before anything is leased: a job that is held from here on gives no lease, or its lease is interrupted.
        let stops: FxHashMap<JobId, _> = asks.iter().map(|ask| (ask.job, self.shared.stop_flag(ask.job))).collect();
        let leases = self.shared.store.lease(asks.clone(), self.shared.epoch, now)?;
        for ask in asks {
            let given = leases.iter().find(|leased| leased.lease.lease == ask.lease).map_or(0, |l| l.items.len());
            self.give_back(ask, given);
        }
        let some = !leases.is_empty();
        for leased in leases {
            let stop = stops.get(&leased.lease.job).cloned().unwrap_or_default();
            self.dispatch(leased, stop);
        }
        Ok(some)
    }

    /// While there are suspects, one of them is in flight at a time, and nothing beside it: who dies then is known.
    /// Between two of them the live lane has its turn.
    fn suspect_turn(&mut self, at: Instant, now: Millis) -> Result<Duration> {
        if self.shared.in_flight() > 0 {
            return Ok(LONGEST_SLEEP);
        }
        self.suspect_next = !self.suspect_next;
        if !self.suspect_next {
            let (live, _) = self.live_asks(at, now)?;
            self.lease(live, now)?;
            return Ok(Duration::ZERO);
        }
        let lease = self.lease_number();
        // Before it is asked: a job that is resumed meanwhile, with suspects of its own, raises the flag again.
        self.shared.suspects.store(false, Ordering::Relaxed);
        if let Some((job, leased)) = self.shared.store.lease_suspect(self.shared.epoch, lease, now)? {
            self.shared.suspects.store(true, Ordering::Relaxed);
            if let Err(error) = self.take_up(&job, at) {
                // Its item goes back at the next start.
                self.shared.store.pass_over(error)?;
                return Ok(Duration::ZERO);
            }
            // One item: there is no border to stop at.
            self.dispatch(leased, Arc::default());
        }
        Ok(Duration::ZERO)
    }

    fn live_asks(&mut self, at: Instant, now: Millis) -> Result<(Vec<Ask>, Duration)> {
        let mut sleep = LONGEST_SLEEP;
        let room = self.live.capacity().map_or(1, |capacity| capacity - self.live.len());
        if room == 0 {
            return Ok((Vec::new(), sleep));
        }
        let (jobs, next) = self.shared.store.runnable_live(room, now)?;
        sleep = sleep.min(until(next, now));
        let mut asks = Vec::with_capacity(jobs.len());
        for job in &jobs {
            if let Err(error) = self.take_up(job, at) {
                self.shared.store.pass_over(error)?;
                continue;
            }
            // A live job has one item.
            asks.push(Ask { job: job.id, items: 1, lease: self.lease_number() });
        }
        Ok((asks, sleep))
    }

    /// What was asked for and not there is nobody's share: the end of a chunk is shorter than a lease may be.
    fn give_back(&mut self, ask: Ask, given: usize) {
        let Some(running) = self.jobs.get_mut(&ask.job) else { return };
        let rest = ask.items.saturating_sub(given) as f64;
        running.pass -= rest / running.priority;
        if let Some(allowance) = &mut running.allowance {
            allowance.tokens += rest;
        }
    }

    fn bulk_asks(&mut self, at: Instant, now: Millis) -> Result<(Vec<Ask>, Duration)> {
        let mut sleep = LONGEST_SLEEP;
        let room = self.bulk.capacity().map_or(1, |capacity| capacity - self.bulk.len());
        let jobs = self.shared.store.runnable_bulk(JOBS)?;
        // They come by id.
        self.jobs.retain(|id, _| jobs.binary_search_by_key(id, |job| job.id).is_ok());
        for job in &jobs {
            if let Err(error) = self.take_up(job, at) {
                self.shared.store.pass_over(error)?;
                continue;
            }
            sleep = sleep.min(until(job.due, now));
            if let Some(running) = self.jobs.get_mut(&job.id).filter(|_| job.waits(now)) {
                running.pass = running.pass.max(self.furthest);
            }
        }
        let mut open: Vec<&Runnable> = jobs.iter().filter(|job| job.open || job.is_due(now)).collect();
        let mut asks = Vec::with_capacity(room);
        while asks.len() < room && !open.is_empty() {
            let pass = |job: &&Runnable| self.jobs.get(&job.id).map_or(f64::MAX, |running| running.pass);
            let Some(next) = (0..open.len()).min_by(|&a, &b| pass(&open[a]).total_cmp(&pass(&open[b]))) else { break };
            let job = open[next];
            let Some(running) = self.jobs.get_mut(&job.id) else { break };
            let mut items = self.shared.stats.lease_items(job.id);
            // Behind what is slow, who comes later would wait long. No other job either: it would have the depth alone.
            if items < LEASE_ITEMS && self.bulk.len() + asks.len() >= self.ahead {
                break;
            }
            if let Some(allowance) = &mut running.allowance {
                items = items.min(allowance.items());
                if items == 0 {
                    // Time that its own limit let pass gives it no claim on the others' time.
                    running.pass = running.pass.max(self.furthest);
                    sleep = sleep.min(allowance.until_full());
                    open.remove(next);
                    continue;
                }
                allowance.tokens -= items as f64;
            }
            running.pass += items as f64 / running.priority;
            self.furthest = self.furthest.max(running.pass);
            asks.push(Ask { job: job.id, items, lease: self.lease_number() });
        }
        Ok((asks, sleep))
    }

    /// Makes a job ready to be leased from: its rules, its place among the others, its allowance. A job whose rules cannot
    /// be read is [`Error::DamagedJob`].
    fn take_up(&mut self, job: &Runnable, at: Instant) -> Result<()> {
        if !self.jobs.contains_key(&job.id) {
            let way = match (job.reverts, job.revision) {
                (Some(reverts), _) => Way::TakeBack(reverts),
                (None, revision) => {
                    Way::Label(self.rules(revision.unwrap_or_default()).map_err(|error| match error {
                        Error::Damaged(what) | Error::NotFound(what) => Error::DamagedJob { id: job.id, what },
                        other => other,
                    })?)
                }
            };
            let rules = Arc::new(JobRules::new(job, way));
            let priority = job.priority as f64;
            self.jobs.insert(job.id, Running { rules, pass: self.furthest, priority, allowance: None });
        }
        if let Entry::Occupied(mut known) = self.jobs.entry(job.id) {
            let running = known.get_mut();
            running.priority = job.priority as f64;
            match (&mut running.allowance, job.max_per_second) {
                (Some(allowance), Some(per_second)) => allowance.refill(per_second, at),
                (allowance, per_second) => *allowance = per_second.map(|rate| Allowance::new(rate, at)),
            }
        }
        Ok(())
    }

    fn rules(&mut self, revision: Revision) -> Result<Arc<Rules>> {
        if let Some(known) = self.revisions.iter().find(|rules| rules.revision == revision) {
            return Ok(Arc::clone(known));
        }
        let rules = Arc::new(Rules::compile(&self.shared.store, revision, &*self.shared.compile)?);
        if self.revisions.len() == REVISIONS {
            self.revisions.remove(0);
        }
        self.revisions.push(Arc::clone(&rules));
        Ok(rules)
    }

    fn lease_number(&mut self) -> i64 {
        self.next_lease += 1;
        self.next_lease
    }

    fn dispatch(&mut self, leased: Leased, stop: Arc<AtomicBool>) {
        let job = leased.lease.job;
        let Some(running) = self.jobs.get(&job) else {
            // Cannot be: a job is taken up before it is asked for. Its items go back at the next start.
            error!("job {job}: leased without having been taken up");
            return;
        };
        let rules = Arc::clone(&running.rules);
        let channel = if rules.lane == Lane::Live { &self.live } else { &self.bulk };
        self.shared.sent_out();
        // There is room: nobody else sends. Workers outlive this loop.
        let _ = channel.send(Work { leased, rules, stop });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Items granted over `seconds`, looked at whenever the bucket says that it is full, and at `also` besides.
    fn granted(per_second: f64, seconds: u64, also: Duration) -> usize {
        let start = Instant::now();
        let end = start + Duration::from_secs(seconds);
        let mut allowance = Allowance::new(per_second, start);
        let (mut now, mut granted) = (start, 0);
        while now <= end {
            allowance.refill(per_second, now);
            let items = allowance.items();
            allowance.tokens -= items as f64;
            granted += items;
            let elapsed = (now - start).as_secs_f64();
            let most = per_second * elapsed + allowance.size() + 1.0;
            assert!(granted as f64 <= most, "{granted} after {elapsed} s at {per_second} a second");
            now += allowance.until_full().max(Duration::from_micros(1)).min(also);
        }
        granted
    }

    #[test]
    fn an_allowance_gives_what_it_says_and_no_more() {
        for per_second in [0.1, 0.5, 1.0, 3.0, 4.0, 7.3, 100.0, 1_000.0, 12_345.6] {
            for also in [Duration::from_secs(3600), Duration::from_millis(7), Duration::from_millis(333)] {
                let wanted = per_second * 60.0;
                let granted = granted(per_second, 60, also) as f64;
                assert!(granted >= wanted * 0.95 - 1.0 && granted <= wanted * 1.01 + 2.0, "{granted} for {wanted}");
            }
        }
    }

    #[test]
    fn an_allowance_does_not_save_up() {
        let start = Instant::now();
        let mut allowance = Allowance::new(8.0, start);
        allowance.refill(8.0, start + Duration::from_secs(1_000));
        assert_eq!(allowance.items(), 2);
        allowance.tokens -= 2.0;
        assert_eq!(allowance.items(), 0);
    }

    #[test]
    fn an_allowance_follows_its_rate() {
        let start = Instant::now();
        let mut allowance = Allowance::new(0.001, start);
        assert_eq!(allowance.items(), 1, "the first goes at once");
        allowance.tokens -= 1.0;
        assert!(allowance.until_full() > Duration::from_secs(900));
        allowance.refill(100.0, start + Duration::from_secs(1));
        assert!(allowance.until_full() <= Duration::from_millis(250));
        allowance.refill(100.0, start + Duration::from_millis(1_250));
        assert_eq!(allowance.items(), 25);
        // A clock that goes back gives nothing, and takes nothing.
        allowance.refill(100.0, start);
        assert_eq!(allowance.items(), 25);
    }
}
