//! Marks: a person's words on the blocks of one item.

use super::rows::{Counters, Reading, marks_of, reading_of, readings_by_program};
use super::{Error, Result, Store, body};
use crate::label::{Mark, Place, with_marks};
use crate::model::{Kind, Millis};

/// What a person wants to be so: `is` None takes the mark away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkWish {
    pub transcript: String,
    pub block: u32,
    pub topic: String,
    pub is: Option<bool>,
}

impl Store {
    /// Sets the marks that are named; those not named stay. All of them, or none.
    ///
    /// Where a mark is taken away the item counts as not read: what the rules say there is found by the next job.
    pub fn mark_item(&self, kind: Kind, id: &str, wishes: Vec<MarkWish>, now: Millis) -> Result<()> {
        let id = id.to_owned();
        self.write(move |tx| {
            let row = tx.find_item(kind, &id)?.ok_or_else(|| Error::no_item(kind, &id))?;
            let (Some(shape), Some(at)) = (row.shape, row.at) else {
                return Err(Error::no_item(kind, &id));
            };
            let transcripts = row.transcript_ids()?;
            let content: Vec<u8> =
                tx.query_row("SELECT content FROM body WHERE item = ?", [row.no], |row| row.get(0))?;
            let content = body::unpack(kind, &content, &transcripts)?;
            let before = marks_of(tx, row.no)?;
            let mut marks = before.clone();
            for (at, wish) in wishes.iter().enumerate() {
                let transcript = content.transcripts.iter().position(|t| t.id == wish.transcript);
                let blocks = transcript.map_or(0, |at| content.transcripts[at].blocks.len());
                let Some(transcript) = transcript.filter(|_| (wish.block as usize) < blocks) else {
                    return Err(Error::Invalid(format!(
                        "marks[{at}]: {kind} {id:?} has no block {} in transcript {:?}",
                        wish.block, wish.transcript
                    )));
                };
                let topic = tx.intern_topic(&wish.topic)?;
                let place = Place { transcript: content.ordinals[transcript], block: wish.block, topic };
                marks.retain(|mark| mark.place != place);
                marks.extend(wish.is.map(|is| Mark { place, is }));
            }
            marks.sort_unstable_by_key(|mark| mark.place);
            if marks == before {
                return Ok(());
            }
            tx.put_marks(row.no, &marks)?;
            let old = reading_of(tx, row.no)?;
            let mut new = Reading { labels: with_marks(&old.labels, &marks, now), ..old.clone() };
            if before.iter().any(|mark| marks.iter().all(|other| other.place != mark.place)) {
                new.fresh.clear();
            }
            let programs = tx.programs_of(shape)?;
            let mut counters = Counters::default();
            counters.add(&readings_by_program(&programs, &old.fresh), -1);
            counters.add(&readings_by_program(&programs, &new.fresh), 1);
            tx.settle_reading(&mut counters, row.no, (at, old), (at, new), now)?;
            counters.flush(tx)
        })
    }
}
