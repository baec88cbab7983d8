//! The web page, served from the binary: nothing is asked of another host.

use serde_json::json;

use super::access::Refusal;
use super::answer::{Answer, Problem};
use super::asked::Asked;
use super::{Context, Handled};

/// Nothing but what the daemon itself serves.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn asset(content_type: &'static str, body: &'static str) -> Handled {
    let headers = vec![("Content-Security-Policy", POLICY.to_owned()), ("Referrer-Policy", "no-referrer".to_owned())];
    Ok(Answer::Text { content_type, body: body.to_owned(), headers })
}

pub fn page(_: &Context, _: &mut Asked<'_>) -> Handled {
    asset("text/html; charset=utf-8", include_str!("page.html"))
}

pub fn script(_: &Context, _: &mut Asked<'_>) -> Handled {
    asset("text/javascript; charset=utf-8", include_str!("page.js"))
}

pub fn style(_: &Context, _: &mut Asked<'_>) -> Handled {
    asset("text/css; charset=utf-8", include_str!("page.css"))
}

/// What a browser without a session is told.
pub fn sign_in(refusal: Refusal) -> Problem {
    Problem::from(refusal)
        .with("sign_in", json!("run `relabeld login` on the daemon's machine and open the link it prints"))
}
