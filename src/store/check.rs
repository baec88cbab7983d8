//! `check`: decodes every value that a call decodes, recounts every counter, and compares the tables with each other.
//! It only reads.
//!
//! A finding names the table, the row and the column. Damage in one part does not stop the check of the others, as far
//! as they can be read.

mod catalogue;
mod history;
mod items;
mod jobs;
mod keys;
mod offline;
mod sums;
mod tables;

use rusqlite::Connection;

pub use self::offline::check_directory;
use super::{Error, Names, Result, Store};
use crate::job::JobId;
use crate::label::{Label, Place, Revision, TopicNo};

/// What `check` found wrong, a sentence each; empty when all agrees.
pub type Faults = Vec<String>;

impl Store {
    /// Checks the whole database as one snapshot of it stands.
    pub fn check(&self) -> Result<Faults> {
        self.read(|connection| {
            let mut faults = Faults::new();
            all(connection, &mut faults)?;
            Ok(faults)
        })
    }
}

fn all(connection: &Connection, faults: &mut Faults) -> Result<()> {
    part(faults, "sqlite_schema", |faults| tables::tables(connection, faults))?;
    // Of other tables nothing can be said.
    if !faults.is_empty() {
        return Ok(());
    }
    part(faults, "integrity_check", |faults| integrity(connection, faults))?;
    let known = match Known::load(connection, faults) {
        Ok(known) => known,
        Err(error) => {
            let why = damage(error)?;
            faults.push(format!("{why}; the other tables are not checked, because they refer to these names"));
            return Ok(());
        }
    };
    part(faults, "key", |faults| keys::keys(connection, faults))?;
    part(faults, "change", |faults| history::history(connection, &known, faults))?;
    part(faults, "item", |faults| items::items(connection, &known, faults))?;
    part(faults, "job", |faults| jobs::jobs(connection, &known, faults))?;
    // Last: they say less than the others.
    part(faults, "sum", |faults| sums::sums(connection, faults))
}

/// Damage that ends a part is one more finding.
fn part(faults: &mut Faults, name: &str, check: impl FnOnce(&mut Faults) -> Result<()>) -> Result<()> {
    if let Err(error) = check(faults) {
        faults.push(format!("{name}: cannot check the remaining rows: {}", damage(error)?));
    }
    Ok(())
}

/// The text of an error that is damage; other errors end the check. In a damaged table a row can be listed and not be
/// found by its key.
fn damage(error: Error) -> Result<String> {
    match error {
        Error::Damaged(why) => Ok(why),
        Error::DamagedJob { id, what } => Ok(format!("job {id}: {what}")),
        Error::NotFound(what) => Ok(format!("{what} is listed, but cannot be found by its key")),
        other => Err(other),
    }
}

/// What rows of other tables name.
struct Known {
    names: Names,
    rules: catalogue::Revisions,
    /// The highest number of a job so far; jobs are deleted, and labels keep their numbers.
    last_job: JobId,
    /// The highest number of a change that was pruned.
    pruned_change: i64,
}

impl Known {
    fn load(connection: &Connection, faults: &mut Faults) -> Result<Known> {
        let names = Names::load(connection)?;
        tables::names(&names, faults);
        let rules = catalogue::Revisions::check(connection, &names, faults)?;
        let last_job = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'job'), 0)";
        let pruned_change = "SELECT coalesce((SELECT pruned_change FROM daemon), 0)";
        Ok(Known {
            names,
            rules,
            last_job: connection.query_row(last_job, [], |row| row.get(0))?,
            pruned_change: connection.query_row(pruned_change, [], |row| row.get(0))?,
        })
    }

    /// What is wrong with a label, wherever it is stored.
    fn fault_of(&self, label: &Label) -> Option<String> {
        let Label { place, evidence, by } = label;
        if !self.names.has_topic(place.topic) {
            return Some(format!("topic {} is not there", place.topic));
        }
        if !(0..=self.last_job).contains(&by.job) {
            return Some(format!("job {} was never made", by.job));
        }
        let Some(evidence) = evidence else {
            let by_person = by.job == 0 && by.revision == 0;
            return (!by_person).then(|| "a human label names a job or a revision".into());
        };
        if evidence.score > 100 {
            return Some(format!("score {} is more than 100", evidence.score));
        }
        if evidence.start > evidence.end {
            return Some(format!("it starts at {}, after its end at {}", evidence.start, evidence.end));
        }
        if !self.names.has_phrase(evidence.phrase) {
            return Some(format!("phrase {} is not there", evidence.phrase));
        }
        // A dry run stores no revision with its labels.
        if by.revision == 0 {
            return None;
        }
        self.rules.fault_of(by.revision, place.topic, evidence.phrase)
    }

    fn topic(&self, topic: TopicNo) -> String {
        format!("topic {:?}", self.names.topic_id(topic))
    }

    fn place(&self, place: Place) -> String {
        format!("{} on block {} of transcript {}", self.topic(place.topic), place.block, place.transcript)
    }

    fn has_revision(&self, revision: Revision) -> bool {
        self.rules.has(revision)
    }
}

/// What SQLite finds by itself: pages, indexes, types, NOT NULL, UNIQUE, CHECK and foreign keys.
fn integrity(connection: &Connection, faults: &mut Faults) -> Result<()> {
    let mut statement = connection.prepare("PRAGMA integrity_check")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let said = String::from_utf8_lossy(row.get_ref(0)?.as_bytes().unwrap_or_default()).into_owned();
        faults.extend(Some(said).filter(|said| said != "ok"));
    }
    let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (table, row, other): (String, Option<i64>, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let row = row.map_or_else(|| "a row".to_owned(), |row| format!("row {row}"));
        faults.push(format!("{table}: a foreign key of {row} refers to a missing row of {other}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_is_listed_and_not_found_is_a_finding_and_a_failed_disk_is_an_error() {
        let mut faults = Faults::new();
        part(&mut faults, "job", |_| Err(Error::NotFound("job 3".into()))).unwrap();
        part(&mut faults, "sum", |_| Err(Error::Damaged("result".into()))).unwrap();
        assert_eq!(
            faults,
            [
                "job: cannot check the remaining rows: job 3 is listed, but cannot be found by its key",
                "sum: cannot check the remaining rows: result",
            ]
        );
        let failed = part(&mut faults, "item", |_| Err(Error::Io("Input/output error".into())));
        assert_eq!(failed, Err(Error::Io("Input/output error".into())));
    }
}
