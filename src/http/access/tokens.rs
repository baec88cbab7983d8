//! Secrets: how they are made, kept as files, and compared.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use subtle::ConstantTimeEq;

use super::AccessError;
use crate::os;
use crate::wire::digest::hex;

pub(super) fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

/// 256 bits from the system, as letters that need no quoting anywhere.
pub(super) fn random() -> Result<String, AccessError> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).map_err(AccessError::NoRandomness)?;
    Ok(hex(&bytes))
}

/// The prefix lets secret scanners, and people, know the token when it turns up where it should not.
pub(super) fn make(path: &Path) -> Result<String, AccessError> {
    let token = format!("rl_{}", random()?);
    os::write_atomically(path, format!("{token}\n").as_bytes(), os::PRIVATE)
        .map_err(|source| AccessError::File { path: path.to_path_buf(), source })?;
    Ok(token)
}

pub(super) fn load_or_make(path: &Path) -> Result<String, AccessError> {
    let failed = |source| AccessError::File { path: path.to_path_buf(), source };
    let file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return make(path),
        opened => opened.map_err(failed)?,
    };
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    // The owner may let a group read it, such as Prometheus's; that never comes about by accident.
    if mode & 0o037 != 0 {
        return Err(AccessError::OpenToken { path: path.to_path_buf(), mode });
    }
    let mut text = String::new();
    file.take(4096).read_to_string(&mut text).map_err(failed)?;
    match text.trim() {
        "" => Err(AccessError::NoToken { path: path.to_path_buf() }),
        token => Ok(token.to_owned()),
    }
}
