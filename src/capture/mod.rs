//! One instant of a process: the session that is attached to it, and the snapshot it takes.
//!
//! INVARIANT: no files and no terminals here; what leaves is [`crate::model`].

pub mod assemble;
pub mod facts;
mod graph;
mod instant;
pub mod progress;
pub mod session;
pub mod task_walk;
pub mod threads;
mod witness;
