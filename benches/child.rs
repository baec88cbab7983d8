//! One side of a comparison, in a process of its own: neither an import's memory nor what another left behind counts.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, io};

use anyhow::{Context as _, anyhow, bail, ensure};
use crossbeam_channel::bounded;
use relabeld::engine::{Compile, Engine, Settings};
use relabeld::job::{Filter, Job, JobState};
use relabeld::labeller::Labeller;
use relabeld::labeller::phrases::Phrases;
use relabeld::model::{Detection, Document, Failure, TopicSet};
use relabeld::store::{Durability, NewJob, Store};
use relabeld::when;
use serde::{Deserialize, Serialize};

use crate::{bare, machine, plain, rows};

pub const FLAG: &str = "--child";
pub const WORKERS: usize = 2;

/// What a child process does.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A job over everything, and the same once more.
    Job,
    /// A job over everything.
    First,
    /// As `Job`, with a labeller that finds nothing and takes no time.
    Noop,
    Bare,
    Plain,
    Rows,
}

/// What a child process measured.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Measured {
    pub items: i64,
    pub labels: i64,
    pub seconds: f64,
    pub processor_seconds: f64,
    pub peak_mb: f64,
    /// Of the same job once more, with nothing to change; 0 where there was none.
    pub again_seconds: f64,
    /// Of one fsync, before all else.
    pub sync_ms: f64,
}

impl Measured {
    pub fn rate(&self) -> f64 {
        self.items as f64 / self.seconds
    }

    pub fn again_rate(&self) -> f64 {
        self.items as f64 / self.again_seconds
    }
}

/// Runs one side on a directory, with a library loaded before all others.
pub fn run(role: Role, dir: &Path, preload: Option<&Path>) -> anyhow::Result<Measured> {
    let word = serde_json::to_string(&role)?;
    let mut command = Command::new(env::current_exe()?);
    command.args([FLAG, word.trim_matches('"')]).arg(dir).stderr(Stdio::inherit());
    if let Some(library) = preload {
        command.env("LD_PRELOAD", library);
    }
    let output = command.output().context("cannot run itself")?;
    ensure!(output.status.success(), "{role:?} ended with {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

pub fn main(role: &str, dir: &Path) -> anyhow::Result<()> {
    let sync_ms = sync(dir)?;
    let measured = match serde_json::from_str(&format!("{role:?}"))? {
        Role::Job => job(dir, by_phrases(), true)?,
        Role::First => job(dir, by_phrases(), false)?,
        Role::Noop => job(dir, Arc::new(|_| Arc::new(Nothing) as Arc<dyn Labeller>), true)?,
        Role::Bare => measure(bare::open(dir)?)?,
        Role::Plain => measure(plain::open(dir)?)?,
        Role::Rows => measure(rows::open(dir)?)?,
    };
    serde_json::to_writer(io::stdout(), &Measured { sync_ms, ..measured })?;
    io::stdout().flush()?;
    Ok(())
}

fn sync(dir: &Path) -> anyhow::Result<f64> {
    let path = dir.join("sync");
    let mut file = File::create(&path)?;
    file.write_all(b"something")?;
    let started = Instant::now();
    file.sync_all()?;
    let took = started.elapsed().as_secs_f64() * 1e3;
    std::fs::remove_file(path)?;
    Ok(took)
}

/// Finds nothing, at no cost.
struct Nothing;

impl Labeller for Nothing {
    fn analyse(&self, _: &Document<'_>, _: &TopicSet) -> Result<Vec<Detection>, Failure> {
        Ok(Vec::new())
    }
}

fn by_phrases() -> Arc<Compile> {
    Arc::new(|catalogue: &_| Arc::new(Phrases::compile(catalogue)) as Arc<dyn Labeller>)
}

/// Of a loop: it answers how many items and labels it went through.
fn measure(work: impl FnOnce() -> anyhow::Result<(i64, i64)>) -> anyhow::Result<Measured> {
    let (started, processor) = (Instant::now(), machine::processor_seconds());
    let (worked, peak_mb) = machine::with_peak_memory(work);
    let (items, labels) = worked?;
    let (seconds, processor_seconds) = (started.elapsed().as_secs_f64(), machine::processor_seconds() - processor);
    Ok(Measured { items, labels, seconds, processor_seconds, peak_mb, ..Measured::default() })
}

fn job(dir: &Path, compile: Arc<Compile>, again: bool) -> anyhow::Result<Measured> {
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
    let engine = Engine::start(Arc::clone(&store), settings, compile, failing)?;
    let mut measured = measure(|| {
        let job = drain(&store, &engine)?.1;
        Ok((job.counts.total.unwrap_or_default(), job.labels.added))
    })?;
    if again {
        let (seconds, job) = drain(&store, &engine)?;
        ensure!(job.labels.added + job.labels.removed + job.labels.updated == 0, "the second job changed something");
        measured.again_seconds = seconds;
    }
    engine.stop();
    store.close();
    if let Ok(why) = failed.try_recv() {
        bail!("{why}");
    }
    Ok(measured)
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
