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
pub enum StepError {
    /// The daemon closed the connection before its answer was whole, or nobody listens.
    Disconnected(String, io::Error),
    Refused(String, Reply),
    /// What the step waits for did not happen in time.
    Timeout(String),
    /// The answer is wrong, whatever failed.
    Wrong(String),
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StepError::Disconnected(request, error) => write!(f, "{request}: {error}"),
            StepError::Refused(request, reply) => {
                write!(f, "{request}: {} {}", reply.status, String::from_utf8_lossy(&reply.body))
            }
            StepError::Timeout(what) => write!(f, "{what}: not in time"),
            StepError::Wrong(what) => f.write_str(what),
        }
    }
}

pub type StepResult<T = ()> = Result<T, StepError>;

/// What an acknowledgement guarantees.
#[derive(Debug, Clone, PartialEq)]
pub enum Acknowledged {
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

/// One line of the ledger: from the record's length `at` on, the guarantee holds. None: a request about the subject is
/// under way, so nothing is known of it. A subject is a path; a part after `#` tells several guarantees of one path apart.
#[derive(Debug, Clone)]
struct Entry {
    at: u64,
    subject: String,
    guarantee: Option<Acknowledged>,
}

/// What was acknowledged, with the length of the shim's record at that moment.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Vec<Entry>>);

impl Ledger {
    fn note(&self, at: u64, subject: &str, guarantee: Option<Acknowledged>) {
        self.0.lock().unwrap().push(Entry { at, subject: subject.to_owned(), guarantee });
    }

    /// The lengths of the record at which something was acknowledged.
    pub fn moments(&self) -> Vec<u64> {
        self.0.lock().unwrap().iter().filter(|entry| entry.guarantee.is_some()).map(|entry| entry.at).collect()
    }

    /// What is guaranteed once the record has that length.
    pub fn acknowledged(&self, at: u64) -> BTreeMap<String, Acknowledged> {
        let mut guarantees = BTreeMap::new();
        for entry in self.0.lock().unwrap().iter().filter(|entry| entry.at <= at) {
            match &entry.guarantee {
                Some(guarantee) => guarantees.insert(entry.subject.clone(), guarantee.clone()),
                None => guarantees.remove(&entry.subject),
            };
        }
        guarantees
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

    pub fn send(&self, name: &str, request: &Ask) -> StepResult<Reply> {
        let reply = request.try_send().map_err(|error| StepError::Disconnected(name.to_owned(), error))?;
        if reply.status < 400 { Ok(reply) } else { Err(StepError::Refused(name.to_owned(), reply)) }
    }

    fn json(&self, name: &str, request: &Ask) -> StepResult<Value> {
        let reply = self.send(name, request)?;
        serde_json::from_slice(&reply.body)
            .map_err(|_| StepError::Wrong(format!("{name}: {} is not JSON", reply.text())))
    }

    pub fn get(&self, path: &str) -> StepResult<Value> {
        self.json(&format!("GET {path}"), &self.daemon.ask("GET", path))
    }

    pub fn post(&self, path: &str, body: &Value) -> StepResult<Value> {
        self.json(&format!("POST {path}"), &self.daemon.ask("POST", path).json(body))
    }

    fn rows(&self, path: &str) -> StepResult<Vec<Value>> {
        Ok(self.send(&format!("GET {path}"), &self.daemon.ask("GET", path))?.rows())
    }

    /// A change is on its way, so nothing is known of the subject until it is acknowledged.
    pub fn begin_change(&self, subject: &str) {
        self.ledger.note(self.shim.recorded(), subject, None);
    }

    pub fn acknowledge(&self, subject: &str, guarantee: Acknowledged) {
        self.ledger.note(self.shim.recorded(), subject, Some(guarantee));
    }

    /// Sends a change of one subject, and notes what its success guarantees.
    pub fn change(&self, subject: &str, name: &str, request: &Ask, guarantee: Acknowledged) -> StepResult<Reply> {
        self.begin_change(subject);
        let reply = self.send(name, request)?;
        self.acknowledge(subject, guarantee);
        Ok(reply)
    }

    pub fn import(&self, items: &[Value], gzip: bool) -> StepResult {
        let lines: String = items.iter().map(|item| format!("{item}\n")).collect();
        let request = self.daemon.ask("POST", "/api/v1/items");
        let request = match gzip {
            true => request.header("Content-Encoding", "gzip").body(gzipped(lines.as_bytes())),
            false => request.body(lines),
        };
        for item in items {
            self.begin_change(&item_path(item));
            self.begin_change(&format!("{}#marks", item_path(item)));
        }
        let counts = self.json("POST /api/v1/items", &request)?;
        if counts["bad"] != 0 || counts["refused"] != 0 {
            return Err(StepError::Wrong(format!("POST /api/v1/items: {counts}")));
        }
        items.iter().for_each(|item| self.acknowledge(&item_path(item), Acknowledged::Item(texts(item))));
        Ok(())
    }

    pub fn put_catalogue(&self, catalogue: &Value) -> StepResult {
        let path = "/api/v1/catalogue?allow_remove=true";
        let applied = self.json("PUT /api/v1/catalogue", &self.daemon.ask("PUT", path).json(catalogue))?;
        let path = format!("/api/v1/catalogue?revision={}", applied["revision"]);
        self.acknowledge(&path, Acknowledged::Catalogue(topic_ids(catalogue)));
        Ok(())
    }

    pub fn job_named(&self, name: &str) -> StepResult<Option<Value>> {
        let jobs = self.get("/api/v1/jobs?limit=1000")?;
        Ok(jobs["jobs"].as_array().unwrap().iter().find(|job| job["name"] == name).cloned())
    }

    /// Publishes a job of that name, or returns the one that an earlier attempt published.
    pub fn publish(&self, name: &str, mut body: Value) -> StepResult<String> {
        body["name"] = json!(name);
        let request = self.daemon.ask("POST", "/api/v1/jobs").header("Idempotency-Key", name).json(&body);
        let job = self.json("POST /api/v1/jobs", &request)?;
        Ok(self.acknowledge_job(&job, name))
    }

    /// A retry, revert or apply of a job.
    pub fn follow_up(&self, parent: &str, verb: &str, mut body: Value) -> StepResult<String> {
        if let Some(job) = self.job_named(verb)? {
            return Ok(id_of(&job));
        }
        let parent = self.job_named(parent)?.ok_or_else(|| StepError::Wrong(format!("no job {parent}")))?;
        body["name"] = json!(verb);
        let job = self.post(&format!("{}/{verb}", job_path(&id_of(&parent))), &body)?;
        Ok(self.acknowledge_job(&job, verb))
    }

    fn acknowledge_job(&self, job: &Value, name: &str) -> String {
        let id = id_of(job);
        self.acknowledge(&job_path(&id), Acknowledged::Job(vec![("name", vec![json!(name)])]));
        id
    }

    /// Waits for the end of a job.
    pub fn await_end(&self, id: &str) -> StepResult {
        let path = job_path(id);
        let job = self.await_some(&format!("the end of job {id}"), || {
            Ok(Some(self.get(&path)?).filter(|job| !job["finished_at"].is_null()))
        })?;
        let fields = ["name", "state", "counts", "outcomes", "labels"];
        self.acknowledge(&path, Acknowledged::Job(fields.map(|field| (field, vec![job[field].clone()])).into()));
        Ok(())
    }

    pub fn await_all_jobs(&self) -> StepResult {
        self.await_some("the end of all jobs", || {
            let jobs = self.get("/api/v1/jobs?limit=1000")?;
            let open = |job: &Value| ["queued", "planning", "running", "cancelling"].iter().any(|s| job["state"] == *s);
            Ok((!jobs["jobs"].as_array().unwrap().iter().any(open)).then_some(()))
        })
    }

    /// Waits until the daemon has done what it does after its answer: no file operation for a while.
    pub fn await_quiet(&self) -> StepResult {
        const QUIET: Duration = Duration::from_millis(30);
        let (mut counts, mut since) = (self.shim.counts(), Instant::now());
        self.await_some("no file operations", || {
            let now = self.shim.counts();
            if now != counts {
                (counts, since) = (now, Instant::now());
            }
            Ok((since.elapsed() >= QUIET).then_some(()))
        })
    }

    pub fn await_some<T>(&self, what: &str, mut look: impl FnMut() -> StepResult<Option<T>>) -> StepResult<T> {
        let until = Instant::now() + self.patience;
        loop {
            if let Some(found) = look()? {
                return Ok(found);
            }
            if Instant::now() > until {
                return Err(StepError::Timeout(what.to_owned()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn await_ready(&self) -> StepResult {
        let request = self.daemon.ask_openly("GET", "/readyz");
        self.await_some("ready", || match self.send("GET /readyz", &request) {
            Err(StepError::Refused(..)) => Ok(None),
            other => other.map(|_| Some(())),
        })
    }

    /// The guarantees that do not hold.
    pub fn lost(&self, guarantees: &BTreeMap<String, Acknowledged>) -> StepResult<Vec<String>> {
        let mut broken = Vec::new();
        for (subject, guarantee) in guarantees {
            if let Some(why) = self.broken(subject, guarantee)? {
                broken.push(format!("acknowledged and lost: {subject} {guarantee:?}: {why}"));
            }
        }
        Ok(broken)
    }

    fn broken(&self, subject: &str, guarantee: &Acknowledged) -> StepResult<Option<String>> {
        let ask = |token: &str| self.daemon.ask_openly("GET", "/api/v1/status").header("Authorization", token);
        let request = match guarantee {
            // The cookie is named after the port, which may be another after a restart.
            Acknowledged::Session(value) => {
                let cookie = format!("relabeld_{}={value}", self.daemon.address.port());
                self.daemon.ask_openly("GET", "/api/v1/status").header("Cookie", &cookie)
            }
            Acknowledged::Token(token, _) => ask(&format!("Bearer {token}")),
            _ => self.daemon.ask("GET", subject.split('#').next().unwrap()),
        };
        let reply = request.try_send().map_err(|error| StepError::Disconnected(format!("GET {subject}"), error))?;
        let wrong = match guarantee {
            Acknowledged::Erased | Acknowledged::Deleted => reply.status != 404,
            Acknowledged::Session(_) => reply.status != 200,
            Acknowledged::Token(_, replaced) => {
                let replaced = self.send("the replaced token", &ask(&format!("Bearer {replaced}")));
                reply.status != 200 || !matches!(replaced, Err(StepError::Refused(_, reply)) if reply.status == 401)
            }
            _ if reply.status != 200 => true,
            Acknowledged::Item(expected) => texts(&reply.json()) != *expected,
            Acknowledged::Catalogue(expected) => topic_ids(&reply.json()) != *expected,
            Acknowledged::Marks(count) => reply.json()["marks"].as_array().is_none_or(|marks| marks.len() != *count),
            Acknowledged::Job(fields) => fields.iter().any(|(field, values)| !values.contains(&reply.json()[*field])),
        };
        Ok(wrong.then(|| format!("{} {}", reply.status, shorten(&String::from_utf8_lossy(&reply.body)))))
    }

    /// What users see, without the numbers of jobs and the times: the same for the same data.
    pub fn view(&self) -> StepResult<View> {
        let labels = self.rows("/api/v1/labels.ndjson")?;
        let feed = match self.rows("/api/v1/labels.ndjson?since=0") {
            // Part of it was pruned.
            Err(StepError::Refused(_, reply)) if reply.status == 409 => "pruned".into(),
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
