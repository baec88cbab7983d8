//! Of `check`: each item's text, labels and marks, against each other, the catalogue and the history; and the counters of
//! items.

use rusqlite::{Connection, Row};
use rustc_hash::FxHashMap;

use super::history::Rows;
use super::{Faults, Known};
use crate::label::{Label, Mark, ProgramNo, Revision, TopicNo};
use crate::model::{Item, Kind, Millis};
use crate::store::body::{self, Content};
use crate::store::codec::{unpack_change_nos, unpack_fresh, unpack_labels};
use crate::store::names::{kind_from, list_from};
use crate::store::rows::{DAY, marks_of, readings_by_program};
use crate::store::{Result, Shape};
use crate::when::rfc3339;

pub(super) fn items(connection: &Connection, known: &Known, faults: &mut Faults) -> Result<()> {
    let mut items = Items {
        connection,
        known,
        history: Rows::new(connection),
        coverage: FxHashMap::default(),
        carried: FxHashMap::default(),
        faults,
    };
    let mut statement = connection.prepare(
        "SELECT no, kind, version, at, shape, size, marked, transcripts, content, fresh, labels, changes,
           EXISTS (SELECT 1 FROM mark WHERE mark.item = no)
         FROM item LEFT JOIN body ON body.item = no LEFT JOIN reading ON reading.item = no",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let no: i64 = row.get(0)?;
        if let Err(why) = items.item(no, row) {
            items.fault(no, why);
        }
    }
    items.counters()
}

struct Items<'a> {
    connection: &'a Connection,
    known: &'a Known,
    history: Rows<'a>,
    /// Items by program and the revision that read them last.
    coverage: FxHashMap<(ProgramNo, Revision), i64>,
    /// Items and blocks by topic and day.
    carried: FxHashMap<(TopicNo, i64), (i64, i64)>,
    faults: &'a mut Faults,
}

/// Why the rest of an item cannot be checked.
type Why = String;

fn broken(column: &str) -> impl Fn(rusqlite::Error) -> Why {
    move |error| format!("{column} cannot be read: {error}")
}

impl Items<'_> {
    fn fault(&mut self, no: i64, why: impl AsRef<str>) {
        self.faults.push(format!("item {no}: {}", why.as_ref()));
    }

    fn item(&mut self, no: i64, row: &Row<'_>) -> std::result::Result<(), Why> {
        let kind: String = row.get(1).map_err(broken("item.kind"))?;
        let kind = kind_from(&kind).map_err(|error| format!("item.kind: {error}"))?;
        let version: Option<i64> = row.get(2).map_err(broken("item.version"))?;
        let at: Option<Millis> = row.get(3).map_err(broken("item.at"))?;
        let ids: String = row.get(7).map_err(broken("item.transcripts"))?;
        let ids = list_from(&ids).map_err(|_| "item.transcripts does not decode")?;
        let content: Option<Vec<u8>> = row.get(8).map_err(broken("body.content"))?;
        let labels: Option<Vec<u8>> = row.get(10).map_err(broken("reading.labels"))?;
        let has_marks: bool = row.get(12).map_err(broken("mark.item"))?;
        if row.get::<_, bool>(6).map_err(broken("item.marked"))? != has_marks {
            self.fault(no, "item.marked disagrees with the table mark");
        }
        let (Some(at), Some(shape)) = (at, row.get::<_, Option<i64>>(4).map_err(broken("item.shape"))?) else {
            let is_bare = content.is_none() && labels.is_none() && !has_marks && version.is_none() && ids.is_empty();
            return if is_bare {
                Ok(())
            } else {
                Err("item.at or item.shape is NULL, as after an erasure, but other data of the item remains".into())
            };
        };
        let shape = self.known.names.shape(shape).ok_or_else(|| format!("item.shape {shape} is not there"))?;
        if shape.kind != kind {
            self.fault(no, "item.kind is not that of its shape");
        }
        if version.is_some() != (kind == Kind::Note) {
            self.fault(no, "item.version is there on a conversation, or missing on a note");
        }
        if (1..ids.len()).any(|at| ids[..at].contains(&ids[at])) {
            self.fault(no, "item.transcripts has an id twice");
        }
        let blob = |column: usize, name| row.get::<_, Option<Vec<u8>>>(column).map_err(broken(name));
        let fresh = unpack_fresh(&blob(9, "reading.fresh")?.unwrap_or_default())
            .map_err(|_| "reading.fresh does not decode")?;
        let labels = unpack_labels(&labels.unwrap_or_default()).map_err(|_| "reading.labels does not decode")?;
        let changes = unpack_change_nos(&blob(11, "reading.changes")?.unwrap_or_default())
            .map_err(|_| "reading.changes does not decode")?;
        // Counted also where the text is damaged: the counters are not.
        self.freshness(no, &shape, &fresh);
        self.count(at, &labels);
        if !labels.is_sorted_by(|one, other| one.place < other.place) {
            self.fault(no, "reading.labels is out of order, or has a label twice");
        }
        let content = content.ok_or("body.content is not there")?;
        if content.len() as i64 != row.get::<_, i64>(5).map_err(broken("item.size"))? {
            self.fault(no, "item.size is not the length of body.content");
        }
        let content =
            body::unpack(kind, &content, &ids).map_err(|_| "body.content does not decode with item.transcripts")?;
        self.shape(no, kind, &shape, &content);
        let marks = match has_marks {
            true => marks_of(self.connection, no).map_err(|error| format!("mark cannot be read: {error}"))?,
            false => Vec::new(),
        };
        self.labels(no, &content, &labels, &marks);
        for why in self.history.faults_of(self.known, no, &labels, &changes) {
            self.fault(no, why);
        }
        Ok(())
    }

    /// The text says again what the shape says.
    fn shape(&mut self, no: i64, kind: Kind, shape: &Shape, content: &Content) {
        let mut languages: Vec<String> = content.transcripts.iter().filter_map(|t| t.language.clone()).collect();
        languages.sort();
        languages.dedup();
        let item = Item {
            kind,
            id: String::new(),
            version: None,
            at: 0,
            media: None,
            programs: content.programs.clone(),
            transcripts: content.transcripts.clone(),
            text: None,
        };
        if item.all_programs() != shape.programs {
            self.fault(no, "body.content names other programs than shape.programs");
        }
        if languages != shape.languages {
            self.fault(no, "body.content names other languages than shape.languages");
        }
    }

    fn freshness(&mut self, no: i64, shape: &Shape, fresh: &[(ProgramNo, Revision)]) {
        for &(program, revision) in fresh {
            if !self.known.names.has_program(program) {
                self.fault(no, format!("reading.fresh: program {program} is not there"));
            }
            if revision == 0 || !self.known.has_revision(revision) {
                self.fault(no, format!("reading.fresh: revision {revision} is not there"));
            }
        }
        let names = &self.known.names;
        let programs: Vec<ProgramNo> = shape.programs.iter().filter_map(|id| names.program(id)).collect();
        for reading in readings_by_program(&programs, &fresh.to_vec()) {
            *self.coverage.entry(reading).or_default() += 1;
        }
    }

    fn labels(&mut self, no: i64, content: &Content, labels: &[Label], marks: &[Mark]) {
        let known = self.known;
        let block_at = |transcript: u32, block: u32| {
            let at = content.ordinals.iter().position(|&ordinal| ordinal == transcript)?;
            content.transcripts[at].blocks.get(block as usize)
        };
        for label in labels {
            let place = label.place;
            let why = known.fault_of(label).or_else(|| {
                let Some(block) = block_at(place.transcript, place.block) else {
                    return Some("body.content has no such block".into());
                };
                let length = block.text.chars().count();
                let end = label.evidence.map_or(0, |evidence| evidence.end as usize);
                (end > length).then(|| format!("it ends at {end}, and the block has {length} code points"))
            });
            let mark = marks.iter().find(|mark| mark.place == place);
            let why = why.or_else(|| match mark {
                Some(mark) if !mark.is => Some("mark.mark says is_not".into()),
                Some(_) if !label.is_human() => Some("mark.mark says is, and the label is not human".into()),
                None if label.is_human() => Some("it is human, and the table mark does not have it".into()),
                _ => None,
            });
            if let Some(why) = why {
                self.fault(no, format!("reading.labels, {}: {why}", known.place(place)));
            }
        }
        for mark in marks {
            let place = mark.place;
            let why = match () {
                () if !known.names.has_topic(place.topic) => "mark.topic is not there",
                () if block_at(place.transcript, place.block).is_none() => "body.content has no such block",
                () if mark.is && !labels.iter().any(|label| label.place == place) => "reading.labels lacks it",
                () => continue,
            };
            self.fault(no, format!("mark, {}: {why}", known.place(place)));
        }
    }

    fn count(&mut self, at: Millis, labels: &[Label]) {
        let mut topics: Vec<TopicNo> = labels.iter().map(|label| label.place.topic).collect();
        topics.sort_unstable();
        for blocks in topics.chunk_by(|one, other| one == other) {
            let count = self.carried.entry((blocks[0], at.div_euclid(DAY))).or_default();
            *count = (count.0 + 1, count.1 + blocks.len() as i64);
        }
    }

    /// The tables topic_day, coverage and shape against what was counted.
    fn counters(self) -> Result<()> {
        let Items { connection, known, mut coverage, mut carried, faults, .. } = self;
        let mut statement = connection.prepare("SELECT topic, day, items, blocks FROM topic_day")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (topic, day) = (row.get(0)?, row.get(1)?);
            let (stored, counted) = ((row.get(2)?, row.get(3)?), carried.remove(&(topic, day)).unwrap_or_default());
            if stored != counted {
                faults.push(disagreement(&known.topic(topic), day, stored, counted));
            }
        }
        let missing = carried.iter();
        faults.extend(missing.map(|(&(topic, day), &counted)| disagreement(&known.topic(topic), day, (0, 0), counted)));
        let mut statement = connection.prepare(
            "SELECT no, items, (SELECT count(*) FROM item WHERE shape = shape.no) AS counted FROM shape
             WHERE items <> counted",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (no, stored, counted): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            faults.push(format!("shape {no}: shape.items is {stored}, and {counted} items have it"));
        }
        let mut statement = connection.prepare("SELECT program, revision, items FROM coverage")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (program, revision, stored) = (row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?);
            let counted = coverage.remove(&(program, revision)).unwrap_or_default();
            if stored != counted {
                faults.push(uncounted(known.names.program_id(program), revision, stored, counted));
            }
        }
        let missing = coverage.iter().filter(|(_, n)| **n != 0);
        faults.extend(
            missing.map(|(&(program, revision), &counted)| {
                uncounted(known.names.program_id(program), revision, 0, counted)
            }),
        );
        Ok(())
    }
}

fn uncounted(program: &str, revision: Revision, stored: i64, counted: i64) -> String {
    format!(
        "program {program:?}: coverage.items is {stored} for revision {revision}, and {counted} items were last read by it"
    )
}

/// Both are items and blocks.
fn disagreement(topic: &str, day: i64, stored: (i64, i64), counted: (i64, i64)) -> String {
    let day = day.checked_mul(DAY).map_or_else(|| format!("day {day}"), |day| rfc3339(day)[..10].to_owned());
    format!(
        "{topic} on {day}: topic_day.items and topic_day.blocks are {} and {}, and {} items and {} blocks carry it",
        stored.0, stored.1, counted.0, counted.1
    )
}
