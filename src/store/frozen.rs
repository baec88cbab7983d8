//! Frozen lists: the keys of a job's items, packed chunk by chunk as they come, so that a long list takes a few bytes an
//! item.

use rusqlite::params;
use rusqlite::types::ValueRef::Blob;

use super::Result;
use super::codec::{Key, pack_keys};
use super::sums::{self, integer};
use super::writer::Tx;
use crate::job::JobId;

/// Items of a chunk: enough that a lease costs little an item, few enough that workers share a job's last ones.
pub(super) const CHUNK_ITEMS: usize = 256;

/// What an item costs besides the reading of its text, in bytes of text.
pub(super) const ITEM_WEIGHT: i64 = 512;

/// A packed piece of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FrozenChunk {
    n: i64,
    weight: i64,
    keys: Vec<u8>,
}

/// A list under way; all chunks but the last are full, so that the chunk of a position is known without looking.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Frozen {
    chunks: Vec<FrozenChunk>,
    open: Vec<Key>,
    open_weight: i64,
    pub total: i64,
    pub weight: i64,
}

impl Frozen {
    pub fn push(&mut self, key: Key, weight: i64) {
        self.open.push(key);
        self.open_weight += weight;
        self.total += 1;
        self.weight += weight;
        if self.open.len() == CHUNK_ITEMS {
            self.seal();
        }
    }

    fn seal(&mut self) {
        let chunk = FrozenChunk { n: self.open.len() as i64, weight: self.open_weight, keys: pack_keys(&self.open) };
        self.chunks.push(chunk);
        self.open.clear();
        self.open_weight = 0;
    }

    /// No more keys come.
    pub fn whole(mut self) -> Frozen {
        if !self.open.is_empty() {
            self.seal();
        }
        self
    }

    pub fn chunks(&self) -> i64 {
        self.chunks.len() as i64
    }
}

impl Tx<'_> {
    /// Adds chunks after the `chunks` that a job has, which hold `planned` items.
    pub fn put_chunks(&self, job: JobId, chunks: i64, planned: i64, frozen: &Frozen) -> Result<()> {
        let mut insert =
            self.prepare_cached("INSERT INTO chunk (job, no, pos, n, weight, keys, sum) VALUES (?, ?, ?, ?, ?, ?, ?)")?;
        let mut pos = planned;
        for (no, chunk) in (chunks..).zip(&frozen.chunks) {
            let numbers = [job, no, pos, chunk.n, chunk.weight].map(integer);
            let sum = sums::of(numbers.into_iter().chain([Blob(&chunk.keys)]));
            insert.execute(params![job, no, pos, chunk.n, chunk.weight, chunk.keys, sum])?;
            pos += chunk.n;
        }
        Ok(())
    }
}
