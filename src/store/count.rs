//! Counting what a filter selects, and what topics and programs carry.

use std::collections::BTreeMap;
use std::collections::hash_map::Entry;

use rusqlite::{Connection, params};
use rustc_hash::{FxHashMap, FxHashSet};

use super::codec::{unpack_fresh, unpack_labels};
use super::rows::DAY;
use super::{Error, Names, Result, Store};
use crate::job::Filter;
use crate::label::{ProgramNo, Revision, TopicNo};
use crate::model::Millis;

/// How many items a filter selects. An item of two programs counts in both.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Count {
    pub total: i64,
    pub by_kind: BTreeMap<String, i64>,
    pub by_media: BTreeMap<String, i64>,
    pub by_program: BTreeMap<String, i64>,
}

/// What carries topics now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicCounts {
    /// Per topic id: items and blocks.
    pub topics: BTreeMap<String, (i64, i64)>,
    /// Per program id: its items, and those not read by its present rules.
    pub programs: BTreeMap<String, (i64, i64)>,
}

/// The items of a program that the catalogue has topics for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramItems {
    pub program: String,
    pub items: i64,
    /// Of those, the ones not read by its present rules.
    pub not_fresh: i64,
}

/// How many items a filter selects, and where its list is cut into parts: each border is the first item of a next part.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Cut {
    pub total: i64,
    pub borders: Vec<(Millis, i64)>,
}

/// The numbers of the shapes that a filter lets through.
pub(super) fn fitting_shapes(names: &Names, filter: &Filter) -> FxHashSet<i64> {
    names
        .shapes()
        .filter(|(_, shape)| filter.fits_shape(shape.kind, shape.media.as_deref(), &shape.programs, &shape.languages))
        .map(|(no, _)| no)
        .collect()
}

/// Calls `see` with (at, item, shape) of every item in the filter's time range, oldest first, straight off the index,
/// until it answers false.
fn each_in_range(
    connection: &Connection,
    filter: &Filter,
    mut see: impl FnMut(Millis, i64, i64) -> bool,
) -> Result<()> {
    let mut statement =
        connection.prepare_cached("SELECT at, no, shape FROM item WHERE at >= ? AND at < ? ORDER BY at, no")?;
    let mut rows = statement.query(params![filter.from.unwrap_or(i64::MIN), filter.until.unwrap_or(i64::MAX)])?;
    while let Some(row) = rows.next()? {
        if !see(row.get(0)?, row.get(1)?, row.get(2)?) {
            break;
        }
    }
    Ok(())
}

impl Store {
    pub fn count(&self, filter: &Filter) -> Result<Count> {
        let mut by_shape: FxHashMap<i64, i64> = FxHashMap::default();
        if filter.stale_only {
            self.count_stale(filter, &mut by_shape)?;
        } else {
            self.read(|connection| {
                each_in_range(connection, filter, |_, _, shape| {
                    *by_shape.entry(shape).or_default() += 1;
                    true
                })
            })?;
        }
        let names = self.names();
        let fitting = fitting_shapes(&names, filter);
        let mut count = Count::default();
        for (no, n) in by_shape.into_iter().filter(|(no, _)| fitting.contains(no)) {
            let shape = names.shape(no).ok_or_else(|| Error::Damaged(format!("no shape {no}")))?;
            count.total += n;
            *count.by_kind.entry(shape.kind.to_string()).or_default() += n;
            if let Some(media) = &shape.media {
                *count.by_media.entry(media.clone()).or_default() += n;
            }
            for program in &shape.programs {
                *count.by_program.entry(program.clone()).or_default() += n;
            }
        }
        Ok(count)
    }

    /// Counts the items, by shape, that a job of now would not skip as read already.
    fn count_stale(&self, filter: &Filter, by_shape: &mut FxHashMap<i64, i64>) -> Result<()> {
        let (revision, _) = self.current_revision()?;
        let mut in_scope: FxHashMap<i64, Vec<ProgramNo>> = FxHashMap::default();
        {
            let names = self.names();
            let named = |id: &&String| filter.programs.is_empty() || filter.programs.contains(id);
            for (no, shape) in names.shapes() {
                let programs = shape.programs.iter().filter(named).filter_map(|id| names.program(id)).collect();
                in_scope.insert(no, programs);
            }
        }
        let mut alike: FxHashMap<ProgramNo, Vec<Revision>> = FxHashMap::default();
        for &program in in_scope.values().flatten() {
            if let Entry::Vacant(new) = alike.entry(program) {
                new.insert(self.alike(program, revision)?);
            }
        }
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT shape, coalesce(fresh, x'') FROM item LEFT JOIN reading ON reading.item = no
                 WHERE at >= ? AND at < ? ORDER BY at, no",
            )?;
            let mut rows =
                statement.query(params![filter.from.unwrap_or(i64::MIN), filter.until.unwrap_or(i64::MAX)])?;
            while let Some(row) = rows.next()? {
                let shape: i64 = row.get(0)?;
                let fresh = unpack_fresh(row.get_ref(1)?.as_blob().map_err(|_| Error::Damaged("fresh".into()))?)?;
                let is_fresh = |program: &ProgramNo| {
                    let alike = alike.get(program).map_or(&[][..], Vec::as_slice);
                    fresh.iter().any(|(read, by)| read == program && alike.contains(by))
                };
                if !in_scope.get(&shape).is_some_and(|programs| programs.iter().all(is_fresh)) {
                    *by_shape.entry(shape).or_default() += 1;
                }
            }
            Ok(())
        })
    }

    /// Counts what a filter selects, with a border every `part` items (0: none).
    pub(super) fn cut(&self, filter: &Filter, part: i64) -> Result<Cut> {
        let fitting = fitting_shapes(&self.names(), filter);
        let mut cut = Cut::default();
        self.read(|connection| {
            each_in_range(connection, filter, |at, no, shape| {
                if fitting.contains(&shape) {
                    if part > 0 && cut.total > 0 && cut.total % part == 0 {
                        cut.borders.push((at, no));
                    }
                    cut.total += 1;
                }
                true
            })
        })?;
        Ok(cut)
    }

    /// Whether a filter selects anything: a look as far as the first item that it does.
    pub(super) fn selects_any(&self, filter: &Filter) -> Result<bool> {
        let fitting = fitting_shapes(&self.names(), filter);
        let mut any = false;
        self.read(|connection| {
            each_in_range(connection, filter, |_, _, shape| {
                any = fitting.contains(&shape);
                !any
            })
        })?;
        Ok(any)
    }

    /// Why a filter that selects nothing does: the first of its conditions that leaves nothing.
    pub(super) fn why_empty(&self, filter: &Filter) -> Result<String> {
        let time_only = Filter { from: filter.from, until: filter.until, ..Filter::all() };
        let in_range = self.cut(&time_only, 0)?.total;
        if in_range == 0 {
            let any: bool = self.read(|connection| {
                Ok(connection
                    .query_row("SELECT EXISTS (SELECT 1 FROM item WHERE at >= ?)", [i64::MIN], |row| row.get(0))?)
            })?;
            return Ok(if any { "no item in the time range" } else { "nothing is imported yet" }.into());
        }
        let names = self.names();
        let known: FxHashSet<&String> = names.shapes().flat_map(|(_, shape)| &shape.programs).collect();
        if let Some(unknown) = filter.programs.iter().find(|program| !known.contains(program)) {
            return Ok(format!("no item belongs to a program {unknown:?}"));
        }
        if let Some(unknown) =
            filter.media.iter().find(|media| !names.shapes().any(|(_, shape)| shape.media.as_ref() == Some(*media)))
        {
            return Ok(format!("no item has the media {unknown:?}"));
        }
        if !filter.media.is_empty() && filter.types == [crate::model::Kind::Note] {
            return Ok("notes have no media: a media filter leaves them out".into());
        }
        Ok(format!("none of the {in_range} items in the time range fits types, media and programs together"))
    }

    /// Of each program that has rules in the current revision, its items. As many rows as the catalogue has programs,
    /// whatever programs the items name besides.
    pub fn program_items(&self) -> Result<Vec<ProgramItems>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, coalesce(sum(items), 0), coalesce(sum(items) FILTER (WHERE coverage.revision = 0
                     OR coalesce((SELECT hash FROM ruleset r WHERE r.revision = coverage.revision
                     AND r.program = coverage.program), 0) <> current.hash), 0)
                 FROM ruleset AS current JOIN program ON program.no = current.program
                 LEFT JOIN coverage ON coverage.program = current.program
                 WHERE current.revision = (SELECT max(no) FROM revision) GROUP BY current.program",
            )?;
            let rows = statement.query_map([], |row| {
                Ok(ProgramItems { program: row.get(0)?, items: row.get(1)?, not_fresh: row.get(2)? })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// What carries topics in [from, until), and how many items of each program its present rules have not read.
    ///
    /// Whole days come from their counters; only of a day that the range cuts are the items looked at.
    pub fn topic_counts(&self, from: Option<Millis>, until: Option<Millis>) -> Result<TopicCounts> {
        let (from, until) = (from.unwrap_or(i64::MIN), until.unwrap_or(i64::MAX));
        // The first day that begins in the range, and the first that does not end in it.
        let (first, end) = (from.div_euclid(DAY) + i64::from(from.rem_euclid(DAY) != 0), until.div_euclid(DAY));
        let edges = if first < end {
            [(from, first.saturating_mul(DAY)), (end.saturating_mul(DAY), until)]
        } else {
            [(from, until), (0, 0)]
        };
        let edges = edges.into_iter().filter(|(from, until)| from < until && *from != i64::MIN && *until != i64::MAX);
        let mut counts = TopicCounts::default();
        let mut by_topic: FxHashMap<TopicNo, (i64, i64)> = FxHashMap::default();
        self.read(|connection| {
            for (from, until) in edges {
                count_labels(connection, from, until, &mut by_topic)?;
            }
            let mut days = connection.prepare_cached(
                "SELECT coalesce(sum(items), 0), coalesce(sum(blocks), 0) FROM topic_day
                 WHERE topic = ? AND day >= ? AND day < ?",
            )?;
            for topic in self.names().topics() {
                let (items, blocks): (i64, i64) =
                    days.query_row(params![topic, first, end], |row| Ok((row.get(0)?, row.get(1)?)))?;
                if items > 0 {
                    let count = by_topic.entry(topic).or_default();
                    *count = (count.0 + items, count.1 + blocks);
                }
            }
            // Programs without rules in a revision have no row in ruleset, and are alike in all such revisions.
            let mut statement = connection.prepare_cached(
                "SELECT id, coalesce(sum(items), 0), coalesce(sum(items) FILTER (WHERE coverage.revision = 0
                     OR coalesce((SELECT hash FROM ruleset r WHERE r.revision = coverage.revision AND r.program = no), 0)
                     <> coalesce((SELECT hash FROM ruleset r WHERE r.revision = (SELECT max(no) FROM revision)
                     AND r.program = program.no), 0)), 0)
                 FROM program LEFT JOIN coverage ON coverage.program = program.no GROUP BY program.no",
            )?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                counts.programs.insert(row.get(0)?, (row.get(1)?, row.get(2)?));
            }
            Ok(())
        })?;
        let names = self.names();
        counts.topics = by_topic.into_iter().map(|(topic, n)| (names.topic_id(topic).to_owned(), n)).collect();
        Ok(counts)
    }
}

/// Adds the items and blocks that carry each topic in [from, until), item by item.
fn count_labels(
    connection: &Connection,
    from: Millis,
    until: Millis,
    by_topic: &mut FxHashMap<TopicNo, (i64, i64)>,
) -> Result<()> {
    let mut statement = connection
        .prepare_cached("SELECT labels FROM item JOIN reading ON item = no WHERE at >= ? AND at < ? ORDER BY at, no")?;
    let mut rows = statement.query([from, until])?;
    let mut topics: Vec<TopicNo> = Vec::new();
    while let Some(row) = rows.next()? {
        let labels = row.get_ref(0)?.as_blob().map_err(|_| Error::Damaged("reading.labels".into()))?;
        topics.clear();
        topics.extend(unpack_labels(labels)?.iter().map(|label| label.place.topic));
        topics.sort_unstable();
        for blocks in topics.chunk_by(|one, other| one == other) {
            let (items, all_blocks) = by_topic.entry(blocks[0]).or_default();
            *items += 1;
            *all_blocks += blocks.len() as i64;
        }
    }
    Ok(())
}
