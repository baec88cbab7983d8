//! What an item costs over the depth of store and queue: of a whole job with its import, and of a lease alone, with
//! everything still to come and with all but the last items behind it.
//!
//! A lease is runnable, lease and commit of items on which there is nothing to do, in processor time on one core: what it
//! takes two cores to wake each other would hide what grows, as the disk would, and so its commits are not synced
//! (`Durability::Normal`).

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use relabeld::job::{Filter, JobId};
use relabeld::store::{Ask, Deed, Done, Durability, Finding, LeaseOutcome, NewJob, Planned, Store};
use rusqlite::{Connection, params};

use crate::report::{Goal, Line, grouped};
use crate::stock::Stock;
use crate::{machine, scratch};

/// What the deepest is held against.
const BASE: usize = 100_000;
const LEASES: usize = 300;
/// Before those that are measured: what is read for the first time is in no cache.
const COLD: usize = 15;
/// Drains of each depth, beside the rounds.
const MORE_DRAINS: usize = 6;
const LEASE_ITEMS: usize = 5;
/// What is left to do at the end of a queue: twice what is leased there.
const LAST: usize = 2 * (COLD + LEASES) * LEASE_ITEMS;
const NOW: i64 = 1_795_132_800_000;

/// Microseconds of a lease, each the mean of many. Of them the least counts: what else the machine does, caches and
/// wake-ups of others, only ever adds, up to twice as much again.
#[derive(Default)]
struct Cost {
    at_first: Vec<f64>,
    at_last: Vec<f64>,
}

pub fn run(stock: &Stock) -> anyhow::Result<Vec<Line>> {
    let depth = stock.sizes.depth;
    let base = BASE.min(depth);
    let (few, many) = (stock.imported(base)?, stock.imported(depth)?);
    let imports = [(few.rate, few.processor_micros), (many.rate, many.processor_micros)];
    let (few, many) = (stock.drained(base)?, stock.drained(depth)?);
    let jobs = [(few.rate, few.processor_micros), (many.rate, many.processor_micros)];
    let line = |what: &str, [few, many]: [(f64, f64); 2]| Line {
        what: format!("depth: an item of {what} at {}, of {}", grouped(depth as f64), grouped(base as f64)),
        goal: Goal::AtMost(1.2),
        reached: few.0 / many.0,
        figures: format!("{:.1} of {:.1} µs ({:.1} of {:.1} of processor)", 1e6 / many.0, 1e6 / few.0, many.1, few.1),
    };
    Ok(vec![line("a job", jobs), line("an import", imports), lease(stock, base, depth)?])
}

fn lease(stock: &Stock, base: usize, depth: usize) -> anyhow::Result<Line> {
    let filled = [scratch::directory()?, scratch::directory()?];
    let mut costs = [Cost::default(), Cost::default()];
    for (dir, items) in filled.iter().zip([base, depth]) {
        fill(dir.path(), items)?;
    }
    for _ in 0..stock.sizes.rounds + MORE_DRAINS {
        for (dir, cost) in filled.iter().zip(&mut costs) {
            let copy = scratch::copy_of(dir.path())?;
            machine::on_one_core(|| measure(copy.path(), cost))?;
        }
    }
    let least = |micros: Vec<f64>| micros.into_iter().fold(f64::INFINITY, f64::min);
    let [(base_first, base_last), (first, last)] = costs.map(|cost| (least(cost.at_first), least(cost.at_last)));
    Ok(Line {
        what: format!("depth: a lease at {}, of {}", grouped(depth as f64), grouped(base as f64)),
        goal: Goal::AtMost(1.2),
        reached: (first / base_first).max(last / base_last),
        figures: format!("{first:.0} of {base_first:.0} µs of processor at first, {last:.0} of {base_last:.0} at last"),
    })
}

/// Items without a text, which nobody will read, put in by SQL; their job planned by the store.
fn fill(dir: &Path, depth: usize) -> anyhow::Result<()> {
    drop(Store::open(dir, Durability::Normal)?);
    let connection = Connection::open(dir.join(scratch::DATABASE))?;
    connection.execute_batch("BEGIN")?;
    connection.execute(
        "INSERT INTO shape (no, kind, media, programs, languages, items)
         VALUES (1, 'conversation', 'chat', '[\"default\"]', '[]', ?)",
        [depth as i64],
    )?;
    connection.execute(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?)
         INSERT INTO item (no, kind, id, edition, at, shape) SELECT n, 'conversation', n, 1, ? + n, 1 FROM n",
        params![depth as i64, NOW],
    )?;
    connection.execute_batch("COMMIT")?;
    drop(connection);

    let store = Store::open(dir, Durability::Normal)?;
    store.publish_range(NewJob::new(Filter::all(), "bench"), 0, NOW)?;
    let mut planning = store.begin_planning(NOW)?.context("nothing to plan")?;
    while planning.step(NOW)? == Planned::More {}
    drop(planning);
    store.close();
    Ok(())
}

fn measure(dir: &Path, cost: &mut Cost) -> anyhow::Result<()> {
    let store = Store::open(dir, Durability::Normal)?;
    let job = store.runnable_bulk(1)?.first().context("no job runs")?.id;
    drain(&store, job, &mut cost.at_first)?;
    store.close();
    skip_to_last(dir, job)?;
    let store = Store::open(dir, Durability::Normal)?;
    drain(&store, job, &mut cost.at_last)
}

/// Each lease is of the job's next items, none of which is there any more.
fn drain(store: &Store, job: JobId, micros: &mut Vec<f64>) -> anyhow::Result<()> {
    let epoch = store.recover(Vec::new(), 3, NOW)?.epoch;
    let mut before = 0.0;
    for number in 0..COLD + LEASES {
        if number == COLD {
            before = machine::busy_seconds();
        }
        let lease = number as i64;
        ensure!(store.runnable_bulk(1)?.iter().any(|job| job.open), "nothing is left to lease");
        let leased = store.lease(vec![Ask { job, items: LEASE_ITEMS, lease }], epoch, NOW)?;
        let leased = leased.into_iter().next().context("no lease")?;
        let done = leased.items.iter().map(|item| Done {
            pos: item.pos,
            key: item.key,
            attempts: 1,
            uncharged: 0,
            finding: Finding::Gone,
        });
        let outcome = LeaseOutcome {
            lease: leased.lease,
            weight_each: leased.weight_each,
            deed: Deed::Label { revision: 0, keep_when_empty: true },
            dry_run: false,
            done: done.collect(),
            ends: true,
        };
        let committed = store.commit(Arc::new([outcome]), 3, NOW)?;
        ensure!(committed.fenced == 0, "the lease was not ours");
    }
    micros.push((machine::busy_seconds() - before) * 1e6 / LEASES as f64);
    Ok(())
}

/// Brings the job to its last chunks, as if all before them had been committed.
fn skip_to_last(dir: &Path, job: JobId) -> anyhow::Result<()> {
    let connection = Connection::open(dir.join(scratch::DATABASE))?;
    let last: i64 = connection.query_row("SELECT max(no) FROM chunk WHERE job = ?", [job], |row| row.get(0))?;
    let border = last - (LAST / 256) as i64;
    connection.execute_batch("BEGIN")?;
    connection.execute(
        "INSERT INTO result SELECT job, pos + done, n - done, ?, zeroblob(9 * (n - done)) FROM chunk
         WHERE job = ? AND no < ? AND state = 'open'",
        [NOW, job, border],
    )?;
    let skipped: i64 = connection.query_row(
        "SELECT coalesce(sum(n - done), 0) FROM chunk WHERE job = ? AND no < ?",
        [job, border],
        |row| row.get(0),
    )?;
    connection.execute("UPDATE chunk SET done = n, state = 'closed' WHERE job = ? AND no < ?", [job, border])?;
    connection.execute("UPDATE job SET pending = pending - ?2, done = done + ?2 WHERE id = ?1", [job, skipped])?;
    connection.execute_batch("COMMIT")?;
    Ok(())
}
