//! One live item in the real daemon, from its request to its committed label: `finished_at` less `published_at`, which
//! are whole milliseconds, so that a single one may be a millisecond off either way.
//!
//! Idle it is held against bare commits of one row on the same disk, made in turn with the items. While a job drains, it
//! is held against that job's commits: how many of them began between the two times (the one under way at the request is
//! not among them).

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use relabeld::when;
use rusqlite::Connection;
use serde_json::Value;

use crate::daemon::{Daemon, has_ended};
use crate::report::{Goal, Line, grouped, median};
use crate::scratch;
use crate::stock::Stock;

const IDLE: usize = 100;
const COMMITS: usize = 5;
/// What the goal allows beside two commits.
const ALLOWED_MS: f64 = 2.0;

pub fn run(stock: &Stock) -> anyhow::Result<Vec<Line>> {
    let items = stock.sizes.items;
    let copy = scratch::copy_of(&stock.imported(items)?.path())?;
    let mut daemon = Daemon::on(copy.path())?;
    // All over the store, and none twice.
    let mut numbers = (0..items).map(|n| n * 7_919 % items);
    let mut single = |daemon: &mut Daemon| -> anyhow::Result<(i64, i64)> {
        let number = numbers.next().context("as many live items as there are items")?;
        let job = daemon.publish_single(&stock.input()?.item(number).item.id)?;
        let job = daemon.until_end(&job)?;
        Ok((time(&job, "published_at")?, time(&job, "finished_at")?))
    };
    // The first have the rules compiled.
    (0..3).try_for_each(|_| single(&mut daemon).map(drop))?;

    let bare = scratch::directory()?;
    let connection = scratch::writing(&bare.path().join(scratch::DATABASE))?;
    connection.execute_batch("CREATE TABLE label (no INTEGER PRIMARY KEY, label BLOB NOT NULL)")?;
    let (mut commits, mut idle) = (Vec::new(), Vec::new());
    for _ in 0..IDLE {
        for _ in 0..COMMITS {
            commits.push(commit(&connection)?);
        }
        let (from, until) = single(&mut daemon)?;
        idle.push((until - from) as f64);
    }

    let job = daemon.publish_all()?;
    daemon.until_ended(&job, 1)?;
    let mut during = Vec::new();
    loop {
        let live = single(&mut daemon)?;
        if has_ended(&daemon.get(&job)?) {
            break;
        }
        during.push(live);
    }
    drop(daemon);
    let at = commits_of(copy.path(), job.rsplit('/').next().unwrap_or_default())?;
    ensure!(!during.is_empty(), "the job was over before a live item was");
    let waited = during.iter().map(|&(from, until)| at.range(from + 1..until.max(from + 1)).count() as f64);
    let (commit, idle) = (median(commits), median(idle));
    let (waited, during_ms) = (median(waited), median(during.iter().map(|(from, until)| (until - from) as f64)));
    let times: Vec<i64> = at.into_iter().collect();
    let between = median(times.windows(2).map(|two| (two[1] - two[0]) as f64));
    Ok(vec![
        Line {
            what: "live: idle, of two bare commits and 2 ms".into(),
            goal: Goal::AtMost(1.0),
            reached: idle / (2.0 * commit + ALLOWED_MS),
            figures: format!("median {idle:.0} ms of 2 × {commit:.2} + 2 ms, {IDLE} items"),
        },
        Line {
            what: format!("live: commits of a job of {} waited for", grouped(items as f64)),
            goal: Goal::AtMost(3.0),
            reached: waited,
            figures: format!(
                "median; {during_ms:.0} ms, commits {between:.0} ms apart, {} items",
                grouped(during.len() as f64)
            ),
        },
    ])
}

fn time(job: &Value, field: &str) -> anyhow::Result<i64> {
    when::point_from_json(&job[field]).map_err(|why| anyhow::anyhow!("{field}: {why}"))
}

/// Milliseconds of one.
fn commit(connection: &Connection) -> anyhow::Result<f64> {
    let started = Instant::now();
    connection.prepare_cached("INSERT INTO label (label) VALUES (zeroblob(20))")?.execute([])?;
    Ok(started.elapsed().as_secs_f64() * 1e3)
}

/// When a job's results were committed, each time once.
fn commits_of(dir: &Path, job: &str) -> anyhow::Result<BTreeSet<i64>> {
    let connection = Connection::open(dir.join(scratch::DATABASE))?;
    let mut results = connection.prepare("SELECT DISTINCT at FROM result WHERE job = ?")?;
    Ok(results.query_map([job], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}
