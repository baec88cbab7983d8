//! The command line as a user has it: the real binary, its three streams, its exit code.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use serde_json::Value;

use crate::daemon::{Daemon, await_some, relabeld};

/// What a command said, and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    #[track_caller]
    pub fn exits(self, code: i32) -> Said {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    /// All of stdout as one JSON document.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    #[track_caller]
    pub fn tells(self, parts: &[&str]) -> Said {
        let missing: Vec<_> = parts.iter().filter(|part| !self.out.contains(**part)).collect();
        assert!(missing.is_empty(), "stdout lacks {missing:?}: {self:?}");
        self
    }

    #[track_caller]
    pub fn warns(self, parts: &[&str]) -> Said {
        let missing: Vec<_> = parts.iter().filter(|part| !self.err.contains(**part)).collect();
        assert!(missing.is_empty(), "stderr lacks {missing:?}: {self:?}");
        self
    }

    /// No data where there is none: a script that reads stdout must not take an error for a result.
    #[track_caller]
    pub fn without_data(self) -> Said {
        assert_eq!(self.out, "", "{self:?}");
        self
    }

    /// No line of it is longer, ends of colours aside.
    #[track_caller]
    pub fn fits(self, columns: usize) -> Said {
        let wide: Vec<_> = self.out.lines().filter(|line| plain(line).chars().count() > columns).collect();
        assert!(wide.is_empty(), "wider than {columns}: {wide:?}");
        self
    }
}

/// Without colours and line ends of a terminal.
pub fn plain(text: &str) -> String {
    let mut parts = text.split('\x1b');
    let first = parts.next().unwrap_or_default().to_owned();
    let rest = parts.map(|part| part.split_once('m').map_or("", |(_, after)| after));
    (first + &rest.collect::<String>()).replace('\r', "")
}

pub fn run(command: &mut Command) -> Said {
    run_with(command, b"")
}

/// With `input` on stdin.
pub fn run_with(command: &mut Command, input: &[u8]) -> Said {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // Who reads nothing closes it early: no fault of ours.
    let writing = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// `relabeld` that finds this daemon.
pub fn asking(daemon: &Daemon) -> Command {
    let mut command = relabeld();
    command.env("RELABELD_DATA_DIR", daemon.dir());
    command
}

/// The same with every signal as it is to who types it: what runs the tests in the background may ignore some.
pub fn heeding(command: &Command) -> Command {
    let mut heeding = Command::new("env");
    heeding.args(["--default-signal=INT", "--default-signal=HUP"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => heeding.env(name, value),
            None => heeding.env_remove(name),
        };
    }
    heeding
}

/// The words of a line; none of them may need a space.
pub fn say(daemon: &Daemon, line: &str) -> Said {
    run(asking(daemon).args(line.split_whitespace()))
}

/// On a terminal of its own, 40 lines high; what stdout and stderr say comes as one, as there.
pub fn on_terminal(command: &mut Command, columns: usize, typed: &str) -> Said {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| format!("'{}'", word.to_str().unwrap().replace('\'', "'\\''"))).collect();
    let mut script = Command::new("script");
    script.args(["-qec", &format!("stty -echo rows 40 cols {columns}; {}", words.join(" ")), "/dev/null"]);
    script.env_remove("NO_COLOR").env_remove("COLUMNS").env("TERM", "xterm");
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    let mut said = run_with(&mut script, typed.as_bytes());
    said.out = said.out.replace('\r', "");
    said
}

/// One that runs beside the test; its streams go to files, to be looked at while it runs.
pub struct Beside {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Beside {
    pub fn start(command: &mut Command, dir: &Path) -> Beside {
        let (out, err) = (dir.join("out"), dir.join("err"));
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        Beside { child: command.spawn().unwrap(), out, err }
    }

    pub fn await_word(&self, word: &str) -> String {
        await_some(word, || fs::read_to_string(&self.err).ok().filter(|err| err.contains(word)))
    }

    pub fn stdin(&mut self) -> impl Write + use<> {
        self.child.stdin.take().unwrap()
    }

    pub fn interrupt(&self) {
        self.signal("INT");
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    pub fn end(mut self) -> (ExitStatus, Said) {
        let status = await_some("its end", || self.child.try_wait().unwrap());
        let text = |path: &Path| {
            let mut text = String::new();
            File::open(path).unwrap().read_to_string(&mut text).unwrap();
            text
        };
        let code = status.code().or(status.signal().map(|signal| 128 + signal));
        let said = Said { code, out: text(&self.out), err: text(&self.err) };
        (status, said)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // It has ended, where all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
