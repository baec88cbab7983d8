//! A request whose body is collected before the request takes a place with tiny_http. A slow body then costs a
//! connection and the bytes that came, never a handler.

use std::time::{Duration, Instant};

use super::places::{Admission, Load};
use super::upload::Upload;
use super::wire::{Buffer, Received, Stream, Watched};

/// Reads in one turn, so that one fast client does not hold up the others.
const ROUNDS: usize = 16;

pub struct Collecting {
    client: Watched<Stream>,
    upload: Upload,
    pub admission: Admission,
    since: Instant,
}

/// A request that needs a place.
pub struct Collected {
    pub client: Watched<Stream>,
    pub upload: Upload,
    pub admission: Admission,
}

/// The state of a body after reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Part,
    /// Nothing more is to come, or there is more than may be collected.
    Done,
}

impl Collecting {
    /// `expects`: the client waits for a `100 Continue`.
    pub fn new(client: Watched<Stream>, upload: Upload, admission: Admission, expects: bool, now: Instant) -> Self {
        if expects && upload.held() == 0 {
            // A fresh socket takes these few bytes. One that does not is broken, which the next read shows.
            Buffer::from(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()).send_to(client.source());
        }
        Collecting { client, upload, admission, since: now }
    }

    pub fn fired(&mut self) {
        self.client.fired();
    }

    /// When the whole body must be there: `time` after the head. A body that cannot go on beside a handler has a second
    /// more for each `rate` bytes that came.
    pub fn deadline(&self, time: Duration, rate: usize) -> Instant {
        let more = match self.admission.load {
            Load::LongBody => 0,
            _ => self.upload.held() / rate.max(1),
        };
        self.since + time + Duration::from_secs(more as u64)
    }

    /// Reads what has come, up to a little more than `most` bytes of content.
    pub fn advance(&mut self, scratch: &mut [u8], most: usize) -> Progress {
        for _ in 0..ROUNDS {
            if self.is_done(most) {
                break;
            }
            match self.client.source().receive(scratch) {
                Received::Bytes(count) => self.upload.take(scratch.get(..count).unwrap_or_default()),
                Received::Later => break,
                // The handler stores what came of an import, and refuses any other body that is cut short.
                Received::End | Received::Broken => self.upload.cut(),
            }
        }
        if self.is_done(most) {
            return Progress::Done;
        }
        self.client.want(true, false);
        Progress::Part
    }

    fn is_done(&self, most: usize) -> bool {
        !self.upload.is_open() || self.upload.held() > most
    }

    pub fn into_request(mut self) -> Collected {
        // A later event wakes nobody, so the next reader has to ask again.
        self.client.fired();
        Collected { client: self.client, upload: self.upload, admission: self.admission }
    }
}
