//! Numbers in a mapped file: what a thread stored last is still there when its process is not.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};

use memmap2::{MmapOptions, MmapRaw};

use crate::os::{self, PRIVATE};

/// A file of numbers, eight bytes each as the processor has them. It outlives the process, not the machine.
#[derive(Debug)]
pub struct Words {
    map: MmapRaw,
    count: usize,
}

impl Words {
    /// Makes a file of `count` zeros with mode 0600, or overwrites the one that is there.
    ///
    /// # Errors
    ///
    /// `InvalidInput` where a link, a directory, a FIFO or a device is in its place; `StorageFull` where a new file has no
    /// room. A file that is overwritten keeps its blocks, so it needs none.
    pub fn create(path: &Path, count: usize) -> io::Result<Words> {
        let file = os::open_or_create_private(path)?;
        file.set_permissions(Permissions::from_mode(PRIVATE))?;
        let bytes = count.max(1) * size_of::<i64>();
        // Written, not only made so long: storing must not be what finds the disk full.
        file.write_all_at(&vec![0; bytes], 0)?;
        file.set_len(bytes as u64)?;
        os::allocate(&file, 0, bytes as u64)?;
        let map = MmapOptions::new().len(bytes).map_raw(&file)?;
        Ok(Words { map, count })
    }

    /// Stores a number, after all that this thread stored before: where the process dies in between, none of the later
    /// ones is there without the earlier.
    ///
    /// # Panics
    ///
    /// Where there is no such number.
    pub fn store(&self, at: usize, value: i64) {
        self.word(at).store(value, Ordering::Release);
    }

    #[allow(unsafe_code)]
    fn word(&self, at: usize) -> &AtomicI64 {
        assert!(at < self.count, "word {at} of {}", self.count);
        // SAFETY: the map begins on a page and has `count` words; it lives as long as `self`; nothing in this process
        // accesses it but through these atomics.
        unsafe { AtomicI64::from_ptr(self.map.as_mut_ptr().cast::<i64>().add(at)) }
    }
}
