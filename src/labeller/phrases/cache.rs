//! Which symbol a word has, remembered, so that only new words are stemmed.

use super::text::PADDING;
use super::words::Word;

/// Words up to this length are remembered; few of any language are longer.
const KEY_BYTES: usize = 16;
const _: () = assert!(KEY_BYTES <= PADDING);
const BUCKETS: usize = 1 << BUCKET_BITS;
const BUCKET_BITS: u32 = 13;
const WAYS: usize = 3;

/// A fixed number of words. A new word takes the last place of its bucket and every use moves it one place up, so a
/// stream of words that never come again costs one place, not the frequent words.
pub struct Cache {
    buckets: Vec<Bucket>,
}

/// A line of the processor's cache.
#[derive(Clone, Default)]
#[repr(align(64))]
struct Bucket {
    /// The words' bytes, then NULs, which no word holds. All NULs: the place is free.
    keys: [Key; WAYS],
    symbols: [u32; WAYS],
}

const _: () = assert!(size_of::<Bucket>() == 64);

type Key = [u64; KEY_BYTES / 8];

impl Default for Cache {
    fn default() -> Self {
        Cache { buckets: vec![Bucket::default(); BUCKETS] }
    }
}

impl Cache {
    /// The symbol of `word`, which stands in `padded`; `look_up` is asked when it is not remembered.
    #[inline]
    pub fn symbol(&mut self, padded: &[u8], word: Word, look_up: impl FnOnce() -> u32) -> u32 {
        let Some(key) = key(padded, word) else { return look_up() };
        let Some(bucket) = self.buckets.get_mut(place(key)) else { return look_up() };
        if bucket.keys[0] == key {
            return bucket.symbols[0];
        }
        for way in 1..WAYS {
            if bucket.keys[way] == key {
                let symbol = bucket.symbols[way];
                bucket.keys.swap(way, way - 1);
                bucket.symbols.swap(way, way - 1);
                return symbol;
            }
        }
        let symbol = look_up();
        bucket.keys[WAYS - 1] = key;
        bucket.symbols[WAYS - 1] = symbol;
        symbol
    }
}

/// The word as a key, where it is short enough and as much padding follows as was promised.
#[inline]
fn key(padded: &[u8], word: Word) -> Option<Key> {
    let length = word.end.checked_sub(word.start)?;
    let masks = MASKS.get(length)?;
    let bytes: &[u8; KEY_BYTES] = padded.get(word.start..)?.first_chunk()?;
    let mut key = *masks;
    for (part, eight) in key.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *part &= u64::from_le_bytes(*eight);
    }
    Some(key)
}

/// For each length the bytes of the key that belong to the word.
static MASKS: [Key; KEY_BYTES + 1] = {
    let mut masks = [[0; KEY_BYTES / 8]; KEY_BYTES + 1];
    let mut length = 0;
    while length <= KEY_BYTES {
        let mut byte = 0;
        while byte < length {
            masks[length][byte / 8] |= 0xff << (8 * (byte % 8));
            byte += 1;
        }
        length += 1;
    }
    masks
};

#[inline]
fn place(key: Key) -> usize {
    let mixed = key[0] ^ key[1].rotate_left(21);
    // The golden ratio spreads all bits into the topmost, which number the bucket.
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - BUCKET_BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks for a word and answers `(its symbol, whether it was looked up)`.
    fn ask(cache: &mut Cache, word: &str, symbol: u32) -> (u32, bool) {
        let padded = format!("{word}\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        let mut asked = false;
        let found = cache.symbol(padded.as_bytes(), Word { start: 0, end: word.len() }, || {
            asked = true;
            symbol
        });
        (found, asked)
    }

    #[test]
    fn a_word_is_looked_up_once_and_never_taken_for_another() {
        let mut cache = Cache::default();
        let words: Vec<String> = (1..=KEY_BYTES).flat_map(|n| [("a".repeat(n)), ("b".repeat(n))]).collect();
        for (symbol, word) in words.iter().enumerate() {
            assert_eq!(ask(&mut cache, word, symbol as u32), (symbol as u32, true), "{word}");
            assert_eq!(ask(&mut cache, word, 999), (symbol as u32, false), "{word}");
        }
        assert_eq!(ask(&mut cache, &"a".repeat(KEY_BYTES + 1), 7), (7, true));
        assert_eq!(ask(&mut cache, &"a".repeat(KEY_BYTES + 1), 8), (8, true), "too long to be remembered");
    }

    #[test]
    fn words_that_never_come_again_do_not_push_out_those_that_do() {
        let mut cache = Cache::default();
        (0..4).for_each(|_| {
            ask(&mut cache, "refund", 5);
        });
        for n in 0..20 * BUCKETS {
            assert_eq!(ask(&mut cache, &format!("order{n}"), n as u32).0, n as u32);
        }
        assert_eq!(ask(&mut cache, "refund", 6), (5, false));
    }
}
