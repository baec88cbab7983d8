//! The listeners. tiny_http's accept loop ends on its first error; this one waits and goes on.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use polling::Poller;

use super::Listener;
use super::head::Via;
use super::wire::{Stream, Watched};

/// After an accept that failed.
const BACK_OFF: Duration = Duration::from_millis(100);
/// Between two complaints about that.
const LOG_EVERY: Duration = Duration::from_secs(10);

pub struct Doors {
    doors: Vec<Watched<Listener>>,
    /// Until when nothing is accepted, after an error.
    shut_until: Option<Instant>,
    complained: Option<Instant>,
}

/// What opening a door came to.
pub enum Caller {
    Client(Stream, Via),
    Nobody,
    /// There is something to be done first; see [`Doors::back_off`].
    Trouble(io::Error),
}

impl Doors {
    /// The first listener's poller key is 0, and the next ones' are twice their place.
    pub fn open(listeners: Vec<Listener>, poller: &Arc<Poller>) -> io::Result<Self> {
        let doors = listeners
            .into_iter()
            .enumerate()
            .map(|(place, listener)| {
                listener.prepare()?;
                let mut door = Watched::new(listener, poller, place << 1)?;
                door.want(true, false);
                Ok(door)
            })
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Doors { doors, shut_until: None, complained: None })
    }

    pub fn count(&self) -> usize {
        self.doors.len()
    }

    /// For good.
    pub fn close(&mut self) {
        self.doors.clear();
        self.shut_until = None;
    }

    pub fn accept(&self, place: usize) -> Caller {
        let Some(door) = self.doors.get(place) else {
            return Caller::Nobody;
        };
        loop {
            return match door.source().accept() {
                Ok((stream, via)) => Caller::Client(stream, via),
                Err(error) => match error.kind() {
                    // The second is a client gone before it was let in: the next may be waiting.
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted => continue,
                    ErrorKind::WouldBlock => Caller::Nobody,
                    _ => Caller::Trouble(error),
                },
            };
        }
    }

    /// After a turn of accepting at a door whose event was delivered.
    pub fn watch(&mut self, place: usize) {
        if let Some(door) = self.doors.get_mut(place) {
            door.fired();
            if self.shut_until.is_none() {
                door.want(true, false);
            }
        }
    }

    /// Lets nobody in for a moment: trying at once would only fail again, over and over.
    pub fn back_off(&mut self, error: &io::Error, now: Instant) {
        let recently = |last: Instant| now.duration_since(last) < LOG_EVERY;
        if !self.complained.is_some_and(recently) {
            self.complained = Some(now);
            log::warn!("cannot take in connections, trying again: {error}");
        }
        self.shut_until = Some(now + BACK_OFF);
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.shut_until
    }

    /// Opens the doors again if it is time.
    pub fn expire(&mut self, now: Instant) {
        if self.shut_until.is_some_and(|until| until <= now) {
            self.shut_until = None;
            for door in &mut self.doors {
                door.want(true, false);
            }
        }
    }
}

impl Listener {
    fn accept(&self) -> io::Result<(Stream, Via)> {
        Ok(match self {
            Listener::Tcp(listener) => (Stream::Tcp(listener.accept()?.0), Via::Tcp),
            Listener::Unix(listener) => (Stream::Unix(listener.accept()?.0), Via::Unix),
        })
    }

    fn prepare(&self) -> io::Result<()> {
        match self {
            Listener::Tcp(listener) => listener.set_nonblocking(true),
            Listener::Unix(listener) => listener.set_nonblocking(true),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Tcp(listener) => listener.as_fd(),
            Listener::Unix(listener) => listener.as_fd(),
        }
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}
