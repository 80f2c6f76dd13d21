//! Layer 4: one instant of a process as owned, inert data ([`model`]), and the session that takes it.
//!
//! INVARIANT: nothing after this layer can read the target. No files and no terminals here.

pub mod model;
pub mod session;

pub use model::Snapshot;
