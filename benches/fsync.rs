//! A job on a disk that takes 3 ms longer to sync: `slow_sync.c`, compiled here and loaded before all else.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::child::{self, Role};
use crate::report::{Goal, Line, grouped, median, thousands};
use crate::scratch;
use crate::stock::Stock;

/// What an fsync takes at least, where the library is in force.
const SLOW_MS: f64 = 3.0;

pub fn run(stock: &Stock) -> anyhow::Result<Vec<Line>> {
    let items = stock.sizes.items;
    let imported = stock.imported(items)?.path();
    let dir = scratch::directory()?;
    let library = compile(dir.path())?;
    let mut rounds = Vec::with_capacity(stock.sizes.rounds);
    for _ in 0..stock.sizes.rounds {
        let slow = child::run(Role::First, scratch::copy_of(&imported)?.path(), Some(&library))?;
        let usual = child::run(Role::First, scratch::copy_of(&imported)?.path(), None)?;
        ensure!(slow.sync_ms >= SLOW_MS, "an fsync took {:.1} ms: the library is not in force", slow.sync_ms);
        eprintln!(
            "  {:.2} s ({:.1} ms a sync), {:.2} s ({:.1})",
            slow.seconds, slow.sync_ms, usual.seconds, usual.sync_ms
        );
        rounds.push((slow.rate(), usual.rate()));
    }
    let middle = |figure: &dyn Fn(&(f64, f64)) -> f64| median(rounds.iter().map(figure));
    Ok(vec![Line {
        what: format!("fsync: 3 ms longer, {}, of the speed without", grouped(items as f64)),
        goal: Goal::AtLeast(0.5),
        reached: middle(&|(slow, usual)| slow / usual),
        figures: format!("{} of {}", thousands(middle(&|round| round.0)), thousands(middle(&|round| round.1))),
    }])
}

fn compile(dir: &Path) -> anyhow::Result<PathBuf> {
    let library = dir.join("slow_sync.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/slow_sync.c");
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(source).arg("-ldl");
    let status = cc.status().context("cannot run cc")?;
    ensure!(status.success(), "cc ended with {status}");
    Ok(library)
}
