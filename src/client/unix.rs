//! HTTP over a Unix socket: the connection that ureq, which knows TCP only, is handed for `--url unix:PATH`.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, ShutdownHandle, Transport,
};

/// Opens the socket whatever the URI says: it has no place for a path.
#[derive(Debug)]
pub struct UnixConnector {
    pub path: PathBuf,
}

impl Connector for UnixConnector {
    type Out = UnixTransport;

    fn connect(&self, details: &ConnectionDetails, _: Option<()>) -> Result<Option<UnixTransport>, Error> {
        let stream = Arc::new(Socket(UnixStream::connect(&self.path)?));
        let handle = Arc::downgrade(&stream);
        (details.register_shutdown)(handle)?;
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(UnixTransport { stream, buffers }))
    }
}

#[derive(Debug)]
struct Socket(UnixStream);

impl ShutdownHandle for Socket {
    fn shutdown(&self) {
        // It fails only when the socket is closed already, which is what is wanted.
        let _ = self.0.shutdown(std::net::Shutdown::Both);
    }
}

#[derive(Debug)]
pub struct UnixTransport {
    stream: Arc<Socket>,
    buffers: LazyBuffers,
}

impl Transport for UnixTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.0.set_write_timeout(limit(&timeout))?;
        let written = (&self.stream.0).write_all(&self.buffers.output()[..amount]);
        written.map_err(|e| classify(e, &timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.0.set_read_timeout(limit(&timeout))?;
        let read = loop {
            match (&self.stream.0).read(self.buffers.input_append_buf()) {
                // A resized terminal must not end a download.
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        let amount = read.map_err(|e| classify(e, &timeout))?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        // The daemon closes after each answer, so a used connection is never worth keeping.
        false
    }
}

/// The socket's own limit; a zero one is not allowed there, none means forever.
fn limit(timeout: &NextTimeout) -> Option<Duration> {
    timeout.not_zero().map(|after| *after)
}

fn classify(error: io::Error, timeout: &NextTimeout) -> Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Error::Timeout(timeout.reason),
        _ => Error::Io(error),
    }
}
