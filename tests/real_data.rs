//! Real conversations: what the daemon stores equals what an independent program computed by the same rule.

mod common;

use std::collections::BTreeMap;

use common::House;
use common::real::{apply, house, lines};
use relabeld::job::{Filter, JobState};
use relabeld::store::LabelQuery;
use serde_json::Value;

/// (item, transcript, block, topic) -> score
type Rows = BTreeMap<(String, String, u64, String), u64>;

fn expected(dir: &std::path::Path, name: &str) -> Rows {
    let mut rows = Rows::new();
    for (file, id) in
        [(format!("expected.{name}.jsonl.gz"), "conversation"), (format!("expected.{name}.notes.jsonl.gz"), "note")]
    {
        for line in lines(dir.join(file)) {
            let row: Value = serde_json::from_str(&line).unwrap();
            let text = |field: &str| row[field].as_str().unwrap().to_owned();
            let transcript = if id == "note" { "note".into() } else { text("transcript") };
            let key = (text(id), transcript, row["block"].as_u64().unwrap(), text("topic"));
            assert!(rows.insert(key, row["score"].as_u64().unwrap()).is_none(), "twice: {line}");
        }
    }
    rows
}

fn standing(house: &House) -> Rows {
    let query = LabelQuery { filter: Filter::all(), topics: Vec::new() };
    let mut rows = Rows::new();
    let mut after = None;
    loop {
        let (page, next) = house.store.label_rows(&query, after).unwrap();
        for row in page {
            let score = row.label.evidence.as_ref().map(|evidence| u64::from(evidence.score)).unwrap();
            let key = (row.id, row.label.transcript, u64::from(row.label.block), row.label.topic);
            assert!(rows.insert(key.clone(), score).is_none(), "a label stands twice: {key:?}");
        }
        match next {
            Some(next) => after = Some(next),
            None => return rows,
        }
    }
}

fn changes(house: &House, job: i64) -> Rows {
    let mut rows = Rows::new();
    let mut from = Some(0);
    while let Some(pos) = from {
        let (page, next) = house.store.job_changes(job, pos).unwrap();
        from = next;
        for change in page {
            assert!(change.old.is_none(), "a first labelling only adds: {change:?}");
            let label = change.new.unwrap();
            let key = (change.id, label.transcript, u64::from(label.block), label.topic);
            let score = u64::from(label.evidence.unwrap().score);
            assert!(rows.insert(key.clone(), score).is_none(), "a change stands twice: {key:?}");
        }
    }
    rows
}

#[track_caller]
fn assert_equal(found: &Rows, expected: &Rows) {
    let missing: Vec<_> = expected.iter().filter(|(key, score)| found.get(*key) != Some(*score)).take(5).collect();
    let extra: Vec<_> = found.iter().filter(|(key, score)| expected.get(*key) != Some(*score)).take(5).collect();
    assert!(missing.is_empty() && extra.is_empty(), "missing or other: {missing:?}\nextra or other: {extra:?}");
    assert_eq!(found.len(), expected.len());
}

fn a_first_labelling_equals_the_independent_result(name: &str, file: &str, conversations: usize, notes: usize) {
    let Some((house, dir)) = house() else { return };
    let expected = expected(&dir, name);
    assert_eq!(expected.len(), conversations + notes, "the rows that the issue names");
    apply(&house, &dir, file);
    let job = house.run(Filter::all());

    assert_equal(&changes(&house, job.id), &expected);
    assert_equal(&standing(&house), &expected);
    house.check();

    // Counts that follow from the rows.
    let mut items: BTreeMap<&str, u64> = BTreeMap::new();
    let mut topics: BTreeMap<&str, (BTreeMap<&str, ()>, i64)> = BTreeMap::new();
    for (item, _, _, topic) in expected.keys() {
        *items.entry(item).or_default() += 1;
        let (of_topic, blocks) = topics.entry(topic).or_default();
        of_topic.insert(item, ());
        *blocks += 1;
    }
    assert_eq!(job.state, JobState::Completed);
    assert_eq!(job.counts.total, Some(22_140 + 3_534));
    assert_eq!(job.labels.added, expected.len() as i64);
    let outcome = |word: &str| job.outcomes.iter().find(|(name, _)| name == word).map_or(0, |(_, n)| *n);
    let nothing = job.reasons.iter().find(|(name, _)| name == "no_topics_detected").map_or(0, |(_, n)| *n);
    assert_eq!(outcome("changed"), items.len() as i64);
    assert_eq!(nothing, job.counts.failed);
    assert_eq!(outcome("changed") + outcome("program_has_no_topics") + nothing, 22_140 + 3_534);
    let counted = house.store.topic_counts(None, None).unwrap();
    let by_rows: BTreeMap<String, (i64, i64)> =
        topics.into_iter().map(|(topic, (items, blocks))| (topic.to_owned(), (items.len() as i64, blocks))).collect();
    assert_eq!(counted.topics, by_rows);
    assert!(counted.programs.values().all(|(_, stale)| *stale == 0), "{:?}", counted.programs);

    // The same again changes nothing.
    let again = house.run(Filter::all());
    assert_eq!((again.labels.added, again.labels.removed, again.labels.updated), (0, 0, 0));
    assert_eq!(again.labels.kept, expected.len() as i64);
    assert_equal(&standing(&house), &expected);
}

#[test]
fn the_default_catalogue_gives_the_independent_result() {
    a_first_labelling_equals_the_independent_result("default", "catalogue.json", 62_695, 2_469);
}

#[test]
fn the_exact_catalogue_gives_the_independent_result() {
    a_first_labelling_equals_the_independent_result("exact", "catalogue.exact.json", 49_314, 1_410);
}
