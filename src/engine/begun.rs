//! The note of what is being analysed: one slot a worker in a small mapped file, written before an item's analysis begins and
//! emptied when it has ended.
//!
//! It outlives the process, not the machine: what a worker stored is in the kernel's page cache when the process dies,
//! and after a power cut nobody is suspect. It costs no system call and no transaction.

use std::io::{self, Read as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;

use crate::job::JobId;
use crate::os;
use crate::os::mapped::Words;
use crate::store::Begun;

/// Words of a slot: the epoch, the job, the position; all zero where nothing is begun.
const SLOT: usize = 3;

/// The file `DIR/begun`.
pub struct Notes {
    words: Words,
    epoch: i64,
    slots: usize,
    /// Nothing is noted any more: see [`Notes::forgive`].
    forgiving: AtomicBool,
}

impl Notes {
    /// What an earlier process left.
    ///
    /// # Errors
    ///
    /// With the path, where something else than a regular file is in its place.
    pub fn left(dir: &Path) -> anyhow::Result<Vec<Begun>> {
        let path = dir.join("begun");
        let mut bytes = Vec::new();
        match os::open_regular(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            opened => opened.and_then(|mut file| file.read_to_end(&mut bytes)).with_context(|| unusable(&path))?,
        };
        let word = |slot: &[u8], at: usize| {
            slot.get(at * 8..at * 8 + 8).and_then(|word| word.try_into().ok()).map_or(0, i64::from_ne_bytes)
        };
        let slots = bytes.chunks_exact(SLOT * size_of::<i64>());
        let begun = slots.map(|slot| Begun { epoch: word(slot, 0), job: word(slot, 1), pos: word(slot, 2) });
        Ok(begun.filter(|begun| begun.epoch != 0).collect())
    }

    /// Begins anew for `workers` workers.
    ///
    /// # Errors
    ///
    /// With the path, as [`Words::create`].
    pub fn create(dir: &Path, epoch: i64, workers: usize) -> anyhow::Result<Notes> {
        let path = dir.join("begun");
        let words = Words::create(&path, SLOT * workers).with_context(|| unusable(&path))?;
        Ok(Notes { words, epoch, slots: workers, forgiving: AtomicBool::new(false) })
    }

    /// Worker `slot` begins an item.
    pub fn begin(&self, slot: usize, job: JobId, pos: i64) {
        if self.forgiving.load(Ordering::Relaxed) {
            return;
        }
        // Wherever the process dies: what stands under an epoch is whole.
        self.words.store(slot * SLOT, 0);
        self.words.store(slot * SLOT + 1, job);
        self.words.store(slot * SLOT + 2, pos);
        self.words.store(slot * SLOT, self.epoch);
    }

    /// The process is asked to end: whatever is being analysed then, and however the end comes, is nobody's fault.
    pub fn forgive(&self) {
        self.forgiving.store(true, Ordering::Relaxed);
        (0..self.slots).for_each(|slot| self.end(slot));
    }

    /// Worker `slot` has nothing under its hands: its slot is as it was made.
    pub fn end(&self, slot: usize) {
        (slot * SLOT..(slot + 1) * SLOT).for_each(|word| self.words.store(word, 0));
    }
}

fn unusable(path: &Path) -> String {
    format!("cannot use {}, which names the items in analysis", path.display())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    #[test]
    fn only_a_regular_file_is_used_and_it_becomes_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("begun");
        let refused = || {
            let left = Notes::left(dir.path()).err().map(|error| format!("{error:#}")).unwrap();
            let made = Notes::create(dir.path(), 1, 1).err().map(|error| format!("{error:#}")).unwrap();
            assert!(left.contains("begun") && left.contains("not a regular file"), "{left}");
            assert_eq!(left, made);
        };
        std::fs::create_dir(&path).unwrap();
        refused();
        std::fs::remove_dir(&path).unwrap();
        let theirs = dir.path().join("theirs");
        std::fs::write(&theirs, "precious").unwrap();
        symlink(&theirs, &path).unwrap();
        refused();
        assert_eq!(std::fs::read(&theirs).unwrap(), b"precious");
        std::fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        refused();
        std::fs::remove_file(&path).unwrap();

        let longer = vec![7; 1_000];
        std::fs::write(&path, longer).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        Notes::create(dir.path(), 1, 1).unwrap();
        let made = std::fs::metadata(&path).unwrap();
        assert_eq!((made.mode() & 0o777, made.len()), (0o600, SLOT as u64 * 8));
        assert_eq!(Notes::left(dir.path()).unwrap(), []);
    }

    #[test]
    fn what_was_begun_and_not_ended_is_left() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Notes::left(dir.path()).unwrap(), []);
        let notes = Notes::create(dir.path(), 7, 3).unwrap();
        notes.begin(0, 1, 10);
        notes.begin(2, 1, 11);
        notes.begin(2, 2, 0);
        notes.end(0);
        assert_eq!(Notes::left(dir.path()).unwrap(), [Begun { epoch: 7, job: 2, pos: 0 }]);
        let file = std::fs::read(dir.path().join("begun")).unwrap();
        assert_eq!(file[..SLOT * 8], [0; SLOT * 8], "of one that ended nothing is left");
        notes.forgive();
        notes.begin(1, 2, 1);
        assert_eq!(Notes::left(dir.path()).unwrap(), []);
        Notes::create(dir.path(), 8, 3).unwrap();
        assert_eq!(Notes::left(dir.path()).unwrap(), []);
    }
}
