//! The daemon over HTTP: the real binary, asked as its users ask it, as mistakes ask it, and as those who mean harm do.

mod access;
mod again;
mod backup;
mod bad_input;
mod catalogue;
#[path = "../common/daemon.rs"]
mod daemon;
mod deletion;
mod drafts;
#[path = "../common/errors.rs"]
mod errors;
mod genesys;
mod guide;
mod hostile;
mod items;
mod jobs;
mod lists;
mod metrics;
mod openapi;
mod page;
mod repeated;
#[path = "../common/source.rs"]
#[allow(dead_code)]
mod source;
mod start;
mod steering;

use daemon::Daemon;
use serde_json::{Value, json};

/// Every item of [`lines`] is in it.
const SPAN: &str = "from=2026-11-01&until=2026-12-01";

fn spanned(mut more: Value) -> Value {
    more["from"] = json!("2026-11-01");
    more["until"] = json!("2026-12-01");
    more
}

fn conversation(id: &str, texts: &[&str]) -> String {
    let blocks: Vec<Value> = texts.iter().map(|text| json!({"speaker": "customer", "text": text})).collect();
    json!({"kind": "conversation", "id": id, "media": "chat", "started_at": "2026-11-10T10:00:00Z",
        "programs": ["billing"], "transcripts": [{"id": "t1", "blocks": blocks}]})
    .to_string()
}

fn note(id: &str, version: i64, text: &str) -> String {
    json!({"kind": "note", "id": id, "version": version, "created_at": "2026-11-11T09:00:00Z",
        "programs": ["billing"], "text": text})
    .to_string()
}

/// Two conversations and two notes, three with a topic.
fn lines() -> Vec<String> {
    vec![
        conversation("fs-1", &["Hello", "I want my money back"]),
        conversation("fs-2", &["Good morning"]),
        note("n-1", 3, "Asked for her money back.\n\nWas calm."),
        note("n-2", 1, "The parcel is late."),
    ]
}

fn rules() -> Value {
    json!({"topics": [
        {"id": "refund", "name": "Refund", "programs": ["billing"], "phrases": ["money back"]},
        {"id": "late", "programs": ["billing"], "phrases": ["parcel is late"]},
    ]})
}

/// With items and rules, and nothing published.
fn stocked() -> Daemon {
    stocked_with(&[])
}

fn stocked_with(flags: &[&str]) -> Daemon {
    let daemon = Daemon::with(flags);
    daemon.apply(&rules());
    assert_eq!(daemon.import(&lines())["inserted"], 4);
    daemon
}

/// All that a request can change.
fn everything(daemon: &Daemon) -> Value {
    let mut items = Vec::new();
    for item in ["conversation/fs-1", "conversation/fs-2", "note/n-1", "note/n-2"] {
        items.push(daemon.see(&format!("/api/v1/items/{item}")));
    }
    json!({
        "items": items,
        "count": daemon.see("/api/v1/status")["items"],
        "catalogue": daemon.see("/api/v1/catalogue"),
        "jobs": daemon.see("/api/v1/jobs"),
        "labels": daemon.get("/api/v1/labels.ndjson").text(),
        "changes": daemon.get("/api/v1/labels.ndjson?since=0").text(),
    })
}
