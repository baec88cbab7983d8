//! Tells systemd that nothing hangs, as long as that is so.
//!
//! It asks the writer for a commit, through its queue, and the gate for a turn of its loop, and says that all is well
//! once both have answered; where one never does, systemd hears nothing more and starts the daemon anew. What merely
//! takes long is waited for, so the interval must be longer than the longest transaction or checkpoint. A full disk, a
//! crowd before the doors, requests that hold every place, and items in analysis (`max_item_seconds` is for those) are
//! not hangs: a new start would not mend them.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use log::warn;

use crate::http::Pulse;
use crate::os::systemd;
use crate::store::{self, Queue, Store};
use crate::wire::grouped;

/// The status line need not be younger, nor systemd be told more often.
const SELDOM: Duration = Duration::from_secs(10);
/// Nor would any interval that is meant need more.
const OFTEN: Duration = Duration::from_millis(25);

pub struct Watchdog {
    thread: JoinHandle<()>,
    stop: Sender<()>,
}

impl Watchdog {
    /// None where systemd does not watch.
    pub fn start(store: &Arc<Store>, pulse: Pulse) -> std::io::Result<Option<Watchdog>> {
        let Some(interval) = systemd::watchdog() else { return Ok(None) };
        // Half of it would do; so one answer may come late.
        let pause = (interval / 4).clamp(OFTEN, SELDOM);
        let (stop, stopped) = bounded(0);
        let store = Arc::clone(store);
        let watching = move || watch_until_stopped(&store, &pulse, pause, &stopped);
        let thread = std::thread::Builder::new().name("watchdog".into()).spawn(watching)?;
        Ok(Some(Watchdog { thread, stop }))
    }

    /// What it may be waiting for has ended before.
    pub fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            log::error!("the watchdog ended in a panic");
        }
    }
}

fn watch_until_stopped(store: &Store, pulse: &Pulse, pause: Duration, stopped: &Receiver<()>) {
    let mut said = String::new();
    loop {
        match look(store, pulse) {
            Ok(()) => systemd::alive(),
            Err(Hang::Stopping) => return,
            Err(Hang::Writer(error)) => warn!("the writer cannot commit, and systemd is told nothing: {error}"),
        }
        // Only where it has changed: a line nobody reads costs as much as one that somebody does.
        if let Ok(line) = store.queue().map(|queue| status_line(&queue))
            && line != said
        {
            systemd::status(&line);
            said = line;
        }
        if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

/// Why systemd is not told that all is well.
enum Hang {
    Stopping,
    Writer(store::Error),
}

fn look(store: &Store, pulse: &Pulse) -> Result<(), Hang> {
    store.writer_answers().map_err(|error| match error {
        store::Error::Stopping => Hang::Stopping,
        error => Hang::Writer(error),
    })?;
    if pulse.is_felt() { Ok(()) } else { Err(Hang::Stopping) }
}

fn status_line(queue: &Queue) -> String {
    let grouped = |number: i64| grouped(u64::try_from(number).unwrap_or(0));
    let jobs: i64 = queue.jobs.iter().filter(|(state, _)| *state != "draft").map(|(_, count)| count).sum();
    let pending = queue.live.pending + queue.bulk.pending;
    match jobs {
        0 => format!("idle, {} items", grouped(queue.items)),
        1 => format!("1 job, {} pending", grouped(pending)),
        jobs => format!("{} jobs, {} pending", grouped(jobs), grouped(pending)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_line_reads_well() {
        let mut queue = Queue { items: 1_234_567, ..Queue::default() };
        (queue.live.pending, queue.bulk.pending) = (1, 12_344);
        queue.jobs.insert("draft".into(), 9);
        assert_eq!(status_line(&queue), "idle, 1,234,567 items");
        queue.jobs.insert("running".into(), 1);
        assert_eq!(status_line(&queue), "1 job, 12,345 pending");
        queue.jobs.insert("queued".into(), 999);
        assert_eq!(status_line(&queue), "1,000 jobs, 12,345 pending");
    }
}
