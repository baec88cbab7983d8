//! A preallocated file that gives its space back when the disk is full, so that the daemon can still start, pause, cancel
//! and rotate a token.
//!
//! The file is whole while the disk has room. A running daemon that finds the disk full releases half of it
//! ([`Reserve::release`]); the other half stays for the next start ([`Reserve::release_all`]), in case that something else
//! takes the first. [`Reserve::keep`] makes the file whole again, which also proves that there is room: file systems with
//! quotas or overcommitted storage report free space that they do not have.

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::{allocate, free_bytes, open_or_create_private, open_regular, total_bytes};

/// Bytes of the file on a large disk. Half of it is enough for the writes of a start, or of a few hundred calls.
const BYTES: u64 = 4 << 20;
/// On a small disk the file takes at most this share of it.
const SHARE: u64 = 32;

#[derive(Debug)]
pub struct Reserve {
    path: PathBuf,
    bytes: u64,
    kept: Mutex<bool>,
}

impl Reserve {
    /// The reserve of a data directory. Nothing is made or removed yet.
    ///
    /// # Errors
    ///
    /// Where the file system of the directory does not say how large it is.
    pub fn of(data_dir: &Path) -> io::Result<Reserve> {
        let path = data_dir.join("reserve");
        let bytes = BYTES.min(total_bytes(data_dir)? / SHARE);
        let kept = fs::symlink_metadata(&path).is_ok_and(|about| about.is_file() && about.len() >= bytes);
        Ok(Reserve { path, bytes, kept: Mutex::new(kept) })
    }

    /// Bytes of the whole file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The file is whole.
    pub fn is_kept(&self) -> bool {
        *self.kept()
    }

    /// Makes the file whole unless it is.
    ///
    /// # Errors
    ///
    /// `StorageFull` or `QuotaExceeded` where there is no room for it beside `needed` bytes; any other where the file
    /// cannot be made, which says nothing about the disk's space.
    pub fn keep(&self, needed: u64) -> io::Result<()> {
        let mut kept = self.kept();
        if !*kept && self.bytes > 0 {
            self.make(needed)?;
            *kept = true;
        }
        Ok(())
    }

    fn make(&self, needed: u64) -> io::Result<()> {
        let dir = self.path.parent().unwrap_or(Path::new("."));
        // As much again stays free, or the next write would need the reserve.
        if free_bytes(dir)? < needed.saturating_add(2 * self.bytes) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = open_or_create_private(&self.path)?;
        let made = allocate(&file, 0, self.bytes).and_then(|()| file.set_len(self.bytes)).and_then(|()| {
            // A file system that cannot allocate gets the bytes themselves.
            let is_sparse = file.metadata()?.blocks() * 512 < self.bytes;
            if is_sparse { file.write_all_at(&vec![0; self.bytes as usize], 0) } else { Ok(()) }
        });
        if made.is_err() {
            // It may have got some of the blocks.
            self.cut_to_half()?;
        }
        made
    }

    /// Gives half of the space back, unless that was done before.
    pub fn release(&self) {
        let mut kept = self.kept();
        if std::mem::take(&mut *kept)
            && let Err(error) = self.cut_to_half()
        {
            log::warn!("cannot release half of {}: {error}", self.path.display());
        }
    }

    fn cut_to_half(&self) -> io::Result<()> {
        let file = open_regular(&self.path)?;
        let half = self.bytes / 2;
        if file.metadata()?.len() > half { file.set_len(half) } else { Ok(()) }
    }

    /// Gives all of the space back. False where there was none to give.
    pub fn release_all(&self) -> bool {
        *self.kept() = false;
        let removed = fs::remove_file(&self.path);
        if let Err(error) = &removed
            && error.kind() != io::ErrorKind::NotFound
        {
            log::warn!("cannot remove {}: {error}", self.path.display());
        }
        removed.is_ok()
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, bool> {
        self.kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_takes_its_space_and_gives_it_back_in_two_halves() {
        let dir = tempfile::tempdir().unwrap();
        let file = || fs::metadata(dir.path().join("reserve"));
        let allocated = || file().unwrap().blocks() * 512;
        let reserve = Reserve::of(dir.path()).unwrap();
        reserve.release();
        assert!(!reserve.release_all() && file().is_err(), "it is not made by itself");
        assert!(reserve.keep(u64::MAX).is_err() && file().is_err(), "there is no room");
        assert!(reserve.keep(0).is_ok() && reserve.is_kept());
        assert!(allocated() >= reserve.bytes() && reserve.bytes() > 0, "{} bytes", allocated());
        assert_eq!(file().unwrap().mode() & 0o777, 0o600);
        assert!(reserve.keep(u64::MAX).is_ok(), "it is whole already");
        reserve.release();
        reserve.release();
        let half = reserve.bytes() / 2;
        assert!((half..reserve.bytes()).contains(&allocated()), "{} bytes", allocated());

        let after_a_restart = Reserve::of(dir.path()).unwrap();
        assert!(!after_a_restart.is_kept() && after_a_restart.keep(0).is_ok(), "it is made whole again");
        assert!(Reserve::of(dir.path()).unwrap().keep(u64::MAX).is_ok(), "it is whole already");
        assert!(after_a_restart.release_all() && file().is_err());
        assert!(!after_a_restart.is_kept() && !after_a_restart.release_all());
    }
}
