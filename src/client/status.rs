//! `relabeld status`, and the ways in: login and tokens.

use serde_json::{Value, json};
use ureq::http::Method;

use super::Session;
use super::call::{Payload, segment};
use super::problem::Error;
use super::render::{Paint, pairs};
use super::view::{bytes, cell, count, span, tally_line, text};
use crate::wire::grouped;

pub fn show(session: &Session) -> Result<(), Error> {
    let status = session.daemon.get("/api/v1/status", &[])?;
    session.out.answer(&status, || details(&status.value, session.out.paint))?;
    // Also on stderr, for it is why nothing moves.
    if text(&status.value, "/held") == "storage_full" {
        session.out.note("the queue is held: make room on the disk, and it goes on by itself");
    }
    Ok(())
}

fn details(status: &Value, paint: Paint) -> String {
    let lane = |name: &str| {
        let n = |what: &str| grouped(count(status, &format!("/queue/{name}/{what}")));
        format!("{} pending, {} running", n("pending"), n("running"))
    };
    let size = |name: &str| status[name].as_u64().map(bytes).unwrap_or_default();
    let held = match &status["held"] {
        Value::Bool(false) => String::new(),
        _ => cell(status, "/held"),
    };
    pairs(
        &[
            ("version", cell(status, "/version")),
            ("address", cell(status, "/address")),
            ("state", paint.state(&cell(status, "/state"))),
            ("held", held),
            ("up for", status["uptime_seconds"].as_f64().map(span).unwrap_or_default()),
            ("workers", cell(status, "/workers")),
            ("live lane", lane("live")),
            ("bulk lane", lane("bulk")),
            ("items", status["items"].as_u64().map(grouped).unwrap_or_else(|| cell(status, "/items"))),
            ("jobs", tally_line(status, "/jobs")),
            ("catalogue revision", cell(status, "/catalogue_revision")),
            ("labeller", cell(status, "/labeller")),
            ("last change", status["last_change"].as_u64().map(grouped).unwrap_or_default()),
            ("durability", cell(status, "/durability")),
            ("database", size("database_bytes")),
            ("write-ahead log", size("wal_bytes")),
        ],
        paint,
    )
}

pub fn login(session: &Session, read: bool) -> Result<(), Error> {
    let answer = session.daemon.post("/api/v1/login", &json!({"read": read}))?;
    session.out.answer(&answer, || text(&answer.value, "/url"))?;
    session.out.note("open it in a browser; it works once, within 10 minutes");
    Ok(())
}

pub fn rotate(session: &Session, name: &str) -> Result<(), Error> {
    let path = format!("/api/v1/tokens/{}/rotate", segment(name));
    let answer = session.daemon.call(Method::POST, &path, &[], Payload::Nothing)?;
    session.out.answer(&answer, || {
        format!("{name} is replaced, in the file of that name in the daemon's data directory; the old one and its sessions have ended")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_reads_well_with_and_without_a_hold() {
        let status = json!({"version": "0.1.0", "state": "running", "held": null, "uptime_seconds": 3700, "items": 1234,
            "queue": {"live": {"pending": 0, "running": 0}, "bulk": {"pending": 1000, "running": 64}}, "jobs": {"running": 1},
            "database_bytes": 1048576});
        let shown = details(&status, Paint(false));
        assert!(shown.contains("bulk lane  1,000 pending, 64 running"), "{shown}");
        assert!(shown.contains("up for     1h 1m") && !shown.contains("held"), "{shown}");
        assert!(details(&json!({"held": "storage_full"}), Paint(false)).contains("storage_full"));
    }
}
