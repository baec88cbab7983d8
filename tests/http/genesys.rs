//! Genesys Cloud's calls, made by its own Python SDK, unchanged and pointed at relabeld.

mod refused;
mod sdk;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};

use relabeld::job::{Filter, JobState};
use relabeld::store::{Durability, NewJob, Store};
use sdk::{assert_error, create, raw, refused, run, show};
use serde_json::{Value, json};

use super::daemon::{Ask, Daemon, await_some};
use super::{conversation, note, rules, spanned, stocked, stocked_with};

const JOBS: &str = "/api/v2/speechandtextanalytics/reprocessing/jobs";
/// A job that stays where it is for as long as a test looks at it.
const SLOW: f64 = 0.001;

/// A request with every required field, and with others changed.
fn wish(more: Value) -> Value {
    let mut wish = json!({"name": "November", "dateStart": "2026-11-01T00:00:00Z", "dateEnd": "2026-12-01T00:00:00Z",
        "programs": ["billing"], "mediaTypes": ["Call"]});
    for (name, value) in more.as_object().unwrap() {
        wish[name] = value.clone();
    }
    wish
}

fn spoken(id: &str, media: &str, language: &str, text: &str) -> String {
    json!({"kind": "conversation", "id": id, "media": media, "started_at": "2026-11-10T10:00:00Z",
        "programs": ["billing"],
        "transcripts": [{"id": "t1", "language": language, "blocks": [{"speaker": "customer", "text": text}]}]})
    .to_string()
}

/// Three calls, one of which has no topic, a chat, a fax and a note.
fn with_calls() -> Daemon {
    let daemon = Daemon::start();
    daemon.apply(&rules());
    let items = [
        spoken("v-1", "voice", "en-US", "I want my money back"),
        spoken("v-2", "voice", "de-DE", "Good morning"),
        spoken("v-3", "voice", "en-GB", "The parcel is late"),
        spoken("c-1", "chat", "en-US", "money back"),
        spoken("f-1", "fax", "en-US", "money back"),
        note("n-1", 1, "Asked for her money back."),
    ];
    assert_eq!(daemon.import(&items)["inserted"], 6);
    daemon
}

fn ids(list: &Value) -> Vec<String> {
    list["entities"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
}

fn listed(daemon: &Daemon, query: Value) -> Value {
    let mut command = query;
    command["do"] = json!("list");
    raw(daemon, command, 200)
}

#[track_caller]
fn control(daemon: &Daemon, job: &str, verb: &str) {
    daemon.ask("POST", &format!("/api/v1/jobs/{job}/{verb}")).send().expect(200);
}

#[test]
fn a_job_is_made_done_and_shown_with_every_field() {
    let daemon = with_calls();
    let body = wish(json!({"description": "all of it", "mediaTypes": ["Call", "CHAT", "call"], "dialects": ["en-US"]}));
    let made = run(&daemon, json!({"do": "create", "body": body}));
    assert_eq!(made["status"], 201, "{made}");
    let id = made["raw"]["id"].as_str().expect("a string").to_owned();
    let native = daemon.ended(&id);
    let answer = run(&daemon, json!({"do": "show", "id": id}));
    let job = &answer["raw"];
    let expected = json!({
        "id": id, "name": "November", "description": "all of it",
        "dateStart": "2026-11-01T00:00:00.000Z", "dateEnd": "2026-12-01T00:00:00.000Z",
        "dateCreated": native["created_at"],
        "createdBy": {"id": "token", "selfUri": "/api/v2/users/token"},
        "programs": ["billing"], "mediaTypes": ["Call", "Chat"], "dialects": ["en-US"],
        "jobStatus": "Completed", "queueOrder": null, "processedInteractionsCount": 2,
        "failedInteractionsCount": 0, "totalInteractionsCount": 2, "selfUri": format!("{JOBS}/{id}"),
    });
    assert_eq!(job, &expected);
    // What the SDK makes of it: its own names, and dates that it could read.
    let read = &answer["ok"];
    assert_eq!((&read["id"], &read["job_status"]), (&json!(id), &json!("Completed")));
    assert_eq!(
        (&read["date_start"], &read["date_end"]),
        (&json!("2026-11-01T00:00:00+00:00"), &json!("2026-12-01T00:00:00+00:00"))
    );
    assert_eq!(read["created_by"], json!({"id": "token", "self_uri": "/api/v2/users/token"}));
    assert_eq!((&read["processed_interactions_count"], &read["queue_order"]), (&json!(2), &json!(null)));
    // And what it is natively.
    assert_eq!(
        [&native["kind"], &native["lane"], &native["dry_run"]],
        [&json!("range"), &json!("bulk"), &json!(false)]
    );
    assert_eq!(native["filter"], spanned_filter(json!(["voice", "chat"]), json!(["en-US"])));
    // As it was made it had the same fields, and counters that are numbers; what is not known yet may be null.
    let made = &made["raw"];
    assert_eq!(
        made.as_object().unwrap().keys().collect::<Vec<_>>(),
        job.as_object().unwrap().keys().collect::<Vec<_>>()
    );
    for name in ["id", "name", "dateStart", "dateEnd", "dateCreated", "createdBy", "programs", "mediaTypes", "selfUri"]
    {
        assert_eq!(made[name], job[name], "{name}");
    }
    assert!(made["processedInteractionsCount"].is_i64() && made["failedInteractionsCount"].is_i64(), "{made}");
    assert!(["Queued", "InProgress", "Completed"].contains(&made["jobStatus"].as_str().unwrap()), "{made}");
    assert_eq!(show(&daemon, &id), expected);
    assert_eq!(raw(&daemon, json!({"do": "show", "id": id.parse::<i64>().unwrap()}), 200), expected, "by number");
}

fn spanned_filter(media: Value, languages: Value) -> Value {
    json!({"from": "2026-11-01T00:00:00.000Z", "until": "2026-12-01T00:00:00.000Z", "types": ["conversation"],
        "media": media, "programs": ["billing"], "languages": languages, "stale_only": false, "keep_when_empty": true})
}

#[test]
fn conversations_are_selected_by_media_program_dialect_and_date() {
    let daemon = with_calls();
    for (more, total) in [
        (json!({}), 3),
        (json!({"mediaTypes": ["Call", "Callback", "Chat", "Email", "Message"]}), 4),
        (json!({"mediaTypes": ["Email"]}), 0),
        (json!({"dialects": ["EN-us"]}), 1),
        (json!({"dialects": ["en-GB", "de-DE", "zz-ZZ"]}), 2),
        (json!({"dialects": ["en"]}), 0),
        // What the SDKs send for none.
        (json!({"dialects": []}), 3),
        (json!({"dialects": null, "description": null}), 3),
        (json!({"programs": ["billing", "sales"]}), 3),
        (json!({"programs": ["sales"]}), 0),
        // All that the SDKs make of a date.
        (json!({"dateStart": "2026-11-10T10:00:00", "dateEnd": "2026-11-10T12:00:00.001000+02:00"}), 3),
        (json!({"dateStart": "2026-11-10", "dateEnd": "2026-11-10T10:00:00.000000Z"}), 0),
    ] {
        let made = raw(&daemon, json!({"do": "create", "as": "is", "body": wish(more.clone())}), 201);
        let id = made["id"].as_str().unwrap();
        daemon.ended(id);
        let job = show(&daemon, id);
        assert_eq!((&job["totalInteractionsCount"], &job["jobStatus"]), (&json!(total), &json!("Completed")), "{more}");
    }
}

#[test]
fn every_media_type_is_one_of_ours_and_back() {
    let daemon = Daemon::start();
    let words =
        [("Call", "voice"), ("Callback", "callback"), ("Chat", "chat"), ("Email", "email"), ("Message", "message")];
    for (theirs, ours) in words {
        for typed in [theirs.to_owned(), theirs.to_lowercase(), theirs.to_uppercase()] {
            let made = raw(&daemon, json!({"do": "create", "body": wish(json!({"mediaTypes": [typed]}))}), 201);
            assert_eq!(made["mediaTypes"], json!([theirs]));
            let native = daemon.see(&format!("/api/v1/jobs/{}", made["id"].as_str().unwrap()));
            assert_eq!(native["filter"]["media"], json!([ours]));
        }
    }
}

#[test]
fn jobs_that_were_made_natively_are_shown_as_they_are() {
    let daemon = stocked();
    let job = daemon.publish(&spanned(json!({"media": ["voice", "fax"]})));
    assert_eq!(show(&daemon, &job)["mediaTypes"], json!(["Call", "fax"]));
    // Lists are never null, dates may be.
    let job = daemon.publish(&json!({"kind": "list", "ids": [{"kind": "note", "id": "n-1"}]}));
    daemon.ended(&job);
    let shown = show(&daemon, &job);
    for name in ["mediaTypes", "programs", "dialects"] {
        assert_eq!(shown[name], json!([]), "{name}");
    }
    for name in ["name", "description", "dateStart", "dateEnd", "queueOrder"] {
        assert_eq!(shown[name], json!(null), "{name}");
    }
    assert_eq!((&shown["processedInteractionsCount"], &shown["jobStatus"]), (&json!(1), &json!("Completed")));
    assert_eq!(run(&daemon, json!({"do": "show", "id": job}))["ok"]["job_status"], "Completed");
}

#[test]
fn sixty_jobs_of_one_moment_are_paged_without_a_gap_or_a_repeat() {
    let daemon = stocked_with(&["--max-items-per-job", "1"]);
    let lines: Vec<String> = (0..60).map(|n| spoken(&format!("v-{n}"), "voice", "en-US", "hello")).collect();
    daemon.import(&lines);
    daemon.publish(&spanned(json!({"media": ["voice"], "split": true, "name": "part"})));
    daemon.publish(&spanned(json!({"publish": false, "name": "part, not published"})));
    let all = listed(&daemon, json!({"page_size": 100}));
    assert_eq!((ids(&all).len(), &all["total"], &all["pageCount"]), (60, &json!(60), &json!(1)));
    let moments: BTreeSet<&str> =
        all["entities"].as_array().unwrap().iter().map(|job| job["dateCreated"].as_str().unwrap()).collect();
    assert_eq!(moments.len(), 1, "they were made at one time");
    let mut orders = Vec::new();
    for order in ["asc", "DESC"] {
        let mut seen = Vec::new();
        for page in 1..=3 {
            let query = json!({"page_size": 25, "page_number": page, "sort_order": order, "name": "PART"});
            let list = listed(&daemon, query);
            assert_eq!(
                [&list["pageSize"], &list["pageNumber"], &list["total"], &list["pageCount"]],
                [&json!(25), &json!(page), &json!(60), &json!(3)]
            );
            seen.extend(ids(&list));
        }
        let numbers: Vec<i64> = seen.iter().map(|id| id.parse().unwrap()).collect();
        let step = if order == "asc" { 1 } else { -1 };
        assert!(numbers.len() == 60 && numbers.windows(2).all(|two| two[1] - two[0] == step), "{order}: {numbers:?}");
        orders.push(seen);
    }
    assert!(orders[0].iter().eq(orders[1].iter().rev()));
    // Past the end there is an empty page, which a loop over it survives.
    assert_eq!(listed(&daemon, json!({"page_number": 4}))["entities"], json!([]));
    assert_eq!(listed(&daemon, json!({"page_number": u64::MAX}))["entities"], json!([]));
    // By itself a page has 25, at most it has 100, and the newest come first.
    let first = listed(&daemon, json!({}));
    assert_eq!(
        (&first["pageSize"], &first["pageNumber"], ids(&first)),
        (&json!(25), &json!(1), orders[1][..25].to_vec())
    );
    let most = listed(&daemon, json!({"page_size": 200}));
    assert_eq!((&most["pageSize"], ids(&most).len()), (&json!(100), 60));
    // The SDK reads its own names.
    let answer = run(&daemon, json!({"do": "list", "page_size": 7}));
    let list = &answer["ok"];
    assert_eq!([&list["page_size"], &list["page_count"], &list["total"]], [&json!(7), &json!(9), &json!(60)]);
    assert_eq!(list["entities"][0]["id"], orders[1][0]);
}

#[test]
fn jobs_are_found_by_a_part_of_their_name_in_any_case() {
    let daemon = Daemon::start();
    let names = ["November: Rückgaben", "ÜBER NACHT", "november, a+b&c %", "Été à Ōsaka"];
    let made: Vec<String> = names.iter().map(|name| create(&daemon, &wish(json!({"name": name})))).collect();
    // Without a name it is found by none.
    let nameless = daemon.publish(&spanned(json!({})));
    let found = |name: &str| ids(&listed(&daemon, json!({"name": name, "sort_order": "asc"})));
    assert_eq!(found("NOVEMBER"), [made[0].clone(), made[2].clone()]);
    assert_eq!(found("rÜCKG"), [made[0].clone()]);
    assert_eq!(found("über n"), [made[1].clone()]);
    assert_eq!(found("A+B&C %"), [made[2].clone()]);
    assert_eq!(found("éTÉ À ōsaka"), [made[3].clone()]);
    assert_eq!(found("december"), Vec::<String>::new());
    // An empty name is none.
    let all: Vec<String> = made.into_iter().chain([nameless]).collect();
    assert_eq!(found(""), all);
    assert!(ids(&listed(&daemon, json!({}))).iter().eq(all.iter().rev()), "the newest first");
    let none = listed(&daemon, json!({"name": "december"}));
    assert_eq!((&none["total"], &none["pageCount"], &none["entities"]), (&json!(0), &json!(0), &json!([])));
}

#[test]
fn jobs_that_wait_are_queued_in_their_order() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("data");
    let daemon = Daemon::on(&dir, &[]);
    daemon.import(&super::lines());
    assert_eq!(daemon.stop(), Some(0));
    // Held in planning, and before it, twice: a daemon passes through both at once.
    let store = Store::open(&dir, Durability::Normal).unwrap();
    let all = |now| store.publish_range(NewJob::new(Filter::all(), "test"), 0, now).unwrap().job.id;
    let planning = all(1);
    drop(store.begin_planning(1).unwrap());
    let jobs = [planning, all(2), all(3)];
    for job in jobs {
        store.pause_job(job).unwrap();
    }
    store.close();
    drop(store);
    // Without room on its disk a daemon plans nothing.
    let daemon = Daemon::on(&dir, &["--min-free-bytes", "4611686018427387904"]);
    await_some("a daemon that holds", || (daemon.ask_openly("GET", "/readyz").send().status == 503).then_some(()));
    let jobs = jobs.map(|job| job.to_string());
    for (job, (state, order)) in
        jobs.iter().zip([("planning", json!(null)), ("queued", json!(2)), ("queued", json!(3))])
    {
        assert_eq!(show(&daemon, job)["jobStatus"], "InProgress", "paused");
        control(&daemon, job, "resume");
        assert_eq!(daemon.see(&format!("/api/v1/jobs/{job}"))["state"], state);
        let shown = show(&daemon, job);
        assert_eq!((&shown["jobStatus"], &shown["queueOrder"]), (&json!("Queued"), &order));
        assert_eq!((&shown["totalInteractionsCount"], &shown["failedInteractionsCount"]), (&json!(null), &json!(0)));
    }
    assert_eq!(listed(&daemon, json!({"page_size": 1}))["queueTotal"], 3);
    // There is no list of its items yet, and no room for another job.
    refused(&daemon, json!({"do": "interactions", "id": jobs[1]}), 409, "conflict", &["not whole yet"]);
    refused(&daemon, json!({"do": "create", "body": wish(json!({}))}), 507, "storage.full", &["make room"]);
    let full = daemon.ask("POST", JOBS).json(&wish(json!({}))).send();
    assert_eq!((full.status, full.header("Retry-After")), (507, Some("2")));
    // One that waits can be deleted, and the next moves up.
    assert_eq!(raw(&daemon, json!({"do": "delete", "id": jobs[1]}), 204), json!(null));
    assert_eq!(show(&daemon, &jobs[2])["queueOrder"], 2);
    assert_eq!(listed(&daemon, json!({}))["queueTotal"], 2);
}

#[test]
fn jobs_under_way_are_in_progress_and_cancelled_ones_failed() {
    let daemon = stocked();
    let job = daemon.publish(&spanned(json!({"max_per_second": SLOW})));
    let state = |wanted: &str| drop(daemon.await_job(&job, |job| job["state"] == wanted));
    let status = || show(&daemon, &job)["jobStatus"].clone();
    state("running");
    assert_eq!(status(), "InProgress");
    control(&daemon, &job, "pause");
    state("paused");
    assert_eq!(status(), "InProgress");
    control(&daemon, &job, "cancel");
    let native = daemon.ended(&job);
    let shown = show(&daemon, &job);
    assert_eq!((&native["state"], &shown["jobStatus"]), (&json!("cancelled"), &json!("Failed")));
    let count = |name: &str| native["counts"][name].as_i64().unwrap();
    assert!(count("cancelled") >= 2, "{native}");
    assert_eq!(shown["processedInteractionsCount"], count("done"));
    assert_eq!(shown["failedInteractionsCount"], count("failed") + count("cancelled"));
    assert_eq!(shown["totalInteractionsCount"], 4);
    // An item without a topic has failed; the job is completed all the same.
    let job = show(&daemon, native_ended(&daemon, spanned(json!({}))).as_str());
    assert_eq!(
        [&job["jobStatus"], &job["processedInteractionsCount"], &job["failedInteractionsCount"]],
        [&json!("Completed"), &json!(3), &json!(1)]
    );
}

fn native_ended(daemon: &Daemon, wish: Value) -> String {
    let job = daemon.publish(&wish);
    daemon.ended(&job);
    job
}

#[test]
fn the_link_to_the_interactions_works_without_a_header_and_for_them_alone() {
    let daemon = with_calls();
    let [job, other] = [(); 2].map(|()| {
        let job = create(&daemon, &wish(json!({})));
        daemon.ended(&job);
        job
    });
    // Whoever may read may have it.
    let command = json!({"do": "interactions", "id": job, "token": daemon.token("token.read")});
    let answer = raw(&daemon, command, 200);
    assert_eq!(answer.as_object().unwrap().len(), 1, "{answer}");
    let url = answer["url"].as_str().unwrap();
    let fetched = || run(&daemon, json!({"do": "fetch", "url": url}))["ok"].clone();
    let first = fetched();
    assert_eq!((&first["status"], &first["content_type"]), (&json!(200), &json!("text/csv; charset=utf-8")), "{first}");
    let lines: Vec<&str> = first["text"].as_str().unwrap().lines().collect();
    assert_eq!(lines[0], "kind,id,version,state,outcome,reason,attempts,finished_at");
    let beginnings = [
        "conversation,v-1,,done,changed,,1,",
        "conversation,v-2,,failed,,no_topics_detected,1,",
        "conversation,v-3,,done,changed,,1,",
    ];
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[1..].iter().zip(beginnings).all(|(line, beginning)| line.starts_with(beginning)), "{lines:?}");
    assert_eq!(fetched(), first, "as often as one likes");

    let target = url.strip_prefix(&format!("http://{}", daemon.address)).expect("an absolute address");
    let (path, ticket) = target.split_once("?ticket=").unwrap();
    let openly = |method: &str, target: &str| status_of(&daemon.ask_openly(method, target));
    assert_eq!(path, format!("/api/v1/jobs/{job}/items.csv"));
    assert_eq!((openly("HEAD", target), openly("GET", target)), (200, 200));
    // A token that is good for nothing here does not spoil it.
    assert_eq!(daemon.ask_openly("GET", target).header("Authorization", "Bearer rl_old").send().status, 200);
    for wrong in [
        path.to_owned(),
        format!("{path}?ticket="),
        format!("{path}?ticket={}", &ticket[1..]),
        format!("{path}?ticket={ticket}0"),
        format!("{path}?ticket=x&ticket={ticket}"),
        format!("/api/v1/jobs/{other}/items.csv?ticket={ticket}"),
        format!("/api/v1/jobs/{job}/items.ndjson?ticket={ticket}"),
        format!("/api/v1/jobs/{job}/labels.csv?ticket={ticket}"),
        format!("/api/v1/jobs/{job}?ticket={ticket}"),
        format!("{JOBS}/{job}?ticket={ticket}"),
        format!("/?ticket={ticket}"),
    ] {
        assert_eq!((openly("GET", &wrong), openly("HEAD", &wrong)), (401, 401), "{wrong}");
    }
    daemon.ask_openly("GET", &format!("{target}0")).send().expect_problem(401, "unauthorized", &["this link"]);
    assert_eq!(openly("DELETE", &format!("/api/v1/jobs/{job}?ticket={ticket}")), 401);
    assert_eq!(daemon.ask_openly("GET", target).header("Host", "evil.example").send().status, 403);
    // With a token it is no matter what becomes of the link.
    assert_eq!(daemon.get(&format!("{path}?ticket=old")).status, 200);
    assert!(!daemon.log().contains(ticket), "the log holds no ticket");
    // It ends with the token of whoever asked for it.
    daemon.ask("POST", "/api/v1/tokens/token.read/rotate").send().expect(200);
    assert_eq!(openly("GET", target), 401);
}

/// The status alone: what comes of a HEAD is a head that promises a body.
fn status_of(ask: &Ask) -> u16 {
    let mut line = String::new();
    BufReader::new(ask.begin()).read_line(&mut line).unwrap();
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn behind_a_proxy_the_link_has_the_public_address() {
    let daemon = stocked_with(&["--public-url", "https://labels.example"]);
    let job = native_ended(&daemon, spanned(json!({})));
    let url = raw(&daemon, json!({"do": "interactions", "id": job}), 200)["url"].clone();
    assert!(url.as_str().unwrap().starts_with("https://labels.example/api/v1/jobs/"), "{url}");
}

#[test]
fn a_job_that_runs_is_cancelled_and_deleted() {
    let daemon = stocked();
    // Each long enough for some to be in flight, whenever it is that the job is called off.
    let text = "we talked about the parcel and the money for a long time ".repeat(600);
    let lines: Vec<String> = (0..400).map(|n| conversation(&format!("m-{n}"), &[&text])).collect();
    daemon.import(&lines);
    for _ in 0..5 {
        let job = create(&daemon, &wish(json!({"mediaTypes": ["Chat"]})));
        daemon.await_job(&job, |job| job["counts"]["running"].as_i64().unwrap() > 0);
        assert_eq!(raw(&daemon, json!({"do": "delete", "id": job}), 204), json!(null));
        for call in ["show", "delete", "interactions"] {
            refused(&daemon, json!({"do": call, "id": job}), 404, "not.found", &[&job]);
        }
        daemon.get(&format!("/api/v1/jobs/{job}")).expect_problem(404, "not_found", &[&job]);
    }
    // Throttled, paused and ended ones as well, wherever they were made.
    let slow = spanned(json!({"max_per_second": SLOW}));
    let (throttled, paused) = (daemon.publish(&slow), daemon.publish(&slow));
    control(&daemon, &paused, "pause");
    let ended = native_ended(&daemon, spanned(json!({"types": ["note"]})));
    for job in [throttled, paused, ended] {
        raw(&daemon, json!({"do": "delete", "id": job}), 204);
    }
    assert_eq!(listed(&daemon, json!({}))["total"], 0);
}

#[test]
fn a_job_that_is_being_taken_back_is_not_deleted() {
    let daemon = stocked();
    let job = native_ended(&daemon, spanned(json!({})));
    let wish = json!({"max_per_second": SLOW});
    let revert = daemon.ask("POST", &format!("/api/v1/jobs/{job}/revert")).json(&wish).send().expect(201);
    let revert = revert["id"].as_str().unwrap();
    daemon.await_job(revert, |job| job["state"] == "running");
    refused(&daemon, json!({"do": "delete", "id": job}), 409, "conflict", &[&job, revert]);
    assert_eq!(show(&daemon, revert)["jobStatus"], "InProgress", "nothing happened to the other");
    raw(&daemon, json!({"do": "delete", "id": revert}), 204);
    raw(&daemon, json!({"do": "delete", "id": job}), 204);
}

#[test]
fn a_draft_is_not_there() {
    let daemon = stocked();
    let draft = daemon.publish(&spanned(json!({"publish": false})));
    for call in ["show", "delete", "interactions"] {
        refused(&daemon, json!({"do": call, "id": draft}), 404, "not.found", &[&draft]);
    }
    assert_eq!(listed(&daemon, json!({}))["entities"], json!([]));
    assert_eq!(daemon.see(&format!("/api/v1/jobs/{draft}"))["state"], JobState::Draft.as_str());
    control(&daemon, &draft, "publish");
    assert_eq!(ids(&listed(&daemon, json!({}))), [draft]);
}

#[test]
fn a_repeated_request_makes_one_job() {
    let daemon = stocked();
    let ask = daemon.ask("POST", JOBS).header("Idempotency-Key", "k-1");
    let first = ask.clone().json(&wish(json!({}))).send().expect(201);
    let again = ask.clone().json(&wish(json!({}))).send().expect(200);
    assert_eq!(first["id"], again["id"]);
    let other = ask.json(&wish(json!({"name": "December"}))).send();
    assert_eq!(other.header("Content-Type"), Some("application/json"));
    assert_error(&other.expect(409), 409, "conflict", &["Idempotency-Key"]);
    assert_eq!(listed(&daemon, json!({}))["total"], 1);
}
