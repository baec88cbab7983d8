//! The Debian package's life under a real systemd: installed, used, upgraded with a job in flight, removed, purged.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::daemon::{BINARY, await_some};
use super::machine::{Machine, in_chroot, succeeded};

const ITEMS: u32 = 2_000;

/// The package of what these tests run, by this version.
fn package(scratch: &Path, version: &str) -> PathBuf {
    let file = scratch.join(format!("{version}.deb"));
    let profile = match Path::new(BINARY).parent().unwrap().file_name().unwrap().to_str() {
        Some("debug") => "dev",
        Some(profile) => profile,
        None => unreachable!(),
    };
    let mut build = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/build"));
    build.args(["--profile", profile, "--deb-version", version, "--output"]).arg(&file);
    succeeded("packaging/build", build.output().unwrap());
    file
}

fn items() -> String {
    let note = |n| {
        json!({"kind": "note", "id": format!("n-{n}"), "version": 1, "created_at": "2026-11-02T09:00:00Z",
            "text": "Asked for a refund."})
    };
    (0..ITEMS).map(|n| format!("{}\n", note(n))).collect()
}

fn install(machine: &Machine, package: &Path) {
    machine.told_with(package, "cat >/tmp/package.deb; dpkg -i /tmp/package.deb; rm /tmp/package.deb");
}

fn property(machine: &Machine, name: &str) -> String {
    machine.told(&format!("systemctl show -P {name} relabeld.service")).trim().to_owned()
}

fn job(machine: &Machine) -> Value {
    machine.json("relabeld show 1 --json")
}

/// As somebody of the group, who may not read the data directory.
const AS_MEMBER: &str = "setpriv --reuid=nobody --regid=nogroup --groups=relabeld";

#[test]
fn the_package_lives_and_leaves_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let (old, new) = (package(scratch.path(), "1.0-1"), package(scratch.path(), "1.1-1"));
    let machine = Machine::boot();
    // What the unit's filter forbids then ends the process, rather than being an error that it may get by with.
    machine.told(
        "mkdir -p /etc/systemd/system/relabeld.service.d
         printf '[Service]\\nSystemCallErrorNumber=kill\\n' >/etc/systemd/system/relabeld.service.d/filter.conf",
    );

    install(&machine, &old);
    assert_eq!(property(&machine, "ActiveState"), "active", "it is started");
    machine.told("systemctl is-enabled relabeld.service relabeld.socket");
    assert_eq!(machine.told("systemd-analyze verify --man=no /usr/lib/systemd/system/relabeld.* 2>&1"), "");
    assert_eq!(machine.told("systemctl --failed --no-legend"), "");
    let held = held_in_bounds(&machine);
    await_some("a sign of life", || property(&machine, "StatusText").starts_with("idle").then_some(()));

    fs::write(scratch.path().join("items"), items()).unwrap();
    machine.told_with(&scratch.path().join("items"), &format!("{AS_MEMBER} relabeld import -"));
    let rules = r#"{"topics":[{"id":"refund","phrases":["refund"]}]}"#;
    machine.told(&format!("echo '{rules}' | relabeld catalogue apply -"));
    machine.told("relabeld publish --from 2026-11-01 --until 2026-12-01 --max-per-second 20");
    await_some("a job in flight", || job(&machine)["counts"]["done"].as_i64().filter(|&done| done > 0));

    install(&machine, &new);
    assert_eq!(machine.told("dpkg-query -W -f '${Version}' relabeld"), "1.1-1");
    assert_ne!(property(&machine, "MainPID"), held, "the new one runs");
    it_is_started_again(&machine);
    let after = job(&machine);
    assert!(after["finished_at"].is_null(), "in flight all the while: {after}");
    machine.told("relabeld set 1 --max-per-second 100000");
    machine.told("relabeld watch 1");
    assert_whole(&machine);

    the_socket_starts_it(&machine);
    the_timers_work(&machine);
    the_journal_has_priorities(&machine);

    let files = machine.told("for file in $(dpkg -L relabeld); do [ -d $file ] || echo $file; done");
    machine.told("dpkg -r relabeld");
    assert_eq!(machine.told("ps -e -o user= 2>/dev/null | grep relabeld || true; pgrep relabeld || true"), "");
    assert_eq!(machine.told("ls /run/relabeld 2>/dev/null || true"), "");
    for file in files.lines().filter(|file| !file.starts_with("/etc/")) {
        assert!(!machine.run(&format!("test -e {file}")).status.success(), "{file} is still there");
    }
    machine.told("test -f /etc/relabeld/relabeld.toml; test -s /var/lib/relabeld/relabeld.db");

    install(&machine, &new);
    assert_whole(&machine);

    machine.told("dpkg -P relabeld; rm -r /etc/systemd/system/relabeld.service.d");
    let everywhere =
        "find / -xdev \\( -name '*relabeld*' -o -user relabeld -o -group relabeld \\) -not -path '/proc/*'";
    // /run and /tmp are file systems of their own.
    assert_eq!(machine.told(&format!("{everywhere}; {}", everywhere.replace("find /", "find /run /tmp"))), "");
    assert_eq!(machine.told("systemctl --failed --no-legend"), "");
}

/// All of the unit's restrictions that can be seen from outside hold; the process's number.
fn held_in_bounds(machine: &Machine) -> String {
    let pid = property(machine, "MainPID");
    let status = machine.told(&format!("cat /proc/{pid}/status"));
    let line = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
        line.split_whitespace().next().unwrap().to_owned()
    };
    assert_eq!((line("NoNewPrivs"), line("Seccomp"), line("CapBnd")), ("1".into(), "2".into(), "0".repeat(16)));
    assert_eq!(machine.told(&format!("stat -c %U /proc/{pid}")).trim(), "relabeld");
    let modes =
        machine.told("stat -c '%a %U %G' /var/lib/relabeld /run/relabeld/relabeld.sock /etc/relabeld/relabeld.toml");
    assert_eq!(modes, "700 relabeld relabeld\n660 root relabeld\n644 root root\n");
    let stranger = machine.run("setpriv --reuid=nobody --regid=nogroup --clear-groups relabeld status");
    assert_eq!(stranger.status.code(), Some(4), "who is not of the group is kept out");
    pid
}

#[track_caller]
fn assert_whole(machine: &Machine) {
    let job = job(machine);
    assert_eq!(job["state"], "completed", "{job}");
    assert_eq!((&job["counts"]["total"], &job["counts"]["done"]), (&json!(ITEMS), &json!(ITEMS)), "{job}");
    assert_eq!((&job["outcomes"]["changed"], &job["labels"]["added"]), (&json!(ITEMS), &json!(ITEMS)), "{job}");
    assert_eq!(machine.told("relabeld labels --format csv | tail -n +2 | wc -l").trim(), ITEMS.to_string());
}

/// Somebody who calls while the daemon is down is answered, once it is up.
fn the_socket_starts_it(machine: &Machine) {
    machine.told("systemctl stop relabeld.service 2>/dev/null");
    assert_eq!(property(machine, "ActiveState"), "inactive");
    machine.told(&format!("{AS_MEMBER} relabeld status"));
    await_some("its start", || (property(machine, "ActiveState") == "active").then_some(()));
}

fn the_timers_work(machine: &Machine) {
    machine.told("cp /usr/share/doc/relabeld/examples/systemd/* /etc/systemd/system; systemctl daemon-reload");
    for name in ["publish", "backup"] {
        machine.told(&format!("systemctl start relabeld-{name}.timer relabeld-{name}.service"));
    }
    let name = "relabeld jobs --json | grep -c nightly";
    assert_eq!(machine.told(name).trim(), "1");
    let restored = machine.json("relabeld restore /var/lib/relabeld-backup/relabeld-*.db --data-dir /tmp/copy --json");
    assert_eq!(restored["items"], ITEMS, "{restored}");
    machine.told(
        "systemctl stop relabeld-publish.timer relabeld-backup.timer
         rm /etc/systemd/system/relabeld-publish.* /etc/systemd/system/relabeld-backup.*; systemctl daemon-reload
         rm -rf /var/lib/systemd/timers/stamp-relabeld-* /var/lib/relabeld-backup /var/lib/private/relabeld-backup
         rm -r /tmp/copy",
    );
}

fn it_is_started_again(machine: &Machine) {
    assert_eq!(property(machine, "NRestarts"), "0", "nothing that the unit forbids was tried");
    machine.told("systemctl kill -s KILL relabeld.service");
    await_some("the next one", || {
        (property(machine, "NRestarts") == "1" && property(machine, "ActiveState") == "active").then_some(())
    });
}

fn the_journal_has_priorities(machine: &Machine) {
    let entries = machine.told("journalctl -u relabeld.service -o json _COMM=relabeld");
    let entries = entries.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let told: Vec<String> =
        entries.map(|entry| format!("{} {}", entry["PRIORITY"].as_str().unwrap(), entry["MESSAGE"])).collect();
    assert!(told.iter().any(|line| line.starts_with("6 \"job 1: completed")), "{told:#?}");
    assert!(!told.iter().any(|line| line.contains('<')), "a priority is no text: {told:#?}");
}

#[test]
fn where_no_systemd_runs_it_installs_all_the_same() {
    let scratch = tempfile::tempdir().unwrap();
    let package = package(scratch.path(), "1.0-1");
    let script = "cat >/tmp/package.deb; dpkg -i /tmp/package.deb; relabeld --version; dpkg -i /tmp/package.deb
        dpkg -r relabeld; dpkg -i /tmp/package.deb; dpkg -P relabeld; rm /tmp/package.deb
        find / -xdev -name '*relabeld*' -not -path '/proc/*'";
    let said = succeeded(script, in_chroot(&package, script));
    assert!(!said.lines().any(|line| line.starts_with('/')), "{said}");
}
