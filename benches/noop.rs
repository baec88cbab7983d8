//! The queue alone: a job whose labeller finds nothing and takes no time, against effectum (an embedded SQLite queue) and
//! the bare queue of [`crate::rows`].
//!
//! Each item is one short sentence. A no-op of relabeld is still more than nothing: the item is read, that this revision
//! read it is written down with it, and its task ends with the reason `no_topics_detected`. The same job again has only
//! the task to write.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, anyhow, ensure};
use relabeld::labeller::phrases;
use relabeld::lines::parse_line;
use relabeld::store::{Durability, Store};
use relabeld::when;
use serde_json::json;

use crate::child::{self, Measured, Role};
use crate::report::{Goal, Line, grouped, median, thousands};
use crate::stock::Stock;
use crate::{rows, scratch};

/// effectum's jobs: its speed is the same for more.
const JOBS: usize = 20_000;
const BATCH: usize = 1_000;

pub fn run(stock: &Stock) -> anyhow::Result<Vec<Line>> {
    let items = stock.sizes.items;
    let peer = build_effectum();
    if let Err(why) = &peer {
        eprintln!("  effectum is left out: {why:#}");
    }
    let imported = scratch::directory()?;
    fill(imported.path(), items)?;
    let table = scratch::directory()?;
    rows::fill(table.path(), items)?;
    let (mut noop, mut bare, mut effectum) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..stock.sizes.rounds {
        noop.push(child::run(Role::Noop, scratch::copy_of(imported.path())?.path(), None)?);
        bare.push(child::run(Role::Rows, scratch::copy_of(table.path())?.path(), None)?);
        if let Ok(peer) = &peer {
            effectum.push(drain(peer)?);
        }
    }
    let again = median(noop.iter().map(Measured::again_rate));
    let rates = |sides: Vec<Measured>| sides.iter().map(Measured::rate).collect::<Vec<_>>();
    let (noop, bare) = (rates(noop), rates(bare));
    eprintln!("  {noop:.0?}, again {again:.0}; rows {bare:.0?}; effectum {effectum:.0?}");
    let of = |peer: &[f64]| median(noop.iter().zip(peer).map(|(noop, peer)| noop / peer));
    let ours = format!("{} (again {})", thousands(median(noop.iter().copied())), thousands(again));
    let bare_line = Line {
        what: format!("noop: {}, of bare take-and-complete", grouped(items as f64)),
        goal: Goal::AtLeast(0.5),
        reached: of(&bare),
        figures: format!("{ours} of {}", thousands(median(bare.iter().copied()))),
    };
    let effectum_line = Line {
        what: "noop: of effectum".into(),
        goal: Goal::AtLeast(20.0),
        // Not a number, and so not reached, where there is none.
        reached: if peer.is_ok() { of(&effectum) } else { f64::NAN },
        figures: match peer {
            Ok(_) => format!("{ours} of {}/s", grouped(median(effectum.iter().copied()))),
            Err(_) => "effectum could not be built: what cargo said stands above".into(),
        },
    };
    Ok(vec![bare_line, effectum_line])
}

fn fill(dir: &Path, items: usize) -> anyhow::Result<()> {
    let store = Store::open(dir, Durability::Normal)?;
    let topics = json!({"topics": [{"id": "refund", "name": "Refund", "phrases": ["money back"]}]}).to_string();
    let catalogue = relabeld::catalogue::parse(topics.as_bytes(), phrases::has_words);
    let catalogue = catalogue.map_err(|faults| anyhow!("{faults:?}"))?;
    store.apply_catalogue(catalogue, phrases::VERSION, true, None, when::now())?;
    for first in (0..items).step_by(BATCH) {
        let line = |n: usize| {
            let blocks = json!([{"speaker": "customer", "text": format!("This is sentence {n}.")}]);
            let line = json!({"kind": "conversation", "id": format!("c{n}"), "media": "chat",
                "started_at": "2026-11-01T00:00:00Z", "transcripts": [{"id": "t1", "blocks": blocks}]});
            parse_line(line.to_string().as_bytes()).map(|incoming| (n as u64, incoming)).map_err(|why| anyhow!(why))
        };
        store.import((first..items.min(first + BATCH)).map(line).collect::<anyhow::Result<_>>()?, when::now())?;
    }
    store.close();
    Ok(())
}

/// effectum brings a SQLite of its own, and a program can hold only one: it gets a program of its own.
fn build_effectum() -> anyhow::Result<PathBuf> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/effectum");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("effectum");
    let built = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--locked", "--manifest-path"])
        .arg(package.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .output()
        .context("cannot run cargo")?;
    ensure!(built.status.success(), "cargo build: {}", String::from_utf8_lossy(&built.stderr));
    Ok(target.join("release/effectum-peer"))
}

/// Jobs a second.
fn drain(peer: &Path) -> anyhow::Result<f64> {
    let dir = scratch::directory()?;
    let output = Command::new(peer).arg(dir.path().join("effectum.db")).arg(JOBS.to_string()).output()?;
    ensure!(output.status.success(), "effectum: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}
