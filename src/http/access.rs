//! Who may call, and what: tokens, the page's sessions, tickets in links, and the names the daemon is served under.
//!
//! Two kinds of stranger are meant: another user of this machine, whom the tokens stop, and a web page open in the
//! user's own browser, which the `Host` check (DNS rebinding) and the `Origin` check (forged requests) stop.

mod kept;
mod names;
mod shelf;
#[cfg(test)]
mod tests;
mod tokens;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use self::names::Names;
pub use self::names::listening_refused;
use self::shelf::Shelf;
use self::tokens::{load_or_make, new_token, same, store};
use crate::model::Millis;
use crate::os::{self, TokenFault};

const MINUTE: Millis = 60_000;
const HOUR: Millis = 60 * MINUTE;
const SESSION_LIFE: Millis = 7 * 24 * HOUR;
/// The name of callers with a session.
const PAGE: &str = "page";
/// How much of a session's use a restart may forget.
const KEPT_EVERY: Millis = 10 * MINUTE;

/// What a caller may do; each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Right {
    /// What is open to all: liveness, readiness, a one-time login.
    Nothing,
    Metrics,
    /// Everything that changes nothing.
    Read,
    All,
}

impl Right {
    /// As in `caller.may` of the status.
    pub fn as_str(self) -> &'static str {
        match self {
            Right::Nothing => "nothing",
            Right::Metrics => "metrics",
            Right::Read => "read",
            Right::All => "all",
        }
    }
}

/// The three tokens: the name of its file, and what it may.
const TOKENS: [(&str, Right); 3] =
    [("token", Right::All), ("token.read", Right::Read), ("token.metrics", Right::Metrics)];

/// Whoever was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// For logs and `created_by`: a token's name, or `socket`, `terminal`, `page`, `link`, `anyone`.
    pub name: &'static str,
    pub may: Right,
    /// The index of the token whose rotation ends what this caller opens.
    token: usize,
}

impl Caller {
    pub const SOCKET: Caller = Caller { name: "socket", may: Right::All, token: 0 };
    /// `serve` itself, printing a login link to its own terminal.
    pub const TERMINAL: Caller = Caller { name: "terminal", may: Right::All, token: 0 };
    const ANYONE: Caller = Caller { name: "anyone", may: Right::Nothing, token: 0 };
    /// The holder of requests without a valid token, session or link.
    pub const STRANGER_HOLDER: usize = TOKENS.len();
    const SOCKET_HOLDER: usize = TOKENS.len() + 1;

    /// Whose share of the handlers this caller uses: that of the token behind the session or the link, of the socket, or
    /// of all strangers. A token can open any number of sessions, so each of them counts in its share.
    pub fn holder(&self) -> usize {
        match *self {
            Caller::ANYONE => Caller::STRANGER_HOLDER,
            Caller::SOCKET => Caller::SOCKET_HOLDER,
            Caller { token, .. } => token,
        }
    }
}

/// What of a request decides. `path` is without the query.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub over_unix: bool,
    pub host: Option<&'a str>,
    pub origin: Option<&'a str>,
    pub authorization: Option<&'a str>,
    pub cookie: Option<&'a str>,
    /// The route changes something.
    pub changes: bool,
}

impl Asking<'_> {
    /// A route that forgets to say so is not believed for methods that mean nothing but a change.
    fn changes(&self) -> bool {
        self.changes || matches!(self.method, "PUT" | "PATCH" | "DELETE")
    }

    fn needs(&self) -> Right {
        match self.path {
            _ if self.changes() => Right::All,
            "/healthz" | "/readyz" => Right::Nothing,
            "/metrics" => Right::Metrics,
            path if path.starts_with("/login/") => Right::Nothing,
            _ => Right::Read,
        }
    }
}

/// The answer to whoever is not let in. A 401 goes out with `WWW-Authenticate: Bearer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub code: &'static str,
    pub detail: String,
}

fn unauthorized(detail: &str) -> Refusal {
    Refusal { status: 401, code: "unauthorized", detail: detail.to_owned() }
}

fn forbidden(detail: String) -> Refusal {
    Refusal { status: 403, code: "forbidden", detail }
}

#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("others may enter {} (mode {mode:03o}): chmod 700 it", path.display())]
    OpenDirectory { path: PathBuf, mode: u32 },
    #[error("others may use {} (mode {mode:03o}): remove it for a new token, or chmod 600 it if nobody saw it", path.display())]
    OpenToken { path: PathBuf, mode: u32 },
    #[error("{} {fault}. Remove it, and the next start makes a new one", path.display())]
    NoToken { path: PathBuf, fault: TokenFault },
    #[error(
        "the new token is in {} and works, the old one is invalid, but the fsync of the directory failed ({source}): a \
         power cut may bring the old token back; rotate again when the disk works", path.display()
    )]
    Unconfirmed { path: PathBuf, source: io::Error },
    #[error("{0:?} is no token: there are token, token.read and token.metrics")]
    UnknownToken(String),
    #[error("{0:?} cannot be served: give a name, name:port, or for public_url http(s)://name")]
    UnservableName(String),
    #[error("the system gives no random numbers: {0}")]
    NoRandomness(getrandom::Error),
}

impl AccessError {
    /// The disk has no room for a file.
    pub fn is_full(&self) -> bool {
        matches!(self, AccessError::File { source, .. } if os::is_full(source))
    }
}

/// An error where other users may enter the data directory.
pub fn refuse_open_directory(data_dir: &Path) -> Result<(), AccessError> {
    let failed = |source| AccessError::File { path: data_dir.to_path_buf(), source };
    let mode = fs::metadata(data_dir).map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        return Err(AccessError::OpenDirectory { path: data_dir.to_path_buf(), mode });
    }
    Ok(())
}

pub struct Access {
    data_dir: PathBuf,
    names: Names,
    port: u16,
    /// Taken for a short time only, never while a file is read or written: every request waits for it.
    inside: Mutex<Inside>,
    /// Taken before `inside` by whoever changes a file, so that the files follow memory in order.
    files: Mutex<()>,
}

struct Inside {
    tokens: [String; 3],
    /// A token whose file is being written, by its index: it works beside the one that it replaces.
    incoming_token: Option<(usize, String)>,
    /// One-time login codes; the right of the session to come.
    logins: Shelf<Right>,
    sessions: Shelf<Right>,
    /// When the sessions were last put on the disk.
    kept_at: Millis,
    /// Links that work without a header; the path of each.
    tickets: Shelf<String>,
}

impl Access {
    /// Loads the tokens, making those that are missing. `port` is the one that listens, after port 0 has become one.
    pub fn open(
        data_dir: &Path,
        port: u16,
        hosts: Vec<String>,
        public_url: Option<&str>,
    ) -> Result<Access, AccessError> {
        let names = Names::new(port, &hosts, public_url)?;
        refuse_open_directory(data_dir)?;
        let [all, read, metrics] = TOKENS.map(|(name, _)| load_or_make(&data_dir.join(name)));
        let tokens = [all?, read?, metrics?];
        let mut sessions = Shelf::new(256, 12 * HOUR, SESSION_LIFE);
        kept::load(data_dir, &tokens, &mut sessions);
        let inside = Inside {
            tokens,
            incoming_token: None,
            logins: Shelf::new(16, 10 * MINUTE, 10 * MINUTE),
            sessions,
            kept_at: Millis::MIN,
            tickets: Shelf::new(1024, 10 * MINUTE, 10 * MINUTE),
        };
        Ok(Access {
            data_dir: data_dir.to_path_buf(),
            names,
            port,
            inside: Mutex::new(inside),
            files: Mutex::default(),
        })
    }

    /// The one question of every request.
    pub fn check(&self, asking: &Asking<'_>, now: Millis) -> Result<Caller, Refusal> {
        let caller = self.recognise(asking, now)?;
        if caller.name == PAGE && self.claims_session_write(now) {
            self.keep(now);
        }
        Ok(caller)
    }

    /// As [`Access::check`], without any file.
    pub fn recognise(&self, asking: &Asking<'_>, now: Millis) -> Result<Caller, Refusal> {
        if asking.over_unix {
            return Ok(Caller::SOCKET);
        }
        self.check_host(asking)?;
        let needs = asking.needs();
        if needs == Right::Nothing {
            return Ok(Caller::ANYONE);
        }
        let caller = match asking.authorization.and_then(bearer) {
            Some(token) => self.whose_token(token)?,
            // No word of a token, such as the Basic of a proxy in front, leaves it to the cookie.
            None => self.whose_session(asking, now)?,
        };
        if caller.may < needs {
            let Asking { method, path, .. } = asking;
            let (token, _) = TOKENS.into_iter().rev().find(|(_, may)| *may >= needs).unwrap_or(TOKENS[0]);
            let detail = format!("{} may not {method} {path}: it takes the token in the file `{token}`", caller.name);
            return Err(forbidden(detail));
        }
        Ok(caller)
    }

    /// Part of [`Access::check`]; alone for links whose ticket stands in for a caller.
    pub fn check_host(&self, asking: &Asking<'_>) -> Result<(), Refusal> {
        if asking.over_unix {
            return Ok(());
        }
        let missing = || Refusal { status: 400, code: "bad_request", detail: "send a Host header".to_owned() };
        let host = asking.host.ok_or_else(missing)?;
        if self.names.serve_host(host) {
            return Ok(());
        }
        Err(forbidden(format!("Host {host:?} is not served here: add it to `hosts`, or set `public_url`")))
    }

    fn whose_token(&self, given: &str) -> Result<Caller, Refusal> {
        let inside = self.inside();
        // Every token is compared to its end, so that time tells nothing.
        let hits = inside.tokens.each_ref().map(|token| same(token, given));
        let incoming_token =
            inside.incoming_token.as_ref().filter(|(_, token)| same(token, given)).map(|(index, _)| *index);
        let token = hits.iter().position(|&hit| hit).or(incoming_token).ok_or_else(|| {
            unauthorized("this token is not, or no longer, good: read the file `token` of the data directory again")
        })?;
        Ok(Caller { name: TOKENS[token].0, may: TOKENS[token].1, token })
    }

    fn whose_session(&self, asking: &Asking<'_>, now: Millis) -> Result<Caller, Refusal> {
        const WAY_IN: &str = "send `Authorization: Bearer` with the token in the data directory, \
            or open the link that `relabeld login` prints";
        const FOREIGN: &str = "a session serves the daemon's own page alone: set `public_url` to its address in the \
            browser if this is that page, or send a token";
        let mut inside = self.inside();
        let cookies = asking.cookie.unwrap_or_default();
        // Another service on this host may set a cookie of the same name; it must not shut the page out.
        let mut values = self.session_cookies(cookies);
        let session = values.find_map(|value| inside.sessions.find(value, now));
        let (may, token) = session.ok_or_else(|| unauthorized(WAY_IN))?;
        let caller = Caller { name: PAGE, may, token };
        match asking.origin {
            Some(origin) if self.names.serve_origin(origin) => Ok(caller),
            None if !asking.changes() => Ok(caller),
            _ => Err(forbidden(FOREIGN.to_owned())),
        }
    }

    fn session_cookies<'a>(&self, cookies: &'a str) -> impl Iterator<Item = &'a str> + use<'a> {
        let name = self.cookie_name();
        let pairs = cookies.split(';').filter_map(|pair| pair.trim().split_once('='));
        pairs.filter(move |(key, _)| *key == name).map(|(_, value)| value)
    }

    /// Replaces the token and ends all that it opened, at once.
    ///
    /// The token that is in the file afterwards is the one that works, also where the file could not be written whole.
    pub fn rotate(&self, name: &str) -> Result<String, AccessError> {
        let known = TOKENS.iter().position(|(token, _)| *token == name);
        let index = known.ok_or_else(|| AccessError::UnknownToken(name.to_owned()))?;
        let path = self.data_dir.join(name);
        let files = self.files();
        let fresh = new_token()?;
        // A process that reads the new file before this is done is let in.
        self.inside().incoming_token = Some((index, fresh.clone()));
        let stored = store(&path, &fresh);
        {
            let mut inside = self.inside();
            inside.incoming_token = None;
            if stored.is_ok() {
                inside.tokens[index] = fresh.clone();
                inside.logins.drop_those_of(index);
                inside.sessions.drop_those_of(index);
                inside.tickets.drop_those_of(index);
            }
        }
        let replaced = match stored {
            Ok(replaced) => replaced,
            Err(source) => return Err(AccessError::File { path, source }),
        };
        self.save(&files, None);
        match replaced.synced {
            Ok(()) => Ok(fresh),
            // The new file is in its place all the same. Clients and the next start read it.
            Err(source) => Err(AccessError::Unconfirmed { path, source }),
        }
    }

    /// Whether to write the sessions' last use now: true for only one of the callers.
    fn claims_session_write(&self, now: Millis) -> bool {
        let mut inside = self.inside();
        let is_due = now.saturating_sub(inside.kept_at) > KEPT_EVERY;
        if is_due {
            inside.kept_at = now;
        }
        is_due
    }

    fn keep(&self, now: Millis) {
        self.save(&self.files(), Some(now));
    }

    /// Writes the sessions; `used_until` is the time up to which their use is in the file.
    fn save(&self, _files: &MutexGuard<'_, ()>, used_until: Option<Millis>) {
        let mut inside = self.inside();
        inside.kept_at = used_until.unwrap_or(inside.kept_at);
        let kept = kept::list(&inside.tokens, &inside.sessions);
        drop(inside);
        kept::save(&self.data_dir, &kept);
    }

    /// A one-time code for [`Access::login`], good for 10 minutes, with at most the right of whoever asks. The route
    /// counts as a read, so that `token.read` may log in to read.
    pub fn new_login(&self, by: &Caller, wanted: Right, now: Millis) -> Result<String, AccessError> {
        self.inside().logins.put(by.may.min(wanted), by.token, now)
    }

    /// The value of the session cookie, if the code is good; it is not from then on.
    pub fn login(&self, code: &str, now: Millis) -> Result<Option<String>, AccessError> {
        let mut inside = self.inside();
        let session = match inside.logins.take(code, now) {
            // A token for /metrics alone opens no page.
            Some((may, token)) if may >= Right::Read => inside.sessions.put(may, token, now)?,
            _ => return Ok(None),
        };
        drop(inside);
        self.keep(now);
        Ok(Some(session))
    }

    pub fn set_cookie_header(&self, value: &str) -> String {
        self.cookie(value, SESSION_LIFE / 1000)
    }

    /// Ends the sessions of this `Cookie` header; the answer is the `Set-Cookie` that clears it.
    pub fn logout(&self, cookie: Option<&str>, now: Millis) -> String {
        let mut inside = self.inside();
        for value in self.session_cookies(cookie.unwrap_or_default()) {
            inside.sessions.take(value, now);
        }
        drop(inside);
        self.keep(now);
        self.cookie("", 0)
    }

    /// A cookie is shared by all ports of a host, so its name tells whose it is.
    fn cookie_name(&self) -> String {
        format!("relabeld_{}", self.port)
    }

    fn cookie(&self, value: &str, seconds: i64) -> String {
        let secure = if self.names.public_https { "; Secure" } else { "" };
        let name = self.cookie_name();
        format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}")
    }

    /// Lets whoever has it fetch this one path, for 10 minutes and any number of times.
    pub fn new_ticket(&self, by: &Caller, path: &str, now: Millis) -> Result<String, AccessError> {
        self.inside().tickets.put(path.to_owned(), by.token, now)
    }

    /// Whoever comes with a ticket for this path: they may read, and need no token.
    pub fn redeem(&self, path: &str, ticket: &str, now: Millis) -> Option<Caller> {
        let (opens, token) = self.inside().tickets.find(ticket, now)?;
        (opens == path).then_some(Caller { name: "link", may: Right::Read, token })
    }

    fn files(&self) -> MutexGuard<'_, ()> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        // Nothing here is left half done by a panic.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}
