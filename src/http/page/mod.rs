//! The web page, served from the binary: nothing is asked of another host.
//!
//! A page in HTML, a style sheet, and a module of JavaScript a view; the browser builds it, by what the API says. It
//! holds no text of an item and no state of its own.

use super::access::Refusal;
use super::answer::{Answer, Boxed, Problem, page_refused};
use super::asked::Asked;
use super::{Context, Handled};

/// Nothing but what the daemon itself serves.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

macro_rules! files {
    ($($name:literal),+) => {
        &[$(($name, include_str!($name))),+]
    };
}

const FILES: &[(&str, &str)] = files![
    "bring.js",
    "catalogue.js",
    "chart.js",
    "course.js",
    "dom.js",
    "findings.js",
    "item.js",
    "job.js",
    "jobs.js",
    "main.js",
    "net.js",
    "page.css",
    "phrase.js",
    "places.js",
    "publish.js",
    "revise.js",
    "steps.js",
    "topic.js",
    "watch.js"
];

const HTML: &str = "text/html; charset=utf-8";

fn headers() -> Vec<(&'static str, String)> {
    vec![("Content-Security-Policy", POLICY.to_owned()), ("Referrer-Policy", "no-referrer".to_owned())]
}

fn asset(content_type: &'static str, body: &'static str) -> Handled {
    Ok(Answer::Text { content_type, body: body.to_owned(), headers: headers() })
}

/// `GET /`
pub fn page(_: &Context, _: &mut Asked<'_>) -> Handled {
    asset(HTML, include_str!("page.html"))
}

/// `GET /page/{file}`
pub fn file(_: &Context, asked: &mut Asked<'_>) -> Handled {
    let found = FILES.iter().find(|(name, _)| *name == asked.parts[0]);
    let (name, body) = found.ok_or_else(|| Problem::not_found("the page has no such file"))?;
    let style = name.ends_with(".css");
    asset(if style { "text/css; charset=utf-8" } else { "text/javascript; charset=utf-8" }, body)
}

/// `GET /login/page.css`: whoever is not in yet is told how in the same looks.
pub fn style(_: &Context, _: &mut Asked<'_>) -> Handled {
    asset("text/css; charset=utf-8", include_str!("page.css"))
}

/// What whoever comes to the page without a session is told.
pub fn sign_in(refusal: Refusal) -> Problem {
    Problem::from(refusal)
        .with("sign_in", "run `relabeld login` on the daemon's machine and open the link it prints".into())
}

/// Whether a problem is to be told as a page: to a browser that wanted to open one.
pub fn tells(problem: &Problem, path: &str, accept: Option<&str>) -> bool {
    let opens = path == "/" || path.starts_with("/login/");
    problem.status == 401 && opens && accept.is_some_and(|types| types.contains("text/html"))
}

/// A page that says how to sign in.
pub fn refused(problem: &Problem, path: &str) -> Boxed {
    let says = if path == "/" {
        "This browser has no session here, or it has ended."
    } else {
        "This link was used already, or is older than 10 minutes."
    };
    page_refused(problem.status, headers(), HTML, include_str!("sign-in.html").replace("SAYS", says))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Action, Allowed, JobState};

    /// The members of a list in steps.js: those in quotes, and those of the lists that it names.
    fn listed(list: &str) -> Vec<JobState> {
        let steps = include_str!("steps.js");
        let constant = |name: &str| {
            let list = steps.split_once(&format!("const {name} = [")).unwrap().1;
            listed(list.split_once(']').unwrap().0)
        };
        let entries = list.split(',').map(|entry| entry.trim().trim_matches(['[', ']', '.'])).filter(|e| !e.is_empty());
        entries
            .flat_map(|entry| match entry.strip_prefix('"') {
                Some(word) => vec![JobState::from_word(word.trim_end_matches('"')).unwrap()],
                None => constant(entry),
            })
            .collect()
    }

    #[test]
    fn the_page_offers_what_a_jobs_state_allows() {
        use Action::*;
        let table = include_str!("steps.js").split_once("const ALLOWED = {").unwrap().1.split_once("\n};").unwrap().0;
        let table: Vec<(&str, Vec<JobState>)> = table
            .lines()
            .filter_map(|line| line.trim().split_once(": "))
            .map(|(verb, list)| (verb, listed(list.trim_end_matches(','))))
            .collect();
        let actions = [
            ("publish", Publish),
            ("pause", Pause),
            ("resume", Resume),
            ("cancel", Cancel),
            ("steer", Steer),
            ("retry", Retry),
            ("revert", Revert),
            ("apply", Apply),
            ("delete", Delete),
        ];
        assert_eq!(table.len(), actions.len());
        for (verb, action) in actions {
            let offered = &table.iter().find(|(known, _)| *known == verb).unwrap().1;
            for &state in JobState::ALL {
                assert_eq!(offered.contains(&state), action.in_state(state) == Allowed::Yes, "{verb} when {state}");
            }
        }
    }

    #[test]
    fn nothing_on_the_page_is_markup_from_elsewhere() {
        for (name, text) in FILES {
            for way in
                ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "http://", "https://"]
            {
                // The name of SVG's vocabulary is no address.
                let text = text.replace("http://www.w3.org/2000/svg", "");
                assert!(!text.contains(way), "{name}: {way}");
            }
            let lines = text.lines().count();
            assert!(lines <= 300, "{name}: {lines} lines");
        }
    }

    #[test]
    fn every_file_that_a_file_names_is_served() {
        for (name, text) in FILES {
            for (at, _) in text.match_indices("from \"./") {
                let wanted = text[at + 8..].split('"').next().unwrap();
                assert!(FILES.iter().any(|(known, _)| *known == wanted), "{name} imports {wanted}");
            }
        }
    }
}
