//! Jobs are made and published, on both sides.

use std::sync::Arc;

use relabeld::job::{Filter, JobKind, JobState, Lane};
use relabeld::model::Kind;
use relabeld::store::{Again, AgainWish, NewJob, RequestKey};
use relabeld::wire::ItemKey;

use crate::jobs::{Answer, Refusal, Task, Wish, selection};
use crate::ops::{DAY, How, Range, What, Which};
use crate::pair::{NOW, Pair, Verdict, agree, key, owned, same};
use crate::verbs::Verb;

impl Pair {
    fn filter(&self, range: &Range, how: &How) -> Filter {
        let kind = |notes| if notes { Kind::Note } else { Kind::Conversation };
        Filter {
            from: range.days.0.map(|day| NOW - (3 - day) * DAY),
            until: range.days.1.map(|day| NOW - (3 - day) * DAY + 1),
            types: range.notes.map(kind).into_iter().collect(),
            media: if range.media { owned(&["chat"]) } else { Vec::new() },
            programs: owned(&range.programs),
            languages: if range.language { owned(&["EN-us"]) } else { Vec::new() },
            stale_only: how.stale_only,
            keep_when_empty: how.keep,
        }
    }

    fn asked(&self, which: Which, version: Option<i64>) -> ItemKey {
        let (kind, id) = key(which);
        let stored = self.items.live(&(kind, id.clone())).and_then(|content| content.version).unwrap_or(1);
        let version = version.filter(|_| kind == Kind::Note).map(|off| (stored + off).max(0));
        ItemKey { kind, id, version }
    }

    pub fn publish(&mut self, what: &What, how: &How) -> Verdict {
        let request = how.request.map(|(key, body)| RequestKey { key: format!("k{key}"), hash: vec![body] });
        if let (Some(mine), Some(RequestKey { key, hash })) = (how.request, &request) {
            // As the API does it: before all that could be wrong with the rest.
            let got = self.store.job_of_request(key, hash).map(|job| job.map(|job| job.id));
            match agree("a request again", got, self.jobs.repeated(mine))? {
                Some((got @ None, wanted)) => same("the job of a request", &got, &wanted)?,
                Some((got, wanted)) => return same("the job of a request", &got, &wanted),
                None => return Ok(()),
            }
        }
        let everything = Range { days: (None, None), notes: None, media: false, programs: vec![], language: false };
        let filter = self.filter(if let What::Range(range) = what { range } else { &everything }, how);
        let wish = NewJob {
            dry_run: how.dry,
            publish: !how.draft,
            split: how.split,
            priority: how.priority,
            request,
            ..NewJob::new(filter.clone(), "model")
        };
        let mine = Wish {
            filter,
            priority: how.priority,
            dry: how.dry,
            publish: !how.draft,
            split: how.split,
            limit: how.limit,
        };
        let keys: Vec<ItemKey> = match what {
            What::Range(_) => Vec::new(),
            What::List(which) => which.iter().map(|&(which, version)| self.asked(which, version)).collect(),
            What::Single(which, version) => vec![self.asked(*which, *version)],
        };
        let (store, now) = (Arc::clone(&self.store), self.now);
        let got = match what {
            What::Range(_) => store.publish_range(wish, how.limit, now),
            What::List(_) => store.publish_list(wish, &keys, how.limit, now),
            What::Single(..) => store.publish_single(wish, keys[0].clone(), now),
        };
        let wanted = match what {
            What::Range(_) => self.make_range(&mine),
            What::List(_) => self.make_list(&mine, &keys),
            What::Single(..) => self.make_single(&mine, &keys[0]),
        };
        let Some((got, wanted)) = agree("publish", got, wanted)? else { return Ok(()) };
        if let Some((key, body)) = how.request {
            self.jobs.requests.insert(key, (body, wanted[0]));
        }
        same("the jobs made", &(got.group, got.repeated), &(wanted, false))
    }

    fn make_range(&mut self, wish: &Wish) -> Answer<Vec<i64>> {
        let count = selection(&self.items, &wish.filter).len() as i64;
        if wish.publish && wish.limit > 0 && count > wish.limit && !wish.split {
            return Err(Refusal::TooMany(count, wish.limit));
        }
        let id = self.jobs.add(JobKind::Range, Lane::Bulk, wish);
        let revision = self.rules.len() as i64 - 1;
        Ok(if wish.publish { self.jobs.publish_range(id, &self.items, revision, self.now) } else { vec![id] })
    }

    fn make_list(&mut self, wish: &Wish, keys: &[ItemKey]) -> Answer<Vec<i64>> {
        let mut tasks: Vec<Task> = Vec::new();
        for ItemKey { kind, id, version } in keys {
            let key = (*kind, id.clone());
            self.items.name(&key);
            // Duplicates collapse.
            if !tasks.iter().any(|task| task.key == key && task.asked == *version) {
                tasks.push(Task::new(key, *version, 0));
            }
        }
        let count = tasks.len() as i64;
        if wish.limit > 0 && count > wish.limit && !wish.split {
            return Err(Refusal::TooMany(count, wish.limit));
        }
        let size = if wish.limit > 0 { wish.limit as usize } else { tasks.len() };
        let mut group = Vec::new();
        for part in tasks.chunks(size) {
            let id = self.jobs.add(JobKind::List, Lane::Bulk, wish);
            self.jobs.put_list(id, part.to_vec());
            if wish.publish {
                self.jobs.publish(id, false, self.rules.len() as i64 - 1, self.now);
            }
            group.push(id);
        }
        self.jobs.lead(&group);
        Ok(group)
    }

    fn make_single(&mut self, wish: &Wish, ItemKey { kind, id, version }: &ItemKey) -> Answer<Vec<i64>> {
        let key = (*kind, id.clone());
        let stored = self.items.live(&key).ok_or(Refusal::NotFound)?.version;
        if version.is_some() && *version != stored {
            return Err(Refusal::Stale);
        }
        let id = self.jobs.add(JobKind::Single, Lane::Live, wish);
        self.jobs.put_list(id, vec![Task::new(key, *version, 0)]);
        if wish.publish {
            self.jobs.publish(id, false, self.rules.len() as i64 - 1, self.now);
        }
        Ok(vec![id])
    }

    pub fn publish_draft(&mut self, id: i64, days: Option<(i64, i64)>, limit: i64) -> Verdict {
        let span = days.map(|(from, until)| (NOW - (3 - from) * DAY, NOW - (3 - until) * DAY + 1));
        let got = self.store.publish_draft(id, span, limit, self.now);
        let wanted = self.make_of_draft(id, span, limit);
        match agree("publish a draft", got, wanted)? {
            Some((got, wanted)) => same("the jobs published", &got.group, &wanted),
            None => Ok(()),
        }
    }

    fn make_of_draft(&mut self, id: i64, span: Option<(i64, i64)>, limit: i64) -> Answer<Vec<i64>> {
        let group = self.jobs.group(id)?;
        let mut wish = self.jobs.by_id[&id].wish.clone();
        Verb::Publish.in_state(self.jobs.by_id[&id].state).ok_or(Refusal::Conflict)?;
        let revision = self.rules.len() as i64 - 1;
        if self.jobs.by_id[&id].kind != JobKind::Range || self.jobs.by_id[&id].listed {
            let drafts: Vec<i64> =
                group.iter().copied().filter(|id| self.jobs.by_id[id].state == JobState::Draft).collect();
            // What applies a dry run does so by rules that have not changed since.
            let stale = |id: &&i64| !self.jobs.reads_alike(&self.jobs.by_id[*id], &self.items, &self.rules);
            if drafts.iter().find(stale).is_some() {
                return Err(Refusal::Conflict);
            }
            for id in drafts {
                let empty = self.jobs.by_id[&id].tasks.is_empty();
                self.jobs.publish(id, empty, revision, self.now);
            }
            return Ok(group);
        }
        if let Some((from, until)) = span {
            (wish.filter.from, wish.filter.until) = (Some(from), Some(until));
        }
        let count = selection(&self.items, &wish.filter).len() as i64;
        if limit > 0 && count > limit && !wish.split {
            return Err(Refusal::TooMany(count, limit));
        }
        self.jobs.job(id).wish = Wish { limit, ..wish };
        Ok(self.jobs.publish_range(id, &self.items, revision, self.now))
    }

    pub fn again(&mut self, id: i64, verb: Verb, dry: bool, draft: bool) -> Verdict {
        let again = match verb {
            Verb::Retry { no_topics } => Again::Retry { no_topics },
            Verb::Revert => Again::Revert,
            _ => Again::Apply,
        };
        let dry = dry && verb != Verb::Apply;
        let wish = AgainWish {
            again,
            name: None,
            description: None,
            priority: None,
            max_per_second: None,
            dry_run: dry,
            publish: !draft,
            created_by: "model".into(),
        };
        let got = self.store.publish_again(id, wish, self.now);
        let wanted = self.jobs.again(id, verb, (dry, !draft), (&self.items, &self.rules), self.now);
        match agree(&format!("{verb:?} of job {id}"), got, wanted)? {
            Some((got, wanted)) => same("the jobs made", &got.group, &wanted),
            None => Ok(()),
        }
    }
}
