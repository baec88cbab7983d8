//! A connection's last moments: the rest of its answer goes out, then the gate listens a little
//! longer. Closing while the client still sends would reset the connection, and a reset can
//! overtake the answer.

use std::time::{Duration, Instant};

use super::wire::{Buffer, Received, Sent, Stream, Watched};

/// For the client to see the answer and hang up.
const LINGER: Duration = Duration::from_secs(2);
/// Read and thrown away at most, in all and in one turn.
const DISCARD_BYTES: usize = 64 * 1024 * 1024;
const TURN_READS: usize = 16;

pub struct Leaving {
    client: Watched<Stream>,
    rest: Buffer,
    discarded: usize,
    deadline: Instant,
    idle: Duration,
    told: bool,
}

impl Leaving {
    pub fn new(client: Watched<Stream>, rest: Buffer, idle: Duration, now: Instant) -> Self {
        Leaving { client, rest, discarded: 0, deadline: now + idle, idle, told: false }
    }

    pub fn fired(&mut self) {
        self.client.fired();
    }

    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether the whole answer is on its way.
    pub fn is_told(&self) -> bool {
        self.told
    }

    /// False once the connection can be dropped.
    pub fn advance(&mut self, scratch: &mut [u8], now: Instant) -> bool {
        match self.rest.send_to(self.client.source()) {
            Sent::Broken => return false,
            Sent::Some => self.deadline = now + self.idle,
            Sent::Nothing => {}
        }
        if !self.rest.is_empty() {
            self.client.want(false, true);
            return true;
        }
        if !self.told {
            self.told = true;
            self.rest = Buffer::default(); // Many may linger.
            self.client.source().finish();
            self.deadline = now + LINGER.min(self.idle);
        }
        for _ in 0..TURN_READS {
            match self.client.source().receive(scratch) {
                Received::Bytes(count) => self.discarded += count,
                Received::Later => break,
                Received::End | Received::Broken => return false,
            }
        }
        self.client.want(true, false);
        self.discarded < DISCARD_BYTES
    }
}
