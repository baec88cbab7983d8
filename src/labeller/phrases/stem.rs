//! What two words must share to match: their letters, or their stem in a language.

use std::borrow::Cow;

use snowball_stemmers_rs::{Algorithm, Stemmer};

/// Longer words are their own stem. The stemmers copy a word at every change, so a word made for it would take time in
/// the square of its length.
const MAX_STEMMED_BYTES: usize = 256;

/// A language that Snowball has, as an index into [`LANGUAGES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Language(usize);

impl Language {
    /// How many there are: [`Language::index`] is less.
    pub const COUNT: usize = LANGUAGES.len();

    /// The language that the primary subtag names; English where that is none, or none of Snowball's.
    pub fn of(tag: Option<&str>) -> Language {
        // Most blocks have none, and it is asked for each transcript.
        let Some(tag) = tag else { return Language(ENGLISH) };
        let subtag = tag.split(['-', '_']).next().unwrap_or_default();
        let named = LANGUAGES.iter().position(|(subtags, _)| subtags.iter().any(|s| s.eq_ignore_ascii_case(subtag)));
        Language(named.unwrap_or(ENGLISH))
    }

    pub fn index(self) -> usize {
        self.0
    }

    /// Whether the word's last byte alone shows that it is its own stem. All suffixes that the English stemmer knows end
    /// in one of few letters; numbers above all are thus spared the work, and they are what texts are full of.
    fn leaves(self, word: &str) -> bool {
        let may_end_a_suffix = |byte: &u8| b"'cdegilmnrsty".contains(byte);
        self.0 == ENGLISH && !word.starts_with('\'') && !word.as_bytes().last().is_some_and(may_end_a_suffix)
    }

    fn algorithm(self) -> Algorithm {
        LANGUAGES.get(self.0).map_or(Algorithm::English, |&(_, algorithm)| algorithm)
    }
}

/// The index of the language that stands in for those that are not here.
const ENGLISH: usize = 0;

static LANGUAGES: [(&[&str], Algorithm); 35] = [
    (&["en"], Algorithm::English),
    (&["ar"], Algorithm::Arabic),
    (&["hy"], Algorithm::Armenian),
    (&["eu"], Algorithm::Basque),
    (&["ca"], Algorithm::Catalan),
    (&["cs"], Algorithm::Czech),
    (&["da"], Algorithm::Danish),
    (&["nl"], Algorithm::Dutch),
    (&["eo"], Algorithm::Esperanto),
    (&["et"], Algorithm::Estonian),
    (&["fi"], Algorithm::Finnish),
    (&["fr"], Algorithm::French),
    (&["de"], Algorithm::German),
    (&["el"], Algorithm::Greek),
    (&["hi"], Algorithm::Hindi),
    (&["hu"], Algorithm::Hungarian),
    (&["id"], Algorithm::Indonesian),
    (&["ga"], Algorithm::Irish),
    (&["it"], Algorithm::Italian),
    (&["lt"], Algorithm::Lithuanian),
    (&["ne"], Algorithm::Nepali),
    (&["no", "nb", "nn"], Algorithm::Norwegian),
    (&["fa"], Algorithm::Persian),
    (&["pl"], Algorithm::Polish),
    (&["pt"], Algorithm::Portuguese),
    (&["ro"], Algorithm::Romanian),
    (&["ru"], Algorithm::Russian),
    (&["sr"], Algorithm::Serbian),
    (&["st"], Algorithm::Sesotho),
    (&["es"], Algorithm::Spanish),
    (&["sv"], Algorithm::Swedish),
    (&["ta"], Algorithm::Tamil),
    (&["tr"], Algorithm::Turkish),
    (&["uk"], Algorithm::Ukrainian),
    (&["yi"], Algorithm::Yiddish),
];

/// What stands for a word when words are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Word,
    Stem(Language),
}

impl Form {
    /// `word` is normalised.
    pub fn of(self, word: &str) -> Cow<'_, str> {
        match self {
            Form::Stem(language) if word.len() <= MAX_STEMMED_BYTES && !language.leaves(word) => {
                Stemmer::create(language.algorithm()).stem(word)
            }
            _ => Cow::Borrowed(word),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stem(tag: &str, word: &str) -> String {
        Form::Stem(Language::of(Some(tag))).of(word).into_owned()
    }

    #[test]
    fn the_primary_subtag_chooses_the_stemmer() {
        assert_eq!(stem("en-US", "refunded"), "refund");
        assert_eq!(stem("DE_at", "rechnungen"), "rechnung");
        assert_eq!(stem("es-419", "tarjetas"), "tarjet");
        assert_eq!(stem("fr", "remboursements"), "rembours");
        assert_eq!(stem("nb", "regninger"), stem("no", "regninger"));
        for unknown in ["", "xx", "tlh-Latn", "deutsch", "-de"] {
            assert_eq!(Language::of(Some(unknown)), Language::of(None), "{unknown:?}");
        }
        assert_eq!(stem("xx", "refunded"), "refund", "English stands in");
    }

    #[test]
    fn words_as_they_are() {
        assert_eq!(Form::Word.of("refunded"), "refunded");
    }

    #[test]
    fn a_word_made_to_be_slow_is_left_alone() {
        let word = "ay".repeat(500_000);
        assert_eq!(stem("en", &word), word);
    }

    proptest! {
        #[test]
        fn the_english_stemmer_leaves_what_it_is_said_to_leave(word in "[a-zé'_0-9]{0,12}", end in "(ing|ed|ly|iti|ness|)[a-z0-9_éß]") {
            let word = word + &end;
            if Language(ENGLISH).leaves(&word) {
                prop_assert_eq!(Stemmer::create(Algorithm::English).stem(&word), word.as_str());
            }
        }

        /// The stemmers index strings by hand; no word may make one of them panic.
        #[test]
        fn every_stemmer_takes_every_word(word in "\\w{1,20}|[a-z']{1,12}|[а-яёіїєґ']{1,12}|[\u{600}-\u{6ff}]{1,12}|[\u{900}-\u{97f}]{1,12}|[\u{b80}-\u{bff}]{1,12}|[\u{590}-\u{5ff}]{1,9}|[\u{370}-\u{3ff}]{1,12}|[\u{530}-\u{58f}]{1,9}|[a-zà-ž]{1,16}") {
            for index in 0..Language::COUNT {
                let _ = Form::Stem(Language(index)).of(&word);
            }
        }
    }
}
