//! The real conversations that lie beside a checkout, never in it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use relabeld::labeller::phrases;
use relabeld::lines::parse_line;
use serde_json::Value;

use super::{House, NOW, catalogue};

/// The folder of real data; None (and said so) where this checkout has none beside it.
pub fn data() -> Option<PathBuf> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    if dir.is_dir() {
        return Some(dir);
    }
    println!("SKIPPED: there is no ../shared/data beside this checkout");
    None
}

pub fn lines(path: PathBuf) -> impl Iterator<Item = String> {
    BufReader::new(MultiGzDecoder::new(File::open(path).unwrap())).lines().map(|line| line.unwrap())
}

/// A running engine with all of the data imported, and the data's folder.
pub fn house() -> Option<(House, PathBuf)> {
    let dir = data()?;
    let house = House::new();
    for file in ["conversations.jsonl.gz", "notes.jsonl.gz"] {
        let all: Vec<String> = lines(dir.join(file)).collect();
        for batch in all.chunks(2_000) {
            let batch = batch.iter().map(|line| (0, parse_line(line.as_bytes()).unwrap())).collect();
            let outcome = house.store.import(batch, NOW).unwrap();
            assert_eq!(outcome.counts.refused, 0);
        }
    }
    Some((house, dir))
}

pub fn apply(house: &House, dir: &Path, file: &str) {
    apply_json(house, &catalogue_of(dir, file));
}

pub fn catalogue_of(dir: &Path, file: &str) -> Value {
    let mut json = String::new();
    File::open(dir.join(file)).unwrap().read_to_string(&mut json).unwrap();
    serde_json::from_str(&json).unwrap()
}

pub fn apply_json(house: &House, json: &Value) {
    let catalogue = catalogue(&json.to_string());
    assert!(house.store.apply_catalogue(catalogue, phrases::VERSION, true, None, NOW).unwrap().new);
}
