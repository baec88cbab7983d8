//! The gate: the only part of the daemon that listens to strangers.
//!
//! tiny_http has no socket timeouts, no bound on a header line, a thread for every open connection,
//! and an accept loop that ends for good on its first error. So it listens only on a private Unix
//! socket, and the gate stands before it: it accepts, reads and bounds each request head, writes it
//! anew, and relays that one request and its answer.
//!
//! One thread, `gate`, does all of it by readiness, so an idle connection costs a descriptor and a
//! few hundred bytes, never a thread. A connection goes through four stages, each bounded in
//! number and in time: *waiting* for a whole head (`waiting`), *collecting* the body
//! (`collecting`), the *exchange* with tiny_http (`exchange`), and *leaving*, in which what is left
//! of an answer reaches the client (`leaving`). Before the exchange it stands in *line* while all
//! places that it may have are taken (`places`), so that a burst is answered late rather than refused.
//!
//! # Slow clients
//!
//! - A request takes a handler when its body is whole. A slow body costs a connection and the bytes
//!   that came. It has [`Limits::body_time`], and a second more for each [`Limits::body_rate`] bytes.
//! - A body that may be long ([`Load::LongBody`]) takes a long place once it has more than
//!   [`Limits::body_bytes`], or after [`Limits::body_time`]. From then on it may take hours.
//! - A client that sends to a handler or reads from one has to keep a pace: [`Limits::pace`] bytes in
//!   each [`Limits::idle`] in which the daemon waits for it. Otherwise its body is cut short, or its
//!   answer ends.
//! - A token, with all its sessions and links, is one holder. A holder gets at most three quarters of
//!   the short places and of the long places, and half of the line. At most [`Limits::bodies`] of its
//!   bodies are collected at a time. Client addresses do not help: on loopback all clients have the
//!   same address, and other clients are expected behind a proxy.
//!
//! # What handlers must know
//!
//! - **Via.** Every request carries exactly one `X-Relabeld-Via`, `tcp` or `unix`, written by the
//!   gate: the listener it came through. Nothing a client sends under `X-Relabeld-` gets here.
//! - **Bodies.** Every body arrives as `Transfer-Encoding: chunked`, whatever the client used, and
//!   `body_length()` is `None`. (With a `Content-Length` tiny_http takes a body cut short for a
//!   complete one, and allocates as many bytes as the client claims when it drops a request.) No
//!   body, or an empty one, arrives without either header.
//! - **Truncation.** If the client goes away, stalls, or breaks the chunk framing, reading the body
//!   ends with an `InvalidInput` error after the bytes that did arrive. `Ok(0)` is a complete body.
//!   After that error the client may still be there to read an answer: give it 400 `bad_request`.
//! - **Authenticate before reading the body.** A request whose [`Admission`] needs no body arrives
//!   with its body cut short.
//! - **An answer ends the body.** From its first byte on, nothing more of the request is relayed.
//! - **Enough threads.** Requests wait for a handler in tiny_http, up to [`Places::total`] of
//!   them, and count there even when their client has left: without a thread for each, long answers
//!   hold up short ones.
//! - **No hurry.** [`Limits::idle`] counts only while the client is waited for; a handler may think
//!   as long as it likes.
//! - **HTTP/1.0** reaches tiny_http as HTTP/1.1, and the answer is fitted to the client.
//! - `Expect` is answered here; `remote_addr()` is `None`.

mod answer;
mod body;
mod collecting;
mod counts;
mod doors;
mod exchange;
mod framing;
mod head;
mod leaving;
mod places;
mod refusal;
mod serve;
#[cfg(test)]
mod tests;
mod upload;
mod waiting;
mod wire;

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use polling::Poller;

pub use self::counts::Counts;
pub use self::head::{HeadView, Via};
pub use self::places::{Admission, Load, Places};
use crate::os::process::open_files_limit;

/// Where clients come in.
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// What one client, or all of them together, can take from the daemon.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Request line and headers.
    pub head_bytes: usize,
    /// From the connection to the end of the head.
    pub head_time: Duration,
    /// Connections that have no place with tiny_http.
    pub connections: usize,
    /// Requests with tiny_http at a time, a thread each on its side.
    pub places: Places,
    /// How long a request waits for one of those places; then it is one too many.
    pub turn: Duration,
    /// Content of a body that is collected before the request takes a place.
    pub body_bytes: usize,
    /// From the end of the head to the end of such a body.
    pub body_time: Duration,
    /// Such a body gets one more second each time this many bytes have arrived.
    pub body_rate: usize,
    /// Bodies of one holder that are collected at a time; the oldest makes room.
    pub bodies: usize,
    /// A client that is waited for during this time must have sent or read [`Limits::pace`] bytes.
    pub idle: Duration,
    pub pace: usize,
    /// Bytes of an answer that the gate takes from tiny_http ahead of the client. The handler of a
    /// smaller answer is free at once, however slowly the client reads.
    pub answer_ahead: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            head_bytes: 16 * 1024,
            head_time: Duration::from_secs(10),
            connections: 512,
            places: Places { watch: 4, short: 24, long: 32, unix: 4 },
            turn: Duration::from_secs(10),
            body_bytes: 1 << 20,
            body_time: Duration::from_secs(20),
            body_rate: 1024,
            bodies: 32,
            idle: Duration::from_secs(60),
            pace: 4096,
            answer_ahead: 64 * 1024,
        }
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Limits {
    /// Lowers the limits to what the process may open: a connection takes one descriptor, a place
    /// more, and the database needs some too.
    fn fitted_to(mut self, descriptors: usize) -> Self {
        self.connections = self.connections.min(descriptors / 2).max(1);
        self.places = self.places.fitted_to(descriptors);
        // Far enough, and no deadline overflows.
        self.head_time = self.head_time.min(DAY);
        self.turn = self.turn.min(DAY);
        self.body_time = self.body_time.min(DAY);
        self.idle = self.idle.min(DAY);
        self
    }
}

/// A running gate. Dropping it stops it at once.
pub struct Gate {
    thread: Option<JoinHandle<()>>,
    poller: Arc<Poller>,
    /// Set once: when the last request must have ended.
    stop: Arc<OnceLock<Instant>>,
    questions: Sender<Question>,
}

/// Answered at the end of a turn of the gate's loop.
type Question = Sender<()>;

/// Decides about a request by its head. It runs on the gate's thread, so it must not wait for anything.
pub type Admit = Box<dyn Fn(&HeadView<'_>) -> Admission + Send>;

impl Gate {
    /// Takes in connections from `listeners` and relays their requests to `upstream`, the path of
    /// the socket that tiny_http listens on; `counts` tells of both.
    pub fn open(
        listeners: Vec<Listener>,
        upstream: PathBuf,
        limits: Limits,
        admit: Admit,
        counts: Arc<Counts>,
    ) -> io::Result<Gate> {
        let poller = Arc::new(Poller::new()?);
        let stop = Arc::new(OnceLock::new());
        let limits = limits.fitted_to(open_files_limit());
        let (questions, asked) = unbounded();
        let server =
            serve::Server::new(listeners, upstream, limits, admit, Arc::clone(&poller), Arc::clone(&stop), counts)?;
        let thread = thread::Builder::new().name("gate".into()).spawn(move || server.run(&asked))?;
        Ok(Gate { thread: Some(thread), poller, stop, questions })
    }

    /// For whoever wants to know whether the gate still goes round, while it is used elsewhere.
    pub fn pulse(&self) -> Pulse {
        Pulse { poller: Arc::clone(&self.poller), questions: self.questions.clone() }
    }

    /// Stops accepting at once, lets requests in flight end for up to `grace`, then closes what is
    /// left and returns.
    pub fn stop(mut self, grace: Duration) {
        self.end(grace);
    }

    fn end(&mut self, grace: Duration) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        let now = Instant::now();
        // Set by nobody else: `thread` was there to take.
        let _ = self.stop.set(now.checked_add(grace).unwrap_or(now));
        if let Err(error) = self.poller.notify() {
            log::error!("the gate cannot be woken to stop: {error}");
            return; // Joining would wait for its next event.
        }
        if thread.join().is_err() {
            log::error!("the gate had panicked");
        }
    }
}

/// Tells a gate that hangs from one that is busy. It asks the loop itself and not one of its doors: a crowd before the
/// doors, or descriptors that ran out, keep a caller out without anything being wrong that a new start would mend.
pub struct Pulse {
    poller: Arc<Poller>,
    questions: Sender<Question>,
}

impl Pulse {
    /// Waits until the gate has seen to all who were ready and has been at its doors. False where it has ended.
    pub fn is_felt(&self) -> bool {
        let (answer, answered): (Question, Receiver<()>) = bounded(1);
        self.questions.send(answer).is_ok() && self.poller.notify().is_ok() && answered.recv().is_ok()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}
