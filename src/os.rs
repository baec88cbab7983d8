//! Operating system services: the data directory and its lock, signals, systemd, free space, mapped files, and atomic
//! replacement of files. Only this module uses signal-hook, sd-notify, rustix and memmap2.

pub mod mapped;
pub mod process;
pub mod reserve;
pub mod systemd;
pub mod token_file;

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use crossbeam_channel::{Receiver, bounded};
use rustix::fs::{Access, FallocateFlags, OFlags};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

pub use self::token_file::TokenFault;

/// The mode of files with secrets in them.
pub const PRIVATE: u32 = 0o600;
const PRIVATE_DIR: u32 = 0o700;
/// `/tmp` and its like carry it.
const STICKY: u32 = 0o1000;

/// Proof that this process alone uses the data directory; the kernel ends it with the process, however that dies.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("cannot use the data directory {}", dir.display())]
    Directory { dir: PathBuf, source: io::Error },
    #[error("cannot lock {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("another relabeld ({}) uses {}: stop it, or choose another --data-dir", name_process(*.pid), dir.display())]
    Held { dir: PathBuf, pid: Option<u32> },
}

fn name_process(pid: Option<u32>) -> String {
    pid.map_or_else(|| "pid unknown".to_owned(), |pid| format!("pid {pid}"))
}

/// Takes the data directory for this process, making it first when it is missing.
pub fn lock(data_dir: &Path) -> Result<Lock, LockError> {
    let dir = || data_dir.to_path_buf();
    make_private_dir(data_dir).map_err(|source| LockError::Directory { dir: dir(), source })?;
    // A file of its own: closing a second descriptor of the database would drop SQLite's own locks on it.
    let path = data_dir.join("lock");
    let failed = |source| LockError::File { path: path.clone(), source };
    // Root restores into a directory of somebody else, who might have put a link to any file here.
    let mut file = open_or_create_private(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => write_pid(&file).map_err(failed)?,
        Err(TryLockError::WouldBlock) => {
            return Err(LockError::Held { dir: dir(), pid: read_pid(&mut file) });
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    Ok(Lock { _file: file })
}

/// Locks the data directory without writing to it. None if it has no lock file: no daemon ever used it.
pub fn lock_if_there(data_dir: &Path) -> Result<Option<Lock>, LockError> {
    let path = data_dir.join("lock");
    let failed = |source| LockError::File { path: path.clone(), source };
    let mut file = match OpenOptions::new().read(true).custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock { _file: file })),
        Err(TryLockError::WouldBlock) => Err(LockError::Held { dir: data_dir.to_path_buf(), pid: read_pid(&mut file) }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Whether a daemon uses the data directory now. Whoever starts at this very moment may be told that another does.
pub fn is_locked(data_dir: &Path) -> bool {
    let lock = File::open(data_dir.join("lock"));
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// The pid is written before the file is cut to length, so that a reader never finds the file empty.
fn write_pid(file: &File) -> io::Result<()> {
    let line = format!("{}\n", std::process::id());
    file.write_all_at(line.as_bytes(), 0)?;
    file.set_len(line.len() as u64)
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(64).read_to_string(&mut text).ok()?;
    text.lines().next()?.trim().parse().ok()
}

fn make_private_dir(dir: &Path) -> io::Result<()> {
    match fs::metadata(dir) {
        Ok(meta) if !meta.is_dir() => Err(io::ErrorKind::NotADirectory.into()),
        Ok(meta) => tighten_if_fresh(dir, meta.permissions().mode()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            create_private_dir(dir)?;
            // The parent may be one that we may not read; the directory is there all the same.
            sync_parent(dir).or(Ok(()))
        }
        Err(e) => Err(e),
    }
}

/// An empty directory that was made for us (`mkdir data`) becomes private. One in use keeps its mode: closing a home or
/// `/tmp` to everyone else would be worse than the refusal that `http::access` answers then.
fn tighten_if_fresh(dir: &Path, mode: u32) -> io::Result<()> {
    if mode & 0o007 == 0 || mode & STICKY != 0 || fs::read_dir(dir)?.next().is_some() {
        return Ok(());
    }
    fs::set_permissions(dir, Permissions::from_mode(PRIVATE_DIR))
}

/// Replaces `path` by a file that holds `bytes` and has exactly `mode`, whatever the umask. A crash at any point leaves
/// the old file or the new one, and it is on the disk when this returns. After an error either may be in its place:
/// [`replace`] tells which.
///
/// Two writers of one path must take turns.
pub fn write_atomically(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    replace(path, bytes, mode)?.synced
}

/// A file that has taken the place of another.
#[derive(Debug)]
pub struct Replaced {
    /// An error where the directory could not be synced: a power cut may bring the old file back.
    pub synced: io::Result<()>,
}

/// As [`write_atomically`]. After an error the old file is in its place.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<Replaced> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let draft = path.with_file_name(format!(".{}.tmp", name.to_string_lossy()));
    let written = write_draft(&draft, bytes, mode).and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        // The first error is the one worth telling.
        let _ = fs::remove_file(&draft);
    }
    written?;
    Ok(Replaced { synced: sync_parent(path) })
}

fn write_draft(draft: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = create_private(draft)?;
    file.write_all(bytes)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

/// A name is durable only when its directory is.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    #[cfg(test)]
    if tests::DIRECTORY_SYNC_FAILS.get() {
        return Err(io::Error::from_raw_os_error(5));
    }
    let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// What the end of the terminal (SIGHUP) means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hangup {
    /// Nothing but a line in the log.
    Noted,
    /// To stop. It comes from the kernel and the shell at once, so a second one ends nothing.
    Asks,
}

/// Gets one message at the first SIGTERM or SIGINT. A second one of either ends the process within its handler, with
/// 128 + signal, so that it works even when every thread hangs. Call it once.
pub fn signals(hangup: Hangup) -> io::Result<Receiver<()>> {
    // Whoever runs it under nohup wants it to outlive the terminal.
    let hangup_asks = hangup == Hangup::Asks && !process::ignores(SIGHUP);
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // In this order: the first signal finds the flag down, and raises it.
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&asked))?;
        signal_hook::flag::register(signal, Arc::clone(&asked))?;
    }
    let mut arriving = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let (ask, stop) = bounded(1);
    // Not joined: it holds nothing, and it has to outlive everything that may still be stopped by a signal.
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in arriving.forever() {
            if signal == SIGHUP && !hangup_asks {
                log::info!("SIGHUP: nothing to reload; a restart reads the configuration again");
            } else {
                log::info!("signal {signal}: stopping; a second one ends the process at once");
                // Full or closed: the stop is known or under way.
                let _ = ask.try_send(());
            }
        }
    })?;
    Ok(stop)
}

/// Makes SIGINT raise the flag; a second one ends the process.
pub fn catch_interrupt() -> io::Result<Arc<AtomicBool>> {
    let raised = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register_conditional_default(SIGINT, Arc::clone(&raised))?;
    signal_hook::flag::register(SIGINT, Arc::clone(&raised))?;
    Ok(raised)
}

/// Has `act` done at the first SIGINT, on a thread of its own; a second one ends the process. Where SIGINT is ignored,
/// as by what a script runs in the background, it stays so.
pub fn on_interrupt(act: impl FnOnce() + Send + 'static) -> io::Result<()> {
    if process::ignores(SIGINT) {
        return Ok(());
    }
    catch_interrupt()?;
    let mut arriving = Signals::new([SIGINT])?;
    // Not joined: it waits for what may never come.
    let wait = move || arriving.forever().next().map(|_| act());
    thread::Builder::new().name("interrupt".to_owned()).spawn(wait).map(drop)
}

/// Ends this process as an uncaught SIGINT would have; returns only where that cannot be done.
pub fn end_by_interrupt() {
    if let Err(e) = signal_hook::low_level::emulate_default_handler(SIGINT) {
        log::warn!("cannot end by SIGINT: {e}");
    }
}

/// Whoever read our output went away (`relabeld jobs | head`): an end, not a failure. Rust ignores SIGPIPE, which the
/// daemon needs, so the command line asks this instead.
pub fn is_broken_pipe(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// What an ordinary user may still write to the file system of `path`: blocks reserved for root do not count.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let fs = rustix::fs::statvfs(path)?;
    Ok(fs.f_bavail.saturating_mul(fs.f_frsize))
}

/// Creates a directory, and its parents, for its owner alone, whatever the umask. One that is there stays as it is.
pub fn create_private_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(PRIVATE_DIR).create(dir)?;
    fs::set_permissions(dir, Permissions::from_mode(PRIVATE_DIR))
}

/// Creates a file with exactly [`PRIVATE`], whatever the umask, to read and write. Removes one that is in its place, which a
/// crash may have left, and never opens what it did not create.
pub fn create_private(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    create_new_private(path)
}

fn create_new_private(path: &Path) -> io::Result<File> {
    // O_EXCL, private from the first byte on: nobody opened it before the mode was right.
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(PRIVATE).open(path)?;
    file.set_permissions(Permissions::from_mode(PRIVATE))?;
    Ok(file)
}

/// Like [`open_regular`], but a missing file is created as [`create_private`] does.
pub fn open_or_create_private(path: &Path) -> io::Result<File> {
    match open_regular(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => match create_new_private(path) {
            // Another process was faster.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => open_regular(path),
            created => created,
        },
        opened => opened,
    }
}

/// Opens a regular file of ours to read and write. Never follows a link, and never waits for the other end of a FIFO.
///
/// # Errors
///
/// `NotFound`; `InvalidInput` for anything but a regular file; any other error of the system. None of them names the path.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let not_regular = || io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file: move it away");
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let opened = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path);
    let file = opened.map_err(|error| match Errno::from_io_error(&error) {
        // A link, a directory, a socket.
        Some(Errno::LOOP | Errno::ISDIR | Errno::NXIO) => not_regular(),
        _ => error,
    })?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
}

/// Allocates the blocks of `bytes` bytes of a file from `offset` on, so that a later write there needs no space. What the
/// file holds stays. Does nothing on a file system that cannot allocate.
///
/// # Errors
///
/// `StorageFull` or `QuotaExceeded` where there is no room; any other error of the disk.
pub fn allocate(file: impl AsFd, offset: u64, bytes: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), offset, bytes) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        allocated => Ok(allocated?),
    }
}

/// The disk, or the user's quota, has no room.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// How much space a directory has, for a message: `/var/lib/relabeld has 4096 bytes free`.
pub fn describe_free(dir: &Path) -> String {
    match free_bytes(dir) {
        Ok(free) => format!("{} has {free} bytes free", dir.display()),
        Err(error) => format!("cannot read the free space of {}: {error}", dir.display()),
    }
}

/// Bytes of the whole file system of `path`.
pub fn total_bytes(path: &Path) -> io::Result<u64> {
    let fs = rustix::fs::statvfs(path)?;
    Ok(fs.f_blocks.saturating_mul(fs.f_frsize))
}

/// Whether this process may make files in `dir`.
pub fn can_write_dir(dir: &Path) -> bool {
    dir.is_dir() && rustix::fs::access(dir, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;
    use std::os::unix::net::UnixDatagram;
    use std::process::Command;

    use super::*;

    thread_local! {
        /// Makes [`sync_parent`] fail on this thread, as a disk does that takes no more writes.
        pub(crate) static DIRECTORY_SYNC_FAILS: Cell<bool> = const { Cell::new(false) };
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn the_lock_makes_a_private_directory_and_keeps_a_second_daemon_out() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("a/b");
        fs::create_dir(root.path().join("a")).unwrap();
        let held = lock(&dir).unwrap();
        assert_eq!((mode(&dir), mode(&dir.join("lock"))), (0o700, 0o600));

        let text = lock(&dir).unwrap_err().to_string();
        assert!(text.contains(&format!("pid {}", std::process::id())), "{text}");
        assert!(text.contains(&dir.display().to_string()), "{text}");

        drop(held);
        fs::write(dir.join("lock"), "123456789012\n").unwrap();
        let _again = lock(&dir).expect("free again, whatever a dead daemon left in the file");
        assert_eq!(fs::read_to_string(dir.join("lock")).unwrap(), format!("{}\n", std::process::id()));
    }

    #[test]
    fn a_lock_without_a_file_makes_none_and_one_with_a_file_leaves_it_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("data");
        assert!(lock_if_there(&dir).unwrap().is_none());
        assert!(!dir.exists());
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("lock"), "7\n").unwrap();
        let held = lock_if_there(&dir).unwrap().expect("a lock");
        assert_eq!(fs::read_to_string(dir.join("lock")).unwrap(), "7\n");
        assert!(matches!(lock(&dir), Err(LockError::Held { .. })), "a daemon would start beside the check");
        assert!(matches!(lock_if_there(&dir), Err(LockError::Held { .. })));
        drop(held);
        lock(&dir).unwrap();
    }

    #[test]
    fn the_lock_writes_into_no_file_that_a_link_leads_to() {
        let root = tempfile::tempdir().unwrap();
        let (dir, theirs) = (root.path().join("data"), root.path().join("theirs"));
        fs::create_dir(&dir).unwrap();
        fs::write(&theirs, "precious").unwrap();
        std::os::unix::fs::symlink(&theirs, dir.join("lock")).unwrap();
        assert!(lock(&dir).unwrap_err().to_string().contains("lock"));
        assert_eq!(fs::read_to_string(&theirs).unwrap(), "precious");
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named_with_the_reason() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        for dir in [file.clone(), file.join("below")] {
            let text = lock(&dir).unwrap_err().to_string();
            assert!(text.contains(&dir.display().to_string()) && text.contains("directory"), "{text}");
        }
    }

    #[test]
    fn only_a_fresh_directory_is_tightened() {
        let root = tempfile::tempdir().unwrap();
        let after_lock = |name: &str, before: u32, used: bool| {
            let dir = root.path().join(name);
            fs::create_dir(&dir).unwrap();
            if used {
                fs::write(dir.join("theirs"), "").unwrap();
            }
            fs::set_permissions(&dir, Permissions::from_mode(before)).unwrap();
            lock(&dir).unwrap();
            mode(&dir)
        };
        assert_eq!(after_lock("fresh", 0o755, false), 0o700);
        assert_eq!(after_lock("used", 0o755, true), 0o755);
        assert_eq!(after_lock("group", 0o750, false), 0o750);
        assert_eq!(after_lock("like_tmp", 0o1777, false), 0o1777);
    }

    #[test]
    fn a_file_is_replaced_whole_with_its_mode_and_leaves_no_draft() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("address");
        fs::write(dir.path().join(".address.tmp"), "left by a crash, and longer").unwrap();
        write_atomically(&path, b"one", 0o644).unwrap();
        write_atomically(&path, b"two", 0o666).unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"two".to_vec(), 0o666));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);

        let taken = dir.path().join("taken");
        fs::create_dir(&taken).unwrap();
        assert!(write_atomically(&taken, b"x", PRIVATE).is_err());
        assert!(!dir.path().join(".taken.tmp").exists(), "a failure cleans up");
    }

    #[test]
    fn free_space_is_known_for_what_exists() {
        let dir = tempfile::tempdir().unwrap();
        assert!(free_bytes(dir.path()).unwrap() > 0);
        assert!(free_bytes(&dir.path().join("missing")).is_err());
        assert!(can_write_dir(dir.path()));
        assert!(!can_write_dir(&dir.path().join("missing")));
        assert!(is_broken_pipe(&io::ErrorKind::BrokenPipe.into()) && !is_broken_pipe(&io::ErrorKind::NotFound.into()));
    }

    /// Signals and the environment belong to a whole process, so this test runs once more as a child of itself.
    #[test]
    fn the_first_signal_asks_and_the_second_ends_the_process() {
        if std::env::var_os("RELABELD_TEST_CHILD").is_some() {
            return be_the_child();
        }
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("notify");
        let ear = UnixDatagram::bind(&socket).unwrap();
        let (_, module) = module_path!().split_once("::").unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .arg(format!("{module}::the_first_signal_asks_and_the_second_ends_the_process"))
            .args(["--exact", "--nocapture"])
            .env("RELABELD_TEST_CHILD", "1")
            .env("NOTIFY_SOCKET", &socket)
            .output()
            .unwrap();
        assert_eq!(child.status.code(), Some(128 + SIGINT), "{}", String::from_utf8_lossy(&child.stderr));
        // All was sent before the child ended, so what is missing now never comes.
        ear.set_nonblocking(true).unwrap();
        let mut heard = Vec::new();
        let mut buffer = [0; 256];
        while let Ok(length) = ear.recv(&mut buffer) {
            heard.push(String::from_utf8_lossy(&buffer[..length]).trim_end().to_owned());
        }
        assert_eq!(heard, ["READY=1", "STOPPING=1"]);
    }

    fn be_the_child() {
        let stop = signals(Hangup::Noted).unwrap();
        systemd::ready();
        signal_hook::low_level::raise(SIGHUP).unwrap();
        assert!(stop.try_recv().is_err(), "nobody asked yet");
        signal_hook::low_level::raise(SIGTERM).unwrap();
        stop.recv_timeout(std::time::Duration::from_secs(20)).expect("asked to stop");
        assert!(stop.try_recv().is_err(), "SIGHUP did not ask");
        systemd::stopping();
        signal_hook::low_level::raise(SIGINT).unwrap();
        unreachable!("the second signal ends the process in its handler");
    }
}
