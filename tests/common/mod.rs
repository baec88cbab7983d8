//! What the tests share: a store with a running engine on a scratch directory, and small makers of input.
#![allow(dead_code)] // Each test binary uses a part of it.

pub mod real;
pub mod stub;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use relabeld::engine::{Compile, Engine, Settings};
use relabeld::job::{Filter, Job, JobId};
use relabeld::labeller::{Labeller, phrases};
use relabeld::lines::{Incoming, parse_line};
use relabeld::model::{Catalogue, Kind, Millis};
use relabeld::store::{Durability, ImportOutcome, NewJob, Store};
use relabeld::wire::ItemKey;

/// 2026-11-20T00:00:00Z.
pub const NOW: Millis = 1_795_132_800_000;
/// Nothing here takes longer, unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub fn by_phrases() -> Arc<Compile> {
    Arc::new(|catalogue: &Catalogue| Arc::new(phrases::Phrases::compile(catalogue)) as Arc<dyn Labeller>)
}

pub fn catalogue(json: &str) -> Catalogue {
    relabeld::catalogue::parse(json.as_bytes(), phrases::has_words).unwrap_or_else(|faults| panic!("{faults:?}"))
}

/// A store and its engine, as the daemon runs them.
pub struct House {
    pub store: Arc<Store>,
    pub engine: Engine,
    pub failed: Receiver<String>,
    dir: PathBuf,
    _scratch: Option<tempfile::TempDir>,
}

impl House {
    pub fn new() -> House {
        House::with(2, by_phrases())
    }

    pub fn with(workers: usize, compile: Arc<Compile>) -> House {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path().to_owned();
        let mut house = House::open(&dir, workers, compile);
        house._scratch = Some(scratch);
        house
    }

    pub fn open(dir: &Path, workers: usize, compile: Arc<Compile>) -> House {
        let store = Arc::new(Store::open(dir, Durability::Normal).unwrap());
        let (failing, failed) = crossbeam_channel::bounded(1);
        let settings = Settings {
            data_dir: dir.to_owned(),
            workers,
            max_attempts: 3,
            max_item_time: Duration::from_secs(600),
            retention: i64::MAX / 4,
            min_free_bytes: 0,
            clock: relabeld::when::now,
        };
        let engine = Engine::start(Arc::clone(&store), settings, compile, failing).unwrap();
        House { store, engine, failed, dir: dir.to_owned(), _scratch: None }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn import(&self, lines: &[String]) -> ImportOutcome {
        self.store.import(incoming(lines).into_iter().collect(), NOW).unwrap()
    }

    pub fn apply(&self, json: &str) -> i64 {
        self.store.apply_catalogue(catalogue(json), phrases::VERSION, true, None, NOW).unwrap().revision
    }

    /// Publishes a range job and waits for its end.
    pub fn run(&self, filter: Filter) -> Job {
        let job = self.publish(filter);
        self.ended(job)
    }

    pub fn publish(&self, filter: Filter) -> JobId {
        let job = self.store.publish_range(wish(filter), 0, NOW).unwrap().job;
        self.engine.wake();
        job.id
    }

    pub fn ended(&self, job: JobId) -> Job {
        self.wait_for(job, |job| job.state.ended())
    }

    /// Waits until the job looks as wanted; each look is at a commit.
    pub fn wait_for(&self, job: JobId, wanted: impl Fn(&Job) -> bool) -> Job {
        let until = Instant::now() + PATIENCE;
        let mut seen = 0;
        loop {
            let job = self.store.job(job).unwrap();
            let counts = job.counts;
            let sum =
                counts.pending + counts.running + counts.done + counts.failed + counts.quarantined + counts.cancelled;
            assert!(counts.total.is_none_or(|total| total == sum), "{counts:?}");
            if wanted(&job) {
                return job;
            }
            if let Ok(why) = self.failed.try_recv() {
                panic!("the engine gave up: {why}");
            }
            assert!(Instant::now() < until, "still {job:?}");
            seen = self.engine.await_news(seen, Duration::from_millis(200));
        }
    }

    /// All agrees with all else.
    pub fn check(&self) {
        assert_eq!(self.store.check().unwrap(), Vec::<String>::new());
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.engine.stop();
        self.store.close();
    }
}

pub fn incoming(lines: &[String]) -> Vec<(u64, Incoming)> {
    (1..).zip(lines).map(|(no, line)| (no, parse_line(line.as_bytes()).unwrap())).collect()
}

pub fn wish(filter: Filter) -> NewJob {
    NewJob::new(filter, "test")
}

pub fn publish_single(store: &Store, kind: Kind, id: &str, version: Option<i64>) -> relabeld::store::Result<Job> {
    let key = ItemKey { kind, id: id.into(), version };
    Ok(store.publish_single(wish(Filter::all()), key, NOW)?.job)
}

/// A conversation of one transcript `t1`; blocks are (speaker, text).
pub fn conversation(id: &str, programs: &[&str], blocks: &[(&str, &str)]) -> String {
    let blocks: Vec<_> =
        blocks.iter().map(|(speaker, text)| serde_json::json!({"speaker": speaker, "text": text})).collect();
    serde_json::json!({"kind": "conversation", "id": id, "media": "chat", "started_at": "2026-11-10T10:00:00Z",
        "programs": programs, "transcripts": [{"id": "t1", "blocks": blocks}]})
    .to_string()
}

pub fn note(id: &str, version: i64, programs: &[&str], text: &str) -> String {
    serde_json::json!({"kind": "note", "id": id, "version": version, "created_at": "2026-11-11T09:00:00Z",
        "programs": programs, "text": text})
    .to_string()
}
