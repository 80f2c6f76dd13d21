//! asyncprof shows what a live Python async process is doing, from outside, without touching it.
#![doc = ""]

pub mod cli;
pub mod detect;
pub mod python;
pub mod render;
pub mod snapshot;
pub mod target;
