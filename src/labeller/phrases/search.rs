//! Looks for the phrases of one index in one block after another.

use super::cache::Cache;
use super::index::{Compiled, Index, bit};
use super::runs::Run;
use super::span::{FOREIGN, Finder, Span};
use super::words::Word;

/// A phrase that matches a block, with its best span.
#[derive(Debug, Clone, Copy)]
pub struct Hit {
    pub topic: u32,
    pub phrase: u32,
    pub span: Span,
}

/// The memory of a search, for one index and one thread.
pub struct Search {
    cache: Cache,
    /// The block's words as symbols.
    symbols: Vec<u32>,
    /// One a phrase of the index.
    windows: Vec<Window>,
    /// The phrases whose window is of this block, each once.
    open: Vec<u32>,
    finder: Finder,
    /// Numbers the blocks, so that nothing must be reset between them.
    block: u64,
}

/// What is known of a phrase in a block. For a loose one, the words around those that it is filed under, in which its
/// span must lie: gathered over the block, so that no word is looked at twice for the same phrase.
#[derive(Clone, Copy, Default)]
struct Window {
    /// The block for which the rest holds.
    block: u64,
    from: u32,
    to: u32,
    best: Option<Span>,
}

impl Search {
    pub fn new(index: &Index) -> Search {
        Search {
            cache: Cache::default(),
            symbols: Vec::new(),
            windows: vec![Window::default(); index.phrases().len()],
            open: Vec::new(),
            finder: Finder::default(),
            block: 0,
        }
    }

    /// Adds to `hits` the phrases that match, of the topics that `wanted` wants: each at most once.
    pub fn run(
        &mut self,
        index: &Index,
        (text, padded): (&str, &[u8]),
        words: &[Word],
        wanted: impl Fn(u32) -> bool,
        hits: &mut Vec<Hit>,
    ) {
        self.block += 1;
        let present = self.read(index, (text, padded), words);
        for at in 0..self.symbols.len() {
            let symbol = self.symbols[at];
            if symbol == FOREIGN {
                continue;
            }
            let next = self.symbols.get(at + 1).copied().unwrap_or(FOREIGN);
            let lone = index.runs.filed(symbol, FOREIGN).iter();
            let pairs = if next == FOREIGN { &[] } else { index.runs.filed(symbol, next) };
            for run in lone.chain(pairs) {
                if wanted(run.topic) {
                    self.look_at(index, run, at);
                }
            }
            for loose in index.loose(symbol) {
                // Each missing bit is at least one missing word.
                let may_match = (loose.bits & !present).count_ones() <= loose.may_miss;
                if may_match && wanted(loose.topic) {
                    self.look_around(index, loose.phrase, at);
                }
            }
        }
        while let Some(phrase) = self.open.pop() {
            let (Some(compiled), Some(&window)) =
                (index.phrases().get(phrase as usize), self.windows.get(phrase as usize))
            else {
                continue;
            };
            if let Some(span) = self.close(index, phrase, compiled, window) {
                hits.push(Hit { topic: compiled.topic, phrase: compiled.phrase, span });
            }
        }
    }

    /// Turns the words into symbols; answers which of them there are, as [`bit`]s.
    fn read(&mut self, index: &Index, (text, padded): (&str, &[u8]), words: &[Word]) -> u64 {
        self.symbols.clear();
        let mut present = 0;
        for &word in words {
            let look_up = || text.get(word.start..word.end).map_or(FOREIGN, |word| index.symbol(word));
            let symbol = self.cache.symbol(padded, word, look_up);
            self.symbols.push(symbol);
            if symbol != FOREIGN {
                present |= bit(symbol);
            }
        }
        present
    }

    /// Looks whether the run stands where the pair that it is filed under stands at word `at`.
    fn look_at(&mut self, index: &Index, run: &Run, at: usize) {
        let words = index.runs.words(run);
        let Some(first) = at.checked_sub(run.nth as usize) else { return };
        let last = first + words.len() - 1;
        // Of a run of two words both are there already.
        if words.len() > 2 && self.symbols.get(first..=last) != Some(words) {
            return;
        }
        let Some(window) = self.windows.get_mut(run.phrase as usize) else { return };
        let span = Span { score: run.score, first, last };
        if window.block != self.block {
            *window = Window { block: self.block, from: 0, to: 0, best: Some(span) };
            self.open.push(run.phrase);
        } else if window.best.is_none_or(|best| span.rank() < best.rank()) {
            window.best = Some(span);
        }
    }

    /// Notes that the phrase is to be looked for around word `at`.
    fn look_around(&mut self, index: &Index, phrase: u32, at: usize) {
        let (Some(compiled), Some(window)) =
            (index.phrases().get(phrase as usize), self.windows.get_mut(phrase as usize))
        else {
            return;
        };
        let from = at.saturating_sub(compiled.longest - 1) as u32;
        let to = (at + compiled.longest).min(self.symbols.len()) as u32;
        if window.block != self.block {
            *window = Window { block: self.block, from, to, best: None };
            self.open.push(phrase);
        } else if from <= window.to {
            window.to = to;
        } else {
            let left = *window;
            let best = self.close(index, phrase, compiled, left);
            if let Some(window) = self.windows.get_mut(phrase as usize) {
                *window = Window { block: self.block, from, to, best };
            }
        }
    }

    /// The best span up to the window's end. Windows come from left to right, so the earlier wins a draw.
    fn close(&mut self, index: &Index, phrase: u32, compiled: &Compiled, window: Window) -> Option<Span> {
        let from = window.from as usize;
        if window.from == window.to {
            return window.best;
        }
        let block = self.symbols.get(from..window.to as usize)?;
        let at_least = window.best.map_or(compiled.strictness, |best| best.score.saturating_add(1));
        let here = self.finder.best(index.phrase_words(phrase), block, at_least);
        here.map(|span| Span { first: span.first + from, last: span.last + from, ..span }).or(window.best)
    }

    /// Gives back what one very long block made it take.
    pub fn shrink(&mut self, bytes: usize) {
        self.symbols.shrink_to(bytes / size_of::<u32>());
    }
}
