//! Attempts that come to nothing: tried again or not, told without a word of the item, and too many of them.

use std::collections::BTreeSet;

use relabeld::model::Millis;
use serde_json::{Value, json};

use super::{Drill, conversation, counts, faulty, innocent, innocents, labels_of};

/// A word of the items that no log and no error may tell.
const SECRET: &str = "kestrel";

fn time(value: &Value) -> Millis {
    relabeld::when::parse(value.as_str().unwrap(), 0).unwrap()
}

#[test]
fn each_failure_is_its_items_own() {
    let mut drill = Drill::new();
    let faulty = |id: &str, fault: &str| faulty(id, &format!("{fault} {SECRET}"));
    let mut items = innocents(20);
    items.push(faulty("twice", "fault:transient 2"));
    items.push(faulty("always", "fault:transient"));
    items.push(faulty("for good", "fault:permanent"));
    items.push(faulty("panics", "fault:panic"));
    items.push(faulty("unheard of", "fault:odd"));
    items.push(conversation("in passing", &["whose fault:permanent?", "I want my money back"]));
    items.extend((20..40).map(innocent));
    drill.stock(items);
    let job = drill.publish();
    let job = drill.ended(&job);
    assert_eq!(job["state"], "completed_with_failures");
    assert_eq!([counts(&job, "done"), counts(&job, "failed"), counts(&job, "quarantined")], [43, 3, 0], "{job}");
    assert_eq!([&job["outcomes"], &job["reasons"]], [&json!({"changed": 43}), &json!({"error": 3})]);
    assert!(job["error"].is_null(), "{job}");
    assert!(drill.deaths.is_empty() && drill.process.ended().is_none(), "{:?}", drill.deaths);

    let mut rows = drill.items(&job);
    let twice = rows.remove("twice").unwrap();
    assert_eq!([&twice["state"], &twice["attempts"]], [&json!("done"), &json!(3)], "{twice}");
    for (id, attempts, why) in [("always", 3, "transient"), ("for good", 1, "permanent"), ("panics", 1, "panicked")] {
        let row = rows.remove(id).unwrap();
        assert_eq!([&row["state"], &row["attempts"]], [&json!("failed"), &json!(attempts)], "{row}");
        assert!(row["reason"].as_str().unwrap().contains(why) && row["outcome"].is_null(), "{row}");
    }
    // Half a second and then a whole one; nobody else waits for that.
    let began = time(&job["started_at"]);
    assert!(time(&twice["finished_at"]) - began >= 1_500, "{twice}");
    for row in rows.values() {
        assert_eq!([&row["state"], &row["attempts"]], [&json!("done"), &json!(1)], "{row}");
        assert!(time(&row["finished_at"]) < time(&twice["finished_at"]), "{row}");
    }
    let mut labels = labels_of(40);
    labels.extend(["twice", "unheard of", "in passing"].map(|id| (id.to_owned(), "refund".to_owned())));
    assert_eq!(drill.labels(), labels);

    let id = job["id"].as_str().unwrap();
    for file in ["items.csv", "items.ndjson", "labels.csv", "labels.ndjson"] {
        let body = drill.caller.call("GET", &format!("/api/v1/jobs/{id}/{file}"), "").body;
        assert!(!body.contains(SECRET), "{file}: {body}");
    }
    assert!(!job.to_string().contains(SECRET) && !drill.log().contains(SECRET), "{job}");
    drill.close();
}

/// So many conversations, of which those fail that are asked to.
fn some_failing(n: usize, fails: impl Fn(usize) -> bool, otherwise: impl Fn(usize) -> Value) -> Vec<Value> {
    (0..n).map(|n| if fails(n) { faulty(&format!("f-{n}"), "fault:permanent") } else { otherwise(n) }).collect()
}

#[test]
fn a_job_of_which_most_items_fail_is_ended() {
    let mut drill = Drill::new();
    // Quick ones first, so that the rest is leased at once; and then some that take so long that it would show if what
    // is leased went on to its end.
    drill.stock(innocents(30));
    drill.stock(some_failing(226, |n| n % 5 != 0, |n| faulty(&format!("s-{n}"), "fault:slow 200")));
    let job = drill.publish();
    let job = drill.ended(&job);
    assert_eq!(job["state"], "failed", "{job}");
    assert!(job["error"].as_str().is_some_and(|error| !error.is_empty()), "{job}");
    let [done, failed] = [counts(&job, "done"), counts(&job, "failed")];
    assert_eq!([counts(&job, "total"), counts(&job, "pending"), counts(&job, "running")], [256, 0, 0], "{job}");
    // It takes fifty to tell, and what is being analysed then still ends.
    assert!(done + failed >= 50 && failed > done && counts(&job, "cancelled") >= 80, "{job}");
    let rows = drill.items(&job);
    for row in rows.values().filter(|row| row["state"] == "cancelled") {
        assert!(row["outcome"].is_null(), "{row}");
    }
    let done: BTreeSet<String> = rows.into_iter().filter(|(_, row)| row["state"] == "done").map(|(id, _)| id).collect();
    assert_eq!(drill.labels().into_iter().map(|(id, _)| id).collect::<BTreeSet<_>>(), done);
    assert!(drill.deaths.is_empty(), "{:?}", drill.deaths);

    // Nothing of it moves any more, and the next job is none the worse.
    drill.stock([super::faulty_note("n-1", "")]);
    let next = drill.publish_note("n-1");
    assert_eq!(drill.ended(&next)["state"], "completed");
    assert_eq!(drill.job(job["id"].as_str().unwrap())["counts"], job["counts"]);
    drill.close();
}

#[test]
fn a_job_of_which_less_than_half_fails_goes_on_to_its_end() {
    let mut drill = Drill::new();
    drill.stock(some_failing(300, |n| n % 5 < 2, innocent));
    let job = drill.publish();
    let job = drill.ended(&job);
    assert_eq!(job["state"], "completed_with_failures", "{job}");
    assert_eq!([counts(&job, "done"), counts(&job, "failed")], [180, 120], "{job}");
    assert!(job["error"].is_null(), "{job}");
    drill.close();
}

#[test]
fn a_few_failures_say_nothing_of_a_job() {
    let mut drill = Drill::new();
    drill.stock(some_failing(40, |_| true, innocent));
    let job = drill.publish();
    let job = drill.ended(&job);
    assert_eq!(job["state"], "completed_with_failures", "{job}");
    assert_eq!([counts(&job, "failed"), counts(&job, "cancelled")], [40, 0], "{job}");
    assert!(job["error"].is_null(), "{job}");
    drill.close();
}

#[test]
fn the_tail_of_retries_does_not_trip_the_breaker() {
    let mut drill = Drill::new();
    let failing = (0..150).map(|n| faulty(&format!("failing-{n}"), "fault:transient"));
    drill.stock(innocents(3_000).into_iter().chain(failing));
    let job = drill.publish();
    let job = drill.ended(&job);
    assert_eq!(job["state"], "completed_with_failures", "{job}");
    assert_eq!([counts(&job, "done"), counts(&job, "failed"), counts(&job, "cancelled")], [3_000, 150, 0], "{job}");
    drill.close();
}
