//! A client that writes down what the daemon acknowledges, and compares that with what the daemon returns later.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::daemon::{Ask, Daemon, Reply};
use super::shim::Shim;

/// Why a step did not reach its end.
#[derive(Debug)]
pub enum Trouble {
    /// The daemon closed the connection before its answer was whole, or nobody listens.
    Gone(String, io::Error),
    Refused(String, Reply),
    /// What the step waits for did not happen in time.
    Late(String),
    /// The answer is wrong, whatever failed.
    Wrong(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Gone(request, error) => write!(f, "{request}: {error}"),
            Trouble::Refused(request, reply) => {
                write!(f, "{request}: {} {}", reply.status, String::from_utf8_lossy(&reply.body))
            }
            Trouble::Late(what) => write!(f, "{what}: not in time"),
            Trouble::Wrong(what) => f.write_str(what),
        }
    }
}

pub type Attempt<T = ()> = Result<T, Trouble>;

/// What an acknowledgement promises.
#[derive(Debug, Clone, PartialEq)]
pub enum Promise {
    /// The item has these texts.
    Item(Vec<String>),
    Erased,
    /// The revision has these topics.
    Catalogue(Vec<String>),
    /// The job has one of the values in each of these fields.
    Job(Vec<(&'static str, Vec<Value>)>),
    Deleted,
    Marks(usize),
    /// The first token is valid, and the second is not any more.
    Token(String, String),
    /// The session cookie's value is valid.
    Session(String),
}

/// One line of the ledger: from the record's length `at` on, the promise holds; or nothing is known of the subject, since
/// a request about it is under way. A subject is a path, with a part after `#` where it has several promises.
#[derive(Debug, Clone)]
struct Entry {
    at: u64,
    subject: String,
    promise: Option<Promise>,
}

/// What was acknowledged, with the length of the shim's record at that moment.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Vec<Entry>>);

impl Ledger {
    fn note(&self, at: u64, subject: &str, promise: Option<Promise>) {
        self.0.lock().unwrap().push(Entry { at, subject: subject.to_owned(), promise });
    }

    /// The lengths of the record at which something was acknowledged.
    pub fn moments(&self) -> Vec<u64> {
        self.0.lock().unwrap().iter().filter(|entry| entry.promise.is_some()).map(|entry| entry.at).collect()
    }

    /// What is promised once the record has that length.
    pub fn promises(&self, at: u64) -> BTreeMap<String, Promise> {
        let mut promises = BTreeMap::new();
        for entry in self.0.lock().unwrap().iter().filter(|entry| entry.at <= at) {
            match &entry.promise {
                Some(promise) => promises.insert(entry.subject.clone(), promise.clone()),
                None => promises.remove(&entry.subject),
            };
        }
        promises
    }
}

/// One daemon and the ledger of all of them.
pub struct Client<'a> {
    pub daemon: &'a Daemon,
    shim: &'a Shim,
    ledger: &'a Ledger,
    /// How long it waits for what must happen.
    pub patience: Duration,
}

impl<'a> Client<'a> {
    pub fn new(daemon: &'a Daemon, shim: &'a Shim, ledger: &'a Ledger, patience: Duration) -> Client<'a> {
        Client { daemon, shim, ledger, patience }
    }

    pub fn with_patience(&self, patience: Duration) -> Client<'a> {
        Client { patience, ..*self }
    }

    pub fn send(&self, name: &str, request: &Ask) -> Attempt<Reply> {
        let reply = request.try_send().map_err(|error| Trouble::Gone(name.to_owned(), error))?;
        if reply.status < 400 { Ok(reply) } else { Err(Trouble::Refused(name.to_owned(), reply)) }
    }

    fn json(&self, name: &str, request: &Ask) -> Attempt<Value> {
        let reply = self.send(name, request)?;
        serde_json::from_slice(&reply.body).map_err(|_| Trouble::Wrong(format!("{name}: {} is not JSON", reply.text())))
    }

    pub fn get(&self, path: &str) -> Attempt<Value> {
        self.json(&format!("GET {path}"), &self.daemon.ask("GET", path))
    }

    pub fn post(&self, path: &str, body: &Value) -> Attempt<Value> {
        self.json(&format!("POST {path}"), &self.daemon.ask("POST", path).json(body))
    }

    fn rows(&self, path: &str) -> Attempt<Vec<Value>> {
        Ok(self.send(&format!("GET {path}"), &self.daemon.ask("GET", path))?.rows())
    }

    /// A change is on its way, so nothing is known of the subject until it is acknowledged.
    pub fn unsettle(&self, subject: &str) {
        self.ledger.note(self.shim.recorded(), subject, None);
    }

    pub fn promised(&self, subject: &str, promise: Promise) {
        self.ledger.note(self.shim.recorded(), subject, Some(promise));
    }

    /// Sends a change of one subject, and notes what its success promises.
    pub fn change(&self, subject: &str, name: &str, request: &Ask, promise: Promise) -> Attempt<Reply> {
        self.unsettle(subject);
        let reply = self.send(name, request)?;
        self.promised(subject, promise);
        Ok(reply)
    }

    pub fn import(&self, items: &[Value], gzip: bool) -> Attempt {
        let lines: String = items.iter().map(|item| format!("{item}\n")).collect();
        let request = self.daemon.ask("POST", "/api/v1/items");
        let request = match gzip {
            true => request.header("Content-Encoding", "gzip").body(gzipped(lines.as_bytes())),
            false => request.body(lines),
        };
        for item in items {
            self.unsettle(&item_path(item));
            self.unsettle(&format!("{}#marks", item_path(item)));
        }
        let counts = self.json("POST /api/v1/items", &request)?;
        if counts["bad"] != 0 || counts["refused"] != 0 {
            return Err(Trouble::Wrong(format!("POST /api/v1/items: {counts}")));
        }
        items.iter().for_each(|item| self.promised(&item_path(item), Promise::Item(texts(item))));
        Ok(())
    }

    pub fn put_catalogue(&self, catalogue: &Value) -> Attempt {
        let path = "/api/v1/catalogue?allow_remove=true";
        let applied = self.json("PUT /api/v1/catalogue", &self.daemon.ask("PUT", path).json(catalogue))?;
        let path = format!("/api/v1/catalogue?revision={}", applied["revision"]);
        self.promised(&path, Promise::Catalogue(topic_ids(catalogue)));
        Ok(())
    }

    pub fn job_named(&self, name: &str) -> Attempt<Option<Value>> {
        let jobs = self.get("/api/v1/jobs?limit=1000")?;
        Ok(jobs["jobs"].as_array().unwrap().iter().find(|job| job["name"] == name).cloned())
    }

    /// Publishes a job of that name, or returns the one that an earlier attempt published.
    pub fn publish(&self, name: &str, mut body: Value) -> Attempt<String> {
        body["name"] = json!(name);
        let request = self.daemon.ask("POST", "/api/v1/jobs").header("Idempotency-Key", name).json(&body);
        let job = self.json("POST /api/v1/jobs", &request)?;
        Ok(self.promised_job(&job, name))
    }

    /// A retry, revert or apply of a job.
    pub fn follow_up(&self, parent: &str, verb: &str, mut body: Value) -> Attempt<String> {
        if let Some(job) = self.job_named(verb)? {
            return Ok(id_of(&job));
        }
        let parent = self.job_named(parent)?.ok_or_else(|| Trouble::Wrong(format!("no job {parent}")))?;
        body["name"] = json!(verb);
        let job = self.post(&format!("{}/{verb}", job_path(&id_of(&parent))), &body)?;
        Ok(self.promised_job(&job, verb))
    }

    fn promised_job(&self, job: &Value, name: &str) -> String {
        let id = id_of(job);
        self.promised(&job_path(&id), Promise::Job(vec![("name", vec![json!(name)])]));
        id
    }

    /// Waits for the end of a job.
    pub fn await_end(&self, id: &str) -> Attempt {
        let path = job_path(id);
        let job = self.await_some(&format!("the end of job {id}"), || {
            Ok(Some(self.get(&path)?).filter(|job| !job["finished_at"].is_null()))
        })?;
        let fields = ["name", "state", "counts", "outcomes", "labels"];
        self.promised(&path, Promise::Job(fields.map(|field| (field, vec![job[field].clone()])).into()));
        Ok(())
    }

    pub fn await_all_jobs(&self) -> Attempt {
        self.await_some("the end of all jobs", || {
            let jobs = self.get("/api/v1/jobs?limit=1000")?;
            let open = |job: &Value| ["queued", "planning", "running", "cancelling"].iter().any(|s| job["state"] == *s);
            Ok((!jobs["jobs"].as_array().unwrap().iter().any(open)).then_some(()))
        })
    }

    pub fn await_some<T>(&self, what: &str, mut look: impl FnMut() -> Attempt<Option<T>>) -> Attempt<T> {
        let until = Instant::now() + self.patience;
        loop {
            if let Some(found) = look()? {
                return Ok(found);
            }
            if Instant::now() > until {
                return Err(Trouble::Late(what.to_owned()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn await_ready(&self) -> Attempt {
        let request = self.daemon.ask_openly("GET", "/readyz");
        self.await_some("ready", || match self.send("GET /readyz", &request) {
            Err(Trouble::Refused(..)) => Ok(None),
            other => other.map(|_| Some(())),
        })
    }

    /// The promises that the daemon does not keep.
    pub fn broken_promises(&self, promises: &BTreeMap<String, Promise>) -> Attempt<Vec<String>> {
        let mut broken = Vec::new();
        for (subject, promise) in promises {
            if let Some(why) = self.broken(subject, promise)? {
                broken.push(format!("acknowledged and lost: {subject} {promise:?}: {why}"));
            }
        }
        Ok(broken)
    }

    fn broken(&self, subject: &str, promise: &Promise) -> Attempt<Option<String>> {
        let ask = |token: &str| self.daemon.ask_openly("GET", "/api/v1/status").header("Authorization", token);
        let request = match promise {
            // The cookie is named after the port, which may be another after a restart.
            Promise::Session(value) => {
                let cookie = format!("relabeld_{}={value}", self.daemon.address.port());
                self.daemon.ask_openly("GET", "/api/v1/status").header("Cookie", &cookie)
            }
            Promise::Token(token, _) => ask(&format!("Bearer {token}")),
            _ => self.daemon.ask("GET", subject.split('#').next().unwrap()),
        };
        let reply = request.try_send().map_err(|error| Trouble::Gone(format!("GET {subject}"), error))?;
        let wrong = match promise {
            Promise::Erased | Promise::Deleted => reply.status != 404,
            Promise::Session(_) => reply.status != 200,
            Promise::Token(_, replaced) => {
                let replaced = self.send("the replaced token", &ask(&format!("Bearer {replaced}")));
                reply.status != 200 || !matches!(replaced, Err(Trouble::Refused(_, reply)) if reply.status == 401)
            }
            _ if reply.status != 200 => true,
            Promise::Item(expected) => texts(&reply.json()) != *expected,
            Promise::Catalogue(expected) => topic_ids(&reply.json()) != *expected,
            Promise::Marks(count) => reply.json()["marks"].as_array().is_none_or(|marks| marks.len() != *count),
            Promise::Job(fields) => fields.iter().any(|(field, values)| !values.contains(&reply.json()[*field])),
        };
        Ok(wrong.then(|| format!("{} {}", reply.status, shorten(&String::from_utf8_lossy(&reply.body)))))
    }

    /// What users see, without the numbers of jobs and the times: the same for the same data.
    pub fn view(&self) -> Attempt<View> {
        let labels = self.rows("/api/v1/labels.ndjson")?;
        let feed = match self.rows("/api/v1/labels.ndjson?since=0") {
            // Part of it was pruned.
            Err(Trouble::Refused(_, reply)) if reply.status == 409 => "pruned".into(),
            rows => fold(&rows?, &labels).unwrap_or_else(|fault| fault),
        };
        let mut view = View::from([("feed".to_owned(), vec![feed])]);
        let evidence =
            ["kind", "id", "transcript", "block", "topic", "source", "phrase", "score", "start", "end", "revision"];
        view.insert("labels".into(), labels.iter().map(|row| pick(row, &evidence)).collect());
        let jobs = self.get("/api/v1/jobs?limit=1000")?;
        let summary = |job: &Value| match job["name"].as_str() {
            // How far it came depends on the machine.
            Some("cancel") => pick(job, &["name", "kind", "state"]),
            _ => pick(job, &["name", "kind", "state", "error", "dry_run", "counts", "outcomes", "reasons", "labels"]),
        };
        view.insert("jobs".into(), jobs["jobs"].as_array().unwrap().iter().map(summary).collect());
        let mut catalogue = self.get("/api/v1/catalogue")?;
        catalogue.as_object_mut().unwrap().remove("applied_at");
        view.insert("catalogue".into(), vec![catalogue.to_string()]);
        view.insert("topics".into(), vec![self.get("/api/v1/topics")?.to_string()]);
        view.insert("items".into(), vec![self.get("/api/v1/status")?["items"].to_string()]);
        view.values_mut().for_each(|rows| rows.sort_unstable());
        Ok(view)
    }
}

/// Sorted rows by what they show.
pub type View = BTreeMap<String, Vec<String>>;

/// Where two views differ, a few rows of each.
pub fn differences(expected: &View, found: &View) -> Vec<String> {
    let mut faults = Vec::new();
    for (what, rows) in expected {
        let found = &found[what];
        if found != rows {
            let only = |these: &[String], those: &[String]| {
                let rows: Vec<_> = these.iter().filter(|row| !those.contains(row)).collect();
                let shown: Vec<_> = rows.iter().take(2).map(|row| shorten(row)).collect();
                format!("{} rows, such as {}", rows.len(), shown.join(" and "))
            };
            faults.push(format!("{what}: missing {}; unexpected {}", only(rows, found), only(found, rows)));
        }
    }
    faults
}

/// Folds the feed of changes from its beginning. An error where a change contradicts those before it, or where the
/// result differs from the labels.
fn fold(feed: &[Value], labels: &[Value]) -> Result<String, String> {
    let key = |row: &Value| pick(row, &["kind", "id", "transcript", "block", "topic"]);
    let mut folded: BTreeMap<String, (Value, Value)> = BTreeMap::new();
    for row in feed {
        let contradiction = match row["change"].as_str().unwrap() {
            "added" => folded.insert(key(row), (row["id"].clone(), row["score"].clone())).is_some(),
            "updated" => folded.insert(key(row), (row["id"].clone(), row["score"].clone())).is_none(),
            "removed" => folded.remove(&key(row)).is_none(),
            _ => {
                folded.retain(|_, (id, _)| *id != row["id"]);
                false
            }
        };
        if contradiction {
            return Err(format!("the feed contradicts itself at {row}"));
        }
    }
    let folded: BTreeMap<String, Value> = folded.into_iter().map(|(key, (_, score))| (key, score)).collect();
    let labels: BTreeMap<String, Value> = labels.iter().map(|row| (key(row), row["score"].clone())).collect();
    if folded != labels {
        return Err(format!("the feed folds to {} labels, and {} stand", folded.len(), labels.len()));
    }
    Ok("whole".into())
}

fn pick(row: &Value, fields: &[&str]) -> String {
    let fields: Vec<String> = fields.iter().map(|field| format!("{field}={}", row[field])).collect();
    fields.join(" ")
}

fn shorten(text: &str) -> String {
    text.chars().take(400).collect()
}

pub fn id_of(job: &Value) -> String {
    job["id"].as_str().unwrap().to_owned()
}

pub fn job_path(id: &str) -> String {
    format!("/api/v1/jobs/{id}")
}

pub fn item_path(item: &Value) -> String {
    format!("/api/v1/items/{}/{}", item["kind"].as_str().unwrap(), item["id"].as_str().unwrap())
}

/// All texts of an item, in their order.
fn texts(item: &Value) -> Vec<String> {
    let text = |value: &Value| value["text"].as_str().unwrap_or_default().to_owned();
    let Some(transcripts) = item["transcripts"].as_array() else { return vec![text(item)] };
    transcripts.iter().flat_map(|transcript| transcript["blocks"].as_array().unwrap()).map(text).collect()
}

fn topic_ids(catalogue: &Value) -> Vec<String> {
    catalogue["topics"].as_array().unwrap().iter().map(|topic| topic["id"].to_string()).collect()
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}
