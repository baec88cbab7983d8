//! Words that must stand one behind the other, found by two of them: most phrases match only so, and then the cost of a
//! block is one look a pair of words, however many phrases there are.

use rustc_hash::FxHashMap;

use super::span::FOREIGN;

/// A phrase, or one with a word left out, as it must stand in a block.
#[derive(Clone, Copy)]
pub struct Run {
    pub topic: u32,
    /// Index into the topic's phrases.
    pub phrase: u32,
    pub score: u8,
    /// The place in the run of the pair that it is filed under.
    pub nth: u32,
    from: u32,
    to: u32,
}

/// The runs that are filed under a pair.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filed {
    from: u32,
    to: u32,
}

#[derive(Default)]
pub struct Runs {
    /// The words of all runs, one behind the other.
    words: Vec<u32>,
    /// Sorted by the pair that they are filed under.
    runs: Vec<Run>,
    filed: FxHashMap<u64, (u32, u32)>,
    /// For most pairs that are not filed the answer, from memory that is near.
    filter: Vec<u64>,
}

impl Runs {
    /// Adds a run of at least one word.
    pub fn add(&mut self, topic: u32, phrase: u32, score: u8, words: impl Iterator<Item = u32>) {
        let from = self.words.len() as u32;
        self.words.extend(words);
        self.runs.push(Run { topic, phrase, score, nth: 0, from, to: self.words.len() as u32 });
    }

    /// Files each run under its rarest pair: the one that fewest runs have, then the one with the rarest word by
    /// `rareness`, which has a number a symbol, less for rarer ones.
    pub fn file(&mut self, rareness: &[u32]) {
        let mut users: FxHashMap<u64, u32> = FxHashMap::default();
        for run in &self.runs {
            pairs(self.words(run)).for_each(|pair| *users.entry(pair).or_default() += 1);
        }
        let rank = |pair: u64| {
            // A run of one word has no second.
            let rareness = |symbol: u32| rareness.get(symbol as usize).copied().unwrap_or(u32::MAX);
            (users.get(&pair).copied(), rareness((pair >> 32) as u32).min(rareness(pair as u32)))
        };
        let mut filed: Vec<(u64, Run)> = Vec::with_capacity(self.runs.len());
        for run in &self.runs {
            let rarest = pairs(self.words(run)).zip(0..).min_by_key(|&(pair, nth)| (rank(pair), nth));
            filed.extend(rarest.map(|(pair, nth)| (pair, Run { nth, ..*run })));
        }
        // Stable: under a pair the catalogue's order stays.
        filed.sort_by_key(|&(pair, _)| pair);
        // 16 bits a pair: one in 16 passes that is not filed.
        self.filter = vec![0; (filed.len() / 4).next_power_of_two().max(64)];
        let mut start = 0;
        for same in filed.chunk_by(|a, b| a.0 == b.0) {
            let end = start + same.len() as u32;
            let pair = same[0].0;
            self.filed.insert(pair, (start, end));
            let (word, bit) = self.place(pair);
            self.filter[word] |= bit;
            start = end;
        }
        self.runs = filed.into_iter().map(|(_, run)| run).collect();
    }

    /// Whether there may be something that is filed under this pair. No for most that have nothing.
    #[inline]
    pub fn may_be_filed(&self, first: u32, second: u32) -> bool {
        let (word, bit) = self.place(pair(first, second));
        self.filter.get(word).is_some_and(|filter| filter & bit != 0)
    }

    /// The runs to look for where `first` stands before `second`; [`FOREIGN`] as `second`: those of one word.
    #[inline]
    pub fn filed(&self, first: u32, second: u32) -> Filed {
        let (from, to) = self.filed.get(&pair(first, second)).copied().unwrap_or_default();
        Filed { from, to }
    }

    #[inline]
    pub fn runs(&self, filed: Filed) -> &[Run] {
        self.runs.get(filed.from as usize..filed.to as usize).unwrap_or_default()
    }

    pub fn words(&self, run: &Run) -> &[u32] {
        self.words.get(run.from as usize..run.to as usize).unwrap_or_default()
    }

    /// The word and the bit of the filter that stand for the pair.
    #[inline]
    fn place(&self, pair: u64) -> (usize, u64) {
        let mixed = pair.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (pair >> 32).wrapping_mul(0xff51_afd7_ed55_8ccd);
        let mixed = mixed >> 32;
        ((mixed >> 6) as usize & self.filter.len().wrapping_sub(1), 1 << (mixed & 63))
    }
}

#[inline]
fn pair(first: u32, second: u32) -> u64 {
    u64::from(first) << 32 | u64::from(second)
}

/// The pairs of neighbours, or of the only word and none.
fn pairs(words: &[u32]) -> impl Iterator<Item = u64> {
    let only = words.first().filter(|_| words.len() == 1).map(|&word| pair(word, FOREIGN));
    only.into_iter().chain(words.windows(2).map(|two| pair(two[0], two[1])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(of: &[&[u32]]) -> Runs {
        let mut runs = Runs::default();
        for (phrase, words) in of.iter().enumerate() {
            runs.add(0, phrase as u32, 100, words.iter().copied());
        }
        runs.file(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        runs
    }

    fn found(runs: &Runs, first: u32, second: u32) -> Vec<(u32, u32)> {
        runs.runs(runs.filed(first, second)).iter().map(|run| (run.phrase, run.nth)).collect()
    }

    #[test]
    fn a_run_is_filed_once_under_its_rarest_pair() {
        let runs = runs(&[&[5, 6, 7], &[5, 6], &[5], &[9, 3, 8]]);
        assert_eq!(found(&runs, 6, 7), [(0, 1)], "5 6 has two users");
        assert_eq!(found(&runs, 5, 6), [(1, 0)]);
        assert_eq!(found(&runs, 5, FOREIGN), [(2, 0)]);
        assert_eq!(found(&runs, 9, 3), [(3, 0)], "both pairs have the rare 3, so the first");
        assert!(found(&runs, 3, 8).is_empty() && found(&runs, 7, 6).is_empty());
        assert!(Runs::default().filed(1, 2) == Filed::default());
    }

    #[test]
    fn every_run_of_many_is_found_and_few_others_pass_the_filter() {
        let many: Vec<[u32; 2]> = (0..10_000).map(|n| [n % 331, n / 7]).collect();
        let many: Vec<&[u32]> = many.iter().map(|words| &words[..]).collect();
        let runs = runs(&many);
        assert!(many.iter().zip(0..).all(|(words, n)| found(&runs, words[0], words[1]).contains(&(n, 0))));
        assert!(many.iter().all(|words| runs.may_be_filed(words[0], words[1])));
        let passed = (0..100_000).filter(|&n| runs.may_be_filed(n % 331, 2_000 + n / 331));
        assert!(passed.count() < 12_000);
    }
}
