//! Storage faults: the real daemon on a disk that fails, loses power or is full.
//!
//! `shim.c` is preloaded into the daemon. [`sweep`] makes single file operations fail in every persisted transition,
//! [`power_cut`] rebuilds the data directory as a power cut could leave it, [`full_disk`] uses real file systems without
//! a free byte. Damaged bytes are not tested here; `tests/store/check.rs` does that.

mod client;
#[path = "../common/daemon.rs"]
mod daemon;
mod full_disk;
mod power_cut;
mod record;
mod rng;
mod shim;
mod sweep;
mod transitions;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Cases run at the same time: the machine that runs the tests has two cores.
const THREADS: usize = 2;

/// Runs the cases on [`THREADS`] threads, and returns what went wrong in each, in the order of the cases. A panic is
/// reported with the name of its case.
fn run_all<C: Sync>(
    cases: &[C],
    name: impl Fn(&C) -> String + Sync,
    run: impl Fn(&C) -> Vec<String> + Sync,
) -> Vec<Vec<String>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = cases.get(number) else { return done };
            let run = std::panic::AssertUnwindSafe(|| run(case));
            let panicked = |_| vec![format!("{}: the test panicked, see above", name(case))];
            done.push((number, std::panic::catch_unwind(run).unwrap_or_else(panicked)));
        }
    };
    let mut all: Vec<(usize, Vec<String>)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    all.sort_unstable_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, faults)| faults).collect()
}

/// The number in an environment variable, or `default`.
fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}: {text:?} is not a number")),
        Err(_) => default,
    }
}

/// `relabeld check`: none where it finds no fault, else its output.
fn check(dir: &Path) -> Option<String> {
    let output = daemon::relabeld().args(["check", "--data-dir"]).arg(dir).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let ok = output.status.success() && text.contains("database: ok");
    (!ok).then(|| format!("check ended with {}: {text}", output.status))
}

fn copy_dir(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    let copied = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(copied.success(), "cp -a {} {}", from.display(), to.display());
}

/// Scratch space in memory where there is some: syncs and copies cost nothing there.
fn scratch() -> tempfile::TempDir {
    let memory = PathBuf::from("/dev/shm");
    let dir = if memory.is_dir() { memory } else { std::env::temp_dir() };
    tempfile::tempdir_in(dir).unwrap()
}
