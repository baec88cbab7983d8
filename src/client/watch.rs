//! `relabeld watch`: a job's progress until it ends, over a restart of the daemon too.

use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use super::call::{Answer, Daemon};
use super::hints::dry;
use super::jobs::{by_topic, details, path, shown_together};
use super::problem::Error;
use super::view::{cell, count, span, tally_line, text};
use super::{Session, hints};
use crate::wire::grouped;

const EVERY: Duration = Duration::from_millis(300);
/// How long a daemon that answered before may be away.
const PATIENCE: Duration = Duration::from_secs(60);
/// Without a terminal, counts are told no more often than this.
const LINE_EVERY: Duration = Duration::from_secs(5);
const NO_TOPICS: &str = "/reasons/no_topics_detected";

/// Watches the jobs one after the other, shows what became of them, and fails if one of them did.
pub fn run(session: &Session, ids: &[String]) -> Result<(), Error> {
    let jobs = ids.iter().map(|id| follow(session, id)).collect::<Result<Vec<_>, _>>()?;
    shown_together(session, &jobs, |job| {
        // Of a dry run this is what it was run for.
        let topics = if dry(&job.value) { by_topic(session, &job.value)? } else { String::new() };
        Ok(details(job, session.out.paint) + &topics)
    })?;
    jobs.iter().for_each(|job| hints::about(session, &job.value));
    jobs.iter().try_for_each(|job| verdict(&job.value))
}

/// The job as it is when it has ended.
pub fn follow(session: &Session, id: &str) -> Result<Answer, Error> {
    let interrupted = session.interrupted()?;
    let mut poll = Poll { daemon: session.daemon.clone(), path: path(id), away: None, met: false };
    let mut face = Face::new(session);
    loop {
        if interrupted.load(Ordering::Relaxed) {
            face.clear();
            return Err(Error::Interrupted(format!(
                "stopped watching; the daemon goes on with job {id}\n`relabeld watch {id}` looks on again, `relabeld cancel {id}` ends it"
            )));
        }
        match poll.turn(session, Instant::now())? {
            Seen::Job(job) if ended(&job.value) => {
                face.clear();
                return Ok(job);
            }
            Seen::Job(job) => face.show(&job.value, Instant::now()),
            Seen::Gone => face.say("the daemon does not answer; trying again for a minute"),
            Seen::Back => face.say("the daemon is back"),
            Seen::Nothing => {}
        }
        sleep(EVERY);
    }
}

pub fn ended(job: &Value) -> bool {
    matches!(text(job, "/state").as_str(), "completed" | "completed_with_failures" | "failed" | "cancelled")
}

/// An error when the job ended otherwise than it should: `no_topics_detected` is an answer, not a fault.
fn verdict(job: &Value) -> Result<(), Error> {
    let id = text(job, "/id");
    let errors = errors(job);
    let quarantined = count(job, "/counts/quarantined");
    match text(job, "/state").as_str() {
        "cancelled" => Err(Error::Failed(format!("job {id} was cancelled"))),
        "failed" => Err(Error::Failed(format!("job {id} failed: {}", cell(job, "/error")))),
        _ if errors + quarantined > 0 => Err(Error::Failed(format!(
            "job {id} ended with {} errors and {} quarantined items\n`relabeld items {id}` names them",
            grouped(errors),
            grouped(quarantined)
        ))),
        _ => Ok(()),
    }
}

/// Items that failed for another reason than that nothing was found in them.
pub fn errors(job: &Value) -> u64 {
    count(job, "/counts/failed").saturating_sub(count(job, NO_TOPICS))
}

/// What one look at the job gave.
enum Seen {
    Job(Answer),
    Gone,
    Back,
    Nothing,
}

struct Poll {
    daemon: Daemon,
    path: String,
    /// Since when the daemon has not answered.
    away: Option<Instant>,
    /// Whether it ever did: a wrong address is told at once.
    met: bool,
}

impl Poll {
    fn turn(&mut self, session: &Session, now: Instant) -> Result<Seen, Error> {
        match (self.daemon.get(&self.path, &[]), self.away) {
            (Ok(_), Some(_)) => {
                self.away = None;
                Ok(Seen::Back)
            }
            (Ok(job), None) => {
                self.met = true;
                Ok(Seen::Job(job))
            }
            (Err(e), _) if !self.met || !e.passes() => Err(e),
            (Err(_), None) => {
                self.away = Some(now);
                Ok(Seen::Gone)
            }
            (Err(e), Some(since)) if now.duration_since(since) > PATIENCE => {
                let why = format!("{e}\nthe job goes on when the daemon does; watch it again then");
                Err(Error::Unreachable(why))
            }
            (Err(_), Some(_)) => {
                if let Some(daemon) = session.find_again() {
                    self.daemon = daemon;
                }
                Ok(Seen::Nothing)
            }
        }
    }
}

/// How progress is shown: a bar where somebody looks at it, else lines.
enum Face<'a> {
    Bar { bar: ProgressBar, hinted: bool },
    Lines { session: &'a Session, lines: Lines },
}

impl Face<'_> {
    fn new(session: &Session) -> Face<'_> {
        match session.out.bars() {
            true => Face::Bar { bar: ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()), hinted: false },
            false => Face::Lines { session, lines: Lines::default() },
        }
    }

    fn show(&mut self, job: &Value, now: Instant) {
        match self {
            Face::Bar { bar, hinted } => {
                if !std::mem::replace(hinted, true) {
                    eprintln_quietly("Ctrl-C ends the watching, not the job.");
                }
                draw(bar, job);
            }
            Face::Lines { session, lines } => {
                if let Some(line) = lines.due(job, now) {
                    session.out.note(&line);
                }
            }
        }
    }

    fn say(&self, what: &str) {
        match self {
            Face::Bar { bar, .. } => bar.suspend(|| eprintln_quietly(what)),
            Face::Lines { session, .. } => session.out.note(what),
        }
    }

    fn clear(&self) {
        if let Face::Bar { bar, .. } = self {
            bar.finish_and_clear();
        }
    }
}

/// `eprintln!` panics when stderr is closed; nobody is left to tell then.
fn eprintln_quietly(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn draw(bar: &ProgressBar, job: &Value) {
    let total = job.pointer("/counts/total").and_then(Value::as_u64);
    let template = match total {
        Some(_) => "{prefix} {bar:20} {percent}% {wide_msg}",
        None => "{prefix} {spinner} {wide_msg}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    if let Some(total) = total {
        bar.set_length(total);
    }
    bar.set_position(finished(job));
    bar.set_prefix(format!("{} {}", title(job), text(job, "/state")));
    bar.set_message(progress(job));
    bar.tick();
}

/// `job 7`, or `dry run 7`
fn title(job: &Value) -> String {
    format!("{} {}", if dry(job) { "dry run" } else { "job" }, text(job, "/id"))
}

/// Items that have come to an end, whatever the end.
fn finished(job: &Value) -> u64 {
    ["done", "failed", "quarantined", "cancelled"].iter().map(|name| count(job, &format!("/counts/{name}"))).sum()
}

/// `1,200/5,000, 340/s, ETA 11s, changed 900, no_topics_detected 300, failed 2`: what is no error is not called failed.
fn progress(job: &Value) -> String {
    let mut parts = vec![match job.pointer("/counts/total").and_then(Value::as_u64) {
        Some(total) => format!("{}/{}", grouped(finished(job)), grouped(total)),
        None => format!("{} so far", grouped(finished(job))),
    }];
    if let Some(rate) = job.pointer("/rate_per_second").and_then(Value::as_f64) {
        parts.push(format!("{rate:.0}/s"));
    }
    if let Some(eta) = job.pointer("/eta_seconds").and_then(Value::as_f64) {
        parts.push(format!("ETA {}", span(eta)));
    }
    parts.push(tally_line(job, "/outcomes"));
    let of = |name: &'static str| (name, count(job, &format!("/counts/{name}")));
    let ends =
        [("no_topics_detected", count(job, NO_TOPICS)), ("failed", errors(job)), of("quarantined"), of("cancelled")];
    parts.extend(ends.iter().filter(|(_, n)| *n > 0).map(|(name, n)| format!("{name} {}", grouped(*n))));
    parts.retain(|part| !part.is_empty());
    parts.join(", ")
}

/// Decides when a line is worth a line: at each change of state, and now and then while counts change.
#[derive(Default)]
struct Lines {
    state: String,
    finished: u64,
    at: Option<Instant>,
}

impl Lines {
    fn due(&mut self, job: &Value, now: Instant) -> Option<String> {
        let (state, finished) = (text(job, "/state"), finished(job));
        let moved = finished != self.finished && self.at.is_none_or(|at| now.duration_since(at) >= LINE_EVERY);
        if state == self.state && !moved {
            return None;
        }
        let id = text(job, "/id");
        let hint = match state.as_str() {
            "paused" => format!("; `relabeld resume {id}` lets it go on"),
            "draft" => format!("; `relabeld publish --job {id}` publishes it"),
            _ => String::new(),
        };
        let line = format!("{} {state}: {}{hint}", title(job), progress(job));
        *self = Lines { state, finished, at: Some(now) };
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn job(state: &str, done: u64, failed: u64) -> Value {
        json!({"id": "7", "state": state, "counts": {"total": 1000, "done": done, "failed": failed, "quarantined": 0},
            "outcomes": {"changed": done}, "reasons": {"no_topics_detected": 2}, "rate_per_second": 12.3, "eta_seconds": 61.0})
    }

    #[test]
    fn finding_no_topics_is_no_failure_and_an_error_is() {
        assert!(verdict(&job("completed", 998, 2)).is_ok());
        assert_eq!(verdict(&job("completed_with_failures", 997, 3)).unwrap_err().exit_code(), 1);
        assert_eq!(verdict(&job("cancelled", 1, 0)).unwrap_err().exit_code(), 1);
        assert_eq!(verdict(&job("failed", 1, 0)).unwrap_err().exit_code(), 1);
    }

    #[test]
    fn lines_come_at_changes_only() {
        let (mut lines, start) = (Lines::default(), Instant::now());
        let mut due = |job: Value, after: u64| lines.due(&job, start + Duration::from_secs(after));
        assert_eq!(
            due(job("running", 10, 2), 0).unwrap(),
            "job 7 running: 12/1,000, 12/s, ETA 1m 1s, changed 10, no_topics_detected 2"
        );
        assert_eq!(due(job("running", 20, 2), 1), None, "too soon");
        assert!(due(job("running", 20, 2), 6).is_some());
        assert_eq!(due(job("running", 20, 2), 60), None, "nothing new");
        assert!(due(job("paused", 20, 2), 61).unwrap().contains("relabeld resume 7"));
        let mut dry = job("draft", 20, 2);
        dry["dry_run"] = json!(true);
        assert!(due(dry.clone(), 62).unwrap().starts_with("dry run 7 draft: "));
        assert_eq!(due(dry, 90), None, "it waits for somebody");
    }
}
