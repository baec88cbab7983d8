//! Numbers in a mapped file: what a thread stored last is still there when its process is not.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};

use memmap2::{MmapOptions, MmapRaw};

/// A file of numbers, eight bytes each as the processor has them. It outlives the process, not the machine.
#[derive(Debug)]
pub struct Words {
    map: MmapRaw,
    count: usize,
}

impl Words {
    /// Makes a file of `count` zeros, in place of one that is there.
    pub fn create(path: &Path, count: usize) -> io::Result<Words> {
        // Written, not only made so long: storing must not be what finds the disk full.
        File::create(path)?.write_all(&vec![0; count * size_of::<i64>()])?;
        let file = File::options().read(true).write(true).open(path)?;
        let map = MmapOptions::new().len(count.max(1) * size_of::<i64>()).map_raw(&file)?;
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
