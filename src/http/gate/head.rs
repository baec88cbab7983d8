//! Reads a request head strictly and writes it anew, so that tiny_http never sees a byte of framing
//! that a client made.

use super::body::Body;
use super::framing::Framing;

/// Which listener a request came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    Tcp,
    Unix,
}

/// A request as tiny_http gets it.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    pub bytes: Vec<u8>,
    /// The body that follows on the client's side.
    pub body: Body,
    /// The client waits for a `100 Continue` before it sends the body.
    pub expects: bool,
    /// The client speaks HTTP/1.0, which tiny_http need not know.
    pub old: bool,
    pub via: Via,
}

impl Head {
    /// The head as tiny_http reads it.
    pub fn view(&self) -> HeadView<'_> {
        // Every byte is ASCII: `rewrite` replaces all others.
        let text = std::str::from_utf8(&self.bytes).unwrap_or_default();
        let (request_line, headers) = text.split_once("\r\n").unwrap_or((text, ""));
        let mut words = request_line.split(' ');
        let mut word = || words.next().unwrap_or_default();
        HeadView { method: word(), target: word(), headers, via: self.via }
    }
}

/// What a request says before its body.
#[derive(Clone, Copy, Debug)]
pub struct HeadView<'a> {
    pub method: &'a str,
    /// Path and query.
    pub target: &'a str,
    headers: &'a str,
    pub via: Via,
}

impl<'a> HeadView<'a> {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        let mut fields = self.headers.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// What was broken, fit for the answer's title.
pub type Malformed = &'static str;

/// Where the head ends in `bytes`, of which the first `seen` held no end. A line feed without its
/// carriage return is refused at once: two readers may disagree on whether it ends a line.
pub fn end(bytes: &[u8], seen: usize) -> Result<Option<usize>, Malformed> {
    for at in seen..bytes.len() {
        if bytes[at] == b'\n' {
            if at == 0 || bytes[at - 1] != b'\r' {
                return Err("a line does not end in CR LF");
            }
            if bytes[..at].ends_with(b"\r\n\r") {
                return Ok(Some(at + 1));
            }
        }
    }
    Ok(None)
}

/// `head` is a whole one, its empty line included.
pub fn rewrite(head: &[u8], via: Via) -> Result<Head, Malformed> {
    let mut lines = lines(head);
    let request = request_line(lines.next().unwrap_or_default())?;
    let old = request.old;
    let mut bytes = Vec::with_capacity(head.len() + 64);
    for part in [request.method, b" ", request.target, b" HTTP/1.1\r\n"] {
        bytes.extend_from_slice(part);
    }

    let mut framing = Framing::default();
    let mut hosts = 0;
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = field(line)?;
        if framing.read(name, value)? || is_ours(name) {
            continue;
        }
        hosts += usize::from(name.eq_ignore_ascii_case(b"host"));
        // With its letters made alike below, two keys would be one, and a request would be answered with another's job.
        if name.eq_ignore_ascii_case(b"idempotency-key") && !value.is_ascii() {
            return Err("the Idempotency-Key holds more than ASCII");
        }
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(b": ");
        // tiny_http hangs up on anything but ASCII, and a cookie of some other program on this
        // host may well hold it.
        bytes.extend(value.iter().map(|&byte| if byte.is_ascii() { byte } else { b'?' }));
        bytes.extend_from_slice(b"\r\n");
    }
    if hosts > 1 || (hosts == 0 && !old) {
        return Err("there must be one Host header");
    }

    let (body, expects) = framing.body(old)?;
    if !body.is_complete() {
        bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    bytes.extend_from_slice(b"Connection: close\r\nX-Relabeld-Via: ");
    bytes.extend_from_slice(match via {
        Via::Tcp => b"tcp",
        Via::Unix => b"unix",
    });
    bytes.extend_from_slice(b"\r\n\r\n");
    Ok(Head { bytes, body, expects, old, via })
}

/// [`end`] has seen to it that every line feed follows a carriage return.
fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

struct RequestLine<'head> {
    method: &'head [u8],
    target: &'head [u8],
    old: bool,
}

fn request_line(line: &[u8]) -> Result<RequestLine<'_>, Malformed> {
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("the request line is malformed");
    };
    if !is_token(method) {
        return Err("the method is malformed");
    }
    // Of the other forms, one is for proxies and one for CONNECT.
    if target != b"*" && !(target.starts_with(b"/") && target.iter().all(u8::is_ascii_graphic)) {
        return Err("the request target is malformed");
    }
    let old = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        _ => return Err("only HTTP/1.0 and HTTP/1.1 are spoken here"),
    };
    Ok(RequestLine { method, target, old })
}

/// Folded lines begin with a space, and so have no valid name.
fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let colon = line.iter().position(|&byte| byte == b':').ok_or("a header has no colon")?;
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    if !is_token(name) {
        return Err("a header name is malformed");
    }
    if !value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..)) {
        return Err("a header value holds a control character");
    }
    Ok((name, value))
}

/// RFC 9110, 5.6.2.
pub fn is_token(bytes: &[u8]) -> bool {
    let is_sign = |byte| b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || is_sign(byte))
}

/// Headers that concern the connection, which is the gate's own affair, and those that only the
/// gate may write.
fn is_ours(name: &[u8]) -> bool {
    const CONNECTION: [&[u8]; 6] = [b"connection", b"keep-alive", b"proxy-connection", b"upgrade", b"te", b"trailer"];
    const RESERVED: &[u8] = b"x-relabeld-";
    CONNECTION.iter().any(|ours| name.eq_ignore_ascii_case(ours))
        || name.get(..RESERVED.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(head: &str) -> Result<(String, Body, bool), Malformed> {
        let end = end(head.as_bytes(), 0)?.ok_or("unfinished")?;
        assert_eq!(end, head.len());
        let head = rewrite(head.as_bytes(), Via::Tcp)?;
        Ok((String::from_utf8(head.bytes).unwrap(), head.body, head.expects))
    }

    #[test]
    fn connection_headers_are_replaced_and_ours_not_to_be_smuggled() {
        let (bytes, body, expects) = rewritten(
            "GET /a?b HTTP/1.1\r\nhost:x\r\nConnection: keep-alive, Upgrade\r\nUPGRADE: h2c\r\n\
             x-relabeld-via: unix\r\nX-RELABELD-VIA:unix\r\nX-Relabeld-Other: 1\r\nTE: gzip\r\n\
             Keep-Alive: 5\r\nProxy-Connection: x\r\nCookie: a=\u{fc}; b=c\r\nExpect: 100-continue\r\n\r\n",
        )
        .unwrap();
        assert_eq!(
            bytes,
            "GET /a?b HTTP/1.1\r\nhost: x\r\nCookie: a=??; b=c\r\nConnection: close\r\n\
             X-Relabeld-Via: tcp\r\n\r\n"
        );
        assert_eq!((body, expects), (Body::Complete, false));
    }

    #[test]
    fn bodies_are_always_relayed_in_chunks() {
        for (framing, expected) in [
            ("Content-Length: 7", Body::Length(7)),
            ("content-length:  18446744073709551615 ", Body::Length(u64::MAX)),
            ("Transfer-Encoding: Chunked", Body::chunked()),
        ] {
            let head = format!("POST / HTTP/1.1\r\nHost: x\r\n{framing}\r\nExpect: 100-Continue\r\n\r\n");
            let (bytes, body, expects) = rewritten(&head).unwrap();
            assert_eq!((body, expects), (expected, true));
            assert_eq!(
                bytes,
                "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\
                 X-Relabeld-Via: tcp\r\n\r\n"
            );
        }
        let (bytes, body, _) = rewritten("POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n").unwrap();
        assert!(bytes.starts_with("POST / HTTP/1.1\r\n"));
        assert!(!bytes.contains("hunked") && !bytes.contains("Length") && body.is_complete());
    }

    #[test]
    fn malformed_heads_are_refused() {
        for request in [
            "",
            " ",
            "GET",
            "GET /",
            "GET / HTTP/1.1 ",
            "GET  / HTTP/1.1",
            "GET / HTTP/2.0",
            "GET / http/1.1",
            "GET / HTTP/0.9",
            "G@T / HTTP/1.1",
            "GET x HTTP/1.1",
            "GET /\u{e4} HTTP/1.1",
            "GET /\t HTTP/1.1",
            "GET http://x/ HTTP/1.1",
            "CONNECT x:1 HTTP/1.1",
            "GET /\u{0} HTTP/1.1",
        ] {
            assert!(rewritten(&format!("{request}\r\nHost: x\r\n\r\n")).is_err(), "{request:?}");
        }
        for field in [
            "Host: y",
            "X-Relabeld-Via : unix",
            " X-Relabeld-Via: unix",
            "\tfolded",
            "no colon",
            ": empty",
            "A\u{0}B: c",
            "A: b\u{0}c",
            "A: b\rX-Relabeld-Via: unix",
            "A: b\nX-Relabeld-Via: unix",
            "A: \u{7f}",
            "\u{e4}: x",
            "A(B): x",
            "Content-Length: 5, 5",
            "Content-Length: +5",
            "Content-Length: ",
            "Content-Length: 0x5",
            "Content-Length: 99999999999999999999",
            "Content-Length: 5\r\nContent-Length: 5",
            "Content-Length: 5\r\ncontent-length: 6",
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 0",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: identity",
            "Transfer-Encoding: \u{b}chunked",
            "Transfer-Encoding:",
        ] {
            let head = format!("GET / HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n");
            assert!(rewritten(&head).is_err(), "{field:?}");
        }
        assert!(rewritten("GET / HTTP/1.1\r\n\r\n").is_err(), "no Host");
        assert!(rewritten("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    }

    #[test]
    fn the_end_is_found_at_any_cut() {
        let head = b"GET / HTTP/1.1\r\nHost: x\r\n\r\nbody\n";
        let whole = head.len() - 5;
        for cut in 0..whole {
            assert_eq!(end(&head[..cut], 0), Ok(None));
            assert_eq!(end(head, cut), Ok(Some(whole)));
        }
        assert!(end(b"GET / HTTP/1.1\n", 0).is_err());
        assert!(end(b"\n", 0).is_err());
    }
}
