//! Stores with what a daemon alone does not come to in a test: errors, quarantine, a job pruned long ago.

use std::path::Path;
use std::sync::Arc;

use relabeld::demo::sample;
use relabeld::job::{Filter, Job, JobId};
use relabeld::model::{Failure, Millis};
use relabeld::store::{Ask, Begun, Deed, Done, Durability, Finding, LeaseOutcome, Leased, NewJob, Planned, Store};
use relabeld::when;
use serde_json::json;

use crate::daemon::Daemon;

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
    let job = planned(&store, named("Some items are broken"), now);
    let outcome = all_failed(lease(&store, job.id, 3, epoch, now), job.revision.unwrap(), now);
    assert_eq!(store.commit(Arc::new([outcome]), 3, now).unwrap().errors, 3);
    let broken = job.id;
    let job = planned(&store, named("Long ago"), 1);
    let outcome = all_failed(lease(&store, job.id, 1_000, epoch, 1), job.revision.unwrap(), 1);
    assert!(store.commit(Arc::new([outcome]), 3, 1).unwrap().errors > 1);
    assert!(store.job(job.id).unwrap().finished_at.is_some());
    let pos = lease(&store, broken, 1, epoch, now).items[0].pos;
    assert_eq!(store.recover(vec![Begun { epoch, job: broken, pos }], 1, now).unwrap().quarantined, 1);
    store.close();
}

fn planned(store: &Store, wish: NewJob, now: Millis) -> Job {
    let job = store.publish_range(wish, 0, now).unwrap().job;
    let mut planning = store.begin_planning(now).unwrap().unwrap();
    while planning.step(now).unwrap() == Planned::More {}
    job
}

fn lease(store: &Store, job: JobId, items: usize, epoch: i64, now: Millis) -> Leased {
    store.lease(vec![Ask { job, items, lease: items as i64 }], epoch, now).unwrap().remove(0)
}

fn all_failed(leased: Leased, revision: i64, now: Millis) -> LeaseOutcome {
    let done = leased.items.iter().map(|item| Done {
        pos: item.pos,
        key: item.key,
        attempts: 1,
        uncharged: 0,
        finding: Finding::Failed { failure: Failure::Permanent("the text cannot be read".into()), not_before: now },
    });
    LeaseOutcome {
        lease: leased.lease,
        weight_each: leased.weight_each,
        deed: Deed::Label { revision, keep_when_empty: true },
        dry_run: false,
        done: done.collect(),
        ends: true,
    }
}
