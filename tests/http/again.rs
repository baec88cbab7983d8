//! Jobs of ended jobs over HTTP: retry, revert, apply, and what each of them is told.

use serde_json::{Value, json};

use super::daemon::{Daemon, Reply};
use super::{conversation, everything, rules, spanned, stocked, stocked_with};

/// A job that stays where it is for as long as a test looks at it.
const SLOW: f64 = 0.001;

fn ask(daemon: &Daemon, job: &str, verb: &str, body: &Value) -> Reply {
    daemon.ask("POST", &format!("/api/v1/jobs/{job}/{verb}")).json(body).send()
}

fn id(job: &Value) -> &str {
    job["id"].as_str().unwrap()
}

/// The job that is made, and then as it ended.
fn run(daemon: &Daemon, job: &str, verb: &str, body: &Value) -> Value {
    let reply = ask(daemon, job, verb, body);
    let made = reply.expect(201);
    assert_eq!(reply.header("Location"), Some(format!("/api/v1/jobs/{}", id(&made)).as_str()));
    assert_eq!(made["parent_job"], job, "{made}");
    daemon.ended(id(&made))
}

fn ran(daemon: &Daemon, wish: Value) -> String {
    let job = daemon.publish(&spanned(wish));
    daemon.ended(&job);
    job
}

fn standing(daemon: &Daemon) -> String {
    daemon.get("/api/v1/labels.csv").text()
}

/// `refund` reads otherwise, or a topic of a program that no item has.
fn changed(daemon: &Daemon, in_scope: bool) {
    let mut rules = daemon.see("/api/v1/catalogue")["topics"].clone();
    match in_scope {
        true => rules[0]["phrases"].as_array_mut().unwrap().push(json!("my money")),
        false => {
            let topics = rules.as_array_mut().unwrap();
            topics.push(json!({"id": format!("t{}", topics.len()), "programs": ["elsewhere"], "phrases": ["x"]}));
        }
    }
    daemon.apply(&json!({ "topics": rules }));
}

#[test]
fn a_retry_of_a_job_without_trouble_completes_at_once_and_says_why() {
    let daemon = stocked();
    let job = ran(&daemon, json!({}));
    changed(&daemon, true);
    let retry = ask(&daemon, &job, "retry", &json!({})).expect(201);
    assert_eq!(
        [&retry["kind"], &retry["state"], &retry["counts"]["total"], &retry["parent_job"]],
        [&json!("retry"), &json!("completed"), &json!(0), &json!(job)]
    );
    assert!(retry["empty_because"].as_str().unwrap().contains("nothing to retry"), "{retry}");
    assert_eq!(daemon.get(&format!("/api/v1/jobs/{}/items.csv", id(&retry))).text().lines().count(), 1);
    // What found nothing is no error: it comes along only when asked, and with the rules of now.
    let retry = run(&daemon, &job, "retry", &json!({"no_topics_detected": true}));
    assert_eq!((&retry["counts"]["total"], &retry["catalogue_revision"]), (&json!(1), &json!(2)));
    let rows = daemon.get(&format!("/api/v1/jobs/{}/items.ndjson", id(&retry))).rows();
    assert_eq!((&rows[0]["id"], &rows[0]["reason"]), (&json!("fs-2"), &json!("no_topics_detected")));
}

#[test]
fn what_a_job_of_another_is_told() {
    let daemon = stocked();
    let job = ran(&daemon, json!({"name": "first", "priority": 61, "max_per_second": 900}));
    let plain = run(&daemon, &job, "revert", &json!(null));
    assert_eq!(
        [&plain["name"], &plain["priority"], &plain["max_per_second"]],
        [&json!(null), &json!(61), &json!(900.0)]
    );
    let told = json!({"name": "n", "description": "d", "priority": 9, "max_per_second": 700.5, "dry_run": true});
    let dry = run(&daemon, id(&plain), "revert", &told);
    for (name, value) in told.as_object().unwrap() {
        assert_eq!(dry[name], *value);
    }
    let draft = ask(&daemon, &job, "retry", &json!({"publish": false, "no_topics_detected": true})).expect(201);
    assert_eq!((&draft["state"], &draft["counts"]["total"]), (&json!("draft"), &json!(1)));
    let before = daemon.see("/api/v1/jobs");
    for (verb, body, word) in [
        ("retry", json!({"no_topics": true}), "no_topics: no such field"),
        ("retry", json!({"no_topics_detected": 1}), "no_topics_detected: must be true or false"),
        ("revert", json!({"no_topics_detected": true}), "no_topics_detected: no such field"),
        ("apply", json!({"dry_run": true}), "dry_run: no such field"),
        ("revert", json!({"priority": 101}), "priority"),
        ("revert", json!({"max_per_second": 0}), "max_per_second"),
        ("revert", json!({"name": 3}), "name"),
        ("revert", json!([]), "object"),
        ("retry", json!({"ids": []}), "ids: no such field"),
    ] {
        ask(&daemon, &job, verb, &body).expect_problem(422, "invalid_request", &[word]);
    }
    let target = format!("/api/v1/jobs/{job}/revert");
    daemon.ask("POST", &target).body("{").send().expect_problem(400, "bad_request", &["not JSON"]);
    daemon.ask("POST", &format!("{target}?dry_run=true")).send().expect_problem(422, "invalid_request", &["dry_run"]);
    assert_eq!(daemon.see("/api/v1/jobs"), before);
}

#[test]
fn an_empty_body_of_any_type_makes_the_job() {
    let daemon = stocked();
    let job = ran(&daemon, json!({}));
    for content_type in ["text/plain", "application/json", "application/x-www-form-urlencoded"] {
        let ask = daemon.ask("POST", &format!("/api/v1/jobs/{job}/revert")).header("Content-Type", content_type);
        daemon.ended(id(&ask.body("").send().expect(201)));
    }
}

#[test]
fn what_was_done_is_taken_back_and_brought_again() {
    let daemon = stocked();
    let nothing = standing(&daemon);
    let job = ran(&daemon, json!({}));
    let labelled = standing(&daemon);
    let dry = run(&daemon, &job, "revert", &json!({"dry_run": true}));
    assert_eq!((&dry["labels"]["removed"], standing(&daemon)), (&json!(3), labelled.clone()));
    let revert = run(&daemon, &job, "revert", &json!({}));
    assert_eq!([&revert["kind"], &revert["catalogue_revision"]], [&json!("revert"), &json!(null)]);
    assert_eq!((&revert["labels"], standing(&daemon)), (&dry["labels"], nothing));
    let back = run(&daemon, id(&revert), "revert", &json!({}));
    assert_eq!((&back["labels"]["added"], standing(&daemon)), (&json!(3), labelled.clone()));
    assert_eq!(daemon.see("/api/v1/items/note/n-1")["labels"][0]["job"], job);
    // Of a job that was cancelled before it did anything there is nothing to take back.
    let cancelled = daemon.publish(&json!({"kind": "list", "ids": [{"kind": "note", "id": "n-1"}], "publish": false}));
    ask(&daemon, &cancelled, "cancel", &json!(null)).expect(200);
    let empty = ask(&daemon, &cancelled, "revert", &json!({})).expect(201);
    assert!(empty["empty_because"].as_str().unwrap().contains("changed nothing"), "{empty}");
    ask(&daemon, id(&dry), "revert", &json!({})).expect_problem(409, "conflict", &["dry run"]);
    assert_eq!(standing(&daemon), labelled);
}

#[test]
fn a_job_under_way_is_neither_retried_reverted_nor_applied() {
    let daemon = stocked();
    let job = daemon.publish(&spanned(json!({"max_per_second": SLOW, "dry_run": true})));
    daemon.await_job(&job, |job| job["state"] == "running");
    let before = daemon.see("/api/v1/jobs")["jobs"].as_array().unwrap().len();
    for paused in [false, true] {
        if paused {
            ask(&daemon, &job, "pause", &json!(null)).expect(200);
        }
        for verb in ["retry", "revert", "apply", "publish"] {
            let word = if paused { "paused" } else { "running" };
            ask(&daemon, &job, verb, &json!({})).expect_problem(409, "conflict", &[&job, word]);
        }
    }
    ask(&daemon, &job, "cancel", &json!(null)).expect(200);
    daemon.ended(&job);
    ask(&daemon, &job, "apply", &json!({})).expect_problem(409, "conflict", &["cancelled"]);
    for verb in ["retry", "revert", "apply"] {
        ask(&daemon, "99", verb, &json!({})).expect_problem(404, "not_found", &["99"]);
    }
    assert_eq!(daemon.see("/api/v1/jobs")["jobs"].as_array().unwrap().len(), before);
}

#[test]
fn a_dry_run_writes_nothing_and_is_applied_once_to_just_its_list() {
    let daemon = stocked();
    let dry = |wish: Value| {
        let mut wish = wish;
        wish["dry_run"] = json!(true);
        ran(&daemon, wish)
    };
    let before = everything(&daemon);
    let job = dry(json!({"name": "look", "priority": 33}));
    let mut after = everything(&daemon);
    assert_eq!(after["jobs"]["jobs"].as_array().unwrap().len(), 1);
    after["jobs"] = before["jobs"].clone();
    assert_eq!(after, before, "no label, no change in the feed");
    assert_eq!(daemon.get(&format!("/api/v1/jobs/{job}/labels.csv")).text().lines().count(), 4);

    daemon.import(&[conversation("fs-3", &["my money back"])]);
    assert_eq!(daemon.ask("DELETE", "/api/v1/items/note/n-2").send().status, 204);
    changed(&daemon, false);
    let applied = run(&daemon, &job, "apply", &json!({}));
    assert_eq!(
        [&applied["kind"], &applied["name"], &applied["priority"], &applied["dry_run"], &applied["catalogue_revision"]],
        [&json!("range"), &json!("look"), &json!(33), &json!(false), &json!(1)]
    );
    assert_eq!((&applied["counts"]["total"], &applied["outcomes"]), (&json!(4), &json!({"changed": 2, "gone": 1})));
    assert_eq!(daemon.see("/api/v1/items/conversation/fs-3")["labels"], json!([]), "imported after the dry run");
    assert_eq!(daemon.see(&format!("/api/v1/jobs/{job}"))["applied_by"], applied["id"]);
    ask(&daemon, &job, "apply", &json!({})).expect_problem(409, "conflict", &["applied already", id(&applied)]);
    let real = ran(&daemon, json!({}));
    ask(&daemon, &real, "apply", &json!({})).expect_problem(409, "conflict", &["no dry run"]);

    // One item alone stays one, in its lane.
    let single = json!({"kind": "single", "ids": [{"kind": "note", "id": "n-1"}], "dry_run": true});
    let single = daemon.publish(&single);
    daemon.ended(&single);
    let applied = run(&daemon, &single, "apply", &json!({"name": "x"}));
    assert_eq!([&applied["kind"], &applied["lane"], &applied["name"]], [&json!("single"), &json!("live"), &json!("x")]);

    let late = dry(json!({}));
    changed(&daemon, true);
    ask(&daemon, &late, "apply", &json!({})).expect_problem(409, "conflict", &["billing", "new dry run"]);
    assert_eq!(daemon.see(&format!("/api/v1/jobs/{late}"))["applied_by"], json!(null));
}

#[test]
fn what_stood_there_before_is_exported_beside_what_was_changed() {
    let daemon = stocked();
    let first = ran(&daemon, json!({}));
    let mut other = rules();
    other["topics"][0]["phrases"] = json!(["my money back"]);
    other["topics"][1] = json!({"id": "calm", "programs": ["billing"], "phrases": ["was calm"]});
    daemon.ask("PUT", "/api/v1/catalogue?allow_remove=true").json(&other).send().expect(200);
    let second = ran(&daemon, json!({"keep_when_empty": false}));
    let csv = |query: &str| daemon.get(&format!("/api/v1/jobs/{second}/labels.csv?{query}")).text();
    let head = "kind,id,version,transcript,block,topic,change,phrase,score,start,end";
    let rows = [
        "conversation,fs-1,,t1,1,refund,updated,my money back,100,7,20",
        "note,n-1,3,note,0,refund,removed,money back,100,14,24",
        "note,n-1,3,note,1,calm,added,was calm,100,0,8",
        "note,n-2,1,note,0,late,removed,parcel is late,100,4,18",
    ];
    assert_eq!(csv("change=all"), format!("{head}\n{}\n", rows.join("\n")));
    let before = [
        format!("money back,100,10,20,{first}"),
        format!("money back,100,14,24,{first}"),
        ",,,,".into(),
        format!("parcel is late,100,4,18,{first}"),
    ];
    let both: Vec<String> = rows.iter().zip(before).map(|(row, before)| format!("{row},{before}\n")).collect();
    let head = format!("{head},old_phrase,old_score,old_start,old_end,old_job\n");
    assert_eq!(csv("change=all&before=true"), format!("{head}{}", both.concat()));
    assert_eq!(csv("before"), format!("{head}{}", both[2]), "what was added, unless it is told otherwise");
    let shown = daemon.get(&format!("/api/v1/jobs/{second}/labels.ndjson?change=updated&before=true")).rows();
    assert_eq!((shown.len(), &shown[0]["old_start"], &shown[0]["old_job"]), (1, &json!(10), &json!(first)));
    assert_eq!(
        daemon.get(&format!("/api/v1/jobs/{second}/topics.csv")).text(),
        "topic,added,removed,updated\ncalm,1,0,0\nlate,0,1,0\nrefund,0,1,1\n"
    );
    daemon.get(&format!("/api/v1/jobs/{second}/labels.csv?before=maybe")).expect_problem(
        422,
        "invalid_request",
        &["before"],
    );
}

#[test]
fn a_group_is_taken_back_and_applied_as_one() {
    let daemon = stocked_with(&["--max-items-per-job", "2"]);
    let publish = |wish: Value| {
        let first = daemon.ask("POST", "/api/v1/jobs").json(&spanned(wish)).send().expect(201);
        first["jobs"].as_array().unwrap().iter().for_each(|job| drop(daemon.ended(job.as_str().unwrap())));
        id(&first).to_owned()
    };
    let all = |first: &Value| {
        let jobs = first["jobs"].as_array().unwrap().clone();
        jobs.iter().for_each(|job| assert_eq!(daemon.ended(job.as_str().unwrap())["state"], "completed"));
        jobs.len()
    };
    let nothing = standing(&daemon);
    let dry = publish(json!({"split": true, "dry_run": true}));
    let applied = ask(&daemon, &dry, "apply", &json!({})).expect(201);
    assert_eq!(all(&applied), 2);
    assert_eq!(standing(&daemon).lines().count(), 4);
    let revert = ask(&daemon, id(&applied), "revert", &json!({})).expect(201);
    assert_eq!((all(&revert), standing(&daemon)), (2, nothing));
    // One of them under way is the whole group under way.
    let slow = spanned(json!({"split": true, "max_per_second": SLOW}));
    let slow = daemon.ask("POST", "/api/v1/jobs").json(&slow).send().expect(201);
    let last = slow["jobs"][1].as_str().unwrap();
    ask(&daemon, last, "cancel", &json!(null)).expect(200);
    daemon.ended(last);
    for verb in ["retry", "revert"] {
        ask(&daemon, id(&slow), verb, &json!({})).expect_problem(409, "conflict", &[id(&slow)]);
    }
}
