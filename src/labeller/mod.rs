//! What finds topics in an item. Labellers know neither the store nor the queue.

#[cfg(feature = "faults")]
pub mod faults;
pub mod phrases;

use crate::model::{Detection, Document, Failure, TopicSet};

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A labeller compiled for one frozen catalogue revision and shared by all workers.
///
/// Called from many threads at once, with one item each. The answer must depend on nothing but the item, the scope and
/// the catalogue it was compiled for: the queue counts on the same question having the same answer after a crash.
pub trait Labeller: Send + Sync {
    /// The detections on `document` of the topics in `scope`: at most one a (block, topic), in the order of the blocks
    /// and, within a block, of the topics in the catalogue.
    fn analyse(&self, document: &Document<'_>, scope: &TopicSet) -> Result<Vec<Detection>, Failure>;
}

thread_local! {
    /// This thread is inside a labeller, whose panic is caught.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread, now, is a labeller's and will be caught.
pub fn panic_is_caught() -> bool {
    GUARDED.get()
}

/// [`Labeller::analyse`], where a panic is that item's permanent failure and nobody else's.
pub fn analyse_guarded(
    labeller: &dyn Labeller,
    document: &Document<'_>,
    scope: &TopicSet,
) -> Result<Vec<Detection>, Failure> {
    GUARDED.set(true);
    // What the labeller was called with is not used again after a panic.
    let analysed = catch_unwind(AssertUnwindSafe(|| labeller.analyse(document, scope)));
    GUARDED.set(false);
    analysed.unwrap_or_else(|_| Err(Failure::Permanent("the labeller panicked".into())))
}
