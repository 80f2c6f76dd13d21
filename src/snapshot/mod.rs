//! Layer 4: one instant of a process as owned, inert data ([`model`]), and the session that takes it; what a watch over
//! time consists of ([`event`]), with names said once ([`tables`]).
//!
//! INVARIANT: nothing after this layer can read the target. No files and no terminals here.

mod assemble;
mod capture;
pub mod event;
pub mod facts;
mod graph;
pub mod loop_watch;
pub mod model;
pub mod session;
pub mod tables;
mod task_walk;
pub mod task_watch;
mod threads;

pub use model::Snapshot;
