//! What is read: real conversations where they are at hand, else the demo's samples, over and over.
//!
//! Each copy has an id of its own and, in every block, a word that stands in no other item: what a cache could know of
//! one copy is of little use for the next.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use flate2::read::MultiGzDecoder;
use relabeld::demo::sample;
use relabeld::labeller::phrases;
use relabeld::lines::{Incoming, parse_line};
use relabeld::model::Catalogue;
use relabeld::store::{Durability, Store};
use relabeld::when;

/// As many conversations as the real ones are.
const SAMPLES: usize = 22_140;
const BATCH: usize = 1_000;

pub struct Input {
    pub name: String,
    conversations: Vec<Incoming>,
    catalogue: Catalogue,
}

impl Input {
    pub fn load() -> anyhow::Result<Input> {
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
        let dir = env::var_os("RELABELD_DATA").map_or(beside, PathBuf::from);
        if dir.is_dir() {
            return Input::real(&dir).with_context(|| format!("real conversations of {}", dir.display()));
        }
        println!("  there is no {}: the demo's samples stand in", dir.display());
        let conversations = sample::lines(1, SAMPLES, 0, when::now()).map(|line| parsed(&line));
        Ok(Input {
            name: "samples".into(),
            conversations: conversations.collect::<anyhow::Result<_>>()?,
            catalogue: catalogue(sample::CATALOGUE.as_bytes())?,
        })
    }

    fn real(dir: &Path) -> anyhow::Result<Input> {
        let lines = BufReader::new(MultiGzDecoder::new(File::open(dir.join("conversations.jsonl.gz"))?)).lines();
        Ok(Input {
            name: "real conversations".into(),
            conversations: lines.map(|line| parsed(&line?)).collect::<anyhow::Result<_>>()?,
            catalogue: catalogue(&fs::read(dir.join("catalogue.json"))?)?,
        })
    }

    /// Makes a store in `dir` with `items` items and the catalogue, and closes it.
    pub fn import(&self, dir: &Path, items: usize) -> anyhow::Result<()> {
        let store = Store::open(dir, Durability::Full)?;
        store.apply_catalogue(self.catalogue.clone(), phrases::VERSION, true, None, when::now())?;
        let mut numbers = 0..items;
        loop {
            let batch: Vec<(u64, Incoming)> = numbers.by_ref().take(BATCH).map(|n| (n as u64, self.item(n))).collect();
            if batch.is_empty() {
                break;
            }
            store.import(batch, when::now())?;
        }
        store.close();
        Ok(())
    }

    fn item(&self, number: usize) -> Incoming {
        let mut incoming = self.conversations[number % self.conversations.len()].clone();
        let item = &mut incoming.item;
        item.id = format!("{}-{}", item.id, number / self.conversations.len());
        for block in item.transcripts.iter_mut().flat_map(|transcript| &mut transcript.blocks) {
            block.text.push_str(&format!(" zq{number}x"));
        }
        incoming
    }
}

fn parsed(line: &str) -> anyhow::Result<Incoming> {
    parse_line(line.as_bytes()).map_err(|fault| anyhow!("{fault:?}"))
}

fn catalogue(json: &[u8]) -> anyhow::Result<Catalogue> {
    relabeld::catalogue::parse(json, phrases::has_words).map_err(|faults| anyhow!("{faults:?}"))
}
