//! The HTTP endpoint: the gate in front, tiny_http behind it on a private socket, and a thread for each request that may
//! be under way.
//!
//! tiny_http's accept loop ends for good on its first error, and on some of them its thread panics. So the endpoint asks
//! it now and then, through the socket, whether it still listens, and puts a new one in its place when it does not.

pub mod access;
mod admission;
mod answer;
mod api;
mod asked;
pub mod calls;
mod gate;
mod genesys;
mod guide;
mod metrics;
mod openapi;
mod page;
mod routes;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use log::{debug, error, warn};
use tiny_http::{Request, Server};

use self::access::{Access, AccessError, Asking};
use self::answer::{Answer, Boxed, Problem};
use self::asked::{Asked, Query};
use self::calls::Calls;
use self::gate::{Gate, HeadView, Limits};
pub use self::gate::{Listener, Pulse};
use self::routes::Route;
use crate::config::Config;
use crate::engine::{Compile, Engine};
use crate::os;
use crate::store::Store;
use crate::when;

/// What a handler answers.
type Handled = Result<Answer, Problem>;

/// What every handler may use.
pub struct Context {
    pub config: Config,
    pub store: Arc<Store>,
    pub engine: Arc<Engine>,
    pub compile: Arc<Compile>,
    pub access: Access,
    /// `ADDR:PORT` that listens.
    pub address: String,
    /// Where a browser finds the daemon.
    pub base_url: String,
    pub calls: Calls,
}

impl Context {
    /// The most items that a job may have; 0 is no limit.
    fn max_items(&self) -> i64 {
        self.config.max_items_per_job.map_or(0, |limit| i64::try_from(limit).unwrap_or(i64::MAX))
    }

    /// Writes are refused while the disk is full; holding and cancelling are not.
    fn may_write(&self) -> Result<(), Problem> {
        if self.engine.held() { Err(Problem::full()) } else { Ok(()) }
    }

    /// How full the disk is, and what to do.
    fn disk_full(&self) -> String {
        let (free, least) = (os::describe_free(&self.config.data_dir), self.config.min_free_bytes);
        format!("the disk is full: {free}, and min_free_bytes is {least}: make room, then repeat the request")
    }

    /// What cannot be the caller's fault, and is not for the caller to read.
    fn unexpected(&self) -> impl Fn(AccessError) -> Problem {
        |error| {
            error!("{error}");
            Problem::internal()
        }
    }

    /// A file in the data directory that is gone when it is closed, however the process ends.
    fn scratch_file(&self) -> io::Result<File> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let path = self.config.data_dir.join(format!("spool.{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let file = os::create_private(&path)?;
        fs::remove_file(&path)?;
        Ok(file)
    }
}

/// A quiet tiny_http is asked this often whether it still listens.
const PROBE: Duration = Duration::from_secs(2);

/// What the threads of the endpoint share.
struct Behind {
    context: Context,
    socket: PathBuf,
    /// The tiny_http of now, and which one it is.
    server: RwLock<(u64, Arc<Server>)>,
    stopping: AtomicBool,
}

/// The running endpoint.
pub struct Endpoint {
    gate: Gate,
    behind: Arc<Behind>,
    threads: Vec<JoinHandle<()>>,
}

/// A tiny_http that listens on `socket`, in the place of whichever did before.
///
/// Its listener is bound under a name of its own and then renamed: a tiny_http removes the name that it was bound under
/// when it is dropped, and the one before may be dropped only after this one listens.
fn listen_privately(socket: &Path) -> io::Result<Arc<Server>> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let own = socket.with_extension(NEXT.fetch_add(1, Ordering::Relaxed).to_string());
    match fs::remove_file(&own) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&own)?;
    fs::set_permissions(&own, fs::Permissions::from_mode(0o600))?;
    fs::rename(&own, socket)?;
    Server::from_listener(listener, None).map(Arc::new).map_err(io::Error::other)
}

impl Endpoint {
    pub fn open(context: Context, listeners: Vec<Listener>) -> io::Result<Endpoint> {
        // A body that is collected must be as long as the largest that a short call takes.
        let limits = Limits { body_bytes: api::SMALL as usize, ..Limits::default() };
        // Whoever reaches this socket is taken at its word: it lies in the directory that is ours alone.
        let socket = context.config.data_dir.join("http.sock");
        let server = listen_privately(&socket)
            .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {}: {error}", socket.display())))?;
        let handlers = limits.places.total();
        let counts = Arc::clone(&context.calls.gate);
        let server = RwLock::new((0, server));
        let behind = Arc::new(Behind { context, socket: socket.clone(), server, stopping: AtomicBool::new(false) });
        let context = Arc::clone(&behind);
        let admit = move |head: &HeadView<'_>| admission::admit(&context.context, head);
        let gate = Gate::open(listeners, socket, limits, Box::new(admit), counts)?;
        let mut threads = Vec::with_capacity(handlers);
        for number in 0..handlers {
            let behind = Arc::clone(&behind);
            let thread = std::thread::Builder::new().name(format!("http-{number}"));
            threads.push(thread.spawn(move || behind.handle_until_stopped(number == 0))?);
        }
        Ok(Endpoint { gate, behind, threads })
    }

    /// For whoever wants to know whether connections are still seen to.
    pub fn pulse(&self) -> Pulse {
        self.gate.pulse()
    }

    /// A one-time address for the page, for the terminal that the daemon runs on.
    pub fn login_url(&self) -> Option<String> {
        let context = &self.behind.context;
        let code = context.access.new_login(&access::Caller::TERMINAL, access::Right::All, when::now()).ok()?;
        Some(format!("{}/login/{code}", context.base_url))
    }

    /// Takes no more requests; those under way may end within `grace`.
    pub fn stop(self, grace: Duration) {
        self.gate.stop(grace);
        self.behind.stopping.store(true, Ordering::Relaxed);
        let server = Arc::clone(&self.behind.server().1);
        for _ in &self.threads {
            server.unblock();
        }
        // A request that outlived the grace is not waited for: it ends with the process.
        let patience = Instant::now() + Duration::from_secs(1);
        while Instant::now() < patience && self.threads.iter().any(|thread| !thread.is_finished()) {
            server.unblock();
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = fs::remove_file(&self.behind.socket);
    }
}

impl Behind {
    fn server(&self) -> std::sync::RwLockReadGuard<'_, (u64, Arc<Server>)> {
        self.server.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn handle_until_stopped(&self, probes: bool) {
        while !self.stopping.load(Ordering::Relaxed) {
            let (number, server) = {
                let current = self.server();
                (current.0, Arc::clone(&current.1))
            };
            match server.recv_timeout(PROBE) {
                Ok(Some(request)) => self.answer(request),
                Ok(None) if probes && UnixStream::connect(&self.socket).is_err() => {
                    self.replace(number, "it listens no more");
                }
                Ok(None) => {}
                Err(error) => self.replace(number, &error.to_string()),
            }
        }
    }

    fn replace(&self, number: u64, why: &str) {
        let mut current = self.server.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        if current.0 != number || self.stopping.load(Ordering::Relaxed) {
            return;
        }
        warn!("tiny_http ended ({why}): putting a new one in its place");
        match listen_privately(&self.socket) {
            Ok(server) => *current = (number + 1, server),
            Err(error) => {
                error!("cannot listen on {}: {error}; trying again", self.socket.display());
                drop(current);
                std::thread::sleep(PROBE);
            }
        }
    }

    fn answer(&self, mut request: Request) {
        let begun = Instant::now();
        let mut route = None;
        let handled = self.handle(&mut request, &mut route).map_err(|problem| match problem.is_full() {
            true => Problem { detail: self.context.disk_full(), ..problem },
            false => problem,
        });
        if let Err(problem) = &handled {
            debug!("{} {}: {} {}", request.method(), path_of(request.url()), problem.status, problem.code);
        }
        let response = match handled {
            Ok(Answer::Stream { content_type, file, body }) if *request.method() != tiny_http::Method::Head => {
                let streamed = answer::stream(request.into_writer(), content_type, &file, body);
                return self.answered(route, 200, begun, streamed);
            }
            Ok(Answer::File { content_type, file, bytes, digest, body }) => {
                let sent = answer::send_file(request.into_writer(), content_type, &file, (bytes, &digest), body);
                return self.answered(route, 200, begun, sent);
            }
            Ok(answer) => Boxed::from(answer),
            Err(problem) if genesys::owns(path_of(request.url())) => {
                let words = genesys::error(&problem, bears_token(&request));
                answer::refuse_in(&words, problem)
            }
            Err(problem) if page::tells(&problem, path_of(request.url()), header_of(&request, "Accept")) => {
                page::refused(&problem, path_of(request.url()))
            }
            Err(problem) => Boxed::from(problem),
        };
        let status = response.status_code().0;
        let responded = request.respond(response);
        self.answered(route, status, begun, responded);
    }

    fn answered(&self, route: Option<&'static Route>, status: u16, begun: Instant, responded: io::Result<()>) {
        self.context.calls.answered(route, status, begun.elapsed());
        if let Err(error) = responded {
            debug!("a client left before its answer: {error}");
        }
    }

    /// `on` becomes the route, for the counters: also where the caller is not let in.
    fn handle(&self, request: &mut Request, on: &mut Option<&'static Route>) -> Handled {
        let now = when::now();
        let method = request.method().to_string();
        let url = request.url().to_owned();
        let (path, query) = url.split_once('?').unwrap_or((&url, ""));
        let header = |name: &'static str| header_of(request, name).map(str::to_owned);
        let (host, origin) = (header("Host"), header("Origin"));
        let (authorization, cookie) = (header("Authorization"), header("Cookie"));
        let (if_match, content_encoding) = (header("If-Match"), header("Content-Encoding"));
        let (content_type, idempotency_key) = (header("Content-Type"), header("Idempotency-Key"));
        // Written by the gate, once.
        let over_unix = header("X-Relabeld-Via").as_deref() == Some("unix");

        let found = routes::find(&method, path);
        *on = found.as_ref().ok().map(|(route, _)| *route);
        let changes = found.as_ref().is_ok_and(|(route, _)| route.changes);
        let asking = Asking {
            method: &method,
            path,
            over_unix,
            host: host.as_deref(),
            origin: origin.as_deref(),
            authorization: authorization.as_deref(),
            cookie: cookie.as_deref(),
            changes,
        };
        let (access, query) = (&self.context.access, Query::parse(query));
        let ticket = query.peek("ticket").filter(|_| matches!(method.as_str(), "GET" | "HEAD"));
        let caller = match admission::by_link(access, &asking, &query, now) {
            Some(caller) => caller,
            None => access.check(&asking, now).map_err(|refusal| match refusal.status {
                401 if path == "/" => page::sign_in(refusal),
                401 if ticket.is_some() => {
                    Problem::new(401, refusal.code, "this link is not, or no longer, good: ask for a new one")
                }
                _ => refusal.into(),
            })?,
        };
        let (route, parts) = found?;
        let mut asked = Asked {
            parts,
            query,
            body: request.as_reader(),
            caller,
            cookie,
            if_match,
            content_encoding,
            content_type,
            idempotency_key,
            head: method == "HEAD",
            now,
        };
        (route.handle)(&self.context, &mut asked)
    }
}

fn header_of<'a>(request: &'a Request, name: &'static str) -> Option<&'a str> {
    request.headers().iter().find(|header| header.field.equiv(name)).map(|header| header.value.as_str())
}

/// Whether any token came with the request, good or not.
fn bears_token(request: &Request) -> bool {
    header_of(request, "Authorization").is_some_and(|value| value.split_whitespace().nth(1).is_some())
}

/// A path fit for the log: a login's code is not.
fn path_of(url: &str) -> &str {
    let path = url.split('?').next().unwrap_or(url);
    if path.starts_with("/login/") { "/login/…" } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_old_tiny_http_leaves_the_new_one_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("http.sock");
        let old = listen_privately(&socket).unwrap();
        let new = listen_privately(&socket).unwrap();
        drop(old);
        UnixStream::connect(&socket).unwrap();
        drop(new);
    }
}
