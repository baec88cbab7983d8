//! The state of the daemon, and who may ask for it.

use serde_json::json;

use super::SMALL;
use crate::http::access::Right;
use crate::http::answer::{Answer, Problem};
use crate::http::asked::Asked;
use crate::http::{Context, Handled};

/// `GET /api/v1/status`
pub fn status(context: &Context, asked: &mut Asked<'_>) -> Handled {
    asked.query.finish()?;
    let queue = context.store.queue()?;
    let (database, wal) = context.store.sizes();
    let (last_change, _) = context.store.last_change()?;
    let (revision, labeller) = context.store.current_revision()?;
    let totals = context.engine.totals();
    Ok(Answer::json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "caller": {"name": asked.caller.name, "may": asked.caller.may.as_str()},
        "address": context.address,
        "uptime_seconds": context.engine.uptime().as_secs(),
        "state": if context.engine.stopping() { "stopping" } else { "running" },
        "held": context.engine.held().then_some("storage_full"),
        "workers": context.engine.workers(),
        "queue": {
            "live": {"pending": queue.live.pending, "running": queue.live.running},
            "bulk": {"pending": queue.bulk.pending, "running": queue.bulk.running},
        },
        "items": queue.items,
        "jobs": queue.jobs,
        "since_start": {"commits": totals.commits, "done": totals.done, "failed": totals.failed},
        "recovered": {
            "leases_given_back": context.engine.recovered().leases_given_back,
            "suspects": context.engine.recovered().suspects,
            "quarantined": context.engine.recovered().quarantined,
        },
        "catalogue_revision": revision,
        "last_change": last_change,
        "labeller": labeller,
        "durability": context.config.durability,
        "database_bytes": database,
        "wal_bytes": wal,
    })))
}

/// `GET /healthz`: the process answers.
pub fn healthz(_: &Context, _: &mut Asked<'_>) -> Handled {
    Ok(plain("ok\n"))
}

/// `GET /readyz`: it can take work.
pub fn readyz(context: &Context, _: &mut Asked<'_>) -> Handled {
    if context.engine.stopping() {
        return Err(Problem::new(503, "shutting_down", "the daemon is stopping"));
    }
    if context.store.has_failed() {
        return Err(Problem::new(503, "shutting_down", "the daemon is stopping, because the disk failed"));
    }
    if context.engine.held() {
        return Err(Problem::new(503, "storage_full", "the disk is full: nothing is leased until it has room"));
    }
    Ok(plain("ready\n"))
}

fn plain(text: &str) -> Answer {
    Answer::Text { content_type: "text/plain; charset=utf-8", body: text.into(), headers: Vec::new() }
}

/// `POST /api/v1/login`: a one-time URL for the page.
pub fn login(context: &Context, asked: &mut Asked<'_>) -> Handled {
    asked.query.finish()?;
    let mut fields = asked.fields(SMALL)?;
    let read = fields.flag("read", false).map_err(Problem::invalid)?;
    fields.finish().map_err(Problem::invalid)?;
    let wanted = if read { Right::Read } else { asked.caller.may };
    let code = context.access.new_login(&asked.caller, wanted, asked.now).map_err(context.unexpected())?;
    Ok(Answer::json(json!({"url": format!("{}/login/{code}", context.base_url), "good_for_seconds": 600})))
}

/// `GET /login/{code}`: sets the session's cookie.
pub fn enter(context: &Context, asked: &mut Asked<'_>) -> Handled {
    let cookie = context.access.login(&asked.parts[0], asked.now).map_err(context.unexpected())?;
    let Some(cookie) = cookie else {
        let detail = "this link was used already, or is older than 10 minutes: `relabeld login` prints a new one";
        return Err(Problem::new(401, "unauthorized", detail));
    };
    let headers = vec![("Location", "/".to_owned()), ("Set-Cookie", context.access.set_cookie_header(&cookie))];
    Ok(Answer::Empty { status: 303, headers })
}

/// `POST /api/v1/logout`
pub fn logout(context: &Context, asked: &mut Asked<'_>) -> Handled {
    let cleared = context.access.logout(asked.cookie.as_deref(), asked.now);
    Ok(Answer::Empty { status: 204, headers: vec![("Set-Cookie", cleared)] })
}

/// `POST /api/v1/tokens/{name}/rotate`: the new one stands in its file alone.
pub fn rotate(context: &Context, asked: &mut Asked<'_>) -> Handled {
    asked.query.finish()?;
    let name = &asked.parts[0];
    use crate::http::access::AccessError;
    let mut rotated = context.access.rotate(name);
    if rotated.as_ref().is_err_and(AccessError::is_full) {
        // A token that others know must not stay good because of a full disk.
        context.engine.disk_is_full();
        rotated = context.access.rotate(name);
    }
    rotated.map_err(|error| match error {
        AccessError::UnknownToken(_) => Problem::not_found(error.to_string()),
        error if error.is_full() => Problem::full(),
        AccessError::Unconfirmed { .. } => {
            log::error!("{error}");
            Problem::new(500, "internal", error.to_string())
        }
        other => context.unexpected()(other),
    })?;
    Ok(Answer::json(json!({"rotated": name})))
}
