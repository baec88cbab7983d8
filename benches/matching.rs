//! Matching alone, on one thread, from the stored form to the labels, against aho-corasick on texts that it finds
//! ready in memory.
//!
//! The peer looks for the same phrases in the same blocks, but for their bytes alone: ASCII case aside, no Unicode, no
//! words, no stems, nothing that may be missing. Rounds of both take turns, so that both have the same
//! machine; what others on it take does not count.

use std::collections::HashSet;
use std::hint::black_box;

use aho_corasick::AhoCorasick;
use anyhow::anyhow;
use relabeld::labeller::Labeller as _;
use relabeld::labeller::phrases::{Phrases, words};
use relabeld::model::{Catalogue, Document, Kind, Participants, Phrase, Topic, TopicSet};
use relabeld::store::forms;
use rusqlite::Connection;

use crate::input::Input;
use crate::report::{Goal, Line, grouped, median};
use crate::stock::Stock;
use crate::{machine, scratch};

/// Their bodies are all held in memory, and more of them say nothing else.
const ITEMS: usize = 100_000;
const MANY: usize = 10_000;
/// So many phrases has a topic of the many, as in the smaller catalogue.
const IN_A_TOPIC: usize = 8;
/// Of a hundred phrases of the smaller catalogue so many have one word, two, three and four.
const OF_WORDS: [usize; 4] = [11, 49, 28, 12];
/// Shorter runs are parts of other words: the peer would find them everywhere.
const LEAST_BYTES: usize = 6;

pub fn run(stock: &Stock) -> anyhow::Result<Vec<Line>> {
    let (input, sizes) = (stock.input()?, stock.sizes);
    let contents = stored(input, sizes.items.min(ITEMS))?;
    let documents = contents.iter().map(|content| document(content)).collect::<anyhow::Result<Vec<_>>>()?;
    let bytes: usize = documents.iter().flat_map(|document| &document.utterances).map(|block| block.text.len()).sum();
    let few = topics(input);
    let many = enlarged(&few, &documents);
    let mut lines = Vec::new();
    for topics in [few, many] {
        for strictness in [72, 100] {
            lines.push(compare(&topics, strictness, &contents, &documents, bytes, sizes.rounds)?);
        }
    }
    Ok(lines)
}

/// The packed bodies as a store keeps them.
fn stored(input: &Input, items: usize) -> anyhow::Result<Vec<Vec<u8>>> {
    let dir = scratch::directory()?;
    input.import(dir.path(), items)?;
    let connection = Connection::open(dir.path().join(scratch::DATABASE))?;
    let mut rows = connection.prepare("SELECT content FROM body ORDER BY item")?;
    let contents = rows.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(contents)
}

fn document(content: &[u8]) -> anyhow::Result<Document<'_>> {
    forms::document(Kind::Conversation, "", content).map_err(|_| anyhow!("an item does not decode"))
}

/// The catalogue's topics, for any speaker, as the peer knows none.
fn topics(input: &Input) -> Vec<Topic> {
    let topics = input.catalogues[0].catalogue.topics.iter().cloned();
    topics.map(|topic| Topic { participants: Participants::All, ..topic }).collect()
}

/// With runs of words from all over the conversations, until there are many phrases.
fn enlarged(topics: &[Topic], documents: &[Document<'_>]) -> Vec<Topic> {
    let phrases = topics.iter().flat_map(|topic| &topic.phrases);
    let missing = MANY.saturating_sub(phrases.clone().count());
    let mut known: HashSet<String> = phrases.map(|phrase| phrase.text.clone()).collect();
    let mut found = Vec::with_capacity(missing);
    let mut chance = Chance(0);
    while found.len() < missing {
        let blocks = &documents[chance.below(documents.len())].utterances;
        let of_words = chance.length();
        let Some(block) = blocks.get(chance.below(blocks.len())) else { continue };
        let mut words = words(block.text);
        // The last word is the copy's own.
        words.pop();
        let Some(begins) = (words.len() + 1).checked_sub(of_words) else { continue };
        let from = chance.below(begins);
        let text = words.get(from..from + of_words).unwrap_or_default().join(" ");
        if text.len() >= LEAST_BYTES && known.insert(text.clone()) {
            found.push(Phrase { text, strictness: None });
        }
    }
    let more = found.chunks(IN_A_TOPIC).map(|phrases| Topic { phrases: phrases.to_vec(), ..topics[0].clone() });
    topics.iter().cloned().chain(more).collect()
}

/// `SplitMix64` (Steele, Lea, Flood 2014): the same throws at each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(z ^ (z >> 31)) * n as u128) >> 64) as usize
    }

    /// A number of words.
    fn length(&mut self) -> usize {
        let mut rank = self.below(OF_WORDS.iter().sum());
        let mut words = 1;
        while let Some(share) = OF_WORDS.get(words - 1).filter(|&&share| share <= rank) {
            rank -= share;
            words += 1;
        }
        words
    }
}

fn compare(
    topics: &[Topic],
    strictness: u8,
    contents: &[Vec<u8>],
    documents: &[Document<'_>],
    bytes: usize,
    rounds: usize,
) -> anyhow::Result<Line> {
    let topics: Vec<Topic> = topics.iter().map(|topic| Topic { strictness, ..topic.clone() }).collect();
    let texts: Vec<&str> = topics.iter().flat_map(|topic| &topic.phrases).map(|phrase| phrase.text.as_str()).collect();
    let peer = AhoCorasick::builder().ascii_case_insensitive(true).build(&texts)?;
    let scope: TopicSet = (0..topics.len()).collect();
    let phrases = texts.len() as f64;
    let labeller = Phrases::compile(&Catalogue { topics: topics.clone(), programs: Vec::new() });
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let (mut labels, mut matches) = (0, 0);
    for _ in 0..rounds {
        let started = machine::processor_seconds();
        labels = 0;
        for content in contents {
            let found = labeller.analyse(&document(content)?, &scope);
            labels += black_box(found.map_err(|failure| anyhow!("{failure:?}"))?).len();
        }
        ours.push(machine::processor_seconds() - started);
        let started = machine::processor_seconds();
        let blocks = documents.iter().flat_map(|document| &document.utterances);
        matches = blocks.map(|block| black_box(peer.find_overlapping_iter(block.text)).count()).sum();
        theirs.push(machine::processor_seconds() - started);
    }
    let (ours, theirs) = (median(ours), median(theirs));
    let speed = |seconds: f64| bytes as f64 / seconds / 1e6;
    Ok(Line {
        what: format!("matching {} phrases at {strictness}, of aho-corasick", grouped(phrases)),
        goal: Goal::AtLeast(1.0),
        reached: theirs / ours,
        figures: format!(
            "{:.0} of {:.0} MB/s; {} labels, {} matches",
            speed(ours),
            speed(theirs),
            grouped(labels as f64),
            grouped(matches as f64)
        ),
    })
}
