//! Reading import files: gunzipped where needed, and cut into batches at line ends.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

/// A batch is full at either of these: small enough that little is repeated after a lost connection, large enough that
/// the daemon's commits, not the requests, are what takes the time.
const FULL_BYTES: usize = 4 << 20;
const FULL_LINES: u64 = 2_000;
/// Far above any `max_item_bytes` in sense, so that a file without line ends cannot take all memory.
const LONGEST_LINE: u64 = 256 << 20;

const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Opens a file, or stdin for `-`; gives the size in bytes too where it is known.
pub fn open(path: &Path) -> io::Result<(Box<dyn Read>, Option<u64>)> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin()), None));
    }
    let file = File::open(path)?;
    let about = file.metadata()?;
    if about.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    Ok((Box::new(file), about.is_file().then_some(about.len())))
}

/// Plain lines of plain or gzipped input. The first bytes decide, not the name: stdin has none.
pub fn lines(mut input: impl Read + 'static) -> io::Result<Box<dyn BufRead>> {
    let mut head = Vec::with_capacity(GZIP.len());
    input.by_ref().take(GZIP.len() as u64).read_to_end(&mut head)?;
    let gzipped = head == GZIP;
    let whole = BufReader::with_capacity(64 << 10, Cursor::new(head).chain(input));
    Ok(match gzipped {
        true => Box::new(BufReader::with_capacity(64 << 10, MultiGzDecoder::new(whole))),
        false => Box::new(whole),
    })
}

/// Consecutive lines of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The number of its first line, from 1.
    pub first: u64,
    pub lines: u64,
    /// Every line ends with a line end.
    pub bytes: Vec<u8>,
    /// The line after these was too long to be sent and is skipped.
    pub skipped: bool,
}

impl Batch {
    /// The number of its last line, the skipped one included.
    pub fn last(&self) -> u64 {
        self.first + self.lines + u64::from(self.skipped) - 1
    }
}

/// Cuts lines into batches; never a line into two.
pub struct Batches<R> {
    input: R,
    next_line: u64,
    full_bytes: usize,
    longest_line: u64,
}

impl<R: BufRead> Batches<R> {
    pub fn new(input: R) -> Batches<R> {
        Batches { input, next_line: 1, full_bytes: FULL_BYTES, longest_line: LONGEST_LINE }
    }

    /// The next batch; None at the end of the input.
    pub fn read(&mut self) -> io::Result<Option<Batch>> {
        let mut batch = Batch { first: self.next_line, ..Batch::default() };
        while batch.lines < FULL_LINES && batch.bytes.len() < self.full_bytes {
            let before = batch.bytes.len();
            let read = self.input.by_ref().take(self.longest_line).read_until(b'\n', &mut batch.bytes)?;
            if read == 0 {
                break;
            }
            if read as u64 == self.longest_line && !batch.bytes.ends_with(b"\n") {
                batch.bytes.truncate(before);
                batch.skipped = true;
                self.skip_line()?;
                break;
            }
            if !batch.bytes.ends_with(b"\n") {
                batch.bytes.push(b'\n');
            }
            batch.lines += 1;
        }
        self.next_line = batch.last() + 1;
        Ok((batch.lines > 0 || batch.skipped).then_some(batch))
    }

    fn skip_line(&mut self) -> io::Result<()> {
        self.input.skip_until(b'\n').map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn all(input: &str, full_bytes: usize, longest_line: u64) -> Vec<Batch> {
        let mut batches = Batches { full_bytes, longest_line, ..Batches::new(input.as_bytes()) };
        std::iter::from_fn(|| batches.read().unwrap()).collect()
    }

    fn texts(batches: &[Batch]) -> Vec<(u64, u64, &str)> {
        batches.iter().map(|b| (b.first, b.last(), std::str::from_utf8(&b.bytes).unwrap())).collect()
    }

    #[test]
    fn a_batch_ends_with_the_line_that_fills_it_and_the_last_line_needs_no_end() {
        let batches = all("aaa\nbbbbbbb\n\nc", 6, 100);
        assert_eq!(texts(&batches), [(1, 2, "aaa\nbbbbbbb\n"), (3, 4, "\nc\n")]);
        assert!(all("", 6, 100).is_empty());
    }

    #[test]
    fn a_batch_is_full_of_lines_too() {
        let batches = all(&"x\n".repeat(4_500), FULL_BYTES, 100);
        assert_eq!(
            batches.iter().map(|b| (b.first, b.lines)).collect::<Vec<_>>(),
            [(1, 2000), (2001, 2000), (4001, 500)]
        );
    }

    #[test]
    fn a_line_too_long_to_send_is_skipped_and_counted() {
        let batches = all("a\nxxxxxxxxxxxxxxxx\nb\nyyyyyyyyyyyy", 100, 8);
        assert_eq!(texts(&batches), [(1, 2, "a\n"), (3, 4, "b\n")]);
        assert!(batches.iter().all(|b| b.skipped));
        // A line of exactly the limit, end included, is not too long.
        assert_eq!(texts(&all("1234567\n2\n", 100, 8)), [(1, 2, "1234567\n2\n")]);
    }

    #[test]
    fn gzip_is_known_by_its_first_bytes_and_may_have_several_members() {
        let member = |text: &str| {
            let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
            gz.write_all(text.as_bytes()).unwrap();
            gz.finish().unwrap()
        };
        let read = |bytes: Vec<u8>| {
            let mut text = String::new();
            lines(Cursor::new(bytes)).and_then(|mut l| l.read_to_string(&mut text)).map(|_| text)
        };
        let two = [member("a\n"), member("b\n")].concat();
        assert_eq!(read(two.clone()).unwrap(), "a\nb\n");
        assert!(read(two[..two.len() - 3].to_vec()).is_err(), "half a file must not pass for a whole one");
        assert_eq!(read(b"{".to_vec()).unwrap(), "{");
        assert_eq!(read(Vec::new()).unwrap(), "");
    }
}
