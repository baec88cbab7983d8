//! One request with tiny_http: its body on the way up, its answer on the way down.

use std::time::{Duration, Instant};

use super::answer::Answer;
use super::collecting::Collected;
use super::places::Place;
use super::upload::Upload;
use super::wire::{Buffer, Received, Sent, Stream, Watched};

/// Reads and writes in one turn, so that one fast pair of peers does not hold up the others.
const ROUNDS: usize = 16;
/// What an exchange may cost.
#[derive(Clone, Copy)]
pub struct Bounds {
    /// The least that a client must send or read in each `within` while the daemon waits for it.
    pub pace: usize,
    pub within: Duration,
    /// Of an answer that the client has not read: so much is taken from tiny_http.
    pub answer_ahead: usize,
}

pub struct Exchange {
    client: Watched<Stream>,
    upstream: Watched<Stream>,
    pub place: Place,
    upload: Upload,
    up: Buffer,
    up_finished: bool,
    down: Buffer,
    answer: Answer,
    answer_ended: bool,
    client_gone: bool,
    bounds: Bounds,
    /// When the daemon began to wait for the client, or when the client last completed `pace` bytes.
    since: Instant,
    /// Bytes that the client sent and read since then.
    moved: usize,
}

/// What became of an exchange.
pub enum Turn {
    Going,
    /// tiny_http is done, and this is left for the client.
    Answered(Buffer),
    /// tiny_http hung up without a word.
    Unanswered,
    Gone,
}

impl Exchange {
    pub fn new(request: Collected, upstream: Watched<Stream>, place: Place, bounds: Bounds, now: Instant) -> Self {
        let Collected { client, mut upload, .. } = request;
        let mut up = Buffer::default();
        upload.write_to(&mut up);
        Exchange {
            client,
            upstream,
            place,
            answer: Answer::new(upload.is_old()),
            upload,
            up,
            up_finished: false,
            down: Buffer::default(),
            answer_ended: false,
            client_gone: false,
            bounds,
            since: now,
            moved: 0,
        }
    }

    pub fn into_client(self) -> Watched<Stream> {
        self.client
    }

    /// A hang-up of both directions, or a reset, is reported as both readable and writable, and to
    /// those who want nothing as well. A client of which nothing is wanted can only be noticed to
    /// have left in this way; in the other cases reading or writing shows it. (An event may be
    /// older than what is wanted now, so that alone proves nothing.)
    pub fn client_fired(&mut self, readable: bool, writable: bool) {
        let wanted = self.client.fired();
        if readable && writable && wanted == Some((false, false)) {
            self.lose_client();
        }
    }

    pub fn upstream_fired(&mut self) {
        self.upstream.fired();
    }

    /// Moves what can be moved, and asks for the events that will let it go on.
    pub fn advance(&mut self, scratch: &mut [u8], now: Instant) -> Turn {
        if !self.is_clients_turn() {
            (self.since, self.moved) = (now, 0);
        }
        for _ in 0..ROUNDS {
            let moved = self.send_up() | self.receive_body(scratch) | self.receive_answer(scratch) | self.send_down();
            if self.client_gone && (self.answer_ended || self.answer.has_begun()) {
                return Turn::Gone;
            }
            if self.answer_ended {
                return match self.answer.has_begun() {
                    true => Turn::Answered(std::mem::take(&mut self.down)),
                    false => Turn::Unanswered,
                };
            }
            if !moved {
                break;
            }
        }
        if self.moved >= self.bounds.pace {
            (self.since, self.moved) = (now, 0);
        }
        self.watch();
        Turn::Going
    }

    fn is_clients_turn(&self) -> bool {
        self.wants_body() || self.wants_down()
    }

    /// When the client is too slow; none while it is tiny_http's turn.
    pub fn deadline(&self) -> Option<Instant> {
        self.is_clients_turn().then(|| self.since + self.bounds.within)
    }

    /// The client is too slow.
    pub fn expire(&mut self) {
        if self.wants_down() {
            self.lose_client();
        } else {
            self.upload.cut(); // The handler may still answer.
        }
    }

    /// Whether the upstream side can be closed without harm: a body cut off within a chunk would
    /// look complete to tiny_http.
    pub fn can_be_cut(&mut self) -> bool {
        self.send_up();
        self.up.is_empty()
    }

    fn wants_body(&self) -> bool {
        self.upload.is_open() && self.up.is_empty()
    }

    fn wants_down(&self) -> bool {
        !self.down.is_empty()
    }

    fn wants_answer(&self) -> bool {
        !self.answer_ended && self.down.rest().len() < self.bounds.answer_ahead
    }

    fn watch(&mut self) {
        let (read, write) = (self.wants_body(), self.wants_down());
        if !self.client_gone {
            self.client.want(read, write);
        }
        let (read, write) = (self.wants_answer(), !self.up.is_empty());
        if read || write {
            self.upstream.want(read, write);
        }
    }

    /// An answer that has begun ends with this. Before, tiny_http still holds the request, and so
    /// its place among those that are bounded is still taken; and what is under way to it gets
    /// there, so that the body ends between two chunks.
    fn lose_client(&mut self) {
        self.client_gone = true;
        self.upload.cut();
        self.down.clear();
    }

    fn send_up(&mut self) -> bool {
        let sent = self.up.send_to(self.upstream.source());
        if sent == Sent::Broken {
            // tiny_http reads no more: it has answered, or is about to hang up.
            self.up.clear();
            self.upload.cut();
        }
        if self.up.is_empty() && !self.upload.is_open() && !self.up_finished {
            self.up_finished = true;
            self.upstream.source().finish();
        }
        sent == Sent::Some
    }

    fn receive_body(&mut self, scratch: &mut [u8]) -> bool {
        if !self.wants_body() {
            return false;
        }
        match self.client.source().receive(scratch) {
            Received::Bytes(count) => {
                self.moved += count;
                self.upload.take(scratch.get(..count).unwrap_or_default());
                self.upload.write_to(&mut self.up);
                true
            }
            Received::Later => false,
            Received::End => {
                self.upload.cut();
                true
            }
            Received::Broken => {
                self.lose_client();
                true
            }
        }
    }

    fn receive_answer(&mut self, scratch: &mut [u8]) -> bool {
        if !self.wants_answer() {
            return false;
        }
        match self.upstream.source().receive(scratch) {
            Received::Bytes(count) => {
                // The handler is done with the body; what it did not read would only fill the
                // socket. With nobody to read the answer it is to fail.
                self.upload.cut();
                self.up.clear();
                let input = scratch.get(..count).unwrap_or_default();
                self.answer_ended = self.client_gone || self.answer.take(input, &mut self.down).is_err();
                true
            }
            Received::Later => false,
            Received::End | Received::Broken => {
                self.answer_ended = true;
                true
            }
        }
    }

    fn send_down(&mut self) -> bool {
        let before = self.down.rest().len();
        let sent = self.down.send_to(self.client.source());
        self.moved += before - self.down.rest().len();
        if sent == Sent::Broken {
            self.lose_client();
        }
        sent == Sent::Some
    }
}
