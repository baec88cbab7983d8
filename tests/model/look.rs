//! What a worker finds on the items of a lease: by the store's own numbers, and by the model.

use std::sync::Arc;

use relabeld::job::Outcome;
use relabeld::label::{Evidence as Found, Place as Numbered, ProgramRules, Scope};
use relabeld::model::{Failure, Participants};
use relabeld::store::{Done, Finding, ItemBatch, LeasedItem, ReadItem, Stood, Store};

use crate::jobs::Job;
use crate::ops::Fate;
use crate::pair::{Pair, Verdict, tell};
use crate::rules::{Topic, find, fits};
use crate::work::Plan;

impl Pair {
    /// Looks at the items of a lease, as a worker does; what it finds must be what the model finds.
    pub fn look(&mut self, at: usize, fates: &[Fate]) -> Verdict {
        let held = &self.held[at];
        let job = &self.jobs.by_id[&held.job()];
        let items = &held.leased.items;
        let numbers: Vec<i64> = items.iter().map(|item| item.key.item).collect();
        let mut batch = ItemBatch::default();
        self.store.read_items(&numbers, usize::MAX, &mut batch).map_err(tell)?;
        let keys: Vec<_> = items.iter().map(|item| item.key).collect();
        let undos = job.reverts.map(|of| self.store.undos(of, &keys).map_err(tell)).transpose()?;
        let mut looked = Vec::with_capacity(items.len());
        for (nth, (item, read)) in items.iter().zip(batch.items()).enumerate() {
            let fate = fates[nth % fates.len()];
            let plan = if item.elsewhere { Plan::Elsewhere } else { self.plan(job, item.pos as usize, fate) };
            let finding = match (&undos, item.elsewhere) {
                (_, true) => Finding::Elsewhere,
                (Some(_), _) if fate != Fate::Well => failed(fate, self.now),
                (Some(undos), _) => Finding::TakeBack(undos[nth].clone()?),
                (None, _) => self.attempt(job, item, read, fate)?,
            };
            let agree = match (&finding, &plan) {
                (Finding::Elsewhere, Plan::Elsewhere)
                | (Finding::Gone, Plan::Plain(Outcome::Gone))
                | (Finding::StaleVersion, Plan::Plain(Outcome::StaleVersion))
                | (Finding::Current, Plan::Plain(Outcome::SkippedCurrent))
                | (Finding::TakeBack(_), Plan::TakeBack)
                | (Finding::Failed { .. }, Plan::Failed { .. }) => true,
                (Finding::Read { stood, .. }, Plan::Read { edition }) => stood.edition == *edition,
                _ => false,
            };
            if !agree {
                return Err(format!("job {} position {}: found {finding:?}, and not {plan:?}", job.id, item.pos));
            }
            looked.push((done(item, finding), plan));
        }
        self.held[at].looked = Some(looked);
        Ok(())
    }

    fn plan(&self, job: &Job, pos: usize, fate: Fate) -> Plan {
        let task = &job.tasks[pos];
        let item = self.items.get(&task.key);
        let plan = match &item.content {
            _ if job.reverts.is_some() => Plan::TakeBack,
            None => Plan::Plain(Outcome::Gone),
            Some(content) if task.asked.is_some() && task.asked != content.version => {
                Plan::Plain(Outcome::StaleVersion)
            }
            Some(content) if !fits(&job.wish.filter, content) => Plan::Plain(Outcome::Gone),
            Some(_) => {
                let (filter, revision) = (&job.wish.filter, job.revision.unwrap_or_default());
                match filter.stale_only && self.items.is_fresh(&task.key, &filter.programs, revision, &self.rules) {
                    true => Plan::Plain(Outcome::SkippedCurrent),
                    false => Plan::Read { edition: item.edition },
                }
            }
        };
        match fate {
            Fate::Busy(wait) if !matches!(plan, Plan::Plain(_)) => {
                Plan::Failed { permanent: false, not_before: self.now + wait }
            }
            Fate::Broken if !matches!(plan, Plan::Plain(_)) => Plan::Failed { permanent: true, not_before: 0 },
            _ => plan,
        }
    }

    /// As the engine's workers do it, with the store's own numbers.
    fn attempt(
        &self,
        job: &Job,
        item: &LeasedItem,
        read: Option<(ReadItem<'_>, &Stood)>,
        fate: Fate,
    ) -> Result<Finding, String> {
        let Some((read, stood)) = read else { return Ok(Finding::Gone) };
        if item.key.asked.is_some() && item.key.asked != read.version {
            return Ok(Finding::StaleVersion);
        }
        let filter = &job.wish.filter;
        let revision = job.revision.ok_or("a job that reads has a revision")?;
        let rules = self.store.program_rules(revision).map_err(tell)?;
        let shape = self.store.names().shape(read.shape).ok_or("no shape")?;
        if !filter.fits_time(read.at)
            || !filter.fits_shape(shape.kind, shape.media.as_deref(), &shape.programs, &shape.languages)
        {
            return Ok(Finding::Gone);
        }
        let (mut in_scope, mut elsewhere) = (Vec::new(), Vec::new());
        for id in &shape.programs {
            let program = self.store.names().program(id).ok_or("no program")?;
            let none = || Arc::new(ProgramRules { program, topics: Vec::new(), former: Vec::new() });
            let rules = rules.get(&program).cloned().unwrap_or_else(none);
            match filter.programs.is_empty() || filter.programs.contains(id) {
                true => in_scope.push(rules),
                false => elsewhere.extend(&rules.topics),
            }
        }
        if filter.stale_only {
            let mut current = true;
            for rules in &in_scope {
                let alike = self.store.alike(rules.program, revision).map_err(tell)?;
                current &= stood.fresh().iter().any(|(p, by)| *p == rules.program && alike.contains(by));
            }
            if current {
                return Ok(Finding::Current);
            }
        }
        if fate != Fate::Well {
            return Ok(failed(fate, self.now));
        }
        let scope = Arc::new(Scope::new(in_scope, elsewhere));
        let found = stub(&self.store, revision, &scope, &read)?;
        Ok(Finding::Read { stood: stood.clone(), scope, found })
    }
}

fn done(item: &LeasedItem, finding: Finding) -> Done {
    Done { pos: item.pos, key: item.key, attempts: item.attempts + 1, uncharged: item.uncharged, finding }
}

fn failed(fate: Fate, now: i64) -> Finding {
    match fate {
        Fate::Busy(wait) => Finding::Failed { failure: Failure::Transient("busy".into()), not_before: now + wait },
        _ => Finding::Failed { failure: Failure::Permanent("cannot".into()), not_before: now },
    }
}

/// The stub labeller on the stored text, with the stored rules: topics of the scope alone, by place.
fn stub(store: &Store, revision: i64, scope: &Scope, read: &ReadItem<'_>) -> Result<Vec<(Numbered, Found)>, String> {
    let catalogue = store.revision(Some(revision)).map_err(tell)?.catalogue;
    let document = read.document().map_err(tell)?;
    let names = store.names();
    let mut found = Vec::new();
    for topic in &catalogue.topics {
        let no = names.topic(&topic.id).ok_or("no topic")?;
        if !scope.programs.iter().any(|rules| rules.topics.contains(&no)) {
            continue;
        }
        let participants = match topic.participants {
            Participants::All => "all",
            Participants::Customer => "customer",
            Participants::Agent => "agent",
        };
        let phrases = topic.phrases.iter().map(|phrase| crate::ops::WORDS.into_iter().find(|w| *w == phrase.text));
        let phrases = phrases.collect::<Option<_>>().ok_or("no such phrase")?;
        let topic = Topic { programs: Vec::new(), participants, phrases, spelling: 0 };
        for said in &document.utterances {
            let Some(evidence) = find(&topic, document.kind, said.speaker, said.text) else { continue };
            let phrase = names.phrase(&evidence.phrase).ok_or("no phrase")?;
            let place = Numbered { transcript: said.transcript, block: said.block, topic: no };
            let (score, start, end) = (evidence.score, evidence.start, evidence.end);
            found.push((place, Found { phrase, score, start, end }));
        }
    }
    found.sort_unstable_by_key(|(place, _)| *place);
    Ok(found)
}
