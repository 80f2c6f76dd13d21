//! A snapshot and its findings, a watch over time, how two watches differ, or a check, as bytes: one file per format.
//!
//! Architecture invariant: nothing here knows the target, files or terminals. The caller brings the writer, its width and
//! whether it shows colours, so every format is tested byte by byte. (`tests/layering.rs`: only `model`, `profile` and `detect`
//! may be used, and only `cli` prints.)

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
mod options;
mod paint;
pub mod report;
mod shared;
pub mod svg;
pub mod text;
pub mod tree;

use std::io::{self, Write};

pub use options::Options;

use crate::model::Snapshot;
use crate::model::snapshot::Finding;

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
