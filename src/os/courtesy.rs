//! Turns at the processor: whoever waits for an answer goes before work that lasts.

use std::cell::Cell;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How far a thread steps back: others get nine tenths of the processor where both want all of it.
const STEP_BACK: i32 = 10;
/// Whoever asked is taken to look on for so long, and to ask again.
const LOOKS_ON: Duration = Duration::from_secs(1);
/// How long a thread goes on at most while somebody looks on. By itself the kernel would let it have its slice, of several
/// milliseconds, whatever the priorities.
const TURN: Duration = Duration::from_micros(200);

static START: LazyLock<Instant> = LazyLock::new(Instant::now);
/// Nanoseconds from the start until nobody looks on any more.
static UNTIL: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// When this thread took up its work, or gave way last.
    static SINCE: Cell<Instant> = Cell::new(Instant::now());
}

/// Lowers this thread's priority, for good. False where that is forbidden, which costs only that.
pub fn step_back() -> bool {
    // On Linux the nice value is the thread's own: nice(2), "C library/kernel differences".
    rustix::process::nice(STEP_BACK).is_ok()
}

/// Somebody asks.
pub fn asked() {
    let until = (START.elapsed() + LOOKS_ON).as_nanos();
    UNTIL.store(until.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
}

fn somebody_looks_on(now: Instant) -> bool {
    now.saturating_duration_since(*START).as_nanos() < UNTIL.load(Ordering::Relaxed).into()
}

/// This thread takes up work after having had none.
pub fn begin() {
    SINCE.set(Instant::now());
}

/// Lets others go before, where that is due. To be called between short pieces of long work.
pub fn give_way() {
    let now = Instant::now();
    if now.duration_since(SINCE.get()) < TURN {
        return;
    }
    SINCE.set(now);
    if somebody_looks_on(now) {
        std::thread::yield_now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asked_looks_on_for_a_while() {
        let before = Instant::now();
        assert!(!somebody_looks_on(before + 2 * LOOKS_ON));
        asked();
        let now = Instant::now();
        assert!(somebody_looks_on(before));
        assert!(!somebody_looks_on(now + LOOKS_ON));
    }
}
