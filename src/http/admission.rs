//! What the gate has to know of a request before it takes a handler: what the call costs, whose it is, and whether its
//! body matters. The handler checks the caller again, so nobody is let in here.

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

/// Whoever has a link with a good ticket needs no token. The link is for this host all the same.
pub fn by_link(access: &Access, asking: &Asking<'_>, query: &Query, now: Millis) -> Option<Caller> {
    let ticket = query.peek("ticket").filter(|_| matches!(asking.method, "GET" | "HEAD"))?;
    access.check_host(asking).ok()?;
    access.redeem(asking.path, ticket, now)
}
