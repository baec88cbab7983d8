//! The real binary with a labeller that fails, panics, aborts, hangs or dawdles where an item asks for it
//! (src/labeller/faults.rs): the poison drill (R12 of tests.md), and what contract.md 5 promises of failures and steering.
#![cfg(feature = "faults")]

mod failures;
mod hang;
mod poison;
#[path = "../common/process.rs"]
mod process;
mod steering;

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitStatus;

use serde_json::{Value, json};

use process::{Caller, Process, check, until_some};

/// More deaths than any drill asks for.
const TOO_MANY: usize = 20;

/// A daemon that is started again whenever it dies, as systemd would.
struct Drill {
    flags: &'static [&'static str],
    process: Process,
    caller: Caller,
    /// How the daemons before this one ended, and what they logged.
    deaths: Vec<ExitStatus>,
    logs: String,
    // The last to go: the process writes there.
    scratch: tempfile::TempDir,
}

impl Drill {
    fn new() -> Drill {
        Drill::with(&[])
    }

    fn with(flags: &'static [&'static str]) -> Drill {
        let scratch = tempfile::tempdir().unwrap();
        let process = Process::start_with(scratch.path(), flags);
        let caller = process.ready();
        let rules = json!({"topics": [
            {"id": "refund", "programs": ["billing"], "phrases": ["money back"]},
            {"id": "late", "programs": ["billing"], "phrases": ["parcel is late"]},
        ]});
        caller.call("PUT", "/api/v1/catalogue", &rules.to_string());
        Drill { flags, process, caller, deaths: Vec::new(), logs: String::new(), scratch }
    }

    fn stock(&self, items: impl IntoIterator<Item = Value>) {
        let lines: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
        let counts = self.caller.call("POST", "/api/v1/items", &lines.join("\n")).json();
        assert_eq!(counts["inserted"], lines.len(), "{counts}");
    }

    /// Publishes a job over all conversations.
    fn publish(&mut self) -> String {
        self.publish_as(json!({"from": "2026-11-01", "until": "2026-12-01", "types": ["conversations"]}))
    }

    /// Publishes a job of one note, in the live lane.
    fn publish_note(&mut self, id: &str) -> String {
        self.publish_as(json!({"kind": "single", "ids": [{"kind": "note", "id": id}]}))
    }

    fn publish_as(&mut self, wish: Value) -> String {
        let newest = |caller: &Caller| {
            let answer = caller.try_call("GET", "/api/v1/jobs?limit=1", "").ok()?;
            Some(answer.ok().json()["jobs"][0]["id"].as_str().unwrap_or_default().to_owned())
        };
        let before = newest(&self.caller).unwrap();
        match self.caller.try_call("POST", "/api/v1/jobs", &wish.to_string()) {
            Ok(answer) => answer.ok().json()["id"].as_str().unwrap().to_owned(),
            // It died of the job before it could answer.
            Err(_) => self.await_some("the job", |caller| newest(caller).filter(|newest| *newest != before)),
        }
    }

    /// Looks until there is something to see, over all deaths.
    fn await_some<T>(&mut self, what: &str, mut look: impl FnMut(&Caller) -> Option<T>) -> T {
        until_some(what, || {
            if self.process.ended().is_some() {
                self.revive();
            }
            look(&self.caller)
        })
    }

    fn await_job(&mut self, job: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/api/v1/jobs/{job}");
        self.await_some(what, |caller| {
            let job = caller.try_call("GET", &path, "").ok()?.ok().json();
            adds_up(&job);
            Some(job).filter(|job| wanted(job))
        })
    }

    fn ended(&mut self, job: &str) -> Value {
        self.await_job(job, "the end of the job", |job| !job["finished_at"].is_null())
    }

    /// Waits until so many items are being analysed at once.
    fn await_analyses(&self, n: usize) {
        until_some("an analysis", || (self.process.in_analysis() == n).then_some(()));
    }

    fn kill(&mut self) {
        self.process.kill();
        self.process.wait();
        self.revive();
    }

    /// A poisoned item may end it again before it serves.
    fn revive(&mut self) {
        loop {
            self.deaths.push(self.process.wait());
            assert!(self.deaths.len() < TOO_MANY, "it dies for ever: {:?}", self.deaths);
            self.logs += &self.process.log();
            self.process = Process::start_with(self.scratch.path(), self.flags);
            if let Some(caller) = self.process.ready_or_ended() {
                self.caller = caller;
                return;
            }
        }
    }

    fn job(&self, job: &str) -> Value {
        self.caller.get(&format!("/api/v1/jobs/{job}"))
    }

    #[track_caller]
    fn steer(&self, job: &str, verb: &str) -> Value {
        self.caller.call("POST", &format!("/api/v1/jobs/{job}/{verb}"), "").json()
    }

    /// The items of a job by id, which agree with its counts.
    fn items(&self, job: &Value) -> BTreeMap<String, Value> {
        let rows = self.caller.rows(&format!("/api/v1/jobs/{}/items.ndjson", job["id"].as_str().unwrap()));
        for state in ["pending", "running", "done", "failed", "quarantined", "cancelled"] {
            let n = rows.iter().filter(|row| row["state"] == state).count();
            assert_eq!(job["counts"][state], n, "{state} items of {job}");
        }
        assert_eq!(job["counts"]["total"], rows.len(), "{job}");
        rows.into_iter().map(|row| (row["id"].as_str().unwrap().to_owned(), row)).collect()
    }

    /// The labels that stand, as (item, topic).
    fn labels(&self) -> BTreeSet<(String, String)> {
        let rows = self.caller.rows("/api/v1/labels.ndjson");
        let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
        rows.iter().map(|row| (text(row, "id"), text(row, "topic"))).collect()
    }

    /// All that it has ever logged.
    fn log(&self) -> String {
        self.logs.clone() + &self.process.log()
    }

    /// It ends well, and all that it leaves agrees with itself.
    fn close(self) {
        let data_dir = self.process.data_dir().to_owned();
        self.process.stop();
        check(&data_dir);
    }
}

#[track_caller]
fn adds_up(job: &Value) {
    let counts = &job["counts"];
    let parts = ["pending", "running", "done", "failed", "quarantined", "cancelled"];
    let sum: i64 = parts.iter().map(|part| counts[part].as_i64().unwrap()).sum();
    assert!(counts["total"].is_null() || counts["total"] == sum, "{job}");
}

fn counts(job: &Value, name: &str) -> i64 {
    job["counts"][name].as_i64().unwrap()
}

fn conversation(id: &str, texts: &[&str]) -> Value {
    let blocks: Vec<Value> = texts.iter().map(|text| json!({"speaker": "customer", "text": text})).collect();
    json!({"kind": "conversation", "id": id, "media": "chat", "started_at": "2026-11-10T10:00:00Z",
        "programs": ["billing"], "transcripts": [{"id": "t1", "blocks": blocks}]})
}

/// Asks for a fault first; read, it has the topic `refund`.
fn faulty(id: &str, fault: &str) -> Value {
    conversation(id, &["Good morning", fault, "I want my money back"])
}

fn faulty_note(id: &str, fault: &str) -> Value {
    json!({"kind": "note", "id": id, "version": 1, "created_at": "2026-11-11T09:00:00Z", "programs": ["billing"],
        "text": format!("{fault}\n\nShe wants her money back.")})
}

fn innocent(n: usize) -> Value {
    conversation(&format!("i-{n}"), &["Good morning", ["I want my money back", "The parcel is late"][n % 2]])
}

fn innocents(n: usize) -> Vec<Value> {
    (0..n).map(innocent).collect()
}

/// The labels that so many innocent items come to.
fn labels_of(innocents: usize) -> BTreeSet<(String, String)> {
    (0..innocents).map(|n| (format!("i-{n}"), ["refund", "late"][n % 2].to_owned())).collect()
}
