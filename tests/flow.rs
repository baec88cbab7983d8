//! The engine with a labeller that does what the test wants: lanes, shares, holding, ending, failing, stopping.

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::stub::{Gate, phrases_after};
use common::{House, NOW, by_phrases, conversation, publish_single, wish};
use relabeld::job::{Filter, Job, JobId, JobState, TaskState};
use relabeld::labeller::Labeller;
use relabeld::model::Kind::Conversation;
use relabeld::model::{Detection, Document, Failure, TopicSet};
use relabeld::store::{Durability, NewJob, Steering, Store};

const TOPICS: &str = r#"{"topics":[{"id":"a","name":"A","programs":["p","q","r"],"phrases":["alpha"]}]}"#;

/// `n` items of a program, `p000` and on.
fn items(program: &str, n: usize) -> Vec<String> {
    (0..n).map(|n| conversation(&format!("{program}{n:03}"), &[program], &[("customer", "alpha")])).collect()
}

fn of(program: &str) -> Filter {
    Filter { programs: vec![program.into()], ..Filter::all() }
}

fn publish(house: &House, wish: NewJob) -> JobId {
    let job = house.store.publish_range(wish, 0, NOW).unwrap().job;
    house.engine.wake();
    job.id
}

fn single(house: &House, id: &str) -> JobId {
    let job = publish_single(&house.store, Conversation, id, None).unwrap();
    house.engine.wake();
    job.id
}

fn states(house: &House, job: &Job) -> BTreeMap<TaskState, usize> {
    let mut states = BTreeMap::new();
    for task in house.store.task_rows(job.id, 0).unwrap() {
        *states.entry(task.state).or_default() += 1;
    }
    states
}

/// A labeller that counts how often it saw each item.
fn counting(gate: &Gate) -> (Arc<relabeld::engine::Compile>, Arc<Mutex<BTreeMap<String, usize>>>) {
    let seen: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    let (counts, gate) = (Arc::clone(&seen), gate.clone());
    let labeller = phrases_after(move |id| {
        *counts.lock().unwrap().entry(id.into()).or_default() += 1;
        gate.pass(id);
        Ok(())
    });
    (labeller, seen)
}

#[track_caller]
fn assert_each_once(seen: &Mutex<BTreeMap<String, usize>>, n: usize) {
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), n);
    assert!(seen.values().all(|times| *times == 1), "{seen:?}");
}

// Lanes and shares ---------------------------------------------------------------------------------------------------

#[test]
fn the_live_lane_passes_a_bulk_job_that_is_blocked() {
    let gate = Gate::closed_for(&["p000", "p256"]);
    let house = House::with(2, gate.labeller());
    house.apply(TOPICS);
    house.import(&items("p", 600));
    house.import(&items("q", 1));
    let bulk = house.publish(of("p"));
    gate.arrival();
    gate.arrival();
    // Both workers stand still, and more leases than the channel holds wait behind them.
    let live = single(&house, "q000");
    assert_eq!(house.ended(live).state, JobState::Completed);
    assert!(!house.store.job(bulk).unwrap().state.ended());
    gate.let_one_go();
    gate.let_one_go();
    assert_eq!(house.ended(bulk).counts.done, 600);
    house.check();
}

#[test]
fn little_is_given_out_ahead_of_a_job_whose_speed_is_not_known_or_slow() {
    // A chunk is leased once at a time.
    const ITEMS: usize = 40 * 256;
    let gate = Gate::closed_for(&["p000"]);
    let house = House::with(1, gate.labeller());
    house.apply(TOPICS);
    house.import(&items("p", ITEMS));
    house.import(&items("q", 1));
    let job = house.publish(of("p"));
    gate.arrival();
    // Once this one is done, leases were given out with a look at how many there are.
    assert_eq!(house.ended(single(&house, "q000")).state, JobState::Completed);
    let running = house.store.job(job).unwrap().counts.running;
    assert!((1..=4 * 9).contains(&running), "{running}: four items a lease, one in work and eight behind it");
    gate.let_one_go();
    assert_eq!(house.ended(job).counts.done, ITEMS as i64);
    house.check();
}

#[test]
fn a_throttled_job_holds_up_nobody_else() {
    let house = House::new();
    house.apply(TOPICS);
    for program in ["p", "q", "r"] {
        house.import(&items(program, 3));
    }
    // One item now, and the next in a quarter of an hour.
    let throttled = publish(&house, NewJob { max_per_second: Some(0.001), ..wish(of("p")) });
    house.wait_for(throttled, |job| job.counts.done == 1);
    assert_eq!(house.ended(single(&house, "q000")).state, JobState::Completed);
    assert_eq!(house.run(of("r")).counts.done, 3);
    let job = house.store.job(throttled).unwrap();
    assert_eq!((job.state, job.counts.done, job.counts.pending), (JobState::Running, 1, 2));

    // Held and ended while throttled.
    house.engine.pause(throttled).unwrap();
    assert_eq!(house.engine.cancel(throttled).unwrap().state, JobState::Cancelled);
    house.check();
}

#[test]
fn bulk_jobs_share_by_priority_and_none_starves() {
    const CHUNKS: usize = 64;
    const CHUNK: usize = 256;
    let gate = Gate::closed_for(&["r000"]);
    let order: Arc<Mutex<Vec<u8>>> = Arc::default();
    let (log, held) = (Arc::clone(&order), gate.clone());
    let house = House::with(
        1,
        phrases_after(move |id| {
            log.lock().unwrap().push(id.as_bytes()[0]);
            held.pass(id);
            Ok(())
        }),
    );
    house.apply(TOPICS);
    for program in ["p", "q"] {
        house.import(&items(program, CHUNKS * CHUNK));
    }
    house.import(&items("r", 1));
    // The only worker stands still until both wait.
    let first = house.publish(of("r"));
    gate.arrival();
    let high = publish(&house, NewJob { priority: 75, ..wish(of("p")) });
    let low = publish(&house, NewJob { priority: 25, ..wish(of("q")) });
    for job in [high, low] {
        house.wait_for(job, |job| job.counts.total.is_some());
    }
    gate.let_one_go();
    for job in [first, high, low] {
        assert_eq!(house.ended(job).state, JobState::Completed);
    }
    let order = order.lock().unwrap();
    let end_of_high = order.iter().rposition(|job| *job == b'p').unwrap();
    let beside = order[..end_of_high].iter().filter(|job| **job == b'q').count();
    // A third of its items, give or take what was leased before both were there.
    let wanted = CHUNKS * CHUNK / 3;
    assert!(beside.abs_diff(wanted) <= 3 * CHUNK, "{beside} items of the lower job beside the higher, not {wanted}");
    house.check();
}

// Holding and ending -------------------------------------------------------------------------------------------------

#[test]
fn pause_works_at_the_border_of_an_item_and_resume_goes_on_there() {
    let gate = Gate::closed_for(&["p003"]);
    let (labeller, seen) = counting(&gate);
    let house = House::with(1, labeller);
    house.apply(TOPICS);
    house.import(&items("p", 20));
    let job = house.publish(of("p"));
    gate.arrival();
    assert_eq!(house.engine.pause(job).unwrap().state, JobState::Paused);
    gate.let_one_go();
    let held = house.wait_for(job, |job| job.counts.running == 0);
    assert_eq!((held.state, held.counts.done, held.counts.pending), (JobState::Paused, 4, 16));
    assert_eq!(states(&house, &held), [(TaskState::Pending, 16), (TaskState::Done, 4)].into());
    house.check();
    house.engine.resume(job).unwrap();
    assert_eq!(house.ended(job).counts.done, 20);
    assert_each_once(&seen, 20);
    house.check();
}

#[test]
fn cancel_works_at_the_border_of_an_item() {
    let gate = Gate::closed_for(&["p003"]);
    let (labeller, seen) = counting(&gate);
    let house = House::with(1, labeller);
    house.apply(TOPICS);
    house.import(&items("p", 20));
    let job = house.publish(of("p"));
    gate.arrival();
    assert_eq!(house.engine.cancel(job).unwrap().state, JobState::Cancelling);
    gate.let_one_go();
    let ended = house.ended(job);
    assert_eq!((ended.state, ended.counts.done, ended.counts.cancelled), (JobState::Cancelled, 4, 16));
    assert_eq!(states(&house, &ended), [(TaskState::Done, 4), (TaskState::Cancelled, 16)].into());
    assert_each_once(&seen, 4);
    house.check();
}

#[test]
fn a_job_that_is_slowed_stops_at_the_border_of_an_item() {
    let gate = Gate::closed_for(&["p001"]);
    let (labeller, seen) = counting(&gate);
    let house = House::with(1, labeller);
    house.apply(TOPICS);
    house.import(&items("p", 20));
    let job = house.publish(of("p"));
    gate.arrival();
    let speed = |speed| Steering { max_per_second: Some(speed), ..Steering::default() };
    house.engine.steer(job, speed(Some(0.001))).unwrap();
    gate.let_one_go();
    // What was leased at the old speed goes back; at the new one the next goes at once, and then none for long.
    house.wait_for(job, |job| job.counts.done == 3 && job.counts.running == 0);
    house.check();
    house.engine.steer(job, speed(None)).unwrap();
    assert_eq!(house.ended(job).counts.done, 20);
    assert_each_once(&seen, 20);
    house.check();
}

#[test]
fn a_group_is_held_by_its_first() {
    let gate = Gate::closed_for(&["p000", "p005"]);
    let (labeller, seen) = counting(&gate);
    let house = House::with(2, labeller);
    house.apply(TOPICS);
    house.import(&items("p", 10));
    let published = house.store.publish_range(NewJob { split: true, ..wish(of("p")) }, 5, NOW).unwrap();
    let (first, all) = (published.job, published.group);
    house.engine.wake();
    gate.arrival();
    gate.arrival();
    house.engine.pause(first.id).unwrap();
    gate.let_one_go();
    gate.let_one_go();
    for &job in &all {
        assert_eq!(house.wait_for(job, |job| job.counts.running == 0).counts.done, 1);
    }
    house.engine.resume(first.id).unwrap();
    for &job in &all {
        assert_eq!(house.ended(job).state, JobState::Completed);
    }
    assert_each_once(&seen, 10);
    house.check();
}

// Failing ------------------------------------------------------------------------------------------------------------

#[test]
fn a_panic_in_the_labeller_is_that_items_error_and_nobody_elses() {
    let house = House::with(2, phrases_after(|id| if id == "p007" { panic!("on purpose") } else { Ok(()) }));
    house.apply(TOPICS);
    house.import(&items("p", 20));
    let job = house.run(of("p"));
    assert_eq!(
        (job.state, job.counts.done, job.counts.failed, job.errors),
        (JobState::CompletedWithFailures, 19, 1, 1)
    );
    let tasks = house.store.task_rows(job.id, 0).unwrap();
    let failed: Vec<_> = tasks.iter().filter(|task| task.state == TaskState::Failed).collect();
    assert_eq!((failed.len(), failed[0].id.as_str(), failed[0].attempts), (1, "p007", 1), "it is not tried again");
    // The daemon lives.
    assert!(house.failed.try_recv().is_err() && !house.engine.stopping());
    assert_eq!(house.ended(single(&house, "p000")).state, JobState::Completed);
    house.check();
}

/// Finds in each item what no catalogue has: one has too few topics, the other too few phrases.
struct Lost;

impl Labeller for Lost {
    fn analyse(&self, document: &Document<'_>, _: &TopicSet) -> Result<Vec<Detection>, Failure> {
        let (topic, phrase) = if document.id == "p000" { (1, 0) } else { (0, 1) };
        Ok(vec![Detection { transcript: 0, block: 0, topic, phrase, score: 100, start: 0, end: 5 }])
    }
}

#[test]
fn what_no_catalogue_has_is_an_error_of_the_item_on_which_it_was_found() {
    let house = House::with(2, Arc::new(|_| Arc::new(Lost) as Arc<dyn Labeller>));
    house.apply(TOPICS);
    house.import(&items("p", 2));
    let job = house.run(of("p"));
    assert_eq!((job.state, job.counts.failed, job.errors), (JobState::CompletedWithFailures, 2, 2));
    for task in house.store.task_rows(job.id, 0).unwrap() {
        assert!(task.reason.as_ref().is_some_and(|why| why.contains("that the catalogue has not")), "{task:?}");
    }
    assert!(house.failed.try_recv().is_err() && !house.engine.stopping());
    house.check();
}

#[test]
fn an_item_whose_stored_text_is_damaged_fails_alone() {
    let (labeller, seen) = counting(&Gate::closed_for(&[]));
    let house = House::with(2, labeller);
    house.apply(TOPICS);
    house.import(&items("p", 20));
    // One byte of it: that of the format, or one of the text.
    let raw = rusqlite::Connection::open(house.dir().join("relabeld.db")).unwrap();
    for (id, in_text) in [("p007", false), ("p013", true)] {
        let (no, mut content): (i64, Vec<u8>) = raw
            .query_row("SELECT no, content FROM item JOIN body ON item = no WHERE id = ?", [id], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        let text = content.windows(5).position(|five| five == b"alpha").unwrap();
        let at = if in_text { text } else { 0 };
        content[at] = 0xff;
        raw.execute("UPDATE body SET content = ? WHERE item = ?", rusqlite::params![content, no]).unwrap();
    }
    let job = house.run(of("p"));
    assert_eq!(
        (job.state, job.counts.done, job.counts.failed, job.errors),
        (JobState::CompletedWithFailures, 18, 2, 2)
    );
    let tasks = house.store.task_rows(job.id, 0).unwrap();
    let failed: Vec<_> = tasks.iter().filter(|task| task.state == TaskState::Failed).collect();
    assert_eq!(failed.iter().map(|task| task.id.as_str()).collect::<Vec<_>>(), ["p007", "p013"]);
    for task in failed {
        assert_eq!(task.attempts, 1, "it is not tried again");
        assert!(task.reason.as_ref().unwrap().contains("does not decode"), "{task:?}");
    }
    assert_each_once(&seen, 18);
    assert!(house.failed.try_recv().is_err() && !house.engine.stopping());
    assert_eq!(house.ended(single(&house, "p007")).state, JobState::CompletedWithFailures);
    assert_eq!(house.ended(single(&house, "p000")).state, JobState::Completed);
    // Each is named twice: it does not decode, and does not match its checksum.
    let faults = house.store.check().unwrap();
    let named = |word: &str| faults.iter().filter(|fault| fault.contains(word)).count();
    assert_eq!((named("body.content does not decode"), named("body.sum"), faults.len()), (2, 2, 4), "{faults:?}");
}

#[test]
fn a_transient_failure_is_tried_again_in_both_lanes() {
    let tries: Arc<Mutex<BTreeMap<String, Vec<Instant>>>> = Arc::default();
    let log = Arc::clone(&tries);
    let house = House::with(
        2,
        phrases_after(move |id| {
            let mut tries = log.lock().unwrap();
            let of_item = tries.entry(id.into()).or_default();
            of_item.push(Instant::now());
            if id.ends_with('1') && of_item.len() == 1 { Err(Failure::Transient("busy".into())) } else { Ok(()) }
        }),
    );
    house.apply(TOPICS);
    house.import(&items("p", 5));
    house.import(&items("q", 2));
    // The live lane has nothing but a retry to wait for, and nothing wakes it but the time.
    let began = Instant::now();
    let live = house.ended(single(&house, "q001"));
    assert_eq!(live.state, JobState::Completed);
    assert!(began.elapsed() < Duration::from_millis(3_500), "it waited for more than its time: {:?}", began.elapsed());
    let bulk = house.run(of("p"));
    assert_eq!((bulk.state, bulk.counts.done), (JobState::Completed, 5));
    let tries = tries.lock().unwrap();
    assert_eq!(["p001", "p002", "q001"].map(|id| tries[id].len()), [2, 1, 2]);
    for id in ["p001", "q001"] {
        // Half a second by the clock of the day, which is kept in milliseconds.
        assert!(tries[id][1] - tries[id][0] >= Duration::from_millis(450), "{id}: {:?}", tries[id]);
    }
    house.check();
}

// Stopping -----------------------------------------------------------------------------------------------------------

#[test]
fn stop_commits_what_is_in_flight_and_gives_back_the_rest_to_the_next_engine() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::closed_for(&["p002", "p256"]);
    let (labeller, seen) = counting(&gate);
    let house = House::open(dir.path(), 2, labeller);
    house.apply(TOPICS);
    house.import(&items("p", 700));
    let job = house.publish(of("p"));
    gate.arrival();
    gate.arrival();
    std::thread::scope(|scope| {
        let stopped = scope.spawn(|| house.engine.stop());
        while !house.engine.stopping() {
            std::thread::yield_now();
        }
        gate.let_one_go();
        gate.let_one_go();
        stopped.join().unwrap();
    });
    let left = house.store.job(job).unwrap();
    assert_eq!(
        (left.state, left.counts.running, left.counts.done),
        (JobState::Running, 0, 4),
        "p000 to p002, and p256"
    );
    house.check();
    drop(house);

    let (labeller, seen_later) = counting(&Gate::closed_for(&[]));
    let house = House::open(dir.path(), 2, labeller);
    assert_eq!((house.engine.recovered().leases_given_back, house.engine.recovered().suspects), (0, 0));
    assert_eq!(house.ended(job).counts.done, 700);
    let mut all = seen.lock().unwrap().clone();
    for (id, times) in seen_later.lock().unwrap().iter() {
        *all.entry(id.clone()).or_default() += times;
    }
    assert_each_once(&Mutex::new(all), 700);
    house.check();
}

#[test]
fn a_job_waits_for_the_engine_however_it_was_left() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Durability::Normal).unwrap();
    store.apply_catalogue(common::catalogue(TOPICS), "test/1", true, None, NOW).unwrap();
    store.import(common::incoming(&items("p", 4)).into_iter().collect(), NOW).unwrap();
    let queued = store.publish_range(wish(of("p")), 0, NOW).unwrap().job.id;
    drop(store.begin_planning(NOW).unwrap());
    let live = publish_single(&store, Conversation, "p000", None).unwrap().id;
    store.close();
    drop(store);
    let house = House::open(dir.path(), 1, by_phrases());
    assert_eq!(house.ended(live).state, JobState::Completed);
    assert_eq!(house.ended(queued).counts.done, 4);
}

#[test]
fn suspects_run_alone_and_the_rest_after_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Durability::Normal).unwrap();
    store.apply_catalogue(common::catalogue(TOPICS), "test/1", true, None, NOW).unwrap();
    store.import(common::incoming(&items("p", 600)).into_iter().collect(), NOW).unwrap();
    let job = store.publish_range(wish(of("p")), 0, NOW).unwrap().job.id;
    let epoch = store.recover(Vec::new(), 3, NOW).unwrap().epoch;
    while let Some(mut planning) = store.begin_planning(NOW).unwrap() {
        planning.step(NOW).unwrap();
    }
    let ask = |lease| relabeld::store::Ask { job, items: 256, lease };
    store.lease(vec![ask(1), ask(2)], epoch, NOW).unwrap();
    store.close();
    drop(store);
    // What two workers of a process that died had noted.
    let note = |pos: i64| [epoch, job, pos].map(i64::to_le_bytes).concat();
    std::fs::write(dir.path().join("begun"), [note(5), note(300)].concat()).unwrap();

    let beside: Arc<AtomicUsize> = Arc::default();
    let order: Arc<Mutex<Vec<(String, usize)>>> = Arc::default();
    let (now, log) = (Arc::clone(&beside), Arc::clone(&order));
    let house = House::open(
        dir.path(),
        3,
        phrases_after(move |id| {
            let others = now.fetch_add(1, Ordering::SeqCst);
            log.lock().unwrap().push((id.into(), others));
            // Room for another to come in beside, if any may.
            std::thread::yield_now();
            now.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        }),
    );
    assert_eq!(house.engine.recovered().suspects, 2);
    assert_eq!(house.ended(job).counts.done, 600);
    let order = order.lock().unwrap();
    assert_eq!(order[..2], [("p005".into(), 0), ("p300".into(), 0)]);
    assert_eq!(order.len(), 600, "none is run twice");
    house.check();
}

#[test]
fn a_live_item_does_not_wait_for_what_was_given_out_before_a_job_with_suspects_was_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Durability::Normal).unwrap();
    store.apply_catalogue(common::catalogue(TOPICS), "test/1", true, None, NOW).unwrap();
    for (program, n) in [("p", 4), ("q", 1), ("r", 10 * 256)] {
        store.import(common::incoming(&items(program, n)).into_iter().collect(), NOW).unwrap();
    }
    let held = store.publish_range(wish(of("p")), 0, NOW).unwrap().job.id;
    let epoch = store.recover(Vec::new(), 3, NOW).unwrap().epoch;
    while let Some(mut planning) = store.begin_planning(NOW).unwrap() {
        planning.step(NOW).unwrap();
    }
    store.lease(vec![relabeld::store::Ask { job: held, items: 4, lease: 1 }], epoch, NOW).unwrap();
    store.pause_job(held).unwrap();
    store.close();
    drop(store);
    std::fs::write(dir.path().join("begun"), [epoch, held, 2].map(i64::to_le_bytes).concat()).unwrap();

    let gate = Gate::closed_for(&["r000"]);
    let order: Arc<Mutex<Vec<String>>> = Arc::default();
    let (log, held_up) = (Arc::clone(&order), gate.clone());
    let house = House::open(
        dir.path(),
        1,
        phrases_after(move |id| {
            log.lock().unwrap().push(id.into());
            held_up.pass(id);
            Ok(())
        }),
    );
    let running = house.publish(of("r"));
    gate.arrival();
    house.engine.resume(held).unwrap();
    let live = single(&house, "q000");
    gate.let_one_go();
    assert_eq!(house.ended(live).state, JobState::Completed);
    assert_eq!(house.ended(held).counts.done, 4);
    assert_eq!(house.ended(running).counts.done, 2_560);
    let order = order.lock().unwrap();
    let mut alone = [&*order[1], &*order[2]];
    alone.sort_unstable();
    assert_eq!((&*order[0], alone), ("r000", ["p002", "q000"]));
    assert_eq!(order.len(), 2_565, "none is run twice");
    house.check();
}
