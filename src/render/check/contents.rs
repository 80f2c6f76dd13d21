//! The contents of a check's output.

use crate::detect::check::{Judgement, Run, SelfTest};

/// A completed check.
#[derive(Clone, Copy, Debug)]
pub struct Check<'a> {
    /// The answers.
    pub judgement: &'a Judgement,
    /// The runs that were judged.
    pub head: &'a [Run],
    /// What they were compared with.
    pub base: &'a [Run],
    /// What was run or read, in human-readable form.
    pub subject: &'a str,
    /// The command that repeats the check.
    pub reproduce: &'a str,
    /// The folder that paths are shown relative to, with a trailing slash; empty for none.
    pub root: &'a str,
    /// The result of comparing the program with itself, if that was done.
    pub self_test: Option<&'a SelfTest>,
}
