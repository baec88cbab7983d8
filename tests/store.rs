//! Every verb of the store, on a real file.

#[path = "store/actions.rs"]
mod actions;
#[path = "store/again.rs"]
mod again;
#[path = "store/apply.rs"]
mod apply;
#[path = "store/backup.rs"]
mod backup;
#[path = "store/catalogue.rs"]
mod catalogue;
#[path = "store/check.rs"]
mod check;
mod common;
#[path = "store/corruption.rs"]
mod corruption;
#[path = "store/counts.rs"]
mod counts;
#[path = "store/deletion.rs"]
mod deletion;
#[path = "store/drafts.rs"]
mod drafts;
#[path = "store/history.rs"]
mod history;
#[path = "store/import.rs"]
mod import;
#[path = "store/jobs.rs"]
mod jobs;
#[path = "store/keys.rs"]
mod keys;
#[path = "store/leases.rs"]
mod leases;
#[path = "store/measured.rs"]
mod measured;
#[path = "store/prune.rs"]
mod prune;
#[path = "store/upgrade.rs"]
mod upgrade;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use common::{NOW, conversation, incoming, wish};
use relabeld::job::{Filter, Job, JobId, TaskState};
use relabeld::label::{Evidence, Place, Scope};
use relabeld::model::Failure;
use relabeld::store::{
    Again, AgainWish, Ask, Begun, Committed, Deed, Done, Durability, Error, Finding, ImportOutcome, ItemBatch,
    LeaseOutcome, Leased, LeasedItem, Planned, Published, Recovered, Store, TaskRow,
};

pub const ATTEMPTS: u32 = 3;

/// A store on a scratch directory, driven by hand as an engine would.
pub struct Desk {
    pub store: Store,
    pub dir: tempfile::TempDir,
    epoch: Cell<i64>,
    lease: Cell<i64>,
}

impl Desk {
    #[allow(clippy::new_without_default)] // It opens a file: a default promises less.
    pub fn new() -> Desk {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Durability::Full).unwrap();
        let desk = Desk { store, dir, epoch: Cell::new(0), lease: Cell::new(0) };
        desk.recover(&[]);
        desk
    }

    /// With `n` items `c000…` of program `p` that say `alpha`, and a topic `a` that finds it.
    pub fn with_items(n: usize) -> Desk {
        let desk = Desk::new();
        desk.apply(r#"{"topics":[{"id":"a","name":"A","programs":["p"],"phrases":["alpha"]}]}"#);
        let lines: Vec<String> =
            (0..n).map(|n| conversation(&format!("c{n:03}"), &["p"], &[("customer", "alpha")])).collect();
        desk.import(&lines);
        desk
    }

    /// Closes the store and opens it again.
    pub fn reopen(&mut self) {
        self.store.close();
        self.store = Store::open(self.dir.path(), Durability::Full).unwrap();
    }

    pub fn import(&self, lines: &[String]) -> ImportOutcome {
        self.store.import(incoming(lines).into_iter().collect(), NOW).unwrap()
    }

    pub fn apply(&self, json: &str) -> i64 {
        self.store.apply_catalogue(common::catalogue(json), "test/1", true, None, NOW).unwrap().revision
    }

    /// As after the death of the process with `begun` in flight.
    pub fn die(&self, begun: &[(JobId, i64)]) -> Recovered {
        let epoch = self.epoch.get();
        let begun: Vec<Begun> = begun.iter().map(|&(job, pos)| Begun { epoch, job, pos }).collect();
        self.recover(&begun)
    }

    fn recover(&self, begun: &[Begun]) -> Recovered {
        let recovered = self.store.recover(begun.to_vec(), ATTEMPTS, NOW).unwrap();
        self.epoch.set(recovered.epoch);
        self.lease.set(0);
        recovered
    }

    pub fn epoch(&self) -> i64 {
        self.epoch.get()
    }

    pub fn next_lease(&self) -> i64 {
        self.lease.set(self.lease.get() + 1);
        self.lease.get()
    }

    /// A range job over everything, planned.
    pub fn planned(&self) -> JobId {
        let job = self.store.publish_range(wish(Filter::all()), 0, NOW).unwrap().job;
        self.plan();
        job.id
    }

    /// Plans all that waits to be planned.
    pub fn plan(&self) {
        while let Some(mut planning) = self.store.begin_planning(NOW).unwrap() {
            while planning.step(NOW).unwrap() == Planned::More {}
        }
    }

    pub fn job(&self, id: JobId) -> Job {
        self.store.job(id).unwrap()
    }

    pub fn lease_at(&self, job: JobId, items: usize, now: i64) -> Option<Leased> {
        let ask = Ask { job, items, lease: self.next_lease() };
        self.store.lease(vec![ask], self.epoch(), now).unwrap().pop()
    }

    #[track_caller]
    pub fn lease(&self, job: JobId, items: usize) -> Leased {
        self.lease_at(job, items, NOW).expect("nothing to lease")
    }

    pub fn suspect(&self) -> Option<Leased> {
        self.store.lease_suspect(self.epoch(), self.next_lease(), NOW).unwrap().map(|(_, leased)| leased)
    }

    /// What an engine would make of the first `n` items of a lease.
    pub fn outcome(
        &self,
        leased: &Leased,
        n: usize,
        ends: bool,
        find: impl Fn(&LeasedItem) -> Finding,
    ) -> LeaseOutcome {
        let done = leased.items.iter().take(n).map(|item| Done {
            pos: item.pos,
            key: item.key,
            attempts: item.attempts + 1,
            uncharged: item.uncharged,
            finding: if item.elsewhere { Finding::Elsewhere } else { find(item) },
        });
        let job = self.job(leased.lease.job);
        let deed = match job.reverts {
            Some(_) => Deed::TakeBack,
            None => Deed::Label { revision: job.revision.unwrap(), keep_when_empty: job.filter.keep_when_empty },
        };
        LeaseOutcome {
            lease: leased.lease,
            weight_each: leased.weight_each,
            deed,
            dry_run: job.dry_run,
            done: done.collect(),
            ends,
        }
    }

    pub fn commit(&self, outcome: LeaseOutcome) -> Committed {
        self.store.commit(Arc::new([outcome]), ATTEMPTS, NOW).unwrap()
    }

    /// All of a lease, found as it should be.
    pub fn finish(&self, leased: &Leased) -> Committed {
        self.commit(self.outcome(leased, usize::MAX, true, |item| self.found(item)))
    }

    /// Plans a job, and runs it to its end.
    pub fn run(&self, id: JobId) -> Job {
        self.plan();
        while let Some(leased) = self.lease_at(id, 256, NOW) {
            match self.job(id).reverts {
                Some(of) => drop(self.take_back(&leased, of)),
                None => drop(self.finish(&leased)),
            }
        }
        let job = self.job(id);
        assert!(job.state.ended(), "{job:?}");
        job
    }

    /// All of a lease of a job that takes `of` back.
    pub fn take_back(&self, leased: &Leased, of: JobId) -> Committed {
        let undo = |item: &LeasedItem| self.store.undos(of, &[item.key]).unwrap().remove(0).unwrap();
        self.commit(self.outcome(leased, usize::MAX, true, |item| Finding::TakeBack(undo(item))))
    }

    /// Makes a job of another one.
    pub fn again(&self, job: JobId, again: Again) -> Result<Published, Error> {
        self.store.publish_again(job, again_wish(again), NOW)
    }

    /// Topic `a` on the item's first block.
    pub fn found(&self, item: &LeasedItem) -> Finding {
        let mut batch = ItemBatch::default();
        self.store.read_items(&[item.key.item], 1 << 20, &mut batch).unwrap();
        let Some((_, stood)) = batch.items().next().flatten() else { return Finding::Gone };
        let rules = self.store.program_rules(self.store.revision(None).unwrap().revision).unwrap();
        let names = self.store.names();
        let program = rules[&names.program("p").unwrap()].clone();
        let place = Place { transcript: 0, block: 0, topic: names.topic("a").unwrap() };
        let evidence = Evidence { phrase: names.phrase("alpha").unwrap(), score: 100, start: 0, end: 5 };
        let scope = Arc::new(Scope::new(vec![program], Vec::new()));
        Finding::Read { stood: stood.clone(), scope, found: vec![(place, evidence)] }
    }

    pub fn tasks(&self, job: JobId) -> Vec<TaskRow> {
        let mut rows = Vec::new();
        loop {
            let page = self.store.task_rows(job, rows.len() as i64).unwrap();
            if page.is_empty() {
                return rows;
            }
            rows.extend(page);
        }
    }

    /// How many tasks stand in each state.
    pub fn states(&self, job: JobId) -> BTreeMap<TaskState, i64> {
        let mut states = BTreeMap::new();
        self.tasks(job).iter().for_each(|task| *states.entry(task.state).or_default() += 1);
        states
    }

    #[track_caller]
    pub fn check(&self) {
        assert_eq!(self.store.check().unwrap(), Vec::<String>::new());
    }

    /// The database file as another program would open it.
    pub fn raw(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.dir.path().join("relabeld.db")).unwrap()
    }
}

pub fn again_wish(again: Again) -> AgainWish {
    AgainWish {
        again,
        name: None,
        description: None,
        priority: None,
        max_per_second: None,
        dry_run: false,
        publish: true,
        created_by: "test".into(),
    }
}

pub fn transient(not_before: i64) -> Finding {
    Finding::Failed { failure: Failure::Transient("busy".into()), not_before }
}

pub fn permanent() -> Finding {
    Finding::Failed { failure: Failure::Permanent("cannot".into()), not_before: NOW }
}
