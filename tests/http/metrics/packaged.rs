//! What is packaged for Prometheus and Grafana: it names only what the daemon tells, and does what it says.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::daemon::Daemon;
use super::{Scrape, busy, promtool};

const ALERTS: &str = include_str!("../../../packaging/prometheus/relabeld.rules.yml");
const DASHBOARD: &str = include_str!("../../../packaging/grafana/relabeld.json");
const EXAMPLE: &str = include_str!("../../../packaging/prometheus/scrape.example.yml");
const TESTS_OF_ALERTS: &str = include_str!("alerts.yml");

fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[track_caller]
fn accepted(arguments: &[&str]) -> String {
    let output = promtool(arguments, "");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}

/// The selectors of a text: the metric's name, and what is asked of its labels, `{…}` left out.
fn selectors(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("relabeld_") {
        // Part of another word.
        if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let name: String = text[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let rest = &text[at + name.len()..];
        let labels = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(labels, _)| labels);
        found.push((name, labels.replace("\\\"", "\"")));
    }
    found
}

/// Every selector finds a series: its metric is there, with each value that is asked for by name.
#[track_caller]
fn assert_told(scrape: &Scrape, what: &str, text: &str, more_than: usize) {
    let selectors = selectors(text);
    assert!(selectors.len() > more_than, "{what}: {}", selectors.len());
    for (name, labels) in selectors {
        let family = scrape.family(&name);
        assert!(family.is_some(), "{what} names {name}, which the daemon does not tell");
        for matcher in labels.split(", ").filter(|matcher| !matcher.is_empty()) {
            let (label, asked) = matcher.split_once('=').unwrap();
            let (label, asked) = (label.trim_end_matches('!'), asked.trim_start_matches('~').trim_matches('"'));
            // What Prometheus adds, and what is told once it was answered.
            if ["job", "instance", "code"].contains(&label) {
                continue;
            }
            for value in asked.split('|') {
                let sought = format!("{label}=\"{value}\"");
                let told = scrape.series.keys().any(|series| series.starts_with(&name) && series.contains(&sought));
                assert!(told, "{what} asks for {name}{{{sought}}}, which the daemon does not tell");
            }
        }
    }
}

/// The label sets that an expression groups by.
fn groups(text: &str) -> BTreeSet<String> {
    let by = text.split("by (").skip(1).filter_map(|rest| rest.split_once(')'));
    by.flat_map(|(labels, _)| labels.split(", ").map(str::to_owned)).collect()
}

fn panels(dashboard: &Value) -> Vec<&Value> {
    dashboard["panels"].as_array().unwrap().iter().collect()
}

fn expressions(dashboard: &Value) -> Vec<String> {
    let targets = panels(dashboard).into_iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let annotations = dashboard["annotations"]["list"].as_array().unwrap();
    targets.chain(annotations).map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn dashboard_and_alerts_name_only_what_is_told() {
    let scratch = tempfile::tempdir().unwrap();
    let daemon = busy(&scratch);
    let scrape = Scrape::of(&daemon);
    assert_told(&scrape, "the alerts", ALERTS, 15);
    assert_told(&scrape, "their tests", TESTS_OF_ALERTS, 30);
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let expressions = expressions(&dashboard).join("\n");
    assert_told(&scrape, "the dashboard", &expressions, 50);
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        if let Some(query) = variable["query"]["query"].as_str() {
            assert_told(&scrape, "a variable of the dashboard", query, 0);
        }
    }
    for label in groups(&(ALERTS.to_owned() + &expressions)) {
        let told = scrape.text.contains(&format!("{label}=\""));
        assert!(told || ["job", "instance"].contains(&label.as_str()), "no series has a label {label}");
    }
    // And nothing is told that nobody looks at.
    let looked_at = ALERTS.to_owned() + &expressions;
    for family in scrape.kinds.keys() {
        assert!(looked_at.contains(family.as_str()), "neither dashboard nor alerts look at {family}");
    }
}

#[test]
fn the_dashboard_is_one_that_grafana_imports() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    // What Grafana 10 writes; it migrates older ones and refuses newer ones.
    assert_eq!(dashboard["schemaVersion"], 39);
    assert_eq!(dashboard["id"], Value::Null, "an id belongs to one Grafana");
    let mut ids = BTreeSet::new();
    let mut rows = Vec::new();
    let mut taken = BTreeSet::new();
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_i64().unwrap()), "{title}: its id is another's");
        let place = |name: &str| panel["gridPos"][name].as_i64().unwrap();
        assert!(place("x") + place("w") <= 24, "{title}: beyond the edge");
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{title}: on top of another");
            }
        }
        if panel["type"] == "row" {
            rows.push(title);
            continue;
        }
        assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{title}: no description");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title}: no unit");
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
    assert_eq!(rows, ["Queue", "Throughput", "Latency", "Storage", "HTTP", "Process"]);
    let names: Vec<&str> =
        dashboard["templating"]["list"].as_array().unwrap().iter().map(|v| v["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["datasource", "job", "instance"]);
    assert_eq!(dashboard["templating"]["list"][0]["type"], "datasource");
}

#[test]
fn promtool_reads_every_expression_of_the_dashboard() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut rules = "groups:\n- name: dashboard\n  rules:\n".to_owned();
    for (no, expression) in expressions(&dashboard).iter().enumerate() {
        let expression = expression.replace("$__rate_interval", "1m");
        rules += &format!("  - record: expression_{no}\n    expr: {}\n", Value::from(expression));
    }
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("rules.yml");
    fs::write(&file, rules).unwrap();
    accepted(&["check", "rules", file.to_str().unwrap()]);
}

#[test]
fn promtool_accepts_the_alerts_and_their_tests() {
    accepted(&["check", "rules", "--lint-fatal", at("packaging/prometheus/relabeld.rules.yml").to_str().unwrap()]);
    accepted(&["test", "rules", at("tests/http/metrics/alerts.yml").to_str().unwrap()]);
    let mut alerts = 0;
    for name in ALERTS.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(TESTS_OF_ALERTS.contains(name), "{name} is in no test");
        alerts += 1;
    }
    assert!(alerts >= 10);
    let count = |text: &str| ALERTS.matches(text).count();
    assert_eq!((count("summary:"), count("description:"), count("severity:")), (alerts, alerts, alerts));
}

/// The example as it stands, with the files of a daemon that runs: promtool looks whether they are there.
#[test]
fn promtool_accepts_the_example() {
    let daemon = Daemon::start();
    let rules = at("packaging/prometheus/relabeld.rules.yml");
    let example = EXAMPLE
        .replace("/etc/prometheus/relabeld.token", daemon.dir().join("token.metrics").to_str().unwrap())
        .replace("/etc/prometheus/rules/relabeld.rules.yml", rules.to_str().unwrap());
    let file = daemon.dir().with_extension("yml");
    fs::write(&file, &example).unwrap();
    let said = accepted(&["check", "config", file.to_str().unwrap()]);
    assert!(said.contains("14 rules found"), "{said}");
    fs::write(&file, example.replace("token.metrics", "token.none")).unwrap();
    assert!(!promtool(&["check", "config", file.to_str().unwrap()], "").status.success(), "it looks for the token");
}
