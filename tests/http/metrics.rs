//! Metrics: what Prometheus is told, whether it agrees with the jobs themselves, and what is packaged to go with it.

mod packaged;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::daemon::{Daemon, await_some};
use super::openapi::{DOCUMENT, jobs_that_ended, jobs_that_failed};
use super::{SPAN, conversation, rules, spanned, stocked};

/// A scrape: the kind of each family, and the value of each series.
#[derive(Debug, Clone, Default)]
struct Scrape {
    text: String,
    kinds: BTreeMap<String, String>,
    series: BTreeMap<String, f64>,
}

impl Scrape {
    #[track_caller]
    fn of(daemon: &Daemon) -> Scrape {
        let bearer = format!("Bearer {}", daemon.token("token.metrics"));
        let answer = daemon.ask_openly("GET", "/metrics").header("Authorization", &bearer).send();
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        let mut scrape = Scrape { text: answer.text(), ..Scrape::default() };
        for line in scrape.text.lines() {
            if let Some(typed) = line.strip_prefix("# TYPE ") {
                let (name, kind) = typed.split_once(' ').unwrap();
                assert!(scrape.kinds.insert(name.into(), kind.into()).is_none(), "{name} is there twice");
            } else if !line.starts_with('#') {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let before = scrape.series.insert(series.into(), value.parse().unwrap());
                assert!(before.is_none(), "{series} is there twice");
            }
        }
        scrape
    }

    /// Of one series, by its name and its labels as they are written.
    #[track_caller]
    fn get(&self, series: &str) -> f64 {
        *self.series.get(series).unwrap_or_else(|| panic!("no {series} in\n{}", self.text))
    }

    /// All series of a metric whose labels hold each of these.
    fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let of =
            |series: &str| series.split('{').next() == Some(name) && labels.iter().all(|label| series.contains(label));
        self.series.iter().filter(|(series, _)| of(series)).map(|(_, value)| value).sum()
    }

    /// The family of a series.
    fn family<'a>(&self, name: &'a str) -> Option<&'a str> {
        if self.kinds.contains_key(name) {
            return Some(name);
        }
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        of_histogram.filter(|name| self.kinds.get(*name).is_some_and(|kind| kind == "histogram"))
    }

    /// What may only grow while the daemon runs.
    fn growing(&self) -> BTreeMap<&str, f64> {
        let grows = |series: &str| {
            let family = self.family(series.split('{').next().unwrap()).unwrap();
            self.kinds[family] != "gauge"
        };
        self.series
            .iter()
            .filter(|(series, _)| grows(series))
            .map(|(series, value)| (series.as_str(), *value))
            .collect()
    }
}

/// Runs promtool, with this on its stdin.
fn promtool(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new("promtool");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool is not installed: run tests/run, which does that first");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// A daemon that has done something of everything: jobs that ended in every way, a retry of errors, a single item, a
/// dry run, a revert, imports good and bad, requests that were refused.
fn busy(scratch: &tempfile::TempDir) -> Daemon {
    let dir = scratch.path().join("data");
    jobs_that_ended(&dir);
    jobs_that_failed(&dir);
    let daemon = Daemon::on(&dir, &[]);
    daemon.import(&[conversation("fs-3", &["my money back"]), "no JSON".into()]);
    let to = |job: &str, verb: &str| daemon.ask("POST", &format!("/api/v1/jobs/{job}/{verb}")).send();
    daemon.ended(to("5", "retry").expect(201)["id"].as_str().unwrap());
    daemon.ended(&daemon.publish(&json!({"kind": "single", "ids": [{"kind": "conversation", "id": "fs-3"}]})));
    daemon.ended(&daemon.publish(&spanned(json!({"dry_run": true}))));
    let slow = daemon.publish(&spanned(json!({"max_per_second": 0.001})));
    daemon.await_job(&slow, |job| job["state"] == "running" && !job["counts"]["total"].is_null());
    to(&slow, "cancel").expect(200);
    daemon.ended(&slow);
    daemon.publish(&spanned(json!({"publish": false})));
    daemon.get("/nowhere").expect_problem(404, "not_found", &[]);
    let mut stranger = TcpStream::connect(daemon.address).unwrap();
    stranger.write_all(b"no HTTP\r\n\r\n").unwrap();
    assert!(stranger.read(&mut [0; 64]).unwrap() > 0);
    daemon
}

#[test]
fn promtool_accepts_the_metrics_without_a_word() {
    let scratch = tempfile::tempdir().unwrap();
    let daemon = busy(&scratch);
    let scrape = Scrape::of(&daemon);
    let output = promtool(&["check", "metrics"], &scrape.text);
    let said = [output.stdout, output.stderr].concat();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&said).as_ref()), (Some(0), ""), "{}", scrape.text);
    for series in scrape.series.keys() {
        assert!(series.starts_with("relabeld_"), "{series}");
    }
    // And it can find fault.
    let output = promtool(&["check", "metrics"], "# TYPE relabeld_items_total gauge\nrelabeld_items_total 1\n");
    assert_eq!(output.status.code(), Some(3), "{output:?}");
}

#[test]
fn the_counters_agree_with_the_jobs() {
    let daemon = stocked();
    let ended = |job: &Value| daemon.ended(&daemon.publish(job));
    let bulk = [spanned(json!({})), spanned(json!({"dry_run": true})), spanned(json!({"stale_only": true}))];
    let bulk: Vec<Value> = bulk.iter().map(ended).collect();
    let reverted = daemon.ask("POST", "/api/v1/jobs/1/revert").send().expect(201);
    let reverted = daemon.ended(reverted["id"].as_str().unwrap());
    let live = ended(&json!({"kind": "single", "ids": [{"kind": "note", "id": "n-1", "version": 3}]}));
    let slow = daemon.publish(&spanned(json!({"max_per_second": 0.001})));
    daemon.await_job(&slow, |job| !job["counts"]["total"].is_null());
    daemon.ask("POST", &format!("/api/v1/jobs/{slow}/cancel")).send().expect(200);
    let cancelled = daemon.ended(&slow);
    assert!(cancelled["counts"]["cancelled"].as_i64().unwrap() >= 3, "{cancelled}");
    let bulk: Vec<&Value> = bulk.iter().chain([&reverted, &cancelled]).collect();

    // What was done is counted right after it was committed. Each item that was committed was measured.
    let scrape = await_some("the measure of each item", || {
        let scrape = Scrape::of(&daemon);
        let finished = |states: &[&str]| scrape.sum("relabeld_tasks_finished_total", states);
        (scrape.get("relabeld_batch_items_sum") == finished(&[]) - finished(&["cancelled"])).then_some(scrape)
    });
    for (lane, jobs) in [("bulk", &bulk[..]), ("live", &[&live])] {
        let lane = format!("lane=\"{lane}\"");
        for state in ["done", "failed", "quarantined", "cancelled"] {
            let of_jobs: i64 = jobs.iter().map(|job| job["counts"][state].as_i64().unwrap()).sum();
            let told = scrape.sum("relabeld_tasks_finished_total", &[&lane, &format!("state=\"{state}\"")]);
            assert_eq!(told, of_jobs as f64, "{lane} {state}");
        }
        for (of_job, label) in [("outcomes", "outcome"), ("reasons", "reason")] {
            let mut words: BTreeMap<&str, i64> = BTreeMap::new();
            for (word, n) in jobs.iter().flat_map(|job| job[of_job].as_object().unwrap()) {
                *words.entry(word).or_default() += n.as_i64().unwrap();
            }
            assert!(!words.is_empty() || label == "reason", "{lane} {of_job}");
            for (word, n) in words {
                let told = scrape.sum("relabeld_tasks_finished_total", &[&lane, &format!("{label}=\"{word}\"")]);
                assert_eq!(told, n as f64, "{lane} {word}");
            }
        }
    }
    // What a dry run would have written is not counted.
    let wrote = bulk.iter().copied().chain([&live]).filter(|job| job["dry_run"] == false);
    let wrote: Vec<&Value> = wrote.collect();
    for change in ["added", "removed", "updated"] {
        let of_jobs: i64 = wrote.iter().map(|job| job["labels"][change].as_i64().unwrap()).sum();
        let told = scrape.get(&format!("relabeld_label_changes_total{{change=\"{change}\"}}"));
        assert_eq!(told, of_jobs as f64, "{change}");
    }
    assert!(scrape.get("relabeld_label_changes_total{change=\"removed\"}") > 0.0);
    assert_eq!(scrape.get("relabeld_jobs_finished_total{state=\"completed\"}"), 5.0);
    assert_eq!(scrape.get("relabeld_jobs_finished_total{state=\"cancelled\"}"), 1.0);
    assert_eq!(scrape.sum("relabeld_jobs", &[]), 0.0);
    assert_eq!(scrape.sum("relabeld_queue_tasks", &[]), 0.0);
    assert!(scrape.get("relabeld_analysis_seconds_count") >= 4.0);
    assert_eq!(scrape.get("relabeld_import_lines_total{result=\"inserted\"}"), 4.0);
    assert_eq!(scrape.get("relabeld_items"), 4.0);
    let counts = daemon.see(&format!("/api/v1/topics?{SPAN}"));
    let billing = counts["programs"].as_array().unwrap().iter().find(|program| program["id"] == "billing").unwrap();
    assert_eq!(json!(scrape.get("relabeld_program_items{program=\"billing\"}") as i64), billing["items"], "{counts}");
    let not_fresh = scrape.get("relabeld_program_items_not_fresh{program=\"billing\"}");
    assert_eq!(json!(not_fresh as i64), billing["not_fresh"], "{counts}");
}

#[test]
fn the_queue_is_told_by_lane_and_state() {
    let daemon = stocked();
    let slow = || {
        let job = daemon.publish(&spanned(json!({"max_per_second": 0.001})));
        daemon.await_job(&job, |job| {
            job["state"] == "running" && job["counts"]["done"].as_i64() == Some(1) || job["counts"]["failed"] == 1
        })
    };
    let job = slow();
    let published = relabeld::when::parse(job["published_at"].as_str().unwrap(), 0).unwrap();
    let before = (relabeld::when::now() - published) as f64 / 1000.0;
    let scrape = Scrape::of(&daemon);
    let after = (relabeld::when::now() - published) as f64 / 1000.0;
    let age = scrape.get("relabeld_queue_oldest_pending_seconds{lane=\"bulk\"}");
    assert!(age >= before && age <= after, "{before} {age} {after}");
    assert_eq!(scrape.get("relabeld_queue_oldest_pending_seconds{lane=\"live\"}"), 0.0);
    assert_eq!(scrape.get("relabeld_queue_tasks{lane=\"bulk\",state=\"pending\"}"), 3.0);
    assert_eq!(scrape.get("relabeld_jobs{state=\"running\"}"), 1.0);
    // What is held does not age, and is no work that the daemon is late with.
    daemon.ask("POST", &format!("/api/v1/jobs/{}/pause", job["id"].as_str().unwrap())).send().expect(200);
    let scrape = Scrape::of(&daemon);
    assert_eq!(scrape.get("relabeld_queue_oldest_pending_seconds{lane=\"bulk\"}"), 0.0);
    assert_eq!(scrape.get("relabeld_queue_tasks{lane=\"bulk\",state=\"pending\"}"), 0.0);
    assert_eq!(scrape.get("relabeld_queue_tasks{lane=\"bulk\",state=\"paused\"}"), 3.0);
    assert_eq!(scrape.get("relabeld_jobs{state=\"paused\"}"), 1.0);
}

#[test]
fn no_counter_ever_goes_down() {
    let daemon = Daemon::start();
    daemon.apply(&rules());
    let mut last = Scrape::of(&daemon);
    let mut look = |daemon: &Daemon| {
        let now = Scrape::of(daemon);
        let (before, after) = (last.growing(), now.growing());
        for (series, value) in before {
            let now = after.get(series).unwrap_or_else(|| panic!("{series} is gone"));
            assert!(*now >= value, "{series}: {value}, then {now}");
        }
        last = now;
    };
    let lines: Vec<String> = (0..400).map(|n| conversation(&format!("c{n}"), &["money back", "no"])).collect();
    for round in 0..3 {
        daemon.import(&lines);
        look(&daemon);
        let job = daemon.publish(&spanned(json!({"name": format!("{round}")})));
        await_some("the job's end", || {
            look(&daemon);
            (!daemon.see(&format!("/api/v1/jobs/{job}"))["finished_at"].is_null()).then_some(())
        });
        let slow = daemon.publish(&spanned(json!({"max_per_second": 50})));
        daemon.await_job(&slow, |job| job["counts"]["total"] == 400);
        daemon.ask("POST", &format!("/api/v1/jobs/{slow}/cancel")).send().expect(200);
        daemon.ended(&slow);
        look(&daemon);
        // What a job counted stays counted when the job itself is gone.
        assert_eq!(daemon.ask("DELETE", &format!("/api/v1/jobs/{job}")).send().status, 204);
        look(&daemon);
        assert_eq!(daemon.ask("DELETE", "/api/v1/items/conversation/c1").send().status, 204);
        daemon.ask("POST", "/api/v1/jobs").body("{").send().expect_problem(400, "bad_request", &[]);
        look(&daemon);
    }
    let scrape = Scrape::of(&daemon);
    let constant = scrape.get("relabeld_process_start_time_seconds");
    assert_eq!(constant, last.get("relabeld_process_start_time_seconds"), "or every scrape is a restart");
}

#[test]
fn requests_are_counted_by_route_and_never_by_path() {
    let scratch = tempfile::tempdir().unwrap();
    let daemon = busy(&scratch);
    daemon.get("/api/v1/jobs/12345678").expect_problem(404, "not_found", &[]);
    daemon.ask_openly("GET", "/api/v1/jobs/12345678").send().expect_problem(401, "unauthorized", &[]);
    daemon.ask("PATCH", "/strange/12345678").send().expect_problem(404, "not_found", &[]);
    // An answer is counted once it is on its way.
    let scrape = await_some("the last request's count", || {
        let scrape = Scrape::of(&daemon);
        (scrape.sum("relabeld_http_requests_total", &["route=\"none\"", "code=\"404\""]) == 2.0).then_some(scrape)
    });
    let jobs = |code: &str| {
        scrape.get(&format!("relabeld_http_requests_total{{method=\"GET\",route=\"/api/v1/jobs/*\",code=\"{code}\"}}"))
    };
    assert_eq!((jobs("404"), jobs("401")), (1.0, 1.0));
    let count = "relabeld_http_request_seconds_count{method=\"GET\",route=\"/api/v1/jobs/*\"}";
    assert_eq!(scrape.get(count), jobs("200") + jobs("404") + jobs("401"));
    // The gate's own.
    assert_eq!(scrape.get("relabeld_http_requests_total{method=\"none\",route=\"none\",code=\"400\"}"), 1.0);
    for word in ["12345678", "strange", "nowhere", "PATCH", "fs-3"] {
        assert!(!scrape.text.contains(word), "{word}");
    }
    let open = TcpStream::connect(daemon.address).unwrap();
    await_some("the open connection", || (Scrape::of(&daemon).get("relabeld_http_connections") >= 1.0).then_some(()));
    drop(open);
}

#[test]
fn the_token_for_metrics_opens_them_and_nothing_else() {
    let daemon = Daemon::start();
    let with = |token: &str, method: &str, path: &str| {
        let bearer = format!("Bearer {}", daemon.token(token));
        daemon.ask_openly(method, path).header("Authorization", &bearer).send()
    };
    for token in ["token", "token.read", "token.metrics"] {
        assert_eq!(with(token, "GET", "/metrics").status, 200, "{token}");
    }
    assert_eq!(with("token.metrics", "HEAD", "/metrics").status, 200);
    let stranger = daemon.ask_openly("GET", "/metrics").send();
    stranger.expect_problem(401, "unauthorized", &[]);
    assert_eq!(stranger.header("WWW-Authenticate"), Some("Bearer"));
    with("token.metrics", "GET", "/metrics?all").expect_problem(422, "invalid_request", &["all"]);
    with("token.metrics", "POST", "/metrics").expect_problem(405, "bad_request", &["GET"]);
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let mut refused = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let path = path.replace(['{', '}'], "");
        for method in methods.as_object().unwrap().keys() {
            if !["/metrics", "/healthz", "/readyz"].contains(&path.as_str()) {
                with("token.metrics", &method.to_uppercase(), &path).expect_problem(403, "forbidden", &["token"]);
                refused.insert(path.clone());
            }
        }
    }
    assert!(refused.len() > 25, "{refused:?}");
    assert_eq!(with("token.metrics", "GET", "/").status, 403);
    let rotated = daemon.token("token.metrics");
    assert_eq!(daemon.ask("POST", "/api/v1/tokens/token.metrics/rotate").send().status, 200);
    let old = daemon.ask_openly("GET", "/metrics").header("Authorization", &format!("Bearer {rotated}")).send();
    old.expect_problem(401, "unauthorized", &[]);
    assert_eq!(with("token.metrics", "GET", "/metrics").status, 200);
}

#[test]
fn metrics_are_told_while_the_disk_is_full() {
    // More is to be kept free than any disk has.
    let daemon = Daemon::with(&["--min-free-bytes", "1000000000000000000"]);
    let scrape = await_some("the queue to be held", || {
        let scrape = Scrape::of(&daemon);
        (scrape.get("relabeld_held") == 1.0).then_some(scrape)
    });
    assert!(scrape.get("relabeld_disk_free_bytes") < scrape.get("relabeld_disk_min_free_bytes"));
    assert!(scrape.get("relabeld_database_bytes") > 0.0);
}

#[test]
fn metrics_are_told_while_the_writer_waits() {
    let daemon = stocked();
    let before = Scrape::of(&daemon);
    let mut other = rusqlite::Connection::open(daemon.dir().join("relabeld.db")).unwrap();
    let lock = other.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    // The writer stands before the lock that is held here.
    let mut waiting = daemon.ask("POST", "/api/v1/jobs").json(&spanned(json!({"publish": false}))).begin();
    await_some("the request", || (Scrape::of(&daemon).get("relabeld_http_connections") >= 1.0).then_some(()));
    let during = Scrape::of(&daemon);
    assert_eq!(during.get("relabeld_jobs{state=\"draft\"}"), 0.0);
    assert_eq!(during.get("relabeld_commit_seconds_count"), before.get("relabeld_commit_seconds_count"));
    lock.rollback().unwrap();
    let mut answer = Vec::new();
    waiting.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 201 "), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(Scrape::of(&daemon).get("relabeld_jobs{state=\"draft\"}"), 1.0);
}
