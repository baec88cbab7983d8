//! Files that hold a token: read by the daemon at its start and by the client for each command.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// The longest token, in bytes; those that relabeld makes have 67.
const LONGEST: usize = 1024;

/// Why a file gives no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenFault {
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("is not a regular file")]
    NotAFile,
    #[error("holds no token; one line with a token is expected")]
    Empty,
    #[error("is longer than {LONGEST} bytes; one line with a token is expected")]
    TooLong,
    #[error("has more than one line; one line with a token is expected")]
    ManyLines,
    #[error("holds a space, a control character or a character that is not ASCII; one line with a token is expected")]
    NotPrintable,
}

/// Opens without waiting: a FIFO would wait for its writer.
pub fn open(path: &Path) -> Result<File, TokenFault> {
    let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(TokenFault::NotAFile) }
}

/// The one token of the file. White space around it is no part of it; other bytes than visible ASCII would end the
/// header line that the token is sent in.
pub fn read(file: File) -> Result<String, TokenFault> {
    let mut bytes = Vec::new();
    file.take(LONGEST as u64 + 1).read_to_end(&mut bytes)?;
    let token = bytes.trim_ascii();
    if bytes.len() > LONGEST {
        return Err(TokenFault::TooLong);
    }
    if token.is_empty() {
        return Err(TokenFault::Empty);
    }
    if token.contains(&b'\n') {
        return Err(TokenFault::ManyLines);
    }
    match std::str::from_utf8(token) {
        Ok(text) if token.iter().all(u8::is_ascii_graphic) => Ok(text.to_owned()),
        _ => Err(TokenFault::NotPrintable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn fault(bytes: &[u8]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, bytes).unwrap();
        open(&path).and_then(read).map_or_else(|fault| fault.to_string(), |token| format!("good {token}"))
    }

    #[test]
    fn a_token_file_has_one_line() {
        for text in ["rl_x", "rl_x\n", " rl_x\r\n\n"] {
            assert_eq!(fault(text.as_bytes()), "good rl_x", "{text:?}");
        }
        for (bytes, expected) in [
            (b"".to_vec(), "holds no token"),
            (b" \n\n".to_vec(), "holds no token"),
            (b"rl_x\nrl_y\n".to_vec(), "has more than one line"),
            (b"rl x".to_vec(), "holds a space"),
            (b"rl_x\0".to_vec(), "holds a space"),
            ("rl_é".as_bytes().to_vec(), "not ASCII"),
            (vec![0xff; 20], "not ASCII"),
            (vec![b'x'; 10_000_000], "longer than 1024 bytes"),
            ([b"rl_x".as_slice(), &[b'\n'; 2000]].concat(), "longer than 1024 bytes"),
        ] {
            assert!(fault(&bytes).contains(expected), "{}", fault(&bytes));
        }
        assert_eq!(fault(&[b'x'; LONGEST]).len(), "good ".len() + LONGEST);
    }

    #[test]
    fn what_is_not_a_file_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(open(dir.path()).unwrap_err(), TokenFault::NotAFile));
        let fifo = dir.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
        assert!(matches!(open(&fifo).unwrap_err(), TokenFault::NotAFile));
    }
}
