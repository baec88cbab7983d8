//! What README says of speed: `cargo bench` measures all of it and ends with one table; `cargo bench -- NAME …` measures
//! some lines of it.
//!
//! What counts are ratios within one run and shapes over size: seconds belong to a machine and a day. Each line says what
//! it wants reached, and SHORT where it is not; nothing fails by that. The table goes to stdout, what comes before it to
//! stderr. Sizes come from the environment:
//!
//! | variable | default | what |
//! |---|---|---|
//! | `RELABELD_BENCH_ITEMS` | 250,000 | items of a job |
//! | `RELABELD_BENCH_DEPTH` | 1,000,000 | items of the deepest store and queue; 10,000,000 need some 25 GB of disk |
//! | `RELABELD_BENCH_ROUNDS` | 3 | how often each is run, in turn with what it is compared to; medians are shown |
//! | `RELABELD_DATA` | `../shared/data` | folder of conversations.jsonl.gz, catalogue.json and catalogue.exact.json |
//!
//! `cargo bench -- chart` draws `packaging/speed.svg`; the whole run draws it below `target/`.

mod bare;
mod busy;
mod bytes;
mod chart;
mod child;
mod daemon;
mod depth;
mod fsync;
mod import;
mod input;
mod job;
mod live;
mod machine;
mod matching;
mod memory;
mod noop;
mod plain;
mod reads;
mod report;
mod restart;
mod rows;
mod scratch;
mod stock;
mod tables;

use std::env;
use std::time::Instant;

use anyhow::{Context as _, bail};

use report::Line;
use stock::Stock;

/// How much of everything.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    items: usize,
    depth: usize,
    rounds: usize,
}

type Bench = fn(&Stock) -> anyhow::Result<Vec<Line>>;

/// In the order of the table. One may make several lines, under the names of all.
const BENCHES: [(&str, Bench); 14] = [
    ("job plain again", job::run),
    ("noop", noop::run),
    ("matching", matching::run),
    ("import", import::run),
    ("live", live::run),
    ("busy", busy::run),
    ("chart", chart::run),
    ("memory", memory::run),
    ("depth", depth::run),
    ("reads", reads::run),
    ("restart", restart::run),
    ("bytes", bytes::run),
    ("fsync", fsync::run),
    ("tables", tables::run),
];
/// Not of the table: what chose the form in which things are stored.
const BY_NAME: &str = "tables";

fn main() -> anyhow::Result<()> {
    // `cargo bench` adds a flag of its own.
    let words: Vec<String> = env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [flag, role, dir] = &words[..]
        && flag == child::FLAG
    {
        return child::main(role, dir.as_ref());
    }
    let names: Vec<&str> = BENCHES.iter().flat_map(|(names, _)| names.split(' ')).collect();
    if let Some(word) = words.iter().find(|word| !names.contains(&word.as_str())) {
        bail!("no benchmark {word:?}: there are {}", names.join(", "));
    }
    let sizes = Sizes {
        items: size("RELABELD_BENCH_ITEMS", 250_000)?,
        depth: size("RELABELD_BENCH_DEPTH", 1_000_000)?,
        rounds: size("RELABELD_BENCH_ROUNDS", 3)?,
    };
    let (started, machine) = (Instant::now(), machine::describe());
    eprintln!("{machine}");
    let stock = Stock::new(sizes, !words.is_empty());
    let mut lines = Vec::new();
    for (names, bench) in BENCHES {
        let named = words.iter().any(|word| names.split(' ').any(|name| name == word));
        if named || (words.is_empty() && names != BY_NAME) {
            eprintln!("\n{names}, {:.0} s after the start", started.elapsed().as_secs_f64());
            lines.extend(bench(&stock).with_context(|| format!("benchmark {names}"))?);
        }
    }
    println!("\n{machine}, after {}; {:.0} s", machine::load(), started.elapsed().as_secs_f64());
    report::print(&lines);
    Ok(())
}

fn size(variable: &str, default: usize) -> anyhow::Result<usize> {
    match env::var(variable) {
        Ok(text) => match text.replace(['_', ','], "").parse() {
            Ok(size) if size > 0 => Ok(size),
            _ => bail!("{variable}={text:?} is not a size"),
        },
        Err(_) => Ok(default),
    }
}
