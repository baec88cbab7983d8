//! `GET /metrics`: the state of the daemon, and what it has done since its start, for Prometheus.
//!
//! Nothing is counted here: gauges are read off the rows that `/api/v1/status` reads, and counters lie with the parts
//! that count. So a scrape costs the same with ten million tasks as with ten, and waits neither for the writer nor for
//! room on the disk.

mod families;

use std::collections::BTreeMap;

use self::families::{CONTENT_TYPE, Families, Labels, Unit};
use super::answer::{Answer, Problem};
use super::asked::Asked;
use super::calls::NO_ROUTE;
use super::{Context, Handled};
use crate::job::{JobState, Lane, Outcome, Reason, TaskState};
use crate::labeller::phrases;
use crate::model::Millis;
use crate::os;
use crate::store::{InLane, Queue, Tally, sqlite_version};

/// `GET /metrics`
pub fn show(context: &Context, asked: &mut Asked<'_>) -> Handled {
    asked.query.finish()?;
    let mut families = Families::default();
    daemon(context, &mut families);
    let queue = context.store.queue()?;
    depth(&queue, asked.now, &mut families);
    work(context, &mut families);
    storage(context, &queue, &mut families)?;
    endpoint(context, &mut families);
    let body = families.text().map_err(|error| {
        log::error!("the metrics could not be told: {error}");
        Problem::internal()
    })?;
    Ok(Answer::Text { content_type: CONTENT_TYPE, body, headers: Vec::new() })
}

fn daemon(context: &Context, families: &mut Families) {
    let build =
        vec![("version", env!("CARGO_PKG_VERSION")), ("sqlite", sqlite_version()), ("labeller", phrases::VERSION)];
    families.gauges("build_info", "1, with the versions of relabeld, its SQLite and its labeller.", [(build, 1.0)]);
    let started = context.calls.started_at as f64 / 1000.0;
    families.gauge("process_start_time_seconds", "When the daemon started, since 1970-01-01T00:00:00Z.", started);
    let process = os::process::process();
    let cpu = process.cpu_seconds.map(|seconds| (Vec::new(), seconds));
    families.sums("process_cpu_seconds_total", "Processor time that the daemon has used.", cpu);
    let one = |value: Option<u64>| value.map(|value| (Vec::new(), value as f64));
    families.gauges(
        "process_resident_memory_bytes",
        "Memory that the daemon has resident.",
        one(process.resident_bytes),
    );
    families.gauges("process_open_fds", "File descriptors that the daemon has open.", one(process.open_files));
    let most = os::process::open_files_limit();
    let most = (most < usize::MAX).then_some((Vec::new(), most as f64));
    families.gauges("process_max_fds", "File descriptors that the daemon may have open; none where any number.", most);
    families.gauge("workers", "Threads that analyse bulk jobs.", context.engine.workers() as f64);
    let held = f64::from(u8::from(context.engine.held()));
    families.gauge("held", "1 while nothing is claimed because the disk is full, or nearly.", held);
}

fn depth(queue: &Queue, now: Millis, families: &mut Families) {
    let lanes = [(Lane::Live, queue.live), (Lane::Bulk, queue.bulk)];
    let tasks = lanes.iter().flat_map(|&(lane, InLane { pending, paused, running, .. })| {
        let states = [("pending", pending - paused), ("paused", paused), ("running", running)];
        states.map(|(state, n)| (vec![("lane", lane.as_str()), ("state", state)], n as f64))
    });
    families.gauges("queue_tasks", "Tasks that have not ended: pending, pending in a paused job, or leased.", tasks);
    let age = |since: Option<Millis>| since.map_or(0.0, |since| (now - since).max(0) as f64 / 1000.0);
    let ages = lanes.iter().map(|(lane, tasks)| (vec![("lane", lane.as_str())], age(tasks.waits_since)));
    families.gauges(
        "queue_oldest_pending_seconds",
        "Since the oldest job was published that has tasks pending and is not paused; 0 where there is none.",
        ages,
    );
    let open = JobState::ALL.iter().filter(|state| !state.ended());
    let jobs = open.map(|state| {
        let n = queue.jobs.get(state.as_str()).copied().unwrap_or(0);
        (vec![("state", state.as_str())], n as f64)
    });
    families.gauges("jobs", "Jobs that have not ended.", jobs);
}

/// Every way in which a task can end, so that each is told from the start: what appears with its first event has no rate.
fn endings() -> Vec<(TaskState, Option<(&'static str, &'static str)>)> {
    let outcomes = Outcome::ALL.iter().map(|outcome| (TaskState::Done, Some(("outcome", outcome.as_str()))));
    let reasons = Reason::ALL.iter().map(|reason| {
        let state = match reason {
            Reason::NoTopicsDetected | Reason::Error => TaskState::Failed,
            Reason::Crashed => TaskState::Quarantined,
        };
        (state, Some(("reason", reason.as_str())))
    });
    outcomes.chain(reasons).chain([(TaskState::Cancelled, None)]).collect()
}

fn work(context: &Context, families: &mut Families) {
    let tally = context.store.measured().tally();
    let ended = [Lane::Live, Lane::Bulk].into_iter().flat_map(|lane| {
        let tally = &tally;
        endings().into_iter().map(move |(state, word)| {
            let labels: Labels<'_> =
                [("lane", lane.as_str()), ("state", state.as_str())].into_iter().chain(word).collect();
            let key = (lane, state, word.map_or("", |(_, word)| word).to_owned());
            (labels, tally.tasks.get(&key).copied().unwrap_or(0))
        })
    });
    families.counters(
        "tasks_finished_total",
        "Tasks that ended, by outcome of those done and reason of the others.",
        ended,
    );
    let Tally { retries, read_again, labels, jobs, imported, .. } = &tally;
    families.counter("task_retries_total", "Attempts that failed and will be repeated.", *retries);
    families.counter(
        "task_rereads_total",
        "Items that changed while they were analysed, and are read again.",
        *read_again,
    );
    let finished = JobState::ALL.iter().filter(|state| state.ended());
    let finished = finished.map(|state| (vec![("state", state.as_str())], jobs.get(state).copied().unwrap_or(0)));
    families.counters("jobs_finished_total", "Jobs that ended.", finished);
    let changes = [("added", labels.added), ("removed", labels.removed), ("updated", labels.updated)];
    let changes = changes.map(|(change, n)| (vec![("change", change)], u64::try_from(n).unwrap_or(0)));
    families.counters("label_changes_total", "Labels that jobs wrote; a dry run writes none.", changes);
    let lines = [
        ("inserted", imported.inserted),
        ("updated", imported.updated),
        ("unchanged", imported.unchanged),
        ("refused", imported.refused),
        ("bad", context.calls.bad_lines()),
    ];
    let lines = lines.map(|(result, n)| (vec![("result", result)], n));
    families.counters("import_lines_total", "Lines of imports, by what became of them.", lines);
    families.counter("import_marks_dropped_total", "Marks whose block an import replaced.", imported.marks_dropped);
    let engine = &context.engine;
    families.histogram("analysis_seconds", "The labeller's time on one item.", Unit::Nanoseconds, engine.analyses());
    families.histogram("batch_items", "Items that were committed together.", Unit::Items, engine.batches());
}

fn storage(context: &Context, queue: &Queue, families: &mut Families) -> Result<(), Problem> {
    let measured = context.store.measured();
    let commits = measured.commits.observed();
    families.histogram("commit_seconds", "From BEGIN to the end of COMMIT.", Unit::Nanoseconds, commits);
    families.counter("commit_rollbacks_total", "Transactions that came to nothing.", measured.rollbacks());
    let checkpoints = measured.checkpoints.observed();
    let help = "Folding the write-ahead log back into the database.";
    families.histogram("checkpoint_seconds", help, Unit::Nanoseconds, checkpoints);
    let (database, wal) = context.store.sizes();
    families.gauge("database_bytes", "The database file.", database as f64);
    families.gauge("wal_bytes", "The write-ahead log.", wal as f64);
    // Where it cannot be seen, the engine's log says so.
    let free = os::free_bytes(&context.config.data_dir).ok().map(|free| (Vec::new(), free as f64));
    families.gauges("disk_free_bytes", "What the daemon may still write beside its database.", free);
    let least = context.config.min_free_bytes as f64;
    families.gauge("disk_min_free_bytes", "Below so much free space nothing is claimed or taken in.", least);
    families.gauge("items", "Conversations and notes that are stored.", queue.items as f64);
    let (revision, _) = context.store.current_revision()?;
    families.gauge("catalogue_revision", "The catalogue's current revision.", revision as f64);
    let programs = context.store.program_items()?;
    let of = |n: fn(&crate::store::ProgramItems) -> i64| {
        programs.iter().map(move |program| (vec![("program", program.program.as_str())], n(program) as f64))
    };
    families.gauges("program_items", "Items of each program that the catalogue has topics for.", of(|p| p.items));
    let help = "Of those, the ones that the program's present rules have not read.";
    families.gauges("program_items_not_fresh", help, of(|p| p.not_fresh));
    Ok(())
}

fn endpoint(context: &Context, families: &mut Families) {
    let by_route = context.calls.by_route();
    let mut by_status: BTreeMap<(&str, &str, String), u64> = BTreeMap::new();
    for answered in &by_route {
        for (status, n) in &answered.by_status {
            by_status.insert((answered.method, answered.route, status.to_string()), *n);
        }
    }
    for (status, n) in context.calls.gate.refused() {
        *by_status.entry((NO_ROUTE.0, NO_ROUTE.1, status.to_string())).or_default() += n;
    }
    let requests = by_status
        .iter()
        .map(|((method, route, code), n)| (vec![("method", *method), ("route", *route), ("code", code.as_str())], *n));
    families.counters(
        "http_requests_total",
        "Requests that were answered, by the pattern of their path; `none` where none is for them.",
        requests,
    );
    let times = by_route
        .into_iter()
        .map(|answered| (vec![("method", answered.method), ("route", answered.route)], answered.times));
    let help = "From the head of a request to the end of its answer, uploads and downloads included.";
    families.histograms("http_request_seconds", help, Unit::Nanoseconds, times);
    families.gauge("http_connections", "Connections that are open.", context.calls.gate.connections() as f64);
}
