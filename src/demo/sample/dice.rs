//! The generator's only source of chance: the same throws for the same seed, on every machine.

/// `SplitMix64` (Steele, Lea, Flood 2014). Good enough for choosing sentences, and ten lines instead of a dependency
/// whose next version might throw otherwise.
pub struct Dice(u64);

const GOLDEN_GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

impl Dice {
    /// Every item throws its own dice, so that it stays the same when more or fewer items are asked for.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut dice = Dice(seed);
        let salt = dice.next();
        Dice(salt ^ stream.wrapping_mul(GOLDEN_GAMMA).rotate_left(32))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN_GAMMA);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`, by multiplication rather than remainder; 0 when `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    /// One of a table, which must have rows.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throws_repeat_and_stay_in_bounds() {
        let throws = |stream| {
            let mut dice = Dice::new(7, stream);
            (0..200).map(|_| dice.between(3, 9)).collect::<Vec<_>>()
        };
        assert_eq!(throws(1), throws(1));
        assert_ne!(throws(1), throws(2));
        assert!((3..=9).all(|n| throws(1).contains(&n)));
        assert!(throws(1).iter().all(|n| (3..=9).contains(n)));
        assert_eq!(Dice::new(1, 1).below(0), 0);
    }
}
