//! Layer 6: a snapshot and its findings, a watch over time, or how two of them differ, as bytes, one file per format.
//!
//! Each format is a function `write`; the table of formats in `src/cli/input/formats.rs` says which command writes which.
//! Architecture invariant: nothing here knows the target, files or terminals, so that every format is tested on made-up data;
//! the caller brings the writer, its width and whether it shows colors. `tests/layering.rs` holds it.

pub mod check;
pub mod collapsed;
pub mod difference;
pub mod dot;
pub mod escape;
pub mod export;
pub mod flamegraph;
mod groups;
pub mod json;
mod label;
mod paint;
pub mod report;
pub mod svg;
pub mod text;
pub mod tree;
mod wait_words;

/// How to write.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Maximum entries per list in human-readable output.
    pub limit: Option<usize>,
    /// Columns to fill; a file and line is never cut for it.
    pub width: usize,
    /// Terminal colours.
    pub color: bool,
    /// Whether `Task-17` stays as it is in formats that otherwise fold digits to `Task-*`.
    pub full_task_names: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { limit: None, width: 100, color: false, full_task_names: false }
    }
}
