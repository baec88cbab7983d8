//! `relabeld demo`: the main job from import to result in one command, on sample data and a scratch directory.

pub mod sample;

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
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
        let dir = std::env::temp_dir().join(format!("relabeld-demo-{}", std::process::id()));
        fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(Scratch(dir))
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
    let signals = os::signals().context("cannot listen for signals")?;
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
    let outcome = tour_until(&signals, &options, &scratch.0, &data_dir);
    if matches!(outcome, Ok(Tour::Whole)) && !options.exit {
        let url = daemon.login_url().unwrap_or_else(|| format!("http://{}", daemon.address()));
        say(&format!(
            "\nThe page: {url}\n(the link is good once, for 10 minutes). Ctrl-C ends the demo and removes its data."
        ));
        daemon.wait(&signals)?;
    }
    daemon.stop();
    outcome.map(|_| ())
}

enum Tour {
    Whole,
    Interrupted,
}

/// The tour runs on a thread of its own, so that Ctrl-C is heard in the middle of it.
fn tour_until(signals: &Receiver<()>, options: &Options, scratch: &Path, data_dir: &Path) -> anyhow::Result<Tour> {
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
        recv(signals) -> _ => Ok(Tour::Interrupted),
        recv(ended) -> outcome => outcome.context("the tour broke off")?.map(|()| Tour::Whole),
    }
}

fn say(text: &str) {
    // Whoever closed our stderr does not want to hear it.
    let _ = writeln!(io::stderr(), "{text}");
}

fn step(number: usize, text: &str) {
    let text = format!("{number}. {text}");
    if io::stderr().is_terminal() { say(&format!("\n\x1b[1m{text}\x1b[0m")) } else { say(&format!("\n{text}")) }
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

    let n = write_samples(options, &items, when::now())?;
    fs::write(&catalogue, sample::CATALOGUE)?;
    step(1, &format!("relabeld import items.ndjson      ({n} sample conversations and notes of the last 45 days)"));
    client::import::run(&session, &[items], false)?;

    step(2, "relabeld catalogue apply catalogue.json");
    client::catalogue::apply(&session, &catalogue, false, None)?;

    step(3, "relabeld publish --from 45d --watch      (everything, by the new rules)");
    let body = json!({"from": "45d", "name": "demo"});
    let filter = body.as_object().cloned().unwrap_or_default();
    client::jobs::publish(&session, filter, None, true)?;

    step(4, "relabeld topics      (what carries which topic now)");
    client::items::topics(&session, &[])?;

    step(5, "relabeld item conversation ID      (one of them, with its labels)");
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
        Some((kind, id)) => Ok(client::items::show(session, &kind, &id)?),
        None => Ok(()),
    }
}
