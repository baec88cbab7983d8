//! The real binary is killed a hundred times, and must keep every word that it gave (R1 of tests.md).
//!
//! What its users were told is written down outside of it. A kill comes at a random moment of a start or of its work,
//! or upon an acknowledgement, while many other requests wait for the same commit: a daemon that answers too early is
//! caught then.

#[path = "common/process.rs"]
mod process;
#[path = "common/traffic.rs"]
mod traffic;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use relabeld::demo::sample;
use relabeld::when::{now, rfc3339};
use serde_json::{Value, json};

use process::{Caller, Process, check, until_some};
use traffic::{Dice, Key, Town, User, Wish, content_of, key_of, look, path_of};

const KILLS: u32 = 100;

/// A kill may well hit one item three times while it runs alone: by the rules it is then quarantined, which is another
/// test. So many times would be no chance.
const FLAGS: [&str; 2] = ["--max-attempts", "10"];

/// `RELABELD_CRASH_SEED` repeats a run; the threads' turns are the machine's own.
fn seed() -> u64 {
    let seed = match std::env::var("RELABELD_CRASH_SEED") {
        Ok(seed) => seed.parse().expect("RELABELD_CRASH_SEED is a number"),
        Err(_) => now() as u64,
    };
    eprintln!("RELABELD_CRASH_SEED={seed}");
    seed
}

fn samples(seed: u64, conversations: usize, notes: usize) -> Vec<Value> {
    let lines = sample::lines(seed, conversations, notes, now());
    lines.map(|line| serde_json::from_str(&line).unwrap()).collect()
}

#[test]
fn a_hundred_kills_lose_nothing_and_double_nothing() {
    let mut dice = Dice(seed());
    let scratch = tempfile::tempdir().unwrap();
    let town = Town::new();
    let mut bases = samples(dice.throw(), 220, 100);
    // Both importers have conversations and notes, none the same.
    let (odd, even): (Vec<_>, Vec<_>) = (0..).zip(bases.drain(..)).partition(|(n, _)| n % 2 == 1);
    let own = |half: Vec<(i32, Value)>| half.into_iter().map(|(_, item)| item).collect::<Vec<_>>();

    let started = Instant::now();
    let (last, caller, recovered) = std::thread::scope(|scope| {
        let _no_user_waits_for_the_dead = EndOfTraffic(&town);
        let [first, second, third, fourth, fifth, sixth] = std::array::from_fn(|_| dice.split());
        let (odd, even) = (own(odd), own(even));
        let town = &town;
        let users = scope.spawn(move || {
            // Jobs of a catalogue without topics would have nothing to lose.
            User::new(&town.door).insist("PUT", "/api/v1/catalogue", sample::CATALOGUE).ok();
            std::thread::scope(|scope| {
                let spawn = |user: Box<dyn FnOnce() + Send>| {
                    scope.spawn(move || {
                        let _all_end_with_one = EndOfTraffic(town);
                        user();
                    });
                };
                spawn(Box::new(|| town.importer(first, odd)));
                spawn(Box::new(|| town.importer(second, even)));
                spawn(Box::new(|| town.single_publisher(third)));
                spawn(Box::new(|| town.single_publisher(fourth)));
                spawn(Box::new(|| town.single_publisher(fifth)));
                spawn(Box::new(|| town.range_publisher(sixth)));
                let _all_end_with_one = EndOfTraffic(town);
                town.watcher()
            })
        });
        for number in 1..=KILLS {
            live_and_die(scratch.path(), town, number, &mut dice);
            assert!(!users.is_finished(), "a user gave up");
        }
        let last = Arc::new(Process::start_with(scratch.path(), &FLAGS));
        let caller = last.ready();
        town.door.open(KILLS + 1, caller.clone(), Arc::clone(&last));
        town.door.end();
        (last, caller, users.join().unwrap())
    });
    let total = |what: &str| recovered.iter().map(|found| found[what].as_i64().unwrap()).sum::<i64>();
    let (given_back, suspects) = (total("leases_given_back"), total("suspects"));
    let (acknowledged, unanswered) = {
        let book = town.book();
        (book.requests, book.unanswered.len())
    };
    eprintln!(
        "{KILLS} kills in {:.1?}: {acknowledged} acknowledged, {unanswered} publishes unanswered, \
         {given_back} leases given back, {suspects} suspects",
        started.elapsed(),
    );
    // Else the kills came where nothing was going on.
    assert!(given_back > 0 && total("quarantined") == 0, "{recovered:?}");

    account(&caller, &town);
    let contents: Vec<Value> = town.book().items.values().map(|(item, _)| item.clone()).collect();
    let undisturbed = undisturbed_labels(&contents);
    let settled = settled_items(&caller, &town);
    eprintln!("{} of {} items were read since they last changed", settled.len(), contents.len());
    assert!(settled.len() * 2 > contents.len(), "{} settled", settled.len());
    let standing = labels(&caller);
    for key in &settled {
        assert_eq!(standing.get(key), undisturbed.get(key), "labels of {key:?}");
    }
    ended(&caller, &caller.post("/api/v1/jobs", &json!({"from": "60d"})));
    assert_eq!(labels(&caller), undisturbed);

    let data_dir = last.data_dir().to_owned();
    town.door.close();
    Arc::into_inner(last).unwrap().stop();
    let database = rusqlite::Connection::open(data_dir.join("relabeld.db")).unwrap();
    let integrity: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(integrity, "ok");
    drop(database);
    check(&data_dir);
    eprintln!("all in {:.1?}", started.elapsed());
}

/// However the test ends, its users do.
struct EndOfTraffic<'a>(&'a Town);

impl Drop for EndOfTraffic<'_> {
    fn drop(&mut self) {
        self.0.door.end();
    }
}

/// One life of the daemon, ended at a random moment: of its start, of its work, or upon an acknowledgement.
fn live_and_die(scratch: &Path, town: &Town, number: u32, dice: &mut Dice) {
    let process = Arc::new(Process::start_with(scratch, &FLAGS));
    let kind = dice.below(10);
    if kind < 2 {
        std::thread::sleep(Duration::from_micros(dice.below(40_000) as u64));
    } else {
        let caller = process.ready();
        town.door.open(number, caller, Arc::clone(&process));
        if kind < 5 {
            std::thread::sleep(Duration::from_micros(dice.below(150_000) as u64));
        } else {
            town.door.light_fuse(1 + dice.below(40));
            // An importer may be verifying for a while.
            let until = Instant::now() + Duration::from_secs(1);
            while process.ended().is_none() && Instant::now() < until {
                std::thread::sleep(Duration::from_micros(300));
            }
        }
        town.door.close();
    }
    process.kill();
    process.wait();
    process.assert_killed();
}

/// Looks at a job until it has ended.
fn ended(caller: &Caller, job: &Value) -> Value {
    let path = format!("/api/v1/jobs/{}", job["id"].as_str().unwrap());
    until_some("the end of a job", || {
        let job = caller.get(&path);
        look(&job);
        Some(job).filter(|job| !job["finished_at"].is_null())
    })
}

fn all_jobs(caller: &Caller) -> Vec<Value> {
    let mut jobs = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = caller.get(&format!("/api/v1/jobs?limit=1000{cursor}"));
        jobs.extend(page["jobs"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return jobs,
        }
    }
}

/// A label: where it stands, and why.
type Place = (String, u64, String);
type Why = (String, u64, u64, u64);

fn place_of(row: &Value) -> Place {
    let text = |name: &str| row[name].as_str().unwrap().to_owned();
    (text("transcript"), row["block"].as_u64().unwrap(), text("topic"))
}

fn why_of(row: &Value) -> Why {
    let number = |name: &str| row[name].as_u64().unwrap();
    (row["phrase"].as_str().unwrap().to_owned(), number("score"), number("start"), number("end"))
}

/// The labels that stand, by item.
fn labels(caller: &Caller) -> BTreeMap<Key, BTreeMap<Place, Why>> {
    let mut labels: BTreeMap<Key, BTreeMap<Place, Why>> = BTreeMap::new();
    for row in caller.rows("/api/v1/labels.ndjson") {
        let twice = labels.entry(key_of(&row)).or_default().insert(place_of(&row), why_of(&row));
        assert!(twice.is_none(), "a label stands twice: {row}");
    }
    labels
}

/// What was acknowledged is there, nothing else is, and all counts are those of the rows.
fn account(caller: &Caller, town: &Town) {
    let book = town.book();
    assert_eq!(caller.get("/api/v1/status")["items"], json!(book.items.len()));
    assert!(book.moving.is_empty(), "an import was not repeated");
    for (key, (item, _)) in &book.items {
        assert_eq!(content_of(&caller.get(&path_of(key))), content_of(item), "{key:?}");
    }

    let jobs: Vec<Value> = all_jobs(caller).iter().map(|job| ended(caller, job)).collect();
    let numbers: BTreeSet<&str> = jobs.iter().map(|job| job["id"].as_str().unwrap()).collect();
    let lost: Vec<_> = book.jobs.keys().filter(|id| !numbers.contains(id.as_str())).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");

    let mut unanswered: BTreeMap<&Wish, usize> = BTreeMap::new();
    book.unanswered.iter().for_each(|wish| *unanswered.entry(wish).or_default() += 1);
    let mut effects = BTreeSet::new();
    for job in &jobs {
        let wish = count_rows(caller, job, &mut effects);
        match book.jobs.get(job["id"].as_str().unwrap()) {
            Some(promise) => assert_eq!(promise.wish, wish, "{job}"),
            None => {
                let asked = unanswered.get_mut(&wish).filter(|n| **n > 0);
                *asked.unwrap_or_else(|| panic!("nobody asked for {job}")) -= 1;
            }
        }
    }
    replay(caller, &mut effects);
    assert!(effects.is_empty(), "jobs claim what history has not: {effects:?}");
}

/// A change of a label by a job.
type Effect = (String, Key, Place, String);

/// Compares a job's counters with its rows, and gathers what it did. Answers what it was asked to be.
fn count_rows(caller: &Caller, job: &Value, effects: &mut BTreeSet<Effect>) -> Wish {
    let id = job["id"].as_str().unwrap();
    assert_eq!(job["state"], "completed", "{job}");
    let items = caller.rows(&format!("/api/v1/jobs/{id}/items.ndjson"));
    assert_eq!(job["counts"]["total"], json!(items.len()), "{job}");
    let keys: BTreeSet<Key> = items.iter().map(key_of).collect();
    assert_eq!(keys.len(), items.len(), "an item twice in one job: {job}");
    let mut counted: BTreeMap<String, i64> = BTreeMap::new();
    for item in &items {
        let word = item["outcome"].as_str().or(item["reason"].as_str());
        *counted.entry(word.unwrap_or_else(|| panic!("not ended: {item}")).to_owned()).or_default() += 1;
    }
    let mut told = job["outcomes"].as_object().unwrap().clone();
    told.extend(job["reasons"].as_object().unwrap().clone());
    assert_eq!(json!(counted), json!(told), "{job}");

    let mut changes: BTreeMap<String, i64> = BTreeMap::new();
    for row in caller.rows(&format!("/api/v1/jobs/{id}/labels.ndjson?change=all")) {
        let change = row["change"].as_str().unwrap().to_owned();
        *changes.entry(change.clone()).or_default() += 1;
        let new = effects.insert((id.to_owned(), key_of(&row), place_of(&row), change));
        assert!(new, "an effect twice in job {id}: {row}");
    }
    for change in ["added", "removed", "updated"] {
        assert_eq!(job["labels"][change], json!(changes.get(change).copied().unwrap_or_default()), "{job}");
    }
    match job["name"].as_str() {
        Some(name) => Wish::Range(name.to_owned()),
        None => Wish::Single(keys.into_iter().next().unwrap()),
    }
}

/// All of history from the first change on gives the labels that stand, and is what the jobs did, once each.
fn replay(caller: &Caller, effects: &mut BTreeSet<Effect>) {
    let mut replayed: BTreeMap<Key, BTreeMap<Place, Why>> = BTreeMap::new();
    for row in caller.rows("/api/v1/labels.ndjson?since=0") {
        let (key, place, change) = (key_of(&row), place_of(&row), row["change"].as_str().unwrap().to_owned());
        let labels = replayed.entry(key.clone()).or_default();
        let before = match change.as_str() {
            "removed" => labels.remove(&place),
            _ => labels.insert(place.clone(), why_of(&row)),
        };
        assert_eq!(before.is_some(), change != "added", "{row}");
        if let Some(job) = row["job"].as_str() {
            assert!(effects.remove(&(job.to_owned(), key, place, change)), "twice, or no job's: {row}");
        }
    }
    replayed.retain(|_, labels| !labels.is_empty());
    assert_eq!(replayed, labels(caller));
}

/// The items that some job read after they had their present content: it was asked for after that was acknowledged.
fn settled_items(caller: &Caller, town: &Town) -> BTreeSet<Key> {
    const READ: [&str; 4] = ["changed", "unchanged", "program_has_no_topics", "no_topics_detected"];
    let book = town.book();
    let mut settled = BTreeSet::new();
    for (id, promise) in &book.jobs {
        for row in caller.rows(&format!("/api/v1/jobs/{id}/items.ndjson")) {
            let word = row["outcome"].as_str().or(row["reason"].as_str()).unwrap();
            let key = key_of(&row);
            if READ.contains(&word) && book.items[&key].1 < promise.asked {
                settled.insert(key);
            }
        }
    }
    settled
}

/// What stands after one import and one job over the same items, with nothing in between.
fn undisturbed_labels(contents: &[Value]) -> BTreeMap<Key, BTreeMap<Place, Why>> {
    let scratch = tempfile::tempdir().unwrap();
    let (process, caller) = Process::serving(scratch.path());
    caller.call("PUT", "/api/v1/catalogue", sample::CATALOGUE);
    import(&caller, contents);
    let job = ended(&caller, &caller.post("/api/v1/jobs", &json!({"from": "60d"})));
    assert_eq!(job["counts"]["total"], json!(contents.len()));
    let labels = labels(&caller);
    assert!(labels.len() * 4 > contents.len(), "only {} items have labels", labels.len());
    process.stop();
    labels
}

fn import(caller: &Caller, items: &[Value]) {
    let lines: String = items.iter().map(|item| format!("{item}\n")).collect();
    let counts = caller.call("POST", "/api/v1/items", &lines).json();
    assert_eq!(counts["inserted"], json!(items.len()), "{counts}");
}

/// A daemon with work before it: the job that it drains.
fn busy(scratch: &Path) -> (Process, Caller, Value) {
    let (process, caller) = Process::serving(scratch);
    caller.call("PUT", "/api/v1/catalogue", sample::CATALOGUE);
    import(&caller, &samples(7, 1_500, 500));
    let job = caller.post("/api/v1/jobs", &json!({"from": "60d"}));
    let path = format!("/api/v1/jobs/{}", job["id"].as_str().unwrap());
    let draining = until_some("the drain", || {
        let job = caller.get(&path);
        Some(job).filter(|job| job["counts"]["done"] != 0)
    });
    assert!(draining["finished_at"].is_null(), "the drain was over too soon: {draining}");
    (process, caller, job)
}

/// The job ends well, and nothing tells of a crash.
fn ends_whole(caller: &Caller, job: &Value) {
    let job = ended(caller, job);
    let counts = &job["counts"];
    assert_eq!(counts["total"], json!(counts["done"].as_i64().unwrap() + counts["failed"].as_i64().unwrap()), "{job}");
    count_rows(caller, &job, &mut BTreeSet::new());
    let recovered = json!({"leases_given_back": 0, "suspects": 0, "quarantined": 0});
    assert_eq!(caller.get("/api/v1/status")["recovered"], recovered);
}

#[test]
fn sigterm_in_a_drain_ends_well_and_soon_and_gives_the_leases_back() {
    let scratch = tempfile::tempdir().unwrap();
    let (process, _, job) = busy(scratch.path());
    let asked = Instant::now();
    process.stop();
    assert!(asked.elapsed() < Duration::from_secs(8), "{:?}", asked.elapsed());

    let data_dir = scratch.path().join("data");
    check(&data_dir);
    let database = rusqlite::Connection::open(data_dir.join("relabeld.db")).unwrap();
    let leased: i64 =
        database.query_row("SELECT sum(running) + (SELECT sum(leased) FROM chunk) FROM job", [], |r| r.get(0)).unwrap();
    assert_eq!(leased, 0);
    drop(database);

    let (process, caller) = Process::serving(scratch.path());
    ends_whole(&caller, &job);
    process.stop();
    check(&data_dir);
}

#[test]
fn a_second_sigterm_ends_at_once() {
    let scratch = tempfile::tempdir().unwrap();
    let (process, caller, job) = busy(scratch.path());
    // A request whose body never comes holds a graceful end up.
    let _held = caller.hang("POST", "/api/v1/items", "{");
    process.signal("TERM");
    process.hear("STOPPING=1");
    let again = Instant::now();
    process.signal("TERM");
    let status = process.wait();
    assert_eq!(status.code(), Some(128 + 15), "{status:?}");
    assert!(again.elapsed() < Duration::from_secs(1), "it waited for the request: {:?}", again.elapsed());
    drop(process);

    let (process, caller) = Process::serving(scratch.path());
    let job = ended(&caller, &job);
    count_rows(&caller, &job, &mut BTreeSet::new());
    process.stop();
    check(&scratch.path().join("data"));
}

#[test]
fn a_stopped_process_goes_on_where_it_was() {
    let scratch = tempfile::tempdir().unwrap();
    let (process, caller, job) = busy(scratch.path());
    for _ in 0..5 {
        process.signal("STOP");
        until_some("SIGSTOP", || (process.kernel_state() == 'T').then_some(()));
        process.signal("CONT");
        look(&caller.get(&format!("/api/v1/jobs/{}", job["id"].as_str().unwrap())));
    }
    ends_whole(&caller, &job);
    process.stop();
    check(&scratch.path().join("data"));
}

#[test]
fn what_was_being_analysed_at_a_kill_is_run_again_alone_and_ends() {
    let scratch = tempfile::tempdir().unwrap();
    let (process, caller) = Process::serving(scratch.path());
    caller.call("PUT", "/api/v1/catalogue", sample::CATALOGUE);
    let mut items = samples(11, 40, 0);
    // The oldest, so the first, and so long that no kill comes too late.
    items[0]["started_at"] = json!(rfc3339(now() - 50 * 86_400_000));
    let talk = items[0]["transcripts"][0]["blocks"].as_array().unwrap().clone();
    let blocks: Vec<_> = talk.into_iter().cycle().take(20_000).collect();
    items[0]["transcripts"][0]["blocks"] = json!(blocks);
    import(&caller, &items);
    let job = caller.post("/api/v1/jobs", &json!({"from": "60d"}));
    let long = key_of(&items[0]);

    let (mut process, mut caller) = (process, caller);
    let mut suspects = Vec::new();
    // A third death of an item that is alone in flight would be its end.
    for _ in 0..2 {
        until_some("an analysis", || (process.in_analysis() > 0).then_some(()));
        process.kill();
        drop(process);
        (process, caller) = Process::serving(scratch.path());
        suspects.push(caller.get("/api/v1/status")["recovered"]["suspects"].as_i64().unwrap());
    }
    assert!(suspects.iter().all(|n| (1..=2).contains(n)), "{suspects:?}");
    let job = ended(&caller, &job);
    count_rows(&caller, &job, &mut BTreeSet::new());
    let rows = caller.rows(&format!("/api/v1/jobs/{}/items.ndjson", job["id"].as_str().unwrap()));
    let again = rows.iter().filter(|row| row["attempts"] != 1).count() as i64;
    assert!(again >= 1 && again <= suspects.iter().sum(), "bystanders were charged: {rows:?}");
    assert!(rows.iter().any(|row| key_of(row) == long && row["finished_at"].is_string()));
    process.stop();
    check(&scratch.path().join("data"));
}
