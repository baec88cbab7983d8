//! What several benchmarks measure on: made when first asked for, once a run.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use anyhow::Context as _;
use tempfile::TempDir;

use crate::child::{self, Measured, Role};
use crate::input::Input;
use crate::report::{grouped, median};
use crate::{Sizes, machine, scratch};

pub struct Stock {
    pub sizes: Sizes,
    /// What is measured was asked for by name.
    pub named: bool,
    input: OnceCell<Input>,
    imported: RefCell<BTreeMap<usize, Rc<Imported>>>,
    drained: RefCell<BTreeMap<usize, Drained>>,
}

/// A closed database with items and a catalogue, which nothing was done to yet.
pub struct Imported {
    dir: TempDir,
    /// A second.
    pub rate: f64,
    pub processor_micros: f64,
}

/// What a first job over everything came to: medians of its rounds.
#[derive(Debug, Clone, Copy)]
pub struct Drained {
    /// Items a second.
    pub rate: f64,
    /// Of an item.
    pub processor_micros: f64,
    pub peak_mb: f64,
}

impl Stock {
    pub fn new(sizes: Sizes, named: bool) -> Stock {
        Stock { sizes, named, input: OnceCell::new(), imported: RefCell::default(), drained: RefCell::default() }
    }

    pub fn input(&self) -> anyhow::Result<&Input> {
        if self.input.get().is_none() {
            let input = Input::load()?;
            eprintln!("  input: {}", input.name);
            let _ = self.input.set(input);
        }
        self.input.get().context("no input")
    }

    /// To be copied, not to be written to.
    pub fn imported(&self, items: usize) -> anyhow::Result<Rc<Imported>> {
        if let Some(known) = self.imported.borrow().get(&items) {
            return Ok(Rc::clone(known));
        }
        let dir = scratch::directory()?;
        let input = self.input()?;
        let (started, processor) = (Instant::now(), machine::processor_seconds());
        input.import(dir.path(), items)?;
        let processor_micros = (machine::processor_seconds() - processor) * 1e6 / items as f64;
        let rate = items as f64 / started.elapsed().as_secs_f64();
        eprintln!("  {} items imported, {} a second", grouped(items as f64), grouped(rate));
        let made = Rc::new(Imported { dir, rate, processor_micros });
        self.imported.borrow_mut().insert(items, Rc::clone(&made));
        Ok(made)
    }

    /// A first job over so many items.
    pub fn drained(&self, items: usize) -> anyhow::Result<Drained> {
        if let Some(known) = self.drained.borrow().get(&items) {
            return Ok(*known);
        }
        let imported = self.imported(items)?;
        // The deepest is drained where it lies, and stays so: a copy would take long, and others go on from there.
        let rounds = if items == self.sizes.depth { 1 } else { self.sizes.rounds };
        let mut measured = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            measured.push(match items == self.sizes.depth {
                true => child::run(Role::First, &imported.path(), None)?,
                false => child::run(Role::First, scratch::copy_of(&imported.path())?.path(), None)?,
            });
        }
        let drained = Drained {
            rate: median(measured.iter().map(Measured::rate)),
            processor_micros: median(measured.iter().map(|one| one.processor_seconds * 1e6 / items as f64)),
            peak_mb: median(measured.iter().map(|one| one.peak_mb)),
        };
        eprintln!("  {} drained: {drained:.1?}", grouped(items as f64));
        self.drained.borrow_mut().insert(items, drained);
        Ok(drained)
    }

    /// The deepest store, with all its items done once.
    pub fn deep(&self) -> anyhow::Result<PathBuf> {
        self.drained(self.sizes.depth)?;
        Ok(self.imported(self.sizes.depth)?.path())
    }
}

impl Imported {
    pub fn path(&self) -> PathBuf {
        self.dir.path().to_owned()
    }
}
