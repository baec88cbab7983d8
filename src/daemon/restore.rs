//! `relabeld restore`: a backup becomes the database of a data directory that has none.
//!
//! It is copied into the scratch directory, checked and settled there, and gets its name last: a kill at any moment
//! leaves no database or the whole one.

use std::fs::{self, DirBuilder, File};
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, lchown};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use flate2::bufread::MultiGzDecoder;

use crate::config::{self, Partial};
use crate::os;
use crate::store::{Durability, FILE, Header, Restored, SCRATCH, Store};
use crate::when;

/// Faults of a backup that are shown; there may be one an item.
const FAULTS_SHOWN: usize = 5;

/// What the user wants to hear of it.
#[derive(Debug, Clone, Copy)]
pub struct Telling {
    pub json: bool,
    pub quiet: bool,
}

pub fn restore(flags: Partial, config: Option<PathBuf>, from: &Path, telling: Telling) -> anyhow::Result<()> {
    let config = config::load(flags, std::env::vars_os(), config.as_deref()).map_err(|error| anyhow!(error))?;
    let dir = config.data_dir;
    // Both before the directory is made: what cannot be restored leaves nothing behind.
    refuse_if_used(&dir)?;
    let mut backup = Backup::open(from)?;
    let lock = os::lock(&dir).context("a backup is restored while no daemon runs")?;
    // At once: it stays also where this comes to nothing, and would keep the daemon from its start.
    give_to_owner(&dir.join("lock"), &dir)?;
    refuse_if_used(&dir)?;
    let scratch = Scratch::new(&dir)?;
    backup.copy_to(&scratch.0)?;
    let restored = settle(&scratch.0).with_context(|| format!("{} cannot be restored", backup.name))?;
    give_to_owner(&scratch.0.join(FILE), &dir)?;
    give_name(&scratch.0, &dir)?;
    drop(scratch);
    drop(lock);
    tell(&restored, &dir, telling)
}

/// Never over a database, nor beside what is left of one: SQLite would fold an old log into the new file.
fn refuse_if_used(dir: &Path) -> anyhow::Result<()> {
    for end in ["", "-wal", "-shm", "-journal"] {
        let path = dir.join(format!("{FILE}{end}"));
        if path.symlink_metadata().is_ok() {
            bail!(
                "{} exists, and restore replaces nothing: with no daemon running, move it away with all whose name begins \
                 with {FILE}, or name another --data-dir",
                path.display()
            );
        }
    }
    Ok(())
}

/// The file to restore, of which the first bytes were looked at.
struct Backup {
    name: String,
    input: Box<dyn BufRead>,
    header: Header,
    /// Where that is known before.
    bytes: Option<u64>,
}

impl Backup {
    /// A plain file, a gzipped one, or stdin with either.
    fn open(from: &Path) -> anyhow::Result<Backup> {
        let (name, input, bytes) = match from.as_os_str() == "-" {
            true if io::stdin().is_terminal() => bail!("- reads the backup from stdin, and that is a terminal"),
            true => ("stdin".to_owned(), Box::new(io::stdin()) as Box<dyn Read>, None),
            false => {
                let name = from.display().to_string();
                let about = fs::metadata(from).with_context(|| format!("cannot read {name}"))?;
                if about.is_dir() {
                    bail!("{name} is a directory: name the file that `relabeld backup` wrote");
                }
                // Where a link leads: what belongs to a database lies beside it.
                let real = fs::canonicalize(from).unwrap_or_else(|_| from.to_owned());
                if real.file_name() == Some(FILE.as_ref()) && real.parent().is_some_and(os::is_locked) {
                    bail!(
                        "{name} is the database of a daemon that runs, and changes while it is read: take a backup with \
                         `relabeld backup`, or stop the daemon first"
                    );
                }
                let mut log = real.into_os_string();
                log.push("-wal");
                if fs::metadata(&log).is_ok_and(|about| about.len() > 0) {
                    bail!(
                        "{} lies beside it, so {name} is no backup but a database in use, and part of it is in there: \
                         take one with `relabeld backup`, or stop its daemon first",
                        Path::new(&log).display()
                    );
                }
                let file = File::open(from).with_context(|| format!("cannot read {name}"))?;
                (name, Box::new(file) as Box<dyn Read>, about.is_file().then_some(about.len()))
            }
        };
        let reading = || format!("cannot read {name}");
        let mut plain = BufReader::new(input);
        let gzipped = plain.fill_buf().with_context(reading)?.starts_with(b"\x1f\x8b");
        let (mut input, bytes): (Box<dyn BufRead>, _) = match gzipped {
            true => (Box::new(BufReader::new(MultiGzDecoder::new(plain))), None),
            false => (Box::new(plain), bytes),
        };
        let mut first = Vec::new();
        input.by_ref().take(Header::LENGTH as u64).read_to_end(&mut first).with_context(reading)?;
        let header = Header::read(&first).with_context(|| format!("{name} cannot be restored"))?;
        let input = Box::new(io::Cursor::new(first).chain(input));
        Ok(Backup { name, input, header, bytes })
    }

    fn copy_to(&mut self, scratch: &Path) -> anyhow::Result<()> {
        if let (Some(bytes), Ok(free)) = (self.bytes, os::free_bytes(scratch))
            && free < bytes
        {
            bail!("{} has {bytes} bytes, and {free} are free at {}", self.name, scratch.display());
        }
        let copying = || format!("cannot copy {} to {}", self.name, scratch.display());
        let mut file = os::create_private(&scratch.join(FILE)).with_context(copying)?;
        let bytes = io::copy(&mut self.input, &mut file).with_context(copying)?;
        self.header.check_length(bytes).with_context(|| format!("{} cannot be restored", self.name))
    }
}

/// The directory in which the database is made ready; it goes with this.
struct Scratch(PathBuf);

impl Scratch {
    fn new(dir: &Path) -> anyhow::Result<Scratch> {
        let scratch = Scratch(dir.join(SCRATCH));
        scratch.remove().with_context(|| format!("cannot remove {}", scratch.0.display()))?;
        // Fails where something is there: root restores into a directory of somebody else, who may have put a link here.
        DirBuilder::new()
            .mode(0o700)
            .create(&scratch.0)
            .with_context(|| format!("cannot make {}", scratch.0.display()))?;
        Ok(scratch)
    }

    fn remove(&self) -> io::Result<()> {
        fs::remove_dir_all(&self.0).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is removed by the next start.
        let _ = self.remove();
    }
}

fn settle(scratch: &Path) -> anyhow::Result<Restored> {
    let store = Store::open(scratch, Durability::Full)?;
    let faults = store.check()?;
    if !faults.is_empty() {
        let shown = faults.iter().take(FAULTS_SHOWN).cloned().collect::<Vec<_>>().join("\n");
        bail!("{} fault(s) in it:\n{shown}", faults.len());
    }
    let restored = store.settle_restored(when::now())?;
    store.close();
    Ok(restored)
}

fn give_name(scratch: &Path, dir: &Path) -> anyhow::Result<()> {
    // The last connection folds its log in and removes it.
    let log = scratch.join(format!("{FILE}-wal"));
    if fs::metadata(&log).is_ok_and(|about| about.len() > 0) {
        bail!("{} could not be folded in", log.display());
    }
    // What was being analysed in this directory has nothing to do with this database.
    match fs::remove_file(dir.join("begun")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).context("cannot remove the file `begun`");
        }
        _ => {}
    }
    let (from, to) = (scratch.join(FILE), dir.join(FILE));
    File::open(&from)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(&from, &to))
        .and_then(|()| os::sync_parent(&to))
        .with_context(|| format!("cannot put the database in its place, {}", to.display()))
}

/// What root makes belongs to the user whose directory it is: that one runs the daemon. Before it has its name, so that
/// a kill leaves nothing that the daemon could not use; and never what a link of that user leads to.
fn give_to_owner(path: &Path, dir: &Path) -> anyhow::Result<()> {
    let (about, owner) = (fs::symlink_metadata(path)?, fs::metadata(dir)?);
    if about.uid() != 0 || owner.uid() == 0 {
        return Ok(());
    }
    lchown(path, Some(owner.uid()), Some(owner.gid()))
        .with_context(|| format!("cannot give {} to the user whose directory it is in", path.display()))
}

fn tell(restored: &Restored, dir: &Path, telling: Telling) -> anyhow::Result<()> {
    let Restored { items, revision, paused } = restored;
    let ids: Vec<String> = paused.iter().map(ToString::to_string).collect();
    let mut out = io::stdout();
    if telling.json {
        let document = serde_json::json!({
            "data_dir": dir.display().to_string(), "items": items, "catalogue_revision": revision, "jobs_paused": ids,
        });
        writeln!(out, "{document}")?;
        return Ok(());
    }
    let jobs = if ids.is_empty() { "none".to_owned() } else { ids.join(", ") };
    writeln!(
        out,
        "restored in {}\nitems               {items}\ncatalogue revision  {revision}\njobs paused         {jobs}",
        dir.display()
    )?;
    if !telling.quiet {
        let mut next = format!("start the daemon: relabeld serve --data-dir {} (or your service)", dir.display());
        if let Some(first) = ids.first() {
            next += &format!("\nlet a job go on where it was: relabeld resume {first}");
        }
        next += "\ntokens are not in a backup: the first start makes new ones, where there are none";
        writeln!(io::stderr(), "{next}")?;
    }
    Ok(())
}
