//! How one watch differs from another, one file per format.

mod json;
mod markdown;
mod sections;
mod text;

use std::io::{self, Write};

pub use sections::Comparison;

use super::options::Options;

/// A way to write a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For a person, what matters most on top.
    Text,
    /// Everything, for programs: `asyncprof.diff/1`.
    Json,
    /// For a pull request.
    Markdown,
}

/// Writes a difference in a format.
///
/// # Errors
/// What `out` says.
pub fn write(format: Format, comparison: &Comparison<'_>, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    match format {
        Format::Text => text::write(comparison, options, out),
        Format::Json => json::write(comparison, out),
        Format::Markdown => markdown::write(comparison, options, out),
    }
}
