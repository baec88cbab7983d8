//! Backups of the real binary under load, and what one of them is on another machine.
//!
//! Items come in, jobs are published, a long one drains; backups are taken all the while, and the daemon is killed. What
//! was acknowledged before a backup began is in it, and once its jobs go on, all ends as if nothing had happened.

#[path = "common/process.rs"]
mod process;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use relabeld::demo::sample;
use serde_json::{Value, json};

use process::{Caller, Process, check, until_some};

/// What users were told so far.
#[derive(Default)]
struct Book {
    /// New items, counted again where they came in again.
    stored: AtomicUsize,
    jobs: Mutex<Vec<String>>,
}

impl Book {
    fn note(&self, job: &Value) {
        self.jobs.lock().unwrap().push(job["id"].as_str().unwrap().to_owned());
    }

    fn jobs(&self) -> Vec<String> {
        self.jobs.lock().unwrap().clone()
    }
}

/// A backup, and what had been acknowledged when it was asked for.
struct Backup {
    file: PathBuf,
    stored: usize,
    jobs: Vec<String>,
}

fn samples(seed: u64, conversations: usize, notes: usize) -> Vec<Value> {
    let lines = sample::lines(seed, conversations, notes, relabeld::when::now());
    // Two samples may have ids alike.
    let own = |line: String| {
        let mut item: Value = serde_json::from_str(&line).unwrap();
        item["id"] = json!(format!("{seed}-{}", item["id"].as_str().unwrap()));
        item
    };
    lines.map(own).collect()
}

fn import(caller: &Caller, items: &[Value]) {
    let lines: String = items.iter().map(|item| format!("{item}\n")).collect();
    let counts = caller.call("POST", "/api/v1/items", &lines).json();
    let stored = ["inserted", "unchanged"].map(|n| counts[n].as_u64().unwrap()).iter().sum::<u64>();
    assert_eq!(stored, items.len() as u64, "{counts}");
}

fn path_of(item: &Value) -> String {
    format!("/api/v1/items/{}/{}", item["kind"].as_str().unwrap(), item["id"].as_str().unwrap())
}

fn job(caller: &Caller, id: &str) -> Value {
    let job = caller.get(&format!("/api/v1/jobs/{id}"));
    let count = |name: &str| job["counts"][name].as_i64().unwrap();
    let sum: i64 = ["pending", "running", "done", "failed", "quarantined", "cancelled"].map(count).iter().sum();
    assert_eq!(job["counts"]["total"].as_i64().unwrap_or_default(), sum, "{job}");
    assert_eq!((count("quarantined"), &job["error"]), (0, &Value::Null), "{job}");
    job
}

fn ended(caller: &Caller, id: &str) -> Value {
    until_some("the end of a job", || Some(job(caller, id)).filter(|job| !job["finished_at"].is_null()))
}

type Label = (String, u64, String, String, u64);

/// The labels that stand on the items of this seed, with why each does.
fn labels(caller: &Caller, seed: u64) -> BTreeMap<String, BTreeSet<Label>> {
    let mut labels: BTreeMap<String, BTreeSet<Label>> = BTreeMap::new();
    for row in caller.rows("/api/v1/labels.ndjson") {
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        let number = |name: &str| row[name].as_u64().unwrap();
        if text("id").starts_with(&format!("{seed}-")) {
            let label = (text("transcript"), number("block"), text("topic"), text("phrase"), number("score"));
            assert!(labels.entry(text("id")).or_default().insert(label), "a label stands twice: {row}");
        }
    }
    labels
}

/// What stands after one import and one job, with nothing in between.
fn undisturbed(items: &[Value], seed: u64) -> BTreeMap<String, BTreeSet<Label>> {
    let scratch = tempfile::tempdir().unwrap();
    let (process, caller) = Process::serving(scratch.path());
    caller.call("PUT", "/api/v1/catalogue", sample::CATALOGUE);
    import(&caller, items);
    let job = caller.post("/api/v1/jobs", &json!({"from": "60d"}));
    assert_eq!(ended(&caller, job["id"].as_str().unwrap())["counts"]["total"], json!(items.len()));
    let labels = labels(&caller, seed);
    assert!(labels.len() * 4 > items.len(), "only {} items have labels", labels.len());
    process.stop();
    labels
}

fn relabeld(args: &[&str], data_dir: &Path) -> String {
    let said = Command::new(env!("CARGO_BIN_EXE_relabeld"))
        .args(args)
        .arg("--data-dir")
        .arg(data_dir)
        .env_remove("RELABELD_URL")
        .output()
        .unwrap();
    assert!(said.status.success(), "{args:?}: {said:?}");
    String::from_utf8(said.stdout).unwrap()
}

const OLD: u64 = 7;
const NEW: u64 = 8;
/// Of the long job a second: it outlasts the backups.
const SPEED: f64 = 20.0;

#[test]
fn a_backup_made_under_load_goes_on_elsewhere_as_if_nothing_had_happened() {
    let scratch = tempfile::tempdir().unwrap();
    let (old, new) = (samples(OLD, 900, 300), samples(NEW, 900, 300));
    let (process, caller) = Process::serving(scratch.path());
    caller.call("PUT", "/api/v1/catalogue", sample::CATALOGUE);
    import(&caller, &old);
    let book = Book::default();
    let long = caller.post("/api/v1/jobs", &json!({"from": "60d", "max_per_second": SPEED}));
    book.note(&long);
    let long = long["id"].as_str().unwrap().to_owned();
    until_some("the drain", || Some(job(&caller, &long)).filter(|job| job["counts"]["done"].as_i64() > Some(50)));

    let over = AtomicBool::new(false);
    let backups = std::thread::scope(|scope| {
        scope.spawn(|| {
            // Once all are in, they come in again.
            for batch in new.chunks(5).cycle().take_while(|_| !over.load(Ordering::SeqCst)) {
                import(&caller, batch);
                book.stored.fetch_add(batch.len(), Ordering::SeqCst);
            }
        });
        scope.spawn(|| {
            for (n, item) in (1..).zip(old.iter().cycle()).take_while(|_| !over.load(Ordering::SeqCst)) {
                let wish = match n % 25 {
                    // A few that wait and a few that run when the backup comes.
                    0 => json!({"from": format!("{}d", 10 + n % 30), "max_per_second": SPEED}),
                    _ => json!({"kind": "single", "ids": [{"kind": item["kind"], "id": item["id"]}]}),
                };
                book.note(&caller.post("/api/v1/jobs", &wish));
            }
        });
        let mut taken = Vec::new();
        for n in 0..4 {
            // Each is of another moment.
            let before = book.stored.load(Ordering::SeqCst);
            until_some("more items", || (book.stored.load(Ordering::SeqCst) >= before + 20).then_some(()));
            let (stored, jobs) = (book.stored.load(Ordering::SeqCst).min(new.len()), book.jobs());
            let file = scratch.path().join(format!("{n}.db"));
            relabeld(&["backup", "-q", file.to_str().unwrap()], process.data_dir());
            taken.push(Backup { file, stored, jobs });
        }
        assert!(job(&caller, &long)["finished_at"].is_null(), "the load was over too soon");
        // The users are still at it.
        over.store(true, Ordering::SeqCst);
        taken
    });
    process.kill();
    process.wait();
    drop(process);

    let expected = undisturbed(&old, OLD);
    for (n, backup) in (0..).zip(&backups) {
        let place = scratch.path().join(format!("place {n}"));
        std::fs::create_dir(&place).unwrap();
        let data_dir = place.join("data");
        let told = relabeld(&["restore", "--json", backup.file.to_str().unwrap()], &data_dir);
        let told: Value = serde_json::from_str(&told).unwrap();
        check(&data_dir);
        // The first and the last of them go on.
        if n == 0 || n == backups.len() - 1 {
            goes_on(&place, backup, &told, &long, (&old, &new), &expected);
        }
    }
}

fn goes_on(
    place: &Path,
    backup: &Backup,
    told: &Value,
    long: &str,
    (old, new): (&[Value], &[Value]),
    expected: &BTreeMap<String, BTreeSet<Label>>,
) {
    let (process, caller) = Process::serving(place);
    let items = caller.get("/api/v1/status")["items"].as_u64().unwrap() as usize;
    assert!((old.len() + backup.stored..=old.len() + new.len()).contains(&items), "{items} items");
    assert_eq!(told["items"], json!(items));
    for item in old.iter().chain(&new[..backup.stored]) {
        let shown = caller.get(&path_of(item));
        assert_eq!((&shown["text"], &shown["version"]), (&item["text"], &item["version"]));
        let texts = |item: &Value| {
            item["transcripts"][0]["blocks"].as_array().map(|b| b.iter().map(|b| b["text"].clone()).collect::<Vec<_>>())
        };
        assert_eq!(texts(&shown), texts(item));
    }
    // All jobs that were acknowledged are there; those in bulk wait, and nobody else does.
    let mut waiting = Vec::new();
    for id in &backup.jobs {
        let job = job(&caller, id);
        if job["lane"] == "bulk" && job["finished_at"].is_null() {
            assert_eq!(job["state"], "paused", "{job}");
            waiting.push(id.clone());
        }
    }
    let paused: Vec<&str> = told["jobs_paused"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    assert!(waiting.iter().all(|id| paused.contains(&id.as_str())), "{waiting:?} of {paused:?}");
    let half = job(&caller, long);
    let done = half["counts"]["done"].as_u64().unwrap();
    assert!(paused.contains(&long) && done > 0 && half["counts"]["total"].as_u64() > Some(done), "{half}");

    for id in &paused {
        caller.call("PATCH", &format!("/api/v1/jobs/{id}"), r#"{"max_per_second": null}"#);
        caller.call("POST", &format!("/api/v1/jobs/{id}/resume"), "");
    }
    let jobs: BTreeSet<&str> = paused.into_iter().chain(backup.jobs.iter().map(String::as_str)).collect();
    for id in jobs {
        accounted(&caller, id);
    }
    assert_eq!(&labels(&caller, OLD), expected, "what the long job and the others made of the old items");
    // And it takes new work: the rest comes in, and all is read once.
    import(&caller, new);
    let all = caller.post("/api/v1/jobs", &json!({"from": "60d"}));
    let all = accounted(&caller, all["id"].as_str().unwrap());
    assert_eq!(all["counts"]["total"], json!(old.len() + new.len()));
    assert_eq!(&labels(&caller, OLD), expected);
    assert_eq!(labels(&caller, NEW), undisturbed(new, NEW));
    let data_dir = process.data_dir().to_owned();
    process.stop();
    check(&data_dir);
}

/// Its rows are as many as its counters say, each item once, and none was charged for the move.
fn accounted(caller: &Caller, id: &str) -> Value {
    let job = ended(caller, id);
    assert_eq!(job["state"], "completed", "{job}");
    let rows = caller.rows(&format!("/api/v1/jobs/{id}/items.ndjson"));
    assert_eq!(job["counts"]["total"], json!(rows.len()), "{job}");
    let keys: BTreeSet<String> = rows.iter().map(|row| format!("{} {}", row["kind"], row["id"])).collect();
    assert_eq!(keys.len(), rows.len(), "an item twice in one job: {job}");
    assert!(rows.iter().all(|row| row["attempts"] == 1 && row["finished_at"].is_string()), "{rows:?}");
    let changes = caller.rows(&format!("/api/v1/jobs/{id}/labels.ndjson?change=all"));
    for change in ["added", "removed", "updated"] {
        let counted = changes.iter().filter(|row| row["change"] == change).count();
        assert_eq!(job["labels"][change], json!(counted), "{change}: {job}");
    }
    job
}
