//! The store's verbs against a model of plain maps, on thousands of seeds: R4 of the test recipes.
//!
//! A seed makes up to 80 operations: items are imported, changed, marked and erased, the catalogue is revised, jobs of
//! every kind are made, planned, leased, finished (well, badly, twice, late), steered, retried, applied, taken back,
//! pruned and deleted; the clock jumps; the process stops, or is killed with items in analysis. Each is done to the
//! store and to the model, and both must agree on what it came to. No thread of the engine runs: time, interleaving and
//! deaths are the seed's. Compared after every operation: which jobs there are, their states, counts, outcomes, reasons
//! and labels, and what may run. Every few operations, and at the end: labels with their provenance, marks, texts,
//! freshness, what carries topics, all task rows, what every job changed, the change feed, and what `check` finds.
//!
//! # What it holds the store to
//!
//! The numbers are those of the crate's invariants (`src/lib.rs`).
//!
//! - 1: what was answered is there after a kill (`Restart`, `Die`: the files as they are, opened by another store).
//! - 2, 14: counts are those of the model's tasks, and add up, at every commit; `check` agrees.
//! - 3: what comes of a lease that has passed, or that was finished before, changes nothing (`Late`).
//! - 4: an item that changes between look and commit is looked at again (`Lease` looks at once, `Finish` comes later).
//! - 5: what a job leaves is what the model's rule makes of item, rules, marks and labels (`rules::reprocess`).
//! - 6: no job's work shows in marks, nor in human labels.
//! - 7: jobs wait while the catalogue moves on, and newer ones read first.
//! - 8: only what was in analysis at a death is suspect, and only who was alone there is charged, and quarantined.
//! - 9: the model keeps a block's labels where nothing is found on it.
//! - 10: a dry run's diff and counts are those of the work, and nothing else of the model changes.
//! - 11: a revert puts back labels, provenance and freshness, or leaves the item, as the model says; of reverts too.
//! - 12: each verb in each state does what the model's table says, or is refused and changes nothing.
//! - 13: what an open revert needs is not pruned; numbers of changes are not given twice; the feed, followed from change
//!   to change, gives the labels that stand.
//! - 15: the breaker: a job ends as failed when more than half of its last 200, at least 50, ended tasks were errors.
//! - 16: a dry run is applied once, as it was listed, by its revision, and only while its rules are those of now.
//!
//! `RELABELD_MODEL_CASES` says how many seeds; `RELABELD_MODEL_FIRST` which is the first, to see one again.

#[path = "model/drive.rs"]
mod drive;
#[path = "model/effect.rs"]
mod effect;
#[path = "model/feed.rs"]
mod feed;
#[path = "model/jobs.rs"]
mod jobs;
#[path = "model/look.rs"]
mod look;
#[path = "model/ops.rs"]
mod ops;
#[path = "model/pair.rs"]
mod pair;
#[path = "model/publish.rs"]
mod publish;
#[path = "model/rules.rs"]
mod rules;
#[path = "model/seen.rs"]
mod seen;
#[path = "model/texts.rs"]
mod texts;
#[path = "model/verbs.rs"]
mod verbs;
#[path = "model/work.rs"]
mod work;
#[path = "model/world.rs"]
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::collection::vec;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use ops::{Op, op, op_on_many};
use pair::{Pair, Verdict};
use seen::Seen;

const OPERATIONS: usize = 80;
const CASES: u64 = 2_000;

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name}: not a number: {value:?}")))
}

fn cases() -> u64 {
    number("RELABELD_MODEL_CASES").unwrap_or(CASES)
}

/// Runs a property on seed after seed, on all cores; the first that fails is shrunk and told.
fn for_seeds<S>(cases: u64, strategy: impl Fn() -> S + Sync, begin: fn(&mut Pair) -> Verdict) -> Seen
where
    S: Strategy<Value = Vec<Op>>,
{
    let seen = Seen::default();
    let first = number("RELABELD_MODEL_FIRST").unwrap_or(1);
    let (next, failed) = (AtomicU64::new(0), Mutex::new(None));
    let work = || {
        while let case @ 0.. = next.fetch_add(1, Ordering::Relaxed)
            && case < cases
            && failed.lock().unwrap().is_none()
        {
            let seed = first + case;
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&seed.to_le_bytes());
            let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
            let mut config = Config { cases: 1, failure_persistence: None, ..Config::default() };
            // Unless PROPTEST_MAX_SHRINK_ITERS says otherwise.
            config.max_shrink_iters = config.max_shrink_iters.min(4_000);
            let run = TestRunner::new_with_rng(config, rng).run(&strategy(), |ops| {
                drive::run(&ops, begin, &seen).map_err(proptest::test_runner::TestCaseError::fail)
            });
            if let Err(error) = run {
                let told = match error {
                    TestError::Fail(why, ops) => {
                        let lines: Vec<String> = ops.iter().map(|op| format!("  {op:?}")).collect();
                        format!("{}\n{why}", lines.join("\n"))
                    }
                    TestError::Abort(why) => why.to_string(),
                };
                failed.lock().unwrap().get_or_insert(format!("seed {seed}:\n{told}"));
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get());
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    if let Some(why) = failed.into_inner().unwrap() {
        panic!("{why}");
    }
    seen
}

/// A few items and topics to begin with.
fn begin(pair: &mut Pair) -> Verdict {
    let topic = |programs: &[&'static str], phrases: &[&'static str]| rules::Topic {
        programs: programs.to_vec(),
        participants: "all",
        phrases: phrases.to_vec(),
        spelling: 0,
    };
    pair.revise(|topics| {
        topics.insert("a".into(), topic(&["p"], &["a"]));
        topics.insert("b".into(), topic(&["p", "q"], &["b", "c"]));
        topics.insert("c".into(), topic(&["q"], &["c"]));
    })?;
    let text = |programs: &[&'static str], blocks: &[ops::Block]| ops::Text {
        programs: programs.to_vec(),
        day: 1,
        second: None,
        language: None,
        blocks: blocks.to_vec(),
    };
    pair.import(&[
        (0, text(&["p"], &[("customer", "a"), ("agent", "b c")]), None),
        (1, text(&["p", "q"], &[("customer", "a b"), ("agent", "x")]), None),
        (2, text(&["q"], &[("customer", "x")]), None),
        (3, text(&["q", "p"], &[("agent", "c"), ("customer", "d"), ("agent", "c")]), None),
        (5, text(&["p"], &[("", "a"), ("", "c")]), None),
        (6, text(&[], &[("", "b")]), None),
    ])
}

fn begin_with_many(pair: &mut Pair) -> Verdict {
    begin(pair)?;
    pair.import_many(300)
}

/// With fewer seeds it is chance whether all of it is come across.
const ENOUGH: u64 = 1_000;

/// A property that never gets anywhere proves little.
#[track_caller]
fn assert_seen(seen: &Seen, wanted: &[&str]) {
    let lacks = seen.lacks(wanted);
    assert!(cases() < ENOUGH || lacks.is_empty(), "never seen: {lacks:?}; but\n{}", seen.tell());
}

#[test]
fn the_store_does_what_the_model_does() {
    let seen = for_seeds(cases(), || vec(op(), 1..=OPERATIONS), begin);
    let outcomes = [
        "read changed",
        "read unchanged",
        "read program_has_no_topics",
        "read skipped_current",
        "read superseded",
        "read stale_version",
        "read gone",
        "read no_topics_detected",
        "read busy",
        "read cannot",
        "read crashed",
        "read cancelled",
        "read dry changed",
        "read dry no_topics_detected",
        "taken back changed",
        "taken back unchanged",
        "taken back newer_change",
        "taken back gone",
        "taken back cannot",
        "taken back dry changed",
        "taken back dry newer_change",
    ];
    assert_seen(&seen, &outcomes);
    let jobs = [
        "applied",
        "draft of an application",
        "retried revert",
        "reverted revert",
        "split",
        "pruned",
        "deleted",
        "job single completed",
        "job list completed_with_failures",
        "job range cancelled",
        "job revert cancelled",
        "job retry completed",
        "job dry revert completed",
        "late",
    ];
    assert_seen(&seen, &jobs);
}

#[test]
fn the_store_does_what_the_model_does_with_many_items_of_which_many_fail() {
    let seen = for_seeds(cases() / 20, || vec(op_on_many(), 1..=OPERATIONS / 2), begin_with_many);
    assert_seen(&seen, &["breaker", "job range failed", "job range completed", "split", "taken back changed"]);
}
