//! `check`: everything that is counted is counted again, and everything packed is unpacked.

mod jobs;
mod keys;

use rusqlite::{Connection, OptionalExtension};
use rustc_hash::FxHashMap;

use super::codec::{unpack_change_nos, unpack_changes, unpack_edits, unpack_fresh, unpack_labels};
use super::rows::{DAY, readings_by_program};
use super::{Result, Store, body};
use crate::label::{ProgramNo, Provenance, Revision, TopicNo};
use crate::when::rfc3339;

/// What `check` found wrong, a sentence each; empty when all agrees.
pub type Faults = Vec<String>;

impl Store {
    /// Recounts the whole database from its rows. A read: nothing is mended in silence.
    pub fn check(&self) -> Result<Faults> {
        self.read(|connection| {
            let mut faults = Faults::new();
            integrity(connection, &mut faults)?;
            keys::keys(connection, &mut faults)?;
            self.items(connection, &mut faults)?;
            jobs::jobs(connection, &mut faults)?;
            history(connection, &mut faults)?;
            Ok(faults)
        })
    }

    fn items(&self, connection: &Connection, faults: &mut Faults) -> Result<()> {
        let names = self.names();
        let mut coverage: FxHashMap<(ProgramNo, Revision), i64> = FxHashMap::default();
        let mut carried: FxHashMap<(TopicNo, i64), (i64, i64)> = FxHashMap::default();
        let mut statement = connection.prepare(
            "SELECT no, shape, content, coalesce(fresh, x''), coalesce(labels, x''), transcripts,
               marked = EXISTS (SELECT 1 FROM mark WHERE mark.item = no), size, at, coalesce(changes, x'')
             FROM item LEFT JOIN body ON body.item = no LEFT JOIN reading ON reading.item = no WHERE at IS NOT NULL",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let no: i64 = row.get(0)?;
            let Some(shape) = names.shape(row.get(1)?) else {
                faults.push(format!("item {no}: its shape is not there"));
                continue;
            };
            match row.get::<_, Option<Vec<u8>>>(2)? {
                None => faults.push(format!("item {no}: its text is not there")),
                Some(content) => {
                    if content.len() as i64 != row.get::<_, i64>(7)? {
                        faults.push(format!("item {no}: its size disagrees with its text"));
                    }
                    let ids: Vec<String> = super::names::list_from(&row.get::<_, String>(5)?)?;
                    if body::unpack(shape.kind, &content, &ids).is_err() {
                        faults.push(format!("item {no}: its text does not decode"));
                    }
                }
            }
            let (fresh, labels) = (unpack_fresh(&row.get::<_, Vec<u8>>(3)?), unpack_labels(&row.get::<_, Vec<u8>>(4)?));
            let (Ok(fresh), Ok(labels)) = (fresh, labels) else {
                faults.push(format!("item {no}: its labels do not decode"));
                continue;
            };
            if unpack_change_nos(&row.get::<_, Vec<u8>>(9)?).is_err() {
                faults.push(format!("item {no}: its list of changes does not decode"));
            }
            if !labels.is_sorted_by(|one, other| one.place < other.place) {
                faults.push(format!("item {no}: its labels are out of order, or one stands twice"));
            }
            if !row.get::<_, bool>(6)? {
                faults.push(format!("item {no}: `marked` disagrees with its marks"));
            }
            let mut topics: Vec<TopicNo> = labels.iter().map(|label| label.place.topic).collect();
            topics.sort_unstable();
            for blocks in topics.chunk_by(|one, other| one == other) {
                let count = carried.entry((blocks[0], row.get::<_, i64>(8)?.div_euclid(DAY))).or_default();
                *count = (count.0 + 1, count.1 + blocks.len() as i64);
            }
            let programs: Vec<ProgramNo> = shape.programs.iter().filter_map(|id| names.program(id)).collect();
            for reading in readings_by_program(&programs, &fresh) {
                *coverage.entry(reading).or_default() += 1;
            }
        }
        let mut statement = connection.prepare("SELECT topic, day, items, blocks FROM topic_day")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (topic, day) = (row.get(0)?, row.get(1)?);
            let (stored, counted) = ((row.get(2)?, row.get(3)?), carried.remove(&(topic, day)).unwrap_or_default());
            if stored != counted {
                faults.push(disagreement(names.topic_id(topic), day, stored, counted));
            }
        }
        faults.extend(
            carried.iter().map(|(&(topic, day), &counted)| disagreement(names.topic_id(topic), day, (0, 0), counted)),
        );
        let mut statement = connection.prepare(
            "SELECT no, items, (SELECT count(*) FROM item WHERE shape = shape.no) AS counted FROM shape
             WHERE items <> counted",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (no, stored, counted): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            faults.push(format!("shape {no}: {stored} items are said to have it, and {counted} do"));
        }
        let mut statement = connection.prepare("SELECT program, revision, items FROM coverage")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (program, revision, stored) = (row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?);
            let counted = coverage.remove(&(program, revision)).unwrap_or_default();
            if stored != counted {
                let id = names.program_id(program);
                faults.push(format!(
                    "program {id:?}: {stored} items are said to be read by revision {revision}, and {counted} are"
                ));
            }
        }
        let missing = coverage.iter().filter(|(_, n)| **n != 0);
        faults.extend(missing.map(|((program, revision), n)| {
            format!("program {:?}: {n} items read by revision {revision} are not counted", names.program_id(*program))
        }));
        Ok(())
    }
}

/// Both are items and blocks.
fn disagreement(topic: &str, day: i64, stored: (i64, i64), counted: (i64, i64)) -> String {
    let day = rfc3339(day * DAY);
    format!(
        "topic {topic:?} on {}: {} items and {} blocks are said to carry it, and {} and {} do",
        &day[..10],
        stored.0,
        stored.1,
        counted.0,
        counted.1
    )
}

fn integrity(connection: &Connection, faults: &mut Faults) -> Result<()> {
    let mut statement = connection.prepare("PRAGMA integrity_check")?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
    faults.extend(rows.into_iter().filter(|row| row != "ok"));
    let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        faults.push(format!("a row of {} names a row that is not there", row.get::<_, String>(0)?));
    }
    Ok(())
}

fn history(connection: &Connection, faults: &mut Faults) -> Result<()> {
    let mut statement = connection.prepare("SELECT no, entries FROM change ORDER BY no")?;
    let mut listed = connection.prepare("SELECT changes FROM reading WHERE item = ?")?;
    let mut rows = statement.query([])?;
    let mut before = 0;
    while let Some(row) = rows.next()? {
        let no: i64 = row.get(0)?;
        let Ok(changes) = unpack_changes(&row.get::<_, Vec<u8>>(1)?, Provenance::default()) else {
            faults.push(format!("change {no}: it does not decode"));
            continue;
        };
        let numbers: Vec<i64> = changes.iter().map(|change| change.no).collect();
        if !numbers.is_sorted_by(|one, next| one < next) || !numbers.iter().all(|n| (before + 1..=no).contains(n)) {
            faults.push(format!("change {no}: its entries are out of order"));
        }
        before = no;
        for change in changes.iter().filter(|change| !change.edits.is_empty()) {
            let list: Option<Vec<u8>> = listed.query_row([change.item], |row| row.get(0)).optional()?;
            // One that does not decode was reported with its item.
            if unpack_change_nos(&list.unwrap_or_default()).is_ok_and(|list| !list.contains(&change.no)) {
                faults.push(format!("change {}: item {} does not know of it", change.no, change.item));
            }
        }
    }
    let mut statement = connection.prepare("SELECT no, edits FROM dry_change")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if unpack_edits(&row.get::<_, Vec<u8>>(1)?, Provenance::default()).is_err() {
            faults.push(format!("dry_change {}: it does not decode", row.get::<_, i64>(0)?));
        }
    }
    Ok(())
}
