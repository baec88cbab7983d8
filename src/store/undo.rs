//! What a job did to single items, as it has to be known to take it back.

use rusqlite::{Connection, OptionalExtension};

use super::codec::{Entry, Key, Refreshed, unpack_entries};
use super::history::Lookup;
use super::{Error, Result, Store};
use crate::job::JobId;
use crate::label::Edit;

/// What a job did to one item.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Undo {
    /// The item's edition that it was done to.
    pub edition: i64,
    pub edits: Vec<Edit>,
    pub refreshed: Vec<Refreshed>,
}

impl Store {
    /// What `job` did at the positions that `keys` ask for, in their order; for one that does not decode, what is wrong.
    pub fn undos(&self, job: JobId, keys: &[Key]) -> Result<Vec<std::result::Result<Undo, String>>> {
        self.read(|connection| {
            let mut last = Results { first: 0, entries: Vec::new() };
            let mut changes = Lookup::new(connection);
            keys.iter()
                .map(|key| {
                    let pos = key.asked.ok_or_else(|| Error::Damaged("a revert's list names no position".into()))?;
                    match last.entry(connection, job, pos).and_then(|entry| undo(&mut changes, entry)) {
                        // One damaged row must not keep the others from being taken back.
                        Err(Error::Damaged(what)) => Ok(Err(what)),
                        other => other.map(Ok),
                    }
                })
                .collect()
        })
    }
}

/// One row of `result`: neighbours on a list mostly share it.
struct Results {
    first: i64,
    entries: Vec<Entry>,
}

impl Results {
    fn entry(&mut self, connection: &Connection, job: JobId, pos: i64) -> Result<Entry> {
        let at = |results: &Results| {
            usize::try_from(pos - results.first).ok().and_then(|at| results.entries.get(at)).cloned()
        };
        let missing = || Error::Damaged(format!("job {job} has no result at {pos}"));
        let entry = match at(self) {
            Some(entry) => entry,
            None => {
                let row: Option<(i64, Vec<u8>)> = connection
                    .prepare_cached(
                        "SELECT pos, entries FROM result WHERE job = ? AND pos <= ? ORDER BY pos DESC LIMIT 1",
                    )?
                    .query_row([job, pos], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()?;
                // A job of which every item met trouble may have no result at all.
                if let Some((first, entries)) = row {
                    *self = Results { first, entries: unpack_entries(&entries)? };
                }
                at(self).unwrap_or_else(Entry::elsewhere)
            }
        };
        if entry.code != Entry::ELSEWHERE {
            return Ok(entry);
        }
        let own: Option<Option<Vec<u8>>> = connection
            .prepare_cached("SELECT entry FROM task WHERE job = ? AND pos = ?")?
            .query_row([job, pos], |row| row.get(0))
            .optional()?;
        let own = unpack_entries(&own.flatten().ok_or_else(missing)?)?;
        own.into_iter().next().ok_or_else(missing)
    }
}

fn undo(changes: &mut Lookup<'_>, entry: Entry) -> Result<Undo> {
    let mut undo = Undo { edition: entry.edition, edits: Vec::new(), refreshed: entry.refreshed };
    // Where there is none the item was erased, and whatever has its key now has another text.
    if entry.change != 0
        && let Some((change, _)) = changes.change(entry.change)?
    {
        undo.edits = change.edits.clone();
    }
    Ok(undo)
}
