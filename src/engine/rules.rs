//! A catalogue revision compiled, and what a job may do with it to the items of one shape.

use std::sync::{Arc, RwLock};

use rustc_hash::FxHashMap;

use crate::job::{Filter, JobId, Lane};
use crate::label::{Evidence, PhraseNo, Place, ProgramNo, ProgramRules, Revision, Scope, TopicNo};
use crate::labeller::Labeller;
use crate::model::{Catalogue, Detection, Failure, TopicSet};
use crate::store::{Deed, Result, Runnable, Store};

/// Makes the labeller of a frozen catalogue.
pub type Compile = dyn Fn(&Catalogue) -> Arc<dyn Labeller> + Send + Sync;

/// A revision, ready to read items by.
pub struct Rules {
    pub revision: Revision,
    pub labeller: Arc<dyn Labeller>,
    /// By index in the catalogue.
    topics: Vec<TopicNo>,
    phrases: Vec<Vec<PhraseNo>>,
    programs: FxHashMap<ProgramNo, Arc<ProgramRules>>,
    index: FxHashMap<TopicNo, usize>,
}

impl Rules {
    pub fn compile(store: &Store, revision: Revision, compile: &Compile) -> Result<Rules> {
        let catalogue = store.revision(Some(revision))?.catalogue;
        let programs = store.program_rules(revision)?;
        let names = store.names();
        let topics: Vec<TopicNo> =
            catalogue.topics.iter().map(|topic| names.topic(&topic.id).unwrap_or_default()).collect();
        let phrases = catalogue
            .topics
            .iter()
            .map(|topic| topic.phrases.iter().map(|phrase| names.phrase(&phrase.text).unwrap_or_default()).collect())
            .collect();
        // Compiling takes its time, and the writer waits for whoever reads the names.
        drop(names);
        Ok(Rules {
            revision,
            labeller: compile(&catalogue),
            index: topics.iter().copied().zip(0..).collect(),
            phrases,
            topics,
            programs,
        })
    }

    /// By place, as the store wants them. A permanent failure where the labeller names what its catalogue has not.
    pub fn by_place(&self, detections: &[Detection]) -> std::result::Result<Vec<(Place, Evidence)>, Failure> {
        let numbered = |d: &Detection| {
            let (topic, phrases) = (self.topics.get(d.topic as usize)?, self.phrases.get(d.topic as usize)?);
            let place = Place { transcript: d.transcript, block: d.block, topic: *topic };
            let phrase = *phrases.get(d.phrase as usize)?;
            Some((place, Evidence { phrase, score: d.score, start: d.start, end: d.end }))
        };
        let found: Option<Vec<(Place, Evidence)>> = detections.iter().map(numbered).collect();
        let unknown = || Failure::Permanent("the labeller found a topic or a phrase that the catalogue has not".into());
        let mut found = found.ok_or_else(unknown)?;
        found.sort_unstable_by_key(|(place, _)| *place);
        Ok(found)
    }

    fn of_program(&self, program: ProgramNo) -> Arc<ProgramRules> {
        self.programs.get(&program).cloned().unwrap_or_else(|| {
            // It came with an item after this was compiled: no revision up to this one gave it a topic.
            Arc::new(ProgramRules { program, topics: Vec::new(), former: Vec::new() })
        })
    }
}

/// What a job may do to the items of one shape.
pub struct ShapeScope {
    pub scope: Arc<Scope>,
    /// The topics of the scope, as the labeller knows them.
    pub topics: TopicSet,
    /// Per program in scope, the revisions that read as the job's does; empty unless the job asks.
    pub alike: Vec<(ProgramNo, Vec<Revision>)>,
}

/// What a job does to its items.
#[derive(Clone)]
pub enum Way {
    Label(Arc<Rules>),
    /// Takes back what this job did.
    TakeBack(JobId),
}

/// A job as workers need it: shared by all its leases, for as long as it runs.
pub struct JobRules {
    pub job: JobId,
    pub lane: Lane,
    pub filter: Filter,
    pub dry_run: bool,
    pub way: Way,
    /// By shape; None where the job's filter leaves the shape out.
    scopes: RwLock<FxHashMap<i64, Option<Arc<ShapeScope>>>>,
}

impl JobRules {
    pub fn new(job: &Runnable, way: Way) -> JobRules {
        JobRules {
            job: job.id,
            lane: job.lane,
            filter: job.filter.clone(),
            dry_run: job.dry_run,
            way,
            scopes: RwLock::default(),
        }
    }

    pub fn deed(&self) -> Deed {
        match &self.way {
            Way::Label(rules) => Deed::Label { revision: rules.revision, keep_when_empty: self.filter.keep_when_empty },
            Way::TakeBack(_) => Deed::TakeBack,
        }
    }

    /// The scope for items of a shape; None where the job is not about them.
    pub fn scope(&self, rules: &Rules, store: &Store, shape: i64) -> Result<Option<Arc<ShapeScope>>> {
        let known = self.scopes.read().unwrap_or_else(|poisoned| poisoned.into_inner()).get(&shape).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let scope = self.scope_of_shape(rules, store, shape)?.map(Arc::new);
        self.scopes.write().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(shape, scope.clone());
        Ok(scope)
    }

    fn scope_of_shape(&self, rules: &Rules, store: &Store, shape: i64) -> Result<Option<ShapeScope>> {
        let names = store.names();
        let Some(shape) = names.shape(shape) else { return Ok(None) };
        if !self.filter.fits_shape(shape.kind, shape.media.as_deref(), &shape.programs, &shape.languages) {
            return Ok(None);
        }
        let (mut programs, mut elsewhere) = (Vec::new(), Vec::new());
        for id in &shape.programs {
            let Some(program) = names.program(id) else { continue };
            let of_program = rules.of_program(program);
            if self.filter.programs.is_empty() || self.filter.programs.contains(id) {
                programs.push(of_program);
            } else {
                elsewhere.extend(&of_program.topics);
            }
        }
        drop(names);
        let scope = Scope::new(programs, elsewhere);
        let topics = scope.programs.iter().flat_map(|rules| &rules.topics);
        let topics = topics.filter_map(|topic| rules.index.get(topic).copied()).collect();
        let alike = match self.filter.stale_only {
            false => Vec::new(),
            true => scope
                .programs
                .iter()
                .map(|of_program| Ok((of_program.program, store.alike(of_program.program, rules.revision)?)))
                .collect::<Result<_>>()?,
        };
        Ok(Some(ShapeScope { scope: Arc::new(scope), topics, alike }))
    }
}
