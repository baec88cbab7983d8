//! The note of what is being analysed: one slot a worker in a small file, written before an item's analysis begins.
//!
//! It outlives the process, not the machine: what a worker wrote is in the kernel's page cache when the process dies,
//! and after a power cut nobody is suspect. It costs one `pwrite` an item and no transaction.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::job::JobId;
use crate::store::Begun;

const SLOT: usize = 24;

/// The file `DIR/begun`.
pub struct Notes {
    file: File,
    epoch: i64,
    /// Nothing is noted any more: see [`Notes::forgive`].
    forgiving: AtomicBool,
}

impl Notes {
    /// What an earlier process left.
    pub fn left(dir: &Path) -> io::Result<Vec<Begun>> {
        let bytes = match std::fs::read(dir.join("begun")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let word = |slot: &[u8], at: usize| {
            slot.get(at * 8..at * 8 + 8).and_then(|word| word.try_into().ok()).map_or(0, i64::from_le_bytes)
        };
        let begun =
            bytes.chunks_exact(SLOT).map(|slot| Begun { epoch: word(slot, 0), job: word(slot, 1), pos: word(slot, 2) });
        Ok(begun.filter(|begun| begun.epoch != 0).collect())
    }

    /// Begins anew for `workers` workers.
    pub fn create(dir: &Path, epoch: i64, workers: usize) -> io::Result<Notes> {
        let file = File::create(dir.join("begun"))?;
        file.write_all_at(&vec![0; SLOT * workers], 0)?;
        Ok(Notes { file, epoch, forgiving: AtomicBool::new(false) })
    }

    /// Worker `slot` begins an item.
    pub fn begin(&self, slot: usize, job: JobId, pos: i64) -> io::Result<()> {
        if self.forgiving.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut note = [0; SLOT];
        note[..8].copy_from_slice(&self.epoch.to_le_bytes());
        note[8..16].copy_from_slice(&job.to_le_bytes());
        note[16..].copy_from_slice(&pos.to_le_bytes());
        self.file.write_all_at(&note, (slot * SLOT) as u64)
    }

    /// The process is asked to end: whatever is being analysed then, and however the end comes, is nobody's fault.
    pub fn forgive(&self, workers: usize) -> io::Result<()> {
        self.forgiving.store(true, Ordering::Relaxed);
        self.file.write_all_at(&vec![0; SLOT * workers], 0)
    }

    /// Worker `slot` has nothing under its hands.
    pub fn end(&self, slot: usize) -> io::Result<()> {
        self.file.write_all_at(&[0; SLOT], (slot * SLOT) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_and_not_ended_is_left() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Notes::left(dir.path()).unwrap(), []);
        let notes = Notes::create(dir.path(), 7, 3).unwrap();
        notes.begin(0, 1, 10).unwrap();
        notes.begin(2, 1, 11).unwrap();
        notes.begin(2, 2, 0).unwrap();
        notes.end(0).unwrap();
        assert_eq!(Notes::left(dir.path()).unwrap(), [Begun { epoch: 7, job: 2, pos: 0 }]);
        notes.forgive(3).unwrap();
        notes.begin(1, 2, 1).unwrap();
        assert_eq!(Notes::left(dir.path()).unwrap(), []);
        Notes::create(dir.path(), 8, 3).unwrap();
        assert_eq!(Notes::left(dir.path()).unwrap(), []);
    }
}
