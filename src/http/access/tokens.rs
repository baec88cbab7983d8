//! Secrets: how they are made, kept as files, and compared.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use subtle::ConstantTimeEq;

use super::AccessError;
use crate::os::{self, Replaced, TokenFault, token_file};
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
pub(super) fn new_token() -> Result<String, AccessError> {
    Ok(format!("rl_{}", random()?))
}

/// After an error the file holds what it held before.
pub(super) fn store(path: &Path, token: &str) -> io::Result<Replaced> {
    os::replace(path, format!("{token}\n").as_bytes(), os::PRIVATE)
}

pub(super) fn load(path: &Path) -> Result<String, AccessError> {
    let failed = |fault| match fault {
        TokenFault::Unreadable(source) => AccessError::File { path: path.to_path_buf(), source },
        fault => AccessError::NoToken { path: path.to_path_buf(), fault },
    };
    let file = token_file::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(|error| failed(error.into()))?.permissions().mode() & 0o777;
    // The owner may let a group read it, such as Prometheus's; that never comes about by accident.
    if mode & 0o037 != 0 {
        return Err(AccessError::OpenToken { path: path.to_path_buf(), mode });
    }
    token_file::read(file).map_err(failed)
}

pub(super) fn load_or_make(path: &Path) -> Result<String, AccessError> {
    match load(path) {
        Err(AccessError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            let token = new_token()?;
            let stored = store(path, &token).and_then(|replaced| replaced.synced);
            stored.map_err(|source| AccessError::File { path: path.to_path_buf(), source })?;
            Ok(token)
        }
        loaded => loaded,
    }
}
