//! Pause, resume and cancel take effect within two seconds: at work, while backing off, and over a kill.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Drill, counts, faulty, faulty_note, innocents};

/// How soon what was asked for is so.
const SOON: Duration = Duration::from_secs(2);

fn slow(n: usize) -> impl Iterator<Item = Value> {
    (0..n).map(|n| faulty(&format!("s-{n}"), "fault:slow 50"))
}

/// Asks, and waits until it is so.
#[track_caller]
fn takes_effect(drill: &mut Drill, job: &str, verb: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let asked = Instant::now();
    drill.steer(job, verb);
    let seen = drill.await_job(job, verb, wanted);
    assert!(asked.elapsed() < SOON, "{verb} took {:?}", asked.elapsed());
    seen
}

fn held(job: &Value) -> bool {
    job["state"] == "paused" && job["counts"]["running"] == 0
}

/// Another item is worked off meanwhile; it takes as long as it says.
#[track_caller]
fn stands_still(drill: &mut Drill, job: &Value, meanwhile: &str) {
    let id = job["id"].as_str().unwrap();
    let before = drill.items(job);
    let other = drill.publish_note(meanwhile);
    assert_eq!(drill.ended(&other)["state"], "completed");
    let after = drill.job(id);
    assert_eq!([&after["state"], &after["counts"]], [&job["state"], &job["counts"]]);
    assert_eq!(drill.items(&after), before);
}

#[test]
fn slow_work_is_paused_resumed_and_cancelled() {
    let mut drill = Drill::new();
    // Quick ones first, so that many slow ones are leased at once: whoever did not interrupt the lease would show.
    drill.stock(innocents(2_900).into_iter().chain(slow(200)).chain([faulty_note("meanwhile", "fault:slow 500")]));
    let job = drill.publish();
    drill.await_job(&job, "the first slow ones done", |job| counts(job, "done") > 2_900);

    let paused = takes_effect(&mut drill, &job, "pause", held);
    assert!(counts(&paused, "pending") > 100, "{paused}");
    stands_still(&mut drill, &paused, "meanwhile");
    let done = counts(&paused, "done");
    takes_effect(&mut drill, &job, "resume", |job| job["state"] == "running" && counts(job, "done") > done);

    let cancelled = takes_effect(&mut drill, &job, "cancel", |job| job["state"] == "cancelled");
    assert!(counts(&cancelled, "cancelled") > 50 && cancelled["finished_at"].is_string(), "{cancelled}");
    stands_still(&mut drill, &cancelled, "meanwhile");
    let done = drill.items(&cancelled).into_values().filter(|row| row["state"] == "done").count();
    // And one of the note.
    assert_eq!(drill.labels().len(), done + 1);
    assert!(drill.deaths.is_empty(), "{:?}", drill.deaths);
    drill.close();
}

const FAILING: usize = 20;

/// All items have failed so often, and wait.
fn await_attempts(drill: &mut Drill, job: &str, attempts: i64) {
    let path = format!("/api/v1/jobs/{job}/items.ndjson");
    drill.await_some("attempts", |caller| {
        // Refused while the list is not whole.
        let answer = caller.try_call("GET", &path, "").ok().filter(|answer| answer.status == 200)?;
        let rows = answer.rows();
        let so_often = |row: &&Value| row["state"] == "pending" && row["attempts"].as_i64() >= Some(attempts);
        (rows.iter().filter(so_often).count() == FAILING).then_some(())
    });
}

#[test]
fn a_job_that_backs_off_is_paused_resumed_and_cancelled() {
    let mut drill = Drill::with(&["--max-attempts", "100"]);
    let failing = (0..FAILING).map(|n| faulty(&format!("f-{n}"), "fault:transient"));
    drill.stock(failing.chain([faulty_note("meanwhile", "fault:slow 3000")]));
    let job = drill.publish();
    await_attempts(&mut drill, &job, 3);
    let paused = takes_effect(&mut drill, &job, "pause", held);
    drill.kill();
    let again = drill.await_job(&job, "the job as it was", held);
    assert_eq!(again["counts"], paused["counts"]);
    // The fourth attempt is due after two seconds.
    stands_still(&mut drill, &paused, "meanwhile");

    let asked = Instant::now();
    drill.steer(&job, "resume");
    await_attempts(&mut drill, &job, 4);
    assert!(asked.elapsed() < SOON, "resume took {:?}", asked.elapsed());
    let cancelled = takes_effect(&mut drill, &job, "cancel", |job| job["state"] == "cancelled");
    assert_eq!(counts(&cancelled, "cancelled"), FAILING as i64, "{cancelled}");
    // The fifth would be due after four.
    drill.stock([faulty_note("and then", "fault:slow 5000")]);
    stands_still(&mut drill, &cancelled, "and then");
    drill.close();
}

/// A job that is killed in the midst of its first item, right after it was steered.
fn steered_and_killed(verb: &str) -> (Drill, String, Value) {
    let mut drill = Drill::new();
    drill.stock([faulty("long", "fault:slow 3000")].into_iter().chain(slow(200)));
    drill.stock([faulty_note("meanwhile", "fault:slow 500")]);
    let job = drill.publish();
    drill.await_analyses(1);
    let answered = drill.steer(&job, verb);
    assert!(counts(&answered, "running") > 0 && counts(&answered, "done") == 0, "too late: {answered}");
    drill.kill();
    let recovered = drill.caller.get("/api/v1/status")["recovered"].clone();
    assert_eq!([&recovered["suspects"], &recovered["quarantined"]], [1, 0], "{recovered}");
    (drill, job, answered)
}

#[test]
fn a_job_paused_before_a_kill_is_paused_after_it() {
    let (mut drill, job, answered) = steered_and_killed("pause");
    assert_eq!(answered["state"], "paused");
    let paused = drill.job(&job);
    assert!(held(&paused) && counts(&paused, "pending") == 201, "{paused}");
    // What its kill made suspect keeps nobody waiting while it is held.
    stands_still(&mut drill, &paused, "meanwhile");

    drill.steer(&job, "resume");
    let running = drill.await_job(&job, "the first ones done", |job| counts(job, "done") > 1);
    let path = format!("/api/v1/jobs/{}/items.ndjson", running["id"].as_str().unwrap());
    let rows = drill.caller.rows(&path);
    let long = rows.iter().find(|row| row["id"] == "long").unwrap();
    assert_eq!([&long["state"], &long["attempts"]], [&json!("done"), &json!(2)], "{long}");
    let cancelled = takes_effect(&mut drill, &job, "cancel", |job| job["state"] == "cancelled");
    assert_eq!(counts(&cancelled, "quarantined"), 0, "{cancelled}");
    drill.items(&cancelled);
    drill.close();
}

#[test]
fn a_job_cancelled_before_a_kill_is_cancelled_after_it() {
    let (mut drill, job, answered) = steered_and_killed("cancel");
    assert_eq!(answered["state"], "cancelling");
    let up = Instant::now();
    let cancelled = drill.await_job(&job, "its end", |job| job["state"] == "cancelled");
    assert!(up.elapsed() < SOON, "{:?}", up.elapsed());
    assert_eq!(counts(&cancelled, "cancelled"), 201, "{cancelled}");
    stands_still(&mut drill, &cancelled, "meanwhile");
    drill.close();
}
