//! Renders a snapshot and its findings, a watch over time, a comparison of two watches, or a check: one file per
//! format.
//!
//! Architecture invariant: nothing here accesses the target, files or terminals. The caller passes in the writer, its
//! width and whether it shows colors, so every format is tested byte by byte. (`tests/layering`: only `model`,
//! `profile` and `detect` may be used, and only `cli` prints.)

pub mod check;
pub mod collapsed;
pub mod difference;
pub mod dot;
pub mod escape;
pub mod export;
pub mod flamegraph;
mod groups;
pub mod json;
mod key;
mod label;
mod levels;
pub(crate) mod object;
mod options;
mod page;
mod paint;
pub mod report;
mod shared;
pub mod svg;
pub mod text;
pub mod tree;
mod wait_words;

pub use options::Options;
