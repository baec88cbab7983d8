//! Genesys Cloud's own Python SDK, unchanged, in one process for all tests: `tests/http/genesys_sdk.py` drives it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{LazyLock, Mutex};
use std::thread;

use serde_json::{Value, json};

use crate::daemon::{Daemon, PATIENCE};

struct Sdk {
    commands: ChildStdin,
    /// Read by a thread, so that an answer that never comes fails its test.
    answers: Receiver<String>,
    /// It ends with its input.
    _child: Child,
}

static SDK: LazyLock<Mutex<Sdk>> = LazyLock::new(|| Mutex::new(Sdk::start()));

impl Sdk {
    fn start() -> Sdk {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut child = Command::new(root.join("target/python-venv/bin/python"))
            .arg(root.join("tests/http/genesys_sdk.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (answered, answers) = channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| answered.send(line)));
        Sdk { commands: child.stdin.take().unwrap(), answers, _child: child }
    }

    fn run(&mut self, command: &Value) -> Value {
        writeln!(self.commands, "{command}").unwrap();
        let answer = self.answers.recv_timeout(PATIENCE);
        serde_json::from_str(&answer.unwrap_or_else(|error| panic!("{command}: {error}"))).unwrap()
    }
}

/// What the SDK makes of a command, with the token that may do all unless it names another.
#[track_caller]
pub fn run(daemon: &Daemon, mut command: Value) -> Value {
    let ready = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python-venv/ready");
    assert!(ready.exists(), "Genesys Cloud's SDK is not installed: run tests/run, which does that first");
    command["base"] = json!(format!("http://{}", daemon.address));
    if command["token"].is_null() {
        command["token"] = json!(daemon.token("token"));
    }
    // A test that failed in the middle leaves it as it was, or dead.
    SDK.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).run(&command)
}

/// The JSON that the SDK read of a call that succeeded.
#[track_caller]
pub fn raw(daemon: &Daemon, command: Value, status: u16) -> Value {
    let answer = run(daemon, command.clone());
    assert_eq!(answer["status"], status, "{command}: {answer}");
    answer["raw"].clone()
}

/// The SDK raises its own exception, with an error in Genesys Cloud's form; its message has the words.
#[track_caller]
pub fn refused(daemon: &Daemon, command: Value, status: u16, code: &str, words: &[&str]) {
    let answer = run(daemon, command.clone());
    let error = &answer["error"];
    assert_eq!((&error["type"], &error["status"]), (&json!("ApiException"), &json!(status)), "{command}: {answer}");
    assert_eq!(error["content_type"], "application/json", "{command}");
    assert_error(&error["body"], status, code, words);
}

/// Exactly the three members that every SDK reads.
#[track_caller]
pub fn assert_error(body: &Value, status: u16, code: &str, words: &[&str]) {
    assert_eq!(body.as_object().map(|body| body.len()), Some(3), "{body}");
    assert_eq!((&body["status"], &body["code"]), (&json!(status), &json!(code)), "{body}");
    let message = body["message"].as_str().unwrap();
    assert!(!message.is_empty() && message.chars().count() <= 300, "{message}");
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}

/// The job with this number, as the SDK reads it.
#[track_caller]
pub fn show(daemon: &Daemon, id: &str) -> Value {
    raw(daemon, json!({"do": "show", "id": id}), 200)
}

/// Makes a job, and answers its number.
#[track_caller]
pub fn create(daemon: &Daemon, body: &Value) -> String {
    raw(daemon, json!({"do": "create", "body": body}), 201)["id"].as_str().unwrap().to_owned()
}
