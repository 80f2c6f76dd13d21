//! A judgement over runs, one file per format.

mod baseline;
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

use super::Options;
use crate::detect::check::{Judgement, Run, SelfTest};

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

/// A check that was made.
#[derive(Clone, Copy, Debug)]
pub struct Check<'a> {
    /// The answers.
    pub judgement: &'a Judgement,
    /// The runs that were judged.
    pub head: &'a [Run],
    /// What they were compared with.
    pub base: &'a [Run],
    /// What was run or read, for people.
    pub subject: &'a str,
    /// The command that does the same again.
    pub reproduce: &'a str,
    /// The folder that paths are shown relative to, with a slash at its end; empty for none.
    pub root: &'a str,
    /// When the program is compared with itself: how that went.
    pub self_test: Option<&'a SelfTest>,
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
