//! The nine rules of contract.md 4, through the store and the running engine; tests are named after them.

mod common;

use std::collections::BTreeMap;

use common::stub::Gate;
use common::{House, NOW, by_phrases, conversation, note, publish_single, wish};
use relabeld::job::{Filter, Job, JobState, LabelCounts, Outcome, TaskState};
use relabeld::model::Kind::{self, Conversation, Note};
use relabeld::store::{Error, MarkWish, TaskRow};
use serde_json::json;

/// A catalogue of (topic, its programs, its phrases).
fn topics(topics: &[(&str, &[&str], &[&str])]) -> String {
    let topics: Vec<_> = topics
        .iter()
        .map(|(id, programs, phrases)| json!({"id": id, "name": id, "programs": programs, "phrases": phrases}))
        .collect();
    json!({ "topics": topics }).to_string()
}

/// The labels that stand on an item as `block:topic`, a `!` behind those of a person.
fn labels(house: &House, kind: Kind, id: &str) -> String {
    let labels = house.store.show_item(kind, id).unwrap().labels;
    let word = |l: &relabeld::store::ShownLabel| format!("{}:{}{}", l.block, l.topic, if l.human { "!" } else { "" });
    let mut words: Vec<String> = labels.iter().map(word).collect();
    words.sort();
    words.join(" ")
}

fn of(house: &House, id: &str) -> String {
    labels(house, Conversation, id)
}

fn said(id: &str, programs: &[&str], texts: &[&str]) -> String {
    let blocks: Vec<(&str, &str)> = texts.iter().map(|text| ("customer", *text)).collect();
    conversation(id, programs, &blocks)
}

fn mark(house: &House, id: &str, block: u32, topic: &str, is: Option<bool>) {
    let wish = MarkWish { transcript: "t1".into(), block, topic: topic.into(), is };
    house.store.mark_item(Conversation, id, vec![wish], NOW).unwrap();
}

fn tasks(house: &House, job: &Job) -> BTreeMap<String, TaskRow> {
    house.store.task_rows(job.id, 0).unwrap().into_iter().map(|row| (row.id.clone(), row)).collect()
}

fn outcomes(job: &Job) -> BTreeMap<&str, i64> {
    job.outcomes.iter().chain(&job.reasons).map(|(word, n)| (word.as_str(), *n)).collect()
}

fn in_programs(programs: &[&str]) -> Filter {
    Filter { programs: programs.iter().map(|id| (*id).to_owned()).collect(), ..Filter::all() }
}

/// Per program: its items, and those not read by its present rules.
fn coverage(house: &House) -> BTreeMap<String, (i64, i64)> {
    house.store.topic_counts(None, None).unwrap().programs
}

fn alpha_and_beta(house: &House) {
    house.apply(&topics(&[("a", &["p"], &["alpha"]), ("b", &["p"], &["beta"])]));
}

// Rule 1 -------------------------------------------------------------------------------------------------------------

#[test]
fn rule_1_an_item_is_selected_by_time_kind_media_and_any_program() {
    let house = House::new();
    house.apply(&topics(&[("a", &["p"], &["alpha"])]));
    let at = |id: &str, media: &str, second: u32, programs: &[&str]| {
        json!({"kind": "conversation", "id": id, "media": media, "started_at": 1_000 + second, "programs": programs,
            "transcripts": [{"id": "t", "blocks": [{"speaker": "agent", "text": "alpha"}]}]})
        .to_string()
    };
    house.import(&[
        at("before", "voice", 9, &["p"]),
        at("first", "voice", 10, &["p"]),
        at("two-programs", "voice", 15, &["q", "p"]),
        at("other-program", "voice", 15, &["q"]),
        at("other-media", "chat", 15, &["p"]),
        at("last", "voice", 19, &["p"]),
        at("after", "voice", 20, &["p"]),
        json!({"kind": "note", "id": "a-note", "version": 1, "created_at": 1_015, "programs": ["p"], "text": "alpha"})
            .to_string(),
    ]);
    let range = Filter { from: Some(1_010_000), until: Some(1_020_000), ..in_programs(&["p"]) };
    let selected = |filter: Filter| -> Vec<String> {
        let job = house.run(filter);
        let mut ids: Vec<String> = tasks(&house, &job).into_keys().collect();
        ids.sort();
        ids
    };
    let voice = Filter { media: vec!["voice".into()], types: vec![Conversation], ..range.clone() };
    assert_eq!(selected(voice), ["first", "last", "two-programs"]);
    assert_eq!(selected(Filter { types: vec![Note], ..range.clone() }), ["a-note"]);
    assert_eq!(selected(range), ["a-note", "first", "last", "other-media", "two-programs"]);
    house.check();
}

#[test]
fn rule_1_the_whole_item_is_reprocessed() {
    let house = House::new();
    house.apply(&topics(&[("a", &["p"], &["alpha"])]));
    let line = json!({"kind": "conversation", "id": "c", "media": "chat", "started_at": "2026-11-10", "programs": ["q"],
        "transcripts": [
            {"id": "t1", "program": "p", "blocks": [{"speaker": "agent", "text": "alpha"}, {"speaker": "customer", "text": "alpha"}]},
            {"id": "t2", "program": "q", "blocks": [{"speaker": "bot", "text": ""}, {"speaker": "bot", "text": "alpha"}]}]});
    house.import(&[line.to_string()]);
    house.run(in_programs(&["p"]));
    let labels = house.store.show_item(Conversation, "c").unwrap().labels;
    let places: Vec<_> = labels.iter().map(|label| (label.transcript.as_str(), label.block)).collect();
    assert_eq!(places, [("t1", 0), ("t1", 1), ("t2", 1)]);
}

// Rule 2 -------------------------------------------------------------------------------------------------------------

#[test]
fn rule_2_a_block_keeps_what_it_has_where_nothing_is_found_and_is_replaced_where_something_is() {
    let house = House::new();
    house.import(&[said("c", &["p"], &["alpha", "beta", "alpha beta", "nothing"])]);
    alpha_and_beta(&house);
    house.run(Filter::all());
    assert_eq!(of(&house, "c"), "0:a 1:b 2:a 2:b");

    house.apply(&topics(&[("a", &["p"], &["beta"]), ("b", &["p"], &["gamma"])]));
    let job = house.run(Filter::all());
    assert_eq!(of(&house, "c"), "0:a 1:a 2:a");
    assert_eq!(job.labels, LabelCounts { added: 1, removed: 2, updated: 1, kept: 1 });
    assert_eq!(outcomes(&job), [("changed", 1)].into());

    let again = house.run(Filter::all());
    assert_eq!(again.labels, LabelCounts { kept: 3, ..LabelCounts::default() });
    assert_eq!(outcomes(&again), [("unchanged", 1)].into());
    house.check();
}

#[test]
fn rule_2_a_topic_that_the_program_formerly_had_goes_only_where_another_is_found() {
    let house = House::new();
    house.import(&[said("c", &["p"], &["alpha beta", "alpha"])]);
    house.apply(&topics(&[("a", &["p"], &["alpha"])]));
    house.run(Filter::all());
    assert_eq!(of(&house, "c"), "0:a 1:a");
    house.apply(&topics(&[("b", &["p"], &["beta"])]));
    house.apply(&topics(&[("b", &["p"], &["beta"]), ("c", &["p"], &["gamma"])]));
    house.run(Filter::all());
    assert_eq!(of(&house, "c"), "0:b 1:a");
}

#[test]
fn rule_2_topics_outside_the_jobs_programs_are_neither_found_nor_removed() {
    let house = House::new();
    house.import(&[said("c", &["p", "q"], &["alpha beta"])]);
    house.apply(&topics(&[("a", &["p"], &["alpha"]), ("b", &["q"], &["beta"])]));
    house.run(in_programs(&["q"]));
    assert_eq!(of(&house, "c"), "0:b");
    house.apply(&topics(&[("a", &["p"], &["alpha"]), ("b", &["q"], &["gone"])]));
    house.run(in_programs(&["p"]));
    assert_eq!(of(&house, "c"), "0:a 0:b");
    house.run(Filter { keep_when_empty: false, ..in_programs(&["p"]) });
    assert_eq!(of(&house, "c"), "0:a 0:b");
}

#[test]
fn rule_2_without_keep_when_empty_every_block_is_replaced() {
    let house = House::new();
    house.import(&[said("c", &["p"], &["alpha", "beta"]), said("d", &["p"], &["alpha"])]);
    alpha_and_beta(&house);
    house.run(Filter::all());
    house.apply(&topics(&[("a", &["p"], &["delta"]), ("b", &["p"], &["beta"])]));
    let job = house.run(Filter { keep_when_empty: false, ..Filter::all() });
    assert_eq!((of(&house, "c").as_str(), of(&house, "d").as_str()), ("1:b", ""));
    assert_eq!(job.labels, LabelCounts { removed: 2, kept: 1, ..LabelCounts::default() });
    house.check();
}

// Rule 3 -------------------------------------------------------------------------------------------------------------

#[test]
fn rule_3_marks_set_before_a_job_outlast_it() {
    let house = House::new();
    house.import(&[said("c", &["p"], &["alpha", "alpha", "none"])]);
    alpha_and_beta(&house);
    mark(&house, "c", 0, "a", Some(false));
    mark(&house, "c", 1, "a", Some(true));
    mark(&house, "c", 2, "b", Some(true));
    assert_eq!(of(&house, "c"), "1:a! 2:b!");
    for keep_when_empty in [true, false] {
        house.run(Filter { keep_when_empty, ..Filter::all() });
        assert_eq!(of(&house, "c"), "1:a! 2:b!");
    }
    let marks = house.store.show_item(Conversation, "c").unwrap().marks;
    assert_eq!(marks.iter().map(|mark| (mark.block, mark.is)).collect::<Vec<_>>(), [(0, false), (1, true), (2, true)]);
    house.check();
}

#[test]
fn rule_3_marks_set_after_a_job_work_at_once_and_to_stay() {
    let house = House::new();
    house.import(&[said("c", &["p"], &["alpha", "alpha", "alpha"])]);
    alpha_and_beta(&house);
    house.run(Filter::all());
    mark(&house, "c", 0, "a", Some(false));
    mark(&house, "c", 1, "a", Some(true));
    assert_eq!(of(&house, "c"), "1:a! 2:a");
    house.run(Filter::all());
    assert_eq!(of(&house, "c"), "1:a! 2:a");

    // Taken away again, the rules have their say from the next job on: the item is not fresh any more.
    assert_eq!(coverage(&house)["p"], (1, 0));
    mark(&house, "c", 0, "a", None);
    mark(&house, "c", 1, "a", None);
    assert_eq!(of(&house, "c"), "2:a");
    assert_eq!(coverage(&house)["p"], (1, 1));
    house.run(Filter { stale_only: true, ..Filter::all() });
    assert_eq!(of(&house, "c"), "0:a 1:a 2:a");
    house.check();
}

#[test]
fn rule_3_imported_marks_count_as_any_other() {
    let house = House::new();
    alpha_and_beta(&house);
    let marked = |marks: serde_json::Value| {
        let mut line: serde_json::Value = serde_json::from_str(&said("c", &["p"], &["alpha", "none"])).unwrap();
        line["marks"] = marks;
        line.to_string()
    };
    house.import(&[marked(json!([{"transcript": "t1", "block": 0, "topic": "a", "mark": "is_not"},
        {"transcript": "t1", "block": 1, "topic": "unheard-of", "mark": "is"}]))]);
    let job = house.run(Filter::all());
    assert_eq!(of(&house, "c"), "1:unheard-of!");
    assert_eq!(outcomes(&job), [("no_topics_detected", 1)].into(), "what is denied is not detected");
    house.import(&[marked(json!([]))]);
    assert_eq!(of(&house, "c"), "");
    house.run(Filter::all());
    assert_eq!(of(&house, "c"), "0:a");
    house.check();
}

// Rule 4 -------------------------------------------------------------------------------------------------------------

#[test]
fn rule_4_nothing_detected_fails_the_task_and_not_the_job() {
    let house = House::new();
    alpha_and_beta(&house);
    house.import(&[said("kept", &["p"], &["alpha"]), said("one-block", &["p"], &["x", "", "beta"])]);
    house.run(Filter::all());
    house.apply(&topics(&[("a", &["p"], &["delta"]), ("b", &["p"], &["beta"])]));
    let job = house.run(Filter::all());
    assert_eq!(job.state, JobState::Completed);
    assert_eq!((job.counts.done, job.counts.failed, job.errors), (1, 1, 0));
    assert_eq!(outcomes(&job), [("no_topics_detected", 1), ("unchanged", 1)].into());
    let tasks = tasks(&house, &job);
    let failed = &tasks["kept"];
    assert_eq!((failed.state, failed.reason.as_deref()), (TaskState::Failed, Some("no_topics_detected")));
    assert_eq!(failed.attempts, 1, "it is not retried");
    assert_eq!(of(&house, "kept"), "0:a");

    // Where kept labels may go there is no such failure.
    let job = house.run(Filter { keep_when_empty: false, ..Filter::all() });
    assert_eq!(outcomes(&job), [("changed", 1), ("unchanged", 1)].into());
    let job = house.run(Filter { keep_when_empty: false, ..Filter::all() });
    assert_eq!(outcomes(&job), [("unchanged", 2)].into());
    house.check();
}

// Rule 5 -------------------------------------------------------------------------------------------------------------

#[test]
fn rule_5_a_program_without_topics_leaves_labels_untouched() {
    let house = House::new();
    alpha_and_beta(&house);
    house.import(&[said("c", &["p", "empty"], &["alpha"]), said("d", &[], &["alpha"])]);
    house.run(Filter::all());
    for filter in [in_programs(&["empty"]), Filter { keep_when_empty: false, ..in_programs(&["empty"]) }] {
        let job = house.run(filter);
        assert_eq!((job.state, outcomes(&job)), (JobState::Completed, [("program_has_no_topics", 1)].into()));
        assert_eq!(of(&house, "c"), "0:a");
    }
    // An item of program `default`, which has none; and a program that has none any more.
    assert_eq!(outcomes(&house.run(in_programs(&["default"]))), [("program_has_no_topics", 1)].into());
    house.apply(&topics(&[("z", &["other"], &["zeta"])]));
    assert_eq!(outcomes(&house.run(in_programs(&["p"]))), [("program_has_no_topics", 1)].into());
    assert_eq!(of(&house, "c"), "0:a");
    assert_eq!(coverage(&house)["p"], (1, 0), "read, with nothing to look for");
    house.check();
}

// Rule 6 -------------------------------------------------------------------------------------------------------------

/// A house of one worker with a job that stands in the analysis of `id`.
fn standing_at(id: &str, lines: &[String], filter: Filter) -> (House, Gate, i64) {
    let gate = Gate::closed_for(&[id]);
    let house = House::with(1, gate.labeller());
    alpha_and_beta(&house);
    house.import(lines);
    let job = house.publish(filter);
    assert_eq!(gate.arrival(), id);
    (house, gate, job)
}

#[test]
fn rule_6_an_item_changed_between_reading_and_commit_is_read_again() {
    let (house, gate, job) = standing_at("c", &[said("c", &["p"], &["alpha", "alpha"])], Filter::all());
    house.import(&[said("c", &["p"], &["beta", "x"])]);
    gate.let_one_go();
    gate.arrival();
    gate.let_one_go();
    let job = house.ended(job);
    assert_eq!(of(&house, "c"), "0:b", "labels of old text are never written");
    let changes = house.store.changes_after(0, 100).unwrap();
    assert!(changes.iter().all(|change| change.new.as_ref().is_some_and(|label| label.topic == "b")), "{changes:?}");
    assert_eq!(outcomes(&job), [("changed", 1)].into());
    assert_eq!(tasks(&house, &job)["c"].attempts, 1, "the item's change is nobody's failure");
    house.check();
}

#[test]
fn rule_6_an_item_erased_between_reading_and_commit_is_gone() {
    let lines = [said("c", &["p"], &["alpha"]), said("d", &["p"], &["alpha"])];
    let (house, gate, job) = standing_at("c", &lines, Filter::all());
    house.store.erase_item(Conversation, "c", NOW).unwrap();
    house.store.erase_item(Conversation, "d", NOW).unwrap();
    gate.let_one_go();
    let job = house.ended(job);
    assert_eq!(outcomes(&job), [("gone", 2)].into());
    assert_eq!(tasks(&house, &job)["c"].outcome, Some(Outcome::Gone), "the key stays");
    let history = house.store.changes_after(0, 100).unwrap();
    assert!(history.iter().all(|change| change.old.is_none() && change.new.is_none()), "{history:?}");
    house.check();
}

#[test]
fn rule_6_an_item_erased_and_imported_again_is_read_anew() {
    let (house, gate, job) = standing_at("c", &[said("c", &["p"], &["alpha"])], Filter::all());
    house.store.erase_item(Conversation, "c", NOW).unwrap();
    house.import(&[said("c", &["p"], &["beta"])]);
    gate.let_one_go();
    gate.arrival();
    gate.let_one_go();
    assert_eq!(outcomes(&house.ended(job)), [("changed", 1)].into());
    assert_eq!(of(&house, "c"), "0:b");
    house.check();
}

#[test]
fn rule_6_an_item_that_no_longer_fits_is_gone() {
    let until = Filter { until: Some(relabeld::when::now()), ..in_programs(&["p"]) };
    let lines = ["c", "program", "time", "stays"].map(|id| said(id, &["p"], &["alpha"]));
    let (house, gate, job) = standing_at("c", &lines, until);
    let later = said("time", &["p"], &["alpha"]).replace("2026-11-10", "2126-11-10");
    house.import(&[said("program", &["q"], &["alpha"]), later]);
    gate.let_one_go();
    let job = house.ended(job);
    let tasks = tasks(&house, &job);
    assert_eq!(["c", "stays"].map(|id| tasks[id].outcome), [Some(Outcome::Changed); 2]);
    assert_eq!(["program", "time"].map(|id| tasks[id].outcome), [Some(Outcome::Gone); 2]);
    assert_eq!((of(&house, "program"), of(&house, "time")), (String::new(), String::new()));
    house.check();
}

#[test]
fn rule_6_an_old_note_version_is_refused_when_asked_and_an_outcome_later() {
    let gate = Gate::closed_for(&["n"]);
    let house = House::with(1, gate.labeller());
    alpha_and_beta(&house);
    house.import(&[note("n", 2, &["p"], "alpha")]);
    let asked = |version| publish_single(&house.store, Note, "n", version);
    assert!(matches!(asked(Some(1)), Err(Error::StaleVersion(_))));
    assert!(matches!(asked(Some(3)), Err(Error::StaleVersion(_))));
    assert!(matches!(publish_single(&house.store, Note, "none", None), Err(Error::NotFound(_))));

    let job = asked(Some(2)).unwrap();
    house.engine.wake();
    gate.arrival();
    house.import(&[note("n", 3, &["p"], "beta")]);
    gate.let_one_go();
    let job = house.ended(job.id);
    assert_eq!(outcomes(&job), [("stale_version", 1)].into());
    assert_eq!(labels(&house, Note, "n"), "");

    gate.open_for("n");
    let job = publish_single(&house.store, Note, "n", None).unwrap();
    house.engine.wake();
    assert_eq!(outcomes(&house.ended(job.id)), [("changed", 1)].into());
    assert_eq!(labels(&house, Note, "n"), "0:b");
    house.check();
}

// Rule 7 -------------------------------------------------------------------------------------------------------------

/// Holds a job of the first revision after its first item, `c0`.
fn held_after_its_first_item(lines: &[String]) -> (House, i64) {
    let (house, gate, job) = standing_at("c0", lines, Filter::all());
    house.engine.pause(job).unwrap();
    gate.open_for("c0");
    gate.let_one_go();
    let held = house.wait_for(job, |job| job.counts.running == 0);
    assert_eq!((held.state, held.counts.done), (JobState::Paused, 1));
    (house, job)
}

#[test]
fn rule_7_a_paused_job_keeps_its_rules_and_its_hands_off_what_newer_rules_have_read() {
    let lines = ["c0", "c1", "c2"].map(|id| said(id, &["p"], &["alpha beta"]));
    let mut all = lines.to_vec();
    all.push(said("unread-by-newer", &["p"], &["alpha beta"]).replace("\"chat\"", "\"voice\""));
    let (house, older) = held_after_its_first_item(&all);
    house.apply(&topics(&[("a", &["p"], &["gamma"]), ("b", &["p"], &["beta"])]));
    let newer = house.run(Filter { media: vec!["chat".into()], ..Filter::all() });
    assert_eq!(newer.counts.done, 3);
    assert_eq!((of(&house, "c0"), of(&house, "c1")), ("0:b".into(), "0:b".into()));

    house.engine.resume(older).unwrap();
    let older = house.ended(older);
    assert_eq!(outcomes(&older), [("changed", 2), ("superseded", 2)].into());
    assert_eq!(of(&house, "c1"), "0:b");
    assert_eq!(of(&house, "unread-by-newer"), "0:a 0:b", "by the rules of when it was published");
    assert_eq!(coverage(&house)["p"], (4, 1));
    house.check();
}

#[test]
fn rule_7_is_per_program() {
    let lines = ["c0", "c1"].map(|id| said(id, &["p", "q"], &["alpha beta eta"]));
    let gate = Gate::closed_for(&["c0"]);
    let house = House::with(1, gate.labeller());
    house.apply(&topics(&[("a", &["p"], &["alpha"]), ("e", &["q"], &["eta"])]));
    house.import(&lines);
    let older = house.publish(Filter::all());
    gate.arrival();
    house.engine.pause(older).unwrap();
    gate.open_for("c0");
    gate.let_one_go();
    house.wait_for(older, |job| job.counts.running == 0);
    house.apply(&topics(&[("a", &["p"], &["none"]), ("b", &["p"], &["beta"]), ("e", &["q"], &["none"])]));
    house.run(in_programs(&["p"]));
    assert_eq!((of(&house, "c0"), of(&house, "c1")), ("0:b 0:e".into(), "0:b".into()));

    house.engine.resume(older).unwrap();
    let older = house.ended(older);
    assert_eq!(outcomes(&older), [("changed", 2)].into(), "something was left to do: program q");
    assert_eq!(of(&house, "c1"), "0:b 0:e");
    house.check();
}

#[test]
fn rule_7_rules_stay_frozen_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::closed_for(&["c0"]);
    let house = House::open(dir.path(), 1, gate.labeller());
    alpha_and_beta(&house);
    house.import(&["c0", "c1"].map(|id| said(id, &["p"], &["alpha"])));
    let job = house.publish(Filter::all());
    gate.arrival();
    house.engine.pause(job).unwrap();
    gate.let_one_go();
    house.wait_for(job, |job| job.counts.running == 0);
    house.apply(&topics(&[("a", &["p"], &["gamma"])]));
    drop(house);

    let house = House::open(dir.path(), 1, by_phrases());
    assert_eq!(house.store.job(job).unwrap().state, JobState::Paused, "held over a restart");
    house.engine.resume(job).unwrap();
    assert_eq!(outcomes(&house.ended(job)), [("changed", 2)].into());
    assert_eq!(of(&house, "c1"), "0:a");
    house.check();
}

// Rule 9 (rule 8 has a file of its own) ------------------------------------------------------------------------------

#[test]
fn rule_9_a_finish_that_comes_late_has_no_effect() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::closed_for(&["c0"]);
    let lost = House::open(dir.path(), 1, gate.labeller());
    alpha_and_beta(&lost);
    lost.import(&["c0", "c1"].map(|id| said(id, &["p"], &["alpha", "beta"])));
    let job = lost.publish(Filter::all());
    gate.arrival();

    // A second engine takes over while the first still has an item under its hands.
    let house = House::open(dir.path(), 2, by_phrases());
    assert_eq!(house.engine.recovered().suspects, 1);
    let ended = house.ended(job);
    assert_eq!(ended.labels.added, 4);
    let history = house.store.changes_after(0, 100).unwrap();
    gate.let_one_go();
    drop(lost);

    assert_eq!(house.store.job(job).unwrap(), ended);
    assert_eq!(house.store.changes_after(0, 100).unwrap(), history);
    assert_eq!(history.len(), 4, "one row of history a label");
    house.check();
}

#[test]
fn rule_9_counters_equal_rows_at_every_commit() {
    let house = House::with(3, by_phrases());
    alpha_and_beta(&house);
    let texts = ["alpha", "beta", "none", "alpha beta"];
    let lines: Vec<String> = (0..900).map(|n| said(&format!("c{n}"), &["p"], &[texts[n % 4]])).collect();
    house.import(&lines);
    let job = house.store.publish_range(wish(Filter::all()), 0, NOW).unwrap().job;
    house.engine.wake();
    let looks = std::cell::Cell::new(0);
    let ended = house.wait_for(job.id, |job| {
        house.check();
        looks.set(looks.get() + 1);
        job.state.ended()
    });
    assert!(looks.get() > 1);
    assert_eq!(outcomes(&ended), [("changed", 675), ("no_topics_detected", 225)].into());
    assert_eq!(ended.labels.added, 900);
}

// Freshness ----------------------------------------------------------------------------------------------------------

#[test]
fn freshness_is_kept_per_program_and_also_when_nothing_was_detected() {
    let house = House::new();
    house.import(&[said("c", &["p", "q"], &["nothing"]), said("d", &["p"], &["alpha"]), note("n", 1, &["q"], "x")]);
    house.apply(&topics(&[("a", &["p"], &["alpha"]), ("b", &["q"], &["beta"])]));
    assert_eq!(coverage(&house), [("p".into(), (2, 2)), ("q".into(), (2, 2))].into());
    house.run(in_programs(&["p"]));
    assert_eq!(coverage(&house), [("p".into(), (2, 0)), ("q".into(), (2, 2))].into());
    house.run(Filter { stale_only: true, ..Filter::all() });
    assert_eq!(coverage(&house), [("p".into(), (2, 0)), ("q".into(), (2, 0))].into());

    // Other topics of one program make its items stale, and a new name of a topic nobody's.
    house.apply(&topics(&[("a", &["p"], &["alpha", "aleph"]), ("b", &["q"], &["beta"])]));
    assert_eq!(coverage(&house), [("p".into(), (2, 2)), ("q".into(), (2, 0))].into());
    let renamed = topics(&[("a", &["p"], &["alpha", "aleph"]), ("b", &["q"], &["beta"])]);
    house.run(Filter::all());
    house.apply(&renamed.replace("\"name\":\"b\"", "\"name\":\"B\""));
    assert_eq!(coverage(&house), [("p".into(), (2, 0)), ("q".into(), (2, 0))].into());
    // Another version of the labeller makes all stale.
    let store = &house.store;
    store.apply_catalogue(common::catalogue(&renamed), "phrases/next", true, None, NOW).unwrap();
    assert_eq!(coverage(&house), [("p".into(), (2, 2)), ("q".into(), (2, 2))].into());
    house.check();
}

#[test]
fn freshness_stale_only_skips_what_is_fresh_until_its_text_changes() {
    let house = House::new();
    alpha_and_beta(&house);
    let lines = [said("c", &["p"], &["alpha"]), said("none", &["p"], &["x"]), note("n", 1, &["p"], "beta")];
    house.import(&lines);
    let stale_only = || Filter { stale_only: true, ..Filter::all() };
    // What a count finds stale is what a job does not skip.
    let stale = || house.store.count(&stale_only()).unwrap().total;
    assert_eq!(stale(), 3);
    assert_eq!(outcomes(&house.run(stale_only())), [("changed", 2), ("no_topics_detected", 1)].into());
    assert_eq!(stale(), 0);
    assert_eq!(outcomes(&house.run(stale_only())), [("skipped_current", 3)].into());

    // A new time is no new text.
    house.import(&[lines[0].replace("2026-11-10", "2026-11-12"), said("none", &["p"], &["alpha"])]);
    house.import(&[note("n", 2, &["p"], "beta\n\nalpha")]);
    assert_eq!(coverage(&house)["p"], (3, 2));
    assert_eq!(stale(), 2);
    assert_eq!(outcomes(&house.run(stale_only())), [("changed", 2), ("skipped_current", 1)].into());
    assert_eq!(labels(&house, Note, "n"), "0:b 1:a");

    // A program that comes later is not fresh: the item is read again.
    house.import(&[said("c", &["p", "q"], &["alpha"])]);
    house.apply(&topics(&[("a", &["p"], &["alpha"]), ("b", &["p"], &["beta"]), ("q", &["q"], &["alpha"])]));
    assert_eq!(outcomes(&house.run(stale_only())), [("changed", 1), ("skipped_current", 2)].into());
    assert_eq!(of(&house, "c"), "0:a 0:q");
    house.check();
}
