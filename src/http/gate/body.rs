//! Follows a request body from the client to its end, and not a byte further.

use super::head::is_token;

/// A chunk's size line with its extensions, and all trailers together.
const LINE_BYTES: usize = 4096;
/// Hexadecimal digits of a chunk's size: enough for any size, too few to overflow.
const SIZE_DIGITS: usize = 15;

/// What is still to come of a body.
#[derive(Debug, PartialEq, Eq)]
pub enum Body {
    /// That many bytes.
    Length(u64),
    Chunked(Chunked),
    Complete,
}

/// The body breaks the chunk framing, so its end cannot be found.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

impl Body {
    pub fn chunked() -> Body {
        Body::Chunked(Chunked { at: At::Size, size: 0, digits: 0, line: 0 })
    }

    pub fn is_complete(&self) -> bool {
        *self == Body::Complete
    }

    /// Appends to `content` what `input` holds of the content; whatever follows the body's end is
    /// ignored.
    pub fn take(&mut self, input: &[u8], content: &mut Vec<u8>) -> Result<(), Malformed> {
        match self {
            Body::Complete => {}
            Body::Length(left) => {
                let count = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                content.extend_from_slice(&input[..count]);
                *left -= count as u64;
                if *left == 0 {
                    *self = Body::Complete;
                }
            }
            Body::Chunked(chunked) => {
                if chunked.take(input, content)? {
                    *self = Body::Complete;
                }
            }
        }
        Ok(())
    }
}

#[derive(Debug, PartialEq, Eq)]
pub struct Chunked {
    at: At,
    /// Of the chunk: what its size line said so far, then what is left of its data.
    size: u64,
    digits: usize,
    /// Bytes of the size line or of the trailers so far.
    line: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
}

impl Chunked {
    /// True when the body's end was found.
    fn take(&mut self, mut input: &[u8], content: &mut Vec<u8>) -> Result<bool, Malformed> {
        while let Some((&byte, rest)) = input.split_first() {
            if self.at == At::Data {
                let count = input.len().min(usize::try_from(self.size).unwrap_or(usize::MAX));
                content.extend_from_slice(&input[..count]);
                input = &input[count..];
                self.size -= count as u64;
                if self.size == 0 {
                    self.at = At::DataCr;
                }
                continue;
            }
            input = rest;
            self.line += 1;
            if self.line > LINE_BYTES {
                return Err(Malformed);
            }
            if self.at == At::EndLf {
                return if byte == b'\n' { Ok(true) } else { Err(Malformed) };
            }
            self.at = self.framing(byte)?;
        }
        Ok(false)
    }

    /// Where a byte outside the data leads.
    fn framing(&mut self, byte: u8) -> Result<At, Malformed> {
        Ok(match (self.at, byte) {
            (At::Size, b'\r') if self.digits > 0 => At::SizeLf,
            (At::Size, b';' | b' ' | b'\t') if self.digits > 0 => At::Extension,
            (At::Size, _) => {
                let digit = char::from(byte).to_digit(16).ok_or(Malformed)?;
                self.digits += 1;
                if self.digits > SIZE_DIGITS {
                    return Err(Malformed);
                }
                self.size = self.size * 16 + u64::from(digit);
                At::Size
            }
            (At::Extension, b'\r') => At::SizeLf,
            (At::Extension, b'\t' | b' '..=b'~') => At::Extension,
            (At::SizeLf, b'\n') => {
                self.line = 0;
                if self.size == 0 { At::TrailerStart } else { At::Data }
            }
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => {
                (self.line, self.digits) = (0, 0);
                At::Size
            }
            (At::TrailerStart, b'\r') => At::EndLf,
            (At::TrailerName, b':') => At::TrailerValue,
            (At::TrailerStart | At::TrailerName, _) if is_token(&[byte]) => At::TrailerName,
            (At::TrailerValue, b'\r') => At::TrailerLf,
            (At::TrailerValue, b'\t' | b' '..=b'~' | 0x80..) => At::TrailerValue,
            (At::TrailerLf, b'\n') => At::TrailerStart,
            _ => return Err(Malformed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(mut body: Body, input: &[u8], step: usize) -> Result<(Vec<u8>, bool), Malformed> {
        let mut content = Vec::new();
        for part in input.chunks(step) {
            body.take(part, &mut content)?;
        }
        Ok((content, body.is_complete()))
    }

    #[test]
    fn length_stops_at_its_end() {
        for step in 1..9 {
            let all = follow(Body::Length(5), b"hello GET /", step).unwrap();
            assert_eq!(all, (b"hello".to_vec(), true));
        }
        assert_eq!(follow(Body::Length(6), b"hello", 2), Ok((b"hello".to_vec(), false)));
        assert_eq!(follow(Body::Length(u64::MAX), b"x", 1), Ok((b"x".to_vec(), false)));
    }

    #[test]
    fn chunks_are_followed_at_any_cut() {
        let input = b"5;a=b\r\nhello\r\n00006 \r\n world\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\nGET / HTTP/1.1\r\n";
        for step in 1..input.len() {
            let all = follow(Body::chunked(), input, step).unwrap();
            assert_eq!(all, (b"hello world".to_vec(), true), "step {step}");
        }
        let cut = &input[..input.len() - 18];
        assert_eq!(follow(Body::chunked(), cut, 3), Ok((b"hello world".to_vec(), false)));
    }

    #[test]
    fn odd_chunks_are_refused() {
        let endless = [b"1;".as_slice(), &[b'a'; LINE_BYTES]].concat();
        let trailers = [b"0\r\n".as_slice(), &b"a: b\r\n".repeat(LINE_BYTES / 6 + 1)].concat();
        let odd: [&[u8]; 16] = [
            b"\r\n",
            b";\r\n",
            b"g\r\n",
            b"-1\r\n",
            b"0x5\r\n",
            b"+5\r\n",
            b"5\n",
            b"5\rX",
            b"1;\x00\r\n",
            b"1\r\nxy",
            b"1\r\nx\n",
            b"ffffffffffffffff\r\n",
            b"0\r\nno colon\r\n",
            b"0\r\nname\r\n",
            &endless,
            &trailers,
        ];
        for input in odd {
            assert_eq!(follow(Body::chunked(), input, 7), Err(Malformed), "{input:?}");
        }
    }
}
