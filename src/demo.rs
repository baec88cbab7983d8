//! `relabeld demo`: the main job from import to result in one command, on sample data and a scratch directory.

pub mod sample;

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use crossbeam_channel::{Receiver, bounded, select};
use serde_json::json;

use crate::client::{self, Place, Session};
use crate::config::{Config, Partial};
use crate::daemon::Daemon;
use crate::model::Millis;
use crate::{os, when};

const SEED: u64 = 1;
const CONVERSATIONS: usize = 3_000;
const NOTES: usize = 600;

#[derive(Debug, Clone, Default)]
pub struct Options {
    /// End after the tour instead of leaving the page open.
    pub exit: bool,
    pub seed: Option<u64>,
    pub conversations: Option<usize>,
    pub notes: Option<usize>,
    pub listen: Option<SocketAddr>,
}

/// A directory of our own that goes with the demo.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> anyhow::Result<Scratch> {
        let name = format!("relabeld-demo-{}", std::process::id());
        // One that was killed left its directory behind, and its number may come again.
        let mut tried =
            (0..100).map(|n| std::env::temp_dir().join(if n == 0 { name.clone() } else { format!("{name}.{n}") }));
        let free =
            tried.find(|dir| !dir.exists()).context("too many relabeld-demo-… in the directory for scratch files")?;
        fs::create_dir(&free).with_context(|| format!("cannot make {}", free.display()))?;
        Ok(Scratch(free))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            // The last thing that the demo says: a log may be anywhere.
            let _ = writeln!(io::stderr(), "relabeld: {} stays: {error}", self.0.display());
        }
    }
}

/// Runs the tour; then the daemon stays up until a signal, unless `exit` is asked for.
pub fn run(options: Options) -> anyhow::Result<()> {
    // A demo that outlived its terminal would stay, with its data, until somebody looked for it.
    let signals = os::signals(os::Hangup::Asks).context("cannot listen for signals")?;
    let scratch = Scratch::new()?;
    let data_dir = scratch.0.join("data");
    let settings = Partial {
        data_dir: Some(data_dir.clone()),
        // Any free port: a daemon may run on the usual one.
        listen: Some(options.listen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))),
        min_free_bytes: Some(0),
        ..Partial::default()
    };
    let daemon = Daemon::start(Config::from(settings).map_err(|error| anyhow!(error))?)?;
    let mut outcome = tour_until(&signals, &options, &scratch.0, &data_dir);
    if outcome.is_ok() && !options.exit {
        stay(&daemon, &data_dir);
        outcome = daemon.wait(&signals);
    }
    daemon.stop();
    if outcome.is_ok() {
        say("\nThe demo has ended, and its data is gone.");
    }
    outcome
}

/// What can be tried on the daemon of the demo.
fn stay(daemon: &Daemon, data_dir: &Path) {
    let url = daemon.login_url().unwrap_or_else(|| format!("http://{}", daemon.address()));
    // As it was called here, for it may be on no PATH.
    let relabeld = std::env::args().next().unwrap_or_else(|| "relabeld".to_owned());
    say(&format!(
        "
{}
  {url}
  (the link works once, within 10 minutes; `relabeld login` prints another)

{}
  export RELABELD_DATA_DIR={}
  {relabeld} status
  {relabeld} catalogue test 'still waiting' --participants customer
  {relabeld} changes 1 | head
  {relabeld} catalogue show > c.json     change a phrase in it, then
  {relabeld} catalogue apply c.json
  {relabeld} publish --from 45d --stale-only --watch

Ctrl-C ends the demo and removes its data.",
        bold("Open the page of this daemon:"),
        bold("Or ask it from another terminal:"),
        data_dir.display()
    ));
}

/// The tour runs on a thread of its own, so that Ctrl-C is heard in the middle of it.
fn tour_until(signals: &Receiver<()>, options: &Options, scratch: &Path, data_dir: &Path) -> anyhow::Result<()> {
    let (done, ended) = bounded(1);
    let tour = {
        let (options, scratch, data_dir) = (options.clone(), scratch.to_owned(), data_dir.to_owned());
        move || {
            // Nobody listens any more after a Ctrl-C.
            let _ = done.send(tour(&options, &scratch, &data_dir));
        }
    };
    std::thread::Builder::new().name("tour".into()).spawn(tour).context("cannot start the tour")?;
    select! {
        recv(signals) -> _ => bail!("the demo was interrupted; its data is gone"),
        recv(ended) -> outcome => outcome.context("the tour broke off")?,
    }
}

fn say(text: &str) {
    // Whoever closed our stderr does not want to hear it.
    let _ = writeln!(io::stderr(), "{text}");
}

fn bold(text: &str) -> String {
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if colours { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
}

/// What is done, as one would type it, and what to look at in the answer.
fn step(number: usize, command: &str, about: &str) {
    say(&format!("\n{}\n{about}\n", bold(&format!("{number}. relabeld {command}"))));
}

fn write_samples(options: &Options, path: &Path, now: Millis) -> anyhow::Result<usize> {
    let conversations = options.conversations.unwrap_or(CONVERSATIONS);
    let notes = options.notes.unwrap_or(NOTES);
    let mut file = io::BufWriter::new(fs::File::create(path)?);
    for line in sample::lines(options.seed.unwrap_or(SEED), conversations, notes, now) {
        writeln!(file, "{line}")?;
    }
    file.flush()?;
    Ok(conversations + notes)
}

fn tour(options: &Options, scratch: &Path, data_dir: &Path) -> anyhow::Result<()> {
    let place = Place { data_dir: Some(data_dir.to_owned()), ..Place::default() };
    let session = Session::open(client::Options { place, ..client::Options::default() })?;
    let items = scratch.join("items.ndjson");
    let catalogue = scratch.join("catalogue.json");

    say(&format!(
        "A shop's conversations and notes, all made up; a daemon of its own; everything in {}.\n\
         First they are imported, then a catalogue says what to look for, and a job labels them.",
        scratch.display()
    ));
    let n = write_samples(options, &items, when::now())?;
    fs::write(&catalogue, sample::CATALOGUE)?;
    let about =
        format!("{n} conversations and notes of the last 45 days, one JSON object a line. Nothing is labelled yet.");
    step(1, "import items.ndjson", &about);
    client::import::run(&session, &[items], false)?;

    step(2, "catalogue apply catalogue.json", "The rules: topics, and the phrases by which each is known.");
    client::catalogue::apply(&session, &catalogue, false, None)?;

    let about = "A job: the daemon reads every item by these rules, by itself, and would go on after a crash or a restart.\n\
                 Where it detects no topic (no_topics_detected), an item keeps the labels it has: that is no error.";
    step(3, "publish --from 45d --watch", about);
    let body = json!({"from": "45d", "name": "demo"});
    let filter = body.as_object().cloned().unwrap_or_default();
    client::publish::publish(&session, client::publish::Source::Range(filter), None, true)?;

    step(
        4,
        "topics",
        "What was found: on how many items, in how many blocks. NOT FRESH: not yet read by the rules of now.",
    );
    client::items::topics(&session, &[])?;

    show_one(&session)
}

/// Shows a short item that carries a label.
fn show_one(session: &Session) -> anyhow::Result<()> {
    let mut labels = Vec::new();
    session.daemon.copy("/api/v1/jobs/1/labels.ndjson", &[], &mut labels, "memory")?;
    let labels = String::from_utf8_lossy(&labels);
    let first = labels.lines().find_map(|line| {
        let label: serde_json::Value = serde_json::from_str(line).ok()?;
        Some((label["kind"].as_str()?.to_owned(), label["id"].as_str()?.to_owned()))
    });
    match first {
        Some((kind, id)) => {
            let about = "One of them: its topics block by block, and below, the phrase that found each.";
            step(5, &format!("item {kind} {id}"), about);
            Ok(client::items::show(session, &kind, &id)?)
        }
        None => Ok(()),
    }
}
