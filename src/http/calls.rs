//! What was asked of the endpoint since the start, by route: never by the path as it was sent, of which there are as many
//! as strangers like.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::gate;
use super::routes::Route;
use crate::histogram::{Histogram, Observed};
use crate::model::Millis;
use crate::when;

/// Of a request that no route is for.
pub const NO_ROUTE: (&str, &str) = ("none", "none");

/// The endpoint's own instruments.
#[derive(Debug)]
pub struct Calls {
    pub started_at: Millis,
    pub gate: Arc<gate::Counts>,
    bad_lines: AtomicU64,
    /// By method and pattern.
    routes: Mutex<BTreeMap<(&'static str, &'static str), Answers>>,
}

#[derive(Debug)]
struct Answers {
    by_status: BTreeMap<u16, u64>,
    times: Histogram,
}

/// What was answered on one route.
#[derive(Debug)]
pub struct Answered {
    pub method: &'static str,
    pub route: &'static str,
    pub by_status: BTreeMap<u16, u64>,
    pub times: Observed,
}

impl Default for Calls {
    fn default() -> Calls {
        Calls { started_at: when::now(), gate: Arc::default(), bad_lines: AtomicU64::new(0), routes: Mutex::default() }
    }
}

impl Calls {
    /// `took` is to the end of the answer, however long its body came in or went out.
    pub(super) fn answered(&self, route: Option<&'static Route>, status: u16, took: Duration) {
        let key = route.map_or(NO_ROUTE, |route| (route.method, route.path));
        let mut routes = self.routes();
        let answers =
            routes.entry(key).or_insert_with(|| Answers { by_status: BTreeMap::new(), times: Histogram::times() });
        *answers.by_status.entry(status).or_default() += 1;
        answers.times.took(took);
    }

    pub fn by_route(&self) -> Vec<Answered> {
        let observed = |(&(method, route), answers): (&(&'static str, &'static str), &Answers)| Answered {
            method,
            route,
            by_status: answers.by_status.clone(),
            times: answers.times.observed(),
        };
        self.routes().iter().map(observed).collect()
    }

    /// A line of an import could not be used.
    pub fn bad_line(&self) {
        self.bad_lines.fetch_add(1, Ordering::Relaxed);
    }

    pub fn bad_lines(&self) -> u64 {
        self.bad_lines.load(Ordering::Relaxed)
    }

    fn routes(&self) -> MutexGuard<'_, BTreeMap<(&'static str, &'static str), Answers>> {
        self.routes.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
