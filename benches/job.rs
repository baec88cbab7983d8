//! A range job over everything, by store and engine, against the bare loop of [`crate::bare`] on the same file and the
//! plain loop of [`crate::plain`] on the same conversations as JSON; and the same job once more.
//!
//! All run in turn, each in a fresh process and on a fresh copy, with either catalogue.

use std::path::Path;

use anyhow::ensure;
use rusqlite::Connection;

use crate::child::{self, Measured, Role};
use crate::input::Catalogued;
use crate::report::{Goal, Line, grouped, median, thousands};
use crate::stock::Stock;
use crate::{plain, scratch};

struct Round {
    job: Measured,
    bare: Measured,
    plain: Measured,
}

pub fn run(stock: &Stock) -> anyhow::Result<Vec<Line>> {
    let items = stock.sizes.items;
    let imported = stock.imported(items)?.path();
    let bodies = scratch::directory()?;
    plain::fill(bodies.path(), stock.input()?, items)?;
    let mut lines = Vec::new();
    for catalogued in &stock.input()?.catalogues {
        let mut rounds = Vec::with_capacity(stock.sizes.rounds);
        for _ in 0..stock.sizes.rounds {
            let (job, by_job) = on_copy(Role::Job, &imported, catalogued)?;
            let (bare, by_bare) = on_copy(Role::Bare, &imported, catalogued)?;
            ensure!(by_job == by_bare, "the job wrote other readings than the bare loop: {by_job:?}, {by_bare:?}");
            let plain = plainly(bodies.path(), catalogued)?;
            ensure!(plain.items == job.items, "the plain loop read {} of {} items", plain.items, job.items);
            eprintln!("  {}: job {}, again {:.2} s", catalogued.name, said(&job), job.again_seconds);
            eprintln!("    bare {}; plain {}", said(&bare), said(&plain));
            rounds.push(Round { job, bare, plain });
        }
        lines.extend(lines_of(&rounds, items, catalogued.name));
    }
    Ok(lines)
}

fn lines_of(rounds: &[Round], items: usize, by: &str) -> [Line; 3] {
    let middle = |figure: &dyn Fn(&Round) -> f64| median(rounds.iter().map(figure));
    let job = thousands(middle(&|round| round.job.rate()));
    [
        Line {
            what: format!("job: {}, {by}, of the bare loop", grouped(items as f64)),
            goal: Goal::AtLeast(0.8),
            reached: middle(&|round| round.job.rate() / round.bare.rate()),
            figures: format!("{job} of {}", thousands(middle(&|round| round.bare.rate()))),
        },
        Line {
            what: format!("plain: {by}, of the plain loop"),
            goal: Goal::AtLeast(0.75),
            reached: middle(&|round| round.job.rate() / round.plain.rate()),
            figures: format!(
                "{job} of {}, which takes {:.1} s",
                thousands(middle(&|round| round.plain.rate())),
                middle(&|round| round.plain.seconds)
            ),
        },
        Line {
            what: format!("again: {by}, nothing to change, of the first"),
            goal: Goal::AtLeast(1.5),
            reached: middle(&|round| round.job.seconds / round.job.again_seconds),
            figures: format!("{} of {job}", thousands(middle(&|round| round.job.again_rate()))),
        },
    ]
}

fn said(side: &Measured) -> String {
    let labels = grouped(side.labels as f64);
    format!(
        "{:.2} s ({:.1} of processor), {:.0} MB, {labels} labels",
        side.seconds, side.processor_seconds, side.peak_mb
    )
}

/// Rows, bytes of freshness and bytes of labels that stand.
type Readings = (i64, i64, i64);

/// What one side measured, and what it left in the database.
fn on_copy(role: Role, imported: &Path, catalogued: &Catalogued) -> anyhow::Result<(Measured, Readings)> {
    let copy = scratch::copy_of(imported)?;
    catalogued.apply(copy.path())?;
    let measured = child::run(role, copy.path(), None)?;
    let readings = Connection::open(copy.path().join(scratch::DATABASE))?.query_row(
        "SELECT count(*), sum(length(fresh)), sum(length(labels)) FROM reading",
        [],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    Ok((measured, readings))
}

fn plainly(bodies: &Path, catalogued: &Catalogued) -> anyhow::Result<Measured> {
    let copy = scratch::copy_of(bodies)?;
    plain::put_catalogue(copy.path(), &catalogued.catalogue)?;
    child::run(Role::Plain, copy.path(), None)
}
