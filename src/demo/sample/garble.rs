//! What keyboards, speech recognisers and mail programs do to a sentence.

use super::dice::Dice;

const EMOJI: &[&str] = &["🙂", "😡", "🙏", "😭", "👍🏽", "🤷‍♀️", "🎉", "😕", ":)", ":/"];

/// Pairs of what is said and what the machine heard.
const MISHEARD: &[(&str, &str)] = &[
    ("parcel", "partial"),
    ("refund", "re fund"),
    ("their", "there"),
    ("cancel", "council"),
    ("two", "to"),
    ("plan", "plane"),
    ("right", "write"),
    ("box", "fox"),
];

/// Swaps, drops or doubles a letter in about `rate` percent of the longer words.
pub fn typing_errors(text: &str, rate: u64, dice: &mut Dice) -> String {
    let words = text.split(' ').map(|word| {
        let letters = word.chars().filter(|c| c.is_alphabetic()).count();
        let whole = letters == word.chars().count();
        if letters > 3 && whole && dice.percent(rate) { mistype(word, dice) } else { word.to_owned() }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The first letter stays: people seldom miss it, and readers still know the word.
fn mistype(word: &str, dice: &mut Dice) -> String {
    let mut letters: Vec<char> = word.chars().collect();
    let at = 1 + dice.index(letters.len() - 2);
    match dice.below(3) {
        0 => letters.swap(at, at + 1),
        1 => {
            letters.remove(at);
        }
        _ => letters.insert(at, letters[at]),
    }
    letters.into_iter().collect()
}

/// Lower case without most of the punctuation, as in a hasty chat.
pub fn casual(text: &str) -> String {
    text.to_lowercase().replace([',', '.', '!', ';', '¡', '¿'], "")
}

/// As a speech recogniser without a sense for sentences writes it down.
pub fn recognised(text: &str, fillers: &[&str], dice: &mut Dice) -> String {
    let plain = text.to_lowercase().replace([',', '.', '!', '?', ';', ':', '¡', '¿', '(', ')', '*'], "");
    let mut words = Vec::new();
    for word in plain.split_whitespace() {
        if dice.percent(3) {
            words.push(dice.pick(fillers));
        }
        let heard = MISHEARD.iter().find(|(said, _)| *said == word);
        match heard {
            Some((_, heard)) if dice.percent(15) => words.push(heard),
            _ => words.push(word),
        }
    }
    words.join(" ")
}

/// Apostrophes as phones and word processors set them.
pub fn curly(text: &str) -> String {
    text.replace('\'', "\u{2019}")
}

pub fn with_emoji(text: &str, dice: &mut Dice) -> String {
    format!("{text} {}", dice.pick(EMOJI))
}

/// What is left when a rich text is stored as a plain one.
pub fn markup_leftovers(text: &str, dice: &mut Dice) -> String {
    match dice.below(6) {
        0 => format!("<p>{text}</p>"),
        1 => text.replace(". ", ".<br/>"),
        2 => text.replacen(' ', "&nbsp;", 2),
        3 => format!("<div class=\"msg\"><b>{text}</b></div>"),
        4 => format!("{text}\n[image: cid:logo{}]", dice.below(100)),
        _ => format!("*{}*", text.replace(" and ", " &amp; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_leave_numbers_and_short_words_alone() {
        let mut dice = Dice::new(1, 1);
        assert_eq!(typing_errors("my KX-01234 was 12345", 100, &mut dice), "my KX-01234 was 12345");
        assert_eq!(typing_errors("nothing changes here", 0, &mut dice), "nothing changes here");
        let wrong = typing_errors("parcels parcels parcels parcels", 100, &mut dice);
        assert!(wrong.split(' ').all(|w| w.starts_with('p') && w.len().abs_diff(7) <= 1));
    }

    #[test]
    fn styles() {
        let mut dice = Dice::new(1, 1);
        assert_eq!(casual("Hm, I'm here. Why?"), "hm i'm here why?");
        assert_eq!(curly("I'm"), "I’m");
        assert!(!recognised("Well, no! Why?", &["um"], &mut dice).contains([',', '!', '?']));
    }
}
