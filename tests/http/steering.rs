//! What may be changed of a job while it lives: at once, over restarts, all of a request or nothing.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::daemon::{Daemon, Reply};
use super::{conversation, lines, rules, spanned, stocked, stocked_with};

/// A job that stays where it is for as long as a test looks at it.
const SLOW: f64 = 0.001;

fn patch(daemon: &Daemon, job: &str, body: &Value) -> Reply {
    daemon.ask("PATCH", &format!("/api/v1/jobs/{job}")).json(body).send()
}

fn see(daemon: &Daemon, job: &str) -> Value {
    daemon.see(&format!("/api/v1/jobs/{job}"))
}

fn act(daemon: &Daemon, job: &str, verb: &str) -> Reply {
    daemon.ask("POST", &format!("/api/v1/jobs/{job}/{verb}")).send()
}

/// A job that has begun, and will not end by itself.
fn slow(daemon: &Daemon) -> String {
    let job = daemon.publish(&spanned(json!({"name": "slow", "max_per_second": SLOW})));
    daemon.await_job(&job, |job| job["counts"]["failed"] == 1 || job["counts"]["done"] == 1);
    job
}

#[test]
fn each_field_is_changed_and_the_others_stay() {
    let daemon = stocked();
    let job = slow(&daemon);
    let mut expected = see(&daemon, &job);
    for (name, value) in [
        ("name", json!("other")),
        ("description", json!("of November")),
        ("priority", json!(1)),
        ("priority", json!(100)),
        ("max_per_second", json!(0.002)),
        ("name", json!(null)),
        ("description", json!(null)),
        ("name", json!("")),
    ] {
        let mut change = json!({});
        change[name] = value.clone();
        expected[name] = value;
        assert_eq!(patch(&daemon, &job, &change).expect(200), expected);
        assert_eq!(see(&daemon, &job), expected);
    }
    assert_eq!(patch(&daemon, &job, &json!({})).expect(200), expected);
    let all = json!({"name": "n", "description": "d", "priority": 5, "max_per_second": SLOW});
    let changed = patch(&daemon, &job, &all).expect(200);
    all.as_object().unwrap().iter().for_each(|(name, value)| assert_eq!(changed[name], *value));
}

#[test]
fn a_request_that_is_half_right_changes_nothing() {
    let daemon = stocked();
    let job = slow(&daemon);
    let before = see(&daemon, &job);
    for (body, word) in [
        (json!({"name": "x", "priority": 0}), "priority: must be a whole number from 1 to 100"),
        (json!({"name": "x", "priority": 50.5}), "priority"),
        (json!({"name": "x", "priority": "70"}), "priority"),
        (json!({"priority": 70, "max_per_second": 0}), "max_per_second"),
        (json!({"priority": 70, "max_per_second": -1}), "max_per_second"),
        (json!({"priority": 70, "max_per_second": "fast"}), "max_per_second"),
        (json!({"priority": 70, "name": 7}), "name"),
        (json!({"priority": 70, "description": ["d"]}), "description"),
        (json!({"priority": 70, "state": "paused"}), "state: no such field"),
        (json!({"name": "x", "filter": {}}), "filter: no such field"),
        (json!({"name": "x", "stale_only": true}), "stale_only: no such field"),
        (json!(["name"]), "object"),
    ] {
        patch(&daemon, &job, &body).expect_problem(422, "invalid_request", &[word]);
    }
    let ask = daemon.ask("PATCH", &format!("/api/v1/jobs/{job}"));
    ask.clone().body("{\"name\":").send().expect_problem(400, "bad_request", &["not JSON"]);
    let queried = daemon.ask("PATCH", &format!("/api/v1/jobs/{job}?name=x")).json(&json!({}));
    queried.send().expect_problem(422, "invalid_request", &["name"]);
    assert_eq!(see(&daemon, &job), before);
    for unknown in ["99", "0", "-1", "x", "9999999999999999999"] {
        patch(&daemon, unknown, &json!({"name": "x"})).expect_problem(404, "not_found", &[unknown]);
    }
}

#[test]
fn of_an_ended_job_only_the_name_may_change() {
    let daemon = stocked();
    let job = daemon.publish(&spanned(json!({"name": "a"})));
    let before = daemon.ended(&job);
    for body in [
        json!({"priority": 60}),
        json!({"max_per_second": 5}),
        json!({"max_per_second": null}),
        json!({"name": "b", "description": "c", "priority": 60}),
    ] {
        patch(&daemon, &job, &body).expect_problem(409, "conflict", &[&job, "completed"]);
    }
    assert_eq!(see(&daemon, &job), before);
    let named = patch(&daemon, &job, &json!({"name": "b", "description": "c"})).expect(200);
    assert_eq!((&named["name"], &named["description"]), (&json!("b"), &json!("c")));
    assert_eq!(patch(&daemon, &job, &json!({"name": "a", "description": null})).expect(200), before);
}

#[test]
fn the_speed_of_a_running_job_changes_at_once() {
    let daemon = stocked();
    let lines: Vec<String> = (0..600).map(|n| conversation(&format!("m-{n}"), &["my money back"])).collect();
    daemon.import(&lines);
    let job = daemon.publish(&spanned(json!({"max_per_second": 0.5})));
    daemon.await_job(&job, |job| job["counts"]["total"] == 604 && job["counts"]["done"] != 0);
    let since = Instant::now();
    assert_eq!(patch(&daemon, &job, &json!({"max_per_second": null})).expect(200)["max_per_second"], json!(null));
    let ended = daemon.ended(&job);
    assert_eq!((&ended["state"], &ended["counts"]["total"]), (&json!("completed"), &json!(604)));
    assert!(since.elapsed() < Duration::from_secs(20), "at half an item a second it would be 20 minutes");

    // From next to nothing to something: what it had to wait for is forgotten.
    let job = daemon.publish(&spanned(json!({"max_per_second": SLOW})));
    daemon.await_job(&job, |job| job["counts"]["done"] != 0);
    patch(&daemon, &job, &json!({"max_per_second": 2000})).expect(200);
    assert_eq!(daemon.ended(&job)["state"], "completed");
    // And while it is held.
    let job = slow(&daemon);
    act(&daemon, &job, "pause").expect(200);
    assert_eq!(patch(&daemon, &job, &json!({"max_per_second": null})).expect(200)["state"], "paused");
    act(&daemon, &job, "resume").expect(200);
    assert_eq!(daemon.ended(&job)["state"], "completed");
}

#[test]
fn what_was_changed_outlives_a_stop_and_a_kill() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("data");
    let daemon = Daemon::on(&dir, &[]);
    daemon.apply(&rules());
    daemon.import(&lines());
    let (job, held) = (slow(&daemon), slow(&daemon));
    let change = json!({"name": "n", "description": null, "priority": 9, "max_per_second": 0.002});
    let fields = |job: &Value| ["name", "description", "priority", "max_per_second"].map(|name| job[name].clone());
    for job in [&job, &held] {
        patch(&daemon, job, &change).expect(200);
    }
    act(&daemon, &held, "pause").expect(200);
    assert_eq!(daemon.stop(), Some(0));
    let daemon = Daemon::on(&dir, &[]);
    assert_eq!(fields(&see(&daemon, &job)), fields(&change));
    let shown = see(&daemon, &held);
    assert_eq!((fields(&shown), &shown["state"]), (fields(&change), &json!("paused")));
    patch(&daemon, &held, &json!({"max_per_second": null, "priority": 99})).expect(200);
    drop(daemon);
    let daemon = Daemon::on(&dir, &[]);
    let shown = see(&daemon, &held);
    assert_eq!(
        (&shown["max_per_second"], &shown["priority"], &shown["state"]),
        (&json!(null), &json!(99), &json!("paused"))
    );
    assert!(see(&daemon, &job)["counts"]["pending"].as_i64().unwrap() > 0, "still slow");
    patch(&daemon, &job, &json!({"max_per_second": null})).expect(200);
    act(&daemon, &held, "resume").expect(200);
    for job in [&job, &held] {
        assert_eq!(daemon.ended(job)["state"], "completed");
    }
}

#[test]
fn the_first_changes_its_group_and_another_itself_alone() {
    let daemon = stocked_with(&["--max-items-per-job", "2"]);
    let wish = spanned(json!({"split": true, "max_per_second": SLOW, "name": "all"}));
    let first = daemon.ask("POST", "/api/v1/jobs").json(&wish).send().expect(201);
    let jobs: Vec<&str> = first["jobs"].as_array().unwrap().iter().map(|job| job.as_str().unwrap()).collect();
    let fields = |name: &str| jobs.iter().map(|job| see(&daemon, job)[name].clone()).collect::<Vec<_>>();
    patch(&daemon, jobs[1], &json!({"name": "second"})).expect(200);
    assert_eq!(fields("name"), ["all", "second"]);
    patch(&daemon, jobs[0], &json!({"priority": 3, "max_per_second": 0.004})).expect(200);
    assert_eq!((fields("priority"), fields("name")), (vec![json!(3); 2], vec![json!("all"), json!("second")]));
    act(&daemon, jobs[0], "cancel").expect(200);
    jobs.iter().for_each(|job| drop(daemon.ended(job)));
    patch(&daemon, jobs[0], &json!({"priority": 4})).expect_problem(409, "conflict", &["cancelled"]);
}

#[test]
fn what_cannot_be_done_to_a_job_is_a_conflict_and_changes_nothing() {
    let daemon = stocked();
    let draft = daemon.publish(&spanned(json!({"publish": false})));
    let (running, paused) = (slow(&daemon), slow(&daemon));
    act(&daemon, &paused, "pause").expect(200);
    daemon.await_job(&paused, |job| job["counts"]["running"] == 0);
    let completed = daemon.publish(&spanned(json!({})));
    daemon.ended(&completed);
    let cancelled = slow(&daemon);
    act(&daemon, &cancelled, "cancel").expect(200);
    daemon.ended(&cancelled);
    for (job, state, verbs) in [
        (&draft, "draft", &["pause", "resume", "retry", "revert", "apply"][..]),
        (&running, "running", &["publish", "retry", "revert"]),
        (&paused, "paused", &["publish", "retry", "revert"]),
        (&completed, "completed", &["publish", "pause", "resume", "cancel", "apply"]),
        (&cancelled, "cancelled", &["publish", "pause", "resume", "cancel", "apply"]),
    ] {
        let before = see(&daemon, job);
        assert_eq!(before["state"], state);
        for verb in verbs {
            act(&daemon, job, verb).expect_problem(409, "conflict", &[&format!("job {job} ")]);
        }
        if ["running", "paused"].contains(&state) {
            let answer = daemon.ask("DELETE", &format!("/api/v1/jobs/{job}")).send();
            answer.expect_problem(409, "conflict", &[state, "before it has ended"]);
        }
        assert_eq!(see(&daemon, job), before);
    }
    assert_eq!(daemon.see("/api/v1/jobs")["jobs"].as_array().unwrap().len(), 5);
}
