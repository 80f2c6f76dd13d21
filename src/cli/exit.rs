//! What the exit code says. It must not know which command asks.

use std::process::{ExitCode, Termination};

use crate::capture::session::FailureKind;

/// The exit codes of every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Fine,
    /// Findings at or above `--fail-on`, or a check that failed.
    Found,
    /// The command line makes no sense.
    Usage,
    /// The kernel does not let us.
    Forbidden,
    /// No such process, or gone before it was read.
    Gone,
    /// Not a Python that is supported, or one without an event loop.
    Unsupported,
    /// A file that cannot be used.
    BadFile,
    /// Too little data to judge, or too much noise.
    Undecided,
    /// Our own failure: a full disk, or a bug.
    Own,
    /// `-- CMD` is there but cannot be executed.
    NotExecutable,
    /// `-- CMD` is not there.
    NotFound,
    /// What `-- CMD` exited with; 128+n when signal n ended it.
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
            Self::Own => 125,
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
