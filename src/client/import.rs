//! `relabeld import`: files to the daemon, in batches of our own, so that we always know how far it came.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use ureq::http::Method;

use super::Session;
use super::batch::{Batch, Batches, lines, open};
use super::call::Payload;
use super::interrupt::Course;
use super::problem::Error;
use super::render::{Out, Table};
use super::view::{clean, count, rows, text};
use crate::wire::grouped;

const ITEMS: &str = "/api/v1/items";
const STRICT: [(&str, &str); 1] = [("strict", "true")];
/// As many as the daemon gives for one request.
const ERRORS_KEPT: usize = 1_000;
const ERRORS_SHOWN: usize = 50;
const COUNTS: [&str; 6] = ["inserted", "updated", "unchanged", "refused", "bad", "marks_dropped"];

/// What all answers so far add up to.
#[derive(Debug, Default)]
struct Sum {
    counts: [u64; COUNTS.len()],
    lines: u64,
    /// File, line, reason.
    errors: Vec<(String, u64, String)>,
}

impl Sum {
    /// Adds the answer about a batch that began at line `first` of `file`.
    fn add(&mut self, file: &str, first: u64, answer: &Value) {
        for (sum, name) in self.counts.iter_mut().zip(COUNTS) {
            *sum += count(answer, &format!("/{name}"));
        }
        for error in rows(answer, "/errors") {
            // Lines count from 1 in the batch as in the file.
            self.note(file, (first + count(error, "/line")).saturating_sub(1), text(error, "/error"));
        }
    }

    fn add_skipped(&mut self, file: &str, line: u64) {
        self.counts[4] += 1;
        self.note(file, line, "longer than any item may be (256 MiB)".to_owned());
    }

    fn note(&mut self, file: &str, line: u64, error: String) {
        if self.errors.len() < ERRORS_KEPT {
            self.errors.push((file.to_owned(), line, error));
        }
    }

    fn bad(&self) -> u64 {
        self.counts[4]
    }

    fn json(&self) -> String {
        let errors: Vec<Value> =
            self.errors.iter().map(|(file, line, error)| json!({"file": file, "line": line, "error": error})).collect();
        let mut document = json!({"lines": self.lines, "errors": errors});
        for (sum, name) in self.counts.iter().zip(COUNTS) {
            document[name] = json!(sum);
        }
        document.to_string()
    }
}

/// How far it has come: what is known of it when it breaks off.
#[derive(Debug)]
struct SoFar {
    sum: Sum,
    name: String,
    /// The last line of the file that is stored; 0 for none.
    stored: u64,
    bar: ProgressBar,
    /// The files after it.
    rest: Vec<PathBuf>,
}

impl SoFar {
    fn new(files: &[PathBuf]) -> SoFar {
        let name = files.first().map(|file| file.display().to_string()).unwrap_or_default();
        let rest = files.iter().skip(1).cloned().collect();
        SoFar { sum: Sum::default(), name, stored: 0, bar: ProgressBar::hidden(), rest }
    }

    fn tell_rest(&self, out: Out) {
        if !self.rest.is_empty() {
            let names: Vec<_> = self.rest.iter().map(|file| clean(&file.display().to_string())).collect();
            out.note(&format!("not begun: {}", names.join(", ")));
        }
    }

    fn broken_off(self, out: Out) -> String {
        self.bar.finish_and_clear();
        self.tell_rest(out);
        // Whoever reads it may be gone; that it is broken off is told all the same.
        let _ = report(out, &self.sum, false);
        format!("interrupted\n{}", go_on(&clean(&self.name), self.stored))
    }
}

pub fn run(session: &Session, files: &[PathBuf], strict: bool) -> Result<(), Error> {
    present(files)?;
    let out = session.out;
    let course = Course::begin(session, SoFar::new(files), move |so_far| so_far.broken_off(out))?;
    admitted(session)?;
    let mut done = Ok(());
    for (n, file) in files.iter().enumerate() {
        course.step(|so_far| {
            let sum = std::mem::take(&mut so_far.sum);
            *so_far = SoFar { sum, ..SoFar::new(&files[n..]) };
        });
        done = match strict {
            true => whole(session, file, &course),
            false => in_batches(session, file, &course),
        };
        let barred = course.step(|so_far| {
            so_far.bar = ProgressBar::hidden();
            strict && so_far.sum.bad() > 0
        });
        if done.is_err() || barred == Some(true) {
            course.step(|so_far| so_far.tell_rest(out));
            break;
        }
    }
    let sum = course.end().map(|so_far| so_far.sum).unwrap_or_default();
    if let Err(error) = done {
        report(out, &sum, false)?;
        return Err(error);
    }
    report(out, &sum, true)?;
    match sum.bad() {
        0 => Ok(()),
        bad if strict => Err(Error::Failed(format!(
            "{} bad lines, so nothing of that file was imported (--strict). Mend them and import it again",
            grouped(bad)
        ))),
        bad if bad == sum.lines => Err(Error::Failed(
            "every line is bad, so nothing was imported; a file that is one JSON document over several lines becomes one \
             object a line by `jq -c .`, or by `jq -c '.[]'` where it is an array"
                .to_owned(),
        )),
        bad => Err(Error::Failed(format!(
            "{} of {} lines are bad; the others are stored. Mend those lines and import the file again: repeating is safe",
            grouped(bad),
            grouped(sum.lines)
        ))),
    }
}

/// Finds a mistyped name before anything is sent. Not by opening: what a pipe holds can be read once only.
fn present(files: &[PathBuf]) -> Result<(), Error> {
    for file in files.iter().filter(|file| file.as_os_str() != "-") {
        let about = std::fs::metadata(file);
        let directory = about.as_ref().is_ok_and(|about| about.is_dir());
        let wrong = about.err().or_else(|| directory.then(|| io::ErrorKind::IsADirectory.into()));
        if let Some(error) = wrong {
            let name = file.display();
            return Err(Error::Failed(format!("cannot read {name}: {error}\nnothing was imported")));
        }
    }
    Ok(())
}

fn report(out: Out, sum: &Sum, whole: bool) -> Result<(), Error> {
    if out.json {
        // Half a sum on stdout would be taken for the result; the error says how far it came.
        return if whole { out.data(&sum.json()) } else { Ok(()) };
    }
    for (file, line, error) in sum.errors.iter().take(ERRORS_SHOWN) {
        out.note(&format!("{}:{line}: {error}", clean(file)));
    }
    if sum.bad() > sum.errors.len().min(ERRORS_SHOWN) as u64 {
        out.note(&format!("… {} bad lines in all; --json lists the first 1,000", grouped(sum.bad())));
    }
    if sum.lines == 0 && (!whole || sum.bad() > 0) {
        return Ok(());
    }
    let mut table =
        Table::new(&[">LINES", ">INSERTED", ">UPDATED", ">UNCHANGED", ">REFUSED", ">BAD", ">MARKS DROPPED"]);
    table.row(std::iter::once(sum.lines).chain(sum.counts).map(grouped).collect());
    out.data(&table.show(out.paint))
}

fn in_batches(session: &Session, file: &Path, course: &Course<SoFar>) -> Result<(), Error> {
    let name = file.display().to_string();
    let unread = |e: &io::Error, after: u64| {
        Error::Failed(match after {
            0 => format!("cannot read {name}: {e}\nnothing of it was imported"),
            _ => format!("cannot read {name} beyond line {after}: {e}\nstored through line {after}; repeating is safe"),
        })
    };
    let (input, size) = open(file).map_err(|e| Error::Failed(format!("cannot read {name}: {e}")))?;
    let bar = bar(session, &name, size);
    course.step(|so_far| so_far.bar = bar.clone());
    let input = lines(bar.wrap_read(input)).map_err(|e| unread(&e, 0))?;
    let mut batches = Batches::new(input);
    let mut stored = 0;
    while let Some(batch) = batches.read().map_err(|e| unread(&e, stored))? {
        let answer = match batch.lines {
            0 => None,
            _ => {
                let sent = session.daemon.call(Method::POST, ITEMS, &[], Payload::Lines(&batch.bytes));
                Some(sent.map_err(|e| stopped(e, &name, stored, &batch))?)
            }
        };
        stored = batch.last();
        course.step(|so_far| {
            let sum = &mut so_far.sum;
            if let Some(answer) = answer {
                sum.add(&name, batch.first, &answer.value);
            }
            if batch.skipped {
                sum.add_skipped(&name, stored);
            }
            sum.lines += batch.lines + u64::from(batch.skipped);
            so_far.stored = stored;
        });
    }
    bar.finish_and_clear();
    Ok(())
}

fn how_far(name: &str, stored: u64) -> String {
    match stored {
        0 => format!("nothing of {name} is known to be stored"),
        _ => format!("stored through line {stored} of {name}"),
    }
}

fn go_on(name: &str, stored: u64) -> String {
    let from = stored + 1;
    format!("{}; run the same command again, repeating is safe (or send from line {from} on)", how_far(name, stored))
}

/// Why it went no further than line `stored`, and how to go on from there.
fn stopped(error: Error, name: &str, stored: u64, batch: &Batch) -> Error {
    let how_far = how_far(name, stored);
    match error {
        Error::Unreachable(why) | Error::Lost(why) => {
            Error::Lost(format!("{}\n{}", why.lines().next().unwrap_or_default(), go_on(name, stored)))
        }
        Error::Refused(problem) => {
            let (first, last) = (batch.first, batch.first + batch.lines - 1);
            let code = problem.exit_code();
            let why =
                format!("{problem}\nlines {first} to {last} of {name} were refused; {how_far}; repeating is safe");
            Error::Stopped { code, why }
        }
        other => other,
    }
}

/// The whole file in one request: the daemon checks all of it before it stores any.
fn whole(session: &Session, file: &Path, course: &Course<SoFar>) -> Result<(), Error> {
    let name = file.display().to_string();
    let unread = |e: &io::Error| Error::Failed(format!("cannot read {name}: {e}\nnothing of it was imported"));
    let (input, size) = open(file).map_err(|e| unread(&e))?;
    let bar = bar(session, &name, size);
    course.step(|so_far| so_far.bar = bar.clone());
    let mut input = Watched { input: lines(bar.wrap_read(input)).map_err(|e| unread(&e))?, failure: None };
    let sent = session.daemon.call(Method::POST, ITEMS, &STRICT, Payload::Stream(&mut input));
    bar.finish_and_clear();
    // A file that cannot be read to its end ends the request too; that is not the daemon's doing.
    if let Some(failure) = input.failure {
        return Err(unread(&failure));
    }
    match sent {
        Ok(answer) => {
            let lines = count(&answer.value, "/last_line");
            course.step(|so_far| {
                so_far.sum.add(&name, 1, &answer.value);
                so_far.sum.lines += lines;
                so_far.stored = lines;
            });
            Ok(())
        }
        // Bad lines are told as those of a lenient import are.
        Err(Error::Refused(problem)) if problem.has_places() => {
            course.step(|so_far| so_far.sum.add(&name, 1, problem.document()));
            Ok(())
        }
        Err(Error::Lost(why)) => Err(Error::Lost(format!(
            "{}\nrun the same command again, repeating is safe",
            why.lines().next().unwrap_or_default()
        ))),
        Err(other) => Err(other),
    }
}

/// Asks with no lines whether we may import at all. Empty input must not hide that there is no daemon, and a refusal in
/// the middle of gigabytes can be lost with the connection, and would then look like a daemon that died.
fn admitted(session: &Session) -> Result<(), Error> {
    match session.daemon.call(Method::POST, ITEMS, &STRICT, Payload::Lines(b"")) {
        Err(Error::Refused(problem)) if !matches!(problem.status, 401 | 403 | 503 | 507) => Ok(()),
        asked => asked.map(drop),
    }
}

/// Remembers why reading failed: the HTTP client reports every failure as one of the connection.
struct Watched<R> {
    input: R,
    failure: Option<io::Error>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.input.read(buffer).inspect_err(|e| {
            if e.kind() != io::ErrorKind::Interrupted {
                self.failure = Some(io::Error::new(e.kind(), e.to_string()));
            }
        })
    }
}

/// Bytes of the file as stored, for only their number is known beforehand.
fn bar(session: &Session, name: &str, size: Option<u64>) -> ProgressBar {
    if !session.out.bars() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match size {
        Some(size) => (
            ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::stderr()),
            "{prefix} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} ETA {eta}",
        ),
        None => (ProgressBar::new_spinner(), "{prefix} {spinner} {bytes} {bytes_per_sec}"),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.with_prefix(clean(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::problem::Problem;

    #[test]
    fn lines_of_a_batch_are_told_as_lines_of_the_file() {
        let mut sum = Sum::default();
        sum.add("f", 2001, &json!({"inserted": 5, "bad": 1, "errors": [{"line": 3, "error": "not JSON"}]}));
        sum.add("f", 4001, &json!({"inserted": 2, "updated": 1, "errors": []}));
        assert_eq!(sum.errors, [("f".to_owned(), 2003, "not JSON".to_owned())]);
        assert_eq!(sum.counts, [7, 1, 0, 0, 1, 0]);
        let document: Value = serde_json::from_str(&sum.json()).unwrap();
        assert_eq!((&document["inserted"], &document["errors"][0]["line"]), (&json!(7), &json!(2003)));
    }

    #[test]
    fn a_stop_says_how_far_it_came_and_keeps_the_exit_code() {
        let batch = Batch { first: 2001, lines: 10, ..Batch::default() };
        let lost = stopped(Error::Lost("gone".into()), "f", 2000, &batch);
        assert!(lost.to_string().contains("stored through line 2000 of f; run the same command again"), "{lost}");
        assert_eq!(lost.exit_code(), 4);
        let full = stopped(Error::Refused(Box::new(Problem::read(ITEMS, 507, "{}"))), "f", 2000, &batch);
        assert!(full.to_string().contains("lines 2001 to 2010 of f were refused"), "{full}");
        assert_eq!(full.exit_code(), 5);
    }
}
