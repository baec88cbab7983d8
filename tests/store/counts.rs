//! What carries topics, counted on rows: the same as a count of the labels that stand, whatever has happened to them.

use std::collections::{BTreeMap, BTreeSet};

use relabeld::job::{Filter, JobId};
use relabeld::model::Kind::{Conversation, Note};
use relabeld::model::Millis;
use relabeld::store::{Again, LabelQuery, MarkWish};
use serde_json::json;

use crate::again_wish;
use crate::common::{House, NOW};

const DAY: Millis = 86_400_000;
const HOUR: Millis = DAY / 24;

fn topics(house: &House, a: &str, b: &str) {
    let topic = |id: &str, phrase: &str| json!({"id": id, "name": id, "programs": ["p"], "phrases": [phrase]});
    house.apply(&json!({"topics": [topic("a", a), topic("b", b)]}).to_string());
}

fn said(id: &str, at: Millis, texts: &[&str]) -> String {
    let blocks: Vec<_> = texts.iter().map(|text| json!({"speaker": "customer", "text": text})).collect();
    json!({"kind": "conversation", "id": id, "media": "chat", "started_at": at, "programs": ["p"],
        "transcripts": [{"id": "t1", "blocks": blocks}, {"id": "t2", "blocks": blocks}]})
    .to_string()
}

/// Midnights, and hours between, of days with labels and days without, before and after 1970.
fn cuts() -> Vec<Option<Millis>> {
    let days = [-2, -1, 0, 1, 20_400, 20_401, 20_402, 20_404];
    let cuts = days.iter().flat_map(|day| [day * DAY, day * DAY + 1, day * DAY + 9 * HOUR, day * DAY + DAY - 1]);
    std::iter::once(None).chain(cuts.map(Some)).collect()
}

/// Items and blocks by topic, of the labels that stand in a range.
fn recount(house: &House, from: Option<Millis>, until: Option<Millis>) -> BTreeMap<String, (i64, i64)> {
    let query = LabelQuery { filter: Filter { from, until, ..Filter::all() }, topics: Vec::new() };
    let (rows, next) = house.store.label_rows(&query, None).unwrap();
    assert_eq!(next, None, "one page is enough for this test");
    let mut items: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
    let mut blocks: BTreeMap<String, i64> = BTreeMap::new();
    for row in rows {
        *blocks.entry(row.label.topic.clone()).or_default() += 1;
        items.entry(row.label.topic).or_default().insert((row.kind.to_string(), row.id));
    }
    blocks.into_iter().map(|(topic, n)| (topic.clone(), (items[&topic].len() as i64, n))).collect()
}

/// All ranges are counted as they would be by hand, and all together come to `whole`: items and blocks of `a` and `b`.
#[track_caller]
fn assert_counted(house: &House, whole: [(i64, i64); 2], after: &str) {
    let cuts = cuts();
    for &from in &cuts {
        for &until in cuts.iter().filter(|until| from.is_none() || until.is_none() || from < **until) {
            let counted = house.store.topic_counts(from, until).unwrap().topics;
            assert_eq!(counted, recount(house, from, until), "{from:?} to {until:?} after {after}");
        }
    }
    let all = house.store.topic_counts(None, None).unwrap().topics;
    assert_eq!(["a", "b"].map(|topic| all.get(topic).copied().unwrap_or_default()), whole, "after {after}");
    house.check();
}

fn revert(house: &House, job: JobId) {
    let revert = house.store.publish_again(job, again_wish(Again::Revert), NOW).unwrap().job.id;
    house.engine.wake();
    house.ended(revert);
}

#[test]
fn counters_of_topics_are_what_a_count_of_labels_gives() {
    let house = House::new();
    topics(&house, "alpha", "beta");
    let (one, two) = (20_400 * DAY, 20_401 * DAY);
    house.import(&[
        said("midnight", one, &["alpha", "alpha beta"]),
        said("morning", one + 9 * HOUR, &["alpha"]),
        said("last", two - 1, &["beta", "nothing"]),
        said("next", two, &["alpha", "beta"]),
        said("quiet", two + HOUR, &["nothing"]),
        said("early", -1, &["alpha"]),
        said("epoch", 0, &["beta beta"]),
        json!({"kind": "note", "id": "n", "version": 1, "created_at": 20_404 * DAY + 9 * HOUR, "programs": ["p"],
            "text": "alpha\n\nbeta\n\nalpha"})
        .to_string(),
    ]);
    assert_counted(&house, [(0, 0), (0, 0)], "an import");
    let first = house.run(Filter::all()).id;
    assert_counted(&house, [(5, 12), (5, 9)], "the first labelling");

    // The time alone is another: the labels go with the item to its new day, and back.
    for (at, text) in [(20_404 * DAY, "a move"), (one + 5, "a move back to the same day"), (-DAY - 1, "a move to 1969")]
    {
        house.import(&[said("midnight", at, &["alpha", "alpha beta"])]);
        assert_counted(&house, [(5, 12), (5, 9)], text);
    }
    house.import(&[said("next", two + 2 * DAY, &["alpha", "other words"])]);
    assert_counted(&house, [(5, 12), (4, 7)], "a move with another text");

    let mark = |id: &str, block, topic: &str, is| {
        let wish = MarkWish { transcript: "t2".into(), block, topic: topic.into(), is };
        house.store.mark_item(Conversation, id, vec![wish], NOW).unwrap();
    };
    mark("quiet", 0, "a", Some(true));
    mark("morning", 0, "a", Some(false));
    assert_counted(&house, [(6, 12), (4, 7)], "a mark of either kind");
    house.import(&[said("quiet", two - HOUR, &["nothing"])]);
    assert_counted(&house, [(6, 12), (4, 7)], "a marked item's move");
    mark("quiet", 0, "a", None);
    assert_counted(&house, [(5, 11), (4, 7)], "a mark that is taken away");

    house.store.erase_item(Conversation, "epoch", NOW).unwrap();
    house.store.erase_item(Note, "n", NOW).unwrap();
    assert_counted(&house, [(4, 9), (2, 4)], "two erasures");

    topics(&house, "beta", "alpha");
    let before = house.store.topic_counts(None, None).unwrap().topics;
    let second = house.run(Filter { keep_when_empty: false, ..Filter::all() }).id;
    assert_counted(&house, [(2, 4), (4, 10)], "another labelling");
    revert(&house, second);
    assert_eq!(house.store.topic_counts(None, None).unwrap().topics, before);
    assert_counted(&house, [(4, 9), (2, 4)], "its revert");
    revert(&house, first);
    // What is marked, or has another text by now, is left.
    assert_counted(&house, [(2, 3), (0, 0)], "the revert of the first");
}
