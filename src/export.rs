//! Exports: rows as CSV or NDJSON, read from the store page by page, so that any size costs the memory of one page.

use std::io::{self, Read};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::job::{JobId, Outcome, Reason, TaskState, TopicTally};
use crate::model::Millis;
use crate::store::{ChangeRow, LabelCursor, LabelQuery, LabelRow, Result, ShownLabel, Store, TaskRow};
use crate::when::rfc3339;

/// The two forms of every export; they have the same names of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Csv,
    Ndjson,
}

/// Which changes of labels are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Added,
    Removed,
    Updated,
    All,
}

impl Wanted {
    pub fn from_word(word: &str) -> Option<Wanted> {
        match word {
            "added" => Some(Wanted::Added),
            "removed" => Some(Wanted::Removed),
            "updated" => Some(Wanted::Updated),
            "all" => Some(Wanted::All),
            _ => None,
        }
    }

    fn fits(self, change: &str) -> bool {
        match self {
            Wanted::All => true,
            Wanted::Added => change == "added",
            Wanted::Removed => change == "removed",
            Wanted::Updated => change == "updated",
        }
    }
}

/// Whether a change comes with what stood there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    Left,
    Shown,
}

type Row = Vec<Value>;
/// The rows of the next page; None at the end.
type NextPage = Box<dyn FnMut() -> Result<Option<Vec<Row>>> + Send>;

/// An export as a stream of bytes.
pub struct Export {
    columns: &'static [&'static str],
    format: Format,
    next_page: NextPage,
    page: io::Cursor<Vec<u8>>,
    ended: bool,
}

impl Export {
    fn new(columns: &'static [&'static str], format: Format, next_page: NextPage) -> Export {
        let mut head = Vec::new();
        if format == Format::Csv {
            head.extend_from_slice(columns.join(",").as_bytes());
            head.push(b'\n');
        }
        Export { columns, format, next_page, page: io::Cursor::new(head), ended: false }
    }

    fn write(&self, rows: Vec<Row>) -> io::Result<Vec<u8>> {
        match self.format {
            Format::Csv => {
                let mut csv = csv::WriterBuilder::new().from_writer(Vec::new());
                for row in rows {
                    csv.write_record(row.iter().map(plain))?;
                }
                csv.into_inner().map_err(|error| error.into_error())
            }
            Format::Ndjson => {
                let mut out = Vec::new();
                for row in rows {
                    let fields = self.columns.iter().map(|column| (*column).to_owned()).zip(row);
                    let line: serde_json::Map<String, Value> = fields.collect();
                    serde_json::to_writer(&mut out, &line)?;
                    out.push(b'\n');
                }
                Ok(out)
            }
        }
    }
}

/// A value as a CSV field; null is empty.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl Read for Export {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let n = self.page.read(buffer)?;
            if n > 0 || self.ended || buffer.is_empty() {
                return Ok(n);
            }
            match (self.next_page)().map_err(io::Error::other)? {
                Some(rows) => self.page = io::Cursor::new(self.write(rows)?),
                None => self.ended = true,
            }
        }
    }
}

/// What a job did to the labels of each topic.
pub fn job_topics(topics: Vec<TopicTally>, format: Format) -> Export {
    const COLUMNS: &[&str] = &["topic", "added", "removed", "updated"];
    let row = |t: &TopicTally| vec![json!(t.topic), json!(t.added), json!(t.removed), json!(t.updated)];
    let mut rows = Some(topics.iter().map(row).collect());
    Export::new(COLUMNS, format, Box::new(move || Ok(rows.take())))
}

/// Which items of a job are wanted: an empty list asks for nothing in particular.
#[derive(Debug, Clone, Default)]
pub struct Which {
    pub states: Vec<TaskState>,
    pub outcomes: Vec<Outcome>,
    pub reasons: Vec<Reason>,
}

impl Which {
    fn fits(&self, task: &TaskRow) -> bool {
        fn one_of<T: PartialEq>(wanted: &[T], found: Option<T>) -> bool {
            wanted.is_empty() || found.is_some_and(|found| wanted.contains(&found))
        }
        one_of(&self.states, Some(task.state))
            && one_of(&self.outcomes, task.outcome)
            && one_of(&self.reasons, task.why())
    }
}

/// The items of a job, with how each fared.
pub fn job_items(store: Arc<Store>, job: JobId, which: Which, format: Format) -> Export {
    const COLUMNS: &[&str] = &["kind", "id", "version", "state", "outcome", "reason", "attempts", "finished_at"];
    let mut from = 0;
    let next_page = move || {
        let tasks = store.task_rows(job, from)?;
        let Some(last) = tasks.last() else { return Ok(None) };
        from = last.pos + 1;
        Ok(Some(tasks.iter().filter(|task| which.fits(task)).map(task_row).collect()))
    };
    Export::new(COLUMNS, format, Box::new(next_page))
}

fn task_row(task: &TaskRow) -> Row {
    vec![
        json!(task.kind),
        json!(task.id),
        json!(task.version),
        json!(task.state),
        json!(task.outcome),
        json!(task.reason),
        json!(task.attempts),
        json!(task.finished_at.map(rfc3339)),
    ]
}

/// What a job changed, label by label.
pub fn job_labels(store: Arc<Store>, job: JobId, wanted: Wanted, before: Before, format: Format) -> Export {
    const COLUMNS: &[&str] = &[
        "kind",
        "id",
        "version",
        "transcript",
        "block",
        "topic",
        "change",
        "phrase",
        "score",
        "start",
        "end",
        // With `Before::Shown`.
        "old_phrase",
        "old_score",
        "old_start",
        "old_end",
        "old_job",
    ];
    let columns = match before {
        Before::Left => &COLUMNS[..11],
        Before::Shown => COLUMNS,
    };
    let mut from = Some(0);
    let next_page = move || {
        let Some(pos) = from else { return Ok(None) };
        let (changes, next) = store.job_changes(job, pos)?;
        from = next;
        Ok(Some(changes.iter().filter_map(|change| change_row(change, wanted, before)).collect()))
    };
    Export::new(columns, format, Box::new(next_page))
}

fn change_word(change: &ChangeRow) -> &'static str {
    match (&change.old, &change.new) {
        (None, Some(_)) => "added",
        (Some(_), None) => "removed",
        (Some(_), Some(_)) => "updated",
        (None, None) => "erased",
    }
}

fn change_row(change: &ChangeRow, wanted: Wanted, before: Before) -> Option<Row> {
    let word = change_word(change);
    // What is shown is how it stands now, and of a removed label how it stood.
    let label = change.new.as_ref().or(change.old.as_ref())?;
    if !wanted.fits(word) {
        return None;
    }
    let mut row = vec![json!(change.kind), json!(change.id), json!(change.version)];
    row.extend([json!(label.transcript), json!(label.block), json!(label.topic), json!(word)]);
    row.extend(evidence(label));
    if before == Before::Shown {
        match &change.old {
            Some(old) => row.extend(evidence(old).into_iter().chain([job_id(old.by.job)])),
            None => row.extend(std::iter::repeat_n(Value::Null, 5)),
        }
    }
    Some(row)
}

fn evidence(label: &ShownLabel) -> [Value; 4] {
    match &label.evidence {
        Some(e) => [json!(e.phrase), json!(e.score), json!(e.start), json!(e.end)],
        None => [Value::Null, Value::Null, Value::Null, Value::Null],
    }
}

fn or_null(number: i64) -> Value {
    if number == 0 { Value::Null } else { json!(number) }
}

fn source(label: &ShownLabel) -> Value {
    json!(if label.human { "human" } else { "rule" })
}

/// All labels that stand.
pub fn labels(store: Arc<Store>, query: LabelQuery, format: Format) -> Export {
    const COLUMNS: &[&str] = &[
        "kind",
        "id",
        "version",
        "transcript",
        "block",
        "topic",
        "source",
        "phrase",
        "score",
        "start",
        "end",
        "job",
        "revision",
        "at",
    ];
    let mut after: Option<LabelCursor> = None;
    let mut ended = false;
    let next_page = move || {
        if ended {
            return Ok(None);
        }
        let (rows, next) = store.label_rows(&query, after)?;
        after = next;
        ended = next.is_none();
        Ok(Some(rows.iter().map(label_row).collect()))
    };
    Export::new(COLUMNS, format, Box::new(next_page))
}

fn label_row(row: &LabelRow) -> Row {
    let label = &row.label;
    let mut out = vec![json!(row.kind), json!(row.id), json!(row.version)];
    out.extend([json!(label.transcript), json!(label.block), json!(label.topic), source(label)]);
    out.extend(evidence(label));
    out.extend([job_id(label.by.job), or_null(label.by.revision), json!(rfc3339(label.by.at))]);
    out
}

/// Jobs are strings in JSON.
pub fn job_id(job: JobId) -> Value {
    if job == 0 { Value::Null } else { json!(job.to_string()) }
}

/// Changes committed on items in one page of the feed.
const FEED_PAGE: usize = 512;

/// All changes of labels numbered above `after`, up to the last one that there is when it is reached.
pub fn changes(store: Arc<Store>, after: i64, format: Format) -> Export {
    const COLUMNS: &[&str] = &[
        "no",
        "kind",
        "id",
        "version",
        "transcript",
        "block",
        "topic",
        "change",
        "source",
        "phrase",
        "score",
        "start",
        "end",
        "job",
        "revision",
        "at",
    ];
    let mut after = after;
    let next_page = move || {
        let changes = store.changes_after(after, FEED_PAGE)?;
        let Some(last) = changes.last() else { return Ok(None) };
        after = last.no;
        Ok(Some(changes.iter().map(feed_row).collect()))
    };
    Export::new(COLUMNS, format, Box::new(next_page))
}

fn feed_row(change: &ChangeRow) -> Row {
    let mut row = vec![json!(change.no), json!(change.kind), json!(change.id), json!(change.version)];
    let word = json!(change_word(change));
    match change.new.as_ref().or(change.old.as_ref()) {
        Some(label) => {
            row.extend([json!(label.transcript), json!(label.block), json!(label.topic), word, source(label)]);
            row.extend(evidence(label));
        }
        None => {
            row.extend([Value::Null, Value::Null, Value::Null, word]);
            row.extend(std::iter::repeat_n(Value::Null, 5));
        }
    }
    let at: Millis = change.by.at;
    row.extend([job_id(change.by.job), or_null(change.by.revision), json!(rfc3339(at))]);
    row
}
