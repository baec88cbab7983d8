//! What finds topics in an item. Labellers know neither the store nor the queue.

pub mod phrases;

use crate::model::{Detection, Document, Failure, TopicSet};

/// A labeller compiled for one frozen catalogue revision and shared by all workers.
///
/// Called from many threads at once, with one item each. The answer must depend on nothing but the item, the scope and
/// the catalogue it was compiled for: the queue counts on the same question having the same answer after a crash.
pub trait Labeller: Send + Sync {
    /// The detections on `document` of the topics in `scope`: at most one a (block, topic), in the order of the blocks
    /// and, within a block, of the topics in the catalogue.
    fn analyse(&self, document: &Document<'_>, scope: &TopicSet) -> Result<Vec<Detection>, Failure>;
}
