//! Exit codes, the same for every command.

use std::process::{ExitCode, Termination};

use crate::capture::session::FailureKind;

/// The exit codes of every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Success.
    Fine,
    /// Findings at or above `--fail-on`, or a check that failed.
    Found,
    /// Invalid usage.
    Usage,
    /// The kernel denies access to the process.
    Forbidden,
    /// No such process, or it exited before anything was read.
    Gone,
    /// Not a supported Python, or no event loop.
    Unsupported,
    /// A file that cannot be used.
    BadFile,
    /// Too little data to judge, or too much noise.
    Undecided,
    /// Internal error, or an I/O error such as a full disk.
    Internal,
    /// The program after `--` cannot be executed.
    NotExecutable,
    /// The program after `--` was not found.
    NotFound,
    /// The exit status of the program after `--`; 128+n if signal n ended it.
    Child(u8),
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Found => 1,
            Self::Usage => 2,
            Self::Forbidden => 3,
            Self::Gone => 4,
            Self::Unsupported => 5,
            Self::BadFile => 6,
            Self::Undecided => 7,
            Self::Internal => 125,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
            Self::Child(code) => code,
        }
    }
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
        ExitCode::from(self.code())
    }
}
