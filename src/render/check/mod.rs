//! A judgement over runs, one file per format.

mod baseline;
mod contents;
mod github;
mod json;
mod junit;
mod markdown;
mod run_json;
mod sarif;
mod self_test;
mod text;
mod words;

use std::io::{self, Write};

pub use baseline::{BaselineError, parse_baseline, write_baseline};
pub use contents::Check;

use super::options::Options;

/// A way to write a judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A table for a person, trouble on top.
    Text,
    /// Everything, for programs.
    Json,
    /// For the summary page of a CI job.
    Markdown,
    /// For what collects test results.
    Junit,
    /// For what shows results at their lines of code.
    Sarif,
    /// Workflow commands of GitHub: each trouble at its line.
    Github,
}

/// Writes a check in a format.
///
/// # Errors
/// What `out` says.
pub fn write(format: Format, check: &Check<'_>, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    match format {
        Format::Text => text::write(check, options, out),
        Format::Json => json::write(check, out),
        Format::Markdown => markdown::write(check, out),
        Format::Junit => junit::write(check, out),
        Format::Sarif => sarif::write(check, out),
        Format::Github => github::write(check, out),
    }
}
