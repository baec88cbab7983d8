//! Decides from the head of a request what the call costs, whose share of the handlers it uses, and whether its body is
//! needed. This grants no access: the handler checks the caller again.

use super::Context;
use super::access::{Access, Asking, Caller};
use super::asked::Query;
use super::gate::{Admission, HeadView, Load, Via};
use super::routes;
use crate::model::Millis;
use crate::when;

/// Waits for nothing: neither the store nor the disk has a part in it.
pub fn admit(context: &Context, head: &HeadView<'_>) -> Admission {
    let (path, query) = head.target.split_once('?').unwrap_or((head.target, ""));
    // A call that is refused is answered without its body.
    let refused = Admission { load: Load::Short, holder: Caller::STRANGER_HOLDER, needs_body: false };
    let Ok((route, _)) = routes::find(head.method, path) else { return refused };
    let asking = Asking {
        method: head.method,
        path,
        over_unix: head.via == Via::Unix,
        host: head.header("Host"),
        origin: head.header("Origin"),
        authorization: head.header("Authorization"),
        cookie: head.header("Cookie"),
        changes: route.changes,
    };
    let now = when::now();
    let by_link = by_link(&context.access, &asking, &Query::parse(query), now);
    let caller = by_link.map_or_else(|| context.access.recognise(&asking, now), Ok);
    caller.map_or(refused, |caller| Admission { load: route.load, holder: caller.holder(), needs_body: true })
}

/// The caller of a link with a valid ticket, which replaces the token. The Host header must still be allowed.
pub fn by_link(access: &Access, asking: &Asking<'_>, query: &Query, now: Millis) -> Option<Caller> {
    let ticket = query.peek("ticket").filter(|_| matches!(asking.method, "GET" | "HEAD"))?;
    access.check_host(asking).ok()?;
    access.redeem(asking.path, ticket, now)
}
