//! Downloads: streamed to stdout or to a file, as CSV, as NDJSON, or as one JSON document.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use indicatif::ProgressBar;

use super::Session;
use super::call::Query;
use super::interrupt::Writing;
use super::problem::Error;
use super::render::write_error;
use super::view::clean;

/// How a download is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Csv,
    Ndjson,
    /// One JSON document.
    Array,
}

/// Copies a download to stdout, or to a file that is there only when it is whole.
pub fn save(session: &Session, path: &str, form: Form, query: Query, to: Option<&PathBuf>) -> Result<(), Error> {
    let Some(file) = to.filter(|file| file.as_os_str() != "-") else {
        return fetch(session, path, form, query, io::stdout().lock(), "the output");
    };
    let name = file.display().to_string();
    // What exists and is no plain file, as /dev/null or a named pipe, must be written into and not replaced.
    if fs::metadata(file).is_ok_and(|about| !about.is_file()) {
        let out = File::options().write(true).open(file).map_err(|e| write_error(&name, &e))?;
        return fetch(session, path, form, query, out, &name);
    }
    let mut part = file.clone().into_os_string();
    part.push(".part");
    let part = PathBuf::from(part);
    let broken_off = format!("{} was not written", clean(&name));
    let writing = Writing { bar: ProgressBar::hidden(), part: Some(part.clone()), broken_off }.begin(session)?;
    let fetched = File::create(&part)
        .map_err(|e| write_error(&name, &e))
        .and_then(|out| fetch(session, path, form, query, out, &name));
    writing.end();
    let saved = fetched.and_then(|()| fs::rename(&part, file).map_err(|e| write_error(&name, &e)));
    if saved.is_err() {
        // Best effort: what is reported is why the download failed.
        let _ = fs::remove_file(&part);
    }
    saved?;
    session.out.note(&format!("written to {name}"));
    Ok(())
}

fn fetch(session: &Session, path: &str, form: Form, query: Query, to: impl Write, what: &str) -> Result<(), Error> {
    let mut out = BufWriter::with_capacity(64 << 10, to);
    match form {
        Form::Csv => session.daemon.copy(&format!("{path}.csv"), query, &mut out, what)?,
        Form::Ndjson => session.daemon.copy(&format!("{path}.ndjson"), query, &mut out, what)?,
        Form::Array => {
            let mut array = Array::new(&mut out);
            session.daemon.copy(&format!("{path}.ndjson"), query, &mut array, what)?;
            array.end().map_err(|e| write_error(what, &e))?;
        }
    }
    out.flush().map_err(|e| write_error(what, &e))
}

/// Makes one JSON array of NDJSON as it passes. A download that breaks off leaves it open, so it cannot be mistaken for
/// a whole one.
struct Array<W> {
    out: W,
    empty: bool,
    at_line_start: bool,
}

impl<W: Write> Array<W> {
    fn new(out: W) -> Array<W> {
        Array { out, empty: true, at_line_start: true }
    }

    fn end(mut self) -> io::Result<()> {
        self.out.write_all(if self.empty { b"[]\n" } else { b"\n]\n" })
    }
}

impl<W: Write> Write for Array<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            if self.at_line_start {
                self.out.write_all(if self.empty { b"[\n" } else { b",\n" })?;
                self.empty = false;
            }
            let text = line.strip_suffix(b"\n");
            self.at_line_start = text.is_some();
            self.out.write_all(text.unwrap_or(line))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn lines_become_one_array_wherever_they_are_cut() {
        let array = |parts: &[&str]| {
            let mut out = Vec::new();
            let mut array = Array::new(&mut out);
            parts.iter().for_each(|part| array.write_all(part.as_bytes()).unwrap());
            array.end().unwrap();
            serde_json::from_slice::<Value>(&out).unwrap()
        };
        assert_eq!(array(&[]), json!([]));
        assert_eq!(array(&["{\"a\":1}\n"]), json!([{"a": 1}]));
        assert_eq!(array(&["{\"a\"", ":1}", "\n{}", "\n", "{}\n"]), json!([{"a": 1}, {}, {}]));
    }
}
