//! What a person looks at: status, the list of jobs, one job, over HTTP from the real daemon. The slowest in a hundred,
//! idle, while a job drains on the same two cores, and idle again with the deepest store done.

use crate::daemon::{Daemon, has_ended};
use crate::report::{Goal, Line, grouped, median, p99};
use crate::scratch;
use crate::stock::Stock;

/// Of each call, at least.
const CALLS: usize = 1_000;
const NAMES: [&str; 3] = ["status", "list", "job"];

/// Milliseconds of each call.
type Times = [Vec<f64>; 3];

pub fn run(stock: &Stock) -> anyhow::Result<Vec<Line>> {
    let items = stock.sizes.items;
    let copy = scratch::copy_of(&stock.imported(items)?.path())?;
    let mut daemon = Daemon::on(copy.path())?;
    let deep_daemon = Daemon::on(&stock.deep()?)?;
    // Each has one job to show.
    let single = daemon.publish_single(&stock.input()?.item(0).item.id)?;
    daemon.until_end(&single)?;
    let (mut warm, mut idle, mut deep, mut busy) = (Times::default(), Times::default(), Times::default(), Vec::new());
    for _ in 0..CALLS / 10 {
        look(&daemon, &single, &mut warm)?;
        look(&deep_daemon, "/api/v1/jobs/1", &mut warm)?;
    }
    for _ in 0..CALLS {
        look(&daemon, &single, &mut idle)?;
        look(&deep_daemon, "/api/v1/jobs/1", &mut deep)?;
    }
    drop(deep_daemon);
    for _ in 0..stock.sizes.rounds {
        let job = daemon.publish_all()?;
        let mut times = Times::default();
        while !has_ended(&daemon.get(&job)?) {
            for _ in 0..10 {
                look(&daemon, &job, &mut times)?;
            }
        }
        busy.push(times.map(p99));
    }
    let (idle, deep) = (idle.map(p99), deep.map(p99));
    let busy = [0, 1, 2].map(|at| median(busy.iter().map(|times| times[at])));
    eprintln!("  p99 in ms of {}: idle {idle:.2?}, busy {busy:.2?}, deep {deep:.2?}", NAMES.join(", "));
    Ok(vec![
        slowest(format!("reads: p99 in ms while {} drain", grouped(items as f64)), &busy, &idle),
        worst_ratio(format!("reads: p99 with {} done, of idle", grouped(stock.sizes.depth as f64)), &deep, &idle),
    ])
}

/// One of each.
fn look(daemon: &Daemon, job: &str, times: &mut Times) -> anyhow::Result<()> {
    for (path, times) in ["/api/v1/status", "/api/v1/jobs", job].into_iter().zip(times) {
        times.push(daemon.time(path)?);
    }
    Ok(())
}

/// The slowest of the three calls, in milliseconds.
fn slowest(what: String, now: &[f64; 3], idle: &[f64; 3]) -> Line {
    let slowest = (0..NAMES.len()).max_by(|&a, &b| now[a].total_cmp(&now[b])).unwrap_or_default();
    Line {
        what,
        goal: Goal::AtMost(10.0),
        reached: now[slowest],
        figures: format!("{}; idle {:.1} ms", NAMES[slowest], idle[slowest]),
    }
}

/// The call whose p99 grew most compared to idle.
fn worst_ratio(what: String, now: &[f64; 3], idle: &[f64; 3]) -> Line {
    let ratio = |at: &usize| now[*at] / idle[*at];
    let worst = (0..NAMES.len()).max_by(|a, b| ratio(a).total_cmp(&ratio(b))).unwrap_or_default();
    Line {
        what,
        goal: Goal::AtMost(3.0),
        reached: ratio(&worst),
        figures: format!("{}: {:.1} of {:.1} ms", NAMES[worst], now[worst], idle[worst]),
    }
}
