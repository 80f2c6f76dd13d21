//! A judgement over runs as bytes, one file a format. It must not know how the runs were made.

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

pub use baseline::{BaselineError, parse_baseline, write_baseline};
pub use github::write as write_github;
pub use json::write as write_json;
pub use junit::write as write_junit;
pub use markdown::write as write_markdown;
pub use sarif::write as write_sarif;
pub use text::write as write_text;

use crate::detect::check::{Judgement, Run, SelfTest};

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
