//! The catalogue over HTTP: shown, applied whole, guarded by revisions, tried out.

use serde_json::{Value, json};

use super::daemon::{Daemon, Reply};
use super::{rules, spanned, stocked};

fn put(daemon: &Daemon, target: &str, catalogue: &Value) -> Reply {
    daemon.ask("PUT", target).json(catalogue).send()
}

const CATALOGUE: &str = "/api/v1/catalogue";

#[test]
fn a_new_store_has_revision_0_without_topics() {
    let daemon = Daemon::start();
    let answer = daemon.get(CATALOGUE);
    assert_eq!(answer.header("ETag"), Some("\"0\""));
    let catalogue = answer.expect(200);
    assert_eq!((&catalogue["revision"], &catalogue["topics"]), (&json!(0), &json!([])));
}

#[test]
fn an_apply_tells_what_it_changed_and_an_identical_one_makes_no_revision() {
    let daemon = Daemon::start();
    let first = put(&daemon, CATALOGUE, &rules());
    assert_eq!(first.header("ETag"), Some("\"1\""));
    let first = first.expect(200);
    assert_eq!((&first["revision"], &first["added"]), (&json!(1), &json!(["refund", "late"])));
    let again = put(&daemon, CATALOGUE, &rules()).expect(200);
    assert_eq!((&again["revision"], &again["new"]), (&json!(1), &json!(false)));
    let mut changed = rules();
    changed["topics"][0]["strictness"] = json!(90);
    changed["topics"].as_array_mut().unwrap().push(json!({"id": "new", "phrases": ["hello"]}));
    let changed = put(&daemon, CATALOGUE, &changed).expect(200);
    assert_eq!(
        [&changed["revision"], &changed["added"], &changed["changed"], &changed["removed"]],
        [&json!(2), &json!(["new"]), &json!(["refund"]), &json!([])]
    );
    let shown = daemon.see(CATALOGUE);
    assert_eq!(shown["topics"][1]["name"], "late", "an id stands in for a name");
    assert_eq!(
        [&shown["topics"][2]["programs"], &shown["topics"][2]["participants"], &shown["topics"][2]["match"]],
        [&json!(["default"]), &json!("all"), &json!("stems")]
    );
    assert_eq!(shown["topics"][2]["strictness"], 72);
}

#[test]
fn any_revision_is_shown_and_applied_again_as_it_is() {
    let daemon = Daemon::start();
    daemon.apply(&rules());
    daemon.apply(&json!({"topics": [rules()["topics"][0], rules()["topics"][1],
        {"id": "new", "phrases": ["hello", {"text": "good day", "strictness": 99}]}]}));
    let answer = daemon.get("/api/v1/catalogue?revision=1");
    assert_eq!(answer.header("ETag"), Some("\"1\""));
    let first = answer.expect(200);
    assert_eq!(first["revision"], 1);
    assert!(first["applied_at"].as_str().unwrap().ends_with('Z'));
    assert!(!first["labeller"].as_str().unwrap().is_empty());
    // The text as it came, without anything taken out of it.
    let back = daemon.ask("PUT", "/api/v1/catalogue?allow_remove=true").body(answer.body).send().expect(200);
    assert_eq!((&back["revision"], &back["removed"]), (&json!(3), &json!(["new"])));
    let now = daemon.see(CATALOGUE);
    assert_eq!((&now["topics"], &now["programs"]), (&first["topics"], &first["programs"]));
}

#[test]
fn if_match_guards_against_an_apply_in_between() {
    let daemon = Daemon::start();
    let tag = daemon.get(CATALOGUE).header("ETag").unwrap().to_owned();
    daemon.apply(&rules());
    let guarded = |tag: &str| daemon.ask("PUT", "/api/v1/catalogue").header("If-Match", tag);
    let other = json!({"topics": [rules()["topics"][0], rules()["topics"][1], {"id": "x", "phrases": ["y"]}]});
    guarded(&tag).json(&other).send().expect_problem(409, "conflict", &["0", "1"]);
    guarded("\"7\"").json(&other).send().expect_problem(409, "conflict", &["7"]);
    guarded("latest").json(&other).send().expect_problem(422, "invalid_request", &["If-Match"]);
    assert_eq!(daemon.see(CATALOGUE)["revision"], 1);
    assert_eq!(guarded("\"1\"").json(&other).send().expect(200)["revision"], 2);
    assert_eq!(guarded("*").json(&other).send().expect(200)["revision"], 2);
}

#[test]
fn removing_a_topic_has_to_be_allowed() {
    let daemon = Daemon::start();
    daemon.apply(&rules());
    let fewer = json!({"topics": [rules()["topics"][0]]});
    for target in [CATALOGUE, "/api/v1/catalogue?allow_remove=false"] {
        let refused = put(&daemon, target, &fewer);
        assert!([409, 422].contains(&refused.status), "{}", refused.text());
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("late") && detail.contains("allow_remove"), "{detail}");
    }
    assert_eq!(daemon.see(CATALOGUE)["revision"], 1);
    let removed = put(&daemon, "/api/v1/catalogue?allow_remove=true", &fewer).expect(200);
    assert_eq!((&removed["revision"], &removed["removed"]), (&json!(2), &json!(["late"])));
}

#[test]
fn every_error_is_listed_with_its_place_and_nothing_is_applied() {
    let daemon = Daemon::start();
    daemon.apply(&rules());
    let wrong = json!({
        "topics": [
            {"id": "a", "strictness": 0, "phrases": ["...", {"text": "b", "strictness": 101}]},
            {"id": "a", "phrase": ["b"]},
            {"id": "", "phrases": [], "participants": "nobody", "match": "fuzzy"},
            "refund",
        ],
        "programs": [{"id": "p"}, {"id": "p"}],
        "rules": [],
    });
    let problem = put(&daemon, CATALOGUE, &wrong).expect_problem(422, "invalid_request", &["nothing was applied"]);
    let places: Vec<&str> =
        problem["errors"].as_array().unwrap().iter().map(|e| e["place"].as_str().unwrap()).collect();
    for place in [
        "rules",
        "topics[0].strictness",
        "topics[0].phrases[0]",
        "topics[0].phrases[1].strictness",
        "topics[1].phrase",
        "topics[1].phrases",
        "topics[1].id",
        "topics[2].id",
        "topics[2].phrases",
        "topics[2].participants",
        "topics[2].match",
        "topics[3]",
        "programs[1].id",
    ] {
        assert!(places.contains(&place), "{place} is not among {places:?}");
    }
    assert_eq!(places.len(), 13, "{places:?}");
    assert!(problem["errors"].as_array().unwrap().iter().all(|e| !e["what"].as_str().unwrap().is_empty()));
    assert_eq!(daemon.see(CATALOGUE)["revision"], 1);
}

#[test]
fn a_dry_run_says_what_would_change_and_changes_nothing() {
    let daemon = Daemon::start();
    daemon.apply(&rules());
    let mut other = rules();
    other["topics"][0]["strictness"] = json!(90);
    other["topics"][1]["id"] = json!("new");
    let before = daemon.get(CATALOGUE).text();
    let dry = "/api/v1/catalogue?dry_run=true";
    let would = put(&daemon, dry, &other).expect(200);
    assert_eq!(
        would,
        json!({"revision": 2, "new": true, "added": ["new"], "changed": ["refund"], "removed": ["late"]})
    );
    let stale = daemon.ask("PUT", dry).header("If-Match", "\"7\"").json(&other).send();
    stale.expect_problem(409, "conflict", &["revision 1, not 7"]);
    let same = put(&daemon, dry, &rules()).expect(200);
    assert_eq!(same, json!({"revision": 1, "new": false, "added": [], "changed": [], "removed": []}));
    other["topics"][0]["strictness"] = json!(0);
    let problem = put(&daemon, dry, &other).expect_problem(422, "invalid_request", &["strictness"]);
    assert_eq!(problem["errors"][0]["place"], "topics[0].strictness");
    assert_eq!(daemon.get(CATALOGUE).text(), before);
    // What it says is what then happens.
    other["topics"][0]["strictness"] = json!(90);
    assert_eq!(put(&daemon, "/api/v1/catalogue?allow_remove=true", &other).expect(200), would);
}

#[test]
fn a_phrase_is_tried_out_on_stored_items_and_nothing_is_labelled() {
    let daemon = stocked();
    let test = |body: Value| daemon.ask("POST", "/api/v1/catalogue/test").json(&spanned(body)).send();
    let found = test(json!({"phrase": "money back"})).expect(200);
    assert_eq!(found["read"], 4);
    let matches = found["matches"].as_array().unwrap();
    assert_eq!(matches.len(), 2, "{found}");
    let conversation = matches.iter().find(|one| one["kind"] == "conversation").unwrap();
    assert_eq!(
        [&conversation["id"], &conversation["transcript"], &conversation["block"], &conversation["score"]],
        [&json!("fs-1"), &json!("t1"), &json!(1), &json!(100)]
    );
    assert_eq!((&conversation["start"], &conversation["end"]), (&json!(10), &json!(20)));
    assert_eq!(conversation["text"], "I want my money back");
    assert_eq!(test(json!({"phrase": "money back", "limit": 1})).expect(200)["matches"].as_array().unwrap().len(), 1);
    assert_eq!(test(json!({"phrase": "monies back", "match": "words"})).expect(200)["matches"], json!([]));
    assert_eq!(test(json!({"phrase": "want back", "strictness": 100})).expect(200)["matches"], json!([]));
    let agents = test(json!({"phrase": "money back", "participants": "agent", "types": ["conversations"]}));
    assert_eq!(agents.expect(200)["matches"], json!([]));
    test(json!({})).expect_problem(422, "invalid_request", &["phrase"]);
    test(json!({"phrase": "a", "strictness": 101})).expect_problem(422, "invalid_request", &["strictness"]);
    test(json!({"phrase": "a", "limit": 0})).expect_problem(422, "invalid_request", &["limit"]);
    assert_eq!(daemon.get("/api/v1/labels.ndjson").text(), "");
    assert_eq!(daemon.see("/api/v1/catalogue")["revision"], 1);
}
