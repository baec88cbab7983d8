//! A backup becomes a database to start from: what its source had begun is put back, and bulk jobs wait for a word.

use rusqlite::params;

use super::schema::{APPLICATION_ID, VERSION};
use super::{Error, Result, Store};
use crate::job::{JobId, JobState};
use crate::model::Millis;

/// How far the numbers of changes leap: further than any source can have come since the backup was made.
const LEAP: i64 = 1_000_000_000;

/// The first bytes of every SQLite database.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// What the first bytes of a database say of it: <https://sqlite.org/fileformat.html#the_database_header>.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    bytes: u64,
}

impl Header {
    pub const LENGTH: usize = 100;

    /// The first bytes of a file, all if it is shorter. An error where it is no database that this program can open.
    pub fn read(first: &[u8]) -> Result<Header> {
        let unusable = |why: String| Err(Error::Unusable(why));
        if first.is_empty() {
            return unusable("it is empty".into());
        }
        if !first.starts_with(MAGIC) {
            return unusable("it is not a SQLite database, so it is no backup of relabeld".into());
        }
        let number =
            |at: usize| first.get(at..at + 4).map_or(0, |four| four.iter().fold(0, |n, b| n << 8 | i64::from(*b)));
        if first.len() < Header::LENGTH {
            return unusable(format!("it is cut off after {} bytes", first.len()));
        }
        if let Some(fault) = Header::format_fault(first) {
            return unusable(format!("it is damaged: {fault}"));
        }
        if number(68) != i64::from(APPLICATION_ID) {
            return unusable("it is a SQLite database of another program".into());
        }
        let version = number(60);
        if version < 1 {
            return unusable("it has no schema: it was never finished".into());
        }
        if version > i64::from(VERSION) {
            return unusable(format!(
                "it has schema {version}, made by a newer relabeld; this one knows up to {VERSION}: restore it with the newer one"
            ));
        }
        // A page of 65,536 bytes is written as 1.
        let page = match number(16) >> 16 {
            1 => 65_536,
            size => size,
        };
        Ok(Header { bytes: u64::try_from(page * number(28)).unwrap_or(0) })
    }

    /// What is wrong with the format version for writing. SQLite writes 1 or 2, and opens a file with a higher one read-only.
    pub(super) fn format_fault(first: &[u8]) -> Option<String> {
        let version = *first.get(18).filter(|version| **version > 2)?;
        Some(format!("byte 18 of its header (the format version for writing) is {version}, not 1 or 2"))
    }

    /// Whether a file is as SQLite makes it before its first table: neither a schema nor an owner.
    pub(super) fn is_blank(first: &[u8]) -> bool {
        let zero = |at: usize| first.get(at..at + 4) == Some(&[0; 4]);
        // user_version, application_id, and the number of the schema, which grows with each table.
        first.starts_with(MAGIC) && zero(60) && zero(68) && zero(40)
    }

    /// Whether a file begins as a SQLite database does, as far as it goes.
    pub(super) fn begins_as(first: &[u8]) -> bool {
        first.iter().zip(MAGIC).all(|(a, b)| a == b)
    }

    /// How long the file is by its own account.
    pub(super) fn bytes(self) -> u64 {
        self.bytes
    }

    /// An error where the file is shorter than it says.
    pub fn check_length(self, bytes: u64) -> Result<()> {
        if bytes < self.bytes {
            return Err(Error::Unusable(format!("it is cut off: {bytes} of {} bytes are there", self.bytes)));
        }
        Ok(())
    }
}

/// What was made of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    pub items: i64,
    pub revision: i64,
    /// The jobs that went on when the backup was made, and now wait.
    pub paused: Vec<JobId>,
}

impl Store {
    /// Puts back what the source had begun, as a start does, and pauses every bulk job that has not ended: whether the
    /// source goes on with them, only people know. Live jobs are few, and somebody waits for them.
    ///
    /// The feed of changes leaps: what the source gave out since the backup is not in it, so whoever follows the feed is
    /// told to begin anew, and no number is given twice.
    pub fn settle_restored(&self, now: Millis) -> Result<Restored> {
        self.recover(Vec::new(), u32::MAX, now)?;
        let paused = self.write(move |tx| {
            let going = [JobState::Queued, JobState::Planning, JobState::Running];
            let mut paused = Vec::new();
            for state in going {
                let mut statement = tx.prepare_cached(
                    "SELECT id FROM job WHERE finished_at IS NULL AND deleted = 0 AND lane = 'bulk' AND state = ?",
                )?;
                let jobs = statement.query_map([state.as_str()], |row| row.get(0))?;
                for job in jobs.collect::<rusqlite::Result<Vec<JobId>>>()? {
                    tx.set_state(job, state, JobState::Paused)?;
                    paused.push(job);
                }
            }
            let last = tx.last_given_change().checked_add(LEAP);
            let last = last.ok_or_else(|| Error::Damaged("daemon.last_change".into()))?;
            tx.execute("UPDATE daemon SET last_change = ?1, pruned_change = ?1", params![last])?;
            paused.sort_unstable();
            Ok(paused)
        })?;
        Ok(Restored { items: self.queue()?.items, revision: self.current_revision()?.0, paused })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_tells_what_can_be_restored() {
        let dir = tempfile::tempdir().unwrap();
        Store::open(dir.path(), super::super::Durability::Normal).unwrap().close();
        let file = std::fs::read(dir.path().join(super::super::FILE)).unwrap();
        let header = Header::read(&file[..Header::LENGTH]).unwrap();
        assert_eq!(header, Header { bytes: file.len() as u64 });
        header.check_length(file.len() as u64).unwrap();
        let told = |error: Error| error.to_string();
        assert!(told(header.check_length(file.len() as u64 - 1).unwrap_err()).contains("cut off"));

        let with = |at: usize, byte: u8| {
            let mut first = file[..Header::LENGTH].to_vec();
            first[at] = byte;
            told(Header::read(&first).unwrap_err())
        };
        assert!(with(0, b'X').contains("not a SQLite database"));
        assert!(with(18, 0x12).contains("byte 18 of its header"));
        assert!(with(68, 0).contains("another program"));
        assert!(with(60, 1).contains("newer relabeld"));
        assert!(with(63, 0).contains("no schema"));
        assert!(told(Header::read(&file[..99]).unwrap_err()).contains("cut off"));
        assert!(told(Header::read(&file[..7]).unwrap_err()).contains("not a SQLite database"));
        assert!(told(Header::read(b"").unwrap_err()).contains("empty"));
    }
}
