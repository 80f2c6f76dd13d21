//! Layer 6: a snapshot and its findings, a watch over time, or how two of them differ, as bytes, one file a format.
//!
//! Nothing here knows the target, files or terminals: whoever calls brings the writer, its width and whether it shows
//! colours.

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
mod levels;
mod paint;
pub mod report;
pub mod svg;
pub mod text;
pub mod tree;

use std::io::{self, Write};

use crate::model::Snapshot;
use crate::model::snapshot::Finding;

/// How to write.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// At most so many groups of tasks in the overview.
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

/// A way to write a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Overview for a person, trouble on top.
    Text,
    /// Await graph as a tree.
    Tree,
    /// Everything, for programs.
    Json,
    /// Await graph for Graphviz.
    Dot,
    /// Flame graph.
    Svg,
    /// Folded stacks.
    Collapsed,
}

/// Writes a snapshot in a format.
pub fn write(
    format: Format,
    snapshot: &Snapshot,
    findings: &[Finding],
    options: &Options,
    out: &mut dyn Write,
) -> io::Result<()> {
    match format {
        Format::Text => text::write(snapshot, findings, options, out),
        Format::Tree => tree::write(snapshot, findings, options, out),
        Format::Json => json::write(snapshot, findings, options, out),
        Format::Dot => dot::write(snapshot, findings, options, out),
        Format::Svg => svg::write(snapshot, findings, options, out),
        Format::Collapsed => collapsed::write(snapshot, findings, options, out),
    }
}
