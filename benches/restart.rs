//! SIGKILL in the middle of a job, and how long the next start of the real daemon takes to its first commit: with the
//! deepest queue there, and with one of ten thousand.
//!
//! The time of that commit is what it wrote with its results. The database is not opened in between: whoever opens it
//! first after a death recovers it.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use relabeld::job::Filter;
use relabeld::store::{Durability, NewJob, Planned, Store};
use relabeld::when;
use rusqlite::Connection;

use crate::daemon::{Daemon, ended, has_ended};
use crate::report::{Goal, Line, grouped, median};
use crate::scratch;
use crate::stock::Stock;

const SHALLOW: usize = 10_000;
/// Tasks that are done before a kill: that many fit into the small queue twice.
const BEFORE_KILL: u64 = 2_000;

pub fn run(stock: &Stock) -> anyhow::Result<Vec<Line>> {
    let depth = stock.sizes.depth;
    let deep_dir = stock.deep()?;
    let started = Instant::now();
    let deep_job = queue(&deep_dir)?;
    eprintln!("  {} planned in {:.1} s", grouped(depth as f64), started.elapsed().as_secs_f64());
    let shallow = scratch::copy_of(&stock.imported(SHALLOW)?.path())?;
    queue(shallow.path())?;
    let mut starts = Vec::new();
    let mut few = Vec::new();
    kill_midway(&deep_dir, &deep_job, 0)?;
    for round in 0..stock.sizes.rounds as u64 + 2 {
        let copy = scratch::copy_of(shallow.path())?;
        kill_midway(copy.path(), "/api/v1/jobs/1", 0)?;
        let start = when::now();
        kill_midway(copy.path(), "/api/v1/jobs/1", BEFORE_KILL)?;
        few.push(first_commit(copy.path(), start)? as f64);
        starts.push(when::now());
        kill_midway(&deep_dir, &deep_job, BEFORE_KILL * (round + 1))?;
    }
    let many = starts.iter().map(|&start| Ok(first_commit(&deep_dir, start)? as f64));
    let many: Vec<f64> = many.collect::<anyhow::Result<_>>()?;
    eprintln!("  ms to the first commit: {many:.0?}; with {} {few:.0?}", grouped(SHALLOW as f64));
    let (many, few) = (median(many), median(few));
    Ok(vec![Line {
        what: format!("restart: killed with {} in the queue, of {}", grouped(depth as f64), grouped(SHALLOW as f64)),
        goal: Goal::AtMost(2.0),
        reached: many / few,
        figures: format!("{many:.0} of {few:.0} ms to the first commit"),
    }])
}

/// A job over everything, wholly planned, and no daemon there: the path of the job.
fn queue(dir: &Path) -> anyhow::Result<String> {
    let store = Store::open(dir, Durability::Full)?;
    let job = store.publish_range(NewJob::new(Filter::all(), "bench"), 0, when::now())?.job;
    let mut planning = store.begin_planning(when::now())?.context("nothing to plan")?;
    while planning.step(when::now())? == Planned::More {}
    drop(planning);
    store.close();
    Ok(format!("/api/v1/jobs/{}", job.id))
}

/// Starts the daemon, and kills it when the job has come further than to `done` tasks by so many as make a kill hurt.
fn kill_midway(dir: &Path, job: &str, done: u64) -> anyhow::Result<()> {
    let mut daemon = Daemon::on(dir)?;
    let before = ended(&daemon.get(job)?).max(done);
    let shown = daemon.until_ended(job, before + BEFORE_KILL)?;
    ensure!(!has_ended(&shown), "the job was over before the kill");
    daemon.kill()
}

/// Milliseconds from `start`.
fn first_commit(dir: &Path, start: i64) -> anyhow::Result<i64> {
    let connection = Connection::open(dir.join(scratch::DATABASE))?;
    let at: Option<i64> =
        connection.query_row("SELECT min(at) FROM result WHERE at >= ?", [start], |row| row.get(0))?;
    Ok(at.context("nothing was committed after the start")? - start)
}
