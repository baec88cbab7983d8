//! Items: imported, shown, marked, erased.

use std::io::{Read, Seek, SeekFrom, Write};

use serde_json::{Value, json};

use super::SMALL;
use super::show::item_json;
use crate::http::answer::{Answer, Problem};
use crate::http::asked::Asked;
use crate::http::{Context, Handled};
use crate::lines::{Lines, maybe_gunzip, parse_line};
use crate::model::{Kind, Millis};
use crate::os;
use crate::store::{Batch, ImportCounts, ImportOutcome, MarkWish, Promise};
use crate::wire::{Fields, check_name, kind_from, shorten};

/// Lines that are reported one by one; the others are counted.
const REPORTED: usize = 1_000;
/// An import with more bad lines ends there: a small gzip may hold hundreds of millions of them.
const MOST_BAD: u64 = 1_000_000;
/// A batch is stored when it has this many items, or takes this much memory. The writer sees to nobody else meanwhile;
/// smaller ones would sync more often, and change more pages of the indexes more than once.
const BATCH_ITEMS: usize = 2_000;
const BATCH_BYTES: usize = 2 << 20;

/// `POST /api/v1/items`: NDJSON, gzipped or not, of any length.
pub fn import(context: &Context, asked: &mut Asked<'_>) -> Handled {
    let strict = asked.query.flag("strict")?;
    asked.query.finish()?;
    check_encoding(asked.content_encoding.as_deref())?;
    if context.engine.held() {
        return Err(Problem::full());
    }
    let limit = context.config.max_item_bytes as usize;
    let mut import = Import::new(context, asked.now);
    if strict {
        let mut spool = spool(context, asked.body)?;
        import.read(Lines::new(maybe_gunzip(spool.try_clone().map_err(unspoolable)?), limit), false)?;
        if import.bad > 0 {
            let detail = format!("{} bad line(s): nothing was imported", import.bad);
            return Err(Problem::invalid(detail)
                .with("bad", json!(import.bad))
                .with("errors", Value::from(import.errors)));
        }
        spool.seek(SeekFrom::Start(0)).map_err(unspoolable)?;
        import = Import::new(context, asked.now);
        import.read(Lines::new(maybe_gunzip(spool), limit), true)?;
    } else {
        import.read(Lines::new(maybe_gunzip(&mut *asked.body), limit), true)?;
    }
    let counts = import.counts;
    Ok(Answer::json(json!({
        "inserted": counts.inserted,
        "updated": counts.updated,
        "unchanged": counts.unchanged,
        "refused": counts.refused,
        "bad": import.bad,
        "marks_dropped": counts.marks_dropped,
        "errors": import.errors,
        "last_line": import.last_line,
    })))
}

/// gzip is known by how it begins, said or not; of another encoding every line would be reported as bad.
fn check_encoding(encoding: Option<&str>) -> Result<(), Problem> {
    match encoding.map(|encoding| encoding.trim().to_ascii_lowercase()).as_deref() {
        None | Some("" | "identity" | "gzip" | "x-gzip") => Ok(()),
        Some(_) => Err(Problem::invalid("Content-Encoding: must be gzip, or none")),
    }
}

/// The whole input in a file without a name, so that it can be checked before any of it is stored.
fn spool(context: &Context, body: &mut dyn Read) -> Result<std::fs::File, Problem> {
    let mut file = context.scratch_file().map_err(unspoolable)?;
    let mut buffer = vec![0; 1 << 16];
    let mut since_look = 0;
    loop {
        let n = body.read(&mut buffer).map_err(cut_short)?;
        if n == 0 {
            break;
        }
        file.write_all(&buffer[..n]).map_err(unspoolable)?;
        since_look += n;
        if since_look > 64 << 20 {
            since_look = 0;
            if context.engine.held() {
                return Err(Problem::full());
            }
        }
    }
    file.seek(SeekFrom::Start(0)).map_err(unspoolable)?;
    Ok(file)
}

fn cut_short(error: std::io::Error) -> Problem {
    Problem::bad_request(format!("the body ended early, or is not what its encoding says: {error}"))
}

fn unspoolable(error: std::io::Error) -> Problem {
    if os::is_full(&error) {
        return Problem::full();
    }
    log::error!("a strict import could not be spooled: {error}");
    Problem::new(500, "internal", "the input could not be spooled; the daemon's log says why")
}

struct Import<'a> {
    context: &'a Context,
    now: Millis,
    counts: ImportCounts,
    bad: u64,
    errors: Vec<Value>,
    /// The last line that was read.
    read_line: u64,
    /// Up to this line all are stored, or known to be bad.
    last_line: u64,
    batch: Batch,
    /// Of the lines of the batch.
    batch_errors: Vec<Value>,
    /// The batch before, which the writer stores while this one is read, and its last line.
    under_way: Option<(Promise<ImportOutcome>, u64)>,
}

impl<'a> Import<'a> {
    fn new(context: &'a Context, now: Millis) -> Import<'a> {
        Import {
            context,
            now,
            counts: ImportCounts::default(),
            bad: 0,
            errors: Vec::new(),
            read_line: 0,
            last_line: 0,
            batch: Batch::default(),
            batch_errors: Vec::new(),
            under_way: None,
        }
    }

    fn read(&mut self, mut lines: Lines<impl std::io::BufRead>, store: bool) -> Result<(), Problem> {
        loop {
            let next = lines.next().map_err(|error| self.stopped(cut_short(error), store))?;
            let Some((number, line)) = next else { break };
            self.read_line = number;
            let parsed = match line {
                Ok(line) => parse_line(line),
                Err(too_long) => Err(too_long.to_string()),
            };
            match parsed {
                Err(reason) => {
                    self.bad += 1;
                    self.context.calls.bad_line();
                    report(&mut self.batch_errors, number, &reason);
                    if self.bad > MOST_BAD {
                        let detail = format!(
                            "line {number}: {reason}. More than {MOST_BAD} lines are bad, so the import ends here; \
                             correct the input and repeat it"
                        );
                        return Err(self.stopped(Problem::invalid(detail), store));
                    }
                }
                Ok(_) if !store => {}
                Ok(incoming) => {
                    self.batch.push(number, incoming);
                    if self.batch.len() == BATCH_ITEMS || self.batch.bytes() >= BATCH_BYTES {
                        self.begin_store()?;
                    }
                }
            }
        }
        self.store()
    }

    /// What came whole before the input broke off is stored: repeating it is safe, losing it is not needed.
    fn stopped(&mut self, why: Problem, store: bool) -> Problem {
        match self.store() {
            Ok(()) if store => self.halted(why),
            Ok(()) => why,
            Err(problem) => problem,
        }
    }

    /// All that was read.
    fn store(&mut self) -> Result<(), Problem> {
        self.begin_store()?;
        self.await_stored()
    }

    /// Hands the batch to the writer, once the one before is stored: where that fails, no later line is.
    fn begin_store(&mut self) -> Result<(), Problem> {
        self.await_stored()?;
        let errors = std::mem::take(&mut self.batch_errors);
        self.errors.extend(errors.into_iter().take(REPORTED - self.errors.len()));
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            self.last_line = self.read_line;
            return Ok(());
        }
        if self.context.engine.held() {
            return Err(self.halted(Problem::full()));
        }
        let promise = self.context.store.begin_import(batch, self.now).map_err(|error| self.halted(error.into()))?;
        self.under_way = Some((promise, self.read_line));
        Ok(())
    }

    fn await_stored(&mut self) -> Result<(), Problem> {
        let Some((promise, read_line)) = self.under_way.take() else { return Ok(()) };
        let outcome = promise.wait().map_err(|error| self.halted(error.into()))?;
        self.counts.add(outcome.counts);
        for (line, remark) in &outcome.remarks {
            report(&mut self.errors, *line, remark);
        }
        self.last_line = read_line;
        Ok(())
    }

    fn halted(&self, why: Problem) -> Problem {
        why.with("last_line", json!(self.last_line))
    }
}

fn report(errors: &mut Vec<Value>, line: u64, error: &str) {
    if errors.len() < REPORTED {
        errors.push(json!({"line": line, "error": error}));
    }
}

fn key(asked: &Asked<'_>) -> Result<(Kind, String), Problem> {
    let [kind, id] = &asked.parts[..] else { return Err(Problem::not_found("no such item")) };
    let kind = kind_from(kind)
        .ok_or_else(|| Problem::not_found(format!("{kind:?} is no kind of item: there are conversation and note")))?;
    Ok((kind, id.clone()))
}

/// `GET /api/v1/items/{kind}/{id}`
pub fn show(context: &Context, asked: &mut Asked<'_>) -> Handled {
    asked.query.finish()?;
    let (kind, id) = key(asked)?;
    Ok(Answer::json(item_json(&context.store.show_item(kind, &id)?)))
}

/// `DELETE /api/v1/items/{kind}/{id}`
pub fn erase(context: &Context, asked: &mut Asked<'_>) -> Handled {
    asked.query.finish()?;
    let (kind, id) = key(asked)?;
    context.store.erase_item(kind, &id, asked.now)?;
    Ok(Answer::nothing())
}

/// `PUT /api/v1/items/{kind}/{id}/marks`
pub fn mark(context: &Context, asked: &mut Asked<'_>) -> Handled {
    asked.query.finish()?;
    let (kind, id) = key(asked)?;
    let mut fields = asked.fields(SMALL)?;
    let marks = fields.take("marks").unwrap_or_default();
    fields.finish().map_err(Problem::invalid)?;
    let Value::Array(marks) = marks else {
        return Err(Problem::invalid("marks: must be an array of {transcript, block, topic, mark}"));
    };
    let wish = |(at, mark): (usize, Value)| wish_from(mark).map_err(|e| Problem::invalid(format!("marks[{at}].{e}")));
    let wishes = marks.into_iter().enumerate().map(wish).collect::<Result<Vec<_>, _>>()?;
    let known = context.store.revision(None)?.catalogue;
    if let Some(unknown) =
        wishes.iter().find(|wish| wish.is.is_some() && known.topics.iter().all(|topic| topic.id != wish.topic))
    {
        return Err(Problem::invalid(format!("topic {:?} is not in the catalogue", shorten(&unknown.topic))));
    }
    context.store.mark_item(kind, &id, wishes, asked.now)?;
    Ok(Answer::json(item_json(&context.store.show_item(kind, &id)?)))
}

fn wish_from(mark: Value) -> Result<MarkWish, String> {
    // Null is a word here: it takes the mark away.
    let withdrawn = mark.get("mark").is_some_and(Value::is_null);
    let mut fields = Fields::of(mark)?;
    let transcript = fields.text("transcript")?.ok_or("transcript: missing")?;
    let block = fields.number("block", 0..=i64::from(u32::MAX))?.ok_or("block: missing")?;
    let topic = fields.text("topic")?.filter(|topic| !topic.is_empty()).ok_or("topic: missing")?;
    check_name(&transcript, "transcript")?;
    check_name(&topic, "topic")?;
    let word = fields.text("mark")?;
    fields.finish()?;
    let is = match word.as_deref() {
        Some("is") => Some(true),
        Some("is_not") => Some(false),
        None if withdrawn => None,
        _ => return Err("mark: must be \"is\", \"is_not\" or null".into()),
    };
    Ok(MarkWish { transcript, block: block as u32, topic, is })
}
