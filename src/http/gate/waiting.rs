//! A connection that has not sent a whole head.

use std::time::Instant;

use super::head::{self, Via};
use super::refusal::Refusal;
use super::wire::{Received, Stream, Watched};

pub struct Waiting {
    client: Watched<Stream>,
    via: Via,
    head: Vec<u8>,
    since: Instant,
}

/// What listening to it came to.
pub enum Heard {
    /// Not enough yet.
    Part,
    /// A whole head of that many bytes, and what else came with it.
    Head(usize),
    Unfit(Refusal),
    Gone,
}

impl Waiting {
    pub fn new(client: Watched<Stream>, via: Via, now: Instant) -> Self {
        Waiting { client, via, head: Vec::new(), since: now }
    }

    pub fn since(&self) -> Instant {
        self.since
    }

    pub fn fired(&mut self) {
        self.client.fired();
    }

    /// Whether it sent anything at all.
    pub fn has_spoken(&self) -> bool {
        !self.head.is_empty()
    }

    /// The client, its listener, and what it sent.
    pub fn into_parts(self) -> (Watched<Stream>, Via, Vec<u8>) {
        (self.client, self.via, self.head)
    }

    /// Reads what has come, but never more than a head may have.
    pub fn hear(&mut self, scratch: &mut [u8], head_bytes: usize) -> Heard {
        let seen = self.head.len();
        let room = head_bytes.saturating_sub(seen).min(scratch.len());
        let part = scratch.get_mut(..room).unwrap_or_default();
        match self.client.source().receive(part) {
            Received::Bytes(count) => {
                let part = part.get(..count).unwrap_or_default();
                self.head.extend_from_slice(part);
            }
            Received::Later => {}
            Received::End | Received::Broken => return Heard::Gone,
        }
        match head::end(&self.head, seen) {
            Ok(Some(end)) => Heard::Head(end),
            Ok(None) if self.head.len() >= head_bytes => Heard::Unfit(Refusal::HeadTooLarge),
            Ok(None) => {
                self.client.want(true, false);
                Heard::Part
            }
            Err(why) => Heard::Unfit(Refusal::Malformed(why)),
        }
    }
}
