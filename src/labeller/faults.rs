//! A labeller around another that misbehaves where an item asks for it, so that the real binary can be drilled: the
//! built-in one never fails. It is there only with the cargo feature `faults`.
//!
//! | a block's text begins with | before its item is read |
//! |---|---|
//! | `fault:transient N` | the attempt fails for now, the first N times in this process; without N always |
//! | `fault:permanent` | the attempt fails for good |
//! | `fault:panic` | the labeller panics |
//! | `fault:abort` | the process ends at once, as it does when foreign code crashes |
//! | `fault:hang` | nothing happens any more |
//! | `fault:slow MS` | so many milliseconds pass |
//!
//! Several such blocks of an item take their turns, and an unknown word asks for nothing. It steers by the text so that a
//! test needs no second way into the process. What it says never quotes the item.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Labeller;
use crate::model::{Detection, Document, Failure, Kind, TopicSet};

/// How often an item failed for now: in this process, whichever job and revision it was read for.
static FAILED: Mutex<BTreeMap<(Kind, String), u64>> = Mutex::new(BTreeMap::new());

pub struct Faults<L> {
    labeller: L,
}

impl<L> Faults<L> {
    pub fn around(labeller: L) -> Faults<L> {
        Faults { labeller }
    }
}

impl<L: Labeller> Labeller for Faults<L> {
    fn analyse(&self, document: &Document<'_>, scope: &TopicSet) -> Result<Vec<Detection>, Failure> {
        let mut asked = document.utterances.iter().filter_map(|utterance| utterance.text.strip_prefix("fault:"));
        asked.try_for_each(|asked| misbehave(asked, document))?;
        self.labeller.analyse(document, scope)
    }
}

fn misbehave(asked: &str, document: &Document<'_>) -> Result<(), Failure> {
    let mut words = asked.split_whitespace();
    let (word, number) = (words.next(), words.next().and_then(|number| number.parse::<u64>().ok()));
    match word {
        Some("transient") if fails_again(document, number) => {
            Err(Failure::Transient("a transient failure, as the item asks".into()))
        }
        Some("permanent") => Err(Failure::Permanent("a permanent failure, as the item asks".into())),
        Some("panic") => std::panic::panic_any("a panic, as the item asks"),
        Some("abort") => std::process::abort(),
        Some("hang") => loop {
            std::thread::park();
        },
        Some("slow") => {
            std::thread::sleep(Duration::from_millis(number.unwrap_or(0)));
            Ok(())
        }
        _ => Ok(()),
    }
}

fn fails_again(document: &Document<'_>, times: Option<u64>) -> bool {
    let mut failed = FAILED.lock().unwrap_or_else(PoisonError::into_inner);
    let failed = failed.entry((document.kind, document.id.to_owned())).or_default();
    let again = times.is_none_or(|times| *failed < times);
    *failed += u64::from(again);
    again
}
