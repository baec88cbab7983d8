//! The phrases of a catalogue, filed under the words without which they cannot match.

use rustc_hash::FxHashMap;

use super::begins::Begins;
use super::runs::{Filed, Run, Runs};
use super::source::Source;
use super::span::{FOREIGN, least_matched, longest_span};
use super::stem::Form;

/// The phrases of one [`Form`], compiled. Immutable and shared.
pub struct Index {
    form: Form,
    symbols: FxHashMap<Box<str>, u32>,
    /// How the words begin that have a symbol.
    begins: Begins,
    phrases: Vec<Compiled>,
    /// The symbols of all phrases, one phrase behind the other.
    words: Vec<u32>,
    /// The phrases that match only where their words stand one behind the other, but for one missing.
    pub runs: Runs,
    /// The other phrases, sorted by the symbol that they are filed under.
    loose: Vec<Loose>,
    /// By symbol.
    filed: Vec<Alone>,
    /// A bit a symbol: whether a phrase is to be looked for at this word, whatever follows it.
    alone: Vec<u64>,
}

/// What is filed under one symbol, whatever follows it.
#[derive(Clone, Copy, Default)]
struct Alone {
    /// The runs of this one word.
    runs: Filed,
    /// In [`Index::loose`].
    from: u32,
    to: u32,
}

pub struct Compiled {
    pub topic: u32,
    /// Index into the topic's phrases.
    pub phrase: u32,
    pub strictness: u8,
    /// The most words that a span of it can have.
    pub longest: usize,
    from: u32,
    to: u32,
}

/// That a phrase is to be looked for around the word that it is filed under.
#[derive(Clone, Copy)]
pub struct Loose {
    pub topic: u32,
    /// The phrase's words, each as one of 64 bits.
    pub bits: u64,
    /// Index into [`Index::phrases`].
    pub phrase: u32,
    /// How many of the words may be missing.
    pub may_miss: u32,
}

/// A longer phrase is not written out with each of its words left out: that takes the square of its length.
const MAX_WORDS_LEFT_OUT: usize = 16;

impl Index {
    /// Sources without words are left out.
    pub fn compile(sources: &[Source], form: Form) -> Index {
        let mut index = Index {
            form,
            symbols: FxHashMap::default(),
            begins: Begins::none(),
            phrases: Vec::new(),
            words: Vec::new(),
            runs: Runs::default(),
            loose: Vec::new(),
            filed: Vec::new(),
            alone: Vec::new(),
        };
        for source in sources.iter().filter(|s| !s.words.is_empty()) {
            index.add(source);
        }
        index.file();
        index
    }

    fn add(&mut self, source: &Source) {
        let from = self.words.len() as u32;
        for word in &source.words {
            let next = self.symbols.len() as u32;
            let form = self.form.of(word);
            self.begins.add(self.form, &form);
            let symbol = *self.symbols.entry(form.into()).or_insert(next);
            self.words.push(symbol);
        }
        self.phrases.push(Compiled {
            topic: source.topic,
            phrase: source.phrase,
            strictness: source.strictness,
            longest: longest_span(source.words.len(), source.strictness),
            from,
            to: self.words.len() as u32,
        });
    }

    /// What is rare in the text cannot be known; what is rare among the phrases is, and after that a long word is.
    fn rareness(&self) -> Vec<u32> {
        let mut users = vec![0_u32; self.symbols.len()];
        for phrase in 0..self.phrases.len() {
            for (symbol, _) in counted(self.phrase_words(phrase as u32)) {
                users[symbol as usize] += 1;
            }
        }
        let mut ranked: Vec<(u32, usize, u32)> = Vec::with_capacity(users.len());
        ranked.extend(self.symbols.iter().map(|(stem, &s)| (users[s as usize], usize::MAX - stem.len(), s)));
        ranked.sort_unstable();
        let mut rareness = vec![0; users.len()];
        for (rank, (.., symbol)) in ranked.into_iter().enumerate() {
            rareness[symbol as usize] = rank as u32;
        }
        rareness
    }

    fn file(&mut self) {
        let rareness = self.rareness();
        let mut runs = Runs::default();
        let mut filed: Vec<(u32, Loose)> = Vec::new();
        for (phrase, compiled) in (0..).zip(&self.phrases) {
            let words = self.phrase_words(phrase);
            let least = least_matched(words.len(), compiled.strictness).max(1);
            // Not for a valid catalogue: a strictness above 100 cannot be reached.
            let Some(may_miss) = words.len().checked_sub(least) else { continue };
            let consecutive = words.len() == 1 || compiled.longest == words.len();
            if consecutive && (may_miss == 0 || may_miss == 1 && words.len() <= MAX_WORDS_LEFT_OUT) {
                runs.add(compiled.topic, compiled.phrase, 100, words.iter().copied());
                for left_out in (0..words.len()).filter(|_| may_miss == 1) {
                    let others = words.iter().enumerate().filter(|&(nth, _)| nth != left_out);
                    let score = (100 * least / words.len()) as u8;
                    runs.add(compiled.topic, compiled.phrase, score, others.map(|(_, &word)| word));
                }
                continue;
            }
            let bits = words.iter().fold(0, |bits, &s| bits | bit(s));
            // Under its rarest words, so many that whatever has none of them has too few.
            let mut rarest = counted(words);
            rarest.sort_unstable_by_key(|&(symbol, _)| rareness[symbol as usize]);
            let mut covered = 0;
            for (symbol, times) in rarest {
                if covered > may_miss {
                    break;
                }
                covered += times;
                filed.push((symbol, Loose { topic: compiled.topic, bits, phrase, may_miss: may_miss as u32 }));
            }
        }
        runs.file(&rareness);
        self.runs = runs;
        filed.sort_by_key(|&(symbol, _)| symbol);
        let start = |s: u32| filed.partition_point(|&(symbol, _)| symbol < s) as u32;
        let symbols = 0..self.symbols.len() as u32;
        let alone = |s: u32| Alone { runs: self.runs.filed(s, FOREIGN), from: start(s), to: start(s + 1) };
        self.filed = symbols.map(alone).collect();
        self.loose = filed.into_iter().map(|(_, loose)| loose).collect();
        // One more, for words that no phrase has.
        self.alone = vec![0; self.symbols.len() / 64 + 1];
        for (symbol, alone) in (0..).zip(&self.filed) {
            if alone.from < alone.to || alone.runs != Filed::default() {
                self.alone[symbol as usize / 64] |= bit(symbol);
            }
        }
    }

    /// Whether a phrase may be filed under this word, alone or with the one that follows. No for most that have none.
    #[inline]
    pub fn may_have(&self, symbol: u32, next: u32) -> bool {
        self.is_alone(symbol) | self.runs.may_be_filed(symbol, next)
    }

    /// Whether a word with these first bytes may have a symbol.
    #[inline]
    pub fn may_know(&self, three: [u8; 3]) -> bool {
        self.begins.fit(three)
    }

    /// The symbol of a normalised word, or [`FOREIGN`].
    pub fn symbol(&self, word: &str) -> u32 {
        self.symbols.get(self.form.of(word).as_ref()).copied().unwrap_or(FOREIGN)
    }

    /// The phrases that are this one word, and those to look for around it.
    #[inline]
    pub fn alone(&self, symbol: u32) -> (&[Run], &[Loose]) {
        if !self.is_alone(symbol) {
            return (&[], &[]);
        }
        let Some(alone) = self.filed.get(symbol as usize) else { return (&[], &[]) };
        let loose = self.loose.get(alone.from as usize..alone.to as usize);
        (self.runs.runs(alone.runs), loose.unwrap_or_default())
    }

    #[inline]
    fn is_alone(&self, symbol: u32) -> bool {
        // Without a branch: whether a word is foreign is hard to guess.
        let known = (symbol as usize).min(self.symbols.len());
        self.alone.get(known / 64).is_some_and(|bits| bits & (1 << (known % 64)) != 0)
    }

    pub fn has_loose(&self) -> bool {
        !self.loose.is_empty()
    }

    pub fn phrases(&self) -> &[Compiled] {
        &self.phrases
    }

    pub fn phrase_words(&self, phrase: u32) -> &[u32] {
        let compiled = self.phrases.get(phrase as usize);
        compiled.and_then(|c| self.words.get(c.from as usize..c.to as usize)).unwrap_or_default()
    }
}

/// The bit that stands for a symbol in [`Loose::bits`].
#[inline]
pub fn bit(symbol: u32) -> u64 {
    1 << (symbol % u64::BITS)
}

/// Each symbol once, and how often it stands there.
fn counted(words: &[u32]) -> Vec<(u32, usize)> {
    let mut sorted = words.to_vec();
    sorted.sort_unstable();
    sorted.chunk_by(|a, b| a == b).map(|same| (same[0], same.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(strictness: u8, phrases: &[&str]) -> Index {
        let words = |text: &str| text.split(' ').filter(|w| !w.is_empty()).map(Into::into).collect();
        let phrases = phrases.iter().zip(0..);
        let sources = phrases.map(|(text, phrase)| Source { topic: 0, phrase, strictness, words: words(text) });
        Index::compile(&sources.collect::<Vec<_>>(), Form::Word)
    }

    /// `(phrase, score)` of the runs filed under two words.
    fn runs(index: &Index, first: &str, second: &str) -> Vec<(u32, u8)> {
        let filed = index.runs.filed(index.symbol(first), index.symbol(second));
        index.runs.runs(filed).iter().map(|run| (run.phrase, run.score)).collect()
    }

    #[test]
    fn a_phrase_that_must_stand_whole_is_one_run() {
        let index = index(72, &["my refund", "", "my"]);
        assert_eq!(runs(&index, "my", "refund"), [(0, 100)]);
        assert_eq!(runs(&index, "my", "never a word"), [(2, 100)]);
        assert_eq!(index.symbol("other"), FOREIGN);
        assert!(index.loose.is_empty() && index.alone(FOREIGN).1.is_empty());
    }

    #[test]
    fn a_phrase_that_may_miss_one_word_is_a_run_for_each() {
        let index = index(72, &["a b c d"]);
        let all = ["a", "b", "c", "d"].iter().flat_map(|x| ["a", "b", "c", "d"].map(|y| runs(&index, x, y)));
        let mut scores: Vec<u8> = all.flatten().map(|(_, score)| score).collect();
        scores.sort_unstable();
        assert_eq!(scores, [75, 75, 75, 75, 100]);
    }

    #[test]
    fn a_phrase_with_more_freedom_is_filed_under_enough_words() {
        let index = index(50, &["a b c d", "x x x y"]);
        let filed = |phrase: u32, word: &str| index.alone(index.symbol(word)).1.iter().any(|l| l.phrase == phrase);
        assert_eq!(["a", "b", "c", "d"].iter().filter(|w| filed(0, w)).count(), 3, "any two hit one of three");
        assert!(filed(1, "x"), "which is three words");
        assert!(!filed(0, "x"));
    }
}
