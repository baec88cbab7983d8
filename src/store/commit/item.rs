//! What one finding becomes: the part of a commit that knows the rules of contract 4.

use std::collections::hash_map;
use std::sync::Arc;

use super::stood::Known;
use super::{Commit, Deed, Done, Ending, Finding, LeaseOutcome, Sum};
use crate::job::Outcome;
use crate::label::{Evidence, Label, Mark, Place, ProgramRules, Revision, Scope, Standing, TopicNo, apply};
use crate::model::{Failure, Millis};
use crate::store::catalogue::topics_of;
use crate::store::codec::{Entry, Fresh, Refreshed};
use crate::store::rows::{Reading, marks_of, read_by};
use crate::store::{Error, Result};

/// What a reading is applied to.
struct Before<'a> {
    item: i64,
    at: Millis,
    old: Option<&'a Reading>,
    marks: &'a [Mark],
}

impl Commit<'_> {
    pub(super) fn finish(&mut self, outcome: &LeaseOutcome, sum: &mut Sum, done: &Done) -> Result<Ending> {
        let plain = |outcome: Outcome| {
            Ok(Ending::Entry(Entry { code: Entry::code_of(outcome), attempts: done.attempts, ..Entry::elsewhere() }))
        };
        match &done.finding {
            Finding::Gone => plain(Outcome::Gone),
            Finding::StaleVersion => plain(Outcome::StaleVersion),
            Finding::Current => plain(Outcome::SkippedCurrent),
            Finding::Elsewhere => Ok(Ending::Elsewhere),
            Finding::Failed { failure: Failure::Permanent(error), .. } => Ok(Ending::Error(error.clone())),
            Finding::Failed { failure: Failure::Transient(error), not_before } => {
                if done.attempts.saturating_sub(done.uncharged) >= self.max_attempts {
                    return Ok(Ending::Error(error.clone()));
                }
                Ok(Ending::Again { not_before: *not_before, charged: true, error: Some(error.clone()) })
            }
            Finding::TakeBack(undo) => self.take_back(outcome, sum, done, undo),
            Finding::Read { stood, scope, found } => {
                let item = done.key.item;
                let anew;
                let stood = match self.tx.touched_since(item, stood.seen) {
                    // As good as read in this transaction.
                    false => stood,
                    true => {
                        let Some(known) = self.read_again(item)? else { return plain(Outcome::Gone) };
                        if known.stood.edition != stood.edition {
                            return Ok(Ending::Again { not_before: 0, charged: false, error: None });
                        }
                        anew = known.stood;
                        &anew
                    }
                };
                let entry = Entry {
                    code: Entry::NO_TOPICS,
                    attempts: done.attempts,
                    edition: stood.edition,
                    version: stood.version,
                    ..Entry::elsewhere()
                };
                let old = match &stood.reading {
                    Ok(old) => old.as_deref(),
                    // One damaged item must not keep the others from being committed, start after start.
                    // Nothing of it is written yet; from here on damage ends the whole commit.
                    Err(what) => return Ok(Ending::Error(what.clone())),
                };
                let marks = if stood.marked { marks_of(self.tx, item)? } else { Vec::new() };
                let before = Before { item, at: stood.at, old, marks: &marks };
                self.read_item(outcome, sum, before, scope, found, entry).map(Ending::Entry)
            }
        }
    }

    fn read_item(
        &mut self,
        outcome: &LeaseOutcome,
        Sum { ledger, changes }: &mut Sum,
        Before { item, at, old, marks }: Before<'_>,
        scope: &Scope,
        found: &[(Place, Evidence)],
        entry: Entry,
    ) -> Result<Entry> {
        let Deed::Label { revision, keep_when_empty } = outcome.deed else {
            return Err(Error::Damaged(format!("job {} reads, and is there to take back", outcome.lease.job)));
        };
        let nothing = Reading::default();
        let stood = old.unwrap_or(&nothing);
        let newer = |rules: &Arc<ProgramRules>| newer_reading(&stood.fresh, rules, revision);
        let narrowed = scope.programs.iter().any(|rules| newer(rules).is_some());
        let own_scope = narrowed.then(|| {
            let programs = scope.programs.iter().filter(|rules| newer(rules).is_none()).cloned().collect();
            Scope::new(programs, scope.elsewhere.clone())
        });
        let whole_scope = scope;
        let scope = own_scope.as_ref().unwrap_or(scope);
        if scope.programs.is_empty() {
            return Ok(Entry { code: Entry::code_of(Outcome::Superseded), ..entry });
        }
        let hands_off = if narrowed { self.hands_off(whole_scope, newer)? } else { Vec::new() };

        let by = changes.by();
        let found: Vec<Label> =
            found.iter().map(|&(place, evidence)| Label { place, evidence: Some(evidence), by }).collect();
        let has_topics = scope.programs.iter().any(|rules| !rules.topics.is_empty());
        let standing = Standing { labels: &stood.labels, marks, hands_off: &hands_off };
        let applied = has_topics.then(|| apply(standing, &found, scope, keep_when_empty));

        let edits = applied.as_ref().map_or(&[][..], |applied| &applied.edits);
        let change = self.put_edits(outcome, changes, item, edits)?;
        let code = match &applied {
            None => Entry::code_of(Outcome::ProgramHasNoTopics),
            Some(applied) if !applied.detected && keep_when_empty => Entry::NO_TOPICS,
            Some(applied) if applied.edits.is_empty() => Entry::code_of(Outcome::Unchanged),
            Some(_) => Entry::code_of(Outcome::Changed),
        };
        if let Some(applied) = &applied {
            ledger.count_labels(applied.counts, &applied.edits);
            self.total.labels.add(applied.counts);
        }
        if outcome.dry_run {
            return Ok(Entry { code, change, ..entry });
        }
        let refreshed: Vec<Refreshed> = scope
            .programs
            .iter()
            .map(|rules| Refreshed {
                program: rules.program,
                before: read_by(&stood.fresh, rules.program),
                after: revision,
            })
            .filter(|refreshed| refreshed.before != revision)
            .collect();
        let labels = applied.map(|applied| applied.labels).unwrap_or_default();
        self.settle(item, at, old, labels, change, &refreshed)?;
        Ok(Entry { code, change, refreshed, ..entry })
    }

    /// Writes what has become of an item's reading, and counts it: `labels` where there is a change (its number, or 0),
    /// and for each program who read it last.
    pub(super) fn settle(
        &mut self,
        item: i64,
        at: Millis,
        old: Option<&Reading>,
        labels: Vec<Label>,
        change: i64,
        refreshed: &[Refreshed],
    ) -> Result<()> {
        if change == 0 && refreshed.is_empty() {
            return Ok(());
        }
        let is_new = old.is_none();
        let mut reading = old.cloned().unwrap_or_default();
        for &Refreshed { program, before, after } in refreshed {
            self.counters.add(&[(program, before)], -1);
            self.counters.add(&[(program, after)], 1);
            reading.fresh.retain(|(other, _)| *other != program);
            reading.fresh.extend(Some((program, after)).filter(|_| after != 0));
        }
        if change != 0 {
            self.counters.add_labels(at, &reading.labels, -1);
            self.counters.add_labels(at, &labels, 1);
            reading.labels = labels;
            self.tx.note_change(&mut reading.changes, change)?;
        }
        self.put_reading.put(item, &reading, is_new)
    }

    /// Reads the item in this transaction, with what this commit has written of it.
    pub(super) fn read_again(&mut self, item: i64) -> Result<Option<Known>> {
        self.put_reading.flush()?;
        Known::of(self.tx, item)
    }

    /// Topics that newer rules have read on this item already: an older job keeps its hands off them.
    fn hands_off(
        &mut self,
        scope: &Scope,
        newer: impl Fn(&Arc<ProgramRules>) -> Option<Revision>,
    ) -> Result<Vec<TopicNo>> {
        let mut topics = Vec::new();
        for rules in &scope.programs {
            if let Some(revision) = newer(rules) {
                let read_by = match self.newer_topics.entry((revision, rules.program)) {
                    hash_map::Entry::Occupied(known) => known.into_mut(),
                    hash_map::Entry::Vacant(new) => new.insert(topics_of(self.tx, revision, rules.program)?),
                };
                topics.extend_from_slice(read_by);
            }
        }
        Ok(topics)
    }
}

/// The revision newer than the job's that has read the program's items here already.
fn newer_reading(fresh: &Fresh, rules: &ProgramRules, revision: Revision) -> Option<Revision> {
    fresh.iter().find(|(program, read)| *program == rules.program && *read > revision).map(|&(_, read)| read)
}
