//! Fits tiny_http's answer to the client: the connection closes after it, and who speaks HTTP/1.0
//! cannot read chunks.

use super::body::Body;
use super::wire::Buffer;

/// The handlers' own heads are far smaller.
const HEAD_BYTES: usize = 64 * 1024;

/// An answer that is not HTTP.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

pub struct Answer {
    /// Whether the client speaks HTTP/1.0.
    old: bool,
    state: State,
}

enum State {
    /// So much of the head.
    Head(Vec<u8>),
    /// To be passed on as it is.
    Plain,
    /// To be taken out of its chunks.
    Chunked(Body),
}

impl Answer {
    pub fn new(old: bool) -> Self {
        let state = State::Head(Vec::new());
        Answer { old, state }
    }

    /// Whether there is anything for the client.
    pub fn has_begun(&self) -> bool {
        !matches!(self.state, State::Head(_))
    }

    /// Appends to `down` what `input` is to the client.
    pub fn take(&mut self, input: &[u8], down: &mut Buffer) -> Result<(), Malformed> {
        match &mut self.state {
            State::Plain => down.push(input),
            State::Chunked(body) => {
                let mut content = Vec::with_capacity(input.len());
                body.take(input, &mut content).map_err(|_| Malformed)?;
                down.push(&content);
            }
            State::Head(head) => {
                let seen = head.len().saturating_sub(3);
                head.extend_from_slice(input);
                let found = head.get(seen..).unwrap_or_default().windows(4).position(|four| four == b"\r\n\r\n");
                match found {
                    Some(at) => {
                        let mut head = std::mem::take(head);
                        let rest = head.split_off(seen + at + 4);
                        self.begin(&head, down);
                        return self.take(&rest, down);
                    }
                    None if head.len() > HEAD_BYTES => return Err(Malformed),
                    None => {}
                }
            }
        }
        Ok(())
    }

    /// tiny_http strips `Connection` from every answer, so a client with a pool would try its next
    /// request on a connection that is about to close. For HTTP/1.0 tiny_http would collect an
    /// answer of unknown length in memory; asked in HTTP/1.1 it sends chunks, which are undone here.
    fn begin(&mut self, head: &[u8], down: &mut Buffer) {
        self.state = State::Plain;
        for line in head.split_inclusive(|&byte| byte == b'\n').filter(|&line| line != b"\r\n") {
            let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
            if self.old && name.eq_ignore_ascii_case(b"transfer-encoding") {
                self.state = State::Chunked(Body::chunked());
            } else if !name.eq_ignore_ascii_case(b"connection") {
                down.push(line);
            }
        }
        down.push(b"Connection: close\r\n\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKED: &[u8] =
        b"HTTP/1.1 200 OK\r\nA: b\r\nconnection: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";

    #[test]
    fn heads_are_fitted_at_any_cut() {
        let new =
            "HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        let old = "HTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\n\r\nabc";
        for (is_old, expected) in [(false, new), (true, old)] {
            for step in 1..=CHUNKED.len() {
                let (mut answer, mut down) = (Answer::new(is_old), Buffer::default());
                for part in CHUNKED.chunks(step) {
                    answer.take(part, &mut down).unwrap();
                }
                assert!(answer.has_begun());
                assert_eq!(std::str::from_utf8(down.rest()), Ok(expected), "step {step}");
            }
        }
    }

    #[test]
    fn endless_heads_are_given_up() {
        let mut answer = Answer::new(false);
        let mut down = Buffer::default();
        assert_eq!(answer.take(&[b'x'; HEAD_BYTES + 1], &mut down), Err(Malformed));
        assert!(!answer.has_begun() && down.is_empty());
    }
}
