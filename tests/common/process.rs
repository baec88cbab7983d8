//! The real binary on a data directory, and a caller of its HTTP API, as any user has them.
#![allow(dead_code)] // Each test binary uses a part of it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Nothing here takes longer, unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at what tells nobody when it changes.
const LOOK: Duration = Duration::from_millis(2);

/// Looks until there is something to see.
pub fn until_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(started.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(LOOK);
    }
}

/// A `relabeld serve`. It is killed when this goes, and its log is shown if that is in a panic.
pub struct Process {
    child: Mutex<Child>,
    pid: u32,
    /// What it tells systemd.
    ear: UnixDatagram,
    data_dir: PathBuf,
    log: PathBuf,
}

impl Process {
    /// Starts it on `dir/data`, with its log beside it; it is not ready yet.
    pub fn start(dir: &Path) -> Process {
        Process::start_with(dir, &[])
    }

    pub fn start_with(dir: &Path, flags: &[&str]) -> Process {
        let (data_dir, log, notices) = (dir.join("data"), dir.join("log"), dir.join("notices"));
        let _ = fs::remove_file(&notices);
        let ear = UnixDatagram::bind(&notices).unwrap();
        ear.set_read_timeout(Some(LOOK)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_relabeld"))
            .args(["serve", "--listen", "127.0.0.1:0", "--workers", "2", "--data-dir"])
            .arg(&data_dir)
            .args(flags)
            .env("NOTIFY_SOCKET", &notices)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Process { pid: child.id(), child: Mutex::new(child), ear, data_dir, log }
    }

    /// Starts it and waits until it serves.
    pub fn serving(dir: &Path) -> (Process, Caller) {
        let process = Process::start(dir);
        let caller = process.ready();
        (process, caller)
    }

    /// Waits until it serves.
    pub fn ready(&self) -> Caller {
        self.ready_or_ended().unwrap_or_else(|| panic!("it ended instead of serving: {:?}", self.ended()))
    }

    /// Waits until it serves. None where it ended before.
    pub fn ready_or_ended(&self) -> Option<Caller> {
        let text = |name| fs::read_to_string(self.data_dir.join(name)).unwrap();
        self.hears("READY=1").then(|| Caller { address: text("address"), token: text("token").trim().to_owned() })
    }

    /// Waits until it tells systemd so.
    pub fn hear(&self, notice: &str) {
        assert!(self.hears(notice), "it ended without {notice}: {:?}", self.ended());
    }

    /// Waits until it tells systemd so. False where it ended before.
    fn hears(&self, notice: &str) -> bool {
        let mut buffer = [0; 512];
        until_some(notice, || {
            // Looked at first: whatever it said before its end is there to be heard then.
            let ended = self.ended().is_some();
            match self.ear.recv(&mut buffer) {
                Ok(n) => String::from_utf8_lossy(&buffer[..n]).lines().any(|line| line == notice).then_some(true),
                Err(_) => ended.then_some(false),
            }
        })
    }

    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// How many items are being analysed: the slots of the file `begun` that name one.
    pub fn in_analysis(&self) -> usize {
        let bytes = fs::read(self.data_dir.join("begun")).unwrap_or_default();
        bytes.chunks_exact(24).filter(|slot| slot.iter().any(|byte| *byte != 0)).count()
    }

    /// SIGKILL. One that is dead already is fine.
    pub fn kill(&self) {
        let _ = self.child.lock().unwrap().kill();
    }

    /// `TERM`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.pid)]).status().unwrap();
        assert!(sent.success(), "kill -{name}");
    }

    /// The kernel's letter for what it does: `T` is stopped.
    pub fn kernel_state(&self) -> char {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap();
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).unwrap()
    }

    pub fn ended(&self) -> Option<ExitStatus> {
        self.child.lock().unwrap().try_wait().unwrap()
    }

    /// Waits for its end.
    pub fn wait(&self) -> ExitStatus {
        until_some("the end of the daemon", || self.ended())
    }

    /// If it has ended, SIGKILL did it: it gave up by itself nowhere.
    pub fn assert_killed(&self) {
        if let Some(status) = self.ended() {
            assert_eq!(status.signal(), Some(9), "the daemon gave up: {status}");
        }
    }

    /// SIGTERM, and a good end of it.
    pub fn stop(self) {
        self.signal("TERM");
        assert_eq!(self.wait().code(), Some(0), "after SIGTERM");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        let _ = self.child.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            eprintln!("the daemon's log ends with:\n{}", log.lines().rev().take(20).collect::<Vec<_>>().join("\n"));
        }
    }
}

/// `relabeld check` on a data directory that no daemon uses.
pub fn check(data_dir: &Path) {
    let checked =
        Command::new(env!("CARGO_BIN_EXE_relabeld")).args(["check", "--data-dir"]).arg(data_dir).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout) + String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && said.contains("database: ok"), "{said}");
}

/// An answer that was read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The rows of an NDJSON export.
    #[track_caller]
    pub fn rows(&self) -> Vec<Value> {
        let row = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.body.lines().map(row).collect()
    }

    #[track_caller]
    pub fn ok(self) -> Answer {
        assert!((200..300).contains(&self.status), "{self:?}");
        self
    }
}

/// Calls one daemon with the token of all rights. One connection a call, so that each stands for itself.
#[derive(Clone)]
pub struct Caller {
    address: String,
    token: String,
}

impl Caller {
    fn head(&self, method: &str, path: &str, length: usize) -> String {
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\
             Content-Length: {length}\r\n\r\n",
            self.address, self.token
        )
    }

    /// An error where the daemon was gone before the answer was whole.
    pub fn try_call(&self, method: &str, path: &str, body: &str) -> io::Result<Answer> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all((self.head(method, path, body.len()) + body).as_bytes())?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        parse(&bytes).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// A request that waits for the rest of its body.
    pub fn hang(&self, method: &str, path: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all((self.head(method, path, body.len() + 1) + body).as_bytes()).unwrap();
        stream
    }

    #[track_caller]
    pub fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        let answer = self.try_call(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        answer.ok()
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        self.call("GET", path, "").json()
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Value {
        self.call("POST", path, &body.to_string()).json()
    }

    /// The rows of an NDJSON export.
    #[track_caller]
    pub fn rows(&self, path: &str) -> Vec<Value> {
        self.call("GET", path, "").rows()
    }
}

/// None where something is missing at the end.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, body) = (std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 4..]);
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let header = |name: &str| {
        let named = head.lines().filter_map(|line| line.split_once(':')).find(|(n, _)| n.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.trim())
    };
    let body = match (header("Content-Length"), header("Transfer-Encoding")) {
        (_, Some("chunked")) => unchunk(body)?,
        (Some(length), _) => body.get(..length.parse().ok()?)?.to_vec(),
        (None, _) if status == 204 => Vec::new(),
        other => panic!("how long is this answer? {other:?}"),
    };
    Some(Answer { status, body: String::from_utf8(body).ok()? })
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).ok()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(line + 2..line + 2 + size)?);
        rest = rest.get(line + 2 + size + 2..)?;
    }
}
