//! What one may want to do next about a job, as commands: said to people on stderr, never to scripts.

use serde_json::Value;

use super::Session;
use super::view::{count, rows, text};
use super::watch::{ended, errors};
use crate::wire::grouped;

/// Says what can be done with a job as it stands.
pub fn about(session: &Session, job: &Value) {
    of(job).iter().for_each(|hint| session.out.hint(hint));
}

fn of(job: &Value) -> Vec<String> {
    let id = text(job, "/id");
    let state = text(job, "/state");
    if state == "draft" {
        return vec![format!("a draft: `relabeld publish --job {id}` publishes it")];
    }
    // What is pruned can be neither listed nor taken back.
    if !ended(job) || !text(job, "/pruned_at").is_empty() {
        return Vec::new();
    }
    let mut hints = Vec::new();
    // It lists what was added unless it is told otherwise.
    let all = if changes(job) > count(job, "/labels/added") { " --change all" } else { "" };
    let list = format!("`relabeld changes {id}{all}` lists what it");
    match (changes(job) > 0, dry(job)) {
        (true, true) => hints.push(format!("{list} would change; no label was written")),
        (true, false) => hints.push(format!("{list} changed; `relabeld revert {id}` takes it back")),
        (false, _) => {}
    }
    if dry(job) && state.starts_with("completed") && text(job, "/applied_by").is_empty() && has_items(job) {
        hints.push(format!("`relabeld apply {id}` does in earnest what this dry run would do"));
    }
    let without = count(job, "/reasons/no_topics_detected");
    if without > 0 {
        let n = grouped(without);
        hints.push(format!(
            "no_topics_detected: nothing was found on {n} of them; that is no error, and they keep what they have"
        ));
    }
    if count(job, "/outcomes/newer_change") > 0 {
        hints.push(format!("`relabeld items {id}` names the items that were left, for they have changed since"));
    }
    if errors(job) + count(job, "/counts/quarantined") > 0 {
        hints.push(format!("`relabeld retry {id}` does again what went wrong"));
    }
    hints
}

/// Labels that the job touched, or as a dry run would have.
pub fn changes(job: &Value) -> u64 {
    ["added", "removed", "updated"].iter().map(|change| count(job, &format!("/labels/{change}"))).sum()
}

pub fn dry(job: &Value) -> bool {
    job["dry_run"] == Value::Bool(true)
}

fn has_items(job: &Value) -> bool {
    count(job, "/counts/total") > 0
}

/// Says so when there is no topic at all: the job will find nothing, and nobody would know why. That this cannot be
/// asked is no reason to fail, for the job is made.
pub fn about_topics(session: &Session) {
    if !session.out.hints() {
        return;
    }
    if let Ok(catalogue) = session.daemon.get("/api/v1/catalogue", &[])
        && rows(&catalogue.value, "/topics").is_empty()
    {
        session.out.hint("the catalogue has no topics, so nothing can be found: `relabeld catalogue apply FILE` first");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The commands that are named, in their order.
    fn named(job: Value) -> Vec<String> {
        let hints = of(&job).join("; ");
        hints.split('`').skip(1).step_by(2).map(|command| command.replace("relabeld ", "")).collect()
    }

    fn job(dry: bool, added: u64, failed: u64) -> Value {
        json!({"id": "7", "state": "completed", "dry_run": dry, "labels": {"added": added, "kept": 5},
            "counts": {"total": 9, "failed": failed}, "reasons": {"no_topics_detected": 2}})
    }

    fn with(mut job: Value, name: &str, value: &str) -> Value {
        job[name] = json!(value);
        job
    }

    #[test]
    fn what_is_named_can_be_done() {
        assert_eq!(named(job(false, 3, 2)), ["changes 7", "revert 7"]);
        assert_eq!(named(job(false, 3, 4)), ["changes 7", "revert 7", "retry 7"]);
        assert_eq!(named(job(false, 0, 2)), Vec::<String>::new());
        let revert =
            json!({"id": "7", "state": "completed", "labels": {"removed": 3}, "outcomes": {"newer_change": 1}});
        assert_eq!(named(revert), ["changes 7 --change all", "revert 7", "items 7"]);
        assert_eq!(named(job(true, 3, 2)), ["changes 7", "apply 7"]);
        assert_eq!(named(job(true, 0, 2)), ["apply 7"], "what was read counts as read");
        assert_eq!(named(with(job(true, 3, 2), "applied_by", "8")), ["changes 7"]);
        assert_eq!(named(with(job(true, 3, 3), "state", "failed")), ["changes 7", "retry 7"]);
        assert_eq!(named(with(job(false, 3, 3), "state", "running")), Vec::<String>::new());
        assert_eq!(named(with(job(false, 3, 3), "pruned_at", "2026-01-01")), Vec::<String>::new());
        assert_eq!(named(with(job(false, 0, 0), "state", "draft")), ["publish --job 7"]);
    }
}
