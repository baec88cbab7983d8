//! Rule 8 of contract.md 4 as a property: the same items, rules and old labels give the same labels, whatever the number
//! of threads, the order of import, and the deaths between.

mod common;

use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::stub::{Gate, phrases_after};
use common::{House, NOW, by_phrases, conversation, wish};
use proptest::prelude::*;
use proptest::sample::subsequence;
use relabeld::job::{Filter, JobState, LabelCounts};
use relabeld::store::{Durability, LabelQuery, Store};

/// More than two chunks of a job, so that threads and deaths have something to come between.
const ITEMS: usize = 600;

const FIRST: &str = r#"{"topics":[{"id":"a","name":"A","programs":["p"],"phrases":["alpha","red fox"]},
    {"id":"b","name":"B","programs":["p","q"],"phrases":["beta"]},{"id":"c","name":"C","programs":["q"],"phrases":["gamma"]}]}"#;
const SECOND: &str = r#"{"topics":[{"id":"a","name":"A","programs":["p"],"phrases":["alpha","quick fox"]},
    {"id":"c","name":"C","programs":["p","q"],"phrases":["gamma","beta"]},{"id":"d","name":"D","programs":["q"],"phrases":["delta"]}]}"#;

fn item(n: usize) -> String {
    const TEXTS: [&str; 7] = ["alpha", "beta gamma", "", "a red quick fox", "delta alpha", "nothing", "gamma"];
    const PROGRAMS: [&[&str]; 4] = [&["p"], &["q"], &["p", "q"], &["none"]];
    let block = |at: usize| ("customer", TEXTS[(n * 5 + at * (1 + n % 3)) % TEXTS.len()]);
    conversation(&format!("c{n:04}"), PROGRAMS[n % 4], &[block(0), block(1), block(2)])
}

#[derive(Debug, Clone, PartialEq)]
struct Result {
    labels: Vec<String>,
    counts: LabelCounts,
    outcomes: Vec<(String, i64)>,
}

/// Two jobs by two revisions. The second dies at each of `deaths`: so many analyses after its (re)start.
fn result(order: &[usize], threads: usize, deaths: &[usize]) -> Result {
    let mut dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path(), threads, by_phrases());
    let lines: Vec<String> = order.iter().map(|&n| item(n)).collect();
    house.import(&lines);
    house.apply(FIRST);
    house.run(Filter::all());
    house.apply(SECOND);
    drop(house);
    // Nothing of the second job may run before the first death.
    let store = Store::open(dir.path(), Durability::Normal).unwrap();
    let job = store.publish_range(wish(Filter::all()), 0, NOW).unwrap().job.id;
    store.close();

    for &death in deaths {
        let next = tempfile::tempdir().unwrap();
        die(dir.path(), threads, death, next.path());
        dir = next;
    }
    let house = House::open(dir.path(), threads, by_phrases());
    let job = house.ended(job);
    house.check();
    assert_eq!(job.state, JobState::Completed);
    let mut labels = labels(&house);
    labels.sort();
    let mut outcomes: Vec<_> = job.outcomes.into_iter().chain(job.reasons).collect();
    outcomes.sort();
    Result { labels, counts: job.labels, outcomes }
}

/// Runs on until `death` items were begun, and leaves at `next` what a dead process would leave at that moment.
fn die(dir: &Path, threads: usize, death: usize, next: &Path) {
    let gate = Gate::closed_for(&["the fatal one"]);
    let begun = AtomicUsize::new(0);
    let held = gate.clone();
    let house = House::open(
        dir,
        threads,
        phrases_after(move |_| {
            if begun.fetch_add(1, Ordering::Relaxed) == death {
                held.pass("the fatal one");
            }
            Ok(())
        }),
    );
    gate.arrival();
    // A checkpoint in the middle of it would make a copy that no death makes: then once more.
    let looks = || {
        let meta = std::fs::metadata(dir.join("relabeld.db")).unwrap();
        (meta.modified().unwrap(), meta.len())
    };
    loop {
        let before = looks();
        for file in ["relabeld.db", "relabeld.db-wal", "begun"] {
            std::fs::copy(dir.join(file), next.join(file)).unwrap();
        }
        if looks() == before {
            break;
        }
    }
    gate.let_one_go();
    drop(house);
}

fn labels(house: &House) -> Vec<String> {
    let query = LabelQuery { filter: Filter::all(), topics: Vec::new() };
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let (page, next) = house.store.label_rows(&query, after).unwrap();
        all.extend(page.into_iter().map(|row| {
            let label = row.label;
            let by = (label.by.job, label.by.revision);
            format!("{} {} {} {:?} {by:?}", row.id, label.block, label.topic, label.evidence)
        }));
        match next {
            Some(next) => after = Some(next),
            None => return all,
        }
    }
}

fn undisturbed() -> &'static Result {
    static RESULT: OnceLock<Result> = OnceLock::new();
    RESULT.get_or_init(|| result(&(0..ITEMS).collect::<Vec<_>>(), 1, &[]))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rule_8_threads_order_and_deaths_do_not_matter(
        order in Just((0..ITEMS).collect::<Vec<_>>()).prop_shuffle(),
        threads in 1usize..=4,
        // Together fewer than there are items, so that each death finds something to interrupt.
        deaths in subsequence(vec![3usize, 40, 90, 180, 250], 0..=3),
    ) {
        let found = result(&order, threads, &deaths);
        let expected = undisturbed();
        prop_assert!(expected.labels.len() > ITEMS, "{}", expected.labels.len());
        prop_assert_eq!(&found, expected);
    }
}
