//! Of each topic the best that was found in a block.

use super::span::Span;

/// A phrase that matches, and where: ordinals of the span's first and last word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hit {
    /// Index into the topic's phrases.
    pub phrase: u32,
    pub score: u8,
    pub first: u32,
    pub last: u32,
}

impl Hit {
    pub fn new(phrase: u32, span: Span) -> Hit {
        Hit { phrase, score: span.score, first: span.first as u32, last: span.last as u32 }
    }

    /// Of two hits the better has the lesser rank.
    fn rank(self) -> impl Ord {
        (u8::MAX - self.score, self.phrase, self.first, self.last)
    }
}

/// The hits of one block after another: a topic has one, however often its phrases stand there.
#[derive(Default)]
pub struct Best {
    /// By topic.
    hits: Vec<Hit>,
    /// A bit a topic, in the catalogue's order: it has a hit in this block.
    found: Vec<u64>,
}

impl Best {
    /// Forgets what was found, for the next block of a catalogue of so many topics.
    pub fn begin(&mut self, topics: usize) {
        if self.hits.len() < topics {
            self.hits.resize(topics, Hit::default());
            self.found.resize(topics.div_ceil(64), 0);
        }
        self.found.fill(0);
    }

    #[inline]
    pub fn offer(&mut self, topic: u32, hit: Hit) {
        let (Some(best), Some(found)) = (self.hits.get_mut(topic as usize), self.found.get_mut(topic as usize / 64))
        else {
            return;
        };
        let bit = 1 << (topic % 64);
        if *found & bit == 0 || hit.rank() < best.rank() {
            *best = hit;
        }
        *found |= bit;
    }

    /// The topics that were found, in the catalogue's order.
    pub fn found(&self) -> impl Iterator<Item = (u32, Hit)> {
        (0..)
            .zip(&self.found)
            .flat_map(|(nth, &found)| {
                let mut rest = found;
                std::iter::from_fn(move || {
                    let bit = (rest != 0).then(|| rest.trailing_zeros())?;
                    rest &= rest - 1;
                    Some(nth * 64 + bit)
                })
            })
            .filter_map(|topic: u32| self.hits.get(topic as usize).map(|&hit| (topic, hit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(score: u8, phrase: u32, first: u32, last: u32) -> Hit {
        Hit { phrase, score, first, last }
    }

    #[test]
    fn the_best_of_each_topic_in_this_block() {
        let mut best = Best::default();
        best.begin(3);
        best.offer(0, hit(100, 0, 0, 0));
        best.begin(3);
        // Each is better than those before it, but for the last.
        let ranked = [hit(72, 0, 0, 1), hit(80, 5, 9, 10), hit(80, 4, 9, 10), hit(80, 4, 3, 10), hit(80, 4, 3, 7)];
        for (nth, offered) in ranked.into_iter().enumerate() {
            best.offer(2, offered);
            best.offer(2, ranked[0]);
            assert_eq!(best.found().collect::<Vec<_>>(), [(2, offered)], "{nth}");
        }
        best.offer(1, ranked[0]);
        best.offer(3, ranked[0]);
        assert_eq!(best.found().collect::<Vec<_>>(), [(1, ranked[0]), (2, ranked[4])], "there is no fourth topic");
    }
}
