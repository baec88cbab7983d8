//! Where the words of a normalised text are: the UAX #29 words that hold a letter or digit.

use std::ops::Range;

use unicode_normalization::char::is_combining_mark;
use unicode_segmentation::UnicodeSegmentation;

/// A word, as bytes of the normalised text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    pub start: usize,
    pub end: usize,
}

/// Puts the words of `text` into `words`, in order.
pub fn split(text: &str, words: &mut Vec<Word>) {
    words.clear();
    if text.is_ascii() {
        return split_ascii(text, 0, words);
    }
    // A space ends whatever stands before it and joins only marks after it, which make no word.
    let mut start = 0;
    for part in text.split(' ') {
        match part.is_ascii() {
            true => split_ascii(part, start, words),
            false => split_any(part, start, words),
        }
        start += part.len() + 1;
    }
}

fn split_any(text: &str, offset: usize, words: &mut Vec<Word>) {
    let bounds = text.split_word_bound_indices().filter(|(_, part)| part.chars().any(is_letter_or_digit));
    words.extend(bounds.map(|(at, part)| Word { start: offset + at, end: offset + at + part.len() }));
}

/// The general categories L* and N*. `char::is_alphanumeric` has the vowel signs and the negative circled letters on
/// top, which are emoji more often than letters.
fn is_letter_or_digit(c: char) -> bool {
    c.is_alphanumeric() && !is_combining_mark(c) && !matches!(c, 'Ⓐ'..='ⓩ' | '\u{1f130}'..='\u{1f189}')
}

/// What UAX #29 says of ASCII: letters, digits and `_` join one another, and one other character joins two letters or
/// two digits when it stands alone between them and is of the right kind.
///
/// Done with a bit a character, 64 at a time: going through words letter by letter, the processor guesses wrong at
/// the end of nearly each.
fn split_ascii(text: &str, offset: usize, words: &mut Vec<Word>) {
    let bytes = text.as_bytes();
    // Where the word began that reaches up to the chunk, if there is one.
    let mut begun = None;
    let mut at = 0;
    while at < bytes.len() {
        let chunk = &bytes[at..bytes.len().min(at + CHUNK)];
        let (mut inside, mut between) = masks(chunk);
        while between != 0 {
            let bit = between.trailing_zeros() as usize;
            between &= between - 1;
            if joins(bytes, at + bit) {
                inside |= 1 << bit;
            }
        }
        // Each change of the bits is the begin or the end of a word.
        let mut changes = inside ^ (inside << 1 | u64::from(begun.is_some()));
        while changes != 0 {
            let here = at + changes.trailing_zeros() as usize;
            changes &= changes - 1;
            begun = match begun {
                None => Some(here),
                Some(start) => {
                    push(bytes, start..here, offset, words);
                    None
                }
            };
        }
        at += CHUNK;
    }
    if let Some(start) = begun {
        push(bytes, start..bytes.len(), offset, words);
    }
}

const CHUNK: usize = 64;

fn push(bytes: &[u8], word: Range<usize>, offset: usize, words: &mut Vec<Word>) {
    // Only here can a word be without a letter or digit: the rest that may stand in it stands between two.
    if bytes.get(word.start) != Some(&b'_') || bytes[word.clone()].iter().any(u8::is_ascii_alphanumeric) {
        words.push(Word { start: offset + word.start, end: offset + word.end });
    }
}

/// Whether the character joins its neighbours, which both are there.
fn joins(bytes: &[u8], at: usize) -> bool {
    let (Some(before), Some(after)) = (at.checked_sub(1).and_then(|at| bytes.get(at)), bytes.get(at + 1)) else {
        return false;
    };
    match bytes[at] {
        b'.' | b'\'' => {
            before.is_ascii_alphabetic() && after.is_ascii_alphabetic()
                || before.is_ascii_digit() && after.is_ascii_digit()
        }
        b':' => before.is_ascii_alphabetic() && after.is_ascii_alphabetic(),
        b',' | b';' => before.is_ascii_digit() && after.is_ascii_digit(),
        _ => false,
    }
}

/// A bit for each of at most 64 characters that are letters, digits or `_`; and one for each that could join others.
fn masks(chunk: &[u8]) -> (u64, u64) {
    let (mut inside, mut between) = (0, 0);
    let (eights, rest) = chunk.as_chunks::<8>();
    for (nth, eight) in eights.iter().enumerate() {
        let (word, mid) = masks_of_eight(u64::from_le_bytes(*eight));
        inside |= word << (8 * nth);
        between |= mid << (8 * nth);
    }
    if !rest.is_empty() {
        let mut eight = [0; 8];
        eight[..rest.len()].copy_from_slice(rest);
        let (word, mid) = masks_of_eight(u64::from_le_bytes(eight));
        inside |= word << (8 * eights.len());
        between |= mid << (8 * eights.len());
    }
    (inside, between)
}

/// The same for eight ASCII characters, side by side in one number.
fn masks_of_eight(eight: u64) -> (u64, u64) {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // The top bit of each byte that is at least `low`. No byte carries into the next, as none is above 0x7f.
    let at_least = |eight: u64, low: u8| eight + EACH * u64::from(0x80 - low);
    let within = |eight: u64, low: u8, high: u8| at_least(eight, low) & !at_least(eight, high + 1);
    let lower = eight | (EACH * 0x20);
    // `_` with that bit set is DEL; the letters `A` to `Z` become small, and nothing else becomes a letter.
    let word = within(lower, b'a', b'z') | within(eight, b'0', b'9') | within(eight, b'_', b'_');
    let mid = within(eight, b'\'', b'.') | within(eight, b':', b';');
    // Brings the bytes' top bits together in the topmost byte.
    let gather = |tops: u64| ((tops >> 7 & EACH).wrapping_mul(0x0102_0408_1020_4080)) >> 56;
    (gather(word), gather(mid))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Vec<&str> {
        let mut words = Vec::new();
        split(text, &mut words);
        words.iter().map(|w| &text[w.start..w.end]).collect()
    }

    #[test]
    fn words_are_those_of_uax_29() {
        assert_eq!(
            words("i don't, e.g. pay $3.50 'now' a_b __ x:y 1:2 1,000 a,b"),
            ["i", "don't", "e.g", "pay", "3.50", "now", "a_b", "x:y", "1", "2", "1,000", "a", "b"]
        );
        assert_eq!(words("l'été 👍 naïve — 42"), ["l'été", "naïve", "42"]);
        assert_eq!(words("🅱 \u{93e} 1\u{fe0f}\u{20e3}"), ["1\u{fe0f}\u{20e3}"], "marks and emoji are no letters");
    }

    fn reference(text: &str) -> Vec<&str> {
        text.split_word_bounds().filter(|part| part.chars().any(is_letter_or_digit)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn ascii_by_table_is_ascii_by_unicode(text in "[ab1_.:,;' \"\r\n-]{0,16}|[\\x00-\\x7f]{0,24}|[a1_.,]{50,150}|[a ]{120,140}|[\\x00-\\x7f]{60,70}") {
            prop_assert_eq!(words(&text), reference(&text));
        }

        #[test]
        fn cut_at_spaces_is_cut_anyhow(text in "[ab1_.:' \u{301}\u{200d}\u{fe0f}\u{93e}é©👍א\"カ\u{3000}🇩\r\n]{0,16}|\\PC{0,24}") {
            prop_assert_eq!(words(&text), reference(&text));
        }
    }
}
