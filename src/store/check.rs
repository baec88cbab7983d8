//! `check`: everything that is counted is counted again, and everything packed is unpacked.

use rusqlite::Connection;
use rustc_hash::FxHashMap;

use super::codec::{unpack_edits, unpack_entries, unpack_fresh, unpack_keys, unpack_labels};
use super::rows::readings_by_program;
use super::{Result, Store, body};
use crate::label::{ProgramNo, Provenance, Revision};

/// What `check` found wrong, a sentence each; empty when all agrees.
pub type Faults = Vec<String>;

impl Store {
    /// Recounts the whole database from its rows. A read: nothing is mended in silence.
    pub fn check(&self) -> Result<Faults> {
        self.read(|connection| {
            let mut faults = Faults::new();
            integrity(connection, &mut faults)?;
            self.items(connection, &mut faults)?;
            jobs(connection, &mut faults)?;
            history(connection, &mut faults)?;
            Ok(faults)
        })
    }

    fn items(&self, connection: &Connection, faults: &mut Faults) -> Result<()> {
        let names = self.names();
        let mut coverage: FxHashMap<(ProgramNo, Revision), i64> = FxHashMap::default();
        let mut statement = connection.prepare(
            "SELECT no, shape, content, coalesce(fresh, x''), coalesce(labels, x''), transcripts,
               marked = EXISTS (SELECT 1 FROM mark WHERE mark.item = no)
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
            if !labels.is_sorted_by(|one, other| one.place < other.place) {
                faults.push(format!("item {no}: its labels are out of order, or one stands twice"));
            }
            if !row.get::<_, bool>(6)? {
                faults.push(format!("item {no}: `marked` disagrees with its marks"));
            }
            let programs: Vec<ProgramNo> = shape.programs.iter().filter_map(|id| names.program(id)).collect();
            for reading in readings_by_program(&programs, &fresh) {
                *coverage.entry(reading).or_default() += 1;
            }
        }
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

/// Tasks of a job as its rows have them, beside its counters.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    planned: i64,
    leased: i64,
    done: i64,
    failed: i64,
    quarantined: i64,
}

fn jobs(connection: &Connection, faults: &mut Faults) -> Result<()> {
    let mut counted: FxHashMap<i64, Tally> = FxHashMap::default();
    // Leased items with rows of their own are counted by those.
    let mut statement = connection.prepare(
        "SELECT job, no, pos, n, done, leased - (SELECT count(*) FROM task WHERE task.job = chunk.job
             AND task.pos >= chunk.pos + done AND task.pos < chunk.pos + done + leased), keys
         FROM chunk ORDER BY job, no",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (job, no, n): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(3)?);
        let tally = counted.entry(job).or_default();
        if row.get::<_, i64>(2)? != tally.planned {
            faults.push(format!("job {job}: chunk {no} does not follow the one before it"));
        }
        if unpack_keys(&row.get::<_, Vec<u8>>(6)?).map(|keys| keys.len() as i64) != Ok(n) {
            faults.push(format!("job {job}: the list of chunk {no} does not decode"));
        }
        tally.planned += n;
        tally.leased += row.get::<_, i64>(5)?;
    }
    let mut statement = connection.prepare("SELECT job, pos, n, entries FROM result")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (job, pos, n): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let entries = unpack_entries(&row.get::<_, Vec<u8>>(3)?).unwrap_or_default();
        if entries.len() as i64 != n {
            faults.push(format!("job {job}: the results from {pos} on do not decode"));
        }
        let tally = counted.entry(job).or_default();
        for entry in entries {
            match entry.outcome() {
                _ if entry.code == super::codec::Entry::ELSEWHERE => {}
                Ok(Some(_)) => tally.done += 1,
                Ok(None) => tally.failed += 1,
                Err(_) => faults.push(format!("job {job}: a result from {pos} on has no meaning")),
            }
        }
    }
    let mut statement = connection.prepare("SELECT job, state, count(*) FROM task GROUP BY job, state")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (state, n): (String, i64) = (row.get(1)?, row.get(2)?);
        let tally = counted.entry(row.get(0)?).or_default();
        match state.as_str() {
            "done" => tally.done += n,
            "failed" => tally.failed += n,
            "quarantined" => tally.quarantined += n,
            "running" => tally.leased += n,
            _ => {}
        }
    }
    let mut statement = connection.prepare("SELECT id, planned, running, done, failed, quarantined, total FROM job")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let stored = Tally {
            planned: row.get(1)?,
            leased: row.get(2)?,
            done: row.get(3)?,
            failed: row.get(4)?,
            quarantined: row.get(5)?,
        };
        let counted = counted.remove(&id).unwrap_or_default();
        if stored != counted {
            faults.push(format!("job {id}: it is said to have {stored:?}, and its rows have {counted:?}"));
        }
        if row.get::<_, Option<i64>>(6)?.is_some_and(|total| total != stored.planned) {
            faults.push(format!("job {id}: its total is not what was planned"));
        }
    }
    Ok(())
}

fn history(connection: &Connection, faults: &mut Faults) -> Result<()> {
    let mut statement = connection.prepare("SELECT no, edits FROM change")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if unpack_edits(&row.get::<_, Vec<u8>>(1)?, Provenance::default()).is_err() {
            faults.push(format!("change {}: it does not decode", row.get::<_, i64>(0)?));
        }
    }
    Ok(())
}
