//! A power cut at any moment: with `--durability full` nothing acknowledged is missing, with `normal` something sometimes
//! is, and `check` finds no fault either way.
//!
//! A workload is recorded once; each cut rebuilds the data directory from the record and starts the daemon on it.
//! `RELABELD_POWER_CUT_SEED` repeats a run, `RELABELD_POWER_CUTS` sets the number of cuts.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::daemon::{Daemon, relabeld};
use super::record::{Disk, Operation, parse};
use super::rng::Rng;
use super::shim::{DATABASE, EIO, Effect, Fault, SYNC, Shim, WAL};
use super::transitions::{Items, STEPS, Step};
use super::workload::{Client, Ledger, Promise, Trouble};
use super::{check, run_all, scratch, setting};

const CUTS: u64 = 120;
const FAILED_SYNCS: u64 = 24;
/// Cuts among so many operations after a failed sync.
const SOON_CUTS: usize = 5;
const SOON: usize = 60;
const PATIENCE: Duration = Duration::from_secs(30);

fn seed() -> u64 {
    let seed = setting("RELABELD_POWER_CUT_SEED", std::process::id().into());
    println!("RELABELD_POWER_CUT_SEED={seed}");
    seed
}

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let found = cut_often("full");
    let lost: Vec<String> = found.iter().flat_map(|cut| cut.lost.clone()).collect();
    assert!(lost.is_empty(), "{} cuts:\n{}", found.len(), lost.join("\n"));
}

/// Without this the test above could pass by a model that loses nothing.
#[test]
fn a_power_cut_may_lose_the_last_commits_with_normal_durability() {
    let found = cut_often("normal");
    let lossy = found.iter().filter(|cut| !cut.lost.is_empty()).count();
    println!("{lossy} of {} cuts lost something that was acknowledged", found.len());
    assert!(lossy > 0, "none of {} cuts lost anything", found.len());
}

/// What was promised before a cut and is not kept after it.
struct Found {
    lost: Vec<String>,
}

/// Cuts the power at seeded moments of one workload. Panics where the daemon does not start after a cut, or where `check`
/// finds a fault.
fn cut_often(durability: &'static str) -> Vec<Found> {
    let seed = seed();
    let scratch = scratch();
    let dir = scratch.path().join("data");
    let items = Items::new(80, 30);
    let shim = Shim::recording(&dir);
    let flags = ["--durability", durability];
    let mut life = Life { shim: &shim, dir: &dir, flags: &flags, ledger: Ledger::default(), daemon: None };
    for (number, (_, step)) in STEPS.iter().enumerate() {
        life.go(&items, *step);
        match number {
            5 => life.stop(),
            // SIGKILL.
            9 => life.daemon = None,
            _ => {}
        }
    }
    life.stop();
    let operations = parse(&shim.record());
    let cuts = setting("RELABELD_POWER_CUTS", CUTS) as usize;
    let acknowledged = life.ledger.moments();
    let mut rng = Rng::of_case(seed, durability, 0);
    // Half of them just after an acknowledgement.
    let cuts: Vec<u64> = (0..cuts)
        .map(|n| match n % 2 {
            0 => operations[rng.below(operations.len() as u64) as usize].end,
            _ => acknowledged[rng.below(acknowledged.len() as u64) as usize],
        })
        .collect();
    cut_all(&operations, &life.ledger, &cuts, seed, &flags)
}

/// Rebuilds the disk after each cut and looks at it. The cuts are lengths of the record.
fn cut_all(operations: &[Operation], ledger: &Ledger, cuts: &[u64], seed: u64, flags: &[&str]) -> Vec<Found> {
    let scratch = scratch();
    let lossy = AtomicUsize::new(0);
    let lost = std::sync::Mutex::new(BTreeMap::new());
    let numbered: Vec<(usize, u64)> = cuts.iter().copied().enumerate().collect();
    let faults = run_all(&numbered, |&(number, cut)| {
        let mut disk = Disk::default();
        operations.iter().take_while(|operation| operation.end <= cut).for_each(|operation| disk.run(operation));
        let dir = scratch.path().join(format!("cut-{number}"));
        let mut rng = Rng::of_case(seed, "cut", number);
        lossy.fetch_add(usize::from(disk.cut_power(&dir, &mut rng)), Ordering::Relaxed);
        let (missing, faults) = look(&dir, &ledger.promises(cut), flags);
        let name = |fault: String| format!("cut {number} after {cut} bytes of the record, seed {seed}: {fault}");
        lost.lock().unwrap().insert(number, missing.into_iter().map(name).collect::<Vec<_>>());
        let faults: Vec<String> = faults.into_iter().map(name).collect();
        if faults.is_empty() {
            std::fs::remove_dir_all(&dir).unwrap();
        }
        faults
    });
    let faults: Vec<String> = faults.into_iter().flatten().collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let lossy = lossy.into_inner();
    println!("{} cuts, {lossy} of them took something away", cuts.len());
    assert!(lossy * 3 > cuts.len(), "only {lossy} of {} cuts took something away", cuts.len());
    lost.into_inner().unwrap().into_values().map(|lost| Found { lost }).collect()
}

/// Starts the daemon after a cut: the promises that it does not keep, and what else is wrong.
fn look(dir: &Path, promises: &BTreeMap<String, Promise>, flags: &[&str]) -> (Vec<String>, Vec<String>) {
    let mut daemon = match Daemon::try_spawn(relabeld(), dir, flags) {
        Ok(daemon) => daemon,
        Err(ended) => return (Vec::new(), vec![format!("the start ended with {}: {}", ended.status, ended.log)]),
    };
    let (shim, ledger) = (Shim::new(dir), Ledger::default());
    let client = Client::new(&daemon, &shim, &ledger, PATIENCE);
    let seen = client.broken_promises(promises).and_then(|broken| {
        client.await_all_jobs()?;
        Ok((broken, client.view()?.remove("feed").unwrap()))
    });
    let (broken, feed) = match seen {
        Ok(seen) => seen,
        Err(trouble) => return (Vec::new(), vec![format!("{trouble}: {}", daemon.log())]),
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
    (broken, faults)
}

/// The daemons of one recorded data directory, one after the other.
struct Life<'a> {
    shim: &'a Shim,
    dir: &'a Path,
    flags: &'a [&'a str],
    ledger: Ledger,
    daemon: Option<Daemon>,
}

impl Life<'_> {
    /// Repeats the step until it is done; a daemon that ends is started again.
    fn go(&mut self, items: &Items, step: Step) {
        for _ in 0..5 {
            let daemon = match self.daemon.take() {
                Some(daemon) => daemon,
                None => match Daemon::try_spawn(self.shim.relabeld(), self.dir, self.flags) {
                    Ok(daemon) => daemon,
                    // The fault hit the start.
                    Err(_) => continue,
                },
            };
            let daemon = self.daemon.insert(daemon);
            let client = Client::new(daemon, self.shim, &self.ledger, PATIENCE);
            match client.await_ready().and_then(|()| step(&client, items)) {
                Ok(()) => return,
                Err(Trouble::Gone(..)) => {
                    daemon.wait();
                    self.daemon = None;
                }
                Err(_) => {}
            }
        }
        panic!("a step does not succeed: {}", self.daemon.as_ref().map_or_else(String::new, |daemon| daemon.log()));
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
    let lost = run_all(&numbers, |&number| {
        let mut rng = Rng::of_case(seed, "failed sync", number);
        let scratch = scratch();
        let dir = scratch.path().join("data");
        let shim = Shim::recording(&dir);
        let mut life = Life { shim: &shim, dir: &dir, flags: &[], ledger: Ledger::default(), daemon: None };
        life.go(&items, step("import"));
        let first = 1 + rng.below(8);
        let fault = Fault { operations: SYNC, files: WAL | DATABASE, first, span: 1, effect: Effect::Fail(EIO) };
        shim.arm(&fault);
        life.go(&items, step("catalogue"));
        life.go(&items, step("import gzip"));
        match rng.below(3) {
            0 => life.stop(),
            1 => life.daemon = None,
            // The daemon goes on by itself, or has ended by itself.
            _ => {}
        }
        life.go(&items, step("job"));
        life.go(&items, step("single"));
        hit.fetch_add(usize::from(shim.hits() > 0), Ordering::Relaxed);
        let operations = parse(&shim.record());
        // The end, and moments of the next start, which reads what is not on the disk.
        let failed = operations.iter().position(Operation::is_failed_sync).unwrap_or_default();
        let mut cuts = vec![operations.last().unwrap().end];
        let soon = operations[failed..].len().min(SOON) as u64;
        cuts.extend((0..SOON_CUTS).map(|_| operations[failed + rng.below(soon) as usize].end));
        let found = cut_each(&operations, &life.ledger, &cuts, seed ^ number as u64, scratch.path());
        let name = |fault| format!("failed sync {number} (sync {first} of database and log), seed {seed}: {fault}");
        found.into_iter().map(name).collect()
    });
    let lost: Vec<String> = lost.into_iter().flatten().collect();
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
        let (lost, other) = look(&dir, &ledger.promises(cut), &[]);
        faults.extend(lost.into_iter().chain(other));
    }
    faults
}
