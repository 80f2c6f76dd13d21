//! Layer 4: one instant of a process as owned, inert data ([`model`]), and the session that takes it.
//!
//! INVARIANT: nothing after this layer can read the target. No files and no terminals here.

mod assemble;
mod capture;
pub mod facts;
mod graph;
pub mod model;
pub mod session;
mod task_walk;
mod threads;

pub use model::Snapshot;
