//! What is refused, in the words and with the status that Genesys Cloud has for it.

use serde_json::{Value, json};

use super::sdk::{assert_error, raw, refused};
use super::{JOBS, listed, native_ended, wish, with_calls};
use crate::daemon::Daemon;
use crate::{spanned, stocked, stocked_with};

#[test]
fn what_is_wrong_with_a_request_is_said_as_genesys_says_it() {
    let daemon = with_calls();
    let long = "x".repeat(100_000);
    let mut bad = vec![
        (wish(json!({"name": " "})), 400, "constraint.validation", "name"),
        (wish(json!({"programs": []})), 400, "constraint.validation", "programs"),
        (wish(json!({"mediaTypes": []})), 400, "constraint.validation", "mediaTypes"),
        (wish(json!({"dateStart": null})), 400, "constraint.validation", "dateStart"),
        (wish(json!({"dateStart": "soon"})), 400, "invalid.date", "dateStart"),
        (wish(json!({"dateEnd": "2026-02-30"})), 400, "invalid.date", "dateEnd"),
        (wish(json!({"dateEnd": true})), 400, "invalid.date", "dateEnd"),
        (wish(json!({"dateEnd": long})), 400, "invalid.date", "dateEnd"),
        (wish(json!({"dateEnd": "2026-11-01"})), 422, "constraint.validation", "dateEnd"),
        (wish(json!({"dateEnd": "2025-11-01"})), 422, "constraint.validation", "dateStart"),
        (wish(json!({"name": 5})), 400, "invalid.value", "name"),
        (wish(json!({"description": ["a"]})), 400, "invalid.value", "description"),
        (wish(json!({"programs": "billing"})), 400, "invalid.value", "programs"),
        (wish(json!({"programs": ["billing", null]})), 400, "invalid.value", "programs[1]"),
        (wish(json!({"dialects": [7]})), 400, "invalid.value", "dialects[0]"),
        (wish(json!({"mediaTypes": "Call"})), 400, "invalid.value", "mediaTypes"),
        (
            wish(json!({"mediaTypes": ["Call", "fax"]})),
            400,
            "invalid.value",
            "[fax] is not valid for field type [mediaTypes]",
        ),
        (wish(json!({"mediaTypes": ["voice"]})), 400, "invalid.value", "Call, Callback, Chat, Email, Message"),
        (wish(json!({"mediaTypes": [long]})), 400, "invalid.value", "…] is not valid"),
        (wish(json!({"colour": "red"})), 400, "invalid.property", "colour"),
        (wish(json!({long.clone(): 1})), 400, "invalid.property", "…: no such field"),
        (json!([1]), 400, "bad.request", "object"),
        (json!({}), 400, "constraint.validation", "name"),
    ];
    for name in ["name", "dateStart", "dateEnd", "programs", "mediaTypes"] {
        let mut body = wish(json!({}));
        body.as_object_mut().unwrap().remove(name);
        bad.push((body, 400, "constraint.validation", name));
    }
    for (body, status, code, word) in bad {
        refused(&daemon, json!({"do": "create", "as": "is", "body": body}), status, code, &[word]);
    }
    let plain = |body: &str| daemon.ask("POST", JOBS).body(body).send();
    assert_error(&plain("{\"name\":").expect(400), 400, "bad.request", &["not JSON", "line 1"]);
    assert_error(&plain("").expect(400), 400, "constraint.validation", &["name"]);
    assert_error(&plain(&" ".repeat(1 << 21)).expect(413), 413, "request.entity.too.large", &["1048576"]);
    for (query, word) in [
        (json!({"page_number": 0}), "pageNumber"),
        (json!({"page_number": "x"}), "[x] is not valid for parameter [pageNumber]"),
        (json!({"page_size": 0}), "pageSize"),
        (json!({"page_size": -5}), "pageSize"),
        (json!({"page_size": "9".repeat(500)}), "pageSize"),
        (json!({"sort_order": "sideways"}), "asc, desc"),
        (json!({"sort_order": long[..1000]}), "…] is not valid"),
    ] {
        let mut command = query;
        command["do"] = json!("list");
        refused(&daemon, command, 400, "invalid.query.param.value", &[word]);
    }
    assert_error(&daemon.get(&format!("{JOBS}?colour=red")).expect(400), 400, "bad.request", &["colour"]);
    assert_eq!(listed(&daemon, json!({}))["total"], 0, "nothing of it made a job");
}

#[test]
fn too_many_interactions_are_refused_with_the_numbers() {
    let daemon = stocked_with(&["--max-items-per-job", "1"]);
    let command = json!({"do": "create", "body": wish(json!({"mediaTypes": ["Chat"]}))});
    refused(&daemon, command, 422, "too.many.items", &["2 interactions", "at most 1"]);
    assert_eq!(listed(&daemon, json!({}))["total"], 0);
}

#[test]
fn nobody_is_let_in_without_the_right_to_it() {
    let daemon = stocked();
    let job = native_ended(&daemon, spanned(json!({})));
    let create = json!({"do": "create", "body": wish(json!({}))});
    let calls = ["show", "interactions", "delete"].map(|call| json!({"do": call, "id": job}));
    let as_who = |command: &Value, token: &str| {
        let mut command = command.clone();
        command["token"] = json!(token);
        command
    };
    for command in calls.iter().chain([&create, &json!({"do": "list"})]) {
        refused(&daemon, as_who(command, "rl_wrong"), 401, "bad.credentials", &["token"]);
        refused(&daemon, as_who(command, ""), 401, "authentication.required", &["Bearer"]);
        refused(&daemon, as_who(command, &daemon.token("token.metrics")), 403, "not.authorized", &["token.metrics"]);
    }
    let read = daemon.token("token.read");
    for command in [&create, &calls[2]] {
        refused(&daemon, as_who(command, &read), 403, "not.authorized", &["token.read", "may not"]);
    }
    for command in [&calls[0], &calls[1], &json!({"do": "list"})] {
        raw(&daemon, as_who(command, &read), 200);
    }
    assert_eq!(daemon.see("/api/v1/jobs")["jobs"].as_array().unwrap().len(), 1);
    let open = daemon.ask_openly("GET", JOBS).send();
    assert_eq!((open.status, open.header("WWW-Authenticate")), (401, Some("Bearer")));
    let foreign = daemon.ask("GET", JOBS).header("Host", "evil.example").send();
    assert_error(&foreign.expect(403), 403, "not.authorized", &["evil.example"]);
}

#[test]
fn what_is_not_there_is_404_and_another_method_405() {
    let daemon = Daemon::start();
    let long = "7".repeat(2_000);
    for id in ["77", "first", "0", "-1", "a b/c?d#e", "", "9223372036854775808", &long] {
        for call in ["show", "delete", "interactions"] {
            // Without a number the SDK asks for the path of all jobs, and a slash.
            refused(&daemon, json!({"do": call, "id": id}), 404, "not.found", &[]);
        }
    }
    for path in ["/api/v2/nothing", "/api/v2/", &format!("{JOBS}/")] {
        let answer = daemon.get(path);
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
        assert_error(&answer.expect(404), 404, "not.found", &[]);
    }
    let answer = daemon.ask("PUT", JOBS).json(&json!({})).send();
    assert_eq!(answer.header("Allow"), Some("POST, GET"));
    assert_error(&answer.expect(405), 405, "method.not.allowed", &["POST, GET"]);
    // The other paths speak as they did.
    daemon.get("/api/v1/nothing").expect_problem(404, "not_found", &[]);
    daemon.get("/api/v2").expect_problem(404, "not_found", &[]);
}
