//! A disk without a free byte: the daemon holds its queue, refuses what needs room, and goes on by itself when there is
//! room again.
//!
//! The file systems are real: a tmpfs, whose pages run out under mapped files too, and an ext4 with blocks of 1 KB, whose
//! files have holes smaller than a page. Each is mounted in namespaces of its own, in which the test runs once more as a
//! child of itself.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Client, Ledger, StepError, job_path};
use super::daemon::{Daemon, Ended, Reply, await_some, relabeld};
use super::shim::{ALL_FILES, ENOSPC, Effect, Fault, SYNC, Shim};
use super::transitions::{Items, STEPS, Step};
use super::{check, scratch};

const PATIENCE: Duration = Duration::from_secs(30);
/// Names the mounted file system to the child.
const MOUNT: &str = "RELABELD_TEST_MOUNT";
/// Options of `unshare`, and a shell command that mounts the file system on `$0`.
const TMPFS: (&[&str], &str) = (&["-Umr"], "mount -t tmpfs -o size=24m,mode=700 none \"$0\"");
/// A loop device needs root, also in a namespace.
const EXT4: (&[&str], &str) = (
    &["-m"],
    "[ $(id -u) = 0 ] && truncate -s 24M \"$0.image\" && mkfs.ext4 -q -b 1024 -m 0 \"$0.image\" && mount -o loop \"$0.image\" \"$0\"",
);
/// The free space alone says nothing here: that there is no room is learnt from the operations that fail.
const FLAGS: [&str; 2] = ["--min-free-bytes", "0"];

#[test]
fn a_full_tmpfs_holds_the_queue() {
    on_file_system("full_disk::a_full_tmpfs_holds_the_queue", TMPFS, fills_up);
}

#[test]
fn a_full_ext4_with_blocks_of_1_kb_holds_the_queue() {
    on_file_system("full_disk::a_full_ext4_with_blocks_of_1_kb_holds_the_queue", EXT4, fills_up);
}

#[test]
fn a_start_on_a_full_tmpfs_is_held() {
    on_file_system("full_disk::a_start_on_a_full_tmpfs_is_held", TMPFS, starts_full);
}

#[test]
fn a_start_on_a_full_ext4_with_blocks_of_1_kb_is_held() {
    on_file_system("full_disk::a_start_on_a_full_ext4_with_blocks_of_1_kb_is_held", EXT4, starts_full);
}

/// Runs `scenario` on the file system; `test` names the calling test.
fn on_file_system(test: &str, (namespaces, mount): (&[&str], &str), scenario: fn(&Path)) {
    if let Some(mounted) = std::env::var_os(MOUNT) {
        return scenario(Path::new(&mounted));
    }
    let dir = tempfile::tempdir().unwrap();
    // The logs of the daemons lie beside it, where there is room.
    let point = dir.path().join("data");
    fs::create_dir(&point).unwrap();
    let script = format!("{mount} && chmod 700 \"$0\" && exec \"$@\"");
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
    let ran = Command::new("unshare")
        .args(namespaces)
        .args(["sh", "-c", &script])
        .arg(&point)
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(MOUNT, &point)
        .env("PATH", path)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&ran.stdout) + String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && text.contains("1 passed"), "{}: {text}", ran.status);
}

/// A file that takes all free space.
struct Ballast(PathBuf);

impl Ballast {
    fn on(dir: &Path) -> Ballast {
        let ballast = Ballast(dir.join("ballast"));
        ballast.grow();
        ballast
    }

    /// Until not one byte is free.
    fn grow(&self) {
        let mut file = OpenOptions::new().append(true).create(true).open(&self.0).unwrap();
        for size in [1 << 16, 1 << 12, 1 << 10, 1] {
            loop {
                match file.write(&vec![0; size]) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("{error}"),
                }
            }
            // What is only reserved so far is counted exactly after this.
            let _ = file.sync_all();
        }
    }

    fn leave(&self, bytes: u64) {
        let file = OpenOptions::new().write(true).open(&self.0).unwrap();
        file.set_len(file.metadata().unwrap().len() - bytes).unwrap();
        file.sync_all().unwrap();
    }

    fn remove(self) {
        fs::remove_file(&self.0).unwrap();
    }
}

fn step(name: &str) -> Step {
    STEPS.iter().find(|(other, _)| *other == name).unwrap().1
}

/// A daemon that answers. Its port is chosen here: on a full disk it cannot write its file `address`.
fn try_launch(dir: &Path) -> Result<Daemon, Ended> {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut daemon = Daemon::launch(relabeld(), dir, &["--min-free-bytes", "0", "--listen", &address]);
    let alive = await_some("an answer", || match daemon.exit_status() {
        Some(status) => Some(Err(Ended { status, log: daemon.log() })),
        None => daemon.ask_openly("GET", "/healthz").try_send().ok().map(|reply| Ok(reply.status)),
    });
    assert_eq!(alive?, 200, "/healthz");
    Ok(daemon)
}

fn launch(dir: &Path) -> Daemon {
    try_launch(dir).unwrap_or_else(|ended| panic!("the daemon ended with {}: {}", ended.status, ended.log))
}

/// It is a 507 that names the data directory and how much room there is.
#[track_caller]
fn assert_no_room(daemon: &Daemon, reply: &Reply) {
    let dir = daemon.dir().to_str().unwrap();
    reply.expect_problem(507, "storage_full", &[dir, "bytes"]);
}

#[track_caller]
fn assert_held(daemon: &Daemon) {
    let ready = await_some("the hold", || Some(daemon.ask_openly("GET", "/readyz").send()).filter(|r| r.status != 200));
    ready.expect_problem(503, "storage_full", &[]);
    assert_eq!(daemon.see("/api/v1/status")["held"], "storage_full");
    assert_eq!(daemon.ask_openly("GET", "/healthz").send().status, 200);
}

/// Whether pause, cancel and token rotation must succeed on the full disk.
#[derive(Clone, Copy, PartialEq)]
enum Reserve {
    /// The daemon has just released half of it: they must succeed.
    Released,
    /// The start may have used it up: they succeed or answer 507.
    Unknown,
}

/// Import and publish answer 507. Pause, cancel and token rotation succeed, or answer 507 if the reserve may be used up.
fn assert_refusals(daemon: &Daemon, slow: &str, waiting: &str, reserve: Reserve) {
    let refused = |reply: &Reply| {
        assert!(reserve == Reserve::Unknown, "{}: {}", reply.status, reply.text());
        assert_no_room(daemon, reply);
    };
    let import = daemon.ask("POST", "/api/v1/items").body(big_item("refused")).send();
    import.expect_problem(507, "storage_full", &[]);
    let publish = daemon.ask("POST", "/api/v1/jobs").json(&json!({"from": "2000-01-01"})).send();
    publish.expect_problem(507, "storage_full", &[]);
    for (path, done) in
        [(format!("{}/pause", job_path(slow)), "paused"), (format!("{}/cancel", job_path(waiting)), "cancelled")]
    {
        let reply = daemon.ask("POST", &path).send();
        match reply.status {
            200 => assert_eq!(reply.json()["state"], done, "{path}"),
            _ => refused(&reply),
        }
    }
    let replaced = daemon.token("token.read");
    let rotated = daemon.ask("POST", "/api/v1/tokens/token.read/rotate").send();
    let token = daemon.token("token.read");
    match rotated.status {
        200 => assert_ne!(token, replaced),
        _ => {
            refused(&rotated);
            assert_eq!(token, replaced);
        }
    }
    let status = daemon.ask_openly("GET", "/api/v1/status").header("Authorization", &format!("Bearer {token}")).send();
    assert_eq!(status.status, 200, "the token in the file is valid");
}

fn big_item(id: &str) -> String {
    let text = "I want my money back. ".repeat(2_000);
    json!({"kind": "note", "id": id, "version": 1, "created_at": "2026-11-01T00:00:00Z", "text": text}).to_string()
}

/// Items and rules, a slow job that has begun, and a paused one.
fn stocked(dir: &Path) -> (Daemon, Shim, Ledger, String, String) {
    let daemon = Daemon::on(dir, &FLAGS);
    let (shim, ledger) = (Shim::new(dir), Ledger::default());
    let client = Client::new(&daemon, &shim, &ledger, PATIENCE);
    let items = Items::new(80, 30);
    for name in ["import", "import gzip", "catalogue", "job"] {
        step(name)(&client, &items).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let publish = |body: Value| daemon.publish(&body);
    let waiting = publish(json!({"name": "waiting", "from": "2000-01-01", "max_per_second": 20}));
    daemon.ask("POST", &format!("{}/pause", job_path(&waiting))).send().expect(200);
    let slow = publish(json!({"name": "slow", "from": "2000-01-01", "max_per_second": 20, "keep_when_empty": false}));
    daemon.await_job(&slow, |job| job["counts"]["done"].as_i64().unwrap() > 2);
    (daemon, shim, ledger, slow, waiting)
}

/// Goes on by itself once there is room: no request wakes it.
fn assert_goes_on(mut daemon: Daemon, shim: &Shim, ledger: &Ledger, slow: &str) {
    let client = Client::new(&daemon, shim, ledger, PATIENCE);
    client.await_ready().unwrap_or_else(|error| panic!("{error}: {}", daemon.log()));
    if daemon.see(&job_path(slow))["state"] == "paused" {
        daemon.ask("POST", &format!("{}/resume", job_path(slow))).send().expect(200);
    }
    let finish = daemon.ask("PATCH", &job_path(slow)).json(&json!({"max_per_second": null}));
    assert!([200, 409].contains(&finish.send().status));
    assert_eq!(daemon.ended(slow)["state"], "completed");
    let items = Items::new(80, 30);
    step("edit")(&client, &items).unwrap_or_else(|error| panic!("{error}"));
    step("stale")(&client, &items).unwrap_or_else(|error| panic!("{error}"));
    let broken = client.lost(&ledger.acknowledged(0)).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(broken, Vec::<String>::new());
    assert_eq!(client.view().unwrap_or_else(|error| panic!("{error}"))["feed"], ["whole"]);
    daemon.terminate();
    assert_eq!(daemon.wait().code(), Some(0), "{}", daemon.log());
    assert_eq!(check(daemon.dir()), None);
}

/// The disk fills up under a running daemon.
fn fills_up(dir: &Path) {
    let (daemon, shim, ledger, slow, waiting) = stocked(dir);
    let ballast = Ballast::on(dir);
    await_some("a refused import", || {
        // The daemon may have given space back.
        ballast.grow();
        Some(daemon.ask("POST", "/api/v1/items").body(big_item("filler")).send()).filter(|reply| reply.status == 507)
    });
    assert_held(&daemon);
    assert_refusals(&daemon, &slow, &waiting, Reserve::Released);
    assert_held(&daemon);
    ballast.remove();
    assert_goes_on(daemon, &shim, &ledger, &slow);
}

/// A daemon starts on a full disk, after a kill and after a stop.
fn starts_full(dir: &Path) {
    for killed in [true, false] {
        let (mut daemon, shim, ledger, slow, waiting) = stocked(dir);
        if !killed {
            daemon.terminate();
            daemon.wait();
        }
        drop(daemon);
        let ballast = Ballast::on(dir);
        let daemon = launch(dir);
        assert_held(&daemon);
        assert_refusals(&daemon, &slow, &waiting, Reserve::Unknown);
        drop(daemon);
        let daemon = launch(dir);
        assert_held(&daemon);
        drop(daemon);
        // Another program takes the space of the reserve, which the daemon has given back.
        ballast.grow();
        assert_eq!(check(dir), None, "on a full disk, after a kill");
        let started = (0..=64).step_by(4).filter(|room| starts_with(dir, &ballast, room << 10)).count();
        assert!(started < 16, "it started without any room");
        ballast.remove();
        assert_goes_on(launch(dir), &shim, &ledger, &slow);
        for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap()) {
            if entry.file_type().unwrap().is_file() {
                fs::remove_file(entry.path()).unwrap();
            }
        }
    }
}

/// True where it starts with so many bytes free and no reserve. Where it does not, it says why: a store into a page without
/// blocks would end it without a word.
fn starts_with(dir: &Path, ballast: &Ballast, free: u64) -> bool {
    let _ = fs::remove_file(dir.join("reserve"));
    ballast.grow();
    ballast.leave(free);
    let Err(ended) = try_launch(dir) else { return true };
    let says_why = ended.log.contains(dir.to_str().unwrap()) && ended.log.contains("bytes");
    assert!(ended.status.code() == Some(1) && says_why, "{free} bytes free: {} {}", ended.status, ended.log);
    false
}

#[test]
fn a_sync_that_finds_the_disk_full_holds_the_queue() {
    let scratch = scratch();
    let dir = scratch.path().join("data");
    let (shim, ledger) = (Shim::new(&dir), Ledger::default());
    let daemon = Daemon::spawn(shim.relabeld(), &dir, &FLAGS);
    let client = Client::new(&daemon, &shim, &ledger, PATIENCE);
    let items = Items::new(80, 30);
    for name in ["import", "import gzip", "catalogue"] {
        step(name)(&client, &items).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let job = daemon.publish(&json!({"name": "slow", "from": "2000-01-01", "max_per_second": 40}));
    daemon.await_job(&job, |job| job["counts"]["done"].as_i64().unwrap() > 2);
    shim.arm(&Fault { operations: SYNC, files: ALL_FILES, first: 1, span: 0, effect: Effect::Fail(ENOSPC) });
    assert_held(&daemon);
    match step("edit")(&client, &items) {
        Err(StepError::Refused(_, reply)) => drop(reply.expect_problem(507, "storage_full", &[])),
        other => panic!("{other:?}"),
    }
    shim.disarm();
    assert_goes_on(daemon, &shim, &ledger, &job);
}
