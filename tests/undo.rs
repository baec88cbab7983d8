//! Real conversations relabelled under changing catalogues, with people's marks: what is seen before equals what is done,
//! and what is done can be taken back to the byte.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use common::real::{apply_json, catalogue_of, house};
use common::{House, NOW, by_phrases, conversation, wish};
use relabeld::export::{self, Before, Export, Format, Wanted};
use relabeld::job::{Filter, Job, JobId, JobState, Outcome};
use relabeld::model::Kind;
use relabeld::store::{Again, AgainWish, LabelQuery, MarkWish, NewJob, TaskRow, TopicCounts};
use rusqlite::Connection;
use serde_json::{Value, json};

/// All labels that stand, and all that is counted of them.
#[derive(PartialEq)]
struct State {
    labels: String,
    /// Per topic its items and blocks, and per program its items and those that are stale.
    counts: TopicCounts,
}

fn text_of(mut export: Export) -> String {
    let mut text = String::new();
    export.read_to_string(&mut text).unwrap();
    text
}

fn state(house: &House) -> State {
    let query = LabelQuery { filter: Filter::all(), topics: Vec::new() };
    State {
        labels: text_of(export::labels(Arc::clone(&house.store), query, Format::Csv)),
        counts: house.store.topic_counts(None, None).unwrap(),
    }
}

#[track_caller]
fn assert_same(now: &State, before: &State) {
    let difference = now.labels.lines().zip(before.labels.lines()).find(|(now, before)| now != before);
    assert_eq!(difference, None);
    assert_eq!(now.labels.len(), before.labels.len());
    assert_eq!(now.counts, before.counts);
}

fn diff(house: &House, job: JobId) -> String {
    text_of(export::job_labels(Arc::clone(&house.store), job, Wanted::All, Before::Shown, Format::Ndjson))
}

fn run(house: &House, wish: NewJob) -> Job {
    let job = house.store.publish_range(wish, 0, NOW).unwrap().job;
    house.engine.wake();
    let job = house.ended(job.id);
    assert_eq!(job.state, JobState::Completed);
    job
}

fn again(house: &House, job: JobId, again: Again, dry_run: bool) -> Job {
    let wish = AgainWish {
        again,
        name: None,
        description: None,
        priority: None,
        max_per_second: None,
        dry_run,
        publish: true,
        created_by: "test".into(),
    };
    let job = house.store.publish_again(job, wish, NOW).unwrap().job;
    house.engine.wake();
    let job = house.ended(job.id);
    assert_eq!(job.state, JobState::Completed);
    job
}

fn tasks(house: &House, job: JobId) -> Vec<TaskRow> {
    let mut all: Vec<TaskRow> = Vec::new();
    loop {
        let page = house.store.task_rows(job, all.last().map_or(0, |task| task.pos + 1)).unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// What two jobs have in common that come to the same.
fn sums(job: &Job) -> Value {
    json!([job.outcomes, job.reasons, job.counts, job.labels])
}

/// The catalogue of the data, changed: a topic comes, one is made stricter, one moves to another program, one goes.
fn changed(dir: &Path) -> Value {
    let mut catalogue = catalogue_of(dir, "catalogue.json");
    let topics = catalogue["topics"].as_array_mut().unwrap();
    let at = |topics: &[Value], id: &str| topics.iter().position(|topic| topic["id"] == id).unwrap();
    let stricter = at(topics, "topic-34");
    topics[stricter]["strictness"] = json!(100);
    topics[stricter]["match"] = json!("words");
    let moved = at(topics, "topic-08");
    topics[moved]["programs"] = json!(["insurance", "finance"]);
    topics.remove(at(topics, "topic-20"));
    topics.push(json!({"id": "thanks", "name": "Thanks", "programs": ["airline", "fastfood", "Restaurants", "Hotels"],
        "phrases": ["thank you", "thanks for your help"]}));
    catalogue
}

/// People say of some labels that they are wrong, and of some blocks what they are.
fn mark_some(house: &House, labels: &str) -> usize {
    let mut marked = 0;
    for row in labels.lines().skip(1).step_by(97).take(400) {
        let fields: Vec<&str> = row.split(',').collect();
        let kind = if fields[0] == "note" { Kind::Note } else { Kind::Conversation };
        let wish = |topic: &str, is| MarkWish {
            transcript: fields[3].into(),
            block: fields[4].parse().unwrap(),
            topic: topic.into(),
            is: Some(is),
        };
        let wishes = vec![wish(fields[5], false), wish("topic-34", true), wish("topic-01", false)];
        house.store.mark_item(kind, fields[1], wishes, NOW).unwrap();
        marked += 1;
    }
    marked
}

/// A house whose items were labelled by the catalogue of the data, and marked; and the folder of the data.
fn labelled() -> Option<(House, std::path::PathBuf)> {
    let (house, dir) = house()?;
    apply_json(&house, &catalogue_of(&dir, "catalogue.json"));
    run(&house, wish(Filter::all()));
    assert_eq!(mark_some(&house, &state(&house).labels), 400);
    Some((house, dir))
}

#[test]
fn what_a_dry_run_shows_is_what_the_job_does_and_what_a_revert_takes_back() {
    let Some((house, dir)) = labelled() else { return };
    apply_json(&house, &changed(&dir));
    let before = state(&house);
    for keep_when_empty in [true, false] {
        let filter = Filter { keep_when_empty, ..Filter::all() };
        let dry = run(&house, NewJob { dry_run: true, ..wish(filter.clone()) });
        assert!(dry.labels.added > 1_000 && dry.labels.removed > 100, "{:?}", dry.labels);
        assert_same(&state(&house), &before);

        let job = again(&house, dry.id, Again::Apply, false);
        assert_eq!(sums(&job), sums(&dry));
        assert_eq!((job.revision, job.parent, &job.filter), (dry.revision, Some(dry.id), &dry.filter));
        assert_eq!(diff(&house, job.id), diff(&house, dry.id));
        assert_eq!(house.store.job_topics(job.id).unwrap(), house.store.job_topics(dry.id).unwrap());
        let after = state(&house);
        assert!(after != before);
        house.check();

        // The way back is shown first, too.
        let dry_revert = again(&house, job.id, Again::Revert, true);
        assert_same(&state(&house), &after);
        let revert = again(&house, job.id, Again::Revert, false);
        assert_eq!(sums(&revert), sums(&dry_revert));
        assert_eq!(diff(&house, revert.id), diff(&house, dry_revert.id));
        assert_same(&state(&house), &before);
        assert_eq!(revert.labels.added, job.labels.removed);
        assert_eq!(revert.labels.removed, job.labels.added);
        house.check();

        // A revert is a job like any other.
        let forth = again(&house, revert.id, Again::Revert, false);
        assert_same(&state(&house), &after);
        again(&house, forth.id, Again::Revert, false);
        assert_same(&state(&house), &before);
        house.check();
    }
}

#[test]
fn a_revert_leaves_what_was_changed_since_and_names_it() {
    let Some((house, dir)) = labelled() else { return };
    apply_json(&house, &changed(&dir));
    let before = state(&house);
    let job = run(&house, wish(Filter { keep_when_empty: false, ..Filter::all() }));
    let changed: Vec<TaskRow> =
        tasks(&house, job.id).into_iter().filter(|task| task.outcome == Some(Outcome::Changed)).collect();
    // A hundred items of all those that the job changed, one way or the other.
    let hundred: Vec<&TaskRow> = changed.iter().step_by(changed.len() / 100).take(100).collect();
    let mut names = BTreeSet::new();
    for (n, task) in hundred.iter().enumerate() {
        names.insert((task.kind, task.id.clone()));
        match (n % 2, touched(&house, &job, task)) {
            // A person speaks of a label that the job touched.
            (1, Some(wish)) => house.store.mark_item(task.kind, &task.id, vec![wish], NOW).unwrap(),
            _ => edit_text(&house, task),
        }
    }
    assert_eq!(names.len(), 100);
    let edited = state(&house);

    let revert = again(&house, job.id, Again::Revert, false);
    let left: BTreeSet<(Kind, String)> = tasks(&house, revert.id)
        .into_iter()
        .filter(|task| task.outcome == Some(Outcome::NewerChange))
        .map(|task| (task.kind, task.id))
        .collect();
    assert_eq!(left, names);
    let other = |state: &State, of_them: bool| -> Vec<String> {
        let of = |row: &&str| {
            let mut fields = row.split(',');
            let kind = if fields.next() == Some("note") { Kind::Note } else { Kind::Conversation };
            names.contains(&(kind, fields.next().unwrap_or_default().to_owned())) == of_them
        };
        state.labels.lines().filter(of).map(str::to_owned).collect()
    };
    let reverted = state(&house);
    assert!(other(&reverted, false) == other(&before, false), "all others are as they were");
    assert!(other(&reverted, true) == other(&edited, true), "those that were left are as they were found");
    house.check();
}

/// A person's word on a label of the item that the job changed.
fn touched(house: &House, job: &Job, task: &TaskRow) -> Option<MarkWish> {
    let (changes, _) = house.store.job_changes(job.id, task.pos).unwrap();
    let change = changes.into_iter().find(|change| (change.kind, &change.id) == (task.kind, &task.id))?;
    let label = change.new.or(change.old)?;
    Some(MarkWish { transcript: label.transcript, block: label.block, topic: label.topic, is: Some(false) })
}

/// Another word at the end of every block.
fn edit_text(house: &House, task: &TaskRow) {
    let shown = house.store.show_item(task.kind, &task.id).unwrap().item;
    let at = relabeld::when::rfc3339(shown.at);
    let line = match task.kind {
        Kind::Note => json!({"kind": "note", "id": shown.id, "version": shown.version.unwrap() + 1, "created_at": at,
            "programs": shown.programs, "text": shown.text.unwrap() + " indeed"}),
        Kind::Conversation => {
            let blocks = |blocks: &[relabeld::model::Block]| -> Vec<Value> {
                blocks.iter().map(|b| json!({"speaker": b.speaker, "text": format!("{} indeed", b.text)})).collect()
            };
            let transcripts: Vec<Value> = shown
                .transcripts
                .iter()
                .map(|t| json!({"id": t.id, "program": t.program, "language": t.language, "blocks": blocks(&t.blocks)}))
                .collect();
            json!({"kind": "conversation", "id": shown.id, "media": shown.media, "started_at": at,
                "programs": shown.programs, "transcripts": transcripts})
        }
    };
    assert_eq!(house.import(&[line.to_string()]).counts.updated, 1);
}

#[test]
fn several_jobs_are_undone_newest_first() {
    let Some((house, dir)) = labelled() else { return };
    let first = state(&house);
    let mut states = Vec::new();
    let mut jobs = Vec::new();
    let catalogues = [changed(&dir), catalogue_of(&dir, "catalogue.exact.json"), catalogue_of(&dir, "catalogue.json")];
    let filters = [
        Filter { keep_when_empty: false, ..Filter::all() },
        Filter { programs: vec!["airline".into(), "Hotels".into(), "insurance".into()], ..Filter::all() },
        Filter { stale_only: true, keep_when_empty: false, ..Filter::all() },
    ];
    for (catalogue, filter) in catalogues.iter().zip(filters) {
        apply_json(&house, catalogue);
        states.push(state(&house));
        jobs.push(run(&house, wish(filter)));
        assert!(jobs.last().unwrap().labels.removed > 0, "each takes something away: {:?}", jobs.last());
    }
    let mut outcomes = BTreeMap::new();
    for (job, before) in jobs.iter().zip(&states).rev() {
        let revert = again(&house, job.id, Again::Revert, false);
        for (outcome, n) in revert.outcomes {
            *outcomes.entry(outcome).or_insert(0) += n;
        }
        let now = state(&house);
        assert!(now.labels == before.labels, "job {} is undone to the byte", job.id);
        assert_eq!(now.counts.topics, before.counts.topics);
        house.check();
    }
    assert!(!outcomes.contains_key("newer_change"), "{outcomes:?}");
    assert!(state(&house).labels == first.labels);
}

#[test]
fn items_of_very_many_labels_are_done_and_undone_in_short_pieces() {
    const ITEMS: usize = 600;
    const LABELS: usize = 80;
    let house = House::with(1, by_phrases());
    house.apply(r#"{"topics": [{"id": "t", "name": "T", "phrases": ["alpha"]}]}"#);
    let line = |n| conversation(&format!("c{n:03}"), &["default"], &[("customer", "alpha"); LABELS]);
    house.import(&(0..ITEMS).map(line).collect::<Vec<_>>());
    let job = run(&house, wish(Filter::all()));
    assert_eq!(job.labels.added, (ITEMS * LABELS) as i64);
    let revert = again(&house, job.id, Again::Revert, false);
    assert_eq!(revert.labels.removed, job.labels.added);
    run(&house, wish(Filter::all()));
    house.apply(r#"{"topics": [{"id": "t", "name": "T", "phrases": ["beta"]}]}"#);
    let dropping = run(&house, wish(Filter { keep_when_empty: false, ..Filter::all() }));
    assert_eq!(dropping.labels.removed, job.labels.added);
    house.check();
    let database = Connection::open(house.dir().join("relabeld.db")).unwrap();
    for job in [job.id, revert.id, dropping.id] {
        let longest: i64 =
            database.query_row("SELECT max(n) FROM result WHERE job = ?", [job], |row| row.get(0)).unwrap();
        assert!(longest < 200, "{longest} of a chunk's 256 items at once");
    }
}
