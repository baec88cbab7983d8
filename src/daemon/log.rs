//! The log: on stderr, and under systemd as the journal wants it.

use std::io::{self, Write};

use log::Level;

use crate::os::systemd;
use crate::when;

/// Logs to stderr; on the journal with priorities, and without the times that the journal has of its own.
pub fn start(filter: &str) {
    let mut builder = env_logger::Builder::new();
    builder.parse_filters(filter);
    let journal = systemd::stderr_is_journal();
    builder.format(move |out, record| {
        if journal {
            write_to_journal(out, record.level(), &record.args().to_string())
        } else {
            writeln!(out, "{} {:5} {}", when::rfc3339(when::now()), record.level(), record.args())
        }
    });
    // A second daemon in one process (the tests) keeps the first one's log.
    let _ = builder.try_init();
}

/// To the journal every line is an entry of its own, so each has its priority.
fn write_to_journal(out: &mut impl Write, level: Level, message: &str) -> io::Result<()> {
    let priority = match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    };
    message.lines().try_for_each(|line| writeln!(out, "<{priority}>{line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_on_the_journal_has_its_priority() {
        let mut out = Vec::new();
        write_to_journal(&mut out, Level::Error, "panic at a.rs:1\n   0: main\n").unwrap();
        write_to_journal(&mut out, Level::Warn, "job 7: held").unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "<3>panic at a.rs:1\n<3>   0: main\n<4>job 7: held\n");
    }
}
