//! Users of a daemon that is being killed all the time, and the book that is kept of what they asked and were told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::process::{Answer, Caller, PATIENCE, Process};

/// Seeded throws (splitmix64, Steele and others 2014): a failure can be told to somebody else by its seed.
pub struct Dice(pub u64);

impl Dice {
    pub fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.throw() % n as u64) as usize
    }

    pub fn split(&mut self) -> Dice {
        Dice(self.throw())
    }
}

/// One life of the daemon, as its users see it.
#[derive(Clone)]
struct Life {
    number: u32,
    caller: Caller,
    process: Arc<Process>,
}

#[derive(Default)]
struct Lives {
    now: Option<Life>,
    over: bool,
}

/// Where users wait for the daemon's next life.
#[derive(Default)]
pub struct Door {
    lives: Mutex<Lives>,
    changed: Condvar,
    /// The daemon is killed upon the acknowledgement that brings this to 0.
    fuse: AtomicI64,
}

impl Door {
    fn lives(&self) -> MutexGuard<'_, Lives> {
        self.lives.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub fn open(&self, number: u32, caller: Caller, process: Arc<Process>) {
        self.lives().now = Some(Life { number, caller, process });
        self.changed.notify_all();
    }

    pub fn close(&self) {
        self.lives().now = None;
        self.light_fuse(0);
    }

    /// Kills the daemon at the `acknowledgement`th acknowledgement from now; 0: at none.
    pub fn light_fuse(&self, acknowledgement: usize) {
        self.fuse.store(acknowledgement as i64, Ordering::SeqCst);
    }

    /// Users make no new requests.
    pub fn end(&self) {
        self.lives().over = true;
        self.changed.notify_all();
    }

    pub fn over(&self) -> bool {
        self.lives().over
    }

    /// The daemon's present life, or the next one; not the one in which the user saw it die.
    fn life(&self, died: u32) -> Life {
        let started = Instant::now();
        let mut lives = self.lives();
        loop {
            match &lives.now {
                Some(life) if life.number != died => return life.clone(),
                Some(life) => life.process.assert_killed(),
                // The test has failed elsewhere, and told why: this ends in silence.
                None if lives.over => std::panic::resume_unwind(Box::new("no daemon any more")),
                None => {}
            }
            assert!(started.elapsed() < PATIENCE, "a request failed in life {died}, and nobody had killed the daemon");
            let waited = self.changed.wait_timeout(lives, Duration::from_millis(50));
            lives = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
    }
}

/// Somebody who makes one request after the other.
pub struct User<'a> {
    door: &'a Door,
    /// The life in which it last saw the daemon die.
    died: u32,
}

impl<'a> User<'a> {
    pub fn new(door: &'a Door) -> User<'a> {
        User { door, died: 0 }
    }

    /// None where the daemon died before the whole answer was there.
    pub fn ask(&mut self, method: &str, path: &str, body: &str) -> Option<Answer> {
        self.ask_and(method, path, body, |_| ())
    }

    /// `note` writes an acknowledgement down; the kill that it may be the cue for comes first, so that nothing is late.
    pub fn ask_and(&mut self, method: &str, path: &str, body: &str, note: impl FnOnce(&Answer)) -> Option<Answer> {
        let life = self.door.life(self.died);
        match life.caller.try_call(method, path, body) {
            Ok(answer) => {
                let writes = method != "GET" && answer.status < 300;
                if writes && self.door.fuse.fetch_sub(1, Ordering::SeqCst) == 1 {
                    life.process.kill();
                }
                note(&answer);
                Some(answer)
            }
            Err(_) => {
                self.died = life.number;
                None
            }
        }
    }

    /// Asks in as many lives as it takes.
    pub fn insist(&mut self, method: &str, path: &str, body: &str) -> Answer {
        loop {
            if let Some(answer) = self.ask(method, path, body) {
                return answer;
            }
        }
    }
}

pub type Key = (String, String);

pub fn key_of(row: &Value) -> Key {
    let text = |name: &str| row[name].as_str().unwrap_or_else(|| panic!("no {name} in {row}")).to_owned();
    (text("kind"), text("id"))
}

pub fn path_of((kind, id): &Key) -> String {
    format!("/api/v1/items/{kind}/{id}")
}

/// What is to be labelled of an item, and its version.
pub fn content_of(item: &Value) -> Value {
    let transcripts = item["transcripts"].as_array().map(|transcripts| {
        let blocks = |t: &Value| -> Vec<Value> {
            t["blocks"].as_array().unwrap().iter().map(|b| json!([b["speaker"], b["text"]])).collect()
        };
        transcripts.iter().map(|t| json!([t["id"], t["language"], blocks(t)])).collect::<Vec<_>>()
    });
    json!([transcripts, item["text"], item["version"]])
}

/// What a job was asked to be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wish {
    Range(String),
    Single(Key),
}

/// An acknowledged job.
pub struct Promise {
    pub wish: Wish,
    /// By the clock of the book, when it was asked for.
    pub asked: u64,
}

#[derive(Default)]
pub struct Book {
    /// Counts what was written down.
    clock: u64,
    /// The last acknowledged content of each item, and when it was acknowledged.
    pub items: BTreeMap<Key, (Value, u64)>,
    /// Contents on their way: any may stand, or not.
    pub moving: BTreeMap<Key, Value>,
    pub jobs: BTreeMap<String, Promise>,
    /// Jobs that were asked for and not acknowledged.
    pub unanswered: Vec<Wish>,
    pub requests: u64,
}

impl Book {
    pub fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }
}

pub struct Town {
    pub door: Door,
    book: Mutex<Book>,
}

impl Town {
    pub fn new() -> Town {
        Town { door: Door::default(), book: Mutex::default() }
    }

    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Puts new items in, then goes on replacing some of them. After each death it looks whether all that it was told
    /// is stored is there.
    pub fn importer(&self, mut dice: Dice, mut bases: Vec<Value>) {
        let mut user = User::new(&self.door);
        let (mut next, mut revision) = (0, 0);
        let mut told: Vec<Key> = Vec::new();
        while !self.door.over() {
            let batch: Vec<Value> = if next < bases.len() {
                let size = 20 + dice.below(60);
                let batch = bases[next..].iter().take(size).cloned().collect::<Vec<_>>();
                next += batch.len();
                batch
            } else {
                revision += 1;
                // The others stay as they came, so that what jobs made of them can be told at the end.
                let hot = bases.len() / 3;
                let first = dice.below(hot);
                // Large ones keep a commit busy in which small ones wait with them.
                let most = if dice.below(3) == 0 { 80 } else { 4 };
                let size = 1 + dice.below(most);
                bases[first..hot].iter_mut().take(size).map(|base| replaced(base, revision)).collect()
            };
            self.import(&mut user, &batch, &mut told);
        }
    }

    /// Repeats a batch until it is acknowledged, as the command line does. `told` is what was stored in this life.
    fn import(&self, user: &mut User<'_>, batch: &[Value], told: &mut Vec<Key>) {
        let keys: Vec<Key> = batch.iter().map(key_of).collect();
        self.book().moving.extend(keys.iter().cloned().zip(batch.iter().cloned()));
        let lines: String = batch.iter().map(|item| format!("{item}\n")).collect();
        let acknowledged = |answer: &Answer| {
            let counts = answer.json();
            let stored: i64 = ["inserted", "updated", "unchanged"].iter().map(|n| counts[*n].as_i64().unwrap()).sum();
            assert_eq!(stored, batch.len() as i64, "{counts}");
            let mut book = self.book();
            let now = book.tick();
            for (key, item) in keys.iter().zip(batch) {
                book.moving.remove(key);
                book.items.insert(key.clone(), (item.clone(), now));
            }
            book.requests += 1;
        };
        while user.ask_and("POST", "/api/v1/items", &lines, acknowledged).is_none() {
            for key in std::mem::take(told) {
                self.verify(user, &key);
            }
        }
        told.extend(keys);
    }

    /// The item has its acknowledged content, or one that is on its way.
    pub fn verify(&self, user: &mut User<'_>, key: &Key) {
        let answer = user.insist("GET", &path_of(key), "");
        assert_eq!(answer.status, 200, "an acknowledged item is lost: {key:?}: {answer:?}");
        let shown = content_of(&answer.json());
        let book = self.book();
        let (stored, _) = &book.items[key];
        let moving = book.moving.get(key).is_some_and(|item| content_of(item) == shown);
        assert!(moving || content_of(stored) == shown, "the acknowledged content of {key:?} is lost");
    }

    /// Publishes single items, by the guide's call and by the native one.
    pub fn single_publisher(&self, mut dice: Dice) {
        let mut user = User::new(&self.door);
        while !self.door.over() {
            let Some((key, version)) = self.any_item(&mut dice) else {
                user.insist("GET", "/readyz", "");
                continue;
            };
            let (kind, id) = &key;
            let (path, body) = match (dice.below(2), kind.as_str()) {
                (0, "note") => ("/api/internal/pubsub/publish", json!({"note_id": id, "note_version": version})),
                (0, _) => ("/api/internal/pubsub/publish", json!({"conversation_fs_id": id, "note_id": ""})),
                (_, "note") => ("/api/v1/jobs", json!([{"kind": kind, "id": id, "version": version}])),
                (_, _) => ("/api/v1/jobs", json!([{"kind": kind, "id": id}])),
            };
            let body = match path {
                "/api/v1/jobs" => json!({"kind": "single", "ids": body}),
                _ => json!({"topic": "conversation_note_analysis", "key": body, "data": {}}),
            };
            // Another version may have come in meanwhile.
            self.publish(&mut user, path, &body, Wish::Single(key.clone()), kind == "note");
        }
    }

    fn any_item(&self, dice: &mut Dice) -> Option<(Key, Value)> {
        let book = self.book();
        let at = dice.below(book.items.len().max(1));
        book.items.iter().nth(at).map(|(key, (item, _))| (key.clone(), item["version"].clone()))
    }

    /// The number of the job, where it was acknowledged.
    fn publish(&self, user: &mut User<'_>, path: &str, body: &Value, wish: Wish, may_be_stale: bool) -> Option<String> {
        let asked = self.book().tick();
        let answer = user.ask("POST", path, &body.to_string());
        let mut book = self.book();
        let Some(answer) = answer else {
            book.unanswered.push(wish);
            return None;
        };
        if may_be_stale && answer.status == 409 {
            return None;
        }
        let job = answer.ok().json();
        look(&job);
        let id = job["id"].as_str().unwrap().to_owned();
        book.requests += 1;
        let before = book.jobs.insert(id.clone(), Promise { wish, asked });
        assert!(before.is_none(), "two jobs of one number: {job}");
        Some(id)
    }

    /// Publishes jobs for time ranges, a few at a time, and watches them.
    pub fn range_publisher(&self, mut dice: Dice) {
        let mut user = User::new(&self.door);
        let mut open: Vec<String> = Vec::new();
        let mut number = 0;
        while !self.door.over() {
            if open.len() < 3 {
                number += 1;
                let name = format!("range {number}");
                let until = dice.below(44);
                let mut body = json!({"name": name, "from": format!("{}d", until + 1 + dice.below(8))});
                if until > 0 {
                    body["until"] = json!(format!("{until}d"));
                }
                match dice.below(6) {
                    0 => body["types"] = json!(["notes"]),
                    1 => body["stale_only"] = json!(true),
                    2 => body["max_per_second"] = json!(100),
                    3 => body["keep_when_empty"] = json!(false),
                    _ => {}
                }
                open.extend(self.publish(&mut user, "/api/v1/jobs", &body, Wish::Range(name), false));
            }
            for id in std::mem::take(&mut open) {
                let job = user.insist("GET", &format!("/api/v1/jobs/{id}"), "").ok().json();
                look(&job);
                if job["finished_at"].is_null() {
                    open.push(id);
                }
            }
        }
    }

    /// Looks at all jobs, again and again: what was once seen of one is never taken back. Answers what the starts said
    /// that they found.
    pub fn watcher(&self) -> Vec<Value> {
        let mut user = User::new(&self.door);
        let mut seen: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        let (mut recovered, mut life) = (Vec::new(), u32::MAX);
        while !self.door.over() {
            let Some(page) = user.ask("GET", "/api/v1/jobs?limit=100", "") else { continue };
            for job in page.ok().json()["jobs"].as_array().unwrap() {
                look(job);
                let number = |name: &str| job["counts"][name].as_i64().unwrap();
                let now = vec![
                    number("done"),
                    number("failed"),
                    i64::from(!job["counts"]["total"].is_null()),
                    i64::from(!job["finished_at"].is_null()),
                ];
                let before = seen.insert(job["id"].as_str().unwrap().to_owned(), now.clone());
                let before = before.unwrap_or_else(|| vec![0; now.len()]);
                assert!(before.iter().zip(&now).all(|(before, now)| before <= now), "was {before:?}, is {job}");
            }
            if user.died != life
                && let Some(status) = user.ask("GET", "/api/v1/status", "")
            {
                life = user.died;
                recovered.push(status.ok().json()["recovered"].clone());
            }
        }
        recovered
    }
}

/// The item with one text changed; of a note, the next version.
fn replaced(base: &mut Value, revision: usize) -> Value {
    if base["kind"] == "note" {
        base["version"] = json!(base["version"].as_i64().unwrap() + 1);
        let mut item = base.clone();
        item["text"] = json!(format!("({revision}) {}", base["text"].as_str().unwrap()));
        return item;
    }
    let mut item = base.clone();
    let blocks = item["transcripts"][0]["blocks"].as_array_mut().unwrap();
    let at = revision % blocks.len();
    blocks[at]["text"] = json!(format!("({revision}) {}", blocks[at]["text"].as_str().unwrap()));
    item
}

/// `total` adds up, and nothing innocent is quarantined or wrong.
#[track_caller]
pub fn look(job: &Value) {
    let counts = &job["counts"];
    let states = ["pending", "running", "done", "failed", "quarantined", "cancelled"];
    let sum: i64 = states.iter().map(|state| counts[*state].as_i64().unwrap()).sum();
    match counts["total"].as_i64() {
        None => assert_eq!(sum, 0, "{job}"),
        Some(total) => assert_eq!(sum, total, "{job}"),
    }
    let tallied = |what: &str| job[what].as_object().unwrap().values().map(|n| n.as_i64().unwrap()).sum::<i64>();
    assert_eq!(counts["done"], tallied("outcomes"), "{job}");
    assert_eq!(counts["failed"], tallied("reasons"), "{job}");
    assert_eq!((&counts["quarantined"], &counts["cancelled"]), (&json!(0), &json!(0)), "{job}");
    assert!(job["reasons"]["error"].is_null() && job["error"].is_null(), "{job}");
}
