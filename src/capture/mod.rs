//! Snapshots of a process: the session attached to it, and the snapshot it takes.
//!
//! Architecture invariant: nothing here uses files or terminals, and only the model leaves this layer: everything after
//! a capture works on data that cannot change and cannot read the target. tests/layering holds the edges.

mod abandoned;
pub mod assemble;
mod cancelled;
mod capturing;
mod ending;
pub mod facts;
mod graph;
mod held_lock;
mod instant;
mod loop_position;
mod named_stack;
mod outside;
mod outside_model;
pub mod progress;
mod quality;
mod references;
pub mod session;
mod stillness;
pub(crate) mod task_list;
mod task_reading;
pub mod task_walk;
pub mod threads;
mod witness;
