//! The table of calls: method and path, whether the call changes something, who handles it.

use super::answer::Problem;
use super::api::{backup, catalogue, items, jobs, labels, status};
use super::asked::{Asked, decode};
use super::gate::Load;
use super::{Context, Handled, genesys, guide, metrics, openapi, page};
use crate::wire::shorten;

pub struct Route {
    pub method: &'static str,
    /// `*` stands for any one part, and `a|b` for one of these.
    pub path: &'static str,
    /// A read by whatever method needs no more than the right to read.
    pub changes: bool,
    pub load: Load,
    pub handle: fn(&Context, &mut Asked<'_>) -> Handled,
}

macro_rules! routes {
    ($($kind:ident $method:ident $path:literal => $handle:path $([$load:ident])?),+ $(,)?) => {
        &[$(Route {
            method: stringify!($method),
            path: $path,
            changes: matches!(stringify!($kind).as_bytes(), b"change"),
            load: load!($($load)?),
            handle: $handle,
        }),+]
    };
}

/// A call is short unless the table says otherwise.
macro_rules! load {
    () => {
        Load::Short
    };
    ($load:ident) => {
        Load::$load
    };
}

const ROUTES: &[Route] = routes! {
    change POST "/api/v1/items" => items::import [LongBody],
    read GET "/api/v1/items/*/*" => items::show,
    change DELETE "/api/v1/items/*/*" => items::erase,
    change PUT "/api/v1/items/*/*/marks" => items::mark,
    read GET "/api/v1/catalogue" => catalogue::show,
    change PUT "/api/v1/catalogue" => catalogue::apply [LongBody],
    read POST "/api/v1/catalogue/test" => catalogue::test,
    read POST "/api/v1/count" => jobs::count,
    change POST "/api/v1/jobs" => jobs::publish [LongBody],
    read GET "/api/v1/jobs" => jobs::list,
    read GET "/api/v1/jobs/*" => jobs::show,
    read GET "/api/v1/jobs/*/items.csv|items.ndjson|labels.csv|labels.ndjson|topics.csv|topics.ndjson" => jobs::export [LongAnswer],
    change PATCH "/api/v1/jobs/*" => jobs::steer,
    change DELETE "/api/v1/jobs/*" => jobs::delete,
    change POST "/api/v1/jobs/*/publish|pause|resume|cancel|retry|revert|apply" => jobs::control,
    read GET "/api/v1/topics" => labels::topics,
    read GET "/api/v1/backup" => backup::backup [LongAnswer],
    read GET "/api/v1/status" => status::status [Watch],
    read POST "/api/v1/login" => status::login,
    read POST "/api/v1/logout" => status::logout,
    change POST "/api/v1/tokens/*/rotate" => status::rotate,
    read GET "/api/v1/labels.csv" => labels::csv [LongAnswer],
    read GET "/api/v1/labels.ndjson" => labels::ndjson [LongAnswer],
    change POST "/api/internal/pubsub/publish" => guide::publish,
    change POST "/api/internal/labels/reanalysis" => guide::reanalysis,
    change POST "/api/tick/runners" => guide::tick,
    change POST "/api/v2/speechandtextanalytics/reprocessing/jobs" => genesys::publish,
    read GET "/api/v2/speechandtextanalytics/reprocessing/jobs" => genesys::list,
    read GET "/api/v2/speechandtextanalytics/reprocessing/jobs/*" => genesys::show,
    change DELETE "/api/v2/speechandtextanalytics/reprocessing/jobs/*" => genesys::delete,
    read GET "/api/v2/speechandtextanalytics/reprocessing/jobs/*/interactions" => genesys::interactions,
    read GET "/healthz" => status::healthz [Watch],
    read GET "/readyz" => status::readyz [Watch],
    read GET "/metrics" => metrics::show [Watch],
    read GET "/login/page.css" => page::style,
    read GET "/openapi.json" => openapi::show,
    read GET "/login/*" => status::enter,
    read GET "/" => page::page,
    read GET "/page/*" => page::file,
};

/// The route of a call, and the parts of its path that stand for something.
pub fn find(method: &str, path: &str) -> Result<(&'static Route, Vec<String>), Problem> {
    // HEAD is a GET whose body the server leaves out.
    // It must not use up a login, though: those who look at links before people do would.
    let method = if method == "HEAD" && !path.starts_with("/login/") { "GET" } else { method };
    let mut other_methods = Vec::new();
    for route in ROUTES {
        let Some(parts) = parts_of(route.path, path) else { continue };
        if route.method == method {
            return Ok((route, parts));
        }
        other_methods.push(route.method);
    }
    if other_methods.is_empty() {
        return Err(Problem::not_found(format!("there is no such path: {}", shorten(path))));
    }
    let allow = other_methods.join(", ");
    let problem = Problem::new(405, "bad_request", format!("this path takes {allow}"));
    Err(Problem { allow: Some(allow), ..problem })
}

/// Every call by itself: its method and its path.
#[cfg(test)]
pub fn calls() -> Vec<(&'static str, String)> {
    let mut calls = Vec::new();
    for route in ROUTES {
        let (before, last) = route.path.rsplit_once('/').unwrap();
        calls.extend(last.split('|').map(|word| (route.method, format!("{before}/{word}"))));
    }
    calls
}

fn parts_of(pattern: &str, path: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(parts),
            (Some("*"), Some(part)) if !part.is_empty() => parts.push(decode(part)?),
            (Some(words), Some(part)) if words.contains('|') && words.split('|').any(|word| word == part) => {
                parts.push(part.to_owned());
            }
            (Some(wanted), Some(given)) if wanted == given => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(method: &str, path: &str) -> Result<(String, Vec<String>), u16> {
        find(method, path).map(|(route, parts)| (route.path.to_owned(), parts)).map_err(|problem| problem.status)
    }

    #[test]
    fn ids_in_paths_are_decoded_part_by_part() {
        let (path, parts) = parts("GET", "/api/v1/items/note/a%2Fb%20%C3%A4").unwrap();
        assert_eq!((path.as_str(), parts), ("/api/v1/items/*/*", vec!["note".into(), "a/b ä".into()]));
    }

    #[test]
    fn what_is_not_there_is_404_and_the_wrong_method_405() {
        assert_eq!(parts("GET", "/api/v2/jobs"), Err(404));
        assert_eq!(parts("GET", "/api/v1/items/note/"), Err(404));
        assert_eq!(parts("GET", "/api/v1/items/note/%ff"), Err(404));
        assert_eq!(parts("PATCH", "/api/v1/count"), Err(405));
    }

    #[test]
    fn head_is_a_get() {
        assert!(parts("HEAD", "/healthz").is_ok());
    }

    #[test]
    fn calls_about_the_state_of_the_daemon_take_no_body() {
        let watch = |route: &&Route| route.load == Load::Watch;
        let calls: Vec<_> = ROUTES.iter().filter(watch).map(|route| (route.method, route.path)).collect();
        assert_eq!(calls, ["/api/v1/status", "/healthz", "/readyz", "/metrics"].map(|path| ("GET", path)));
    }

    #[test]
    fn only_reads_are_reads() {
        let reads = ["/api/v1/catalogue/test", "/api/v1/count", "/api/v1/login", "/api/v1/logout"];
        for route in ROUTES {
            let read = route.method == "GET" || reads.contains(&route.path);
            assert_eq!(route.changes, !read, "{} {}", route.method, route.path);
        }
    }
}
