//! Import: a file of lines sent to the real daemon, against each line parsed by serde_json (into borrowed fields, which
//! is faster than into a tree) and inserted with its id in bare transactions.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::ensure;
use rusqlite::params;

use crate::daemon::Daemon;
use crate::input::Input;
use crate::plain::Body;
use crate::report::{Goal, Line, grouped, median, thousands};
use crate::scratch;
use crate::stock::Stock;

const ITEMS: usize = 100_000;
const TOGETHER: usize = 1_000;

pub fn run(stock: &Stock) -> anyhow::Result<Vec<Line>> {
    let items = ITEMS.min(stock.sizes.items);
    let dir = scratch::directory()?;
    let file = dir.path().join("items.ndjson");
    write(&file, stock.input()?, items)?;
    let mut rounds = Vec::with_capacity(stock.sizes.rounds);
    for _ in 0..stock.sizes.rounds {
        let round = (by_daemon(&file, items)?, bare(&file, items)?);
        eprintln!("  {} and bare {} items/s", grouped(round.0), grouped(round.1));
        rounds.push(round);
    }
    let middle = |figure: &dyn Fn(&(f64, f64)) -> f64| median(rounds.iter().map(figure));
    Ok(vec![Line {
        what: format!("import: {} over HTTP, of bare", grouped(items as f64)),
        goal: Goal::AtLeast(0.6),
        reached: middle(&|(daemon, bare)| daemon / bare),
        figures: format!("{} of {}", thousands(middle(&|round| round.0)), thousands(middle(&|round| round.1))),
    }])
}

fn write(file: &Path, input: &Input, items: usize) -> anyhow::Result<()> {
    let mut out = BufWriter::new(File::create(file)?);
    (0..items).try_for_each(|number| writeln!(out, "{}", input.line(number)))?;
    out.into_inner()?.sync_all()?;
    Ok(())
}

fn by_daemon(file: &Path, items: usize) -> anyhow::Result<f64> {
    let dir = scratch::directory()?;
    let daemon = Daemon::on(dir.path())?;
    let started = Instant::now();
    let answer = daemon.send("POST", "/api/v1/items", File::open(file)?, fs::metadata(file)?.len())?;
    let seconds = started.elapsed().as_secs_f64();
    ensure!(answer["inserted"] == items, "{answer}");
    Ok(items as f64 / seconds)
}

fn bare(file: &Path, items: usize) -> anyhow::Result<f64> {
    let dir = scratch::directory()?;
    let connection = scratch::writing(&dir.path().join(scratch::DATABASE))?;
    connection.execute_batch("CREATE TABLE item (no INTEGER PRIMARY KEY, id TEXT NOT NULL, body TEXT NOT NULL)")?;
    let started = Instant::now();
    let mut lines = BufReader::with_capacity(1 << 16, File::open(file)?).lines();
    for _ in 0..items.div_ceil(TOGETHER) {
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut insert = connection.prepare_cached("INSERT INTO item (id, body) VALUES (?, ?)")?;
        for line in lines.by_ref().take(TOGETHER) {
            let line = line?;
            let body: Body<'_> = serde_json::from_str(&line)?;
            insert.execute(params![body.id, line])?;
        }
        connection.prepare_cached("COMMIT")?.execute([])?;
    }
    Ok(items as f64 / started.elapsed().as_secs_f64())
}
