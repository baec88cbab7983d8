//! The Nth file operation fails, in every persisted transition: what was acknowledged stays, all other changes are there
//! whole or not at all, and afterwards the daemon reaches the state of an undisturbed run.
//!
//! `RELABELD_SWEEP_SEED` chooses other cases, `RELABELD_SWEEP_CASES` sets the cases of each transition (thousands run for hours),
//! `RELABELD_SWEEP_ONLY` runs one case, by the name that a failure prints. The daemon's threads have no fixed order, so a
//! repeated case may hit another operation.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::client::{Client, Ledger, StepError, View, differences};
use super::daemon::{Daemon, Ended, relabeld};
use super::rng::Rng;
use super::shim::{
    ALL_FILES, CHANGES, Counts, DATABASE, EIO, ENOSPC, Effect, Fault, IN_FLIGHT, MAP, NAMES, OPEN, READ, SHM, SYNC,
    Shim, TRUNCATE, WAL, WRITE,
};
use super::transitions::{self, Items, STEPS, Step};
use super::{check, copy_dir, run_all, scratch, setting};

const CASES: u64 = 18;
/// How long a step waits while operations fail.
const UNDER_FAULTS: Duration = Duration::from_millis(1_500);
/// How long a step waits when nothing fails, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);
/// Attempts at a step once nothing fails any more.
const ATTEMPTS: usize = 5;

/// How a transition comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// By the step, on a running daemon.
    Request,
    /// By the start, and then by the step.
    Start,
    /// By SIGTERM, after the step.
    Stop,
    /// By `relabeld restore`.
    Restore,
}

#[derive(Clone, Copy)]
struct Transition {
    name: &'static str,
    kind: Kind,
    step: Step,
    flags: &'static [&'static str],
}

/// A transition with what an undisturbed run makes of it.
struct Reference {
    transition: Transition,
    /// The data directory before it; it may be missing.
    before: PathBuf,
    view: View,
    counts: Counts,
}

/// A kind of fault: which operations fail, and in which ways.
struct Class {
    name: &'static str,
    operations: u64,
    files: u64,
    effects: &'static [Effect],
    spans: &'static [u64],
}

const ERRORS: &[Effect] = &[Effect::Fail(EIO), Effect::Fail(ENOSPC)];
/// Once, for a while, for good.
const SPANS: &[u64] = &[1, 3, 0];

const CLASSES: [Class; 8] = [
    Class {
        name: "write",
        operations: WRITE,
        files: ALL_FILES,
        effects: &[Effect::Fail(EIO), Effect::Fail(ENOSPC), Effect::Short],
        spans: SPANS,
    },
    Class { name: "sync", operations: SYNC, files: ALL_FILES, effects: ERRORS, spans: SPANS },
    Class { name: "truncate", operations: TRUNCATE, files: ALL_FILES, effects: ERRORS, spans: SPANS },
    Class {
        name: "shared memory",
        operations: MAP | OPEN | CHANGES,
        files: SHM | IN_FLIGHT,
        effects: ERRORS,
        spans: &[1, 0],
    },
    Class { name: "read", operations: READ, files: ALL_FILES, effects: &[Effect::Fail(EIO)], spans: SPANS },
    Class { name: "names", operations: OPEN | NAMES, files: ALL_FILES, effects: ERRORS, spans: SPANS },
    Class { name: "kill", operations: CHANGES, files: ALL_FILES, effects: &[Effect::Kill], spans: &[1] },
    // A failed write, and a failed read of what the writer needs to recover from that.
    Class {
        name: "write, then read",
        operations: WRITE | READ,
        files: DATABASE | WAL,
        effects: &[Effect::Fail(EIO)],
        spans: &[2, 3],
    },
];

struct Case<'a> {
    /// By which it is repeated.
    name: String,
    reference: &'a Reference,
    class: &'static str,
    fault: Fault,
}

#[test]
fn a_failed_operation_loses_and_damages_nothing() {
    let seed = setting("RELABELD_SWEEP_SEED", 1);
    let number = setting("RELABELD_SWEEP_CASES", CASES) as usize;
    let only = std::env::var("RELABELD_SWEEP_ONLY").ok();
    println!("RELABELD_SWEEP_SEED={seed}");

    let scratch = scratch();
    let items = Items::new(80, 30);
    let backup = scratch.path().join("backup");
    let references = undisturbed(scratch.path(), &items, &backup);
    let mut cases: Vec<Case<'_>> = references.iter().flat_map(|reference| cases(reference, seed, number)).collect();
    cases.retain(|case| only.as_ref().is_none_or(|only| case.name == *only));
    assert!(!cases.is_empty(), "no case is called {only:?}");

    let hit = AtomicUsize::new(0);
    let run = |case: &Case<'_>| {
        let own = tempfile::tempdir_in(scratch.path()).unwrap();
        let dir = own.path().join("data");
        let mut run = CaseRun::new(case, &dir, &items, &backup);
        run.run();
        hit.fetch_add(usize::from(run.hit.is_some()), Ordering::Relaxed);
        run.report()
    };
    let results = run_all(&cases, |case| case.name.clone(), run);
    let hit = hit.into_inner();
    println!("{} transitions, {} cases, {hit} of them met their fault", references.len(), cases.len());
    let failed = results.iter().filter(|faults| !faults.is_empty()).count();
    let report: Vec<String> = results.into_iter().flatten().collect();
    assert!(failed == 0, "{failed} of {} cases failed:\n{}", cases.len(), report.join("\n"));
    assert!(only.is_some() || hit * 2 > cases.len(), "only {hit} of {} cases met their fault", cases.len());
}

fn cases(reference: &Reference, seed: u64, number: usize) -> Vec<Case<'_>> {
    let name = reference.transition.name;
    let mut kinds: Vec<(&Class, Effect, u64)> = Vec::new();
    for class in CLASSES.iter().filter(|class| reference.counts.of(class.operations, class.files) > 0) {
        let with = |effect: &Effect| class.spans.iter().map(move |span| (class, *effect, *span)).collect::<Vec<_>>();
        kinds.extend(class.effects.iter().flat_map(with));
    }
    Rng::of_case(seed, name, 0).shuffle(&mut kinds);
    let case = |n: usize| {
        let (class, effect, span) = kinds[n % kinds.len()];
        let count = reference.counts.of(class.operations, class.files);
        let first = 1 + Rng::of_case(seed, name, 1 + n).below(count);
        let fault = Fault { operations: class.operations, files: class.files, first, span, effect };
        Case { name: format!("{name} {n}"), reference, class: class.name, fault }
    };
    (0..number).map(case).collect()
}

/// Goes through all transitions without a fault.
fn undisturbed(scratch: &Path, items: &Items, backup: &Path) -> Vec<Reference> {
    let mut undisturbed = Undisturbed { scratch, items, backup, references: Vec::new() };
    let missing = scratch.join("missing");
    let request = |(name, step)| Transition { name, kind: Kind::Request, step, flags: &[] };
    let start = |name, step| Transition { name, kind: Kind::Start, step, flags: &[] };
    let mut dir = undisturbed.run(start("start", transitions::nothing), &missing);
    for step in STEPS {
        dir = undisturbed.run(request(step), &dir);
    }
    undisturbed.run(request(("backup", transitions::back_up)), &dir);
    let restore = Transition { name: "restore", kind: Kind::Restore, step: transitions::nothing, flags: &[] };
    undisturbed.run(restore, &missing);
    let flags = &["--retention-days", "0"];
    undisturbed.run(Transition { flags, ..start("retention", transitions::prune_old) }, &dir);

    let with_items = undisturbed.before("job");
    let split = request(("split", transitions::split as Step));
    undisturbed.run(Transition { flags: &["--max-items-per-job", "40"], ..split }, &with_items);
    let edit = STEPS.iter().find(|(name, _)| *name == "edit").unwrap().1;
    let stop = Transition { name: "stop", kind: Kind::Stop, step: edit, flags: &[] };
    undisturbed.run(stop, &undisturbed.before("edit"));
    let killed = undisturbed.killed_in_a_job(&with_items);
    undisturbed.run(start("recovery", |client, _| client.await_all_jobs()), &killed);
    undisturbed.run(start("upgrade", transitions::nothing), &schema_1(scratch));
    undisturbed.references
}

/// The run without faults, from which every case starts.
struct Undisturbed<'a> {
    scratch: &'a Path,
    items: &'a Items,
    backup: &'a Path,
    references: Vec<Reference>,
}

impl Undisturbed<'_> {
    fn before(&self, name: &str) -> PathBuf {
        self.references.iter().find(|reference| reference.transition.name == name).unwrap().before.clone()
    }

    /// Returns the data directory after the transition.
    fn run(&mut self, transition: Transition, before: &Path) -> PathBuf {
        let dir = self.scratch.join(format!("after-{}", self.references.len()));
        if before.exists() {
            copy_dir(before, &dir);
        }
        let (shim, ledger) = (Shim::new(&dir), Ledger::default());
        let mut counts = shim.counts();
        if transition.kind == Kind::Restore {
            let restored =
                shim.relabeld().arg("restore").arg(self.backup).arg("--data-dir").arg(&dir).output().unwrap();
            assert!(restored.status.success(), "{restored:?}");
        }
        let restored = shim.counts();
        let mut daemon = Daemon::spawn(shim.relabeld(), &dir, transition.flags);
        if transition.kind == Kind::Request {
            counts = shim.counts();
        }
        let client = Client::new(&daemon, &shim, &ledger, PATIENCE);
        let stepped = (transition.step)(&client, self.items).and_then(|()| client.await_all_jobs());
        let stepped_at = shim.counts();
        let seen = stepped.and_then(|()| Ok((client.view()?, client.lost(&ledger.acknowledged(0))?)));
        let (view, lost) = seen.unwrap_or_else(|error| panic!("{}: {error}", transition.name));
        assert_eq!(lost, Vec::<String>::new(), "{}", transition.name);
        if transition.name == "backup" {
            fs::copy(dir.with_extension("backup"), self.backup).unwrap();
        }
        if transition.kind == Kind::Stop {
            counts = shim.counts();
        }
        daemon.terminate();
        assert_eq!(daemon.wait().code(), Some(0), "{}", daemon.log());
        let after = match transition.kind {
            Kind::Request | Kind::Start => stepped_at,
            Kind::Stop => shim.counts(),
            Kind::Restore => restored,
        };
        assert_eq!(check(&dir), None, "{}", transition.name);
        let counts = after.since(&counts);
        assert!(counts.of(CHANGES, ALL_FILES) > 0, "{} changes nothing", transition.name);
        self.references.push(Reference { transition, before: before.to_owned(), view, counts });
        dir
    }

    /// A directory that a daemon left when it was killed in the middle of a job.
    fn killed_in_a_job(&self, before: &Path) -> PathBuf {
        let dir = self.scratch.join("killed");
        copy_dir(before, &dir);
        let daemon = Daemon::on(&dir, &[]);
        let job = daemon.publish(&serde_json::json!({"from": "2000-01-01", "name": "killed", "max_per_second": 150}));
        daemon.await_job(&job, |job| job["counts"]["done"].as_i64().unwrap() >= 20);
        drop(daemon);
        dir
    }
}

/// The database that a daemon of schema 1 left when it was killed.
fn schema_1(scratch: &Path) -> PathBuf {
    let dir = scratch.join("schema-1");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    for name in ["relabeld.db", "relabeld.db-wal"] {
        let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/store/schema_1/{name}.gz"));
        let mut packed = flate2::read::GzDecoder::new(File::open(packed).unwrap());
        io::copy(&mut packed, &mut File::create(dir.join(name)).unwrap()).unwrap();
    }
    dir
}

/// One case under way.
struct CaseRun<'a> {
    case: &'a Case<'a>,
    items: &'a Items,
    backup: &'a Path,
    dir: &'a Path,
    shim: Shim,
    ledger: Ledger,
    daemon: Option<Daemon>,
    /// The first operation that failed.
    hit: Option<String>,
    errors: Vec<String>,
    logs: String,
    faults: Vec<String>,
}

impl<'a> CaseRun<'a> {
    fn new(case: &'a Case<'a>, dir: &'a Path, items: &'a Items, backup: &'a Path) -> CaseRun<'a> {
        if case.reference.before.exists() {
            copy_dir(&case.reference.before, dir);
        }
        let shim = Shim::new(dir);
        CaseRun {
            case,
            items,
            backup,
            dir,
            shim,
            ledger: Ledger::default(),
            daemon: None,
            hit: None,
            errors: Vec::new(),
            logs: String::new(),
            faults: Vec::new(),
        }
    }

    fn run(&mut self) {
        self.run_with_fault();
        self.shim.disarm();
        if self.shim.hits() == 0 {
            return;
        }
        self.hit = Some(self.shim.first_hit());
        if self.recover().is_none() {
            return;
        }
        self.compare();
        if let Some(mut daemon) = self.daemon.take() {
            daemon.terminate();
            let status = daemon.wait();
            if status.code() != Some(0) {
                self.faults.push(format!("a later stop ended with {status}"));
            }
            self.logs += &daemon.log();
        }
        self.faults.extend(check(self.dir));
        if self.start().is_some() {
            self.compare();
        }
    }

    /// The transition while operations fail.
    fn run_with_fault(&mut self) {
        let Transition { kind, flags, step, .. } = self.case.reference.transition;
        if kind == Kind::Restore {
            self.shim.arm(&self.case.fault);
            let mut command = self.shim.relabeld();
            let output = command.arg("restore").arg(self.backup).arg("--data-dir").arg(self.dir).output().unwrap();
            self.shim.disarm();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            if !output.status.success() {
                self.check_exit(output.status, &said);
                self.errors.push(said);
                // What is there is whole, or the restore can be repeated.
                let again =
                    relabeld().arg("restore").arg(self.backup).arg("--data-dir").arg(self.dir).output().unwrap();
                if !again.status.success() && !self.dir.join("relabeld.db").exists() {
                    self.faults.push(format!("a repeated restore: {}", String::from_utf8_lossy(&again.stderr)));
                }
            }
            return;
        }
        if kind == Kind::Start {
            self.shim.arm(&self.case.fault);
        }
        let mut daemon = match Daemon::try_spawn(self.shim.relabeld(), self.dir, flags) {
            Ok(daemon) => daemon,
            Err(Ended { status, log }) => {
                self.check_exit(status, &log);
                self.logs += &log;
                return;
            }
        };
        if kind == Kind::Request {
            self.shim.arm(&self.case.fault);
        }
        let patience = if kind == Kind::Stop { PATIENCE } else { UNDER_FAULTS };
        let client = Client::new(&daemon, &self.shim, &self.ledger, patience);
        match step(&client, self.items) {
            Ok(()) => {}
            Err(StepError::Wrong(what)) => self.faults.push(what),
            Err(error) => self.errors.push(format!("under the fault: {error}")),
        }
        if kind == Kind::Stop {
            self.shim.arm(&self.case.fault);
            daemon.terminate();
            daemon.wait();
        }
        self.daemon = Some(daemon);
    }

    /// The process ended by itself: that is allowed where it says why.
    fn check_exit(&mut self, status: ExitStatus, log: &str) {
        let killed = self.case.fault.effect == Effect::Kill && status.signal() == Some(9);
        let stopped = self.case.reference.transition.kind == Kind::Stop && status.code() == Some(0);
        let says_why = status.code() == Some(1) && log.lines().any(|line| line.starts_with("relabeld: "));
        if !killed && !stopped && !says_why {
            self.faults.push(format!("the process ended with {status}, and its log does not say why: {log}"));
        }
    }

    /// Notes the end of a daemon that has ended.
    fn reap(&mut self) {
        if let Some(mut daemon) = self.daemon.take_if(|daemon| daemon.exit_status().is_some()) {
            let (status, log) = (daemon.wait(), daemon.log());
            self.check_exit(status, &log);
            self.logs += &log;
        }
    }

    /// A daemon without the shim, where none runs. None where it does not start.
    fn start(&mut self) -> Option<()> {
        self.reap();
        if self.daemon.is_none() {
            match Daemon::try_spawn(relabeld(), self.dir, self.case.reference.transition.flags) {
                Ok(daemon) => self.daemon = Some(daemon),
                Err(Ended { status, log }) => {
                    self.faults.push(format!("a later start ended with {status}: {log}"));
                    return None;
                }
            }
        }
        Some(())
    }

    /// Repeats the step until it is done, with nothing failing any more. None where it does not succeed.
    fn recover(&mut self) -> Option<()> {
        let Transition { kind, step, .. } = self.case.reference.transition;
        for attempt in 0..ATTEMPTS {
            self.start()?;
            let daemon = self.daemon.as_ref().unwrap();
            let client = Client::new(daemon, &self.shim, &self.ledger, PATIENCE);
            let done = client.await_ready().and_then(|()| {
                if attempt == 0 {
                    self.faults.extend(client.lost(&self.ledger.acknowledged(0))?);
                }
                step(&client.with_patience(PATIENCE / 3), self.items)?;
                client.await_all_jobs()
            });
            let Err(error) = done else { return Some(()) };
            self.errors.push(format!("attempt {attempt}: {error}"));
            match error {
                StepError::Disconnected(..) => self.await_end()?,
                // What a start does is done by the next start.
                StepError::Timeout(_) if kind == Kind::Start => {
                    self.daemon.as_ref().unwrap().terminate();
                    self.await_end()?;
                }
                _ => {}
            }
        }
        self.faults.push(format!("the step does not succeed in {ATTEMPTS} attempts"));
        None
    }

    fn await_end(&mut self) -> Option<()> {
        let daemon = self.daemon.as_mut().unwrap();
        let stopped = daemon.wait().code() == Some(0);
        if stopped {
            self.daemon = None
        } else {
            self.reap()
        }
        Some(())
    }

    /// Compares what users see with the undisturbed run.
    fn compare(&mut self) {
        let client = Client::new(self.daemon.as_ref().unwrap(), &self.shim, &self.ledger, PATIENCE);
        let compared = client.await_all_jobs().and_then(|()| {
            let mut faults = differences(&self.case.reference.view, &client.view()?);
            faults.extend(client.lost(&self.ledger.acknowledged(0))?);
            Ok(faults)
        });
        match compared {
            Ok(faults) => self.faults.extend(faults),
            Err(error) => self.faults.push(format!("with nothing failing any more: {error}")),
        }
    }

    /// What went wrong, with the way to repeat it.
    fn report(mut self) -> Vec<String> {
        if let Some(daemon) = &self.daemon {
            self.logs += &daemon.log();
        }
        // No byte of the files is wrong, so a user who is told so would throw away a good database.
        let takes_for_damage =
            |line: &&str| ["damage", "malformed", "not a SQLite"].iter().any(|word| line.contains(word));
        if let Some(line) = self.logs.lines().chain(self.errors.iter().map(String::as_str)).find(takes_for_damage) {
            self.faults.push(format!("the failed operation is taken for damage: {line}"));
        }
        if self.faults.is_empty() {
            return self.faults;
        }
        let told = |line: &&str| ["WARN", "ERROR", "relabeld: "].iter().any(|word| line.contains(word));
        let log: Vec<&str> = self.logs.lines().filter(told).take(12).collect();
        let case = self.case;
        vec![format!(
            "{} ({}, {:?}); hit first: {}\n  {}\n  requests:\n    {}\n  log:\n    {}\n  repeat: RELABELD_SWEEP_ONLY={:?}",
            case.name,
            case.class,
            case.fault,
            self.hit.as_deref().unwrap_or("nothing"),
            self.faults.join("\n  "),
            self.errors.join("\n    "),
            log.join("\n    "),
            case.name,
        )]
    }
}
