//! The persisted transitions, as steps that a client can repeat until they are done.

use std::fs;
use std::time::Duration;

use relabeld::demo::sample;
use serde_json::{Value, json};

use super::client::{Acknowledged, Client, StepError, StepResult, id_of, item_path, job_path};

/// 2026-11-20T00:00:00Z: the items are older.
const NOW: i64 = 1_795_132_800_000;
const ALL_TIME: (&str, &str) = ("2000-01-01", "2100-01-01");
/// Longer than the daemon waits before it folds an idle log.
const IDLE: Duration = Duration::from_millis(2_600);

pub struct Items {
    /// Conversations, then notes.
    all: Vec<Value>,
    notes: usize,
}

impl Items {
    /// Short items of all programs.
    pub fn new(conversations: usize, notes: usize) -> Items {
        let lines = |c, n, wanted: usize| {
            let items = sample::lines(7, c, n, NOW).filter(|line| line.len() < 2_500);
            items.take(wanted).map(|line| serde_json::from_str(&line).unwrap()).collect::<Vec<Value>>()
        };
        let mut all = lines(10 * conversations, 0, conversations);
        all.extend(lines(0, 10 * notes, notes));
        assert_eq!(all.len(), conversations + notes);
        Items { all, notes }
    }

    fn first_note(&self) -> &Value {
        &self.all[self.all.len() - self.notes]
    }

    /// Some items with another text.
    fn edited(&self) -> Vec<Value> {
        let mut items = self.all[..6].to_vec();
        for item in &mut items {
            let blocks = item["transcripts"][0]["blocks"].as_array_mut().unwrap();
            blocks.push(json!({"speaker": "customer", "text": "thank you, now give me my money back"}));
        }
        let mut note = self.first_note().clone();
        note["version"] = json!(note["version"].as_i64().unwrap() + 1);
        note["text"] = json!(format!("{} Thanks again.", note["text"].as_str().unwrap()));
        items.push(note);
        items
    }
}

/// The sample catalogue; `second` drops some topics and adds one for all programs.
fn catalogue(second: bool) -> Value {
    let mut catalogue: Value = serde_json::from_str(sample::CATALOGUE).unwrap();
    if second {
        let programs: Vec<Value> =
            catalogue["programs"].as_array().unwrap().iter().map(|program| program["id"].clone()).collect();
        let topics = catalogue["topics"].as_array_mut().unwrap();
        topics.truncate(14);
        topics.push(json!({"id": "thanks", "name": "Thanks", "programs": programs, "participants": "all",
            "match": "words", "strictness": 100, "phrases": ["thank you", "thanks"]}));
    }
    catalogue
}

fn range(more: Value) -> Value {
    let mut body = json!({"from": ALL_TIME.0, "until": ALL_TIME.1});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// One step; it can be repeated, whatever an earlier attempt reached.
pub type Step = fn(&Client<'_>, &Items) -> StepResult;

/// The steps in the order in which a data directory goes through them.
pub const STEPS: [(&str, Step); 20] = [
    ("import", import),
    ("import gzip", import_gzip),
    ("catalogue", apply_catalogue),
    ("job", job),
    ("dry run", dry_run),
    ("apply", apply),
    ("revert", revert),
    ("marks", marks),
    ("pause", pause_and_resume),
    ("cancel", cancel),
    ("retry", retry),
    ("single", single),
    ("draft", draft),
    ("edit", edit),
    ("stale", stale_only),
    ("erase", erase),
    ("delete", delete),
    ("token", rotate_token),
    ("login", log_in),
    ("idle", idle),
];

fn import(client: &Client<'_>, items: &Items) -> StepResult {
    client.import(&items.all[..items.all.len() / 2], false)
}

fn import_gzip(client: &Client<'_>, items: &Items) -> StepResult {
    client.import(&items.all[items.all.len() / 2..], true)
}

fn apply_catalogue(client: &Client<'_>, _: &Items) -> StepResult {
    client.put_catalogue(&catalogue(false))?;
    // Its labels name the phrases by their numbers.
    client.await_end(&client.publish("first", range(json!({"types": ["notes"]})))?)
}

fn job(client: &Client<'_>, _: &Items) -> StepResult {
    client.await_end(&client.publish("job", range(json!({})))?)
}

fn dry_run(client: &Client<'_>, _: &Items) -> StepResult {
    client.put_catalogue(&catalogue(true))?;
    client.await_end(&client.publish("dry", range(json!({"dry_run": true, "keep_when_empty": false})))?)
}

fn apply(client: &Client<'_>, _: &Items) -> StepResult {
    client.await_end(&client.follow_up("dry", "apply", json!({}))?)
}

fn revert(client: &Client<'_>, _: &Items) -> StepResult {
    client.await_end(&client.follow_up("apply", "revert", json!({}))?)
}

fn marks(client: &Client<'_>, items: &Items) -> StepResult {
    let conversation = &items.all[6];
    let transcript = &conversation["transcripts"][0]["id"];
    let of_conversation = json!([
        {"transcript": transcript, "block": 0, "topic": "thanks", "mark": "is"},
        {"transcript": transcript, "block": 1, "topic": "thanks", "mark": "is_not"},
    ]);
    let of_note = json!([{"transcript": "note", "block": 0, "topic": "thanks", "mark": "is"}]);
    for (item, marks, count) in [(conversation, of_conversation, 2), (items.first_note(), of_note, 1)] {
        let path = item_path(item);
        let put = format!("{path}/marks");
        let request = client.daemon.ask("PUT", &put).json(&json!({"marks": marks}));
        // A subject of its own: the item's text is guaranteed too.
        client.change(&format!("{path}#marks"), &put, &request, Acknowledged::Marks(count))?;
    }
    Ok(())
}

/// `verb` of a job, after which the job has one of the states. A job that has ended already refuses with 409.
fn control(client: &Client<'_>, id: &str, verb: &str, states: &[&str]) -> StepResult {
    let path = job_path(id);
    let post = format!("{path}/{verb}");
    let states = states.iter().map(|state| json!(state)).collect();
    let request = client.daemon.ask("POST", &post);
    let done = client.change(&format!("{path}#state"), &post, &request, Acknowledged::Job(vec![("state", states)]));
    match done {
        Err(StepError::Refused(_, reply)) if reply.status == 409 => Ok(()),
        other => other.map(drop),
    }
}

fn pause_and_resume(client: &Client<'_>, _: &Items) -> StepResult {
    let id = client.publish("pause", range(json!({"max_per_second": 300, "keep_when_empty": false})))?;
    let path = job_path(&id);
    if client.get(&path)?["finished_at"].is_null() {
        control(client, &id, "pause", &["paused"])?;
        let request = client.daemon.ask("PATCH", &path).json(&json!({"priority": 90}));
        let subject = format!("{path}#priority");
        let steered = client.change(
            &subject,
            &format!("PATCH {path}"),
            &request,
            Acknowledged::Job(vec![("priority", vec![json!(90)])]),
        );
        match steered {
            Err(StepError::Refused(_, reply)) if reply.status == 409 => {}
            other => drop(other?),
        }
        let going = ["queued", "planning", "running", "completed"];
        control(client, &id, "resume", &going)?;
    }
    client.await_end(&id)
}

fn cancel(client: &Client<'_>, _: &Items) -> StepResult {
    let id = client.publish("cancel", range(json!({"max_per_second": 20})))?;
    control(client, &id, "cancel", &["cancelling", "cancelled"])?;
    client.await_end(&id)
}

fn retry(client: &Client<'_>, _: &Items) -> StepResult {
    client.await_end(&client.follow_up("job", "retry", json!({"no_topics_detected": true}))?)
}

fn single(client: &Client<'_>, items: &Items) -> StepResult {
    let item = &items.all[5];
    let ids = json!([{"kind": item["kind"], "id": item["id"]}]);
    client.await_end(&client.publish("single", json!({"kind": "single", "ids": ids}))?)
}

fn draft(client: &Client<'_>, items: &Items) -> StepResult {
    let mut ids: Vec<Value> =
        items.all[10..40].iter().map(|item| json!({"kind": item["kind"], "id": item["id"]})).collect();
    ids.push(json!({"kind": "conversation", "id": "missing"}));
    let id = client.publish("draft", json!({"kind": "list", "ids": ids, "publish": false}))?;
    if client.get(&job_path(&id))?["state"] == "draft" {
        let published = ["queued", "planning", "running", "completed"];
        control(client, &id, "publish", &published)?;
    }
    client.await_end(&id)
}

fn edit(client: &Client<'_>, items: &Items) -> StepResult {
    client.import(&items.edited(), false)
}

fn stale_only(client: &Client<'_>, _: &Items) -> StepResult {
    client.await_end(&client.publish("stale", range(json!({"stale_only": true})))?)
}

/// Deletes, where an earlier attempt may have done so.
fn remove(client: &Client<'_>, path: &str, guarantee: Acknowledged) -> StepResult {
    client.begin_change(&format!("{path}#marks"));
    match client.change(path, &format!("DELETE {path}"), &client.daemon.ask("DELETE", path), guarantee.clone()) {
        Err(StepError::Refused(_, reply)) if reply.status == 404 => {
            client.acknowledge(path, guarantee);
            Ok(())
        }
        other => other.map(drop),
    }
}

fn erase(client: &Client<'_>, items: &Items) -> StepResult {
    remove(client, &item_path(&items.all[20]), Acknowledged::Erased)?;
    remove(client, &item_path(items.first_note()), Acknowledged::Erased)
}

/// Deletes a job, whose rows the daemon prunes after its answer.
fn delete(client: &Client<'_>, _: &Items) -> StepResult {
    if let Some(job) = client.job_named("dry")? {
        remove(client, &job_path(&id_of(&job)), Acknowledged::Deleted)?;
    }
    client.await_quiet()
}

fn rotate_token(client: &Client<'_>, _: &Items) -> StepResult {
    let replaced = client.daemon.token("token.read");
    client.begin_change("token.read");
    let rotated = client.send("rotate", &client.daemon.ask("POST", "/api/v1/tokens/token.read/rotate"));
    // Done or refused: the token in the file is valid.
    let token = client.daemon.token("token.read");
    let status = client.daemon.ask_openly("GET", "/api/v1/status").header("Authorization", &format!("Bearer {token}"));
    let status = status.try_send().map_err(|error| StepError::Disconnected("GET /api/v1/status".into(), error))?.status;
    if status == 401 {
        return Err(StepError::Wrong("the token in the file token.read is not valid".into()));
    }
    rotated?;
    client.acknowledge("token.read", Acknowledged::Token(token, replaced));
    Ok(())
}

fn log_in(client: &Client<'_>, _: &Items) -> StepResult {
    let link = client.post("/api/v1/login", &json!({"read": true}))?;
    let (_, code) = link["url"].as_str().unwrap().split_once("/login/").unwrap();
    let opened = client.send("GET /login", &client.daemon.ask_openly("GET", &format!("/login/{code}")))?;
    let cookie = opened.header("Set-Cookie").unwrap().split([';', '=']).nth(1).unwrap().to_owned();
    client.acknowledge("session", Acknowledged::Session(cookie));
    Ok(())
}

/// Waits until the log is folded into the database.
fn idle(client: &Client<'_>, _: &Items) -> StepResult {
    let log = client.daemon.dir().join("relabeld.db-wal");
    let patient = client.with_patience(client.patience.max(IDLE));
    let folded = || Ok(fs::metadata(&log).map_or(true, |about| about.len() == 0).then_some(()));
    patient.await_some("the log is folded", folded)
}

/// Makes jobs of at most 40 items out of one request; the daemon runs with `--max-items-per-job 40`.
pub fn split(client: &Client<'_>, _: &Items) -> StepResult {
    client.publish("split", range(json!({"split": true})))?;
    client.await_all_jobs()
}

/// Waits until the history of the oldest job is pruned; the daemon runs with `--retention-days 0`.
pub fn prune_old(client: &Client<'_>, _: &Items) -> StepResult {
    let job = client.job_named("first")?.ok_or_else(|| StepError::Wrong("no job first".into()))?;
    let path = format!("{}/items.ndjson", job_path(&id_of(&job)));
    client.await_some("the history is pruned", || match client.send(&path, &client.daemon.ask("GET", &path)) {
        Err(StepError::Refused(_, reply)) if reply.status == 409 => Ok(Some(())),
        other => other.map(|_| None),
    })
}

/// Downloads a backup and opens it.
pub fn back_up(client: &Client<'_>, _: &Items) -> StepResult {
    let items = client.get("/api/v1/status")?["items"].as_i64().unwrap();
    let reply = client.send("GET /api/v1/backup", &client.daemon.ask("GET", "/api/v1/backup"))?;
    let file = client.daemon.dir().with_extension("backup");
    fs::write(&file, &reply.body).unwrap();
    let database = rusqlite::Connection::open(&file).unwrap();
    let integrity = database.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
    let stored = database.query_row("SELECT count(*) FROM item WHERE at IS NOT NULL", [], |row| row.get::<_, i64>(0));
    match (integrity.as_deref(), stored) {
        (Ok("ok"), Ok(stored)) if stored == items => Ok(()),
        found => Err(StepError::Wrong(format!("the backup has {found:?} of {items} items"))),
    }
}

/// For the transitions that are starts.
pub fn nothing(_: &Client<'_>, _: &Items) -> StepResult {
    Ok(())
}
