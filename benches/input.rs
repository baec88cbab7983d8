//! What is read: real conversations where they are at hand, else the demo's samples, over and over.
//!
//! Each copy has an id of its own and, in every block, a word that stands in no other block: what a cache could know of
//! one copy is of little use for the next. And each item is a minute later than the one before, as a feed brings them.
//! (Where items come in another order than that of their times, a job's next items lie all over the database.) Only the
//! originals are held; copies are made as they are asked for.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use flate2::read::MultiGzDecoder;
use relabeld::demo::sample;
use relabeld::labeller::phrases;
use relabeld::lines::{Incoming, parse_line};
use relabeld::model::{Catalogue, Match};
use relabeld::store::{Batch, Durability, Store};
use relabeld::when;
use serde_json::{Value, json};

/// As many conversations as the real ones are.
const SAMPLES: usize = 22_140;
/// As many as the daemon stores at a time.
const BATCH: usize = 2_000;
/// From one item to the next, in milliseconds: 250,000 take half a year.
const APART: i64 = 62_208;

pub struct Input {
    pub name: String,
    conversations: Vec<Incoming>,
    pub catalogues: [Catalogued; 2],
}

pub struct Catalogued {
    pub name: &'static str,
    pub catalogue: Catalogue,
}

impl Input {
    pub fn load() -> anyhow::Result<Input> {
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
        let dir = env::var_os("RELABELD_DATA").map_or(beside, PathBuf::from);
        if dir.is_dir() {
            return Input::real(&dir).with_context(|| format!("real conversations of {}", dir.display()));
        }
        let conversations = sample::lines(1, SAMPLES, 0, when::now()).map(|line| parsed(&line));
        let stems = catalogue(sample::CATALOGUE.as_bytes())?;
        let mut words = stems.clone();
        for topic in &mut words.topics {
            (topic.matching, topic.strictness) = (Match::Words, 100);
        }
        Ok(Input {
            name: format!("the demo's samples, as there is no {}", dir.display()),
            conversations: conversations.collect::<anyhow::Result<_>>()?,
            catalogues: named(stems, words),
        })
    }

    fn real(dir: &Path) -> anyhow::Result<Input> {
        let lines = BufReader::new(MultiGzDecoder::new(File::open(dir.join("conversations.jsonl.gz"))?)).lines();
        let read = |name: &str| catalogue(&fs::read(dir.join(name))?);
        Ok(Input {
            name: "real conversations".into(),
            conversations: lines.map(|line| parsed(&line?)).collect::<anyhow::Result<_>>()?,
            catalogues: named(read("catalogue.json")?, read("catalogue.exact.json")?),
        })
    }

    /// Makes a store in `dir` with `items` items and the first catalogue, and closes it.
    pub fn import(&self, dir: &Path, items: usize) -> anyhow::Result<()> {
        let store = Store::open(dir, Durability::Full)?;
        store.apply_catalogue(self.catalogues[0].catalogue.clone(), phrases::VERSION, true, None, when::now())?;
        let mut numbers = 0..items;
        loop {
            let batch: Batch = numbers.by_ref().take(BATCH).map(|n| (n as u64, self.item(n))).collect();
            if batch.is_empty() {
                break;
            }
            store.import(batch, when::now())?;
        }
        store.close();
        Ok(())
    }

    pub fn item(&self, number: usize) -> Incoming {
        let mut incoming = self.conversations[number % self.conversations.len()].clone();
        let item = &mut incoming.item;
        item.id = format!("{}-{}", item.id, number / self.conversations.len());
        item.at = self.conversations[0].item.at + number as i64 * APART;
        let blocks = item.transcripts.iter_mut().flat_map(|transcript| &mut transcript.blocks);
        for (nth, block) in blocks.enumerate() {
            block.text.push_str(&format!(" zq{number}x{nth}"));
        }
        incoming
    }

    /// An item in its import form.
    pub fn line(&self, number: usize) -> String {
        let item = self.item(number).item;
        let transcripts: Vec<Value> = item
            .transcripts
            .iter()
            .map(|transcript| {
                let blocks: Vec<Value> = transcript
                    .blocks
                    .iter()
                    .map(|block| {
                        let mut json = json!({"speaker": block.speaker, "text": block.text});
                        block.at_ms.iter().for_each(|&at| json["at_ms"] = at.into());
                        json
                    })
                    .collect();
                let mut json = json!({"id": transcript.id, "blocks": blocks});
                transcript.program.iter().for_each(|program| json["program"] = program.as_str().into());
                transcript.language.iter().for_each(|tag| json["language"] = tag.as_str().into());
                json
            })
            .collect();
        json!({"kind": item.kind, "id": item.id, "media": item.media, "started_at": when::rfc3339(item.at),
            "programs": item.programs, "transcripts": transcripts})
        .to_string()
    }
}

fn named(stems: Catalogue, words: Catalogue) -> [Catalogued; 2] {
    [Catalogued { name: "stems 72", catalogue: stems }, Catalogued { name: "words 100", catalogue: words }]
}

impl Catalogued {
    /// Applies it to the closed store in `dir`; what is current already stays as it is.
    pub fn apply(&self, dir: &Path) -> anyhow::Result<()> {
        let store = Store::open(dir, Durability::Full)?;
        store.apply_catalogue(self.catalogue.clone(), phrases::VERSION, true, None, when::now())?;
        store.close();
        Ok(())
    }
}

fn parsed(line: &str) -> anyhow::Result<Incoming> {
    parse_line(line.as_bytes()).map_err(|fault| anyhow!("{fault:?}"))
}

fn catalogue(json: &[u8]) -> anyhow::Result<Catalogue> {
    relabeld::catalogue::parse(json, phrases::has_words).map_err(|faults| anyhow!("{faults:?}"))
}
