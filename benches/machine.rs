//! What is measured on, and how much memory it took; Linux only, like the daemon.

use std::fs::read_to_string;
use std::thread;
use std::time::Duration;

use anyhow::anyhow;
use crossbeam_channel::{RecvTimeoutError, bounded};
use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};

/// How often the memory is looked at: a batch of items lives longer.
const LOOK_EVERY: Duration = Duration::from_millis(2);

pub fn describe() -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let memory = kib("/proc/meminfo", "MemTotal:") as f64 / f64::from(1 << 20);
    format!("{cores} cores, {memory:.0} GiB of memory, load before {}", load())
}

/// Of the last minute: what else the machine was doing.
pub fn load() -> String {
    let load = read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or("?").to_owned()
}

/// What `work` answers, and the most anonymous memory (MB) that this process held meanwhile.
pub fn with_peak_memory<T>(work: impl FnOnce() -> T) -> (T, f64) {
    thread::scope(|scope| {
        let (working, ended) = bounded::<()>(0);
        let watching = scope.spawn(move || {
            let mut peak = 0;
            loop {
                peak = peak.max(kib("/proc/self/status", "RssAnon:"));
                if ended.recv_timeout(LOOK_EVERY) != Err(RecvTimeoutError::Timeout) {
                    return peak;
                }
            }
        });
        let answer = work();
        drop(working);
        (answer, watching.join().unwrap_or_default() as f64 * 1024.0 / 1e6)
    })
}

/// Seconds of processor time that this process has had, all threads together: what others on the machine take does not
/// count in it.
pub fn processor_seconds() -> f64 {
    // After the name, in brackets, utime and stime are the 12th and 13th field; in hundredths (USER_HZ).
    let text = read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// As [`processor_seconds`], to the nanosecond, of the threads that live.
pub fn busy_seconds() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanos = |schedstat: String| schedstat.split_whitespace().next().and_then(|first| first.parse::<f64>().ok());
    threads.filter_map(|thread| nanos(read_to_string(thread.path().join("schedstat")).ok()?)).sum::<f64>() / 1e9
}

/// Has `work` done by a thread of its own on one core, with all threads that it spawns.
pub fn on_one_core<T: Send>(work: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
    let pinned = || {
        let mut core = CpuSet::new();
        core.set(sched_getcpu());
        sched_setaffinity(None, &core)?;
        work()
    };
    thread::scope(|scope| scope.spawn(pinned).join()).map_err(|_| anyhow!("it panicked"))?
}

/// A field of a file of /proc that stands in kB; 0 where there is none.
fn kib(path: &str, field: &str) -> u64 {
    let text = read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or_default()
}
