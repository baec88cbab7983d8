//! Workers: they read the items of a lease, have them analysed, and send on what was found. They never write.

use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use rustc_hash::FxHashMap;

use super::Shared;
use super::rules::{JobRules, Rules, ShapeScope, Way};
use super::stats::Stats;
use crate::histogram::Histogram;
use crate::job::JobId;
use crate::labeller::analyse_guarded;
use crate::model::{Failure, Millis};
use crate::store::{Done, Finding, ItemBatch, Key, LeaseOutcome, Leased, LeasedItem, ReadItem, Result, Stood, Store};

/// A lease on its way to a worker.
pub struct Work {
    pub leased: Leased,
    pub rules: Arc<JobRules>,
    /// Set when the job is held or cancelled: looked at before each item.
    pub stop: Arc<AtomicBool>,
}

/// A lease that takes longer than this is committed piece by piece, so that progress shows and little is done again.
const PIECE: Duration = Duration::from_millis(200);
/// The same where it costs as much to commit, as [`Finding::cost`]: items may have very many labels. With
/// [`super::commit::BACKLOG`] it bounds what outcomes that wait take of memory, but for a single item that costs more.
const PIECE_COST: usize = 512;
/// Stored bytes of items read at once.
const READ_AHEAD: usize = 1 << 20;
/// Items looked up at once of what another job did.
const LOOKED_UP: usize = 64;
/// The first wait before a transient failure is tried again; it doubles with each attempt.
const BACK_OFF: Duration = Duration::from_millis(500);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(60);

/// Takes work until there is none to come. `slot` is the worker's own in the note of what was begun.
pub fn work_until_closed(shared: &Shared, slot: usize, work: &Receiver<Work>, outcomes: &Sender<LeaseOutcome>) {
    let mut desk = Desk { shared, slot, batch: ItemBatch::default(), analyses: Histogram::times() };
    for work in work {
        let mut lease = Progress::new(&work, &shared.stats, outcomes);
        let worked = match &work.rules.way {
            Way::Label(rules) => desk.analyse_lease(&work, rules, &mut lease),
            Way::TakeBack(job) => look_up_lease(shared, &work, *job, &mut lease),
        };
        if let Err(error) = worked {
            shared.fail(format!("a worker could not read: {error}"));
        }
        desk.tell_times();
        lease.send(true);
    }
}

/// What a worker has at hand from lease to lease.
struct Desk<'a> {
    shared: &'a Shared,
    slot: usize,
    batch: ItemBatch,
    /// Not told yet: what all workers add to at each item would cost each of them.
    analyses: Histogram,
}

/// What has come of a lease and was not sent yet.
struct Progress<'a> {
    work: &'a Work,
    stats: &'a Stats,
    outcomes: &'a Sender<LeaseOutcome>,
    done: Vec<Done>,
    /// Of these, to commit them.
    cost: usize,
    since: Instant,
}

impl<'a> Progress<'a> {
    fn new(work: &'a Work, stats: &'a Stats, outcomes: &'a Sender<LeaseOutcome>) -> Self {
        let done = Vec::with_capacity(work.leased.items.len());
        Progress { work, stats, outcomes, done, cost: 0, since: Instant::now() }
    }

    fn push(&mut self, done: Done) {
        self.cost += done.finding.cost();
        self.done.push(done);
    }

    /// Enough to be committed by itself.
    fn is_due(&self) -> bool {
        self.cost >= PIECE_COST || self.since.elapsed() >= PIECE
    }

    /// Sends what there is to be committed.
    fn send(&mut self, ends: bool) {
        let rules = &self.work.rules;
        self.stats.spent(rules.job, self.done.len(), self.since.elapsed());
        let piece = LeaseOutcome {
            lease: self.work.leased.lease,
            weight_each: self.work.leased.weight_each,
            deed: rules.deed(),
            dry_run: rules.dry_run,
            done: std::mem::take(&mut self.done),
            ends,
        };
        // The commit loop outlives the workers.
        let _ = self.outcomes.send(piece);
        // Waiting for it was no work of this job.
        (self.cost, self.since) = (0, Instant::now());
    }
}

impl Desk<'_> {
    fn tell_times(&self) {
        self.shared.stats.analyses.absorb(&self.analyses);
    }

    fn analyse_lease(&mut self, work: &Work, rules: &Rules, lease: &mut Progress<'_>) -> Result<()> {
        let mut scopes = Scopes { job: &work.rules, rules, store: &self.shared.store, known: FxHashMap::default() };
        let mut rest = &work.leased.items[..];
        while !rest.is_empty() && !is_held(self.shared, work) {
            let numbers: Vec<i64> = rest.iter().map(|item| item.key.item).collect();
            let mut read = std::mem::take(&mut self.batch);
            self.shared.store.read_items(&numbers, READ_AHEAD, &mut read)?;
            let (batch, after) = rest.split_at(read.len().min(rest.len()));
            rest = after;
            for (item, read) in batch.iter().zip(read.items()) {
                if is_held(self.shared, work) {
                    return Ok(());
                }
                let finding = match item.elsewhere {
                    true => Finding::Elsewhere,
                    false => self.attempt(&mut scopes, item, read)?,
                };
                lease.push(done(item, finding));
                if lease.is_due() {
                    self.tell_times();
                    lease.send(false);
                }
            }
            self.batch = read;
        }
        Ok(())
    }

    fn attempt(
        &self,
        scopes: &mut Scopes<'_>,
        item: &LeasedItem,
        read: Option<(ReadItem<'_>, &Stood)>,
    ) -> Result<Finding> {
        let (shared, job, rules) = (self.shared, scopes.job, scopes.rules);
        let Some((read, stood)) = read else { return Ok(Finding::Gone) };
        if item.key.asked.is_some() && item.key.asked != read.version {
            return Ok(Finding::StaleVersion);
        }
        let Some(scope) = scopes.of(&read)? else { return Ok(Finding::Gone) };
        let is_fresh = |(program, alike): &(u32, Vec<i64>)| {
            stood.fresh().iter().any(|(other, revision)| other == program && alike.contains(revision))
        };
        if job.filter.stale_only && scope.alike.iter().all(is_fresh) {
            return Ok(Finding::Current);
        }
        let Ok(document) = read.document() else {
            let why = "the stored text does not decode: stop the daemon and run `relabeld check`";
            return Ok(failed(Failure::Permanent(why.into()), item, shared.now()));
        };
        let since = shared.begins(self.slot, job.job, item.pos);
        let analysed = analyse_guarded(&*rules.labeller, &document, &scope.topics);
        self.analyses.took(since.elapsed());
        let found = analysed.and_then(|detections| rules.by_place(&detections));
        shared.ends(self.slot);
        Ok(match found {
            Ok(found) => Finding::Read { stood: stood.clone(), scope: Arc::clone(&scope.scope), found },
            Err(failure) => failed(failure, item, shared.now()),
        })
    }
}

/// What a job may do to the items of each shape, as one lease meets them: workers that asked the job's own list at each
/// item would wait for each other.
struct Scopes<'a> {
    job: &'a JobRules,
    rules: &'a Rules,
    store: &'a Store,
    known: FxHashMap<i64, Option<Arc<ShapeScope>>>,
}

impl Scopes<'_> {
    /// None when the item is not what the job is about any more.
    fn of(&mut self, item: &ReadItem<'_>) -> Result<Option<&ShapeScope>> {
        if !self.job.filter.fits_time(item.at) {
            return Ok(None);
        }
        let scope = match self.known.entry(item.shape) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(self.job.scope(self.rules, self.store, item.shape)?),
        };
        Ok(scope.as_deref())
    }
}

/// Looks up what another job did to the items of a lease. Nothing is analysed, so that nobody is suspect.
fn look_up_lease(shared: &Shared, work: &Work, job: JobId, lease: &mut Progress<'_>) -> Result<()> {
    for items in work.leased.items.chunks(LOOKED_UP) {
        if is_held(shared, work) {
            return Ok(());
        }
        let keys: Vec<Key> = items.iter().map(|item| item.key).collect();
        for (item, undo) in items.iter().zip(shared.store.undos(job, &keys)?) {
            let finding = match undo {
                _ if item.elsewhere => Finding::Elsewhere,
                Ok(undo) => Finding::TakeBack(undo),
                Err(damage) => failed(Failure::Permanent(damage), item, shared.now()),
            };
            lease.push(done(item, finding));
        }
        if lease.is_due() {
            lease.send(false);
        }
    }
    Ok(())
}

/// No further item of the lease is begun.
fn is_held(shared: &Shared, work: &Work) -> bool {
    work.stop.load(Ordering::Relaxed) || shared.stopping()
}

fn done(item: &LeasedItem, finding: Finding) -> Done {
    Done { pos: item.pos, key: item.key, attempts: item.attempts + 1, uncharged: item.uncharged, finding }
}

/// What an attempt that came to nothing is worth.
fn failed(failure: Failure, item: &LeasedItem, now: Millis) -> Finding {
    Finding::Failed { failure, not_before: now + back_off(item.attempts, item.pos).as_millis() as Millis }
}

/// Doubles with each attempt; up to a quarter more by position, so that what failed together is not tried together.
fn back_off(attempts_before: u32, pos: i64) -> Duration {
    let wait = BACK_OFF.saturating_mul(1 << attempts_before.min(16)).min(LONGEST_BACK_OFF);
    // A multiplicative hash (Knuth): neighbours land far apart.
    let spread = (pos as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
    wait + wait * spread as u32 / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_a_minute_and_is_spread() {
        assert!(back_off(0, 0) >= BACK_OFF && back_off(0, 0) < BACK_OFF * 2);
        assert!(back_off(1, 5) >= BACK_OFF * 2);
        assert!(back_off(40, 7) <= LONGEST_BACK_OFF + LONGEST_BACK_OFF / 4);
        let waits: std::collections::BTreeSet<_> = (0..100).map(|pos| back_off(2, pos)).collect();
        assert!(waits.len() > 50, "{} different waits", waits.len());
    }
}
