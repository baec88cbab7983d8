//! How the words begin that can have one of the wanted forms: for most others three bytes tell, and they need neither
//! stemming nor a place in the cache.

use super::stem::{Form, Language};

/// A bit for each three first bytes, of which five bits each count: letters stay apart, what else falls together with
/// them passes for nothing worse than a look.
pub struct Begins(Vec<u64>);

const BITS: u8 = 5;
const VALUES: u8 = 1 << BITS;

impl Begins {
    pub fn none() -> Begins {
        Begins(vec![0; 1 << (3 * BITS - 6)])
    }

    /// Adds all words that have `wanted` as their `form`. Such a word
    /// - is `wanted` itself, where words are compared or the stemmer leaves it alone;
    /// - in English begins with the same two bytes, and with the same three where `wanted` has more than three
    ///   characters. Of Snowball's rules only one changes one of the first two characters: a consonant and `ying`
    ///   become that consonant and `ie`. Of the others, those that put something else in place of the third (`y` to
    ///   `i`, the `e` after what `ed` or `ing` was taken from) make it the last, and no later one lengthens the word;
    ///   all others take away from the end, or begin in R1, hence behind two characters, and leave the first of what
    ///   they replace. Nothing is taken away at the begin but an apostrophe, with which no word begins;
    /// - in other languages can begin with anything: some stemmers take prefixes away.
    pub fn add(&mut self, form: Form, wanted: &str) {
        let &[first, ref rest @ ..] = wanted.as_bytes() else { return self.add_all() };
        match (form, rest) {
            (Form::Stem(language), _) if language != Language::of(None) => self.add_all(),
            (_, &[]) => (0..VALUES).for_each(|second| self.add_two(first, second)),
            (_, &[second, third, ..]) if wanted.chars().nth(3).is_some() => self.set([first, second, third]),
            (_, &[second, ..]) => {
                self.add_two(first, second);
                if rest == b"ie" {
                    self.add_two(first, b'y');
                }
            }
        }
    }

    /// Whether a word that begins so can have a wanted form. What follows a shorter word in its text stands for the
    /// bytes that it lacks.
    #[inline]
    pub fn fit(&self, three: [u8; 3]) -> bool {
        let (at, bit) = place(three);
        self.0.get(at).is_some_and(|bits| bits & bit != 0)
    }

    fn add_two(&mut self, first: u8, second: u8) {
        (0..VALUES).for_each(|third| self.set([first, second, third]));
    }

    fn add_all(&mut self) {
        self.0.fill(u64::MAX);
    }

    fn set(&mut self, three: [u8; 3]) {
        let (at, bit) = place(three);
        self.0[at] |= bit;
    }
}

fn place(three: [u8; 3]) -> (usize, u64) {
    let number = three.iter().fold(0, |number, byte| number << BITS | usize::from(byte & (VALUES - 1)));
    (number / 64, 1 << (number % 64))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fits(form: Form, wanted: &str, word: &str) -> bool {
        let mut begins = Begins::none();
        begins.add(form, wanted);
        let padded = format!("{word}, ");
        begins.fit(*padded.as_bytes().first_chunk().unwrap())
    }

    #[test]
    fn most_words_that_begin_otherwise_do_not_fit() {
        let english = Form::Stem(Language::of(None));
        assert!(fits(english, "refund", "refunded") && fits(english, "refund", "refer"));
        assert!(!fits(english, "refund", "return") && !fits(english, "cri", "car"));
        assert!(!fits(Form::Word, "refund", "return") && !fits(Form::Word, "i", "it's"[1..].trim()));
        assert!(fits(Form::Stem(Language::of(Some("ar"))), "كتب", "والكتب"), "a prefix is taken away");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn every_word_fits_its_own_form(
            begin in "[a-z0-9_é]{0,3}|[aeiouyéß]{0,2}[bcdstlyz]{0,2}|[a-z]{0,6}|(gener|commun|past|later|inter|organ|sk)|\\PC{0,3}",
            middle in "|[a-z]|at|bl|iz|ee|bil|og|tt|y|[a-z]{0,3}|'",
            end in "|s|'s|'s'|sses|ied|ies|us|eed|eedly|ed|edly|ing|ingly|y|ying|tional|enci|anci|abli|entli|izer|ization|\
                ational|ation|ator|alism|aliti|alli|fulness|ousli|ousness|iveness|iviti|biliti|bility|bli|bly|ogist|ogi|\
                fulli|lessli|li|ly|alize|icate|iciti|ical|ful|ness|ative|al|ance|er|able|ment|ion|e|l",
        ) {
            let word = begin + &middle + &end;
            prop_assume!(!word.is_empty() && !word.starts_with('\''));
            for form in [Form::Word, Form::Stem(Language::of(None)), Form::Stem(Language::of(Some("id")))] {
                prop_assert!(fits(form, &form.of(&word), &word), "{} of {word}", form.of(&word));
            }
        }
    }
}
