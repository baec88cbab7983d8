//! Jobs whose items end in errors, which a daemon alone does not come to: what its engine does, done by hand.

use std::sync::Arc;

use relabeld::job::{Job, JobId};
use relabeld::model::{Failure, Millis};
use relabeld::store::{Ask, Deed, Done, Finding, LeaseOutcome, Leased, NewJob, Planned, Store};

/// Published, with its list made.
pub fn planned(store: &Store, wish: NewJob, now: Millis) -> Job {
    let job = store.publish_range(wish, 0, now).unwrap().job;
    let mut planning = store.begin_planning(now).unwrap().unwrap();
    while planning.step(now).unwrap() == Planned::More {}
    job
}

/// At most so many of its items.
pub fn lease(store: &Store, job: JobId, items: usize, epoch: i64, now: Millis) -> Leased {
    store.lease(vec![Ask { job, items, lease: items as i64 }], epoch, now).unwrap().remove(0)
}

/// Ends at most so many of the job's items as errors; how many there were.
pub fn fail(store: &Store, job: &Job, items: usize, epoch: i64, now: Millis) -> u64 {
    let leased = lease(store, job.id, items, epoch, now);
    let done = leased.items.iter().map(|item| Done {
        pos: item.pos,
        key: item.key,
        attempts: 1,
        uncharged: 0,
        finding: Finding::Failed { failure: Failure::Permanent("the text cannot be read".into()), not_before: now },
    });
    let outcome = LeaseOutcome {
        lease: leased.lease,
        weight_each: leased.weight_each,
        deed: Deed::Label { revision: job.revision.unwrap(), keep_when_empty: true },
        dry_run: false,
        done: done.collect(),
        ends: true,
    };
    store.commit(Arc::new([outcome]), 3, now).unwrap().errors
}
