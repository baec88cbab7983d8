//! The headers that say where a request ends. Two readers that disagree on that are how requests are
//! smuggled, so whatever could be read in two ways is refused.

use super::body::Body;
use super::head::Malformed;

/// The headers that say where the body ends.
#[derive(Default)]
pub struct Framing {
    length: Option<u64>,
    chunked: bool,
    expects: bool,
}

impl Framing {
    /// True if the header was one of them.
    pub fn read(&mut self, name: &[u8], value: &[u8]) -> Result<bool, Malformed> {
        if name.eq_ignore_ascii_case(b"content-length") {
            if self.length.is_some() {
                return Err("there is more than one Content-Length");
            }
            let digits = value.iter().all(u8::is_ascii_digit);
            let length = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
            // `parse` alone would take a plus sign.
            self.length = Some(length.filter(|_| digits).ok_or("Content-Length is malformed")?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err("Transfer-Encoding can only be chunked");
            }
            self.chunked = true;
        } else if name.eq_ignore_ascii_case(b"expect") {
            self.expects |= value.eq_ignore_ascii_case(b"100-continue");
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// What follows the head, and whether the client waits to be told to send it.
    pub fn body(self, old: bool) -> Result<(Body, bool), Malformed> {
        let body = match (self.length, self.chunked) {
            (Some(_), true) => {
                return Err("Content-Length and Transfer-Encoding exclude each other");
            }
            (None, true) if old => return Err("HTTP/1.0 has no Transfer-Encoding"),
            (None, true) => Body::chunked(),
            (Some(0) | None, false) => Body::Complete,
            (Some(length), false) => Body::Length(length),
        };
        let expects = self.expects && !old && !body.is_complete();
        Ok((body, expects))
    }
}
