//! `relabeld backup`: a copy of the daemon's database, checked on its way and there only when it is whole.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::Session;
use super::call::Download;
use super::interrupt::Writing;
use super::problem::Error;
use super::render::write_error;
use super::view::{bytes, clean};
use crate::wire::digest::{hex, repr_digest};

pub const BACKUP: &str = "/api/v1/backup";

/// It holds all texts.
const PRIVATE: u32 = 0o600;

/// A backup that came whole.
struct Came {
    bytes: u64,
    sha256: [u8; 32],
}

pub fn run(session: &Session, file: &Path, force: bool) -> Result<(), Error> {
    let name = clean(&file.display().to_string());
    if file.as_os_str() == "-" {
        if session.out.json {
            return Err(Error::Usage("--json and the backup cannot both go to stdout: name a file".into()));
        }
        if io::stdout().is_terminal() {
            return Err(Error::Usage("a database is nothing for a terminal: redirect it, or name a file".into()));
        }
        let came = pass_on(session, &mut io::stdout().lock(), "the output")?;
        session.out.note(&told(&came, "stdout"));
        return Ok(());
    }
    // What exists and is no plain file, as /dev/null or a named pipe, must be written into and not replaced.
    let came = match fs::metadata(file) {
        Ok(about) if about.is_dir() => return Err(Error::Usage(format!("{name} is a directory: name a file in it"))),
        Ok(about) if !about.is_file() => {
            let mut out = File::options().write(true).open(file).map_err(|e| write_error(&name, &e))?;
            pass_on(session, &mut out, &name)?
        }
        Ok(_) if !force => return Err(Error::Usage(format!("{name} exists: choose another name, or add --force"))),
        found => {
            if found.is_ok() {
                refuse_if_used(file, &name)?;
            }
            save(session, file, &name)?
        }
    };
    let document = json!({"file": file.display().to_string(), "bytes": came.bytes, "sha256": hex(&came.sha256)});
    match session.out.json {
        true => session.out.data(&document.to_string()),
        false => session.out.data(&told(&came, &name)),
    }?;
    session.out.hint(
        "it holds all texts: keep it as you keep those. `relabeld restore FILE` brings it up, also on another machine",
    );
    Ok(())
}

fn told(came: &Came, name: &str) -> String {
    format!("{name}: {}, sha256 {}", bytes(came.bytes), hex(&came.sha256))
}

/// The file, and what is added to its name.
fn beside(file: &Path, end: &str) -> PathBuf {
    let mut name = file.to_owned().into_os_string();
    name.push(end);
    PathBuf::from(name)
}

/// Never over a database in use, with --force neither: its daemon would go on in a file without a name, and all that it
/// took in from then on would end with it.
fn refuse_if_used(file: &Path, name: &str) -> Result<(), Error> {
    let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    match ["-wal", "-shm"].iter().find(|end| beside(&file, end).symlink_metadata().is_ok()) {
        Some(end) => Err(Error::Usage(format!(
            "{name}{end} lies beside it, so {name} is a database in use and no earlier backup: choose another name"
        ))),
        None => Ok(()),
    }
}

/// The file beside the backup's place, for this process alone: of two that wrote into one, the first to be done would
/// give its name to what the second had of it.
fn open_part(part: &Path, name: &str) -> Result<File, Error> {
    let failed = |e: &io::Error| write_error(name, e);
    let busy =
        || Error::Failed(format!("another backup is being written to {name}: wait for it, or choose another name"));
    // Whoever removes or renames a file holds its lock and has seen that its name is still its own.
    let is_ours = |file: &File| -> Result<bool, Error> {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(busy()),
            // A file system without locks.
            Err(TryLockError::Error(_)) | Ok(()) => {}
        }
        let (ours, there) = (file.metadata().map_err(|e| failed(&e))?, fs::symlink_metadata(part));
        Ok(there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())))
    };
    // Each turn but the first means that another backup began or ended in between.
    for _ in 0..10 {
        match OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(part) {
            Ok(file) if is_ours(&file)? => return Ok(file),
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(failed(&e)),
            _ => {}
        }
        // Left by one that was killed; its mode may be another.
        let left = match fs::symlink_metadata(part) {
            Ok(about) if about.is_file() => File::options().write(true).open(part).map(Some),
            Ok(_) => Ok(None),
            Err(e) => Err(e),
        };
        match left {
            Ok(Some(file)) if !is_ours(&file)? => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(failed(&e)),
            Ok(_) => fs::remove_file(part).map_err(|e| failed(&e))?,
        }
    }
    Err(busy())
}

/// Puts it beside its place, and in it once it is whole and on the disk.
fn save(session: &Session, file: &Path, name: &str) -> Result<Came, Error> {
    let part = beside(file, ".part");
    let failed = |e: &io::Error| write_error(name, e);
    let bar = bar(session, name);
    let broken_off = format!("{name} was not written");
    let writing = Writing { bar: bar.clone(), part: None, broken_off }.begin(session)?;
    // In one step: the part may be another's until it is opened.
    let opened = writing.step(|writing| {
        let out = open_part(&part, name)?;
        writing.part = Some(part.clone());
        Ok(out)
    });
    let mut out = opened.unwrap_or_else(|| open_part(&part, name))?;
    let fetched = fetch(session, &mut out, name, &bar).and_then(|came| {
        out.sync_all().map_err(|e| failed(&e))?;
        Ok(came)
    });
    writing.end();
    let saved = fetched.and_then(|came| {
        fs::rename(&part, file).map_err(|e| failed(&e))?;
        Ok(came)
    });
    if saved.is_err() {
        // Best effort: what is reported is why the download failed.
        let _ = fs::remove_file(&part);
    }
    let came = saved?;
    // The name is durable only when its directory is. One that cannot be opened keeps the file all the same.
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty());
    let _ = File::open(dir.unwrap_or(Path::new("."))).and_then(|dir| dir.sync_all());
    Ok(came)
}

/// Into what is there already, and takes what comes.
fn pass_on(session: &Session, out: &mut dyn Write, name: &str) -> Result<Came, Error> {
    let bar = bar(session, name);
    let broken_off = format!("the backup is not whole in {name}");
    let writing = Writing { bar: bar.clone(), part: None, broken_off }.begin(session)?;
    let came = fetch(session, out, name, &bar);
    writing.end();
    came
}

/// Copies the backup to `out`, and holds it against the length and digest that it comes with.
fn fetch(session: &Session, out: &mut dyn Write, name: &str, bar: &ProgressBar) -> Result<Came, Error> {
    let mut download = session.daemon.download(BACKUP, &[])?;
    let (Some(length), Some(digest)) = (download.length, download.digest.clone()) else {
        return Err(Error::Failed(
            "the backup came without its length and digest: a proxy in between took them, or that is no relabeld"
                .into(),
        ));
    };
    begin(bar, length);
    let copied = copy(&mut download, out, name, bar);
    bar.finish_and_clear();
    let came = copied?;
    if came.bytes != length || repr_digest(&came.sha256) != digest {
        return Err(Error::Failed(format!(
            "the backup was damaged on its way: {} of {length} bytes came, or other ones; run it again",
            came.bytes
        )));
    }
    Ok(came)
}

fn copy(download: &mut Download, out: &mut dyn Write, name: &str, bar: &ProgressBar) -> Result<Came, Error> {
    // To the reader of a list that is an end like another; of a backup there is only a part, or none.
    let failed = |e: &io::Error| match write_error(name, e) {
        Error::Closed => Error::Failed(format!("{name} was closed before the backup was whole")),
        other => other,
    };
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut bytes = 0;
    loop {
        let n = download.read(&mut buffer)?;
        if n == 0 {
            out.flush().map_err(|e| failed(&e))?;
            return Ok(Came { bytes, sha256: hash.finalize().into() });
        }
        hash.update(&buffer[..n]);
        out.write_all(&buffer[..n]).map_err(|e| failed(&e))?;
        bytes += n as u64;
        bar.set_position(bytes);
    }
}

/// Turns while the daemon makes the copy.
fn bar(session: &Session, name: &str) -> ProgressBar {
    if !session.out.bars() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_prefix(clean(name));
    if let Ok(style) = ProgressStyle::with_template("{prefix} {spinner} the daemon makes the copy") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn begin(bar: &ProgressBar, length: u64) {
    bar.disable_steady_tick();
    bar.set_length(length);
    if let Ok(style) =
        ProgressStyle::with_template("{prefix} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} ETA {eta}")
    {
        bar.set_style(style);
    }
}
