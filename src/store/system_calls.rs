//! Two system calls of SQLite's unix VFS, replaced once per process before the first connection.
//!
//! | call | replacement | reason |
//! |---|---|---|
//! | `pread` | reports a device error (EIO, ENXIO, ERANGE) as EREMOTEIO | SQLite reports these three as SQLITE_CORRUPT (`unixRead` in os_unix.c), so one failed read would look like a damaged database |
//! | `mmap` | allocates the blocks of a writable shared mapping first | SQLite maps `-shm` after it wrote one byte in each 4 KiB; with smaller blocks the rest is a hole, and a store into a hole of a full disk ends the process with SIGBUS |
//!
//! Both then call the function that SQLite used before. Source: <https://sqlite.org/c3ref/vfs.html> (`xSetSystemCall`).
#![allow(unsafe_code)]

use std::ffi::{CStr, c_int, c_void};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::OnceLock;

use errno::{Errno, errno, set_errno};
use rusqlite::{Connection, ffi};

use super::{Error, Result};
use crate::os;

type Pread = unsafe extern "C" fn(c_int, *mut c_void, usize, i64) -> isize;
type Mmap = unsafe extern "C" fn(*mut c_void, usize, c_int, c_int, c_int, i64) -> *mut c_void;

/// The functions that SQLite used before.
static PREAD: OnceLock<Pread> = OnceLock::new();
static MMAP: OnceLock<Mmap> = OnceLock::new();
static INSTALLED: OnceLock<bool> = OnceLock::new();

// Numbers of the kernel's errno-base.h, errno.h and mman.h.
const EIO: i32 = 5;
const ENXIO: i32 = 6;
const ERANGE: i32 = 34;
/// Stands for the three above inside SQLite.
const EREMOTEIO: i32 = 121;
const PROT_WRITE: c_int = 2;
const MAP_SHARED: c_int = 1;
const MAP_FAILED: *mut c_void = usize::MAX as *mut c_void;

/// Installs both replacements. Later calls do nothing.
///
/// # Errors
///
/// [`Error::Unusable`] where SQLite's default VFS does not have these calls.
pub(super) fn install() -> Result<()> {
    match INSTALLED.get_or_init(|| replace().is_some()) {
        true => Ok(()),
        false => Err(Error::Unusable("SQLite does not let its system calls pread and mmap be replaced".into())),
    }
}

fn replace() -> Option<()> {
    type Pointer = unsafe extern "C" fn();
    // SAFETY: a null name asks for the default VFS, which lives as long as the process. The functions of the VFS take it
    // and a C string. SQLite calls `pread` and `mmap` with the signatures of POSIX: the pointers that it gives back and
    // takes have these signatures.
    unsafe {
        let vfs = ffi::sqlite3_vfs_find(std::ptr::null());
        let (get, set) = (vfs.as_ref()?.xGetSystemCall?, vfs.as_ref()?.xSetSystemCall?);
        let used = |name: &CStr| get(vfs, name.as_ptr());
        let put = |name: &CStr, new: Pointer| (set(vfs, name.as_ptr(), Some(new)) == ffi::SQLITE_OK).then_some(());
        // Before the swap: another connection may read at this moment.
        PREAD.set(std::mem::transmute::<Pointer, Pread>(used(c"pread")?)).ok()?;
        MMAP.set(std::mem::transmute::<Pointer, Mmap>(used(c"mmap")?)).ok()?;
        put(c"pread", std::mem::transmute::<Pread, Pointer>(pread))?;
        put(c"mmap", std::mem::transmute::<Mmap, Pointer>(mmap))
    }
}

unsafe extern "C" fn pread(file: c_int, buffer: *mut c_void, bytes: usize, offset: i64) -> isize {
    let Some(before) = PREAD.get() else { return -1 };
    // SAFETY: SQLite's own arguments.
    let read = unsafe { before(file, buffer, bytes, offset) };
    if read < 0 && matches!(errno(), Errno(EIO | ENXIO | ERANGE)) {
        set_errno(Errno(EREMOTEIO));
    }
    read
}

unsafe extern "C" fn mmap(
    at: *mut c_void,
    bytes: usize,
    protection: c_int,
    flags: c_int,
    file: c_int,
    offset: i64,
) -> *mut c_void {
    let Some(before) = MMAP.get() else { return MAP_FAILED };
    if file >= 0 && protection & PROT_WRITE != 0 && flags & MAP_SHARED != 0 {
        // SAFETY: SQLite holds the file open during this call.
        let file = unsafe { BorrowedFd::borrow_raw(file) };
        if let Err(error) = os::allocate(file, offset.unsigned_abs(), bytes as u64) {
            set_errno(Errno(error.raw_os_error().unwrap_or(EIO)));
            return MAP_FAILED;
        }
    }
    // SAFETY: SQLite's own arguments.
    unsafe { before(at, bytes, protection, flags, file, offset) }
}

/// The last operating system error that SQLite noted on this connection; None where there was none.
pub(super) fn last_error(connection: &Connection) -> Option<io::Error> {
    // SAFETY: the handle is that of an open connection.
    match unsafe { ffi::sqlite3_system_errno(connection.handle()) } {
        0 => None,
        EREMOTEIO => Some(io::Error::from_raw_os_error(EIO)),
        number => Some(io::Error::from_raw_os_error(number)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_file_has_its_blocks_and_a_failed_read_is_no_damage() {
        install().unwrap();
        install().unwrap();
        let file = tempfile::tempfile().unwrap();
        file.set_len(65_536).unwrap();
        let blocks = || std::os::unix::fs::MetadataExt::blocks(&file.metadata().unwrap());
        assert_eq!(blocks(), 0);
        let number = std::os::fd::AsRawFd::as_raw_fd(&file);
        // SAFETY: a new mapping of an open file, which nothing uses.
        let at = unsafe { mmap(std::ptr::null_mut(), 32_768, 1 | PROT_WRITE, MAP_SHARED, number, 32_768) };
        assert_ne!(at, MAP_FAILED);
        assert_eq!(blocks() * 512, 32_768);
        // SAFETY: the buffer is as long as the call says; file -1 is never open.
        let read = unsafe { pread(-1, [0u8; 1].as_mut_ptr().cast(), 1, 0) };
        assert_eq!((read, errno()), (-1, Errno(9)), "other errors stay");
    }
}
