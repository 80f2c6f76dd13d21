//! What a watch over time shows, as bytes, one file a format.

pub(super) mod contents;
pub mod html;
pub(super) mod json;
pub(super) mod markdown;
mod text;
pub(super) mod words;

use std::io::{self, Write};

pub use contents::Report;

use super::options::Options;

/// A way to write a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For a person, trouble on top.
    Text,
    /// Everything, for programs.
    Json,
    /// For the summary page of a CI job.
    Markdown,
    /// One page for a browser; without lines of source, which [`html::write`] takes.
    Html,
}

/// Writes a report in a format.
///
/// # Errors
/// What `out` says.
pub fn write(format: Format, report: &Report<'_>, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    match format {
        Format::Text => text::write(report, options, out),
        Format::Json => json::write(report, out),
        Format::Markdown => markdown::write(report, options, out),
        Format::Html => html::write(report, &html::Sources::default(), out),
    }
}
