//! What a check shows.

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
