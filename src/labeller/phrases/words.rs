//! Where the words of a normalised text are: the UAX #29 words that hold a letter or digit.

use std::ops::Range;

use unicode_normalization::char::is_combining_mark;
use unicode_segmentation::UnicodeSegmentation;

use super::text::PADDING;

/// A word, as bytes of the normalised text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    pub start: usize,
    pub end: usize,
}

/// Puts the words of `text` into `words`, in order. `padded` is the text's bytes and then [`PADDING`] NULs.
pub fn split((text, padded): (&str, &[u8]), words: &mut Vec<Word>) {
    words.clear();
    if text.is_ascii() {
        return split_ascii(padded, 0..text.len(), words);
    }
    // A space ends whatever stands before it and joins only marks after it, which make no word.
    let mut start = 0;
    for part in text.split(' ') {
        match part.is_ascii() {
            true => split_ascii(padded, start..start + part.len(), words),
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
/// two digits when it stands alone between them and is of the right kind. Before and after the part stands none of
/// these, or nothing.
///
/// Done with a bit a character, 64 at a time: going through words letter by letter, the processor guesses wrong at
/// the end of nearly each.
fn split_ascii(padded: &[u8], part: Range<usize>, words: &mut Vec<Word>) {
    // Where the word began that reaches up to the chunk, if there is one.
    let mut begun = None;
    for at in part.clone().step_by(CHUNK) {
        let Some(chunk) = padded.get(at..).and_then(|rest| rest.first_chunk()) else { return };
        let (mut inside, mut between) = masks(chunk);
        let within = u64::MAX >> (CHUNK - (part.end - at).min(CHUNK));
        inside &= within;
        // What joins stands between two that are inside; next to the chunk's borders that is not known yet.
        between &= within & (inside << 1 | 1) & (inside >> 1 | 1 << (CHUNK - 1));
        while between != 0 {
            let bit = take_bit(&mut between);
            if joins(padded, at + bit) {
                inside |= 1 << bit;
            }
        }
        let before = inside << 1 | u64::from(begun.is_some());
        let mut begins = inside & !before;
        let mut ends = before & !inside;
        while ends != 0 {
            let start = begun.take().unwrap_or_else(|| at + take_bit(&mut begins));
            push(padded, start..at + take_bit(&mut ends), words);
        }
        if begins != 0 {
            begun = Some(at + take_bit(&mut begins));
        }
    }
    if let Some(start) = begun {
        push(padded, start..part.end, words);
    }
}

/// The place of the lowest bit, which is taken away.
#[inline]
fn take_bit(bits: &mut u64) -> usize {
    let place = bits.trailing_zeros() as usize;
    *bits &= bits.wrapping_sub(1);
    place
}

const CHUNK: usize = 64;
const _: () = assert!(CHUNK <= PADDING);

fn push(bytes: &[u8], word: Range<usize>, words: &mut Vec<Word>) {
    // Only here can a word be without a letter or digit: the rest that may stand in it stands between two.
    if bytes.get(word.start) != Some(&b'_') || bytes[word.clone()].iter().any(u8::is_ascii_alphanumeric) {
        words.push(Word { start: word.start, end: word.end });
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

/// A bit for each character that is a letter, a digit or `_`; and one for each that could join others.
fn masks(chunk: &[u8; CHUNK]) -> (u64, u64) {
    const INSIDE: u8 = 1;
    const BETWEEN: u8 = 2;
    // Without a branch and over a fixed length, so that the compiler does many at once.
    let kinds = chunk.map(|byte| {
        let within = |byte: u8, low: u8, high: u8| byte.wrapping_sub(low) <= high - low;
        let inside = within(byte | 0x20, b'a', b'z') | within(byte, b'0', b'9') | (byte == b'_');
        let between = within(byte, b'\'', b'.') | within(byte, b':', b';');
        (u8::from(inside) * INSIDE) | (u8::from(between) * BETWEEN)
    });
    let (mut inside, mut between) = (0, 0);
    for (nth, eight) in kinds.as_chunks::<8>().0.iter().enumerate() {
        // Brings the lowest bit of each byte together in the topmost byte.
        let gather = |eight: u64| (eight & 0x0101_0101_0101_0101).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        let eight = u64::from_le_bytes(*eight);
        inside |= gather(eight) << (8 * nth);
        between |= gather(eight >> 1) << (8 * nth);
    }
    (inside, between)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Vec<&str> {
        let mut words = Vec::new();
        let padded = format!("{text}{}", "\0".repeat(PADDING));
        split((text, padded.as_bytes()), &mut words);
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
            prop_assert!(words(&text).iter().all(|word| !word.starts_with('\'')), "`begins` counts on it");
        }
    }
}
