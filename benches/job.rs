//! A range job over everything, by store and engine, against the bare loop of [`crate::bare`] on the same file.
//!
//! Both run in turn, each in a fresh process and on a fresh copy of one imported database: neither the import's memory
//! nor what the other left behind counts.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, io};

use anyhow::{Context as _, anyhow, bail, ensure};
use crossbeam_channel::bounded;
use relabeld::engine::{Engine, Settings};
use relabeld::job::{Filter, Job, JobState};
use relabeld::labeller::{Labeller, phrases::Phrases};
use relabeld::store::{Durability, NewJob, Store};
use relabeld::when;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::input::Input;
use crate::report::{Goal, Line, grouped, median};
use crate::{Sizes, bare, machine, scratch};

pub const AS_CHILD: &str = "--child";
pub const WORKERS: usize = 2;

/// What a child process measured.
#[derive(Debug, Serialize, Deserialize)]
pub struct Measured {
    pub items: i64,
    pub labels: i64,
    pub seconds: f64,
    pub processor_seconds: f64,
    pub peak_mib: f64,
    /// Of the same job once more, with nothing to change; 0 where there was none.
    pub again_seconds: f64,
}

impl Measured {
    fn rate(&self) -> f64 {
        self.items as f64 / self.seconds
    }
}

pub fn run(sizes: &Sizes) -> anyhow::Result<Vec<Line>> {
    let input = Input::load()?;
    let imported = scratch::directory()?;
    let started = Instant::now();
    input.import(imported.path(), sizes.items)?;
    let seconds = started.elapsed().as_secs_f64();
    println!("  {} {} imported in {seconds:.1} s", grouped(sizes.items as f64), input.name);

    let mut rounds = Vec::with_capacity(sizes.rounds);
    for _ in 0..sizes.rounds {
        let (job, by_job) = in_child("job", imported.path())?;
        let (bare, by_bare) = in_child("bare", imported.path())?;
        ensure!(by_job == by_bare, "the job wrote other readings than the bare loop: {by_job:?}, {by_bare:?}");
        println!(
            "  job {:.2} s ({:.1} of processor), {:.0} MiB, again {:.2} s; bare {:.2} s ({:.1}), {:.0} MiB; {} labels",
            job.seconds,
            job.processor_seconds,
            job.peak_mib,
            job.again_seconds,
            bare.seconds,
            bare.processor_seconds,
            bare.peak_mib,
            grouped(job.labels as f64)
        );
        rounds.push((job, bare));
    }
    let middle = |figure: &dyn Fn(&(Measured, Measured)) -> f64| median(rounds.iter().map(figure));
    let (job, bare) = (middle(&|(job, _)| job.rate()), middle(&|(_, bare)| bare.rate()));
    let again = middle(&|(job, _)| job.items as f64 / job.again_seconds);
    Ok(vec![
        Line {
            what: format!("a job of {}, of the bare loop", grouped(sizes.items as f64)),
            goal: Goal::AtLeast(0.5),
            reached: middle(&|(job, bare)| job.rate() / bare.rate()),
            figures: format!("{} of {} items/s", grouped(job), grouped(bare)),
        },
        Line {
            what: "the same job again, of the first".into(),
            goal: Goal::AtLeast(1.5),
            reached: middle(&|(job, _)| job.seconds / job.again_seconds),
            figures: format!("{} of {} items/s", grouped(again), grouped(job)),
        },
        Line {
            what: "peak memory of the job, MiB (RssAnon)".into(),
            goal: Goal::AtMost(100.0),
            reached: middle(&|(job, _)| job.peak_mib),
            figures: format!("bare loop {:.0}", middle(&|(_, bare)| bare.peak_mib)),
        },
    ])
}

/// Rows, bytes of freshness and bytes of labels that stand.
type Readings = (i64, i64, i64);

/// Runs one side in a process of its own: what it measured, and what it left in the database.
fn in_child(role: &str, imported: &Path) -> anyhow::Result<(Measured, Readings)> {
    let copy = scratch::copy_of(imported)?;
    let output = Command::new(env::current_exe()?)
        .args([AS_CHILD, role])
        .arg(copy.path())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run itself")?;
    ensure!(output.status.success(), "{role} ended with {}", output.status);
    let readings = Connection::open(copy.path().join(scratch::DATABASE))?.query_row(
        "SELECT count(*), sum(length(fresh)), sum(length(labels)) FROM reading",
        [],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    Ok((serde_json::from_slice(&output.stdout)?, readings))
}

/// What the child process does.
pub fn child(role: &str, dir: &Path) -> anyhow::Result<()> {
    let measured = match role {
        "job" => job(dir)?,
        "bare" => bare::run(dir)?,
        _ => bail!("no part {role:?}"),
    };
    serde_json::to_writer(io::stdout(), &measured)?;
    io::stdout().flush()?;
    Ok(())
}

fn job(dir: &Path) -> anyhow::Result<Measured> {
    let store = Arc::new(Store::open(dir, Durability::Full)?);
    let settings = Settings {
        data_dir: dir.to_owned(),
        workers: WORKERS,
        max_attempts: 3,
        max_item_time: Duration::from_secs(600),
        retention: i64::MAX / 4,
        min_free_bytes: 0,
        clock: when::now,
    };
    let (failing, failed) = bounded(1);
    let compile = Arc::new(|catalogue: &_| Arc::new(Phrases::compile(catalogue)) as Arc<dyn Labeller>);
    let engine = Engine::start(Arc::clone(&store), settings, compile, failing)?;
    let processor = machine::processor_seconds();
    let (first, peak_mib) = machine::with_peak_memory(|| drain(&store, &engine));
    let (seconds, first) = first?;
    let processor_seconds = machine::processor_seconds() - processor;
    let (again_seconds, again) = drain(&store, &engine)?;
    engine.stop();
    store.close();
    if let Ok(why) = failed.try_recv() {
        bail!("{why}");
    }
    let labels = first.labels.added;
    ensure!(again.labels.added + again.labels.removed + again.labels.updated == 0, "the second job changed something");
    Ok(Measured {
        items: first.counts.total.unwrap_or_default(),
        labels,
        seconds,
        processor_seconds,
        peak_mib,
        again_seconds,
    })
}

/// Publishes a job over everything; the seconds from then to its end.
fn drain(store: &Store, engine: &Engine) -> anyhow::Result<(f64, Job)> {
    let started = Instant::now();
    let job = store.publish_range(NewJob::new(Filter::all(), "bench"), 0, when::now())?.job;
    engine.wake();
    let mut seen = 0;
    loop {
        seen = engine.await_news(seen, Duration::from_millis(100));
        let job = store.job(job.id)?;
        if job.state.ended() {
            let seconds = started.elapsed().as_secs_f64();
            return match job.state {
                JobState::Completed => Ok((seconds, job)),
                state => Err(anyhow!("the job is {state}: {:?}", job.error)),
            };
        }
        ensure!(!engine.stopping(), "the engine gave up");
    }
}
