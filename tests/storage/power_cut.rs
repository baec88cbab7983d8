//! A power cut at any moment: with `--durability full` nothing acknowledged is missing, with `normal` something sometimes
//! is, and `check` finds no fault either way.
//!
//! A workload is recorded once; each cut rebuilds the data directory from the record and starts the daemon on it.
//! `RELABELD_POWER_CUT_SEED` chooses other cases, `RELABELD_POWER_CUTS` sets the number of cuts.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::client::{Acknowledged, Client, Ledger, StepError};
use super::daemon::{Daemon, relabeld};
use super::record::{Disk, Operation, parse};
use super::rng::Rng;
use super::shim::{DATABASE, EIO, Effect, Fault, SYNC, Shim, WAL};
use super::transitions::{Items, STEPS, Step};
use super::{check, run_all, scratch, setting};

const CUTS: u64 = 120;
const FAILED_SYNCS: u64 = 24;
/// Cuts among so many operations after a failed sync.
const SOON_CUTS: usize = 5;
const SOON: usize = 60;
const PATIENCE: Duration = Duration::from_secs(30);

fn seed() -> u64 {
    let seed = setting("RELABELD_POWER_CUT_SEED", 1);
    println!("RELABELD_POWER_CUT_SEED={seed}");
    seed
}

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let lost = cut_often("full").concat();
    assert!(lost.is_empty(), "{}", lost.join("\n"));
}

/// Without this the test above could pass by a model that loses nothing.
#[test]
fn a_power_cut_may_lose_the_last_commits_with_normal_durability() {
    let lost = cut_often("normal");
    let lossy = lost.iter().filter(|lost| !lost.is_empty()).count();
    println!("{lossy} of {} cuts lost something that was acknowledged", lost.len());
    assert!(lossy > 0, "none of {} cuts lost anything", lost.len());
}

/// Cuts the power at seeded moments of one workload, and returns what each cut lost of what was acknowledged before it.
///
/// # Panics
///
/// Where the daemon does not start after a cut, and where `check` finds a fault.
fn cut_often(durability: &'static str) -> Vec<Vec<String>> {
    let seed = seed();
    let scratch = scratch();
    let dir = scratch.path().join("data");
    let items = Items::new(80, 30);
    let shim = Shim::recording(&dir);
    let flags = ["--durability", durability];
    let mut workload = Workload { shim: &shim, dir: &dir, flags: &flags, ledger: Ledger::default(), daemon: None };
    for (number, (_, step)) in STEPS.iter().enumerate() {
        workload.run_step(&items, *step);
        match number {
            5 => workload.stop(),
            // SIGKILL.
            9 => workload.daemon = None,
            _ => {}
        }
    }
    workload.stop();
    let operations = parse(&shim.record());
    let cuts = setting("RELABELD_POWER_CUTS", CUTS) as usize;
    let acknowledged = workload.ledger.moments();
    let mut rng = Rng::of_case(seed, durability, 0);
    // Half of them just after an acknowledgement.
    let cuts: Vec<u64> = (0..cuts)
        .map(|n| match n % 2 {
            0 => operations[rng.below(operations.len() as u64) as usize].end,
            _ => acknowledged[rng.below(acknowledged.len() as u64) as usize],
        })
        .collect();
    cut_all(&operations, &workload.ledger, &cuts, seed, &flags)
}

/// Rebuilds the disk after each cut and inspects it. The cuts are lengths of the record.
fn cut_all(operations: &[Operation], ledger: &Ledger, cuts: &[u64], seed: u64, flags: &[&str]) -> Vec<Vec<String>> {
    let scratch = scratch();
    let lossy = AtomicUsize::new(0);
    let lost = std::sync::Mutex::new(BTreeMap::new());
    let numbered: Vec<(usize, u64)> = cuts.iter().copied().enumerate().collect();
    let run = |&(number, cut): &(usize, u64)| {
        let mut disk = Disk::default();
        operations.iter().take_while(|operation| operation.end <= cut).for_each(|operation| disk.run(operation));
        let dir = scratch.path().join(format!("cut-{number}"));
        let mut rng = Rng::of_case(seed, "cut", number);
        lossy.fetch_add(usize::from(disk.cut_power(&dir, &mut rng)), Ordering::Relaxed);
        let (missing, faults) = inspect(&dir, &ledger.acknowledged(cut), flags);
        let name = |fault: String| format!("cut {number} after {cut} bytes of the record, seed {seed}: {fault}");
        lost.lock().unwrap().insert(number, missing.into_iter().map(name).collect::<Vec<_>>());
        let faults: Vec<String> = faults.into_iter().map(name).collect();
        if faults.is_empty() {
            std::fs::remove_dir_all(&dir).unwrap();
        }
        faults
    };
    let faults = run_all(&numbered, |(number, _)| format!("cut {number}, seed {seed}"), run);
    let faults = faults.concat();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let lossy = lossy.into_inner();
    println!("{} cuts, {lossy} of them took something away", cuts.len());
    assert!(lossy * 3 > cuts.len(), "only {lossy} of {} cuts took something away", cuts.len());
    lost.into_inner().unwrap().into_values().collect()
}

/// Starts the daemon after a cut: the guarantees that do not hold, and what else is wrong.
fn inspect(dir: &Path, guarantees: &BTreeMap<String, Acknowledged>, flags: &[&str]) -> (Vec<String>, Vec<String>) {
    let mut daemon = match Daemon::try_spawn(relabeld(), dir, flags) {
        Ok(daemon) => daemon,
        Err(ended) => return (Vec::new(), vec![format!("the start ended with {}: {}", ended.status, ended.log)]),
    };
    let (shim, ledger) = (Shim::new(dir), Ledger::default());
    let client = Client::new(&daemon, &shim, &ledger, PATIENCE);
    let seen = client.lost(guarantees).and_then(|lost| {
        client.await_all_jobs()?;
        Ok((lost, client.view()?.remove("feed").unwrap()))
    });
    let (lost, feed) = match seen {
        Ok(seen) => seen,
        Err(error) => return (Vec::new(), vec![format!("{error}: {}", daemon.log())]),
    };
    let mut faults = Vec::new();
    if feed != ["whole"] && feed != ["pruned"] {
        faults.push(feed.concat());
    }
    daemon.terminate();
    if daemon.wait().code() != Some(0) {
        faults.push(daemon.log());
    }
    faults.extend(check(dir));
    (lost, faults)
}

/// The daemons of one recorded data directory, one after the other.
struct Workload<'a> {
    shim: &'a Shim,
    dir: &'a Path,
    flags: &'a [&'a str],
    ledger: Ledger,
    daemon: Option<Daemon>,
}

impl Workload<'_> {
    /// Repeats the step until it is done; a daemon that ends is started again.
    fn run_step(&mut self, items: &Items, step: Step) {
        let mut errors = Vec::new();
        for _ in 0..5 {
            let daemon = match self.daemon.take() {
                Some(daemon) => daemon,
                None => match Daemon::try_spawn(self.shim.relabeld(), self.dir, self.flags) {
                    Ok(daemon) => daemon,
                    // The fault hit the start.
                    Err(error) => {
                        errors.push(format!("the start ended with {}", error.status));
                        continue;
                    }
                },
            };
            let daemon = self.daemon.insert(daemon);
            let client = Client::new(daemon, self.shim, &self.ledger, PATIENCE);
            let Err(error) = client.await_ready().and_then(|()| step(&client, items)) else { return };
            errors.push(error.to_string());
            if let StepError::Disconnected(..) = error {
                daemon.wait();
                self.daemon = None;
            }
        }
        let log = self.daemon.as_ref().map_or_else(String::new, |daemon| daemon.log());
        panic!("a step does not succeed: {errors:?}, {log}");
    }

    fn stop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.terminate();
            daemon.wait();
        }
    }
}

/// After a failed sync the system's memory has the new bytes and the disk does not. A daemon that starts again reads them,
/// and what it builds on them is lost with the power.
#[test]
fn a_power_cut_after_a_failed_sync_and_a_restart_loses_nothing() {
    let seed = seed();
    let items = Items::new(40, 15);
    let step = |name: &str| STEPS.iter().find(|(other, _)| *other == name).unwrap().1;
    let numbers: Vec<usize> = (0..setting("RELABELD_FAILED_SYNCS", FAILED_SYNCS) as usize).collect();
    let hit = AtomicUsize::new(0);
    let run = |&number: &usize| {
        let mut rng = Rng::of_case(seed, "failed sync", number);
        let scratch = scratch();
        let dir = scratch.path().join("data");
        let shim = Shim::recording(&dir);
        let mut workload = Workload { shim: &shim, dir: &dir, flags: &[], ledger: Ledger::default(), daemon: None };
        workload.run_step(&items, step("import"));
        let first = 1 + rng.below(8);
        let fault = Fault { operations: SYNC, files: WAL | DATABASE, first, span: 1, effect: Effect::Fail(EIO) };
        shim.arm(&fault);
        workload.run_step(&items, step("catalogue"));
        workload.run_step(&items, step("import gzip"));
        match rng.below(3) {
            0 => workload.stop(),
            1 => workload.daemon = None,
            // The daemon goes on by itself, or has ended by itself.
            _ => {}
        }
        workload.run_step(&items, step("job"));
        workload.run_step(&items, step("single"));
        hit.fetch_add(usize::from(shim.hits() > 0), Ordering::Relaxed);
        let operations = parse(&shim.record());
        // The end, and moments of the next start, which reads what is not on the disk.
        let failed = operations.iter().position(Operation::is_failed_sync).unwrap_or_default();
        let mut cuts = vec![operations.last().unwrap().end];
        let soon = operations[failed..].len().min(SOON) as u64;
        cuts.extend((0..SOON_CUTS).map(|_| operations[failed + rng.below(soon) as usize].end));
        let found = cut_each(&operations, &workload.ledger, &cuts, seed ^ number as u64, scratch.path());
        let name = |fault| format!("failed sync {number} (sync {first} of database and log), seed {seed}: {fault}");
        found.into_iter().map(name).collect()
    };
    let lost = run_all(&numbers, |number| format!("failed sync {number}, seed {seed}"), run).concat();
    assert!(lost.is_empty(), "{}", lost.join("\n"));
    let hit = hit.into_inner();
    assert!(hit * 2 > numbers.len(), "only {hit} of {} runs met their fault", numbers.len());
}

/// Everything that is wrong after each of the cuts.
fn cut_each(operations: &[Operation], ledger: &Ledger, cuts: &[u64], seed: u64, scratch: &Path) -> Vec<String> {
    let mut faults = Vec::new();
    for (number, &cut) in cuts.iter().enumerate() {
        let mut disk = Disk::default();
        operations.iter().take_while(|operation| operation.end <= cut).for_each(|operation| disk.run(operation));
        let dir = scratch.join(format!("cut-{number}"));
        disk.cut_power(&dir, &mut Rng::of_case(seed, "cut", number));
        let (lost, other) = inspect(&dir, &ledger.acknowledged(cut), &[]);
        faults.extend(lost.into_iter().chain(other));
    }
    faults
}
