//! The real daemon, and one who calls it: a connection a call, as curl makes them.

use std::env;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use crate::child::WORKERS;

const PATIENCE: Duration = Duration::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// A `relabeld serve`, killed when this goes.
pub struct Daemon {
    child: Child,
    log: PathBuf,
    address: String,
    token: String,
}

impl Daemon {
    /// Starts it on a directory and waits until it answers.
    pub fn on(dir: &Path) -> anyhow::Result<Daemon> {
        let (address, log) = (dir.join("address"), dir.join("log"));
        // One that was killed left its own.
        let _ = fs::remove_file(&address);
        let mut command = Command::new(env!("CARGO_BIN_EXE_relabeld"));
        // To the daemon they would be settings, and it knows none of ours.
        env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RELABELD_")).for_each(|(name, _)| {
            command.env_remove(name);
        });
        let child = command
            .args(["serve", "--listen", "127.0.0.1:0", "--max-items-per-job", "0", "--log", "warn"])
            .args(["--workers", &WORKERS.to_string(), "--data-dir"])
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()?;
        let mut daemon = Daemon { child, log, address: String::new(), token: String::new() };
        daemon.until("an answer of the daemon", |daemon| {
            let Ok(found) = fs::read_to_string(&address) else { return Ok(None) };
            (daemon.address, daemon.token) = (found, fs::read_to_string(dir.join("token"))?.trim().to_owned());
            Ok(daemon.get("/healthz").ok())
        })?;
        Ok(daemon)
    }

    /// Looks until there is something to see, as long as the daemon lives.
    pub fn until<T>(
        &mut self,
        what: &str,
        mut look: impl FnMut(&mut Daemon) -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if let Some(seen) = look(self)? {
                return Ok(seen);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the daemon ended with {status}: {}", fs::read_to_string(&self.log).unwrap_or_default());
            }
            sleep(LOOK_EVERY);
        }
        bail!("waited in vain for {what}")
    }

    /// A body of `length` bytes, written as it comes; what the answer says.
    pub fn send(&self, method: &str, path: &str, body: impl Read, length: u64) -> anyhow::Result<Value> {
        let bytes = self.raw(method, path, body, length)?;
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").context("no answer")?;
        let ok = bytes.starts_with(b"HTTP/1.1 20");
        ensure!(ok, "{method} {path}: {}", String::from_utf8_lossy(&bytes));
        // Only what is too long to be known beforehand comes in chunks, and none of that is asked for here.
        Ok(serde_json::from_slice(&bytes[end + 4..]).unwrap_or(Value::Null))
    }

    fn raw(&self, method: &str, path: &str, body: impl Read, length: u64) -> anyhow::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\
             Content-Length: {length}\r\n\r\n",
            self.address, self.token
        );
        stream.write_all(head.as_bytes())?;
        std::io::copy(&mut body.take(length), &mut stream)?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send("GET", path, &b""[..], 0)
    }

    /// Milliseconds from the connection to the end of the answer.
    pub fn time(&self, path: &str) -> anyhow::Result<f64> {
        let started = Instant::now();
        let bytes = self.raw("GET", path, &b""[..], 0)?;
        let took = started.elapsed().as_secs_f64() * 1e3;
        ensure!(bytes.starts_with(b"HTTP/1.1 200"), "GET {path}: {}", String::from_utf8_lossy(&bytes));
        Ok(took)
    }

    /// The path of the new job.
    pub fn publish(&self, job: &Value) -> anyhow::Result<String> {
        let body = job.to_string();
        let made = self.send("POST", "/api/v1/jobs", body.as_bytes(), body.len() as u64)?;
        Ok(format!("/api/v1/jobs/{}", made["id"].as_str().context("a job without an id")?))
    }

    /// A job over everything.
    pub fn publish_all(&self) -> anyhow::Result<String> {
        self.publish(&json!({"from": "1971-01-01", "until": "2200-01-01"}))
    }

    /// A job of one item in the live lane.
    pub fn publish_single(&self, id: &str) -> anyhow::Result<String> {
        self.publish(&json!({"kind": "single", "ids": [{"kind": "conversation", "id": id}]}))
    }

    /// The job, once so many of its tasks have ended.
    pub fn until_ended(&mut self, job: &str, tasks: u64) -> anyhow::Result<Value> {
        self.until("progress of the job", |daemon| {
            let shown = daemon.get(job)?;
            Ok((ended(&shown) >= tasks || has_ended(&shown)).then_some(shown))
        })
    }

    /// The job at its end.
    pub fn until_end(&mut self, job: &str) -> anyhow::Result<Value> {
        self.until_ended(job, u64::MAX)
    }

    /// SIGKILL.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How many tasks of a job have ended.
pub fn ended(job: &Value) -> u64 {
    ["done", "failed"].iter().filter_map(|state| job["counts"][state].as_u64()).sum()
}

pub fn has_ended(job: &Value) -> bool {
    !job["finished_at"].is_null()
}
