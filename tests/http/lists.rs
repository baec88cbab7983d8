//! Jobs of items that are named one by one: in JSON, CSV and NDJSON, also as relabeld exports them.

use serde_json::{Value, json};

use super::daemon::{Daemon, Reply};
use super::{conversation, note, spanned, stocked, stocked_with};

const NDJSON: &str = "application/x-ndjson";

fn publish(daemon: &Daemon, wish: &Value) -> Reply {
    daemon.ask("POST", "/api/v1/jobs").json(wish).send()
}

/// A list as a file, with the other fields in the query.
fn send(daemon: &Daemon, content_type: &str, query: &str, body: impl Into<Vec<u8>>) -> Reply {
    let ask = daemon.ask("POST", &format!("/api/v1/jobs{query}")).header("Content-Type", content_type);
    ask.body(body).send()
}

/// The rows of items.csv, without attempts and times, once the job has ended.
fn items(daemon: &Daemon, made: &Value) -> Vec<String> {
    let id = made["id"].as_str().unwrap();
    let job = daemon.ended(id);
    assert_eq!((&job["kind"], &job["lane"]), (&json!("list"), &json!("bulk")));
    let csv = daemon.get(&format!("/api/v1/jobs/{id}/items.csv")).text();
    csv.lines().skip(1).map(|line| line.rsplitn(3, ',').nth(2).unwrap().to_owned()).collect()
}

fn key(kind: &str, id: &str) -> Value {
    json!({"kind": kind, "id": id})
}

#[test]
fn a_list_in_json_csv_and_ndjson_is_the_same_job() {
    let daemon = stocked();
    let ids = json!([{"kind": "notes", "id": "n-1", "version": "3"}, key("conversation", "fs-1"), key("note", "n-2")]);
    let csv = "\u{feff}id,colour,kind,version\r\nn-1,red,note,3\r\nfs-1,,conversation,\r\nn-2,,note\r\n";
    let ndjson = "{\"kind\":\"note\",\"id\":\"n-1\",\"version\":3,\"score\":100}\n\n{\"kind\":\"conversation\",\"id\":\"fs-1\",\"version\":null}\r\n{\"kind\":\"note\",\"id\":\"n-2\",\"version\":\"\"}";
    let wish = json!({"kind": "list", "ids": ids, "name": "A & b, c", "programs": ["billing", "x"], "priority": 7,
        "max_per_second": 1000.5, "dry_run": true, "stale_only": false, "keep_when_empty": false});
    let query = "?name=A%20%26+b%2C+c&programs=billing,x&priority=7&max_per_second=1000.5&dry_run=true&stale_only=false&keep_when_empty=false";
    let replies = [
        publish(&daemon, &wish),
        send(&daemon, "text/csv", query, csv),
        send(&daemon, "Text/CSV; charset=utf-8", &format!("{query}&kind=list"), csv),
        send(&daemon, NDJSON, query, ndjson),
        send(&daemon, "application/jsonl", query, ndjson),
    ];
    for reply in replies {
        let made = reply.expect(201);
        assert_eq!(
            items(&daemon, &made),
            ["note,n-1,3,done,changed,", "conversation,fs-1,,done,changed,", "note,n-2,1,done,changed,"]
        );
        let job = daemon.ended(made["id"].as_str().unwrap());
        for name in ["name", "priority", "max_per_second", "dry_run"] {
            assert_eq!(job[name], wish[name], "{name}");
        }
        assert_eq!(
            job["filter"],
            json!({"from": null, "until": null, "types": [], "media": [], "programs": ["billing", "x"],
                "stale_only": false, "keep_when_empty": false})
        );
        assert_eq!((&job["counts"]["total"], &job["labels"]["added"]), (&json!(3), &json!(3)));
    }
}

#[test]
fn what_relabeld_exports_is_a_list() {
    let daemon = stocked();
    let first = daemon.publish(&spanned(json!({})));
    daemon.ended(&first);
    let all = ["conversation,fs-1,", "conversation,fs-2,", "note,n-1,3", "note,n-2,1"];
    let labelled = ["conversation,fs-1,", "note,n-1,3", "note,n-2,1"];
    for (file, expected) in [
        (format!("/api/v1/jobs/{first}/items"), &all[..]),
        // A row a label, and several of them may stand on an item.
        (format!("/api/v1/jobs/{first}/labels"), &labelled),
        ("/api/v1/labels".to_owned(), &labelled),
    ] {
        for (suffix, content_type) in [("csv", "text/csv"), ("ndjson", NDJSON)] {
            let export = daemon.get(&format!("{file}.{suffix}"));
            let made = send(&daemon, content_type, "", export.body.clone()).expect(201);
            let keys: Vec<String> = items(&daemon, &made)
                .iter()
                .map(|row| row.splitn(4, ',').take(3).collect::<Vec<_>>().join(","))
                .collect();
            assert_eq!(keys, expected, "{file}.{suffix}");
        }
    }
}

#[test]
fn duplicates_collapse_and_what_does_not_exist_is_named_as_gone() {
    let daemon = stocked();
    let ids = json!([
        key("note", "N-1"),
        key("note", "n-1"),
        key("conversation", "n-1"),
        key("note", "n-1"),
        key("notes", "n-1"),
        key("note", "a,\"b\"\nc"),
        key("conversation", "fs-2"),
        key("conversation", "fs-2"),
        key("note", "N-1"),
    ]);
    let made = publish(&daemon, &json!({"kind": "list", "ids": ids})).expect(201);
    let id = made["id"].as_str().unwrap();
    let job = daemon.ended(id);
    assert_eq!((&job["counts"]["total"], &job["state"]), (&json!(5), &json!("completed")));
    assert_eq!(job["outcomes"], json!({"changed": 1, "gone": 3}));
    let rows = daemon.get(&format!("/api/v1/jobs/{id}/items.ndjson")).rows();
    let seen: Vec<Value> =
        rows.iter().map(|row| json!([row["kind"], row["id"], row["state"], row["outcome"]])).collect();
    assert_eq!(
        json!(seen),
        json!([
            ["note", "N-1", "done", "gone"],
            ["note", "n-1", "done", "changed"],
            ["conversation", "n-1", "done", "gone"],
            ["note", "a,\"b\"\nc", "done", "gone"],
            ["conversation", "fs-2", "failed", null],
        ])
    );
    // As CSV, what was quoted comes back as it went.
    let csv = daemon.get(&format!("/api/v1/jobs/{id}/items.csv"));
    let again = send(&daemon, "text/csv", "", csv.body).expect(201);
    assert_eq!(again["counts"]["total"], 5);
    // A name is not an item: nothing was imported, and what is imported later under it is new.
    assert_eq!(daemon.see("/api/v1/status")["items"], 4);
    assert_eq!(daemon.import(&[note("N-1", 1, "money back")])["inserted"], 1);
    daemon.ended(again["id"].as_str().unwrap());
}

#[test]
fn only_the_version_asked_for_will_do() {
    let daemon = stocked();
    let ids = json!([
        {"kind": "note", "id": "n-1", "version": 2}, {"kind": "note", "id": "n-2", "version": 1},
        {"kind": "note", "id": "n-1", "version": 4},
    ]);
    let made = publish(&daemon, &json!({"kind": "list", "ids": ids})).expect(201);
    let expected = ["note,n-1,2,done,stale_version,", "note,n-2,1,done,changed,", "note,n-1,4,done,stale_version,"];
    assert_eq!(items(&daemon, &made), expected);
    assert_eq!(daemon.see("/api/v1/items/note/n-1")["labels"], json!([]));
    // An export names the versions that were read; a newer one is another note.
    let export = daemon.get(&format!("/api/v1/jobs/{}/labels.csv", made["id"].as_str().unwrap())).body;
    daemon.import(&[note("n-2", 2, "The parcel is late again.")]);
    let again = send(&daemon, "text/csv", "", export).expect(201);
    assert_eq!(items(&daemon, &again), ["note,n-2,1,done,stale_version,"]);
}

#[test]
fn programs_are_the_scope_and_who_has_none_of_them_is_gone() {
    let daemon = stocked();
    let mut shared: Value = serde_json::from_str(&conversation("both", &["I want my money back"])).unwrap();
    shared["programs"] = json!(["billing", "other"]);
    daemon.import(&[shared.to_string()]);
    let mut rules = super::rules();
    rules["topics"][1] = json!({"id": "wish", "programs": ["other"], "phrases": ["I want"]});
    daemon.ask("PUT", "/api/v1/catalogue?allow_remove=true").json(&rules).send().expect(200);
    let wish = json!({"kind": "list", "programs": ["other"],
        "ids": [key("conversation", "both"), key("conversation", "fs-1")]});
    let made = publish(&daemon, &wish).expect(201);
    assert_eq!(items(&daemon, &made), ["conversation,both,,done,changed,", "conversation,fs-1,,done,gone,"]);
    let labels = daemon.see("/api/v1/items/conversation/both")["labels"].clone();
    assert_eq!((labels.as_array().unwrap().len(), &labels[0]["topic"]), (1, &json!("wish")));
}

#[test]
fn a_list_that_is_too_long_is_refused_or_split() {
    let daemon = stocked_with(&["--max-items-per-job", "3"]);
    let before = daemon.see("/api/v1/jobs");
    // What collapses does not count.
    let mut ids: Vec<Value> =
        ["fs-1", "fs-2", "fs-1", "x-1", "fs-2"].iter().map(|id| key("conversation", id)).collect();
    let wish = |ids: &[Value], split: bool| json!({"kind": "list", "ids": ids, "split": split});
    assert_eq!(publish(&daemon, &wish(&ids, false)).expect(201)["counts"]["total"], 3);
    ids.extend((2..6).map(|n| key("conversation", &format!("x-{n}"))));
    let problem =
        publish(&daemon, &wish(&ids, false)).expect_problem(422, "too_many_items", &["7", "3", "max_items_per_job"]);
    assert_eq!((&problem["count"], &problem["limit"]), (&json!(7), &json!(3)));
    assert_eq!(
        daemon.see("/api/v1/jobs")["jobs"].as_array().unwrap().len(),
        before["jobs"].as_array().unwrap().len() + 1
    );

    let csv: String = ids.iter().map(|key| format!("conversation,{}\n", key["id"].as_str().unwrap())).collect();
    let from_csv = send(&daemon, "text/csv", "?split=true", format!("kind,id\n{csv}"));
    for split in [publish(&daemon, &wish(&ids, true)), from_csv] {
        let first = split.expect(201);
        let parts: Vec<Vec<String>> = first["jobs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|id| {
                items(&daemon, &json!({"id": id})).iter().map(|row| row.split(',').nth(1).unwrap().into()).collect()
            })
            .collect();
        assert_eq!(parts, [vec!["fs-1", "fs-2", "x-1"], vec!["x-2", "x-3", "x-4"], vec!["x-5"]]);
    }
}

#[test]
fn what_a_list_cannot_be_is_refused_with_its_place_and_makes_nothing() {
    let daemon = stocked();
    let n1 = key("note", "n-1");
    for (wish, word) in [
        (json!({"kind": "list"}), "ids: missing"),
        (json!({"kind": "list", "ids": null}), "ids: missing"),
        (json!({"kind": "list", "ids": []}), "ids: is empty"),
        (json!({"kind": "list", "ids": [n1, {"kind": "note"}]}), "ids[1].id: missing"),
        (json!({"kind": "list", "ids": [{"id": "n-1"}]}), "ids[0].kind: missing"),
        (json!({"kind": "list", "ids": [{"kind": "conversation", "id": "fs-1", "version": 1}]}), "ids[0].version"),
        (json!({"kind": "list", "ids": [n1], "programs": []}), "programs: is empty"),
        (json!({"kind": "list", "ids": [n1], "from": "30d"}), "from: no such field"),
        (json!({"kind": "list", "ids": [n1], "until": "1d"}), "until: no such field"),
        (json!({"kind": "list", "ids": [n1], "types": ["notes"]}), "types: no such field"),
        (json!({"kind": "list", "ids": [n1], "media": ["chat"]}), "media: no such field"),
        (json!({"kind": "single", "ids": [n1, n1]}), "single"),
        (json!({"kind": "range", "ids": [n1]}), "ids"),
        (json!({"ids": [n1]}), "ids"),
        (json!({"kind": "retry", "ids": [n1]}), "ids"),
        (json!({"kind": "revert"}), "/revert"),
    ] {
        publish(&daemon, &wish).expect_problem(422, "invalid_request", &[word]);
    }
    for (content_type, query, body, word) in [
        ("text/csv", "", "", "line 1"),
        ("text/csv", "", "kind,id\n", "names no item"),
        ("text/csv", "", "kind,id\nnote,n-1\nmail,b\n", "line 3"),
        ("text/csv", "?kind=range", "kind,id\nnote,n-1\n", "ids"),
        ("text/csv", "?from=30d", "kind,id\nnote,n-1\n", "from: no such field"),
        ("text/csv", "?colour=red", "kind,id\nnote,n-1\n", "colour: no such field"),
        ("text/csv", "?programs=", "kind,id\nnote,n-1\n", "programs"),
        ("text/csv", "?priority=high", "kind,id\nnote,n-1\n", "priority"),
        (NDJSON, "", "\n \n", "names no item"),
        (NDJSON, "", "{\"kind\":\"note\",\"id\":\"n-1\"}\n{]\n", "line 2"),
        (NDJSON, "?types=notes", "{\"kind\":\"note\",\"id\":\"n-1\"}\n", "types"),
        ("application/json", "?name=x", "{\"kind\":\"list\",\"ids\":[{\"kind\":\"note\",\"id\":\"n-1\"}]}", "name"),
    ] {
        send(&daemon, content_type, query, body).expect_problem(422, "invalid_request", &[word]);
    }
    send(&daemon, "application/json", "", "kind,id\nnote,n-1\n").expect_problem(400, "bad_request", &["not JSON"]);
    send(&daemon, NDJSON, "", *b"{\"kind\":\"note\",\"id\":\"\xff\"}\n").expect_problem(
        422,
        "invalid_request",
        &["line 1"],
    );
    send(&daemon, "text/csv", "", *b"kind,id\nnote,\xff\n").expect_problem(422, "invalid_request", &["CSV"]);
    assert_eq!(daemon.see("/api/v1/jobs")["jobs"], json!([]));
}
