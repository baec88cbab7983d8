//! One job while every processor runs a busy loop and a client polls the job every 20 ms, compared with the same job
//! without the loops. The two alternate.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, available_parallelism, sleep};
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::daemon::{Daemon, ended, has_ended};
use crate::report::{Goal, Line, grouped, median, p99, thousands};
use crate::scratch;
use crate::stock::Stock;

const POLL_EVERY: Duration = Duration::from_millis(20);

/// One run of the job.
struct Run {
    /// Items a second.
    rate: f64,
    /// Milliseconds of each request of the client.
    polls: Vec<f64>,
}

pub fn run(stock: &Stock) -> anyhow::Result<Vec<Line>> {
    let loops = available_parallelism()?.get();
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..stock.sizes.rounds {
        alone.push(drain(stock)?);
        beside.push(beside_loops(loops, || drain(stock))?);
    }
    let rate = |runs: &[Run]| median(runs.iter().map(|run| run.rate));
    let polls = p99(beside.iter().flat_map(|run| run.polls.iter().copied()));
    Ok(vec![Line {
        what: format!(
            "busy: a job of {} beside {loops} busy loops, of its speed without",
            grouped(stock.sizes.items as f64)
        ),
        goal: Goal::AtLeast(0.4),
        reached: median(alone.iter().zip(&beside).map(|(alone, beside)| beside.rate / alone.rate)),
        figures: format!("{} of {}; p99 of a poll {polls:.0} ms", thousands(rate(&beside)), thousands(rate(&alone))),
    }])
}

/// Runs a job over all items of a fresh copy, with a client that polls it.
fn drain(stock: &Stock) -> anyhow::Result<Run> {
    let copy = scratch::copy_of(&stock.imported(stock.sizes.items)?.path())?;
    let daemon = Daemon::on(copy.path())?;
    let (started, mut polls) = (Instant::now(), Vec::new());
    let path = daemon.publish_all()?;
    loop {
        polls.push(daemon.time(&path)?);
        let job = daemon.get(&path)?;
        if has_ended(&job) {
            ensure!(ended(&job) == stock.sizes.items as u64, "the job ended without some of its items: {job}");
            return Ok(Run { rate: stock.sizes.items as f64 / started.elapsed().as_secs_f64(), polls });
        }
        sleep(POLL_EVERY);
    }
}

fn beside_loops<T>(loops: usize, work: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..loops {
            scope.spawn(|| {
                let mut n = 0u64;
                while !stop.load(Ordering::Relaxed) {
                    n = black_box(n.wrapping_add(1));
                }
            });
        }
        let done = work();
        stop.store(true, Ordering::Relaxed);
        done
    })
}
