//! A copy of the whole database.

use std::time::Instant;

use log::info;

use crate::http::answer::Answer;
use crate::http::asked::Asked;
use crate::http::{Context, Handled};
use crate::when::rfc3339;
use crate::wire::digest::repr_digest;

const TYPE: &str = "application/vnd.sqlite3";

/// `GET /api/v1/backup`: what it holds of items, labels and jobs the other reads show too, so the right to read is enough.
pub fn backup(context: &Context, asked: &mut Asked<'_>) -> Handled {
    asked.query.finish()?;
    // To the second, and without what a file name cannot have everywhere.
    let stamp: String = rfc3339(asked.now).chars().filter(|c| !matches!(c, '-' | ':')).take(15).collect();
    let file = format!("relabeld-{stamp}Z.db");
    if asked.head {
        // Its length and digest would cost a whole copy.
        return Ok(Answer::Stream { content_type: TYPE, file, body: Box::new(std::io::empty()) });
    }
    let began = Instant::now();
    let copy = context.store.backup(context.config.min_free_bytes)?;
    info!("backup for {}: {} bytes, made in {:.1?}", asked.caller.name, copy.bytes, began.elapsed());
    let (bytes, digest) = (copy.bytes, repr_digest(&copy.sha256));
    Ok(Answer::File { content_type: TYPE, file, bytes, digest, body: Box::new(copy) })
}
