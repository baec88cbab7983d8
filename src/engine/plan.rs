//! The plan loop: takes up the jobs that wait for their lists, one at a time, page by page.

use crossbeam_channel::Receiver;
use log::{error, info};

use super::Shared;
use crate::store::{Error, Planned, Result};

pub fn plan_until_closed(shared: &Shared, wake: &Receiver<()>) {
    while !shared.stopping() && wake.recv().is_ok() {
        loop {
            match plan_next(shared) {
                Ok(true) => {}
                Ok(false) => break,
                Err(Error::Full) => {
                    // The lease loop looks at the disk, and wakes this one when there is room.
                    shared.disk_is_full();
                    break;
                }
                Err(Error::Stopping) => return,
                Err(error) => {
                    shared.fail(format!("planning failed: {error}"));
                    return;
                }
            }
        }
    }
}

/// Plans one job to its end. False when none waits, or the daemon stops.
fn plan_next(shared: &Shared) -> Result<bool> {
    if shared.stopping() || shared.held() {
        return Ok(false);
    }
    let Some(mut planning) = shared.store.begin_planning(shared.now())? else { return Ok(false) };
    while !shared.stopping() && !shared.held() {
        let planned = match planning.step(shared.now()) {
            // Its list cannot be made, now or later: the other jobs' can.
            Err(error @ (Error::Damaged(_) | Error::Invalid(_) | Error::NotFound(_))) => {
                error!("job {}: planning failed: {error}", planning.job());
                shared.store.fail_planning(planning.job(), error.to_string(), shared.now())?;
                return Ok(true);
            }
            // Its row became unreadable since it was taken up: from here on it is passed over.
            Err(error @ Error::DamagedJob { .. }) => {
                error!("job {}: planning failed: {error}", planning.job());
                return Ok(true);
            }
            other => other?,
        };
        match planned {
            Planned::More => {}
            Planned::Whole => {
                info!("job {}: planned", planning.job());
                shared.tell_news();
                shared.wake_lease();
                break;
            }
            Planned::Stopped => break,
        }
    }
    Ok(true)
}
