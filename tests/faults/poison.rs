//! Items that end the process: exactly they are quarantined, and every other item is done.

use std::os::unix::process::ExitStatusExt;

use serde_json::{Value, json};

use super::{Drill, faulty, faulty_note, innocents, labels_of};

/// `abort` raises it.
const SIGABRT: i32 = 6;

#[track_caller]
fn assert_quarantined(row: &Value, attempts: i64) {
    assert_eq!([&row["state"], &row["attempts"]], [&json!("quarantined"), &json!(attempts)], "{row}");
    assert!(row["reason"].as_str().unwrap().contains("died 3 times"), "{row}");
    assert!(row["outcome"].is_null() && row["finished_at"].is_string(), "{row}");
}

#[track_caller]
fn assert_done(row: &Value, attempts: i64) {
    let seen = [&row["state"], &row["outcome"], &row["attempts"]];
    assert_eq!(seen, [&json!("done"), &json!("changed"), &json!(attempts)], "{row}");
}

#[track_caller]
fn assert_aborted(drill: &Drill, times: std::ops::RangeInclusive<usize>) {
    assert!(times.contains(&drill.deaths.len()), "{:?}", drill.deaths);
    assert!(drill.deaths.iter().all(|death| death.signal() == Some(SIGABRT)), "{:?}", drill.deaths);
}

#[test]
fn a_poisoned_item_is_quarantined_and_every_other_is_done() {
    let mut drill = Drill::new();
    let mut items = innocents(200);
    items.insert(100, faulty("poison", "fault:abort"));
    drill.stock(items);
    let job = drill.publish();
    let job = drill.ended(&job);
    assert_eq!(job["state"], "completed_with_failures");
    assert_eq!([&job["counts"]["done"], &job["counts"]["quarantined"]], [200, 1], "{job}");
    assert_eq!([&job["outcomes"], &job["reasons"]], [&json!({"changed": 200}), &json!({"crashed": 1})]);
    // A list this short is one lease, and so one worker's: it was alone in flight each time.
    assert_aborted(&drill, 3..=3);
    let mut rows = drill.items(&job);
    assert_quarantined(&rows.remove("poison").unwrap(), 3);
    rows.values().for_each(|row| assert_done(row, 1));
    assert_eq!(drill.labels(), labels_of(200));
    drill.close();
}

#[test]
fn two_poisoned_items_of_a_job_are_both_quarantined() {
    const INNOCENTS: usize = 700;
    let mut drill = Drill::new();
    let mut items = innocents(INNOCENTS);
    // In different leases, so that they can be in flight together, and beside innocent ones.
    items.insert(40, faulty("one", "fault:abort"));
    items.insert(300, faulty("other", "fault:abort"));
    drill.stock(items);
    let job = drill.publish();
    let job = drill.ended(&job);
    assert_eq!(job["state"], "completed_with_failures");
    assert_eq!([&job["counts"]["done"], &job["counts"]["quarantined"]], [INNOCENTS, 2], "{job}");
    // Three alone each; whoever was not alone at first was not charged.
    assert_aborted(&drill, 6..=8);
    let not_alone = drill.deaths.len() as i64 - 6;
    let mut rows = drill.items(&job);
    let attempts = ["one", "other"].map(|id| {
        let row = rows.remove(id).unwrap();
        let attempts = row["attempts"].as_i64().unwrap();
        assert_quarantined(&row, attempts.clamp(3, 3 + not_alone));
        attempts
    });
    let mut bystanders = 0;
    for row in rows.values() {
        let again = row["attempts"] == 2;
        assert_done(row, 1 + i64::from(again));
        bystanders += i64::from(again);
    }
    // At each death that nobody was charged with, both workers had something under their hands.
    assert_eq!(attempts.iter().sum::<i64>() + bystanders, 6 + 2 * not_alone, "{rows:?}");
    assert_eq!(drill.labels(), labels_of(INNOCENTS));
    drill.close();
}

#[test]
fn whoever_was_in_flight_beside_it_is_run_again_and_not_charged() {
    let mut drill = Drill::new();
    let mut items = innocents(20);
    items.insert(10, faulty("poison", "fault:abort"));
    items.push(faulty_note("bystander", "fault:slow 5000"));
    drill.stock(items);
    let live = drill.publish_note("bystander");
    drill.await_analyses(1);
    let job = drill.publish();
    let recovered = drill.await_some("a death", |caller| {
        let status = caller.try_call("GET", "/api/v1/status", "").ok()?.json();
        Some(status["recovered"].clone()).filter(|recovered| recovered["suspects"] != 0)
    });
    assert_eq!([&recovered["suspects"], &recovered["quarantined"]], [2, 0], "both were in flight: {recovered}");

    let job = drill.ended(&job);
    let live = drill.job(&live);
    assert_eq!(live["state"], "completed");
    assert_done(&drill.items(&live)["bystander"], 2);
    assert_eq!([&job["counts"]["done"], &job["counts"]["quarantined"]], [20, 1], "{job}");
    assert_aborted(&drill, 4..=4);
    let mut rows = drill.items(&job);
    assert_quarantined(&rows.remove("poison").unwrap(), 4);
    rows.values().for_each(|row| assert_done(row, 1));
    let mut labels = labels_of(20);
    labels.insert(("bystander".into(), "refund".into()));
    assert_eq!(drill.labels(), labels);
    drill.close();
}
