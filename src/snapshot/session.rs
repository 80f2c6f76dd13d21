//! A stand-in for the session that attaches to a process and takes a snapshot. It must not know who asks.

use super::Snapshot;

/// How to look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Stop the target while it is read.
    pub blocking: bool,
    /// Read the stacks of all threads.
    pub threads: bool,
}

/// How far the reading is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// What is being read, in a word or two.
    pub stage: &'static str,
    /// How many are done.
    pub done: u64,
    /// Of how many, where that is known.
    pub total: Option<u64>,
}

/// What kind of failure, for exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The kernel does not let us.
    Forbidden,
    /// There is no such process, or it ended before it could be read.
    Gone,
    /// Not a Python that is supported.
    Unsupported,
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
#[error("cannot read process {pid}: no reader in this build")]
pub struct AttachError {
    pid: i32,
}

impl AttachError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        None
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> FailureKind {
        if std::path::Path::new(&format!("/proc/{}", self.pid)).exists() {
            FailureKind::Unsupported
        } else {
            FailureKind::Gone
        }
    }
}

/// Takes one snapshot of a process.
pub fn take(pid: i32, _options: &Options, _progress: &dyn Fn(Progress)) -> Result<Snapshot, AttachError> {
    Err(AttachError { pid })
}
