//! The whole labeller against the rule as it is written, followed without any thought for time.

use proptest::collection::vec;
use proptest::prelude::*;
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

use super::*;
use crate::model::{Kind, Phrase, Topic};

fn topic(matching: Match, participants: Participants, strictness: u8, phrases: &[(&str, Option<u8>)]) -> Topic {
    let phrase = |&(text, strictness): &(&str, Option<u8>)| Phrase { text: text.to_owned(), strictness };
    Topic {
        id: String::new(),
        name: String::new(),
        programs: Vec::new(),
        participants,
        matching,
        strictness,
        phrases: phrases.iter().map(phrase).collect(),
    }
}

fn stems(phrases: &[&str]) -> Topic {
    let phrases: Vec<_> = phrases.iter().map(|&p| (p, None)).collect();
    topic(Match::Stems, Participants::All, 72, &phrases)
}

fn catalogue(topics: Vec<Topic>) -> Catalogue {
    Catalogue { topics, programs: Vec::new() }
}

fn block<'a>(speaker: Option<&'a str>, language: Option<&'a str>, text: &'a str) -> Utterance<'a> {
    Utterance { transcript: 0, block: 0, language, speaker, text }
}

fn analyse(phrases: &Phrases, blocks: &[Utterance<'_>], scope: &TopicSet) -> Vec<Detection> {
    let document = Document { kind: Kind::Conversation, id: "x", utterances: blocks.to_vec() };
    phrases.analyse(&document, scope).unwrap()
}

/// `(topic, phrase, score, start, end)` of each detection, all topics in scope.
fn found(catalogue: &Catalogue, block: Utterance<'_>) -> Vec<(u32, u32, u8, u32, u32)> {
    let scope = (0..catalogue.topics.len()).collect();
    let detections = analyse(&Phrases::compile(catalogue), &[block], &scope);
    detections.iter().map(|d| (d.topic, d.phrase, d.score, d.start, d.end)).collect()
}

#[test]
fn places_are_code_points_of_the_stored_text() {
    let catalogue = catalogue(vec![stems(&["don't refund"]), stems(&["final", "cash"])]);
    let text = "👍 Don’t REFUNDED, ﬁnals";
    assert_eq!(found(&catalogue, block(None, None, text)), [(0, 0, 100, 2, 16), (1, 0, 100, 18, 23)]);
}

#[test]
fn phrases_are_stemmed_in_the_transcripts_language() {
    let catalogue = catalogue(vec![stems(&["Rechnungen", "tarjetas"])]);
    let score = |language, text| found(&catalogue, block(None, language, text)).first().map(|hit| hit.1);
    assert_eq!(score(Some("de-AT"), "die Rechnung"), Some(0));
    assert_eq!(score(Some("es"), "la tarjeta"), Some(1));
    assert_eq!(score(Some("en"), "die Rechnung"), None);
    assert_eq!(score(Some("xx"), "die Rechnung"), None, "an unknown language is read as English");
    assert_eq!(score(Some("xx"), "tarjetas"), Some(1));
}

#[test]
fn participants_must_have_spoken() {
    let of = |participants| topic(Match::Words, participants, 72, &[("refund", None)]);
    let catalogue = catalogue(vec![of(Participants::All), of(Participants::Customer), of(Participants::Agent)]);
    let topics =
        |speaker| found(&catalogue, block(speaker, None, "refund")).iter().map(|hit| hit.0).collect::<Vec<_>>();
    assert_eq!(topics(Some("customer")), [0, 1]);
    assert_eq!(topics(Some("agent")), [0, 2]);
    assert_eq!(topics(Some("system")), [0]);
    assert_eq!(topics(None), [0, 1, 2], "a note");
}

#[test]
fn phrases_without_words_never_match() {
    assert!(!has_words("… ?! 👍 __") && has_words("é"));
    assert_eq!(words("I’d PAY, ½ ﬁrst"), ["i'd", "pay", "1⁄2", "first"]);
    let catalogue = catalogue(vec![stems(&["?!", ""])]);
    assert!(found(&catalogue, block(None, None, "?! and more")).is_empty());
    assert!(found(&Catalogue::default(), block(None, None, "anything")).is_empty());
}

#[test]
fn the_same_answer_on_every_thread_and_after_anything() {
    let catalogue = catalogue(vec![stems(&["refund", "my money back"]), stems(&["cancel my order"])]);
    let scope = (0..2).collect();
    let phrases = Phrases::compile(&catalogue);
    let texts: Vec<String> =
        (0..500).map(|n| format!("refunds {n} of my money back, cancel{n} my orders {}", n % 7)).collect();
    let read = |text: &String| analyse(&phrases, &[block(None, None, text)], &scope);
    let afresh = |text| analyse(&Phrases::compile(&catalogue), &[block(None, None, text)], &scope);
    let expected: Vec<_> = texts.iter().map(|text| afresh(text)).collect();
    std::thread::scope(|threads| {
        for turn in 0..4 {
            let (texts, expected) = (&texts, &expected);
            threads.spawn(move || {
                for n in (0..texts.len()).map(|n| (n * 7 + turn * 131) % texts.len()) {
                    assert_eq!(read(&texts[n]), expected[n], "{}", texts[n]);
                }
            });
        }
    });
    assert!(expected.iter().all(|found| found.len() == 1));
}

#[test]
fn a_block_of_one_word_repeated_ends_soon() {
    let repeated = vec!["pay"; 200].join(" ");
    let loose = topic(Match::Stems, Participants::All, 1, &[(&repeated, None), ("pay pay x", None)]);
    let text = "pay ".repeat(100_000);
    let hits = found(&catalogue(vec![loose]), block(None, None, &text));
    assert_eq!(hits, [(0, 0, 100, 0, 799)]);
}

/// The words of an ASCII text but for U+2019, and their places.
fn plain_words(text: &str, form: impl Fn(&str) -> String) -> Vec<(String, usize, usize)> {
    let text = text.nfkc().collect::<String>().to_lowercase().replace('\u{2019}', "'");
    let parts = text.split_word_bound_indices().filter(|(_, part)| part.chars().any(char::is_alphanumeric));
    parts.map(|(at, part)| (form(part), at, at + part.len())).collect()
}

/// The score of the best alignment that begins with the span's first word and ends with its last.
fn score(phrase: &[&str], span: &[&str]) -> usize {
    // most[p][s]: words matched when p begins with a matched word of the phrase and s with one of the span.
    let mut most = vec![vec![0; span.len()]; phrase.len()];
    for p in (0..phrase.len()).rev() {
        for s in (0..span.len()).rev().filter(|&s| phrase[p] == span[s]) {
            let rest = most[p + 1..].iter().flat_map(|row| &row[s + 1..]).copied().max().unwrap_or(0);
            most[p][s] = if rest > 0 { rest + 1 } else { usize::from(s == span.len() - 1) };
        }
    }
    let matched = most.iter().map(|row| row[0]).max().unwrap_or(0);
    100 * matched / (phrase.len() + 2 * (span.len() - matched))
}

fn by_the_letter(catalogue: &Catalogue, block: &Utterance<'_>, scope: &TopicSet) -> Vec<Detection> {
    let mut detections = Vec::new();
    for (nth, topic) in catalogue.topics.iter().enumerate().filter(|&(nth, _)| scope.contains(nth)) {
        let fits = match topic.participants {
            Participants::All => true,
            Participants::Customer => block.speaker.is_none_or(|s| s == "customer"),
            Participants::Agent => block.speaker.is_none_or(|s| s == "agent"),
        };
        let form = |word: &str| match topic.matching {
            Match::Words => word.to_owned(),
            Match::Stems if block.language == Some("de") => stem_of(snowball_stemmers_rs::Algorithm::German, word),
            Match::Stems => stem_of(snowball_stemmers_rs::Algorithm::English, word),
        };
        let words = plain_words(block.text, form);
        let stand: Vec<&str> = words.iter().map(|(word, ..)| word.as_str()).collect();
        let mut best: Option<Detection> = None;
        for (number, phrase) in topic.phrases.iter().enumerate().filter(|_| fits) {
            let wanted = plain_words(&phrase.text, form);
            let wanted: Vec<&str> = wanted.iter().map(|(word, ..)| word.as_str()).collect();
            for first in 0..stand.len() {
                for last in first..stand.len() {
                    let score = score(&wanted, &stand[first..=last]) as u8;
                    let enough = score >= phrase.strictness.unwrap_or(topic.strictness);
                    if enough && best.is_none_or(|best| score > best.score) {
                        best = Some(Detection {
                            transcript: block.transcript,
                            block: block.block,
                            topic: nth as u32,
                            phrase: number as u32,
                            score,
                            start: words[first].1 as u32,
                            end: words[last].2 as u32,
                        });
                    }
                }
            }
        }
        detections.extend(best);
    }
    detections
}

fn stem_of(algorithm: snowball_stemmers_rs::Algorithm, word: &str) -> String {
    snowball_stemmers_rs::Stemmer::create(algorithm).stem(word).into_owned()
}

fn some_text(length: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    let words = ["Pay", "pays", "paying", "refunded", "refunds", "don’t", "it", "my", "-", "Dying", "die", "a's", "a"];
    let word = proptest::sample::select(words.to_vec());
    vec(word, length).prop_map(|words| words.join(" "))
}

fn some_topic() -> impl Strategy<Value = Topic> {
    let strictness = || prop_oneof![1_u8..=100, Just(1), Just(72), Just(100)];
    let phrase = (some_text(0..6), proptest::option::of(strictness()))
        .prop_map(|(text, strictness)| Phrase { text, strictness });
    let participants = proptest::sample::select(vec![Participants::All, Participants::Customer, Participants::Agent]);
    let matching = proptest::sample::select(vec![Match::Stems, Match::Words]);
    let parts = (matching, participants, strictness(), vec(phrase, 0..5));
    parts.prop_map(|(matching, participants, strictness, phrases)| Topic {
        phrases,
        ..topic(matching, participants, strictness, &[])
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn the_labeller_follows_the_rule_to_the_letter(
        topics in vec(some_topic(), 0..4),
        in_scope in vec(any::<bool>(), 4),
        blocks in vec((proptest::sample::select(vec![None, Some("customer"), Some("agent"), Some("system")]),
            proptest::sample::select(vec![None, Some("en-US"), Some("de"), Some("xx")]), some_text(0..14)), 0..4),
    ) {
        let catalogue = catalogue(topics);
        let scope = in_scope.iter().enumerate().filter(|&(_, &is)| is).map(|(nth, _)| nth).collect();
        let blocks: Vec<Utterance<'_>> = blocks.iter().zip(0..).map(|((speaker, language, text), nth)| {
            Utterance { transcript: nth / 2, block: nth % 2, ..block(*speaker, *language, text) }
        }).collect();
        let expected: Vec<_> = blocks.iter().flat_map(|b| by_the_letter(&catalogue, b, &scope)).collect();
        let given = analyse(&Phrases::compile(&catalogue), &blocks, &scope);
        prop_assert_eq!(given, expected);
    }
}
