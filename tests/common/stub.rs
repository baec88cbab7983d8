//! Labellers that do what a test wants: hold an item in mid-analysis, fail, panic, take notes.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use relabeld::engine::Compile;
use relabeld::labeller::{Labeller, phrases::Phrases};
use relabeld::model::{Catalogue, Detection, Document, Failure, TopicSet};

/// What is done before an item is analysed; it is told the item's id.
type Act = dyn Fn(&str) -> Result<(), Failure> + Send + Sync;

/// The built-in labeller, once `act` has let the item pass. It is told the item's id.
pub fn phrases_after(act: impl Fn(&str) -> Result<(), Failure> + Send + Sync + 'static) -> Arc<Compile> {
    let act: Arc<Act> = Arc::new(act);
    Arc::new(move |catalogue: &Catalogue| {
        Arc::new(After { act: Arc::clone(&act), phrases: Phrases::compile(catalogue) }) as Arc<dyn Labeller>
    })
}

struct After {
    act: Arc<Act>,
    phrases: Phrases,
}

impl Labeller for After {
    fn analyse(&self, document: &Document<'_>, scope: &TopicSet) -> Result<Vec<Detection>, Failure> {
        (self.act)(document.id)?;
        self.phrases.analyse(document, scope)
    }
}

/// Nobody waits at a gate for longer: a test that fails must end.
const AT_MOST: Duration = Duration::from_secs(20);

/// Holds items inside `analyse` until the test lets each go.
#[derive(Clone)]
pub struct Gate {
    closed_for: Arc<Mutex<HashSet<String>>>,
    arrive: Sender<String>,
    arrived: Receiver<String>,
    release: Sender<()>,
    released: Receiver<()>,
}

impl Gate {
    /// Closed for each of `ids`, until it is opened for it.
    pub fn closed_for(ids: &[&str]) -> Gate {
        let (arrive, arrived) = unbounded();
        let (release, released) = unbounded();
        let closed_for = Arc::new(Mutex::new(ids.iter().map(|id| (*id).to_owned()).collect()));
        Gate { closed_for, arrive, arrived, release, released }
    }

    pub fn labeller(&self) -> Arc<Compile> {
        let gate = self.clone();
        phrases_after(move |id| {
            gate.pass(id);
            Ok(())
        })
    }

    /// Called inside `analyse`.
    pub fn pass(&self, id: &str) {
        if self.closed_for.lock().unwrap().contains(id) {
            self.arrive.send(id.to_owned()).unwrap();
            self.released.recv_timeout(AT_MOST).expect("the test never opened the gate");
        }
    }

    /// Waits until an item stands at the gate.
    #[track_caller]
    pub fn arrival(&self) -> String {
        self.arrived.recv_timeout(AT_MOST).expect("nothing came to the gate")
    }

    /// Lets one item go on that stands at the gate, or comes.
    pub fn let_one_go(&self) {
        self.release.send(()).unwrap();
    }

    /// Items of this id pass from now on; one that stands at the gate already has to be let go.
    pub fn open_for(&self, id: &str) {
        self.closed_for.lock().unwrap().remove(id);
    }
}
