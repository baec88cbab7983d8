//! The text of a block or phrase in its normal form, and the way back to the code points it was stored as.

use std::ops::Range;

use unicode_normalization::char::{canonical_combining_class, decompose_compatible};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick, is_nfkc_quick};

/// Bytes that may be read past the end of the text, so that what is near it is loaded in one go like any other.
pub const PADDING: usize = 64;

/// Text in NFKC, lower-cased, with U+2019 as `'`. Reused from block to block: reading allocates only to grow.
#[derive(Default)]
pub struct Normal {
    /// The text, then [`PADDING`] NULs.
    padded: String,
    /// Where the pieces of the text came from, in order, then a sentinel; empty when each byte is one code point.
    origins: Vec<Origin>,
}

/// A piece of the text begins here.
struct Origin {
    byte: usize,
    /// The stored code point at which it begins.
    point: usize,
    /// ASCII as stored: each byte is one code point. Otherwise any byte stands for the whole piece.
    plain: bool,
}

impl Normal {
    pub fn read(&mut self, raw: &str) {
        self.padded.clear();
        self.origins.clear();
        if raw.is_ascii() {
            self.padded.push_str(raw);
            self.padded.make_ascii_lowercase();
        } else {
            self.read_pieces(raw);
        }
        self.padded.push_str(NULS);
    }

    #[cfg(test)]
    fn text(&self) -> &str {
        self.padded_text().0
    }

    /// The text, and its bytes with the padding.
    pub fn padded_text(&self) -> (&str, &[u8]) {
        // Nothing has been read yet when there is no padding.
        let len = self.padded.len().saturating_sub(PADDING);
        (self.padded.get(..len).unwrap_or_default(), self.padded.as_bytes())
    }

    /// The smallest range of stored code points whose normal form covers these bytes of the text.
    pub fn place(&self, bytes: Range<usize>) -> Range<usize> {
        if self.origins.is_empty() {
            return bytes;
        }
        let first = self.origin(bytes.start);
        let last = self.origin(bytes.end.saturating_sub(1));
        let (Some(start), Some(end)) = (self.origins.get(first), self.origins.get(last)) else { return bytes };
        let from = if start.plain { start.point + (bytes.start - start.byte) } else { start.point };
        let to = match self.origins.get(last + 1) {
            Some(next) if !end.plain => next.point,
            _ => end.point + (bytes.end - end.byte),
        };
        from..to
    }

    /// Gives back what one very long block made it take.
    pub fn shrink(&mut self, bytes: usize) {
        self.padded.shrink_to(bytes);
        self.origins.shrink_to(bytes / size_of::<Origin>());
    }

    /// The piece that byte belongs to. A piece without a byte of its own loses to the one after it.
    fn origin(&self, byte: usize) -> usize {
        self.origins.partition_point(|o| o.byte <= byte).saturating_sub(1)
    }

    /// Cuts `raw` where normalising the parts gives the same as normalising the whole, and remembers the cuts.
    fn read_pieces(&mut self, raw: &str) {
        let mut rest = raw;
        let mut point = 0;
        while !rest.is_empty() {
            let (piece, points) = next_piece(rest);
            let plain = piece.is_ascii();
            self.origins.push(Origin { byte: self.padded.len(), point, plain });
            if plain {
                let from = self.padded.len();
                self.padded.push_str(piece);
                self.padded[from..].make_ascii_lowercase();
            } else if is_nfkc_quick(piece.chars()) == IsNormalized::Yes {
                piece.chars().for_each(|c| self.push_lower(c));
            } else {
                piece.nfkc().for_each(|c| self.push_lower(c));
            }
            point += points;
            rest = &rest[piece.len()..];
        }
        self.origins.push(Origin { byte: self.padded.len(), point, plain: false });
        // Σ alone is lower-cased by what stands around it. Both its small forms are as long, so no piece moves.
        if self.padded.contains('σ') && raw.nfkc().any(|c| c == 'Σ') {
            let whole = raw.nfkc().collect::<String>().to_lowercase().replace('\u{2019}', "'");
            debug_assert_eq!(whole.len(), self.padded.len());
            self.padded = whole;
        }
    }

    fn push_lower(&mut self, c: char) {
        match c {
            '\u{2019}' => self.padded.push('\''),
            _ => self.padded.extend(c.to_lowercase()),
        }
    }
}

const NULS: &str = match str::from_utf8(&[0; PADDING]) {
    Ok(nuls) => nuls,
    Err(_) => "",
};

/// The first piece of `rest`, which is not empty, and its number of code points.
fn next_piece(rest: &str) -> (&str, usize) {
    let ascii = rest.bytes().position(|b| !b.is_ascii()).unwrap_or(rest.len());
    if ascii == rest.len() {
        return (rest, ascii);
    }
    // A mark that follows the ASCII belongs to its last letter, which then is no part of the plain piece.
    let marked = rest[ascii..].chars().next().is_some_and(|c| !always_starts(c));
    match ascii {
        0 => composed_piece(rest),
        _ if !marked => (&rest[..ascii], ascii),
        1 => composed_piece(rest),
        _ => (&rest[..ascii - 1], ascii - 1),
    }
}

/// The shortest piece that composes with nothing after it.
fn composed_piece(rest: &str) -> (&str, usize) {
    let following = rest.char_indices().enumerate().skip(1);
    for (points, (byte, c)) in following {
        if always_starts(c) || may_start(c) && stand_apart(&rest[..byte], c) {
            return (&rest[..byte], points);
        }
    }
    (rest, rest.chars().count())
}

/// Whether nothing that stands before `c` can compose with it or change places with it.
fn always_starts(c: char) -> bool {
    c < '\u{300}' || may_start(c) && is_nfc_quick(first_of(c).into_iter()) == IsNormalized::Yes
}

fn may_start(c: char) -> bool {
    first_of(c).is_none_or(|first| canonical_combining_class(first) == 0)
}

fn first_of(c: char) -> Option<char> {
    let mut first = None;
    decompose_compatible(c, |d| {
        first.get_or_insert(d);
    });
    first
}

/// Whether this `c`, which composes with some letters, leaves `before` alone: a Hangul vowel after a full stop does.
///
/// `before` is short, or this comes once for it: compositions are a few code points long, and a mark that is left
/// over keeps `c` apart.
fn stand_apart(before: &str, c: char) -> bool {
    let together = before.chars().chain([c]).nfkc();
    together.eq(before.nfkc().chain([c].into_iter().nfkc()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normal(raw: &str) -> Normal {
        let mut normal = Normal::default();
        normal.read("ÄÖ left over from the block before");
        normal.read(raw);
        normal
    }

    /// The stored characters which the first occurrence of `word` in the normal form is placed on.
    fn stored(raw: &str, word: &str) -> String {
        let normal = normal(raw);
        let at = normal.text().find(word).unwrap_or_else(|| panic!("{word:?} not in {:?}", normal.text()));
        let place = normal.place(at..at + word.len());
        raw.chars().skip(place.start).take(place.len()).collect()
    }

    #[test]
    fn place_is_the_smallest_range_that_covers() {
        assert_eq!(stored("Ask REFUND now", "refund"), "REFUND");
        assert_eq!(stored("so ﬁne, ﬁx", "fine"), "ﬁne");
        assert_eq!(stored("the e\u{301}tat. x", "\u{e9}tat"), "e\u{301}tat");
        assert_eq!(stored("ete\u{301} x", "et\u{e9}"), "ete\u{301}");
        assert_eq!(stored("👍🏽 refund 👍", "refund"), "refund");
        assert_eq!(stored("ｍｏｎｅｙ ｂａｃｋ", "back"), "ｂａｃｋ");
        assert_eq!(stored("I don’t know", "don't"), "don’t");
        assert_eq!(stored("in İSTANBUL x", "i\u{307}stanbul"), "İSTANBUL");
        assert_eq!(stored("x \u{1112}\u{1161}\u{11ab} y", "한"), "\u{1112}\u{1161}\u{11ab}");
        assert_eq!(stored("a.\u{1161} b", "\u{1161}"), "\u{1161}", "a vowel does not compose with a full stop");
        assert_eq!(stored("é ﷺ é", "الله"), "ﷺ", "one code point that is four words");
        assert_eq!(stored("ΟΔΟΣ ΣΑΣ", "σας"), "ΣΑΣ");
        assert_eq!(stored("x½", "1⁄2"), "½");
    }

    #[test]
    fn long_runs_of_marks_take_no_longer_than_their_length() {
        for unit in ["\u{301}", "\u{1161}", "\u{1100}\u{1161}", "\u{9c7}\u{9be}", "x\u{301}"] {
            let raw = unit.repeat(50_000);
            assert_eq!(normal(&raw).text(), raw.nfkc().collect::<String>());
        }
    }

    /// Letters that the rules disagree on most, and then anything.
    fn awkward() -> impl Strategy<Value = String> {
        let some = "aZ '’.Σσςéİıﬁﬀﷺ½½Ａ\u{301}\u{323}\u{307}\u{345}\u{1100}\u{1161}\u{11a8}가\u{9c7}\u{9be}\u{9d7}\u{ddc}\u{dca}\u{dcf}\u{344}\u{200d}\u{fe0f}👍";
        let one = prop_oneof![4 => proptest::sample::select(some.chars().collect::<Vec<_>>()), 1 => any::<char>()];
        proptest::collection::vec(one, 0..12).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn pieces_give_what_the_whole_gives(raw in awkward()) {
            let whole = raw.nfkc().collect::<String>().to_lowercase().replace('\u{2019}', "'");
            let normal = normal(&raw);
            prop_assert_eq!(normal.text(), whole);
        }

        #[test]
        fn the_place_of_a_letter_holds_it(raw in awkward()) {
            let normal = normal(&raw);
            let points: Vec<char> = raw.chars().collect();
            for (at, c) in normal.text().char_indices() {
                let place = normal.place(at..at + c.len_utf8());
                let covered: String = points[place].iter().collect();
                let read = covered.nfkc().collect::<String>().to_lowercase().replace('\u{2019}', "'").replace('ς', "σ");
                prop_assert!(read.contains(if c == 'ς' { 'σ' } else { c }), "{c:?} not in {covered:?} of {raw:?}");
            }
        }
    }
}
