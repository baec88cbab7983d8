//! A Debian with systemd as its first process, in namespaces of this machine: what is installed there is started, kept
//! in its bounds and stopped by the real systemd. It needs root, as `tests/run` says.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use super::daemon::await_some;

/// What `tests/run` made with debootstrap.
fn debian() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bookworm");
    assert!(root.join("ready").exists(), "{} is missing: tests/run makes it", root.display());
    root.join("root")
}

/// In namespaces of its own, all of whose processes end with this one.
fn apart(layer: &Path, script: &str) -> Command {
    let id = Command::new("id").arg("-u").output().unwrap();
    assert_eq!(id.stdout, b"0\n", "a machine of its own, with mounts and a first process, needs root");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup", "--fork", "--kill-child", "bash"]);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/service/machine.sh"));
    command.arg(debian()).arg(layer).arg(script).stdin(Stdio::null());
    command
}

/// Runs a script in a chroot of that Debian, in which no systemd is at work, with the package as its stdin.
pub fn in_chroot(package: &Path, script: &str) -> Output {
    let layer = tempfile::tempdir().unwrap();
    apart(layer.path(), script).stdin(File::open(package).unwrap()).output().unwrap()
}

pub struct Machine {
    child: Child,
    /// systemd's, seen from here.
    first: String,
    layer: tempfile::TempDir,
}

impl Machine {
    pub fn boot() -> Machine {
        let layer = tempfile::tempdir().unwrap();
        let console = layer.path().with_extension("console");
        let output = File::create(&console).unwrap();
        let mut command = apart(layer.path(), "boot");
        command.stdout(output.try_clone().unwrap()).stderr(output).process_group(0);
        let mut child = command.spawn().unwrap();
        let said = || fs::read_to_string(&console).unwrap();
        let children = format!("/proc/{0}/task/{0}/children", child.id());
        let first = await_some("the first process", || {
            assert!(child.try_wait().unwrap().is_none(), "no machine of its own can be made here: {}", said());
            let first = fs::read_to_string(&children).ok()?.trim().to_owned();
            (fs::read_to_string(format!("/proc/{first}/comm")).ok()? == "systemd\n").then_some(first)
        });
        let machine = Machine { child, first, layer };
        await_some("systemd's word that it is up", || {
            let state = machine.run("systemctl is-system-running").stdout;
            matches!(state.as_slice(), b"running\n" | b"degraded\n").then_some(())
        });
        machine
    }

    fn enter(&self, script: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.first]);
        command.args(["--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup", "--root", "env", "--chdir=/", "-i"]);
        command.args(["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8"]);
        command.args(["sh", "-euc", script]).stdin(Stdio::null());
        command
    }

    pub fn run(&self, script: &str) -> Output {
        self.enter(script).output().unwrap()
    }

    /// What a script that must succeed says.
    #[track_caller]
    pub fn told(&self, script: &str) -> String {
        succeeded(script, self.run(script))
    }

    /// The same, with the file as the script's stdin.
    #[track_caller]
    pub fn told_with(&self, file: &Path, script: &str) -> String {
        succeeded(script, self.enter(script).stdin(File::open(file).unwrap()).output().unwrap())
    }

    #[track_caller]
    pub fn json(&self, script: &str) -> serde_json::Value {
        serde_json::from_str(&self.told(script)).unwrap()
    }
}

#[track_caller]
pub fn succeeded(script: &str, output: Output) -> String {
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{script}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let journal = self.run("journalctl --no-pager -o cat -n 60");
            eprintln!("the machine's journal ends with:\n{}", String::from_utf8_lossy(&journal.stdout));
        }
        // The kernel ends all of the machine's processes with the first.
        let _ = Command::new("kill").args(["-KILL", &self.first]).status();
        let _ = self.child.wait();
        let _ = fs::remove_file(self.layer.path().with_extension("console"));
    }
}
