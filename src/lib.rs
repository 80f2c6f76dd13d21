//! asyncprof shows what a live Python async process is doing, from outside, without touching it.
#![doc = ""]

pub mod python;
pub mod runtime;
pub mod snapshot;
pub mod target;
