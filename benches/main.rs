//! The measurements that README quotes: `cargo bench` runs them all, `cargo bench -- job` one of them.
//!
//! What counts are ratios within one run and shapes over size: seconds belong to a machine and a day. Each line says
//! what it wants reached. Sizes come from the environment:
//!
//! | variable | default | what |
//! |---|---|---|
//! | `RELABELD_BENCH_ITEMS` | 100,000 | items of a job, rows of a table |
//! | `RELABELD_BENCH_DEPTH` | 1,000,000 | items of the deepest queue |
//! | `RELABELD_BENCH_ROUNDS` | 3 | how often each is run; medians are shown |
//! | `RELABELD_DATA` | `../shared/data` | folder of conversations.jsonl.gz and catalogue.json |

mod bare;
mod depth;
mod input;
mod job;
mod machine;
mod report;
mod scratch;
mod tables;

use std::env;

use anyhow::{Context as _, bail};

use report::Line;

/// How much of everything.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    items: usize,
    depth: usize,
    rounds: usize,
}

type Bench = fn(&Sizes) -> anyhow::Result<Vec<Line>>;

const BENCHES: [(&str, Bench); 3] = [("job", job::run), ("tables", tables::run), ("depth", depth::run)];

fn main() -> anyhow::Result<()> {
    // `cargo bench` adds a flag of its own.
    let words: Vec<String> = env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [flag, role, dir] = &words[..]
        && flag == job::AS_CHILD
    {
        return job::child(role, dir.as_ref());
    }
    let known = |word: &String| BENCHES.iter().any(|(name, _)| name == word);
    if let Some(word) = words.iter().find(|word| !known(word)) {
        let names: Vec<&str> = BENCHES.iter().map(|(name, _)| *name).collect();
        bail!("no benchmark {word:?}: there are {}", names.join(", "));
    }
    let sizes = Sizes {
        items: size("RELABELD_BENCH_ITEMS", 100_000)?,
        depth: size("RELABELD_BENCH_DEPTH", 1_000_000)?,
        rounds: size("RELABELD_BENCH_ROUNDS", 3)?,
    };
    println!("{}", machine::describe());
    let mut lines = Vec::new();
    for (name, bench) in BENCHES {
        if words.is_empty() || words.iter().any(|word| word == name) {
            println!("\n{name}");
            lines.extend(bench(&sizes).with_context(|| format!("benchmark {name}"))?);
        }
    }
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
