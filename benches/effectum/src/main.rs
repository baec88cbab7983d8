//! `effectum-peer FILE JOBS`: effectum drains that many jobs that do nothing; prints how many a second.
//!
//! The jobs are in the queue before a worker looks at it. Two threads, and as many jobs at once as drained fastest
//! of 2 to 1,024: 2 drain fewer than 200 a second, more than 256 no more. No heartbeat, as no job lasts. Durability is what
//! effectum gives: `synchronous=NORMAL`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use effectum::{Error, Job, JobRunner, Queue, RunningJob, Worker};
use tokio::sync::Notify;

const AT_ONCE: u16 = 256;
/// Jobs added in one transaction.
const TOGETHER: usize = 1_000;

#[derive(Debug)]
struct Context {
    left: AtomicUsize,
    drained: Notify,
}

async fn nothing(_: RunningJob, context: Arc<Context>) -> Result<(), Error> {
    if context.left.fetch_sub(1, Ordering::Relaxed) == 1 {
        context.drained.notify_one();
    }
    Ok(())
}

#[tokio::main(worker_threads = 2)]
async fn main() -> eyre::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [file, jobs] = &words[..] else { eyre::bail!("usage: effectum-peer FILE JOBS") };
    let jobs: usize = jobs.parse()?;
    let queue = Queue::new(file.as_ref()).await?;
    for first in (0..jobs).step_by(TOGETHER) {
        let batch = (first..jobs.min(first + TOGETHER)).map(|_| Job::builder("nothing").build()).collect();
        queue.add_jobs(batch).await?;
    }
    let context = Arc::new(Context { left: AtomicUsize::new(jobs), drained: Notify::new() });
    let started = Instant::now();
    let runner = JobRunner::builder("nothing", nothing).autoheartbeat(false).build();
    let worker = Worker::builder(&queue, Arc::clone(&context)).jobs([runner]).max_concurrency(AT_ONCE).build().await?;
    context.drained.notified().await;
    // The last of them are done when that is written down.
    loop {
        let active = queue.num_active_jobs().await?;
        if active.pending + active.running == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("{}", jobs as f64 / started.elapsed().as_secs_f64());
    drop(worker);
    queue.close(Duration::from_secs(10)).await?;
    Ok(())
}
