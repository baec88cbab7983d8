//! The write-ahead log as a file, read without SQLite: how much of it SQLite would use, and whether any of it is damaged.
//!
//! SQLite stops at the first frame that does not fit and ignores the rest without a word: a flipped bit can take back
//! commits that were acknowledged. The format: <https://sqlite.org/fileformat2.html#the_write_ahead_log>.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::FILE;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The last bit says that checksums are of big-endian numbers.
const MAGIC: u32 = 0x377f_0682;
const VERSION: u32 = 3_007_000;
/// Of the log's index, `relabeld.db-shm`: <https://sqlite.org/walformat.html#the_wal_index_file_format>.
const INDEX_HEADER: usize = 48;

/// What a write-ahead log holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Log {
    /// Frames that SQLite reads: all up to the last commit before the first frame that does not fit.
    pub usable: u64,
    /// Why commits are lost, where some are.
    pub fault: Option<String>,
}

/// A file beside the database: `-wal`, `-shm` or `-journal`. Where the database is a link, SQLite puts it beside the file
/// that the link leads to.
pub(super) fn beside(database: &Path, end: &str) -> PathBuf {
    let mut path = OsString::from(database.canonicalize().unwrap_or_else(|_| database.to_owned()));
    path.push(end);
    path.into()
}

/// Reads the log of a database. One that is missing or empty holds nothing and has no fault.
///
/// A process that is killed may leave frames without their commit, a last frame that is half written, and frames of
/// before the log was last reset: none of these is a fault.
pub(super) fn read(database: &Path) -> io::Result<Log> {
    let file = match File::open(beside(database, "-wal")) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Log::default()),
        opened => opened?,
    };
    let bytes = file.metadata()?.len();
    if bytes == 0 {
        return Ok(Log::default());
    }
    let mut file = BufReader::with_capacity(1 << 16, file);
    let mut header = [0; HEADER];
    let header = if fill(&mut file, &mut header)? { Header::from(&header) } else { None };
    let Some(header) = header else {
        let fault = format!(
            "{FILE}-wal: its header is damaged, so SQLite ignores all of its {bytes} bytes; commits in it are lost"
        );
        return Ok(Log { usable: 0, fault: Some(fault) });
    };
    let frames = Frames::read(&mut file, &header)?;
    // The index says what was committed when it was written last; a log of another time has other salts.
    let indexed = committed_by_index(database, header.salts)?.unwrap_or(0);
    let fault = (frames.later_commits || indexed > frames.usable).then(|| {
        // Where every frame fits, the next one is missing.
        let bad = frames.first_bad.unwrap_or(frames.all + 1);
        format!(
            "{FILE}-wal: frame {bad} is damaged or missing, so SQLite ignores all from there on; commits in it are lost"
        )
    });
    Ok(Log { usable: frames.usable, fault })
}

struct Header {
    big_endian: bool,
    page: usize,
    salts: [u8; 8],
    sums: [u32; 2],
}

impl Header {
    /// None where it is damaged.
    fn from(bytes: &[u8; HEADER]) -> Option<Header> {
        let magic = number(bytes, 0);
        let page = number(bytes, 8) as usize;
        let big_endian = magic & 1 == 1;
        let sums = checksum(big_endian, [0; 2], &bytes[..24]);
        let fits = magic & !1 == MAGIC
            && number(bytes, 4) == VERSION
            && (512..=65_536).contains(&page)
            && page.is_power_of_two()
            && sums == [number(bytes, 24), number(bytes, 28)];
        let salts = bytes[16..24].try_into().ok()?;
        fits.then_some(Header { big_endian, page, salts, sums })
    }
}

/// All frames of a log, counted from 1.
#[derive(Default)]
struct Frames {
    all: u64,
    usable: u64,
    first_bad: Option<u64>,
    /// After the first bad frame there is a commit of this log with further frames of this log behind it. A kill does
    /// not leave that: SQLite writes the next transaction only behind a frame that fits.
    later_commits: bool,
}

impl Frames {
    fn read(file: &mut impl Read, header: &Header) -> io::Result<Frames> {
        let mut frames = Frames::default();
        let mut frame = vec![0; FRAME_HEADER + header.page];
        let mut sums = header.sums;
        let mut commit_after_bad = false;
        while fill(file, &mut frame)? {
            frames.all += 1;
            let foreign_bits: u32 = frame[8..16].iter().zip(header.salts).map(|(a, b)| (a ^ b).count_ones()).sum();
            let is_commit = number(&frame, 4) != 0;
            if frames.first_bad.is_none() {
                sums = checksum(header.big_endian, sums, &frame[..8]);
                sums = checksum(header.big_endian, sums, &frame[FRAME_HEADER..]);
                let fits =
                    foreign_bits == 0 && number(&frame, 0) != 0 && sums == [number(&frame, 16), number(&frame, 20)];
                if fits {
                    frames.usable = if is_commit { frames.all } else { frames.usable };
                    continue;
                }
                frames.first_bad = Some(frames.all);
            }
            // Half of the salts are random: those of another log differ in more than one bit.
            let is_of_this_log = foreign_bits <= 1;
            frames.later_commits |= is_of_this_log && commit_after_bad;
            commit_after_bad |= is_of_this_log && is_commit;
        }
        Ok(frames)
    }
}

/// How many frames the index says are committed; None where it is of another log, or does not say.
fn committed_by_index(database: &Path, salts: [u8; 8]) -> io::Result<Option<u64>> {
    let mut index = match File::open(beside(database, "-shm")) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut header = [0; 2 * INDEX_HEADER];
    if !fill(&mut index, &mut header)? {
        return Ok(None);
    }
    // Two copies, in this machine's byte order; while one is written they differ.
    let (first, second) = header.split_at(INDEX_HEADER);
    let native = |at: usize| first.get(at..at + 4).and_then(|four| Some(u32::from_ne_bytes(four.try_into().ok()?)));
    let sums = checksum(cfg!(target_endian = "big"), [0; 2], &first[..INDEX_HEADER - 8]);
    let fits = first == second && first[32..40] == salts && [native(40), native(44)] == sums.map(Some);
    Ok(native(16).map(u64::from).filter(|_| fits))
}

/// SQLite's checksum of a multiple of 8 bytes, onto the one before.
fn checksum(big_endian: bool, mut sums: [u32; 2], bytes: &[u8]) -> [u32; 2] {
    let word = |four: &[u8]| {
        let four = four.try_into().unwrap_or_default();
        if big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
    };
    for eight in bytes.chunks_exact(8) {
        sums[0] = sums[0].wrapping_add(word(&eight[..4])).wrapping_add(sums[1]);
        sums[1] = sums[1].wrapping_add(word(&eight[4..])).wrapping_add(sums[0]);
    }
    sums
}

/// A big-endian number of four bytes.
fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |four| four.iter().fold(0, |n, &byte| n << 8 | u32::from(byte)))
}

/// False where the file ends before the buffer is full.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rusqlite::Connection;

    use super::*;

    /// A database and its log, as a kill leaves them.
    struct Left {
        dir: tempfile::TempDir,
        log: Vec<u8>,
        index: Vec<u8>,
    }

    impl Left {
        fn database(&self) -> PathBuf {
            self.dir.path().join(FILE)
        }

        /// What is said of these files in their place.
        fn read(&self, log: &[u8], index: Option<&[u8]>) -> Log {
            fs::write(beside(&self.database(), "-wal"), log).unwrap();
            let path = beside(&self.database(), "-shm");
            match index {
                Some(index) => fs::write(path, index).unwrap(),
                None => drop(fs::remove_file(path)),
            }
            read(&self.database()).unwrap()
        }
    }

    /// Small pages, so that every byte can be flipped; each commit is of several frames. `see` gets the log and its index
    /// after each.
    fn written(resets: bool, mut see: impl FnMut(&[u8], &[u8])) -> Left {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(
                "PRAGMA page_size = 512; PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x)",
            )
            .unwrap();
        let files = || (fs::read(beside(&path, "-wal")).unwrap(), fs::read(beside(&path, "-shm")).unwrap());
        for n in 0..5 {
            connection.execute("INSERT INTO t VALUES (zeroblob(900 + ?))", [n]).unwrap();
            let (log, index) = files();
            see(&log, &index);
            if resets && n == 2 {
                // The next commit begins at the front again, over frames with other salts.
                connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())).unwrap();
            }
        }
        let (log, index) = files();
        drop(connection);
        Left { dir, log, index }
    }

    #[test]
    fn a_kill_at_any_byte_of_a_write_is_no_damage() {
        for resets in [false, true] {
            let mut states: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
            let left = written(resets, |log, index| states.push((log.to_vec(), index.to_vec())));
            for pair in states.windows(2) {
                let [(before, index), (after, _)] = pair else { unreachable!() };
                // SQLite writes from front to back, so what a kill leaves is a part of the later state over the earlier.
                let differ = before.iter().zip(after).position(|(a, b)| a != b).unwrap_or(before.len());
                // The header is written at once.
                for end in (differ.max(HEADER)..=after.len()).step_by(7).chain([after.len()]) {
                    let mut torn = after[..end].to_vec();
                    torn.extend_from_slice(before.get(end..).unwrap_or_default());
                    let log = left.read(&torn, Some(index));
                    assert_eq!(log.fault, None, "{end} of {} bytes written", after.len());
                    assert_eq!(left.read(&torn, None).fault, None);
                }
                assert!(left.read(after, Some(index)).usable > 0);
            }
        }
    }

    #[test]
    fn every_flipped_bit_that_takes_back_a_commit_is_found() {
        let mut commits = Vec::new();
        let left = written(false, |log, _| commits.push(log.len()));
        assert_eq!(left.read(&left.log, Some(&left.index)).fault, None);
        let last_commits = commits[commits.len() - 3];
        // Every byte of both headers, and some of each page.
        for at in (0..left.log.len()).filter(|at| *at < HEADER + FRAME_HEADER || at % 7 == 0) {
            let mut flipped = left.log.clone();
            flipped[at] ^= 1 << (at % 8);
            let said = left.read(&flipped, Some(&left.index));
            assert!(said.fault.is_some(), "byte {at}: {said:?}");
            // Without the index, the last commits look as one that was never complete.
            let said = left.read(&flipped, None);
            assert!(said.fault.is_some() || at >= last_commits, "byte {at}: {said:?}");
        }
        for end in [1, 31, 32, commits[0] - 1, left.log.len() - 1] {
            let said = left.read(&left.log[..end], Some(&left.index));
            assert!(said.fault.is_some(), "cut after {end}: {said:?}");
        }
    }

    #[test]
    fn an_index_that_is_damaged_or_of_another_time_says_nothing() {
        let left = written(false, |_, _| {});
        let before = &left.log[..HEADER];
        assert!(left.read(before, Some(&left.index)).fault.is_some());
        for at in [16, 33, 40, 64] {
            let mut index = left.index.clone();
            index[at] ^= 1;
            assert_eq!(left.read(before, Some(&index)).fault, None, "byte {at}");
        }
        assert_eq!(left.read(before, Some(&left.index[..50])).fault, None);
        assert_eq!(left.read(b"", Some(&left.index)), Log::default());
    }
}
