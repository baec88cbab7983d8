//! Jobs over HTTP: published, listed, steered, shown, exported, counted.

use serde_json::{Value, json};

use super::daemon::{Daemon, await_some};
use super::{SPAN, conversation, rules, spanned, stocked, stocked_with};

/// A job that stays where it is for as long as a test looks at it.
const SLOW: f64 = 0.001;

fn many(daemon: &Daemon, count: usize) {
    let lines: Vec<String> = (0..count).map(|n| conversation(&format!("m-{n}"), &["my money back"])).collect();
    assert_eq!(daemon.import(&lines)["inserted"], count);
}

#[test]
fn a_job_is_published_and_shown_with_every_field() {
    let daemon = stocked();
    let wish = spanned(json!({"name": "November", "description": "all", "types": ["note", "conversations"],
        "programs": ["billing"], "priority": 70, "max_per_second": 1000, "stale_only": true}));
    let answer = daemon.ask("POST", "/api/v1/jobs").json(&wish).send();
    let made = answer.expect(201);
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("Location"), Some(format!("/api/v1/jobs/{id}").as_str()));
    let job = daemon.ended(&id);
    let fields = "catalogue_revision counts created_at created_by description dry_run empty_because error eta_seconds \
        filter finished_at id kind labels lane max_per_second name outcomes parent_job priority published_at \
        queue_position rate_per_second reasons started_at state";
    let mut names: Vec<&str> = job.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort();
    assert_eq!(names.join(" "), fields.split_whitespace().collect::<Vec<_>>().join(" "));
    assert_eq!(
        job["filter"],
        json!({"from": "2026-11-01T00:00:00.000Z", "until": "2026-12-01T00:00:00.000Z",
            "types": ["note", "conversation"], "media": [], "programs": ["billing"], "stale_only": true,
            "keep_when_empty": true})
    );
    assert_eq!(
        job["counts"],
        json!({"total": 4, "pending": 0, "running": 0, "done": 3, "failed": 1, "quarantined": 0, "cancelled": 0})
    );
    assert_eq!(job["outcomes"], json!({"changed": 3}));
    assert_eq!(job["reasons"], json!({"no_topics_detected": 1}));
    assert_eq!(job["labels"], json!({"added": 3, "removed": 0, "updated": 0, "kept": 0}));
    assert_eq!([&job["kind"], &job["lane"], &job["state"]], [&json!("range"), &json!("bulk"), &json!("completed")]);
    assert_eq!([&job["name"], &job["priority"], &job["created_by"]], [&json!("November"), &json!(70), &json!("token")]);
    assert_eq!((&job["catalogue_revision"], &job["dry_run"]), (&json!(1), &json!(false)));
    for time in ["created_at", "published_at", "started_at", "finished_at"] {
        let time = job[time].as_str().unwrap();
        assert!(time.len() == "2026-11-01T00:00:00.000Z".len() && time.ends_with('Z'), "{time}");
    }
}

#[test]
fn a_damaged_job_is_an_error_for_itself_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("data");
    let daemon = Daemon::on(&dir, &[]);
    daemon.apply(&rules());
    many(&daemon, 3);
    let whole = daemon.publish(&spanned(json!({"name": "whole"})));
    daemon.ended(&whole);
    let damaged: Vec<String> = (0..4).map(|_| daemon.publish(&spanned(json!({"publish": false})))).collect();
    assert_eq!(daemon.stop(), Some(0));
    let database = rusqlite::Connection::open(dir.join("relabeld.db")).unwrap();
    // In front of all others: to be planned, to be leased from, to be ended by the start, and a draft.
    for (id, state) in damaged.iter().zip(["queued", "running", "cancelling", "draft"]) {
        let set = "UPDATE job SET filter = '{', state = ?, published_at = created_at, revision = 1 WHERE id = ?";
        database.execute(set, (state, id)).unwrap();
    }
    drop(database);

    let daemon = Daemon::on(&dir, &[]);
    let job = daemon.publish(&spanned(json!({"name": "after"})));
    assert_eq!(daemon.ended(&job)["state"], "completed");
    let single = json!({"kind": "single", "ids": [{"kind": "conversation", "id": "m-1"}]});
    assert_eq!(daemon.ended(&daemon.publish(&single))["state"], "completed");
    for id in &damaged {
        let words = [format!("job {id} is damaged"), "column filter".into(), "relabeld check".into()];
        daemon.get(&format!("/api/v1/jobs/{id}")).expect_problem(
            500,
            "internal",
            &words.each_ref().map(String::as_str),
        );
        daemon.ask("POST", &format!("/api/v1/jobs/{id}/cancel")).send().expect_problem(500, "internal", &["damaged"]);
    }
    let page = daemon.see("/api/v1/jobs");
    assert_eq!(page["jobs"].as_array().unwrap().len(), 3, "{page}");
    let listed: Vec<&Value> = page["damaged"].as_array().unwrap().iter().map(|job| &job["id"]).collect();
    assert!(listed.iter().copied().eq(damaged.iter().rev()), "{page}");
    assert!(page["damaged"][0]["detail"].as_str().unwrap().contains("column filter"), "{page}");
    // A page names those that lie on it.
    let first = daemon.see("/api/v1/jobs?limit=2");
    assert_eq!((first["jobs"].as_array().unwrap().len(), first.get("damaged")), (2, None), "{first}");
    let rest = daemon.see(&format!("/api/v1/jobs?limit=2&cursor={}", first["next_cursor"].as_str().unwrap()));
    assert_eq!((&rest["jobs"][0]["id"], &rest["damaged"]), (&json!(whole), &page["damaged"]), "{rest}");
    assert_eq!(daemon.see("/api/v1/status")["jobs"]["queued"], 1, "counted by its words, which are whole");
    let found = daemon.see("/api/v2/speechandtextanalytics/reprocessing/jobs?pageSize=100");
    assert_eq!((found["entities"].as_array().unwrap().len(), &found["total"]), (3, &json!(7)), "{found}");
    assert_eq!(daemon.get("/metrics").status, 200);
    let said = daemon.log();
    assert!(said.contains(&format!("job {} is damaged", damaged[0])), "{said}");
    assert_eq!(said.matches("it is passed over").count(), 4, "each is named once: {said}");
}

#[test]
fn jobs_are_listed_newest_first_page_by_page() {
    let daemon = stocked();
    let ids: Vec<String> = (0..5).map(|_| daemon.publish(&spanned(json!({})))).collect();
    ids.iter().for_each(|id| drop(daemon.ended(id)));
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = daemon.see(&format!("/api/v1/jobs?limit=2&cursor={cursor}"));
        let jobs = page["jobs"].as_array().unwrap();
        assert!((1..=2).contains(&jobs.len()), "{page}");
        seen.extend(jobs.iter().map(|job| job["id"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert!(seen.iter().eq(ids.iter().rev()), "{seen:?}");
    assert_eq!(daemon.see("/api/v1/jobs?state=completed")["jobs"].as_array().unwrap().len(), 5);
    assert_eq!(daemon.see("/api/v1/jobs?state=paused"), json!({"jobs": [], "next_cursor": null}));
    daemon.get("/api/v1/jobs?state=odd").expect_problem(422, "invalid_request", &["state"]);
    for limit in ["0", "1001", "x", "-1"] {
        daemon.get(&format!("/api/v1/jobs?limit={limit}")).expect_problem(422, "invalid_request", &["limit"]);
    }
}

#[test]
fn a_job_is_paused_resumed_and_cancelled() {
    let daemon = stocked();
    many(&daemon, 600);
    let job = daemon.publish(&spanned(json!({"max_per_second": SLOW})));
    let to = |verb: &str| daemon.ask("POST", &format!("/api/v1/jobs/{job}/{verb}")).send();
    assert_eq!(to("pause").expect(200)["state"], "paused");
    assert_eq!(to("pause").expect(200)["state"], "paused", "asked twice is asked once");
    // A tick wakes the workers and never unpauses.
    daemon.ask("POST", "/api/tick/runners").send().expect(200);
    assert_eq!(daemon.see(&format!("/api/v1/jobs/{job}"))["state"], "paused");
    let resumed = to("resume").expect(200)["state"].clone();
    assert!(["queued", "planning", "running"].contains(&resumed.as_str().unwrap()), "{resumed}");
    to("resume").expect(200);
    // Of a list that is not whole yet, what there is would be cancelled.
    daemon.await_job(&job, |job| job["counts"]["total"] == 604);
    to("cancel").expect(200);
    let ended = daemon.ended(&job);
    assert_eq!(ended["state"], "cancelled");
    let counts = &ended["counts"];
    assert!(counts["cancelled"].as_i64().unwrap() > 500, "{counts}");
    let parts = ["pending", "running", "done", "failed", "quarantined", "cancelled"];
    let sum: i64 = parts.iter().map(|part| counts[part].as_i64().unwrap()).sum();
    assert_eq!(counts["total"], sum);
    for verb in ["pause", "resume", "cancel"] {
        to(verb).expect_problem(409, "conflict", &[&job, "cancelled"]);
    }
    to("explode").expect_problem(404, "not_found", &["explode"]);
}

#[test]
fn an_empty_body_of_any_type_will_do() {
    let daemon = stocked();
    let job = daemon.publish(&spanned(json!({"max_per_second": SLOW})));
    let ask = daemon.ask("POST", &format!("/api/v1/jobs/{job}/pause"));
    for content_type in ["text/plain", "application/json", "application/x-www-form-urlencoded"] {
        assert_eq!(ask.clone().header("Content-Type", content_type).body("").send().status, 200);
    }
    assert_eq!(ask.send().status, 200);
}

#[test]
fn items_are_exported_by_how_they_fared() {
    let daemon = stocked();
    let job = daemon.publish(&spanned(json!({})));
    daemon.ended(&job);
    let get = |query: &str| daemon.get(&format!("/api/v1/jobs/{job}/items.ndjson?{query}"));
    let ids = |query: &str| -> Vec<String> {
        get(query).rows().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids("state=failed"), ["fs-2"]);
    assert_eq!(ids("reason=no_topics_detected"), ["fs-2"]);
    assert_eq!(ids("outcome=changed"), ["fs-1", "n-1", "n-2"]);
    assert_eq!(ids("state=failed,done&outcome=&reason="), ["fs-1", "fs-2", "n-1", "n-2"]);
    assert_eq!(ids("state=failed&outcome=changed"), Vec::<String>::new());
    assert_eq!(ids("reason=error,crashed"), Vec::<String>::new());
    let csv = daemon.get(&format!("/api/v1/jobs/{job}/items.csv?state=failed")).text();
    assert_eq!(csv.lines().count(), 2, "{csv}");
    for wrong in ["state=resting", "outcome=changed,", "reason=because"] {
        let (name, _) = wrong.split_once('=').unwrap();
        get(wrong).expect_problem(422, "invalid_request", &[name]);
    }
}

#[test]
fn the_items_of_a_job_are_exported() {
    let daemon = stocked();
    let job = daemon.publish(&spanned(json!({})));
    daemon.ended(&job);
    let csv = daemon.get(&format!("/api/v1/jobs/{job}/items.csv"));
    assert_eq!(csv.header("Content-Type"), Some("text/csv; charset=utf-8"));
    let file = csv.header("Content-Disposition").unwrap().to_owned();
    assert!(file.contains(&format!("job-{job}-items.csv")), "{file}");
    let text = csv.text();
    let mut lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.remove(0), "kind,id,version,state,outcome,reason,attempts,finished_at");
    let beginnings: Vec<&str> =
        lines.iter().map(|line| &line[..line.len() - "2026-11-01T00:00:00.000Z".len()]).collect();
    assert_eq!(
        beginnings,
        [
            "conversation,fs-1,,done,changed,,1,",
            "conversation,fs-2,,failed,,no_topics_detected,1,",
            "note,n-1,3,done,changed,,1,",
            "note,n-2,1,done,changed,,1,",
        ]
    );
    let rows = daemon.get(&format!("/api/v1/jobs/{job}/items.ndjson")).rows();
    assert_eq!(rows.len(), 4);
    assert_eq!(
        [&rows[2]["kind"], &rows[2]["id"], &rows[2]["version"], &rows[2]["outcome"], &rows[2]["reason"]],
        [&json!("note"), &json!("n-1"), &json!(3), &json!("changed"), &json!(null)]
    );
    for odd in ["items.xml", "items", "things.csv"] {
        daemon.get(&format!("/api/v1/jobs/{job}/{odd}")).expect_problem(404, "not_found", &[odd]);
    }
}

#[test]
fn the_changes_of_a_job_are_exported_by_kind_of_change() {
    let daemon = stocked();
    daemon.ended(&daemon.publish(&spanned(json!({}))));
    let mut other = rules();
    other["topics"][0]["phrases"] = json!(["my money back"]);
    other["topics"][1]["phrases"] = json!(["nothing like it"]);
    daemon.apply(&other);
    let job = daemon.publish(&spanned(json!({"keep_when_empty": false})));
    daemon.ended(&job);
    let text = |query: &str| daemon.get(&format!("/api/v1/jobs/{job}/labels.csv{query}")).text();
    let head = "kind,id,version,transcript,block,topic,change,phrase,score,start,end\n";
    assert_eq!(text(""), head);
    assert_eq!(text("?change=added"), head);
    assert_eq!(
        text("?change=removed"),
        format!(
            "{head}note,n-1,3,note,0,refund,removed,money back,100,14,24\nnote,n-2,1,note,0,late,removed,parcel is late,100,4,18\n"
        )
    );
    assert_eq!(
        text("?change=updated"),
        format!("{head}conversation,fs-1,,t1,1,refund,updated,my money back,100,7,20\n")
    );
    assert_eq!(text("?change=all").lines().count(), 4);
    let rows = daemon.get(&format!("/api/v1/jobs/{job}/labels.ndjson?change=all")).rows();
    assert_eq!(rows.len(), 3);
    assert_eq!((&rows[0]["score"], &rows[0]["version"]), (&json!(100), &json!(null)));
    daemon.get(&format!("/api/v1/jobs/{job}/labels.csv?change=new")).expect_problem(
        422,
        "invalid_request",
        &["change"],
    );
}

#[test]
fn labels_that_stand_are_exported_by_time_program_and_topic() {
    let daemon = stocked();
    daemon.ended(&daemon.publish(&spanned(json!({}))));
    let rows = |query: &str| daemon.get(&format!("/api/v1/labels.ndjson{query}")).rows();
    let all = rows("");
    let columns = "at block end id job kind phrase revision score source start topic transcript version";
    let mut names: Vec<&str> = all[0].as_object().unwrap().keys().map(String::as_str).collect();
    names.sort();
    assert_eq!(names.join(" "), columns);
    let keys = |rows: &[Value]| {
        rows.iter().map(|row| format!("{}:{}", row["id"], row["topic"]).replace('"', "")).collect::<Vec<_>>()
    };
    assert_eq!(keys(&all), ["fs-1:refund", "n-1:refund", "n-2:late"]);
    assert_eq!([&all[0]["source"], &all[0]["job"], &all[0]["revision"]], [&json!("rule"), &json!("1"), &json!(1)]);
    assert_eq!(rows(&format!("?{SPAN}")).len(), 3);
    assert_eq!(keys(&rows("?topics=late")), ["n-2:late"]);
    assert_eq!(rows("?topics=late,refund").len(), 3);
    assert_eq!(keys(&rows("?from=2026-11-11&until=2026-11-12")), ["n-1:refund", "n-2:late"]);
    assert_eq!(keys(&rows("?until=2026-11-11")), ["fs-1:refund"]);
    assert_eq!(rows("?programs=billing").len(), 3);
    assert_eq!(rows("?programs=other").len(), 0);
    let csv = daemon.get("/api/v1/labels.csv").text();
    assert!(csv.starts_with("kind,id,version,transcript,block,topic,source,phrase,score,start,end,job,revision,at\n"));
    assert_eq!(csv.lines().count(), 4);
}

#[test]
fn the_feed_tells_every_change_once_from_a_number_on() {
    let daemon = stocked();
    let feed = |since: i64| daemon.get(&format!("/api/v1/labels.ndjson?since={since}")).rows();
    assert_eq!(feed(0), Vec::<Value>::new());
    daemon.ended(&daemon.publish(&spanned(json!({}))));
    let first = feed(0);
    assert_eq!(first.len(), 3);
    assert!(first.iter().all(|row| row["change"] == "added" && row["job"] == "1"), "{first:?}");
    let last = first.iter().map(|row| row["no"].as_i64().unwrap()).max().unwrap();
    assert_eq!(feed(last), Vec::<Value>::new());
    let mark = json!({"marks": [{"transcript": "t1", "block": 1, "topic": "refund", "mark": "is_not"}]});
    daemon.ask("PUT", "/api/v1/items/conversation/fs-1/marks").json(&mark).send().expect(200);
    let marked = feed(last);
    assert_eq!(marked.len(), 1, "{marked:?}");
    assert_eq!(
        [&marked[0]["id"], &marked[0]["topic"], &marked[0]["change"], &marked[0]["job"]],
        [&json!("fs-1"), &json!("refund"), &json!("removed"), &json!(null)]
    );
    assert_eq!(feed(0).len(), 4);
    let csv = daemon.get(&format!("/api/v1/labels.csv?since={last}")).text();
    assert_eq!(csv.lines().count(), 2, "{csv}");
    daemon.get("/api/v1/labels.csv?since=0&topics=late").expect_problem(422, "invalid_request", &["since"]);
    daemon.get("/api/v1/labels.csv?since=-1").expect_problem(422, "invalid_request", &["since"]);
}

#[test]
fn a_count_is_what_a_job_would_have() {
    let daemon = stocked();
    let count = |body: Value| daemon.ask("POST", "/api/v1/count").json(&spanned(body)).send().expect(200);
    assert_eq!(
        count(json!({})),
        json!({"total": 4, "by_kind": {"conversation": 2, "note": 2}, "by_media": {"chat": 2}, "by_program": {"billing": 4}})
    );
    for filter in [json!({"types": ["notes"]}), json!({"media": ["chat"]}), json!({"programs": ["other"]})] {
        let counted = count(filter.clone())["total"].clone();
        let job = daemon.ended(&daemon.publish(&spanned(filter.clone())));
        assert_eq!(job["counts"]["total"], counted, "{filter}");
    }
    // What is fresh is on a job's list and skipped when its turn comes: nothing is left to count.
    let stale = json!({"stale_only": true});
    assert_eq!(count(stale.clone())["total"], 0);
    assert_eq!(daemon.ended(&daemon.publish(&spanned(stale)))["outcomes"], json!({"skipped_current": 4}));
}

#[test]
fn topics_tell_what_carries_them_and_what_is_not_fresh() {
    let daemon = stocked();
    let programs = |topics: &Value| topics["programs"].clone();
    assert_eq!(
        programs(&daemon.see("/api/v1/topics"))[0],
        json!({"id": "billing", "name": "billing", "items": 4, "not_fresh": 4})
    );
    daemon.ended(&daemon.publish(&spanned(json!({}))));
    let topics = daemon.see("/api/v1/topics");
    assert_eq!(
        topics["topics"],
        json!([{"id": "refund", "name": "Refund", "items": 2, "blocks": 2}, {"id": "late", "name": "late", "items": 1, "blocks": 1}])
    );
    assert_eq!(programs(&topics)[0]["not_fresh"], 0);
    let later = daemon.see("/api/v1/topics?from=2026-11-11&until=2026-12-01");
    assert_eq!((&later["topics"][0]["items"], &later["topics"][1]["items"]), (&json!(1), &json!(1)));
}

#[test]
fn too_many_items_are_refused_with_the_numbers_or_split() {
    let daemon = stocked_with(&["--max-items-per-job", "3"]);
    let before = daemon.see("/api/v1/jobs");
    let refused = daemon.ask("POST", "/api/v1/jobs").json(&spanned(json!({}))).send();
    let problem = refused.expect_problem(422, "too_many_items", &["4", "3", "max_items_per_job"]);
    assert_eq!((&problem["count"], &problem["limit"]), (&json!(4), &json!(3)));
    assert_eq!(daemon.see("/api/v1/jobs"), before);

    let first = daemon.ask("POST", "/api/v1/jobs").json(&spanned(json!({"split": true}))).send().expect(201);
    let jobs = first["jobs"].as_array().unwrap();
    assert_eq!((jobs.len(), &jobs[0]), (2, &first["id"]));
    let ended: Vec<Value> = jobs.iter().map(|job| daemon.ended(job.as_str().unwrap())).collect();
    let totals: Vec<i64> = ended.iter().map(|job| job["counts"]["total"].as_i64().unwrap()).collect();
    assert!(totals.iter().sum::<i64>() == 4 && totals.iter().all(|&total| total <= 3), "{totals:?}");
    // The guide's call splits by itself.
    let guided = daemon.ask("POST", &format!("/api/internal/labels/reanalysis?{SPAN}")).send().expect(200);
    assert_eq!(guided["jobs"].as_array().unwrap().len(), 2);
}

#[test]
fn control_of_the_first_is_control_of_the_group() {
    let daemon = stocked_with(&["--max-items-per-job", "2"]);
    let wish = spanned(json!({"split": true, "max_per_second": SLOW}));
    let first = daemon.ask("POST", "/api/v1/jobs").json(&wish).send().expect(201);
    let jobs: Vec<&str> = first["jobs"].as_array().unwrap().iter().map(|job| job.as_str().unwrap()).collect();
    assert_eq!(jobs.len(), 2);
    let state = |job: &str| daemon.see(&format!("/api/v1/jobs/{job}"))["state"].clone();
    daemon.ask("POST", &format!("/api/v1/jobs/{}/pause", jobs[0])).send().expect(200);
    assert_eq!((state(jobs[0]), state(jobs[1])), (json!("paused"), json!("paused")));
    daemon.ask("POST", &format!("/api/v1/jobs/{}/cancel", jobs[0])).send().expect(200);
    for job in jobs {
        assert_eq!(daemon.ended(job)["state"], "cancelled");
    }
}

#[test]
fn a_filter_that_selects_nothing_completes_at_once_and_says_why() {
    let daemon = stocked();
    for filter in [
        json!({"from": "2025-01-01", "until": "2025-02-01"}),
        spanned(json!({"programs": ["unknown"]})),
        spanned(json!({"media": ["fax"]})),
    ] {
        let job = daemon.ask("POST", "/api/v1/jobs").json(&filter).send().expect(201);
        assert_eq!((&job["state"], &job["counts"]["total"]), (&json!("completed"), &json!(0)));
        assert!(!job["empty_because"].as_str().unwrap().is_empty(), "{job}");
        let rows = daemon.get(&format!("/api/v1/jobs/{}/items.ndjson", job["id"].as_str().unwrap()));
        assert_eq!((rows.status, rows.text()), (200, String::new()));
    }
}

#[test]
fn the_state_of_the_daemon_is_told() {
    let daemon = stocked();
    daemon.ended(&daemon.publish(&spanned(json!({}))));
    // What was done since the start is counted right after it was committed.
    let status = await_some("the count of the job's items", || {
        let status = daemon.see("/api/v1/status");
        (status["since_start"]["done"] == 3 && status["since_start"]["failed"] == 1).then_some(status)
    });
    assert_eq!(
        [&status["items"], &status["jobs"], &status["catalogue_revision"], &status["held"], &status["state"]],
        [&json!(4), &json!({}), &json!(1), &json!(null), &json!("running")]
    );
    assert_eq!(status["address"], daemon.address.to_string());
    assert_eq!(status["queue"]["bulk"], json!({"pending": 0, "running": 0}));
    assert!(status["database_bytes"].as_u64().unwrap() > 0);
    assert_eq!(daemon.ask_openly("GET", "/healthz").send().text(), "ok\n");
    assert_eq!(daemon.ask_openly("GET", "/readyz").send().text(), "ready\n");
    let head = daemon.ask("HEAD", "/api/v1/status").send();
    assert_eq!((head.status, head.body.len()), (200, 0));
}
