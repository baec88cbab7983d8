//! The plain loop: what one writes in an afternoon. Conversations lie in a table as the JSON that they came as; two
//! threads parse them and look for the phrases as they are, ASCII case aside; one writes a row a label.
//!
//! A topic is put on a block once, where one of its phrases stands anywhere in it and the item's programs and the
//! speaker fit. No Unicode, no words, no stems, no scores; no queue, no history, no look at what was there before.

use std::borrow::Cow;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use anyhow::anyhow;
use crossbeam_channel::{Receiver, Sender, bounded};
use relabeld::catalogue::{parse, to_json};
use relabeld::labeller::phrases;
use relabeld::model::{Catalogue, DEFAULT_PROGRAM, Participants};
use rusqlite::{Connection, OpenFlags, params};
use serde::Deserialize;

use crate::child::WORKERS;
use crate::input::Input;
use crate::scratch;

/// Items that a reader takes at a time, and items in a transaction, at least.
const TAKEN: i64 = 256;
const TOGETHER: i64 = 4_096;

#[derive(Deserialize)]
pub struct Body<'a> {
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    #[serde(default)]
    programs: Vec<String>,
    #[serde(borrow)]
    transcripts: Vec<Transcript<'a>>,
}

#[derive(Deserialize)]
struct Transcript<'a> {
    program: Option<String>,
    #[serde(borrow)]
    blocks: Vec<Block<'a>>,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow)]
    speaker: Cow<'a, str>,
    #[serde(borrow)]
    text: Cow<'a, str>,
}

/// (item, transcript, block, topic, start, end), and items read.
type Rows = (Vec<(i64, usize, usize, usize, usize, usize)>, i64);

struct Rules {
    phrases: AhoCorasick,
    /// Of each phrase.
    topics: Vec<usize>,
    catalogue: Catalogue,
}

pub fn fill(dir: &Path, input: &Input, items: usize) -> anyhow::Result<()> {
    let connection = scratch::writing(&dir.join(scratch::DATABASE))?;
    connection.execute_batch(
        "CREATE TABLE item (no INTEGER PRIMARY KEY, body TEXT NOT NULL);
         CREATE TABLE label (item INTEGER, transcript INTEGER, block INTEGER, topic INTEGER, start INTEGER, ends INTEGER);
         BEGIN",
    )?;
    for number in 0..items {
        connection.prepare_cached("INSERT INTO item (body) VALUES (?)")?.execute([input.line(number)])?;
    }
    connection.execute_batch("COMMIT")?;
    Ok(())
}

pub fn put_catalogue(dir: &Path, catalogue: &Catalogue) -> anyhow::Result<()> {
    Ok(fs::write(dir.join("catalogue.json"), to_json(catalogue).to_string())?)
}

/// What then answers how many items it read and how many labels it wrote.
pub fn open(dir: &Path) -> anyhow::Result<impl FnOnce() -> anyhow::Result<(i64, i64)>> {
    let path = dir.join(scratch::DATABASE);
    let json = fs::read(dir.join("catalogue.json"))?;
    let catalogue = parse(&json, phrases::has_words).map_err(|faults| anyhow!("{faults:?}"))?;
    let last = Connection::open(&path)?.query_row("SELECT max(no) FROM item", [], |row| row.get(0))?;
    Ok(move || {
        let topics = catalogue.topics.iter().enumerate();
        let all = topics.flat_map(|(at, topic)| topic.phrases.iter().map(move |phrase| (at, &phrase.text)));
        let (topics, texts): (Vec<usize>, Vec<&String>) = all.unzip();
        let phrases =
            AhoCorasick::builder().ascii_case_insensitive(true).kind(Some(AhoCorasickKind::DFA)).build(texts)?;
        label_all(&path, &Rules { phrases, topics, catalogue }, last)
    })
}

impl Rules {
    fn read(&self, item: i64, body: &Body<'_>, rows: &mut Rows) {
        let of_transcripts = body.transcripts.iter().filter_map(|transcript| transcript.program.as_ref());
        let mut programs: Vec<&str> = body.programs.iter().chain(of_transcripts).map(String::as_str).collect();
        if programs.is_empty() {
            programs.push(DEFAULT_PROGRAM);
        }
        let mut fits = vec![false; self.catalogue.topics.len()];
        for (topic, fits) in self.catalogue.topics.iter().zip(&mut fits) {
            *fits = topic.programs.iter().any(|program| programs.contains(&program.as_str()));
        }
        let mut found: Vec<usize> = Vec::new();
        for (transcript, spoken) in body.transcripts.iter().enumerate() {
            for (block, said) in spoken.blocks.iter().enumerate() {
                found.clear();
                for hit in self.phrases.find_overlapping_iter(said.text.as_ref()) {
                    let topic = self.topics[hit.pattern().as_usize()];
                    if fits[topic] && !found.contains(&topic) && self.may_say(topic, &said.speaker) {
                        found.push(topic);
                        rows.0.push((item, transcript, block, topic, hit.start(), hit.end()));
                    }
                }
            }
        }
        rows.1 += 1;
    }

    fn may_say(&self, topic: usize, speaker: &str) -> bool {
        match self.catalogue.topics[topic].participants {
            Participants::All => true,
            Participants::Customer => speaker == "customer",
            Participants::Agent => speaker == "agent",
        }
    }
}

fn label_all(path: &Path, rules: &Rules, last: i64) -> anyhow::Result<(i64, i64)> {
    let next = AtomicI64::new(1);
    thread::scope(|scope| {
        let (sender, rows) = bounded(WORKERS * 4);
        let read = |sender| read_all(path, rules, &next, last, &sender);
        let readers: Vec<_> = (0..WORKERS)
            .map(|_| {
                let sender = sender.clone();
                scope.spawn(move || read(sender))
            })
            .collect();
        drop(sender);
        let written = write_all(path, &rows);
        for reader in readers {
            reader.join().map_err(|_| anyhow!("a reader panicked"))??;
        }
        written
    })
}

fn read_all(path: &Path, rules: &Rules, next: &AtomicI64, last: i64, sender: &Sender<Rows>) -> anyhow::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    let mut items = connection.prepare("SELECT no, body FROM item WHERE no >= ? AND no < ?")?;
    loop {
        let from = next.fetch_add(TAKEN, Ordering::Relaxed);
        if from > last {
            return Ok(());
        }
        let mut rows = Rows::default();
        let mut found = items.query([from, from + TAKEN])?;
        while let Some(row) = found.next()? {
            rules.read(row.get(0)?, &serde_json::from_slice(row.get_ref(1)?.as_bytes()?)?, &mut rows);
        }
        // The writer ends first only when it failed, which it says itself.
        if sender.send(rows).is_err() {
            return Ok(());
        }
    }
}

fn write_all(path: &Path, rows: &Receiver<Rows>) -> anyhow::Result<(i64, i64)> {
    let connection = scratch::writing(path)?;
    let (mut items, mut labels) = (0, 0);
    while let Ok((mut batch, mut n)) = rows.recv() {
        while n < TOGETHER
            && let Ok((more, of)) = rows.recv()
        {
            batch.extend(more);
            n += of;
        }
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut put = connection.prepare_cached("INSERT INTO label VALUES (?, ?, ?, ?, ?, ?)")?;
        for row in &batch {
            put.execute(params![row.0, row.1 as i64, row.2 as i64, row.3 as i64, row.4 as i64, row.5 as i64])?;
        }
        connection.prepare_cached("COMMIT")?.execute([])?;
        items += n;
        labels += batch.len() as i64;
    }
    Ok((items, labels))
}
