//! The native API, `/api/v1`: one file a noun, one function a call.

pub mod backup;
pub mod catalogue;
pub mod items;
pub mod jobs;
pub mod labels;
pub mod show;
pub mod status;

/// The largest JSON body of a call that takes no catalogue and no list of ids.
pub const SMALL: u64 = 1 << 20;
/// The largest catalogue or list of ids.
const LARGE: u64 = 64 << 20;
