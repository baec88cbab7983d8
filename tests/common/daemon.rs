//! The real binary, serving a scratch directory, and a client that sends what it is told, byte by byte.
#![allow(dead_code)] // Each test binary uses a part of it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Nothing here takes longer, unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at something that is awaited.
const LOOK: Duration = Duration::from_millis(5);

pub const BINARY: &str = env!("CARGO_BIN_EXE_relabeld");

pub struct Daemon {
    child: Child,
    dir: PathBuf,
    pub address: SocketAddr,
    _scratch: Option<tempfile::TempDir>,
}

pub fn relabeld() -> Command {
    unset(Command::new(BINARY))
}

/// Without what the environment of the tests may say to relabeld.
pub fn unset(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RELABELD_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// Looks until it is there.
#[track_caller]
pub fn await_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what} never came");
        thread::sleep(LOOK);
    }
}

impl Daemon {
    pub fn start() -> Daemon {
        Daemon::with(&[])
    }

    pub fn with(flags: &[&str]) -> Daemon {
        let scratch = tempfile::tempdir().unwrap();
        let mut daemon = Daemon::on(&scratch.path().join("data"), flags);
        daemon._scratch = Some(scratch);
        daemon
    }

    pub fn on(dir: &Path, flags: &[&str]) -> Daemon {
        Daemon::spawn(relabeld(), dir, flags)
    }

    /// `command` is to become the daemon, the arguments of `serve` appended.
    pub fn spawn(command: Command, dir: &Path, flags: &[&str]) -> Daemon {
        Daemon::try_spawn(command, dir, flags)
            .unwrap_or_else(|ended| panic!("the daemon ended ({}): {}", ended.status, ended.log))
    }

    /// The same; an error where the daemon ends before it serves.
    pub fn try_spawn(command: Command, dir: &Path, flags: &[&str]) -> Result<Daemon, Ended> {
        // A daemon that ended by SIGKILL leaves its file, and one that is stopped may not be able to remove it.
        let _ = fs::remove_file(dir.join("address"));
        let mut daemon = Daemon::launch(command, dir, flags);
        let address = await_some("the file `address`", || match daemon.exit_status() {
            Some(status) => Some(Err(Ended { status, log: daemon.log() })),
            None => Some(Ok(fs::read_to_string(dir.join("address")).ok()?.parse().ok()?)),
        });
        daemon.address = address?;
        Ok(daemon)
    }

    /// The same without waiting: `address` is what `--listen` says.
    pub fn launch(mut command: Command, dir: &Path, flags: &[&str]) -> Daemon {
        let named = flags.iter().position(|flag| *flag == "--listen").map(|at| flags[at + 1]);
        let listen = named.unwrap_or("127.0.0.1:0");
        command.args(["serve", "--data-dir"]).arg(dir).args(flags);
        if named.is_none() {
            command.args(["--listen", listen]);
        }
        let stderr = File::create(dir.with_extension("stderr")).unwrap();
        let child = command.stderr(stderr).spawn().unwrap();
        Daemon { child, dir: dir.to_owned(), address: listen.parse().unwrap(), _scratch: None }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.with_extension("stderr")).unwrap()
    }

    pub fn token(&self, name: &str) -> String {
        fs::read_to_string(self.dir.join(name)).unwrap().trim().to_owned()
    }

    /// A line of `/proc/PID/status`, as a number (of kB).
    pub fn proc_status(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// How it ended; none while it runs.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Asks it to end as systemd does.
    pub fn terminate(&self) {
        let killed = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status().unwrap();
        assert!(killed.success());
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        await_some("the daemon's end", || self.exit_status())
    }

    /// Ends it as systemd does, and tells its exit code.
    pub fn stop(mut self) -> Option<i32> {
        self.terminate();
        self.wait().code()
    }

    /// A request with the token that may do all.
    pub fn ask(&self, method: &str, target: &str) -> Ask {
        self.ask_openly(method, target).header("Authorization", &format!("Bearer {}", self.token("token")))
    }

    /// A request without a token.
    pub fn ask_openly(&self, method: &str, target: &str) -> Ask {
        Ask {
            address: self.address,
            line: format!("{method} {target} HTTP/1.1"),
            headers: vec![("Host".into(), self.address.to_string())],
            body: Vec::new(),
        }
    }

    pub fn get(&self, target: &str) -> Reply {
        self.ask("GET", target).send()
    }

    /// The JSON of a GET that succeeds.
    #[track_caller]
    pub fn see(&self, target: &str) -> Value {
        self.get(target).expect(200)
    }

    #[track_caller]
    pub fn import(&self, lines: &[String]) -> Value {
        self.ask("POST", "/api/v1/items").body(lines.join("\n")).send().expect(200)
    }

    #[track_caller]
    pub fn apply(&self, catalogue: &Value) -> i64 {
        let applied = self.ask("PUT", "/api/v1/catalogue").json(catalogue).send().expect(200);
        applied["revision"].as_i64().unwrap()
    }

    #[track_caller]
    pub fn publish(&self, job: &Value) -> String {
        let job = self.ask("POST", "/api/v1/jobs").json(job).send().expect(201);
        job["id"].as_str().unwrap().to_owned()
    }

    /// The job, once it has ended.
    #[track_caller]
    pub fn ended(&self, job: &str) -> Value {
        self.await_job(job, |job| !job["finished_at"].is_null())
    }

    #[track_caller]
    pub fn await_job(&self, job: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        await_some("what is wanted of the job", || {
            Some(self.see(&format!("/api/v1/jobs/{job}"))).filter(|job| wanted(job))
        })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A daemon that ended by itself: its exit status and its log.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub log: String,
}

/// What `relabeld serve` says that does not start: its exit code and its stderr.
pub fn refusal_of(mut command: Command) -> (Option<i32>, String) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let ended = thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        let until = Instant::now() + PATIENCE;
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break Some(status),
                None if Instant::now() > until => break None,
                None => thread::sleep(LOOK),
            }
        };
        if status.is_none() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        (status, reading.join().unwrap())
    });
    let (Some(status), text) = ended else { panic!("it started: {}", ended.1) };
    (status.code(), text)
}

/// A request, put together word by word.
#[derive(Clone)]
pub struct Ask {
    address: SocketAddr,
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Ask {
    /// Replaces the header, so that `Host` and `Authorization` can be forged.
    pub fn header(mut self, name: &str, value: &str) -> Ask {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Ask {
        self.body = body.into();
        let length = self.body.len().to_string();
        self.header("Content-Length", &length)
    }

    pub fn json(self, body: &Value) -> Ask {
        self.body(body.to_string())
    }

    fn head(&self) -> String {
        let mut head = format!("{}\r\n", self.line);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head + "\r\n"
    }

    /// The head sent, and what is said so far of the body; the rest is up to the caller.
    pub fn begin(&self) -> TcpStream {
        self.try_begin().unwrap()
    }

    fn try_begin(&self) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(self.head().as_bytes())?;
        // An answer may come before the end of the body, and close the connection.
        let _ = stream.write_all(&self.body);
        Ok(stream)
    }

    pub fn send(&self) -> Reply {
        Reply::read(self.begin())
    }

    /// An error where no whole answer comes, as from a daemon that ends meanwhile. The daemon must close the connection
    /// after its answer.
    pub fn try_send(&self) -> io::Result<Reply> {
        let mut all = Vec::new();
        self.try_begin()?.read_to_end(&mut all)?;
        Reply::try_parse(&all)
            .filter(|reply| reply.header("Content-Length").is_none_or(|length| length == reply.body.len().to_string()))
            .ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "the answer is not whole"))
    }

    /// The body is written to the connection as it comes, with `length` bytes in all.
    pub fn stream(self, length: u64, mut write: impl FnMut(&mut dyn Write) -> std::io::Result<()>) -> Reply {
        let mut stream = self.header("Content-Length", &length.to_string()).begin();
        let _ = write(&mut stream);
        Reply::read(stream)
    }

    /// The body in chunks of `size`.
    pub fn chunked(self, size: usize) -> Reply {
        let body = self.body.clone();
        let mut headless = self.header("Transfer-Encoding", "chunked");
        headless.headers.retain(|(name, _)| name != "Content-Length");
        headless.body.clear();
        let mut stream = headless.begin();
        for chunk in body.chunks(size) {
            stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).unwrap();
            stream.write_all(chunk).unwrap();
            stream.write_all(b"\r\n").unwrap();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
        Reply::read(stream)
    }
}

#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    #[track_caller]
    pub fn read(mut stream: TcpStream) -> Reply {
        let mut all = Vec::new();
        // Whoever closes on an unread body may reset the connection after its answer.
        let ended = stream.read_to_end(&mut all);
        assert!(!all.is_empty(), "no answer: {ended:?}");
        Reply::parse(&all)
    }

    /// All that came on a connection.
    #[track_caller]
    pub fn parse(all: &[u8]) -> Reply {
        Reply::try_parse(all).unwrap_or_else(|| panic!("no whole answer: {:?}", String::from_utf8_lossy(all)))
    }

    /// None where the head or a chunk is not whole.
    fn try_parse(all: &[u8]) -> Option<Reply> {
        let end = all.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8(all[..end].to_vec()).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let pairs = lines.map(|line| line.split_once(": ").unwrap());
        let headers = pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        let mut reply = Reply { status, headers, body: all[end + 4..].to_vec() };
        if reply.header("Transfer-Encoding") == Some("chunked") {
            reply.body = unchunked(&reply.body)?;
        }
        Some(reply)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{} is not JSON", self.text()))
    }

    /// JSON, one document a line.
    pub fn rows(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The JSON of an answer with this status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        self.json()
    }

    /// It is this problem, in the form of RFC 9457, and its detail holds each of the words.
    #[track_caller]
    pub fn expect_problem(&self, status: u16, code: &str, words: &[&str]) -> Value {
        let problem = self.expect(status);
        assert_eq!(self.header("Content-Type"), Some("application/problem+json"), "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        assert_eq!(problem["code"], code, "{problem}");
        let detail = problem["detail"].as_str().unwrap_or_default();
        for word in words {
            assert!(detail.contains(word), "{word:?} is not in {detail:?}");
        }
        problem
    }
}

/// The content of a chunked body; none where its end is missing.
fn unchunked(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let end = body.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(&body[..end]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        body = &body[end + 2..];
        if size == 0 {
            return Some(content);
        }
        content.extend_from_slice(body.get(..size)?);
        body = body.get(size + 2..)?;
    }
}
