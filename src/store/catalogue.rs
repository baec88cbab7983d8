//! Catalogue revisions: applied, shown, and what two of them have in common per program.

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};
use rustc_hash::FxHashMap;

use super::writer::Tx;
use super::{Error, Result, Store};
use crate::catalogue::{self, Difference};
use crate::label::{ProgramNo, ProgramRules, Revision, TopicNo};
use crate::model::{Catalogue, Millis, Topic};

/// A numbered state of the catalogue; revision 0 is the empty one that every store begins with.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRevision {
    pub revision: Revision,
    pub applied_at: Millis,
    pub labeller: String,
    pub catalogue: Catalogue,
}

impl StoredRevision {
    /// A conflict where another one was meant.
    pub fn must_be(&self, wanted: Option<Revision>) -> Result<()> {
        match wanted.filter(|&wanted| wanted != self.revision) {
            None => Ok(()),
            Some(wanted) => Err(Error::Conflict(format!(
                "the catalogue is at revision {}, not {wanted}: look at what changed and apply again",
                self.revision
            ))),
        }
    }
}

/// What applying a catalogue came to.
#[derive(Debug, Clone, PartialEq)]
pub struct AppliedCatalogue {
    pub revision: Revision,
    /// False where it was the current one already.
    pub new: bool,
    pub difference: Difference,
}

/// FNV-1a, 64 bits (<http://www.isthe.com/chongo/tech/comp/fnv/>): a hash that is stored has to stay the same, which
/// the standard library does not promise of its own.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// What decides how a program's items read: its topics but for their names and order, and the labeller.
pub(super) fn hash_rules(topics: &[&Topic], labeller: &str) -> i64 {
    let mut by_id: Vec<&&Topic> = topics.iter().collect();
    by_id.sort_by_key(|topic| &topic.id);
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    let mut put = |text: &str| {
        hash.write(&(text.len() as u64).to_le_bytes());
        hash.write(text.as_bytes());
    };
    put(labeller);
    for topic in by_id {
        put(&topic.id);
        put(&format!("{:?} {:?} {}", topic.participants, topic.matching, topic.strictness));
        for phrase in &topic.phrases {
            put(&phrase.text);
            put(&format!("{:?}", phrase.strictness));
        }
    }
    hash.finish() as i64
}

pub(super) fn topics_by_program(catalogue: &Catalogue) -> BTreeMap<&str, Vec<&Topic>> {
    let mut programs: BTreeMap<&str, Vec<&Topic>> = BTreeMap::new();
    for topic in &catalogue.topics {
        for program in &topic.programs {
            programs.entry(program).or_default().push(topic);
        }
    }
    programs
}

pub(super) fn revision_by_no(connection: &Connection, revision: Revision) -> Result<StoredRevision> {
    let row = connection
        .prepare_cached("SELECT applied_at, labeller, catalogue FROM revision WHERE no = ?")?
        .query_row([revision], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?)))
        .optional()?;
    let (applied_at, labeller, json) = row.ok_or_else(|| Error::NotFound(format!("catalogue revision {revision}")))?;
    // It was valid when it was applied, and stays so under labellers that see words elsewhere.
    let catalogue = catalogue::parse(json.as_bytes(), |_| true)
        .map_err(|_| Error::Damaged(format!("revision.catalogue of revision {revision} does not parse")))?;
    Ok(StoredRevision { revision, applied_at, labeller, catalogue })
}

impl Store {
    /// A revision of the catalogue, the current one by default.
    pub fn revision(&self, revision: Option<Revision>) -> Result<StoredRevision> {
        self.read(|connection| {
            let no = match revision {
                Some(no) => no,
                None => connection.query_row("SELECT max(no) FROM revision", [], |row| row.get(0))?,
            };
            revision_by_no(connection, no)
        })
    }

    /// The number of the current revision, and the labeller that it was made for.
    pub fn current_revision(&self) -> Result<(Revision, String)> {
        self.read(|connection| {
            Ok(connection
                .prepare_cached("SELECT no, labeller FROM revision ORDER BY no DESC LIMIT 1")?
                .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?)
        })
    }

    /// Makes `catalogue` the next revision, unless it is the current one already.
    ///
    /// `if_match` must be the current revision where it is given; removing topics needs `allow_remove`.
    pub fn apply_catalogue(
        &self,
        catalogue: Catalogue,
        labeller: &str,
        allow_remove: bool,
        if_match: Option<Revision>,
        now: Millis,
    ) -> Result<AppliedCatalogue> {
        let labeller = labeller.to_owned();
        self.write(move |tx| {
            let current = revision_by_no(tx, tx.current_revision()?)?;
            current.must_be(if_match)?;
            let difference = catalogue::difference(&current.catalogue, &catalogue);
            if catalogue == current.catalogue && labeller == current.labeller {
                return Ok(AppliedCatalogue { revision: current.revision, new: false, difference });
            }
            if !allow_remove && !difference.removed.is_empty() {
                return Err(Error::Conflict(format!(
                    "this would remove {} topic(s): {}; allow it with allow_remove",
                    difference.removed.len(),
                    difference.removed.join(", ")
                )));
            }
            let revision = current.revision + 1;
            tx.put_revision(revision, &catalogue, &labeller, now)?;
            tx.tell(format!("catalogue: revision {revision} applied, {} topics", catalogue.topics.len()));
            Ok(AppliedCatalogue { revision, new: true, difference })
        })
    }

    /// What a job of `revision` may do to items, per program.
    pub fn program_rules(&self, revision: Revision) -> Result<FxHashMap<ProgramNo, Arc<ProgramRules>>> {
        self.read(|connection| {
            let catalogue = revision_by_no(connection, revision)?.catalogue;
            let names = self.names();
            let mut programs: FxHashMap<ProgramNo, ProgramRules> = names
                .programs()
                .map(|(program, _)| (program, ProgramRules { program, topics: Vec::new(), former: Vec::new() }))
                .collect();
            for (program, topics) in topics_by_program(&catalogue) {
                if let Some(rules) = names.program(program).and_then(|no| programs.get_mut(&no)) {
                    rules.topics = topics.iter().filter_map(|topic| names.topic(&topic.id)).collect();
                }
            }
            let mut statement = connection.prepare_cached("SELECT program, topic FROM held WHERE since < ?")?;
            let mut rows = statement.query([revision])?;
            while let Some(row) = rows.next()? {
                let topic: TopicNo = row.get(1)?;
                if let Some(rules) = programs.get_mut(&row.get(0)?)
                    && !rules.topics.contains(&topic)
                {
                    rules.former.push(topic);
                }
            }
            Ok(programs.into_iter().map(|(program, rules)| (program, Arc::new(rules))).collect())
        })
    }

    /// The revisions that read items of `program` just as `revision` does.
    pub fn alike(&self, program: ProgramNo, revision: Revision) -> Result<Vec<Revision>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT no FROM revision WHERE no > 0
                 AND coalesce((SELECT hash FROM ruleset WHERE revision = no AND program = ?1), 0)
                   = coalesce((SELECT hash FROM ruleset WHERE revision = ?2 AND program = ?1), 0)",
            )?;
            Ok(statement.query_map(params![program, revision], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
        })
    }
}

/// The topics that `program` has in `revision`.
pub(super) fn topics_of(tx: &Tx<'_>, revision: Revision, program: ProgramNo) -> Result<Vec<TopicNo>> {
    let catalogue = revision_by_no(tx, revision)?.catalogue;
    let names = tx.names();
    let id = names.program_id(program);
    let topics = catalogue.topics.iter().filter(|topic| topic.programs.iter().any(|program| program == id));
    Ok(topics.filter_map(|topic| names.topic(&topic.id)).collect())
}

impl Tx<'_> {
    fn put_revision(&self, revision: Revision, catalogue: &Catalogue, labeller: &str, now: Millis) -> Result<()> {
        self.execute(
            "INSERT INTO revision (no, applied_at, labeller, catalogue) VALUES (?, ?, ?, ?)",
            params![revision, now, labeller, catalogue::to_json(catalogue).to_string()],
        )?;
        for topic in &catalogue.topics {
            self.intern_topic(&topic.id)?;
            for phrase in &topic.phrases {
                self.intern_phrase(&phrase.text)?;
            }
        }
        for program in &catalogue.programs {
            self.intern_program(&program.id)?;
        }
        for (program, topics) in topics_by_program(catalogue) {
            let program = self.intern_program(program)?;
            self.prepare_cached("INSERT INTO ruleset (revision, program, hash) VALUES (?, ?, ?)")?.execute(params![
                revision,
                program,
                hash_rules(&topics, labeller)
            ])?;
            for topic in topics {
                self.prepare_cached("INSERT OR IGNORE INTO held (program, topic, since) VALUES (?, ?, ?)")?
                    .execute(params![program, self.intern_topic(&topic.id)?, revision])?;
            }
        }
        Ok(())
    }
}
