//! Drafts over HTTP: made, looked at, changed, published, split, cancelled, deleted.

use relabeld::job::{Filter, JobState};
use relabeld::store::{Durability, NewJob, Store};
use serde_json::{Value, json};

use super::daemon::{Daemon, Reply};
use super::{rules, spanned, stocked, stocked_with};

fn path(job: &Value) -> String {
    format!("/api/v1/jobs/{}", job["id"].as_str().unwrap())
}

fn act(daemon: &Daemon, job: &Value, verb: &str) -> Reply {
    daemon.ask("POST", &format!("{}/{verb}", path(job))).send()
}

fn draft(daemon: &Daemon, mut wish: Value) -> Value {
    wish["publish"] = json!(false);
    let draft = daemon.ask("POST", "/api/v1/jobs").json(&wish).send().expect(201);
    assert_eq!(draft["state"], "draft", "{draft}");
    for unknown in ["catalogue_revision", "published_at", "started_at", "finished_at", "queue_position", "eta_seconds"]
    {
        assert_eq!(draft[unknown], json!(null), "{unknown}");
    }
    draft
}

fn list() -> Value {
    json!({"kind": "list", "ids": [{"kind": "conversation", "id": "fs-1"}, {"kind": "note", "id": "n-1"}]})
}

fn single() -> Value {
    json!({"kind": "single", "ids": [{"kind": "note", "id": "n-2", "version": 1}]})
}

fn other_rules() -> Value {
    let mut rules = rules();
    rules["topics"][0]["phrases"] = json!(["my money back", "her money back"]);
    rules
}

#[test]
fn a_draft_of_any_kind_waits_until_it_is_published() {
    let daemon = stocked();
    let drafts = [spanned(json!({})), list(), single()].map(|wish| draft(&daemon, wish));
    assert_eq!(drafts.each_ref().map(|job| &job["kind"]), ["range", "list", "single"]);
    assert_eq!(drafts.each_ref().map(|job| &job["counts"]["total"]), [&json!(null), &json!(2), &json!(1)]);
    let listed = daemon.see("/api/v1/jobs?state=draft");
    assert_eq!(listed["jobs"], json!(drafts.iter().rev().collect::<Vec<_>>()));
    let status = daemon.see("/api/v1/status");
    assert_eq!((&status["jobs"], &status["queue"]["bulk"]["pending"]), (&json!({"draft": 3}), &json!(0)));
    // Others come and go beside them.
    daemon.ended(&daemon.publish(&json!({"kind": "single", "ids": [{"kind": "conversation", "id": "fs-2"}]})));
    for draft in &drafts {
        assert_eq!(daemon.see(&path(draft)), *draft);
    }
    assert_eq!(daemon.get("/api/v1/labels.ndjson").text(), "");

    assert_eq!(daemon.apply(&other_rules()), 2);
    for draft in drafts.iter().rev() {
        let published = act(&daemon, draft, "publish").expect(200);
        assert_eq!((&published["id"], &published["catalogue_revision"]), (&draft["id"], &json!(2)));
        assert!(published["published_at"].as_str() >= draft["created_at"].as_str());
        let ended = daemon.ended(draft["id"].as_str().unwrap());
        assert_eq!((&ended["state"], &ended["catalogue_revision"]), (&json!("completed"), &json!(2)));
        assert_eq!((&ended["created_at"], &ended["lane"]), (&draft["created_at"], &draft["lane"]));
        act(&daemon, draft, "publish").expect_problem(409, "conflict", &["completed", "published"]);
    }
    let rows = daemon.get("/api/v1/labels.ndjson").rows();
    assert!(rows.len() == 3 && rows.iter().all(|row| row["revision"] == 2), "{rows:?}");
}

#[test]
fn the_range_of_a_draft_is_that_of_its_publishing() {
    let daemon = stocked();
    let of = |job: &Value| [&job["filter"]["from"], &job["filter"]["until"]].map(Value::to_string);
    let (open, fixed) = (draft(&daemon, json!({"from": "30d"})), draft(&daemon, spanned(json!({}))));
    let created = open["created_at"].as_str().unwrap();
    // A clock of whole milliseconds must not make them one.
    super::daemon::await_some("the next millisecond", || {
        (relabeld::when::rfc3339(relabeld::when::now()).as_str() > created).then_some(())
    });
    let published = act(&daemon, &open, "publish").expect(200);
    assert_ne!(published["published_at"], open["created_at"]);
    assert_eq!(published["filter"]["until"], published["published_at"]);
    let days = |job: &Value| {
        let at = |name: &str| relabeld::when::parse(job["filter"][name].as_str().unwrap(), 0).unwrap();
        (at("until") - at("from")) / 86_400_000
    };
    assert_eq!((days(&published), days(&open)), (30, 30));
    assert_eq!(of(&act(&daemon, &fixed, "publish").expect(200)), of(&fixed));
}

#[test]
fn a_draft_is_made_only_of_what_could_be_published() {
    let daemon = stocked();
    for (wish, words) in [
        (json!({"from": "2026-12-01", "until": "2026-11-01"}), "from"),
        (json!({"kind": "list", "ids": []}), "ids"),
        (json!({"kind": "list"}), "ids"),
        (json!({"media": []}), "media"),
        (json!({"later": true}), "later"),
    ] {
        let mut wish = wish;
        wish["publish"] = json!(false);
        daemon.ask("POST", "/api/v1/jobs").json(&wish).send().expect_problem(422, "invalid_request", &[words]);
    }
    let stale = json!({"kind": "single", "ids": [{"kind": "note", "id": "n-1", "version": 2}], "publish": false});
    daemon.ask("POST", "/api/v1/jobs").json(&stale).send().expect_problem(409, "stale_version", &["3", "2"]);
    assert_eq!(daemon.see("/api/v1/jobs")["jobs"], json!([]));
}

#[test]
fn a_draft_is_changed_before_it_is_published() {
    let daemon = stocked();
    let draft = draft(&daemon, spanned(json!({"name": "first", "max_per_second": 5})));
    let wanted = json!({"name": "second", "description": "d", "priority": 9, "max_per_second": null});
    daemon.ask("PATCH", &path(&draft)).json(&wanted).send().expect(200);
    let published = act(&daemon, &draft, "publish").expect(200);
    for (name, value) in wanted.as_object().unwrap() {
        assert_eq!(published[name], *value);
    }
    let listed = self::draft(&daemon, list());
    let dry = self::draft(&daemon, spanned(json!({"dry_run": true})));
    for (job, verb) in [(&listed, "retry"), (&listed, "revert"), (&dry, "apply")] {
        act(&daemon, job, verb).expect_problem(409, "conflict", &["is draft"]);
    }
}

#[test]
fn a_draft_publishes_its_group() {
    let daemon = stocked_with(&["--max-items-per-job", "3"]);
    let keys = ["fs-1", "fs-2", "x-1", "x-2"].map(|id| json!({"kind": "conversation", "id": id}));
    for (wish, parts_before) in
        [(spanned(json!({"split": true})), 1), (json!({"kind": "list", "ids": keys, "split": true}), 2)]
    {
        let first = draft(&daemon, wish);
        let parts = |job: &Value| job["jobs"].as_array().map_or(1, Vec::len);
        assert_eq!(parts(&first), parts_before);
        let published = act(&daemon, &first, "publish").expect(200);
        assert_eq!((parts(&published), &published["jobs"][0]), (2, &first["id"]));
        let ids = published["jobs"].as_array().unwrap();
        let ended: Vec<Value> = ids.iter().map(|id| daemon.ended(id.as_str().unwrap())).collect();
        assert_eq!(ended.iter().map(|job| job["counts"]["total"].as_i64().unwrap()).sum::<i64>(), 4);
        assert!(ended.iter().all(|job| job["state"] == "completed"), "{ended:?}");
    }
}

#[test]
fn too_many_items_at_the_publishing_leave_the_draft() {
    let daemon = stocked_with(&["--max-items-per-job", "3"]);
    let draft = draft(&daemon, spanned(json!({})));
    let problem = act(&daemon, &draft, "publish").expect_problem(422, "too_many_items", &["4", "3"]);
    assert_eq!((&problem["count"], &problem["limit"]), (&json!(4), &json!(3)));
    assert_eq!(daemon.see(&path(&draft)), draft);
    assert_eq!(daemon.ask("DELETE", "/api/v1/items/note/n-2").send().status, 204);
    act(&daemon, &draft, "publish").expect(200);
    assert_eq!(daemon.ended(draft["id"].as_str().unwrap())["counts"]["total"], 3);
}

#[test]
fn a_draft_is_cancelled_or_deleted() {
    let daemon = stocked();
    for wish in [spanned(json!({})), list(), single()] {
        let cancelled = draft(&daemon, wish.clone());
        let job = act(&daemon, &cancelled, "cancel").expect(200);
        assert_eq!((&job["state"], &job["published_at"]), (&json!("cancelled"), &json!(null)));
        assert_eq!(job["counts"]["cancelled"], job["counts"]["total"]);
        act(&daemon, &job, "publish").expect_problem(409, "conflict", &["cancelled"]);

        let deleted = draft(&daemon, wish);
        assert_eq!(daemon.ask("DELETE", &path(&deleted)).send().status, 204);
        daemon.get(&path(&deleted)).expect_problem(404, "not_found", &[]);
        act(&daemon, &deleted, "publish").expect_problem(404, "not_found", &[]);
    }
    assert_eq!(daemon.see("/api/v1/jobs")["jobs"].as_array().unwrap().len(), 3);
    assert_eq!(daemon.see("/api/v1/status")["jobs"], json!({}));
}

// Exports of what has not run ----------------------------------------------------------------------------------------

const ITEMS: &str = "kind,id,version,state,outcome,reason,attempts,finished_at\n";

#[test]
fn the_list_of_a_draft_is_exported_as_far_as_there_is_one() {
    let daemon = stocked();
    let get = |job: &Value, file: &str| daemon.get(&format!("{}/{file}", path(job)));
    let listed = draft(&daemon, list());
    assert_eq!(
        get(&listed, "items.csv").text(),
        format!("{ITEMS}conversation,fs-1,,pending,,,0,\nnote,n-1,3,pending,,,0,\n")
    );
    assert_eq!(get(&listed, "items.ndjson").rows()[1]["state"], "pending");
    let heads = "kind,id,version,transcript,block,topic,change,phrase,score,start,end";
    assert_eq!(get(&listed, "labels.csv?change=all").text(), format!("{heads}\n"));
    assert_eq!(
        get(&listed, "labels.csv?before=true").text(),
        format!("{heads},old_phrase,old_score,old_start,old_end,old_job\n")
    );
    assert_eq!(get(&listed, "topics.csv").text(), "topic,added,removed,updated\n");
    act(&daemon, &listed, "cancel").expect(200);
    assert_eq!(
        get(&listed, "items.csv").text(),
        format!("{ITEMS}conversation,fs-1,,cancelled,,,0,\nnote,n-1,3,cancelled,,,0,\n")
    );
    let range = draft(&daemon, spanned(json!({})));
    for file in ["items.csv", "items.ndjson", "labels.csv", "labels.ndjson?change=all"] {
        get(&range, file).expect_problem(409, "conflict", &["draft", "not whole yet"]);
    }
    assert_eq!(get(&range, "topics.csv").status, 200);
}

#[test]
fn a_list_that_is_not_whole_is_not_exported() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("data");
    let daemon = Daemon::on(&dir, &[]);
    daemon.import(&super::lines());
    assert_eq!(daemon.stop(), Some(0));
    // Held before anyone planned it, and held in planning.
    let store = Store::open(&dir, Durability::Normal).unwrap();
    let all = || store.publish_range(NewJob::new(Filter::all(), "test"), 0, 0).unwrap().job.id;
    let planning = all();
    drop(store.begin_planning(0).unwrap());
    let queued = all();
    for (job, state) in [(planning, JobState::Planning), (queued, JobState::Queued)] {
        assert_eq!(store.job(job).unwrap().state, state);
        store.pause_job(job).unwrap();
    }
    store.close();
    drop(store);
    let daemon = Daemon::on(&dir, &[]);
    for job in [planning, queued] {
        let get = |file: &str| daemon.get(&format!("/api/v1/jobs/{job}/{file}"));
        for file in ["items.csv", "labels.csv"] {
            get(file).expect_problem(409, "conflict", &["not whole yet", "ask again"]);
        }
        daemon.ask("POST", &format!("/api/v1/jobs/{job}/resume")).send().expect(200);
        daemon.ended(&job.to_string());
        assert_eq!(get("items.csv").text().lines().count(), 5);
    }
}
