//! One request with tiny_http: its body on the way up, its answer on the way down.

use std::time::{Duration, Instant};

use super::answer::Answer;
use super::body::Body;
use super::head::Head;
use super::wire::{Buffer, Received, Sent, Stream, Watched};

/// Reads and writes in one turn, so that one fast pair of peers does not hold up the others.
const ROUNDS: usize = 16;

pub struct Exchange {
    client: Watched<Stream>,
    upstream: Watched<Stream>,
    body: Body,
    /// Whether more of the body is awaited from the client.
    body_open: bool,
    up: Buffer,
    up_finished: bool,
    down: Buffer,
    answer: Answer,
    answer_ended: bool,
    client_gone: bool,
    /// When the last byte came or went.
    last: Instant,
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
    /// `early` is what came of the body together with the head.
    pub fn new(client: Watched<Stream>, upstream: Watched<Stream>, head: Head, early: &[u8], now: Instant) -> Self {
        let mut exchange = Exchange {
            client,
            upstream,
            body_open: !head.body.is_complete(),
            body: head.body,
            up: Buffer::from(head.bytes),
            up_finished: false,
            down: Buffer::default(),
            answer: Answer::new(head.old),
            answer_ended: false,
            client_gone: false,
            last: now,
        };
        exchange.take_body(early);
        if head.expects && early.is_empty() {
            // At once rather than when the handler begins to read: a refusal still arrives, and
            // ends the upload.
            let mut interim = Buffer::from(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec());
            interim.send_to(exchange.client.source());
            if !interim.is_empty() {
                exchange.lose_client(); // A fresh socket takes these few bytes, or is broken.
            }
        }
        exchange
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
            self.last = now;
        }
        self.watch();
        Turn::Going
    }

    /// When the client will have been waited for too long; none while it is tiny_http's turn.
    pub fn deadline(&self, idle: Duration) -> Option<Instant> {
        let clients_turn = self.wants_body() || self.wants_down();
        clients_turn.then(|| self.last + idle)
    }

    /// The client has been waited for too long.
    pub fn expire(&mut self) {
        if self.wants_down() {
            self.lose_client();
        } else {
            self.body_open = false; // Incomplete; the handler may still answer.
        }
    }

    /// Whether the upstream side can be closed without harm: a body cut off within a chunk would
    /// look complete to tiny_http.
    pub fn can_be_cut(&mut self) -> bool {
        self.send_up();
        self.up.is_empty()
    }

    fn wants_body(&self) -> bool {
        self.body_open && self.up.is_empty()
    }

    fn wants_down(&self) -> bool {
        !self.down.is_empty()
    }

    fn wants_answer(&self) -> bool {
        !self.answer_ended && !self.wants_down()
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
        self.body_open = false;
        self.down.clear();
    }

    fn send_up(&mut self) -> bool {
        let sent = self.up.send_to(self.upstream.source());
        if sent == Sent::Broken {
            // tiny_http reads no more: it has answered, or is about to hang up.
            self.up.clear();
            self.body_open = false;
        }
        if self.up.is_empty() && !self.body_open && !self.up_finished {
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
                self.take_body(scratch.get(..count).unwrap_or_default());
                true
            }
            Received::Later => false,
            Received::End => {
                self.body_open = false;
                true
            }
            Received::Broken => {
                self.lose_client();
                true
            }
        }
    }

    fn take_body(&mut self, input: &[u8]) {
        if !self.body_open {
            return;
        }
        let mut content = Vec::with_capacity(input.len());
        let taken = self.body.take(input, &mut content);
        // Always with all its data: to tiny_http, a connection that ends within a chunk is a
        // complete body.
        if !content.is_empty() {
            self.up.push(format!("{:x}\r\n", content.len()).as_bytes());
            self.up.push(&content);
            self.up.push(b"\r\n");
        }
        if self.body.is_complete() {
            self.up.push(b"0\r\n\r\n");
        }
        // Without a last chunk a malformed body is a truncated one to the handler.
        self.body_open = taken.is_ok() && !self.body.is_complete();
    }

    fn receive_answer(&mut self, scratch: &mut [u8]) -> bool {
        if !self.wants_answer() {
            return false;
        }
        match self.upstream.source().receive(scratch) {
            Received::Bytes(count) => {
                // The handler is done with the body; what it did not read would only fill the
                // socket. With nobody to read the answer it is to fail.
                self.body_open = false;
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
        let sent = self.down.send_to(self.client.source());
        if sent == Sent::Broken {
            self.lose_client();
        }
        sent == Sent::Some
    }
}
