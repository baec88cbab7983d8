//! Sockets without blocking: the client's or tiny_http's stream, its place in the poller, and the
//! bytes on their way into it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use polling::{Event, Poller};

pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// What a read came to.
pub enum Received {
    Bytes(usize),
    End,
    Later,
    Broken,
}

impl Stream {
    pub fn prepare(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => {
                let _ = stream.set_nodelay(true); // Only for speed.
                stream.set_nonblocking(true)
            }
            Stream::Unix(stream) => stream.set_nonblocking(true),
        }
    }

    pub fn receive(&self, into: &mut [u8]) -> Received {
        loop {
            let result = match self {
                Stream::Tcp(stream) => (&*stream).read(into),
                Stream::Unix(stream) => (&*stream).read(into),
            };
            return match result {
                Ok(0) => Received::End,
                Ok(bytes) => Received::Bytes(bytes),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => Received::Later,
                Err(_) => Received::Broken,
            };
        }
    }

    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&*stream).write(bytes),
            Stream::Unix(stream) => (&*stream).write(bytes),
        }
    }

    /// Tells the other side that nothing more will come.
    pub fn finish(&self) {
        // An error means that the connection is gone, which the next read shows.
        let _ = match self {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }

    /// Whether `count` more descriptors can be opened now.
    pub fn can_spare(&self, count: usize) -> bool {
        let fd = self.as_fd();
        let spare: io::Result<Vec<_>> = (0..count).map(|_| fd.try_clone_to_owned()).collect();
        spare.is_ok()
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
        }
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// A socket registered with the poller for as long as it lives.
///
/// Registration is for one event at a time. Without a new [`want`](Watched::want) nothing more is
/// reported, not even a hang-up, so no state of a socket can make the loop spin.
pub struct Watched<S: AsRawFd + AsFd> {
    source: S,
    poller: Arc<Poller>,
    key: usize,
    wanted: Option<(bool, bool)>,
}

impl<S: AsRawFd + AsFd> Watched<S> {
    #[allow(unsafe_code)]
    pub fn new(source: S, poller: &Arc<Poller>, key: usize) -> io::Result<Self> {
        // SAFETY: `source` is owned by the value built here, whose `drop` deletes it from the
        // poller before the field is dropped, and nothing moves it out.
        unsafe { poller.add(&source, Event::none(key))? };
        Ok(Watched { source, poller: Arc::clone(poller), key, wanted: None })
    }

    pub fn source(&self) -> &S {
        &self.source
    }

    /// The socket's event was delivered: it is registered for nothing now.
    pub fn fired(&mut self) -> Option<(bool, bool)> {
        self.wanted.take()
    }

    /// Asks for the next event. A hang-up is reported even to those who want nothing.
    pub fn want(&mut self, read: bool, write: bool) {
        if self.wanted == Some((read, write)) {
            return;
        }
        let event = Event::new(self.key, read, write);
        match self.poller.modify(&self.source, event) {
            Ok(()) => self.wanted = Some((read, write)),
            // Its deadline still ends it.
            Err(error) => log::warn!("a socket cannot be watched: {error}"),
        }
    }
}

impl<S: AsRawFd + AsFd> Drop for Watched<S> {
    fn drop(&mut self) {
        if let Err(error) = self.poller.delete(&self.source) {
            log::warn!("a socket cannot be unwatched: {error}");
        }
    }
}

/// A buffer that once held more gives its memory back when it is empty.
const KEPT_BYTES: usize = 64 * 1024;

/// Bytes on their way into a socket.
#[derive(Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    sent: usize,
}

/// What sending came to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    Nothing,
    Some,
    Broken,
}

impl Buffer {
    pub fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    /// What is still to be sent.
    pub fn rest(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.sent = 0;
    }

    pub fn push(&mut self, bytes: &[u8]) {
        // A buffer that is never quite empty must not keep all that went through it.
        self.bytes.drain(..std::mem::take(&mut self.sent));
        self.bytes.extend_from_slice(bytes);
    }

    pub fn send_to(&mut self, stream: &Stream) -> Sent {
        let mut sent = Sent::Nothing;
        while !self.is_empty() {
            match stream.send(self.rest()) {
                Ok(0) => return Sent::Broken,
                Ok(count) => {
                    self.sent += count;
                    sent = Sent::Some;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return sent,
                Err(_) => return Sent::Broken,
            }
        }
        self.clear();
        sent
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        Buffer { bytes, sent: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_is_never_empty_does_not_grow() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let ours = Stream::Unix(ours);
        ours.prepare().unwrap();
        let mut buffer = Buffer::default();
        let mut piece = vec![1; 100_000];
        // Fills the socket.
        while buffer.is_empty() {
            buffer.push(&piece);
            buffer.send_to(&ours);
        }
        for _ in 0..100 {
            theirs.read_exact(&mut piece).unwrap();
            buffer.push(&piece);
            buffer.send_to(&ours);
            assert!(!buffer.is_empty());
        }
        assert!(buffer.bytes.len() < 1_000_000, "{} bytes", buffer.bytes.len());
    }
}
