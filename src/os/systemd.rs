//! What systemd lends its services: an ear, a watchdog, sockets that outlive a restart, and a journal.

use std::io;
use std::net::TcpListener;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, sockopt};
use sd_notify::NotifyState;

/// Tells systemd that requests are served. Like its neighbours it does nothing without `NOTIFY_SOCKET`.
pub fn ready() {
    tell(NotifyState::Ready);
}

pub fn stopping() {
    tell(NotifyState::Stopping);
}

/// The line that `systemctl status` shows.
pub fn status(line: &str) {
    tell(NotifyState::Status(line));
}

/// That nothing hangs; see [`watchdog`].
pub fn alive() {
    tell(NotifyState::Watchdog);
}

/// How long systemd waits for [`alive`] before it ends the process; None where it does not watch.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero())
}

/// A lost message must never stop the daemon; systemd's own timeouts tell of it.
fn tell(state: NotifyState<'_>) {
    if let Err(e) = sd_notify::notify(&[state]) {
        log::warn!("cannot notify systemd: {e}");
    }
}

/// A socket that systemd listens on, and still does while the daemon is started anew.
#[derive(Debug)]
pub enum Passed {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// The sockets of the units that start this service. Call it once: each has one owner.
pub fn passed_sockets() -> io::Result<Vec<Passed>> {
    sd_notify::listen_fds()?.map(|number| listener(own(number))).collect()
}

/// `LISTEN_PID` is ours, so these numbers were opened for us; they are marked to be closed on exec by now, which fails
/// for one that is not open.
#[allow(unsafe_code)]
fn own(number: i32) -> OwnedFd {
    // SAFETY: it is open, and nothing else in this process owns it, since `passed_sockets` is called once.
    unsafe { OwnedFd::from_raw_fd(number) }
}

fn listener(socket: OwnedFd) -> io::Result<Passed> {
    let unfit = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("systemd passed {why}"));
    if sockopt::socket_type(&socket)? != SocketType::STREAM || !sockopt::socket_acceptconn(&socket)? {
        return Err(unfit("a socket that accepts no connections: use ListenStream= and Accept=no"));
    }
    match sockopt::socket_domain(&socket)? {
        AddressFamily::INET | AddressFamily::INET6 => Ok(Passed::Tcp(socket.into())),
        AddressFamily::UNIX => Ok(Passed::Unix(socket.into())),
        _ => Err(unfit("a socket that is neither TCP nor Unix")),
    }
}

/// Whether stderr is the journal: only then does a line begin with its priority. `JOURNAL_STREAM` alone does not say it,
/// for whoever starts the daemon by hand from a unit's shell inherits it.
pub fn stderr_is_journal() -> bool {
    let Ok(named) = std::env::var("JOURNAL_STREAM") else { return false };
    rustix::fs::fstat(std::io::stderr()).is_ok_and(|file| named == format!("{}:{}", file.st_dev, file.st_ino))
}
