//! Items come in, change, are marked and erased, on both sides.

use relabeld::lines::{Incoming, IncomingMark, MarkWord};
use relabeld::model::{Block, Item as Content, Kind, Transcript};
use relabeld::store::{ImportCounts, MarkWish};

use crate::jobs::Refusal;
use crate::ops::{DAY, Edit, Text, Which, Word};
use crate::pair::{NOW, Pair, Verdict, agree, key, owned, same, tell};
use crate::world::{Marks, blocks};

impl Pair {
    fn content(&self, which: Which, text: &Text) -> Content {
        let (kind, id) = key(which);
        let speaks = |blocks: &[crate::ops::Block]| {
            let one = |&(speaker, text): &crate::ops::Block| Block {
                speaker: (kind == Kind::Conversation).then(|| speaker.to_owned()),
                text: text.to_owned(),
                at_ms: None,
            };
            blocks.iter().map(one).collect::<Vec<_>>()
        };
        let transcript = |id: &str, program: Option<&str>, blocks: Vec<Block>| Transcript {
            id: id.to_owned(),
            program: program.map(str::to_owned),
            language: text.language.map(str::to_owned),
            blocks,
        };
        let mut content = Content {
            kind,
            id,
            version: None,
            at: NOW - text.day * DAY + i64::from(which % 2),
            media: Some(if text.day % 2 == 0 { "chat" } else { "voice" }.to_owned()),
            programs: owned(&text.programs),
            transcripts: vec![transcript("t1", None, speaks(&text.blocks))],
            text: None,
        };
        if let Some((program, blocks)) = &text.second {
            content.transcripts.push(transcript("t2", *program, speaks(blocks)));
        }
        if kind == Kind::Note {
            let stored = self.items.live(&key(which)).and_then(|content| content.version).unwrap_or(1);
            // Sometimes an older version, sometimes the same, mostly a newer one.
            let version = stored + (text.blocks.len() as i64 - 1).max(0) + text.day - 1;
            let text: Vec<String> = content.transcripts[0].blocks.iter().map(|block| block.text.clone()).collect();
            note(&mut content, &text, version);
        }
        content
    }

    /// An item as it stands, with a change.
    fn changed(&self, which: Which, edit: &Edit) -> Option<Content> {
        let mut content = self.items.live(&key(which))?.clone();
        let at = content.transcripts.len() - 1;
        let said = &mut content.transcripts[at].blocks;
        let block = |&(speaker, text): &crate::ops::Block| Block {
            speaker: said.first().and_then(|block| block.speaker.as_ref()).map(|_| speaker.to_owned()),
            text: text.to_owned(),
            at_ms: None,
        };
        let mut version = 0;
        match edit {
            Edit::Nothing => {}
            Edit::Say(at, new) => {
                let (at, new) = (usize::from(*at) % said.len().max(1), block(new));
                said.get_mut(at)?.clone_from(&new);
                version = 1;
            }
            Edit::Swap => {
                said.reverse();
                version = 1;
            }
            Edit::Insert(new) => {
                let new = block(new);
                said.insert(0, new);
                version = 1;
            }
            Edit::Programs(programs) => content.programs = owned(programs),
            Edit::Day(day) => content.at = NOW - day * DAY,
            Edit::Language(language) if content.kind == Kind::Conversation => {
                content.transcripts[at].language = language.map(str::to_owned);
            }
            Edit::AtMs(ms) if content.kind == Kind::Conversation => said[0].at_ms = Some(*ms),
            Edit::Language(_) | Edit::AtMs(_) => version = 1,
        }
        if content.kind == Kind::Note {
            let text: Vec<String> = content.transcripts[0].blocks.iter().map(|block| block.text.clone()).collect();
            let version = content.version.unwrap_or_default() + version;
            note(&mut content, &text, version);
        }
        Some(content)
    }

    pub fn import(&mut self, lines: &[(Which, Text, Option<Vec<Word>>)]) -> Verdict {
        let mut wanted = ImportCounts::default();
        let mut batch = Vec::new();
        for (which, text, words) in lines {
            let content = self.content(*which, text);
            batch.push(self.take_in(content, words.as_deref(), &mut wanted));
        }
        self.put_in(batch, wanted)
    }

    /// Conversations enough for chunks and leases beside each other.
    pub fn import_many(&mut self, n: usize) -> Verdict {
        let like = self.items.get(&key(0)).content.clone().ok_or("no such item")?;
        let mut wanted = ImportCounts::default();
        let batch = (0..n).map(|n| self.take_in(Content { id: format!("m{n:03}"), ..like.clone() }, None, &mut wanted));
        let batch = batch.collect();
        self.put_in(batch, wanted)
    }

    pub fn change(&mut self, which: Which, edit: &Edit, words: Option<&[Word]>) -> Verdict {
        let Some(content) = self.changed(which, edit) else { return Ok(()) };
        let mut wanted = ImportCounts::default();
        let batch = vec![self.take_in(content, words, &mut wanted)];
        self.put_in(batch, wanted)
    }

    fn put_in(&mut self, batch: Vec<Incoming>, wanted: ImportCounts) -> Verdict {
        let got = self.store.import((1..).zip(batch).collect(), self.now).map_err(tell)?;
        same("what an import came to", &got.counts, &wanted)
    }

    fn take_in(&mut self, item: Content, words: Option<&[Word]>, counts: &mut ImportCounts) -> Incoming {
        let marks: Option<Marks> = words.map(|words| {
            let places = words.iter().filter_map(|word| Some((place(&item, word)?, word.3?)));
            places.collect()
        });
        let said = |((transcript, block, topic), is): (&(String, u32, String), &bool)| IncomingMark {
            transcript: transcript.clone(),
            block: *block,
            topic: topic.clone(),
            mark: if *is { MarkWord::Is } else { MarkWord::IsNot },
        };
        let incoming =
            Incoming { item: item.clone(), marks: marks.as_ref().map(|marks| marks.iter().map(said).collect()) };
        self.items.import(item, marks, self.now, counts);
        incoming
    }

    pub fn mark(&mut self, which: Which, words: &[Word]) -> Verdict {
        let (kind, id) = key(which);
        let transcript = |no: u8| match (kind, no) {
            (Kind::Note, _) => "note",
            (_, 0) => "t1",
            _ => "t2",
        };
        let changes: Vec<_> = words
            .iter()
            .map(|&(t, b, topic, is)| ((transcript(t).to_owned(), u32::from(b), topic.to_owned()), is))
            .collect();
        let wishes = changes.iter().map(|((transcript, block, topic), is)| MarkWish {
            transcript: transcript.clone(),
            block: *block,
            topic: topic.clone(),
            is: *is,
        });
        let got = self.store.mark_item(kind, &id, wishes.collect(), self.now);
        let wanted = match self.items.mark(&key(which), &changes, self.now) {
            None => Err(Refusal::NotFound),
            Some(false) => Err(Refusal::Invalid),
            Some(true) => Ok(()),
        };
        agree("marks", got, wanted).map(drop)
    }

    pub fn erase(&mut self, which: Which) -> Verdict {
        let (kind, id) = key(which);
        let got = self.store.erase_item(kind, &id, self.now);
        let wanted = if self.items.erase(&key(which)) { Ok(()) } else { Err(Refusal::NotFound) };
        // Of its history nothing is left; jobs keep its key.
        for job in self.jobs.by_id.values_mut() {
            for task in job.tasks.iter_mut().filter(|task| task.key == key(which)) {
                task.did.edits.clear();
            }
        }
        agree("erasure", got, wanted).map(drop)
    }
}

fn note(content: &mut Content, paragraphs: &[String], version: i64) {
    // An empty paragraph is none.
    let mut text = paragraphs.iter().filter(|text| !text.is_empty()).cloned().collect::<Vec<_>>().join("\n\n");
    if text.is_empty() {
        text.push('x');
    }
    let block = |text: &str| Block { speaker: None, text: text.to_owned(), at_ms: None };
    let blocks = text.split("\n\n").map(block).collect();
    content.transcripts = vec![Transcript { id: "note".into(), program: None, language: None, blocks }];
    (content.media, content.version, content.text) = (None, Some(version.max(0)), Some(text));
}

/// The place that a word names, if the item has it.
fn place(content: &Content, &(transcript, block, topic, _): &Word) -> Option<(String, u32, String)> {
    let transcript = content.transcripts.get(usize::from(transcript))?.id.clone();
    let there = blocks(content).contains_key(&(transcript.clone(), u32::from(block)));
    there.then(|| (transcript, u32::from(block), topic.to_owned()))
}
