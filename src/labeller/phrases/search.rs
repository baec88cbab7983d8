//! Looks for the phrases of one index in one block after another.

use super::best::{Best, Hit};
use super::cache::Cache;
use super::index::{Compiled, Index, bit};
use super::runs::{Filed, Run};
use super::span::{FOREIGN, Finder, Span};
use super::words::Word;

/// The memory of a search, for one index and one thread.
pub struct Search {
    cache: Cache,
    /// The block's words as symbols.
    symbols: Vec<u32>,
    /// The places of the words that may have a symbol.
    candidates: Vec<u32>,
    /// The places of the words at which phrases may be filed.
    marked: Vec<Marked>,
    /// One a phrase of the index, for the loose ones.
    windows: Vec<Window>,
    /// The loose phrases whose window is of this block, each once.
    open: Vec<u32>,
    finder: Finder,
    /// Numbers the blocks, so that nothing must be reset between them.
    block: u64,
}

/// A word at which phrases may be filed.
#[derive(Clone, Copy, Default)]
struct Marked {
    at: u32,
    /// Under it and the next.
    filed: Filed,
}

/// What is known of a loose phrase in a block: the words around those that it is filed under, in which its span must
/// lie, gathered over the block, so that no word is looked at twice for the same phrase.
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
            candidates: Vec::new(),
            marked: Vec::new(),
            windows: vec![Window::default(); index.phrases().len()],
            open: Vec::new(),
            finder: Finder::default(),
            block: 0,
        }
    }

    /// Offers to `best` the phrases that match, of the topics that `wanted` wants.
    pub fn run(
        &mut self,
        index: &Index,
        (text, padded): (&str, &[u8]),
        words: &[Word],
        wanted: impl Fn(u32) -> bool,
        best: &mut Best,
    ) {
        self.block += 1;
        let present = self.read(index, (text, padded), words);
        self.mark(index);
        for nth in 0..self.marked.len() {
            let Marked { at, filed } = self.marked[nth];
            let at = at as usize;
            let (lone, loose) = index.alone(self.symbols[at]);
            let pairs = index.runs.runs(filed);
            for run in lone.iter().chain(pairs) {
                if wanted(run.topic)
                    && let Some(hit) = self.look_at(index, run, at)
                {
                    best.offer(run.topic, hit);
                }
            }
            for loose in loose {
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
                best.offer(compiled.topic, Hit::new(compiled.phrase, span));
            }
        }
    }

    /// Turns the words into symbols; answers which of them there are, as [`bit`]s.
    fn read(&mut self, index: &Index, (text, padded): (&str, &[u8]), words: &[Word]) -> u64 {
        self.symbols.clear();
        self.symbols.resize(words.len(), FOREIGN);
        self.candidates.clear();
        self.candidates.resize(words.len(), 0);
        let mut n = 0;
        for (at, word) in (0..).zip(words) {
            let begin = padded.get(word.start..).and_then(|rest| rest.first_chunk());
            // Without a branch, which could not be guessed.
            self.candidates[n] = at;
            n += usize::from(begin.is_some_and(|&three| index.may_know(three)));
        }
        for &at in &self.candidates[..n] {
            let word = words[at as usize];
            let look_up = || text.get(word.start..word.end).map_or(FOREIGN, |word| index.symbol(word));
            self.symbols[at as usize] = self.cache.symbol(padded, word, look_up);
        }
        let present = self.symbols.iter().filter(|&&symbol| symbol != FOREIGN);
        if index.has_loose() { present.fold(0, |present, &symbol| present | bit(symbol)) } else { 0 }
    }

    /// Marks the words under which, or under which and the next, a phrase may be filed.
    ///
    /// Before any of them is looked at: so the processor waits for the memory of all of them at once.
    fn mark(&mut self, index: &Index) {
        self.marked.clear();
        self.marked.resize(self.symbols.len(), Marked::default());
        let mut marks = 0;
        let following = || self.symbols.iter().skip(1).chain([&FOREIGN]);
        for ((at, &symbol), &next) in (0..).zip(&self.symbols).zip(following()) {
            // Without a branch, which could not be guessed.
            self.marked[marks].at = at;
            marks += usize::from(index.may_have(symbol, next) & (symbol != FOREIGN));
        }
        self.marked.truncate(marks);
        for marked in &mut self.marked {
            let at = marked.at as usize;
            // With FOREIGN those of one word are filed.
            if let Some(&[symbol, next]) = self.symbols.get(at..at + 2)
                && next != FOREIGN
            {
                marked.filed = index.runs.filed(symbol, next);
            }
        }
    }

    /// The run, if it stands where the pair that it is filed under stands at word `at`.
    #[inline]
    fn look_at(&self, index: &Index, run: &Run, at: usize) -> Option<Hit> {
        let words = index.runs.words(run);
        let first = at.checked_sub(run.nth as usize)?;
        let last = first + words.len() - 1;
        // Of a run of two words both are there already.
        if words.len() > 2 {
            let stand = self.symbols.get(first..=last)?;
            // Word by word: they are few, and mostly the first tells.
            if !stand.iter().zip(words).all(|(stands, word)| stands == word) {
                return None;
            }
        }
        Some(Hit::new(run.phrase, Span { score: run.score, first, last }))
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
        let block = self.symbols.get(from..window.to as usize)?;
        let at_least = window.best.map_or(compiled.strictness, |best| best.score.saturating_add(1));
        let here = self.finder.best(index.phrase_words(phrase), block, at_least);
        here.map(|span| Span { first: span.first + from, last: span.last + from, ..span }).or(window.best)
    }

    /// Gives back what one very long block made it take.
    pub fn shrink(&mut self, bytes: usize) {
        self.symbols.shrink_to(bytes / size_of::<u32>());
        self.candidates.shrink_to(bytes / size_of::<u32>());
        self.marked.shrink_to(bytes / size_of::<Marked>());
    }
}
