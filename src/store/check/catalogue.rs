//! Of `check`: each revision of the catalogue parses, and `ruleset` and `held` say what follows from all of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::Connection;
use rustc_hash::FxHashMap;

use super::{Faults, damage};
use crate::label::{PhraseNo, Revision, TopicNo};
use crate::store::catalogue::{hash_rules, revision_by_no, topics_by_program};
use crate::store::{Names, Result};

/// The phrases of a topic, in order.
type Phrases = Arc<[PhraseNo]>;

/// What each revision lets a label be made of.
pub(super) struct Revisions {
    last: Revision,
    /// Of the revisions that parse.
    topics: FxHashMap<Revision, FxHashMap<TopicNo, Phrases>>,
}

impl Revisions {
    /// Checks the tables revision, ruleset and held.
    pub fn check(connection: &Connection, names: &Names, faults: &mut Faults) -> Result<Revisions> {
        let mut revisions = Revisions { last: -1, topics: FxHashMap::default() };
        let mut hashes: BTreeMap<(Revision, i64), i64> = BTreeMap::new();
        let mut held: BTreeMap<(i64, i64), Revision> = BTreeMap::new();
        let mut statement = connection.prepare("SELECT no FROM revision ORDER BY no")?;
        let mut rows = statement.query([])?;
        let mut is_complete = true;
        while let Some(row) = rows.next()? {
            let no: Revision = row.get(0)?;
            if no != revisions.last + 1 {
                faults.push(format!("revision {no}: revision.no does not follow {}", revisions.last));
            }
            revisions.last = no;
            let stored = match revision_by_no(connection, no) {
                Ok(stored) => stored,
                Err(error) => {
                    faults.push(format!("revision {no}: {}", damage(error)?));
                    is_complete = false;
                    continue;
                }
            };
            let unknown = |what: &str, id: &str| {
                format!("revision {no}: revision.catalogue names {what} {id:?}, which the table {what} does not have")
            };
            let mut topics = FxHashMap::default();
            for topic in &stored.catalogue.topics {
                let Some(topic_no) = names.topic(&topic.id) else {
                    faults.push(unknown("topic", &topic.id));
                    continue;
                };
                let mut phrases = Vec::with_capacity(topic.phrases.len());
                for phrase in &topic.phrases {
                    match names.phrase(&phrase.text) {
                        Some(phrase) => phrases.push(phrase),
                        None => faults.push(unknown("phrase", &phrase.text)),
                    }
                }
                phrases.sort_unstable();
                // Most topics are as they were in the revision before.
                let before = revisions.topics.get(&(no - 1)).and_then(|topics| topics.get(&topic_no));
                let same = before.filter(|before| before[..] == phrases[..]).cloned();
                topics.insert(topic_no, same.unwrap_or_else(|| phrases.into()));
            }
            for (program, topics) in topics_by_program(&stored.catalogue) {
                let Some(program_no) = names.program(program) else {
                    faults.push(unknown("program", program));
                    continue;
                };
                hashes.insert((no, program_no.into()), hash_rules(&topics, &stored.labeller));
                for topic in topics.iter().filter_map(|topic| names.topic(&topic.id)) {
                    held.entry((program_no.into(), topic.into())).or_insert(no);
                }
            }
            revisions.topics.insert(no, topics);
        }
        if revisions.last < 0 {
            faults.push("revision: revision 0, the empty one, is not there".into());
        }
        // Both tables are derived from all revisions, so they cannot be checked if one revision does not parse.
        if is_complete {
            compare(connection, "ruleset", "SELECT revision, program, hash FROM ruleset", hashes, faults)?;
            compare(connection, "held", "SELECT program, topic, since FROM held", held, faults)?;
        }
        Ok(revisions)
    }

    pub fn has(&self, revision: Revision) -> bool {
        (0..=self.last).contains(&revision)
    }

    /// Why a revision cannot have found a topic by a phrase.
    pub fn fault_of(&self, revision: Revision, topic: TopicNo, phrase: PhraseNo) -> Option<String> {
        if !self.has(revision) {
            return Some(format!("revision {revision} is not there"));
        }
        let phrases = match self.topics.get(&revision)?.get(&topic) {
            None => return Some(format!("revision {revision} has no topic {topic}")),
            Some(phrases) => phrases,
        };
        (!phrases.contains(&phrase)).then(|| format!("topic {topic} of revision {revision} has no phrase {phrase}"))
    }
}

/// Compares rows of (first, second, value) with those that should be there.
fn compare(
    connection: &Connection,
    table: &str,
    sql: &str,
    mut wanted: BTreeMap<(i64, i64), i64>,
    faults: &mut Faults,
) -> Result<()> {
    let mut statement = connection.prepare(sql)?;
    let (one, other, column) = (column(&statement, 0), column(&statement, 1), column(&statement, 2));
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let key: (i64, i64) = (row.get(0)?, row.get(1)?);
        let name = format!("{table} of {one} {} and {other} {}", key.0, key.1);
        match wanted.remove(&key) {
            None => faults.push(format!("{name}: no revision.catalogue has it")),
            Some(value) if value != row.get::<_, i64>(2)? => {
                faults.push(format!("{name}: {table}.{column} does not follow from revision.catalogue"));
            }
            Some(_) => {}
        }
    }
    faults.extend(wanted.keys().map(|key| format!("{table} of {one} {} and {other} {}: it is missing", key.0, key.1)));
    Ok(())
}

fn column(statement: &rusqlite::Statement<'_>, at: usize) -> String {
    statement.column_name(at).unwrap_or_default().to_owned()
}
