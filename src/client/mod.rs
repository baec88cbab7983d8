//! The command line's side of the HTTP API: finds the daemon, asks it, shows the answer.
//!
//! - `find`, `dial` (with `unix`) and `call` reach the daemon; no other file knows of HTTP beyond methods and paths.
//! - `problem` is what can go wrong, with its exit code and its words; `interrupt` is Ctrl-C in the middle of it.
//! - `view` and `render` make the daemon's JSON readable; `ask` asks back, `hints` says what can be done next.
//! - The rest are the commands, by noun. Each is one function of a [`Session`].

mod ask;
pub mod backup;
mod batch;
mod call;
pub mod catalogue;
mod dial;
pub mod download;
mod find;
mod hints;
pub mod import;
mod interrupt;
pub mod items;
pub mod jobs;
mod problem;
pub mod publish;
mod render;
pub mod status;
mod unix;
mod view;
pub mod watch;

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub use call::Daemon;
pub use find::Place;
pub use interrupt::{BreakOff, OnInterrupt};
pub use problem::Error;
pub use render::{Color, Out, write_error};

/// Makes Ctrl-C raise a flag instead of ending the process; a second one ends it.
pub type CatchInterrupt = fn() -> io::Result<Arc<AtomicBool>>;

/// What the global flags say.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub place: Place,
    pub json: bool,
    pub color: Color,
    pub quiet: bool,
    /// For who watches a job, so that the end of watching can be told from the end of the job.
    pub catch_interrupt: Option<CatchInterrupt>,
    /// For who has something to put away before Ctrl-C may end it.
    pub on_interrupt: Option<OnInterrupt>,
}

/// A daemon that was found, and the way in which the user wants its answers.
#[derive(Debug)]
pub struct Session {
    pub daemon: Daemon,
    place: Place,
    pub out: Out,
    catch_interrupt: Option<CatchInterrupt>,
    on_interrupt: Option<OnInterrupt>,
}

impl Session {
    pub fn open(options: Options) -> Result<Session, Error> {
        let daemon = Daemon::find(&options.place)?;
        let out = Out::new(options.json, options.quiet, options.color);
        let Options { place, catch_interrupt, on_interrupt, .. } = options;
        Ok(Session { daemon, place, out, catch_interrupt, on_interrupt })
    }

    /// A flag that Ctrl-C raises from now on.
    fn interrupted(&self) -> Result<Arc<AtomicBool>, Error> {
        match self.catch_interrupt {
            Some(catch) => catch().map_err(|e| Error::Failed(format!("cannot listen for Ctrl-C: {e}"))),
            None => Ok(Arc::default()),
        }
    }

    /// The daemon as it is to be found now: one that was restarted may listen on another port.
    fn find_again(&self) -> Option<Daemon> {
        Daemon::find(&self.place).ok()
    }
}
