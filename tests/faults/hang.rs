//! Items whose analysis never ends.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Drill, conversation, counts, faulty, faulty_note, innocents, labels_of};

#[test]
fn a_hanging_item_holds_up_no_other_job() {
    let mut drill = Drill::new();
    let mut hanging = conversation("hanging", &["fault:hang"]);
    hanging["started_at"] = json!("2026-10-10T10:00:00Z");
    drill.stock(innocents(500).into_iter().chain([hanging, faulty_note("live", "")]));
    let hung = drill.publish_as(json!({"from": "2026-10-01", "until": "2026-11-01"}));
    drill.await_analyses(1);

    let job = drill.publish();
    assert_eq!(drill.ended(&job)["state"], "completed");
    assert_eq!(drill.labels(), labels_of(500));
    let live = drill.publish_note("live");
    assert_eq!(drill.ended(&live)["state"], "completed");
    // There is no border of an item to stop at; a new start brings it.
    assert_eq!(drill.steer(&hung, "cancel")["state"], "cancelling");
    drill.kill();
    assert_eq!(drill.job(&hung)["state"], "cancelled");
    drill.close();
}

#[test]
fn an_item_that_hangs_is_quarantined_and_every_other_is_done() {
    let mut drill = Drill::with(&["--max-item-seconds", "3"]);
    let mut items = innocents(100);
    items.insert(50, faulty("hanging", "fault:hang kestrel"));
    drill.stock(items);
    let job = drill.publish();
    let job = drill.ended(&job);
    assert_eq!(job["state"], "completed_with_failures", "{job}");
    assert_eq!([counts(&job, "done"), counts(&job, "quarantined")], [100, 1], "{job}");
    // It ended by itself, and not well: else systemd would not start it again.
    assert_eq!(drill.deaths.len(), 3, "{:?}", drill.deaths);
    assert!(drill.deaths.iter().all(|death| death.code().is_some_and(|code| code != 0)), "{:?}", drill.deaths);
    assert!(drill.logs.contains("ERROR") && !drill.log().contains("kestrel"), "{}", drill.logs);
    let mut rows = drill.items(&job);
    let hanging = rows.remove("hanging").unwrap();
    assert_eq!([&hanging["state"], &hanging["attempts"]], [&json!("quarantined"), &json!(3)], "{hanging}");
    for row in rows.values() {
        assert_eq!([&row["state"], &row["attempts"]], [&json!("done"), &json!(1)], "{row}");
    }
    assert_eq!(drill.labels(), labels_of(100));
    drill.close();
}

#[test]
fn an_item_that_is_only_slow_is_left_alone() {
    let mut drill = Drill::with(&["--max-item-seconds", "2"]);
    // Together they take longer than one of them may.
    drill.stock((0..40).map(|n| faulty(&format!("s-{n}"), "fault:slow 100")));
    let job = drill.publish();
    assert_eq!(drill.ended(&job)["state"], "completed");
    assert!(drill.deaths.is_empty(), "{:?}", drill.deaths);
    drill.close();
}

#[test]
fn sigterm_ends_a_daemon_in_which_an_item_hangs() {
    let mut drill = Drill::new();
    drill.stock([conversation("hanging", &["fault:hang"])]);
    let job = drill.publish();
    drill.await_analyses(1);
    let asked = Instant::now();
    drill.process.signal("TERM");
    let ended = drill.process.wait();
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
    assert!(ended.code().is_some(), "{ended}");
    drill.revive();
    assert_eq!(counts(&drill.job(&job), "quarantined"), 0, "it was asked to end");
    drill.steer(&job, "cancel");
}

#[test]
fn an_item_that_is_being_analysed_when_the_daemon_is_stopped_is_not_charged() {
    let mut drill = Drill::new();
    drill.stock([faulty("slow", "fault:slow 14000")]);
    let job = drill.publish();
    for _ in 0..3 {
        drill.await_analyses(1);
        drill.process.signal("TERM");
        assert_eq!(drill.process.wait().code(), Some(0), "a stop like any other");
        drill.revive();
    }
    let job = drill.ended(&job);
    assert_eq!((&job["state"], counts(&job, "done")), (&json!("completed"), 1), "{job}");
    drill.close();
}
