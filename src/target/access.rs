//! A stand-in for the checks of what stands between us and a process. It must not know what is read there.

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nothing in the way.
    Ok,
    /// This is in the way.
    Problem,
    /// Cannot be known from here.
    Unknown,
    /// Worth knowing.
    Note,
}

/// One thing that was looked at.
#[derive(Clone, Debug)]
pub struct Check {
    /// In a word or two.
    pub name: String,
    /// How it came out.
    pub status: Status,
    /// What was seen.
    pub detail: String,
    /// The smallest change that would help.
    pub fix: Option<String>,
}

/// Everything that decides whether a process can be read.
pub fn diagnose(_pid: i32) -> Vec<Check> {
    Vec::new()
}
