//! The page's sessions as a file of the data directory, so that a restart signs nobody out.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use log::warn;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::shelf::{Held, Shelf};
use super::{Right, TOKENS};
use crate::model::Millis;
use crate::os;
use crate::wire::digest::hex;

const FILE: &str = "sessions";

#[derive(Serialize, Deserialize)]
pub(super) struct Kept {
    secret: String,
    made: Millis,
    used: Millis,
    may: Right,
    token: String,
    /// Of the token behind it, which may have been replaced while the daemon was down.
    fingerprint: String,
}

fn fingerprint(token: &str) -> String {
    hex(&Sha256::digest(token))
}

/// Puts the sessions of an earlier run on the shelf. A file that cannot be read costs a new login, not the start.
pub(super) fn load(dir: &Path, tokens: &[String; 3], sessions: &mut Shelf<Right>) {
    let path = dir.join(FILE);
    let Ok(bytes) = fs::read(&path) else { return };
    let private = fs::metadata(&path).is_ok_and(|of| of.permissions().mode() & 0o077 == 0);
    let kept: Vec<Kept> = match serde_json::from_slice(&bytes) {
        Ok(kept) if private => kept,
        _ => {
            return warn!(
                "{} is not readable, or not private: whoever was signed in has to log in again",
                path.display()
            );
        }
    };
    for Kept { secret, made, used, may, token, fingerprint: of } in kept {
        let index = TOKENS.iter().position(|(name, _)| *name == token);
        if let Some(token) = index.filter(|&index| fingerprint(&tokens[index]) == of) {
            sessions.put_back(Held { secret, made, used, token, what: may });
        }
    }
}

/// The open sessions, as they are written to the file.
pub(super) fn list(tokens: &[String; 3], sessions: &Shelf<Right>) -> Vec<Kept> {
    sessions
        .held()
        .map(|held| Kept {
            secret: held.secret.clone(),
            made: held.made,
            used: held.used,
            may: held.what,
            token: TOKENS[held.token].0.to_owned(),
            fingerprint: fingerprint(&tokens[held.token]),
        })
        .collect()
}

/// Puts the list in the file.
pub(super) fn save(dir: &Path, kept: &[Kept]) {
    let path = dir.join(FILE);
    let written = serde_json::to_vec(kept)
        .map_err(std::io::Error::from)
        .and_then(|bytes| os::write_atomically(&path, &bytes, os::PRIVATE));
    if let Err(error) = written {
        // A session that is lost at the next start is no reason to refuse it now; one that was ended must not come back.
        let _ = fs::remove_file(&path);
        warn!("{}: {error}: the next start signs everybody out", path.display());
    }
}
