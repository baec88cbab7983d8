//! The shim's record, and the disk that a power cut leaves: what was synced, and a seeded part of the rest.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use super::rng::Rng;

/// A disk writes a sector whole or not at all.
const SECTOR: usize = 512;

/// One operation of the record; paths are relative to the data directory, which itself is the empty path.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Bytes of the record up to its end.
    pub end: u64,
    path: String,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Create,
    Write { offset: usize, bytes: Vec<u8> },
    Truncate(usize),
    Sync,
    SyncFailed,
    Rename { to: String },
    Unlink,
    MakeDir,
}

impl Operation {
    pub fn is_failed_sync(&self) -> bool {
        matches!(self.what, What::SyncFailed)
    }
}

/// Reads what `note` of `shim.c` writes.
pub fn parse(record: &[u8]) -> Vec<Operation> {
    let mut operations = Vec::new();
    let mut rest = record;
    while let Some((header, after)) = rest.split_at_checked(24) {
        let short = |at: usize| u32::from_ne_bytes(header[at..at + 4].try_into().unwrap());
        let long = |at: usize| u64::from_ne_bytes(header[at..at + 8].try_into().unwrap()) as usize;
        let offset = long(8);
        let (path, after) = after.split_at(short(4) as usize);
        let (bytes, after) = after.split_at(long(16));
        let what = match short(0) {
            1 => What::Create,
            2 => What::Write { offset, bytes: bytes.to_vec() },
            3 => What::Truncate(offset),
            4 => What::Sync,
            5 => What::SyncFailed,
            6 => What::Rename { to: String::from_utf8(bytes.to_vec()).unwrap() },
            7 => What::Unlink,
            8 => What::MakeDir,
            other => panic!("operation {other} in the record"),
        };
        rest = after;
        let end = (record.len() - rest.len()) as u64;
        operations.push(Operation { end, path: String::from_utf8(path.to_vec()).unwrap(), what });
    }
    operations
}

/// A change of a file that no sync has reached yet.
#[derive(Debug, Clone)]
struct Pending {
    change: Change,
    /// A sync of it failed: the system keeps the new bytes in memory and takes them for written, so later syncs skip them.
    lost: bool,
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate(usize),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Truncate(length) => content.resize(*length, 0),
            Change::Write { offset, bytes } => {
                let end = offset + bytes.len();
                content.resize(content.len().max(end), 0);
                content[*offset..end].copy_from_slice(bytes);
            }
        }
    }

    /// The write without the bytes that a later change replaces, as two where those are in the middle.
    fn without(&self, from: usize, to: usize) -> Vec<Change> {
        let Change::Write { offset, bytes } = self else { return vec![self.clone()] };
        let end = offset + bytes.len();
        let part = |from: usize, to: usize| {
            (from < to).then(|| Change::Write { offset: from, bytes: bytes[from - offset..to - offset].to_vec() })
        };
        [part(*offset, end.min(from)), part(to.max(*offset), end)].into_iter().flatten().collect()
    }
}

#[derive(Debug, Clone, Default)]
struct Content {
    synced: Vec<u8>,
    pending: Vec<Pending>,
}

impl Content {
    fn change(&mut self, change: Change) {
        self.pending.push(Pending { change, lost: false });
    }

    fn sync(&mut self) {
        let mut lost: Vec<Pending> = Vec::new();
        for pending in std::mem::take(&mut self.pending) {
            if pending.lost {
                lost.push(pending);
                continue;
            }
            pending.change.apply(&mut self.synced);
            // Bytes that are written again and synced are on the disk, whatever became of them before.
            let (from, to) = match &pending.change {
                Change::Write { offset, bytes } => (*offset, offset + bytes.len()),
                Change::Truncate(length) => (*length, usize::MAX),
            };
            let rest = lost.iter().flat_map(|old| old.change.without(from, to));
            lost = rest.map(|change| Pending { change, lost: true }).collect();
        }
        self.pending = lost;
    }

    /// The bytes that were to be synced are lost, unless they are written again. A new length is not: it is in the file
    /// system's own journal.
    fn fail_sync(&mut self) {
        let writes = self.pending.iter_mut().filter(|pending| matches!(pending.change, Change::Write { .. }));
        writes.for_each(|pending| pending.lost = true);
    }
}

/// A change of a name that no sync has reached yet.
#[derive(Debug, Clone)]
enum NameChange {
    /// A new name of a file.
    Link(String, usize),
    Rename(String, String),
    Unlink(String),
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            NameChange::Link(name, file) => drop(names.insert(name.clone(), *file)),
            NameChange::Unlink(name) => drop(names.remove(name)),
            NameChange::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
        }
    }
}

/// The files of the data directory as the system shows them, and what of that is on the disk.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    files: Vec<Content>,
    names: BTreeMap<String, usize>,
    synced_names: BTreeMap<String, usize>,
    pending_names: Vec<NameChange>,
}

/// What happens to changes that were not synced.
#[derive(Debug, Clone, Copy)]
enum Survival {
    Dropped,
    /// The first so many percent are there.
    Prefix(u64),
    /// Each is there or not, in any order.
    Shuffled,
}

impl Survival {
    fn draw(rng: &mut Rng) -> Survival {
        match rng.below(3) {
            0 => Survival::Dropped,
            1 => Survival::Prefix(rng.below(101)),
            _ => Survival::Shuffled,
        }
    }
}

impl Disk {
    pub fn run(&mut self, operation: &Operation) {
        let path = &operation.path;
        let name = path.clone();
        match &operation.what {
            What::Create => {
                self.files.push(Content::default());
                let file = self.files.len() - 1;
                self.rename(NameChange::Link(name, file));
            }
            What::Rename { to } => self.rename(NameChange::Rename(name, to.clone())),
            What::Unlink => self.rename(NameChange::Unlink(name)),
            // A directory is made when a file in it is.
            What::MakeDir => {}
            What::Sync => match self.names.get(path) {
                Some(&file) => {
                    self.files[file].sync();
                    // Linux file systems sync the new name of a file with it, and the changes of names before that.
                    let is_name =
                        |change: &NameChange| matches!(change, NameChange::Link(_, linked) if *linked == file);
                    if let Some(at) = self.pending_names.iter().position(is_name) {
                        self.pending_names.drain(..=at).for_each(|change| change.apply(&mut self.synced_names));
                    }
                }
                // A directory.
                None => self.pending_names.drain(..).for_each(|change| change.apply(&mut self.synced_names)),
            },
            What::SyncFailed => {
                if let Some(&file) = self.names.get(path) {
                    self.files[file].fail_sync();
                }
            }
            What::Write { offset, bytes } => {
                self.change(path, Change::Write { offset: *offset, bytes: bytes.clone() });
            }
            What::Truncate(length) => self.change(path, Change::Truncate(*length)),
        }
    }

    fn rename(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending_names.push(change);
    }

    fn change(&mut self, path: &str, change: Change) {
        // A file without a name is gone with its process.
        if let Some(&file) = self.names.get(path) {
            self.files[file].change(change);
        }
    }

    /// Writes to `dir` what a power cut could leave. True where it takes something away.
    pub fn cut_power(&self, dir: &Path, rng: &mut Rng) -> bool {
        let mut names = self.synced_names.clone();
        surviving(&self.pending_names, rng).iter().for_each(|change| change.apply(&mut names));
        let mut lossy = names != self.names;
        let make_dir = |dir: &Path| DirBuilder::new().recursive(true).mode(0o700).create(dir).unwrap();
        make_dir(dir);
        for (name, file) in names {
            let file = &self.files[file];
            let (mut content, mut whole) = (file.synced.clone(), file.synced.clone());
            file.pending.iter().for_each(|pending| pending.change.apply(&mut whole));
            let kept: Vec<Change> = file
                .pending
                .iter()
                .filter(|pending| !pending.lost || rng.percent(25))
                .map(|p| p.change.clone())
                .collect();
            let torn: Vec<Change> = kept.iter().flat_map(sectors).collect();
            let kept = if rng.percent(50) { surviving(&torn, rng) } else { surviving(&kept, rng) };
            kept.iter().for_each(|change| change.apply(&mut content));
            lossy |= content != whole;
            let path = dir.join(name);
            make_dir(path.parent().unwrap());
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        lossy
    }
}

/// The part of the changes that a power cut leaves.
fn surviving<T: Clone>(changes: &[T], rng: &mut Rng) -> Vec<T> {
    match Survival::draw(rng) {
        Survival::Dropped => Vec::new(),
        Survival::Prefix(percent) => changes[..changes.len() * percent as usize / 100].to_vec(),
        Survival::Shuffled => {
            let mut kept: Vec<T> = changes.iter().filter(|_| rng.percent(50)).cloned().collect();
            rng.shuffle(&mut kept);
            kept
        }
    }
}

/// A write as one change for each sector.
fn sectors(change: &Change) -> Vec<Change> {
    let Change::Write { offset, bytes } = change else { return vec![change.clone()] };
    let mut parts = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let end = bytes.len().min(at + SECTOR - (offset + at) % SECTOR);
        parts.push(Change::Write { offset: offset + at, bytes: bytes[at..end].to_vec() });
        at = end;
    }
    parts
}

#[test]
fn only_what_is_synced_survives_every_cut() {
    let operation = |path: &str, what| Operation { end: 0, path: path.into(), what };
    let write = |offset, bytes: &[u8]| operation("a", What::Write { offset, bytes: bytes.to_vec() });
    let left = |operations: &[Operation]| {
        let mut disk = Disk::default();
        operations.iter().for_each(|operation| disk.run(operation));
        let dir = tempfile::tempdir().unwrap();
        let contents = (0..200).map(|seed| {
            disk.cut_power(&dir.path().join(seed.to_string()), &mut Rng::new(seed));
            fs::read(dir.path().join(format!("{seed}/a"))).ok()
        });
        contents.collect::<std::collections::BTreeSet<_>>()
    };
    let bytes = |text: &str| Some(text.as_bytes().to_vec());
    let [create, sync, failed] = [What::Create, What::Sync, What::SyncFailed].map(|what| operation("a", what));
    let created = [create.clone(), write(0, b"one")];
    assert_eq!(left(&created), [None, bytes(""), bytes("one")].into());
    let synced = [&created[..], &[sync.clone(), write(1, b"N")]].concat();
    assert_eq!(left(&synced), [bytes("one"), bytes("oNe")].into());
    // The failed sync's write stays unsure until its bytes are written again.
    let unsure = [&synced[..], &[failed, write(3, b"s"), sync.clone()]].concat();
    assert_eq!(left(&unsure), [bytes("ones"), bytes("oNes")].into());
    let again = [&unsure[..], &[write(0, b"ONES"), sync]].concat();
    assert_eq!(left(&again), [bytes("ONES")].into());
    let renamed = [&again[..], &[operation("a", What::Rename { to: "b".into() })]].concat();
    assert_eq!(left(&renamed), [None, bytes("ONES")].into());
    assert_eq!(left(&[&renamed[..], &[operation("", What::Sync)]].concat()), [None].into());
}
