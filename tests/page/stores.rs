//! Stores with what a daemon alone does not come to in a test: errors, quarantine, a job pruned long ago.

use std::path::Path;

use relabeld::demo::sample;
use relabeld::job::Filter;
use relabeld::store::{Begun, Durability, NewJob, Store};
use relabeld::when;
use serde_json::json;

use crate::daemon::Daemon;
use crate::errors::{fail, lease, planned};

/// The demo's conversations and notes, labelled by job 1; rules mended since, and tried out by job 2.
pub fn with_samples(dir: &Path) {
    let daemon = Daemon::on(dir, &[]);
    let mut rules = serde_json::from_str(sample::CATALOGUE).unwrap();
    daemon.apply(&rules);
    daemon.import(&sample::lines(1, 3_000, 600, when::now()).collect::<Vec<_>>());
    daemon.ended(&daemon.publish(&json!({"from": "60d", "name": "First labelling"})));
    rules["topics"][0]["phrases"] = json!(["money back"]);
    rules["topics"][1]["strictness"] = json!(50);
    daemon.apply(&rules);
    let tried = json!({"from": "60d", "name": "Mended rules", "dry_run": true, "keep_when_empty": false});
    daemon.ended(&daemon.publish(&tried));
    assert_eq!(daemon.stop(), Some(0));
}

/// Job 3: three items that are errors, one in quarantine, and the rest for the daemon; job 4: pruned as soon as one starts.
pub fn with_errors(dir: &Path) {
    let store = Store::open(dir, Durability::Normal).unwrap();
    let now = when::now();
    let surveys = Filter { programs: vec!["surveys".into()], ..Filter::all() };
    let named = |name: &str| NewJob { name: Some(name.into()), ..NewJob::new(surveys.clone(), "test") };
    let epoch = store.recover(Vec::new(), 3, now).unwrap().epoch;
    let broken = planned(&store, named("Some items are broken"), now);
    assert_eq!(fail(&store, &broken, 3, epoch, now), 3);
    let old = planned(&store, named("Long ago"), 1);
    assert!(fail(&store, &old, 1_000, epoch, 1) > 1);
    assert!(store.job(old.id).unwrap().finished_at.is_some());
    let pos = lease(&store, broken.id, 1, epoch, now).items[0].pos;
    assert_eq!(store.recover(vec![Begun { epoch, job: broken.id, pos }], 1, now).unwrap().quarantined, 1);
    store.close();
}
