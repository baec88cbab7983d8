//! The import format, NDJSON, plain or gzipped: the input to lines here, a line to an item in [`item`].

mod field;
mod item;

use std::fmt;
use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

pub use item::{Incoming, IncomingMark, MarkWord, paragraphs, parse_line};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const READ_AHEAD: usize = 64 << 10;

/// Undoes gzip (also of several members, as `cat a.gz b.gz` makes) where the input begins like it.
///
/// A truncated or damaged gzip ends in an error. So does a failure to read the first two bytes, at the first read.
pub fn maybe_gunzip<'a>(mut reader: impl Read + 'a) -> Box<dyn BufRead + 'a> {
    let mut head = Vec::with_capacity(GZIP_MAGIC.len());
    let failed = reader.by_ref().take(GZIP_MAGIC.len() as u64).read_to_end(&mut head).err();
    let is_gzip = head == GZIP_MAGIC;
    let whole = Cursor::new(head).chain(BufReader::with_capacity(READ_AHEAD, Unless { failed, reader }));
    if is_gzip { Box::new(BufReader::with_capacity(READ_AHEAD, MultiGzDecoder::new(whole))) } else { Box::new(whole) }
}

/// A reader, unless it failed before it was handed over.
struct Unless<R> {
    failed: Option<io::Error>,
    reader: R,
}

impl<R: Read> Read for Unless<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.failed.take().map_or_else(|| self.reader.read(buffer), Err)
    }
}

/// A line that was skipped unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong {
    pub limit: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "longer than max_item_bytes ({} bytes)", self.limit)
    }
}

/// A line's number, from 1, and the line.
pub type Numbered<'a> = (u64, Result<&'a [u8], TooLong>);

/// Splits its input into lines. Holds one line at a time, and never more of it than the limit.
pub struct Lines<R> {
    reader: R,
    max_item_bytes: usize,
    number: u64,
    buffer: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    pub fn new(reader: R, max_item_bytes: usize) -> Self {
        Lines { reader, max_item_bytes, number: 0, buffer: Vec::new() }
    }

    /// The next line that is not blank, without its end; `None` at the end of the input. Blank lines are counted.
    #[allow(clippy::should_implement_trait)] // The line is lent out of the buffer, which an Iterator cannot do.
    pub fn next(&mut self) -> io::Result<Option<Numbered<'_>>> {
        // Of a line that just fits, its end and a mark may be more than the limit.
        let most = self.max_item_bytes.saturating_add(b"\r\n".len() + BYTE_ORDER_MARK.len());
        loop {
            self.number += skip_blank(&mut self.reader)?;
            self.buffer.clear();
            let read = self.reader.by_ref().take(most as u64).read_until(b'\n', &mut self.buffer)?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            let is_cut = read == most && !self.buffer.ends_with(b"\n");
            if is_cut {
                self.reader.skip_until(b'\n')?;
            }
            let mark =
                if self.number == 1 && self.buffer.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
            let end = self.buffer.trim_ascii_end().len();
            if is_cut || end.saturating_sub(mark) > self.max_item_bytes {
                return Ok(Some((self.number, Err(TooLong { limit: self.max_item_bytes }))));
            }
            if end > mark && !self.buffer[mark..end].trim_ascii_start().is_empty() {
                return Ok(Some((self.number, Ok(&self.buffer[mark..end]))));
            }
        }
    }
}

/// Skips the blank lines before the next line, and returns their number.
///
/// A gzip of 291 KB can hold 300 million blank lines, so they are skipped by the read-ahead and not one by one.
fn skip_blank(reader: &mut impl BufRead) -> io::Result<u64> {
    const LINE_ENDS: [u8; 1024] = [b'\n'; 1024];
    let mut lines = 0;
    loop {
        let ahead = reader.fill_buf()?;
        let length = ahead.len();
        let mut rest = ahead;
        while let Some(after) = rest.strip_prefix(&LINE_ENDS) {
            lines += LINE_ENDS.len() as u64;
            rest = after;
        }
        let blank = &rest[..rest.len() - rest.trim_ascii_start().len()];
        // What follows the last line end is the beginning of a line, whose columns an error may name.
        let whole = blank.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        lines += blank[..whole].iter().filter(|&&byte| byte == b'\n').count() as u64;
        let skipped = length - rest.len() + whole;
        reader.consume(skipped);
        if skipped < length || length == 0 {
            return Ok(lines);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    /// The lines as (number, text), `None` for one that is too long.
    fn lines(input: &[u8], limit: usize) -> Vec<(u64, Option<String>)> {
        // A small read-ahead puts ends of lines on its borders.
        let mut lines = Lines::new(BufReader::with_capacity(3, input), limit);
        let mut found = Vec::new();
        while let Some((number, line)) = lines.next().unwrap() {
            found.push((number, line.ok().map(|line| String::from_utf8(line.to_vec()).unwrap())));
        }
        found
    }

    fn some(number: u64, text: &str) -> (u64, Option<String>) {
        (number, Some(text.to_owned()))
    }

    #[test]
    fn splits_at_any_end_and_counts_blank_lines() {
        assert_eq!(lines(b"", 9), []);
        assert_eq!(lines(b"a\nb\r\n\n \t\r\nc", 9), [some(1, "a"), some(2, "b"), some(5, "c")]);
        assert_eq!(lines(b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", 9), [some(1, "a"), some(2, "\u{feff}b")]);
        assert_eq!(lines(b"\xef\xbb\xbf\r\na", 9), [some(2, "a")]);
        assert_eq!(lines(b"\r\n\n", 9), []);
    }

    #[test]
    fn a_line_may_be_as_long_as_the_limit_and_no_longer() {
        for end in ["", "\n", "\r\n"] {
            for mark in ["", "\u{feff}"] {
                assert_eq!(lines(format!("{mark}abcd{end}").as_bytes(), 4), [some(1, "abcd")], "{end:?}");
                assert_eq!(lines(format!("{mark}abcde{end}").as_bytes(), 4), [(1, None)], "{end:?}");
            }
            let long = format!("ab\n{}{end}", "x".repeat(1000));
            assert_eq!(lines(long.as_bytes(), 4), [some(1, "ab"), (2, None)]);
        }
        assert_eq!(lines(b"0123456789\nab\n", 4), [(1, None), some(2, "ab")]);
        assert_eq!(lines(b"a\n", usize::MAX), [some(1, "a")]);
    }

    /// Counts how often it is looked into.
    struct Counting<R>(R, usize);

    impl<R: BufRead> Read for Counting<R> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl<R: BufRead> BufRead for Counting<R> {
        fn fill_buf(&mut self) -> io::Result<&[u8]> {
            self.1 += 1;
            self.0.fill_buf()
        }

        fn consume(&mut self, amount: usize) {
            self.0.consume(amount);
        }
    }

    #[test]
    fn blank_lines_are_counted_and_not_read_one_by_one() {
        let blank = [" \r\n", &"\n".repeat(5000), &"\t \x0c\n".repeat(5000)].concat();
        for (capacity, looks) in [(3, 100_000), (1000, 200), (1024, 200), (100_000, 20)] {
            let input = format!("{blank}  a\n{blank}b");
            let mut lines = Lines::new(Counting(BufReader::with_capacity(capacity, input.as_bytes()), 0), 9);
            assert_eq!(lines.next().unwrap(), Some((10_002, Ok(&b"  a"[..]))), "{capacity}");
            assert_eq!(lines.next().unwrap(), Some((20_004, Ok(&b"b"[..]))), "{capacity}");
            assert_eq!(lines.next().unwrap(), None);
            assert!(lines.reader.1 <= looks, "{} looks with {capacity}", lines.reader.1);
        }
    }

    #[test]
    fn a_long_line_is_not_held() {
        let input = io::repeat(b'x').take(100_000_000).chain(&b"\nok\n"[..]);
        let mut lines = Lines::new(BufReader::new(input), 1000);
        assert_eq!(lines.next().unwrap(), Some((1, Err(TooLong { limit: 1000 }))));
        assert_eq!(lines.next().unwrap(), Some((2, Ok(&b"ok"[..]))));
        assert!(lines.buffer.capacity() < 10_000);
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn unzipped(input: &[u8]) -> io::Result<String> {
        let mut text = String::new();
        maybe_gunzip(Cursor::new(input.to_vec())).read_to_string(&mut text).map(|_| text)
    }

    #[test]
    fn gzip_is_undone_and_its_truncation_an_error() {
        assert_eq!(unzipped(b"").unwrap(), "");
        assert_eq!(unzipped(b"a").unwrap(), "a");
        assert_eq!(unzipped(b"plain\n").unwrap(), "plain\n");
        let first = gzip(b"one\ntwo\n");
        let both = [first.clone(), gzip(b"three\n")].concat();
        assert_eq!(unzipped(&both).unwrap(), "one\ntwo\nthree\n");
        for end in 2..both.len() {
            assert_eq!(unzipped(&both[..end]).is_ok(), end == first.len(), "cut at {end}");
        }
        let mut damaged = first;
        damaged[12] ^= 0x55;
        assert!(unzipped(&damaged).is_err());
    }

    #[test]
    fn a_failure_of_the_first_read_is_kept_for_the_reader() {
        let failing = Unless { failed: Some(io::Error::other("gone")), reader: &b"text"[..] };
        assert_eq!(maybe_gunzip(failing).read_to_end(&mut Vec::new()).unwrap_err().to_string(), "gone");
    }
}
