//! What the exit code says. It must not know which command asks.

use std::process::{ExitCode, Termination};

use crate::snapshot::session::FailureKind;

/// The exit codes of every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Fine = 0,
    /// Findings at or above `--fail-on`.
    Found = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The kernel does not let us.
    Forbidden = 3,
    /// No such process, or gone before it was read.
    Gone = 4,
    /// Not a Python that is supported, or one without an event loop.
    Unsupported = 5,
    /// A file that cannot be used.
    BadFile = 6,
    /// Our own failure: a full disk, or a bug.
    Own = 125,
}

impl From<FailureKind> for Exit {
    fn from(kind: FailureKind) -> Self {
        match kind {
            FailureKind::Forbidden => Self::Forbidden,
            FailureKind::Gone => Self::Gone,
            FailureKind::Unsupported => Self::Unsupported,
            FailureKind::BadImage => Self::BadFile,
        }
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}
