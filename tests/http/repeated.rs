//! `Idempotency-Key`: the same request makes one job, as long as that lives.

use std::sync::Barrier;
use std::thread;

use serde_json::{Value, json};

use super::daemon::{Ask, Daemon, Reply};
use super::{SPAN, lines, rules, spanned, stocked, stocked_with};

fn keyed(daemon: &Daemon, key: &str, body: &Value) -> Ask {
    daemon.ask("POST", "/api/v1/jobs").header("Idempotency-Key", key).json(body)
}

fn jobs(daemon: &Daemon) -> usize {
    daemon.see("/api/v1/jobs?limit=1000")["jobs"].as_array().unwrap().len()
}

/// One wish of each kind.
fn wishes() -> [Value; 4] {
    [
        spanned(json!({})),
        json!({"kind": "list", "ids": [{"kind": "note", "id": "n-1"}, {"kind": "note", "id": "never-heard-of"}]}),
        json!({"kind": "single", "ids": [{"kind": "conversation", "id": "fs-1"}]}),
        spanned(json!({"publish": false, "dry_run": true})),
    ]
}

#[test]
fn the_same_request_answers_with_the_same_job_whatever_has_become_of_it() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("data");
    let daemon = Daemon::on(&dir, &[]);
    daemon.apply(&rules());
    daemon.import(&lines());
    let mut made = Vec::new();
    for (at, wish) in wishes().into_iter().enumerate() {
        let key = format!("key {at}: a/\"{{}}");
        let first = keyed(&daemon, &key, &wish).send();
        let job = first.expect(201);
        let location = format!("/api/v1/jobs/{}", job["id"].as_str().unwrap());
        for _ in 0..2 {
            let again = keyed(&daemon, &key, &wish).send();
            assert_eq!(again.expect(200)["id"], job["id"], "{wish}");
            assert_eq!(again.header("Location"), Some(location.as_str()));
        }
        made.push((key, wish, job["id"].as_str().unwrap().to_owned()));
    }
    made.iter().take(3).for_each(|(.., id)| drop(daemon.ended(id)));
    assert_eq!(jobs(&daemon), 4);
    assert_eq!(daemon.stop(), Some(0));

    let daemon = Daemon::on(&dir, &[]);
    for (key, wish, id) in &made {
        let again = keyed(&daemon, key, wish).send().expect(200);
        assert_eq!(
            (&again["id"], &again["counts"]),
            (&json!(id), &daemon.see(&format!("/api/v1/jobs/{id}"))["counts"])
        );
        daemon.ask("PATCH", &format!("/api/v1/jobs/{id}")).json(&json!({"name": "other"})).send().expect(200);
        assert_eq!(keyed(&daemon, key, wish).send().expect(200)["name"], "other", "as it is now");
    }
    // Without a key, and under other keys, they are wishes of their own.
    daemon.ask("POST", "/api/v1/jobs").json(&made[0].1).send().expect(201);
    keyed(&daemon, "other", &made[0].1).send().expect(201);
    assert_eq!(jobs(&daemon), 6);
}

#[test]
fn another_request_with_the_same_key_is_a_conflict() {
    let daemon = stocked();
    let wish = spanned(json!({"name": "first"}));
    let made = keyed(&daemon, "k", &wish).send().expect(201);
    let id = made["id"].as_str().unwrap();
    let other = spanned(json!({"name": "second"}));
    keyed(&daemon, "k", &other).send().expect_problem(409, "conflict", &["Idempotency-Key", id]);
    // A body that could never be published is another one all the same.
    for body in ["{", "{\"form\": 1}", ""] {
        let answer = daemon.ask("POST", "/api/v1/jobs").header("Idempotency-Key", "k").body(body).send();
        answer.expect_problem(409, "conflict", &[id]);
    }
    assert_eq!(jobs(&daemon), 1);

    // Of a list in CSV the query is part of the request.
    let csv = |query: &str, body: &str| {
        let ask = daemon.ask("POST", &format!("/api/v1/jobs?{query}")).header("Content-Type", "text/csv");
        ask.header("Idempotency-Key", "list").body(body).send()
    };
    let made = csv("name=a", "kind,id\nnote,n-1\n").expect(201);
    assert_eq!(csv("name=a", "kind,id\nnote,n-1\n").expect(200)["id"], made["id"]);
    let id = made["id"].as_str().unwrap();
    for (query, body) in
        [("name=b", "kind,id\nnote,n-1\n"), ("name=a", "kind,id\nnote,n-2\n"), ("", "kind,id\nnote,n-1\n")]
    {
        csv(query, body).expect_problem(409, "conflict", &[id]);
    }
    assert_eq!(jobs(&daemon), 2);
}

#[test]
fn a_key_is_free_once_its_job_is_deleted_or_was_never_made() {
    let daemon = stocked_with(&["--max-items-per-job", "3"]);
    keyed(&daemon, "k", &spanned(json!({}))).send().expect_problem(422, "too_many_items", &[]);
    keyed(&daemon, "k", &json!({"form": 1})).send().expect_problem(422, "invalid_request", &[]);
    let stale = json!({"kind": "single", "ids": [{"kind": "note", "id": "n-1", "version": 1}]});
    keyed(&daemon, "k", &stale).send().expect_problem(409, "stale_version", &[]);
    let first = keyed(&daemon, "k", &spanned(json!({"types": ["notes"]}))).send().expect(201);
    let id = first["id"].as_str().unwrap();
    daemon.ended(id);
    assert_eq!(daemon.ask("DELETE", &format!("/api/v1/jobs/{id}")).send().status, 204);
    let wish = spanned(json!({"media": ["chat"]}));
    let second = keyed(&daemon, "k", &wish).send().expect(201);
    assert_ne!(second["id"], first["id"]);
    assert_eq!(keyed(&daemon, "k", &wish).send().expect(200)["id"], second["id"]);
}

#[test]
fn the_same_request_from_many_at_once_makes_one_job() {
    const CALLERS: usize = 8;
    let daemon = stocked_with(&["--max-items-per-job", "3"]);
    let mut wishes = wishes();
    // Of this one the request makes two.
    wishes[0]["split"] = json!(true);
    for (at, wish) in wishes.into_iter().enumerate() {
        let barrier = Barrier::new(CALLERS);
        let replies: Vec<Reply> = thread::scope(|scope| {
            let call = || {
                let ask = keyed(&daemon, &format!("k{at}"), &wish);
                barrier.wait();
                ask.send()
            };
            let calls: Vec<_> = (0..CALLERS).map(|_| scope.spawn(call)).collect();
            calls.into_iter().map(|call| call.join().unwrap()).collect()
        });
        let made = replies.iter().filter(|reply| reply.status == 201).count();
        let repeated = replies.iter().filter(|reply| reply.status == 200).count();
        assert_eq!((made, repeated), (1, CALLERS - 1), "{wish}");
        assert!(replies.iter().all(|reply| reply.json()["id"] == replies[0].json()["id"]), "{wish}");
        assert!(replies.iter().all(|reply| reply.json()["jobs"] == replies[0].json()["jobs"]), "{wish}");
        assert_eq!(jobs(&daemon), at + 2);
    }
    // Of different ones at once, one is made and the others hear of it.
    let barrier = Barrier::new(CALLERS);
    let statuses: Vec<u16> = thread::scope(|scope| {
        let (daemon, barrier) = (&daemon, &barrier);
        let call = |n: usize| {
            move || {
                let ask = keyed(daemon, "contested", &spanned(json!({"types": ["note"], "priority": n + 1})));
                barrier.wait();
                ask.send().status
            }
        };
        let calls: Vec<_> = (0..CALLERS).map(|n| scope.spawn(call(n))).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|&&status| status == 201).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|&&status| status == 409).count(), CALLERS - 1, "{statuses:?}");
    assert_eq!(jobs(&daemon), 6);
}

#[test]
fn a_group_is_answered_whole_each_time() {
    let daemon = stocked_with(&["--max-items-per-job", "3"]);
    for wish in [spanned(json!({"split": true})), spanned(json!({"split": true, "publish": false}))] {
        let key = wish.to_string();
        let first = keyed(&daemon, &key, &wish).send().expect(201);
        let before = jobs(&daemon);
        let again = keyed(&daemon, &key, &wish).send().expect(200);
        assert_eq!((&again["id"], &again["jobs"]), (&first["id"], &first["jobs"]));
        if first["state"] == "draft" {
            let publish = format!("/api/v1/jobs/{}/publish", first["id"].as_str().unwrap());
            let published = daemon.ask("POST", &publish).send().expect(200);
            assert_eq!(keyed(&daemon, &key, &wish).send().expect(200)["jobs"], published["jobs"]);
        } else {
            assert_eq!((first["jobs"].as_array().unwrap().len(), jobs(&daemon)), (2, before));
        }
    }
    // The guide's call has no such key, and makes a job each time.
    let guided = daemon.ask("POST", &format!("/api/internal/labels/reanalysis?{SPAN}")).header("Idempotency-Key", "k");
    assert_ne!(guided.send().expect(200)["id"], guided.send().expect(200)["id"]);
}
