//! What is shown must be what the model has: jobs after every operation, all the rest now and then.

use std::collections::{BTreeMap, BTreeSet};

use relabeld::job::{Filter, Job as Shown, JobState, Lane, Outcome, TaskState};
use relabeld::model::Kind;
use relabeld::store::{ChangeRow, Error, LabelQuery, ShownLabel, TaskRow};

use crate::jobs::{Border, Job, Task, selection};
use crate::ops::DAY;
use crate::pair::{NOW, Pair, Verdict, same, tell};
use crate::rules::{Edits, Revision};
use crate::world::{Evidence, Key, Label, Labels, Place, programs};

/// Someone who follows the change feed, and so knows all labels that stand.
#[derive(Debug, Default)]
pub struct Feed {
    seen: i64,
    labels: BTreeMap<Key, Labels>,
}

fn shown(label: ShownLabel) -> (Place, Label) {
    let evidence = label.evidence.map(|e| Evidence { phrase: e.phrase, score: e.score, start: e.start, end: e.end });
    ((label.transcript, label.block, label.topic), Label { evidence, by: label.by })
}

type Summary = (
    (i64, JobState, Option<i64>, [i64; 7], Option<i64>, Option<i64>, Option<i64>, Option<i64>),
    (BTreeMap<String, i64>, BTreeMap<String, i64>, relabeld::job::LabelCounts),
    (Option<i64>, Option<i64>, Option<i64>, bool, bool, bool),
    (Option<String>, i64, Option<f64>, bool),
);

fn of_store(job: &Shown) -> Summary {
    let c = job.counts;
    let map = |list: &[(String, i64)]| list.iter().cloned().collect();
    (
        (
            job.id,
            job.state,
            c.total,
            [c.pending, c.running, c.done, c.failed, c.quarantined, c.cancelled, job.errors],
            job.revision,
            job.parent,
            job.reverts,
            job.group,
        ),
        (map(&job.outcomes), map(&job.reasons), job.labels),
        (job.published_at, job.started_at, job.finished_at, job.error.is_some(), job.pruned_at.is_some(), job.dry_run),
        (job.name.clone(), job.priority, job.max_per_second, job.applied_by.is_some()),
    )
}

fn of_model(job: &Job) -> Summary {
    use TaskState::*;
    let counts = [Pending, Running, Done, Failed, Quarantined, Cancelled].map(|state| job.count(state));
    let (mut outcomes, mut reasons) = (BTreeMap::new(), BTreeMap::new());
    for task in job.tasks.iter().filter(|task| matches!(task.state, Done | Failed | Quarantined)) {
        let words = if task.outcome.is_some() { &mut outcomes } else { &mut reasons };
        let word = match (task.outcome, task.reason) {
            (Some(outcome), _) => outcome.as_str(),
            (None, Some("busy" | "cannot")) => "error",
            (None, reason) => reason.unwrap_or("?"),
        };
        *words.entry(word.to_owned()).or_insert(0) += 1;
    }
    let errors = reasons.get("error").copied().unwrap_or(0);
    let [a, b, c, d, e, f] = counts;
    (
        (
            job.id,
            job.state,
            job.listed.then_some(job.tasks.len() as i64),
            [a, b, c, d, e, f, errors],
            job.revision,
            job.parent,
            job.reverts,
            job.leader,
        ),
        (outcomes, reasons, job.labels),
        (job.published_at, job.started_at, job.finished_at, job.tripped, job.pruned, job.wish.dry),
        (job.name.clone(), job.wish.priority, job.speed, job.applied_by.is_some()),
    )
}

impl Pair {
    /// After every operation: all jobs, their counts and what they can be asked for.
    pub fn compare_jobs(&self) -> Verdict {
        let jobs = self.store.jobs(None, None, 10_000).map_err(tell)?.jobs;
        let mut shown: Vec<i64> = jobs.iter().map(|job| job.id).collect();
        shown.reverse();
        same("the jobs there are", &shown, &self.jobs.alive().map(|job| job.id).collect())?;
        for job in &jobs {
            let c = job.counts;
            let sum = c.pending + c.running + c.done + c.failed + c.quarantined + c.cancelled;
            if c.total.is_some_and(|total| total != sum) {
                return Err(format!("job {}: {c:?} do not add up", job.id));
            }
            same(&format!("job {}", job.id), &of_store(job), &of_model(&self.jobs.by_id[&job.id]))?;
        }
        let ids = |jobs: Vec<relabeld::store::Runnable>| jobs.iter().map(|job| job.id).collect::<Vec<i64>>();
        let may = |lane| self.jobs.alive().filter(move |job| job.lane == lane && job.may_run());
        let bulk = ids(self.store.runnable_bulk(1_000).map_err(tell)?);
        same("the bulk jobs that may run", &bulk, &may(Lane::Bulk).map(|job| job.id).collect())?;
        // However late it is: all that wait are due by then, but for suspects, which wait for their own turn.
        let (live, _) = self.store.runnable_live(1_000, i64::MAX / 2).map_err(tell)?;
        let pending = |job: &&Job| job.count(TaskState::Pending) > 0;
        let wanted: Vec<i64> = may(Lane::Live).filter(pending).map(|job| job.id).collect();
        let suspect = |id: &i64| self.jobs.by_id[id].tasks.iter().any(|task| task.suspect);
        let missing = wanted.iter().any(|id| !ids(live.clone()).contains(id) && !suspect(id));
        same("a live job that may run is passed over", &missing, &false)?;
        same("a live job that may not run", &ids(live).iter().all(|id| wanted.contains(id)), &true)?;
        same("suspects", &self.store.has_suspects().map_err(tell)?, &self.has_suspects())
    }

    pub fn compare_all(&mut self) -> Verdict {
        self.compare_labels()?;
        for id in self.jobs.alive().map(|job| job.id).collect::<Vec<_>>() {
            self.compare_tasks(id)?;
        }
        self.compare_counts()?;
        same("what check finds", &self.store.check().map_err(tell)?, &Vec::new())
    }

    fn compare_labels(&mut self) -> Verdict {
        let query = LabelQuery { filter: Filter::all(), topics: Vec::new() };
        let (rows, next) = self.store.label_rows(&query, None).map_err(tell)?;
        let mut got: BTreeMap<Key, Labels> = BTreeMap::new();
        for row in rows {
            same("the version beside a label", &row.version, &self.items.get(&(row.kind, row.id.clone())).version())?;
            let human = row.label.human;
            let (place, label) = shown(row.label);
            same("a human label", &human, &label.evidence.is_none())?;
            got.entry((row.kind, row.id)).or_default().insert(place, label);
        }
        let items = self.items.by_key.iter();
        let mut wanted: BTreeMap<Key, Labels> = items.map(|(key, item)| (key.clone(), item.labels.clone())).collect();
        wanted.retain(|_, labels| !labels.is_empty());
        same("all labels that stand", &(got, next), &(wanted.clone(), None))?;
        for (key, item) in self.items.by_key.iter().filter(|(_, item)| item.content.is_some()) {
            let shown = self.store.show_item(key.0, &key.1).map_err(tell)?;
            let marks = shown.marks.into_iter().map(|mark| ((mark.transcript, mark.block, mark.topic), mark.is));
            same(&format!("the marks of {key:?}"), &marks.collect(), &item.marks)?;
            same("an item", &Some(shown.item), &item.content)?;
        }
        self.follow(&wanted)
    }

    /// Who follows the feed from change to change has the labels that stand.
    fn follow(&mut self, standing: &BTreeMap<Key, Labels>) -> Verdict {
        match self.store.changes_after(self.feed.seen, usize::MAX >> 1) {
            Ok(changes) => {
                for change in changes {
                    self.feed.take(change)?;
                }
                self.feed.labels.retain(|_, labels| !labels.is_empty());
                same("the labels of who follows the feed", &self.feed.labels, standing)
            }
            Err(Error::HistoryPruned(_)) => {
                self.feed.seen = self.store.last_change().map_err(tell)?.0;
                self.feed.labels.clone_from(standing);
                Ok(())
            }
            Err(error) => Err(tell(error)),
        }
    }

    fn compare_tasks(&self, id: i64) -> Verdict {
        let job = &self.jobs.by_id[&id];
        let mut rows: Vec<TaskRow> = Vec::new();
        loop {
            match self.store.task_rows(id, rows.len() as i64) {
                Ok(page) if page.is_empty() => break,
                Ok(page) => rows.extend(page),
                Err(Error::HistoryPruned(_)) if job.pruned => return Ok(()),
                Err(error) => return Err(tell(error)),
            }
        }
        same(&format!("job {id} is pruned"), &false, &job.pruned)?;
        same(&format!("rows of job {id}"), &rows.len(), &job.tasks.len())?;
        for (row, task) in rows.iter().zip(&job.tasks) {
            self.compare_task(job, row, task).map_err(|why| format!("job {id} position {}: {why}", row.pos))?;
        }
        let mut changes: BTreeMap<i64, Edits> = BTreeMap::new();
        let mut from = Some(0);
        while let Some(at) = from {
            let (page, next) = self.store.job_changes(id, at).map_err(tell)?;
            for change in page {
                let row = rows.iter().find(|row| row.change == change.no).ok_or("a change of no task")?;
                let sides = (change.old.map(shown), change.new.map(shown));
                let place = sides.1.as_ref().or(sides.0.as_ref()).ok_or("a change of nothing")?.0.clone();
                let mut new = sides.1.map(|(_, label)| label);
                // What a dry run would have made keeps no revision: it is the job's.
                if let (true, Some(new)) = (job.wish.dry && job.reverts.is_none(), &mut new) {
                    new.by.revision = job.revision.unwrap_or_default();
                }
                changes.entry(row.pos).or_default().insert(place, (sides.0.map(|(_, label)| label), new));
            }
            from = next;
        }
        let mine = (0..).zip(&job.tasks).map(|(pos, task)| (pos, task.did.edits.clone()));
        same(&format!("the changes of job {id}"), &changes, &mine.filter(|(_, edits)| !edits.is_empty()).collect())?;
        let topics = self.store.job_topics(id).map_err(tell)?.into_iter();
        let topics = topics.map(|tally| (tally.topic, [tally.added, tally.removed, tally.updated])).collect();
        same(&format!("topics of job {id}"), &topics, &job.topics)
    }

    fn compare_task(&self, job: &Job, row: &TaskRow, task: &Task) -> Verdict {
        let item = self.items.get(&task.key);
        // Of an erased item its key is left.
        let gone = item.content.is_none() && task.finished_at.is_some();
        let reason = match task.reason {
            Some("crashed") => row.reason.as_deref().filter(|reason| reason.starts_with("the process died")),
            reason => reason,
        };
        let got = (&row.kind, &row.id, row.version, row.state, row.outcome, row.reason.as_deref(), row.attempts);
        let version = task.version.or(task.asked).or(item.version());
        let wanted = match gone {
            true => (None, TaskState::Done, Some(Outcome::Gone), None),
            false => (version, task.state, task.outcome, reason),
        };
        let wanted = (&task.key.0, &task.key.1, wanted.0, wanted.1, wanted.2, wanted.3, task.attempts);
        same("its row", &(got, row.finished_at), &(wanted, task.finished_at))?;
        let changed = !gone && job.reverts.is_none() && task.outcome == Some(Outcome::Changed);
        if changed != (row.change != 0) && job.reverts.is_none() && task.outcome.is_some() && !gone {
            return Err(format!("it is {:?}, with change {}", row.outcome, row.change));
        }
        Ok(())
    }

    /// Freshness, and what carries topics.
    fn compare_counts(&self) -> Verdict {
        let revision = self.rules.len() as i64 - 1;
        let one = |program: &str| vec![program.to_owned()];
        for (kind, named) in
            [(None, vec![]), (None, one("p")), (None, one("q")), (None, one("default")), (Some(Kind::Note), vec![])]
        {
            let filter =
                Filter { stale_only: true, types: kind.into_iter().collect(), programs: named, ..Filter::all() };
            let got = self.store.count(&filter).map_err(tell)?.total;
            let stale = selection(&self.items, &filter);
            let stale =
                stale.iter().filter(|(_, key)| !self.items.is_fresh(key, &filter.programs, revision, &self.rules));
            same(&format!("items that are not fresh: {filter:?}"), &got, &(stale.count() as i64))?;
        }
        let noon = NOW - 2 * DAY + DAY / 2;
        for (from, until) in [(None, None), (Some(noon), Some(noon + DAY)), (Some(NOW - DAY), Some(NOW + 1))] {
            let got = self.store.topic_counts(from, until).map_err(tell)?;
            let range = Filter { from, until, ..Filter::all() };
            let mut topics: BTreeMap<String, (i64, i64)> = BTreeMap::new();
            for (_, key) in selection(&self.items, &range) {
                let item = self.items.get(&key);
                let carried: BTreeSet<&String> = item.labels.keys().map(|place| &place.2).collect();
                carried.into_iter().for_each(|topic| topics.entry(topic.clone()).or_default().0 += 1);
                item.labels.keys().for_each(|place| topics.entry(place.2.clone()).or_default().1 += 1);
            }
            same("what carries topics", &got.topics, &topics)?;
            for (program, got) in got.programs {
                let of =
                    |(_, key): &&(Border, Key)| self.items.live(key).is_some_and(|c| programs(c).contains(&program));
                let all = selection(&self.items, &Filter::all());
                let own: Vec<_> = all.iter().filter(of).collect();
                let stale = own.iter().filter(|(_, key)| {
                    let by = self.items.get(key).read_by(&program) as usize;
                    by == 0 || !Revision::alike(&self.rules[by], &self.rules[revision as usize], &program)
                });
                let wanted = (own.len() as i64, stale.count() as i64);
                same(&format!("items of program {program}, and those not fresh"), &got, &wanted)?;
            }
        }
        Ok(())
    }
}

impl Feed {
    fn take(&mut self, change: ChangeRow) -> Verdict {
        self.seen = change.no;
        let labels = self.labels.entry((change.kind, change.id)).or_default();
        let (old, new) = (change.old.map(shown), change.new.map(shown));
        if old.is_none() && new.is_none() {
            labels.clear();
        }
        if let Some((place, old)) = old {
            let stood = labels.remove(&place);
            same("a label before it changed", &stood, &Some(old))?;
        }
        labels.extend(new);
        Ok(())
    }
}
