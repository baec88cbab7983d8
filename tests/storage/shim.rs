//! The preloaded library of `shim.c`: compiled once, controlled through a file while the daemon runs.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::daemon::relabeld;

/// Bits of operations and of files, in the order of the enums in `shim.c`.
pub const WRITE: u64 = 1 << 0;
pub const SYNC: u64 = 1 << 1;
pub const TRUNCATE: u64 = 1 << 2;
pub const MAP: u64 = 1 << 3;
pub const OPEN: u64 = 1 << 4;
pub const NAMES: u64 = 0b1_1111 << 5;
pub const READ: u64 = 1 << 10;
pub const CHANGES: u64 = WRITE | SYNC | TRUNCATE | NAMES;

pub const DATABASE: u64 = 1 << 0;
pub const WAL: u64 = 1 << 1;
pub const SHM: u64 = 1 << 2;
pub const IN_FLIGHT: u64 = 1 << 4;
pub const ALL_FILES: u64 = 0xff;

const OPERATION_NAMES: [&str; 11] =
    ["write", "sync", "truncate", "map", "open", "create", "rename", "unlink", "mkdir", "chmod", "read"];
const FILE_NAMES: [&str; 8] = ["database", "WAL", "shm", "lock", "in-flight", "other", "scratch", "directory"];

/// Words of the control file.
const MATCHED: u64 = 0;
const ARMED_FROM: u64 = 1;
const SPAN: u64 = 2;
const EFFECT: u64 = 3;
const ERRNO: u64 = 4;
const OPERATION_MASK: u64 = 5;
const FILE_MASK: u64 = 6;
const HITS: u64 = 7;
const HIT_OPERATION: u64 = 8;
const HIT_FILE: u64 = 9;
const COUNTS: u64 = 10;
const BYTES: usize = 4096;

pub const EIO: u64 = 5;
pub const ENOSPC: u64 = 28;

/// What happens to an operation that is hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Fail(u64),
    /// The first write is cut to half, and later operations of the span fail with ENOSPC.
    Short,
    /// SIGKILL before the operation.
    Kill,
}

/// Which operations fail, and how.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    pub operations: u64,
    pub files: u64,
    /// The number of the first that fails, from 1 on.
    pub first: u64,
    /// How many fail; 0 is all from the first on.
    pub span: u64,
    pub effect: Effect,
}

/// How often each operation was called on each file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts([[u64; FILE_NAMES.len()]; OPERATION_NAMES.len()]);

impl Counts {
    pub fn of(&self, operations: u64, files: u64) -> u64 {
        let rows = (0..).zip(&self.0).filter(|(operation, _)| operations >> operation & 1 == 1);
        rows.flat_map(|(_, row)| (0..).zip(row)).filter(|(file, _)| files >> file & 1 == 1).map(|(_, n)| n).sum()
    }

    pub fn since(&self, before: &Counts) -> Counts {
        let mut counts = *self;
        for (row, old) in counts.0.iter_mut().zip(&before.0) {
            row.iter_mut().zip(old).for_each(|(n, old)| *n -= old);
        }
        counts
    }
}

/// The shim of one data directory: its control file, and its record where one is made.
pub struct Shim {
    control: File,
    path: PathBuf,
    watched: PathBuf,
    record: Option<PathBuf>,
}

impl Shim {
    /// The control file lies beside the directory.
    pub fn new(watched: &Path) -> Shim {
        let path = watched.with_extension("control");
        let control = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        control.set_len(BYTES as u64).unwrap();
        Shim { control, path, watched: watched.to_owned(), record: None }
    }

    pub fn recording(watched: &Path) -> Shim {
        let record = watched.with_extension("record");
        let _ = fs::remove_file(&record);
        File::create(&record).unwrap();
        Shim { record: Some(record), ..Shim::new(watched) }
    }

    /// `relabeld` with the shim.
    pub fn relabeld(&self) -> Command {
        let mut command = relabeld();
        command.env("LD_PRELOAD", library()).env("SHIM_DIR", &self.watched).env("SHIM_CONTROL", &self.path);
        if let Some(record) = &self.record {
            command.env("SHIM_RECORD", record);
        }
        command
    }

    /// Bytes of the record so far.
    pub fn recorded(&self) -> u64 {
        self.record.as_ref().map_or(0, |record| fs::metadata(record).unwrap().len())
    }

    pub fn record(&self) -> Vec<u8> {
        fs::read(self.record.as_ref().unwrap()).unwrap()
    }

    fn word(&self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        self.control.read_exact_at(&mut bytes, at * 8).unwrap();
        u64::from_ne_bytes(bytes)
    }

    fn set(&self, at: u64, value: u64) {
        self.control.write_all_at(&value.to_ne_bytes(), at * 8).unwrap();
    }

    /// From now on; `fault.first` counts from here.
    pub fn arm(&self, fault: &Fault) {
        self.disarm();
        let (effect, errno) = match fault.effect {
            Effect::Fail(errno) => (1, errno),
            Effect::Short => (2, ENOSPC),
            Effect::Kill => (3, 0),
        };
        let words = [(SPAN, fault.span), (EFFECT, effect), (ERRNO, errno), (HITS, 0), (MATCHED, 0)];
        words.iter().for_each(|&(at, value)| self.set(at, value));
        self.set(FILE_MASK, fault.files);
        self.set(ARMED_FROM, fault.first);
        self.set(OPERATION_MASK, fault.operations);
    }

    pub fn disarm(&self) {
        self.set(OPERATION_MASK, 0);
        self.set(ARMED_FROM, 0);
    }

    pub fn hits(&self) -> u64 {
        self.word(HITS)
    }

    /// The first operation that was hit since it was armed.
    pub fn first_hit(&self) -> String {
        let name = |names: &[&'static str], at: u64| names[self.word(at) as usize];
        format!("{} of {}", name(&OPERATION_NAMES, HIT_OPERATION), name(&FILE_NAMES, HIT_FILE))
    }

    pub fn counts(&self) -> Counts {
        let mut counts = [[0; FILE_NAMES.len()]; OPERATION_NAMES.len()];
        let words = counts.iter_mut().flatten();
        words.zip(COUNTS..).for_each(|(count, at)| *count = self.word(at));
        Counts(counts)
    }
}

/// The compiled library.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/storage/shim.c");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("storage-shim.so");
        // Another test process may use the present file.
        let draft = library.with_extension(std::process::id().to_string());
        let compiled = Command::new("cc")
            .args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"])
            .args([&draft, &source])
            .args(["-ldl", "-lpthread"])
            .output()
            .unwrap_or_else(|error| panic!("cc: {error}; tests/run installs gcc"));
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        fs::rename(&draft, &library).unwrap();
        library
    })
}
