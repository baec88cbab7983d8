//! Ctrl-C in the middle of something: what is undone and said then, before the process ends as that signal ends it.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indicatif::ProgressBar;

use super::Session;
use super::problem::Error;

/// What is done at a Ctrl-C; it is given the way to end the process.
pub type BreakOff = Box<dyn FnOnce(fn(Error) -> !) + Send>;

/// Has this done at the first Ctrl-C, on a thread of its own; a second one ends the process.
pub type OnInterrupt = fn(BreakOff) -> io::Result<()>;

/// How far something has come, for the one that is asked when Ctrl-C breaks it off.
pub struct Course<T>(Arc<Mutex<Option<T>>>);

impl<T: Send + 'static> Course<T> {
    /// From now on the first Ctrl-C ends the process, whatever this thread waits for. `broken_off` does what must be
    /// done first, and makes the words.
    pub fn begin(
        session: &Session,
        so_far: T,
        broken_off: impl FnOnce(T) -> String + Send + 'static,
    ) -> Result<Course<T>, Error> {
        let course = Arc::new(Mutex::new(Some(so_far)));
        if let Some(on_interrupt) = session.on_interrupt {
            let seen = Arc::clone(&course);
            let act = Box::new(move |end: fn(Error) -> !| {
                // Held to the end of the process: nothing comes further, and nothing else is said.
                let mut course = locked(&seen);
                if let Some(so_far) = course.take() {
                    end(Error::Interrupted(broken_off(so_far)));
                }
            });
            on_interrupt(act).map_err(|e| Error::Failed(format!("cannot listen for Ctrl-C: {e}")))?;
        }
        Ok(Course(course))
    }

    /// Goes one step further; a Ctrl-C meanwhile waits for its end.
    pub fn step<R>(&self, step: impl FnOnce(&mut T) -> R) -> Option<R> {
        locked(&self.0).as_mut().map(step)
    }

    /// From here on there is nothing to break off: what is left is done in no time.
    pub fn end(self) -> Option<T> {
        locked(&self.0).take()
    }
}

fn locked<T>(course: &Mutex<T>) -> MutexGuard<'_, T> {
    course.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file on its way.
pub struct Writing {
    pub bar: ProgressBar,
    /// What there is of it beside its place.
    pub part: Option<PathBuf>,
    /// What became of it, for who broke it off.
    pub broken_off: String,
}

impl Writing {
    pub fn begin(self, session: &Session) -> Result<Course<Writing>, Error> {
        Course::begin(session, self, |writing| {
            writing.bar.finish_and_clear();
            if let Some(part) = writing.part {
                // Best effort: whoever breaks it off does not wait for more.
                let _ = fs::remove_file(part);
            }
            format!("interrupted; {}", writing.broken_off)
        })
    }
}
