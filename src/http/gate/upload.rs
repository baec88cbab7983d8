//! The part of a request that still has to reach tiny_http: a head, and a body that is relayed in chunks.

use super::body::Body;
use super::head::{Head, Via};
use super::wire::Buffer;

pub struct Upload {
    head: Vec<u8>,
    body: Body,
    /// Whether more of the body is awaited from the client.
    is_open: bool,
    /// Content of the body that is not in chunks yet.
    content: Vec<u8>,
    /// Whether the last chunk has still to be written.
    owes_end: bool,
    via: Via,
    /// Whether the client speaks HTTP/1.0.
    is_old: bool,
}

impl Upload {
    pub fn new(head: Head) -> Upload {
        let has_body = !head.body.is_complete();
        Upload {
            head: head.bytes,
            body: head.body,
            is_open: has_body,
            content: Vec::new(),
            owes_end: has_body,
            via: head.via,
            is_old: head.old,
        }
    }

    pub fn via(&self) -> Via {
        self.via
    }

    pub fn is_old(&self) -> bool {
        self.is_old
    }

    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Bytes of content that are not written to a buffer yet.
    pub fn held(&self) -> usize {
        self.content.len()
    }

    /// No more of the body is awaited. To the handler it is cut short unless it is complete.
    pub fn cut(&mut self) {
        self.is_open = false;
    }

    /// Follows the body through `input`, which came from the client.
    pub fn take(&mut self, input: &[u8]) {
        if self.is_open {
            let taken = self.body.take(input, &mut self.content);
            // Without a last chunk a malformed body is a truncated one to the handler.
            self.is_open = taken.is_ok() && !self.body.is_complete();
        }
    }

    /// Writes what there is. A chunk always has all its data: to tiny_http, a connection that ends within a chunk is a
    /// complete body.
    pub fn write_to(&mut self, up: &mut Buffer) {
        up.push(&std::mem::take(&mut self.head));
        if !self.content.is_empty() {
            up.push(format!("{:x}\r\n", self.content.len()).as_bytes());
            up.push(&std::mem::take(&mut self.content));
            up.push(b"\r\n");
        }
        if self.owes_end && self.body.is_complete() {
            up.push(b"0\r\n\r\n");
            self.owes_end = false;
        }
    }
}
