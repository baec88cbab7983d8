//! The bare loop: the same labeller on the same stored form, writing the same rows of `reading`, with nothing around.
//!
//! Two threads read and label, one writes, four thousand items a transaction, each synced to the disk. No queue, no
//! history, no results, no counters, no look at what was there before; items come in the order in which they are stored.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;

use anyhow::{Context as _, anyhow};
use crossbeam_channel::{Receiver, Sender, bounded};
use relabeld::label::{Evidence, Label, PhraseNo, Place, Provenance, TopicNo};
use relabeld::labeller::Labeller;
use relabeld::labeller::phrases::Phrases;
use relabeld::model::{Catalogue, Detection, Kind, Millis, TopicSet};
use relabeld::store::{Durability, Store, forms};
use relabeld::when;
use rusqlite::{Connection, OpenFlags, params};

use crate::child::WORKERS;
use crate::scratch;

/// Items that a reader takes at a time.
const TAKEN: i64 = 256;
/// Items in a transaction, at least.
const TOGETHER: usize = 4_096;
/// The job of which the labels say that it put them there.
const JOB: i64 = 1;

/// A row of `reading`.
struct Row {
    item: i64,
    fresh: Vec<u8>,
    labels: Vec<u8>,
    n: i64,
}

/// What all items of one shape have in common.
struct Scope {
    topics: TopicSet,
    fresh: Vec<u8>,
}

struct Rules {
    revision: i64,
    labeller: Phrases,
    topics: Vec<TopicNo>,
    phrases: Vec<Vec<PhraseNo>>,
    /// By the number of the shape.
    scopes: Vec<Option<Scope>>,
}

/// What then answers how many items it read and how many labels it wrote.
pub fn open(dir: &Path) -> anyhow::Result<impl FnOnce() -> anyhow::Result<(i64, i64)>> {
    let path = dir.join(scratch::DATABASE);
    let store = Store::open(dir, Durability::Full)?;
    let stored = store.revision(None)?;
    let last = Connection::open(&path)?.query_row("SELECT max(no) FROM item", [], |row| row.get(0))?;
    Ok(move || {
        let rules = Rules::compile(&store, &stored.catalogue, stored.revision);
        drop(store);
        label_all(&path, &rules, last)
    })
}

impl Rules {
    fn compile(store: &Store, catalogue: &Catalogue, revision: i64) -> Rules {
        let names = store.names();
        let mut scopes = Vec::new();
        for (no, shape) in names.shapes() {
            let belongs = |programs: &[String]| programs.iter().any(|program| shape.programs.contains(program));
            let topics = catalogue.topics.iter().enumerate().filter(|(_, topic)| belongs(&topic.programs));
            let mut fresh = Vec::new();
            let programs = shape.programs.iter().filter_map(|id| names.program(id));
            forms::put_fresh(&mut fresh, &programs.map(|program| (program, revision)).collect::<Vec<_>>());
            let at = no as usize;
            scopes.resize_with(scopes.len().max(at + 1), || None);
            scopes[at] = Some(Scope { topics: topics.map(|(at, _)| at).collect(), fresh });
        }
        let number = |text: &str| names.phrase(text).unwrap_or_default();
        Rules {
            revision,
            labeller: Phrases::compile(catalogue),
            topics: catalogue.topics.iter().map(|topic| names.topic(&topic.id).unwrap_or_default()).collect(),
            phrases: catalogue
                .topics
                .iter()
                .map(|topic| topic.phrases.iter().map(|phrase| number(&phrase.text)).collect())
                .collect(),
            scopes,
        }
    }

    fn label(&self, found: &Detection, at: Millis) -> Label {
        let topic = found.topic as usize;
        Label {
            place: Place { transcript: found.transcript, block: found.block, topic: self.topics[topic] },
            evidence: Some(Evidence {
                phrase: self.phrases[topic][found.phrase as usize],
                score: found.score,
                start: found.start,
                end: found.end,
            }),
            by: Provenance { job: JOB, revision: self.revision, at },
        }
    }

    fn read(&self, item: i64, kind: Kind, id: &str, shape: i64, content: &[u8]) -> anyhow::Result<Row> {
        let scope = self.scopes.get(shape as usize).and_then(Option::as_ref).context("unknown shape")?;
        let document = forms::document(kind, id, content).map_err(|_| anyhow!("item {item} does not decode"))?;
        let found = self.labeller.analyse(&document, &scope.topics).map_err(|failure| anyhow!("{failure:?}"))?;
        let now = when::now();
        let mut labels: Vec<Label> = found.iter().map(|found| self.label(found, now)).collect();
        labels.sort_unstable_by_key(|label| label.place);
        let n = labels.len() as i64;
        Ok(Row { item, fresh: scope.fresh.clone(), labels: forms::pack_labels(&labels), n })
    }
}

fn label_all(path: &Path, rules: &Rules, last: i64) -> anyhow::Result<(i64, i64)> {
    let next = Arc::new(AtomicI64::new(1));
    thread::scope(|scope| {
        let (sender, rows) = bounded(WORKERS * 4);
        let readers: Vec<_> = (0..WORKERS)
            .map(|_| {
                let (next, sender) = (Arc::clone(&next), sender.clone());
                scope.spawn(move || read_all(path, rules, &next, last, &sender))
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

fn read_all(path: &Path, rules: &Rules, next: &AtomicI64, last: i64, rows: &Sender<Vec<Row>>) -> anyhow::Result<()> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    let mut items = connection.prepare(
        "SELECT no, kind, id, shape, content FROM item JOIN body ON item = no WHERE no >= ? AND no < ? ORDER BY no",
    )?;
    loop {
        let from = next.fetch_add(TAKEN, Ordering::Relaxed);
        if from > last {
            return Ok(());
        }
        let mut read = Vec::with_capacity(TAKEN as usize);
        let mut found = items.query([from, from + TAKEN])?;
        while let Some(row) = found.next()? {
            let kind = if row.get_ref(1)?.as_str()? == Kind::Note.as_str() { Kind::Note } else { Kind::Conversation };
            let (id, content) = (row.get_ref(2)?.as_str()?, row.get_ref(4)?.as_blob()?);
            read.push(rules.read(row.get(0)?, kind, id, row.get(3)?, content)?);
        }
        // The writer ends first only when it failed, which it says itself.
        if rows.send(read).is_err() {
            return Ok(());
        }
    }
}

fn write_all(path: &Path, rows: &Receiver<Vec<Row>>) -> anyhow::Result<(i64, i64)> {
    let connection = scratch::writing(path)?;
    let (mut items, mut labels) = (0, 0);
    while let Ok(mut batch) = rows.recv() {
        while batch.len() < TOGETHER
            && let Ok(more) = rows.recv()
        {
            batch.extend(more);
        }
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut put =
            connection.prepare_cached("INSERT INTO reading (item, fresh, labels, changes) VALUES (?, ?, ?, x'')")?;
        for row in &batch {
            put.execute(params![row.item, row.fresh, row.labels])?;
            labels += row.n;
        }
        connection.prepare_cached("COMMIT")?.execute([])?;
        items += batch.len() as i64;
    }
    Ok((items, labels))
}
