//! Single flipped bits over a database with jobs in every state, its header, and its write-ahead log: none that changes
//! what users see goes unnoticed by `check`, and none is a panic.
//!
//! RELABELD_FLIPS is the number of bits, RELABELD_FLIP_SEED where they begin.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use relabeld::job::{Filter, JobState};
use relabeld::model::Kind;
use relabeld::store::{
    Again, ChangeRow, Durability, Error, LabelQuery, MarkWish, NewJob, Result, Store, check_directory,
};

use crate::common::{NOW, note, publish_single, wish};
use crate::{Desk, permanent, transient};

const FILES: [&str; 3] = ["relabeld.db", "relabeld.db-wal", "relabeld.db-shm"];

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: {text:?} is no number")))
}

/// SplitMix64 (Steele, Lea and Flood 2014).
struct Rng(u64);

impl Rng {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }
}

fn spoken(id: &str, blocks: &[&str]) -> String {
    let part = |id: &str, blocks: &[&str]| {
        let blocks: Vec<_> = blocks
            .iter()
            .zip(1..)
            .map(|(text, at)| serde_json::json!({"speaker": "customer", "text": text, "at_ms": 250 * at}))
            .collect();
        serde_json::json!({"id": id, "language": "en-US", "blocks": blocks})
    };
    let (one, two) = blocks.split_at(1);
    serde_json::json!({"kind": "conversation", "id": id, "media": "voice", "started_at": "2026-11-09T08:30:00Z",
        "programs": ["p"], "transcripts": [part("first", one), part("second", two)]})
    .to_string()
}

fn named(name: &str) -> NewJob {
    NewJob { name: Some(name.into()), description: Some(format!("the job {name}")), ..wish(Filter::all()) }
}

/// A job of each state, each made as users make it.
fn fill(desk: &Desk) {
    let filler = |desk: &Desk, name: &str| {
        let job = desk.store.publish_range(named(name), 0, NOW).unwrap().job.id;
        desk.plan();
        job
    };
    desk.apply(
        r#"{"topics":[{"id":"a","name":"Of alpha","programs":["p"],"phrases":["alpha","beta"]},
            {"id":"b","name":"Of beta","programs":["q"],"strictness":60,"phrases":[{"text":"gamma","strictness":90}]}],
            "programs":[{"id":"p","name":"First"},{"id":"q","name":"Second"}]}"#,
    );
    let mut lines: Vec<String> =
        (0..6).map(|n| spoken(&format!("talk-{n}"), &["alpha one", "beta two", "gamma"])).collect();
    lines.extend((0..4).map(|n| note(&format!("note-{n}"), 3, &["p", "q"], "alpha and so on\n\nanother part")));
    desk.import(&lines);

    // One whose list and history are pruned, and one of which labels are all that is left.
    let pruned = filler(desk, "pruned");
    desk.run(pruned);
    while desk.store.prune(NOW + 1, NOW + 2).unwrap() {}
    assert!(desk.job(pruned).pruned_at.is_some());
    desk.apply(r#"{"topics":[{"id":"a","name":"A","programs":["p"],"phrases":["alpha"]}]}"#);
    let deleted = filler(desk, "deleted");
    desk.run(deleted);
    desk.store.delete_job(deleted).unwrap();
    while desk.store.prune(i64::MIN, NOW).unwrap() {}

    // Completed, retried, taken back; with failures; a dry run that is applied.
    let completed = filler(desk, "completed");
    desk.run(completed);
    let failing = filler(desk, "with failures");
    desk.commit(desk.outcome(&desk.lease(failing, 256), 256, true, |item| match item.pos {
        0 => permanent(),
        _ => desk.found(item),
    }));
    assert_eq!(desk.job(failing).state, JobState::CompletedWithFailures);
    desk.run(desk.again(failing, Again::Retry { no_topics: false }).unwrap().job.id);
    desk.run(desk.again(completed, Again::Revert).unwrap().job.id);
    desk.apply(
        r#"{"topics":[{"id":"a","name":"Alpha","programs":["p"],"phrases":["alpha","beta","delta"]}],
            "programs":[{"id":"p","name":"First"}]}"#,
    );
    let dry = desk.store.publish_range(NewJob { dry_run: true, ..named("dry run") }, 0, NOW).unwrap().job.id;
    desk.run(dry);
    desk.run(desk.again(dry, Again::Apply).unwrap().job.id);
    desk.run(publish_single(&desk.store, Kind::Note, "note-1", Some(3)).unwrap().id);
    desk.store.publish_range(NewJob { split: true, ..named("split") }, 4, NOW).unwrap();
    desk.plan();
    for job in desk.store.jobs(Some(JobState::Running), None, 10).unwrap().jobs {
        desk.run(job.id);
    }

    // Marks, an erased item, and texts that are replaced.
    let mark =
        |topic: &str, block, is| MarkWish { transcript: "second".into(), block, topic: topic.into(), is: Some(is) };
    desk.store.mark_item(Kind::Conversation, "talk-1", vec![mark("a", 0, true), mark("b", 1, false)], NOW + 1).unwrap();
    desk.store.mark_item(Kind::Conversation, "talk-2", vec![mark("seen by people", 1, true)], NOW + 2).unwrap();
    desk.store.erase_item(Kind::Conversation, "talk-3", NOW + 3).unwrap();
    desk.import(&[spoken("talk-4", &["alpha one", "other words"]), note("note-2", 4, &["p"], "alpha and so on")]);

    // Ended before their ends, and not ended.
    let failed = desk.store.publish_range(named("failed"), 0, NOW).unwrap().job.id;
    drop(desk.store.begin_planning(NOW).unwrap());
    desk.store.fail_planning(failed, "by this test".into(), NOW).unwrap();
    let cancelled = filler(desk, "cancelled");
    desk.store.cancel_job(cancelled, NOW).unwrap();
    let cancelling = filler(desk, "cancelling");
    desk.lease(cancelling, 3);
    desk.store.cancel_job(cancelling, NOW).unwrap();
    let running = filler(desk, "running");
    let leased = desk.lease(running, 5);
    desk.commit(desk.outcome(&leased, 2, false, |item| match item.pos {
        0 => transient(NOW + 5_000),
        _ => desk.found(item),
    }));
    let paused = filler(desk, "paused");
    desk.store.pause_job(paused).unwrap();
    let span = Some(r#"{"from":"30d","until":null}"#.into());
    desk.store.publish_range(NewJob { publish: false, span, ..named("draft") }, 0, NOW).unwrap();
    desk.store.publish_range(named("planning"), 0, NOW).unwrap();
    drop(desk.store.begin_planning(NOW).unwrap());
    desk.store.publish_range(NewJob { max_per_second: Some(7.5), priority: 70, ..named("queued") }, 0, NOW).unwrap();
}

/// All that users can see of a database, a line each. An error that says damage is a line too.
fn seen(store: &Store) -> Vec<String> {
    let mut seen = Vec::new();
    let mut see = |what: String, found: Result<String>| {
        seen.push(match found {
            Ok(found) => format!("{what}: {found}"),
            Err(Error::Damaged(_) | Error::DamagedJob { .. } | Error::Unusable(_)) => format!("{what}: damaged"),
            Err(error) => format!("{what}: {error}"),
        });
    };
    fn show<T: std::fmt::Debug>(found: Result<T>) -> Result<String> {
        found.map(|found| format!("{found:?}"))
    }
    let query = LabelQuery { filter: Filter::all(), topics: Vec::new() };
    see("labels".into(), show(store.label_rows(&query, None)));
    let last = store.last_change();
    let pruned = last.as_ref().map_or(0, |(_, pruned)| *pruned);
    see("last change".into(), show(last));
    see("changes".into(), show(store.changes_after(pruned, 10_000)));
    see("queue".into(), show(store.queue()));
    see("count".into(), show(store.count(&Filter::all())));
    see("topics".into(), show(store.topic_counts(None, None)));
    see("programs".into(), show(store.program_items()));
    see("current".into(), show(store.current_revision()));
    for revision in 0..4 {
        see(format!("revision {revision}"), show(store.revision(Some(revision))));
    }
    for n in 0..6 {
        see(format!("talk-{n}"), show(store.show_item(Kind::Conversation, &format!("talk-{n}"))));
        see(format!("note-{n}"), show(store.show_item(Kind::Note, &format!("note-{n}"))));
    }
    see("jobs".into(), show(store.jobs(None, None, 100)));
    for id in 0..40 {
        see(format!("job {id}"), show(store.job(id)));
        see(format!("group {id}"), show(store.group(id)));
        see(format!("topics of job {id}"), show(store.job_topics(id)));
        see(format!("items of job {id}"), show(store.task_rows(id, 0)));
        let changes = store.job_changes(id, 0).map(|(rows, _): (Vec<ChangeRow>, _)| rows);
        see(format!("changes of job {id}"), show(changes));
    }
    seen
}

/// What a flipped bit came to.
#[derive(Debug, PartialEq)]
enum Noticed {
    /// `check` found it, or refused the file.
    ByCheck,
    /// Nothing that users see differs.
    Nothing,
    /// What users see differs, as an error that says damage.
    ByReading,
    /// What differs.
    No(String),
}

fn notice(dir: &Path, undamaged: &[String]) -> Noticed {
    match check_directory(dir) {
        Ok(faults) if faults.is_empty() => {}
        Ok(_) | Err(Error::Damaged(_) | Error::Unusable(_)) => return Noticed::ByCheck,
        Err(error) => return Noticed::No(format!("check says {error}, and not that anything is damaged")),
    }
    let store = match Store::open(dir, Durability::Normal) {
        Ok(store) => store,
        Err(Error::Damaged(_) | Error::Unusable(_)) => return Noticed::ByReading,
        Err(error) => return Noticed::No(format!("opening it says {error}, and not that anything is damaged")),
    };
    let seen = seen(&store);
    store.close();
    let mut noticed = Noticed::Nothing;
    for (now, before) in seen.iter().zip(undamaged).filter(|(now, before)| now != before) {
        if !now.ends_with(": damaged") {
            return Noticed::No(format!("{before}\nbecame\n{now}"));
        }
        noticed = Noticed::ByReading;
    }
    noticed
}

#[test]
fn no_flipped_bit_that_users_see_goes_unnoticed() {
    let flips = setting("RELABELD_FLIPS", 350) as usize;
    let seed = setting("RELABELD_FLIP_SEED", 1);
    let mut desk = Desk::new();
    fill(&desk);
    desk.reopen();
    // The log is kept as it is by a reader from before its first commit.
    let reader = desk.raw();
    reader.execute_batch("BEGIN; SELECT count(*) FROM job").unwrap();
    desk.import(&[note("note-3", 4, &["p", "q"], "alpha in a text that is in the log")]);
    let single = publish_single(&desk.store, Kind::Conversation, "talk-5", None).unwrap().id;
    desk.finish(&desk.lease(single, 1));
    desk.store.mark_item(Kind::Note, "note-0", Vec::new(), NOW).unwrap();
    let files = FILES.map(|name| fs::read(desk.dir.path().join(name)).unwrap());
    drop(reader);
    assert!(files[1].len() > 20_000, "the log holds {} bytes", files[1].len());
    let states: Vec<JobState> = desk.store.jobs(None, None, 100).unwrap().jobs.iter().map(|job| job.state).collect();
    let missing: Vec<_> = JobState::ALL.iter().filter(|state| !states.contains(state)).collect();
    assert!(missing.is_empty(), "no job is {missing:?}");

    let scratch = tempfile::tempdir().unwrap();
    let lay = |dir: &Path, files: &[Vec<u8>; 3]| {
        FILES.iter().zip(files).for_each(|(name, bytes)| fs::write(dir.join(name), bytes).unwrap());
    };
    let whole = scratch.path().join("whole");
    fs::create_dir(&whole).unwrap();
    lay(&whole, &files);
    assert_eq!(check_directory(&whole).unwrap(), Vec::<String>::new());
    let undamaged = {
        let store = Store::open(&whole, Durability::Normal).unwrap();
        let seen = seen(&store);
        store.close();
        seen
    };
    // Each reads with others beside it: what one flip does is done in its own directory.
    let threads = 2;
    let totals: Vec<(usize, usize, usize)> = std::thread::scope(|scope| {
        let run = |thread: usize| {
            let (files, undamaged, lay, scratch) = (&files, &undamaged, &lay, scratch.path());
            move || {
                let (mut by_check, mut by_reading, mut nothing) = (0, 0, 0);
                for flip in (thread..flips).step_by(threads) {
                    let mut rng = Rng(seed.wrapping_mul(1_000_003).wrapping_add(flip as u64));
                    // A tenth in the header, a quarter in the log.
                    let (file, at) = match rng.below(20) {
                        0..2 => (0, rng.below(100)),
                        2..7 => (1, rng.below(files[1].len())),
                        _ => (0, rng.below(files[0].len())),
                    };
                    let bit = rng.below(8);
                    let mut damaged = files.clone();
                    damaged[file][at] ^= 1 << bit;
                    // One of its own: the pool of a store may still close a connection after the store is dropped.
                    let dir = tempfile::tempdir_in(scratch).unwrap();
                    lay(dir.path(), &damaged);
                    let noticed = catch_unwind(AssertUnwindSafe(|| notice(dir.path(), undamaged)));
                    let place = format!("flip {flip} of seed {seed}: bit {bit} of byte {at} of {}", FILES[file]);
                    match noticed.unwrap_or_else(|_| panic!("{place}: a panic")) {
                        Noticed::ByCheck => by_check += 1,
                        Noticed::ByReading => by_reading += 1,
                        Noticed::Nothing => nothing += 1,
                        Noticed::No(why) => panic!("{place}: {why}"),
                    }
                }
                (by_check, by_reading, nothing)
            }
        };
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(run(thread))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let sum = |of: fn(&(usize, usize, usize)) -> usize| totals.iter().map(of).sum::<usize>();
    let (by_check, by_reading, nothing) = (sum(|t| t.0), sum(|t| t.1), sum(|t| t.2));
    println!("{flips} flips: {by_check} found by check, {by_reading} by reading, {nothing} that users do not see");
    assert_eq!(by_check + by_reading + nothing, flips);
    assert!(by_check * 5 > flips, "few flips met anything: {by_check} of {flips}");
}
