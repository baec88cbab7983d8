//! The score of a phrase and the best span of it. Words are compared as symbols: numbers that are equal when they match.
//!
//! `floor(100·m / (n + 2·i)) >= t` says the same as `100·m − 2t·i >= t·n`. So for a given `t` a span is worth 100 a
//! matched word less `2t` a foreign one, and the worthiest is found as in a local alignment: one walk over the block,
//! the phrase's length of work a word. The score itself is the greatest `t` that some span reaches.

use std::ops::ControlFlow;

/// The symbol of a word that no phrase has.
pub const FOREIGN: u32 = u32::MAX;

/// The least number of a phrase's `words` with which it can reach `strictness`.
pub fn least_matched(words: usize, strictness: u8) -> usize {
    (words * usize::from(strictness)).div_ceil(100)
}

/// The longest span with which a phrase of that many words can reach `strictness`.
pub fn longest_span(words: usize, strictness: u8) -> usize {
    let strictness = usize::from(strictness.max(1));
    words + words * (100_usize.saturating_sub(strictness)) / (2 * strictness)
}

/// A span of a block, as ordinals of its first and last word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub score: u8,
    pub first: usize,
    pub last: usize,
}

/// Finds spans. Holds the memory for it: one number a phrase's word.
#[derive(Default)]
pub struct Finder {
    /// For each word of the phrase, the worth of the best alignment whose last matched word comes before it, as it would
    /// be if the walk went back to the block's begin: `2t` a step is taken off when it is used.
    before: Vec<i64>,
}

impl Finder {
    /// The span with the highest score of at least `strictness`; of those the earliest, of those the shortest.
    pub fn best(&mut self, phrase: &[u32], block: &[u32], strictness: u8) -> Option<Span> {
        if !self.reaches(phrase, block, strictness) {
            return None;
        }
        let (mut score, mut too_high) = (strictness, 101);
        while score + 1 < too_high {
            let middle = score + (too_high - score) / 2;
            if self.reaches(phrase, block, middle) { score = middle } else { too_high = middle }
        }
        let mut first = 0;
        let backwards = Walk { phrase, block, score, backwards: true, from_first: false };
        self.walk(backwards, |at| {
            first = block.len() - 1 - at;
            ControlFlow::Continue(())
        });
        let mut last = first;
        let block = block.get(first..)?;
        self.walk(Walk { phrase, block, score, backwards: false, from_first: true }, |at| {
            last = first + at;
            ControlFlow::Break(())
        });
        Some(Span { score, first, last })
    }

    fn reaches(&mut self, phrase: &[u32], block: &[u32], score: u8) -> bool {
        let mut reached = false;
        self.walk(Walk { phrase, block, score, backwards: false, from_first: false }, |_| {
            reached = true;
            ControlFlow::Break(())
        });
        reached
    }

    /// Calls `ended` with each step of the walk at which a span ends that reaches the score.
    fn walk(&mut self, walk: Walk<'_>, mut ended: impl FnMut(usize) -> ControlFlow<()>) {
        let Walk { phrase, block, score, backwards, from_first } = walk;
        /// Less than any alignment is worth, and far from overflow.
        const NONE: i64 = i64::MIN / 2;
        let foreign = 2 * i64::from(score);
        let enough = phrase.len() as i64 * i64::from(score);
        self.before.clear();
        self.before.resize(phrase.len(), NONE);
        let mut since_begin = 0;
        for step in 0..block.len() {
            let symbol = if backwards { block[block.len() - 1 - step] } else { block[step] };
            let after = since_begin + foreign;
            if symbol != FOREIGN {
                let may_begin = step == 0 || !from_first;
                let mut here = NONE;
                let mut reached = false;
                for (nth, before) in self.before.iter_mut().enumerate() {
                    let wanted = if backwards { phrase[phrase.len() - 1 - nth] } else { phrase[nth] };
                    let so_far = *before - since_begin;
                    *before = here.max(*before);
                    if wanted == symbol && (may_begin || so_far > NONE / 2) {
                        let worth = 100 + if may_begin { so_far.max(0) } else { so_far };
                        reached |= worth >= enough;
                        here = here.max(worth + after);
                    }
                }
                if reached && ended(step).is_break() {
                    return;
                }
            }
            since_begin = after;
        }
    }
}

struct Walk<'a> {
    phrase: &'a [u32],
    block: &'a [u32],
    score: u8,
    /// From the last word to the first, of phrase and block alike.
    backwards: bool,
    /// Only spans that begin with the first word walked over.
    from_first: bool,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn best(phrase: &[u32], block: &[u32], strictness: u8) -> Option<(u8, usize, usize)> {
        Finder::default().best(phrase, block, strictness).map(|s| (s.score, s.first, s.last))
    }

    #[test]
    fn scores_of_the_contract() {
        assert_eq!(best(&[1, 2, 3], &[9, 1, 2, 3, 9], 1), Some((100, 1, 3)));
        assert_eq!(best(&[1, 2, 3], &[9, 1, 3, 9], 1), Some((66, 1, 2)), "one word of three missing");
        // One foreign word inside three words is 60, but the two that stand together are more.
        assert_eq!(best(&[1, 2, 3], &[1, FOREIGN, 2, 3], 1), Some((66, 2, 3)));
        assert_eq!(best(&[1, 2, 3, 4], &[1, 2, FOREIGN, 3, 4], 1), Some((66, 0, 4)), "of four");
        assert_eq!(best(&[1, 2, 3], &[1, FOREIGN, 2, 3], 67), None);
    }

    #[test]
    fn a_repeated_word_counts_as_often_as_it_stands() {
        assert_eq!(best(&[7, 7, 8], &[7, 8], 1), Some((66, 0, 1)));
        assert_eq!(best(&[7, 7, 8], &[7, 7, 7, 8], 1), Some((100, 1, 3)));
        assert_eq!(best(&[7, 8], &[8, 7], 1), Some((50, 0, 0)), "order counts");
    }

    #[test]
    fn work_is_bounded_by_the_two_lengths() {
        let phrase: Vec<u32> = (0..500).map(|n| n % 7).collect();
        let block: Vec<u32> = (0..20_000).map(|n| n * n % 11).collect();
        assert!(best(&phrase, &block, 1).is_some(), "the square of either length would not end");
    }

    /// All spans, and for each the most words in order of those alignments that match its first and its last word.
    fn by_trying_all(phrase: &[u32], block: &[u32], strictness: u8) -> Option<(u8, usize, usize)> {
        let mut best: Option<(u8, usize, usize)> = None;
        for first in 0..block.len() {
            for last in first..block.len() {
                let matched = most_matched(phrase, &block[first..=last]);
                let foreign = last + 1 - first - matched;
                let score = (100 * matched / (phrase.len() + 2 * foreign)) as u8;
                if matched > 0 && score >= strictness && best.is_none_or(|b| score > b.0) {
                    best = Some((score, first, last));
                }
            }
        }
        best
    }

    fn most_matched(phrase: &[u32], span: &[u32]) -> usize {
        let mut most = 0;
        for chosen in 1_u32..1 << phrase.len() {
            let words: Vec<u32> = (0..phrase.len()).filter(|n| chosen & 1 << n != 0).map(|n| phrase[n]).collect();
            if words.first() != span.first() || words.last() != span.last() || (words.len() == 1) != (span.len() == 1) {
                continue;
            }
            let inner = |of: &[u32]| of[1..of.len().max(2) - 1].to_vec();
            let mut rest = inner(span).into_iter();
            if inner(&words).iter().all(|w| rest.any(|s| s == *w)) {
                most = most.max(words.len());
            }
        }
        most
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3_000))]

        #[test]
        fn best_is_best_of_all(
            phrase in proptest::collection::vec(0_u32..4, 1..7),
            block in proptest::collection::vec(prop_oneof![0_u32..5, Just(FOREIGN)], 0..13),
            strictness in prop_oneof![1_u8..=100, Just(1), Just(100), Just(72)],
        ) {
            let expected = by_trying_all(&phrase, &block, strictness);
            prop_assert_eq!(best(&phrase, &block, strictness), expected);
            if let Some((score, first, last)) = expected {
                prop_assert!(last - first < longest_span(phrase.len(), strictness), "the span is too long");
                let matched = most_matched(&phrase, &block[first..=last]);
                prop_assert!(matched >= least_matched(phrase.len(), strictness), "{} with {}", score, matched);
            }
        }
    }
}
