//! Exit codes, and errors, hints and notes: everything that stderr says outside of a running watch.

use std::path::Path;
use std::process::{ExitCode, Termination};

use super::terminal::tell;
use crate::capture::session::{AttachError, FailureKind};
use crate::render::escape::visible;

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

/// Why a command has no result.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(Exit::Internal, message)
    }

    /// An error that only a mistake in asyncprof can cause.
    pub(crate) fn bug(message: impl Into<String>) -> Self {
        Self::internal(message).hint("this is a bug in asyncprof; please report it with the message above")
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Names the file that the message is about.
    pub(crate) fn about(self, path: &Path) -> Self {
        Self { message: format!("{}: {}", path.display(), self.message), ..self }
    }

    pub(crate) fn report(&self) {
        tell(format_args!("error: {}\n", visible(&self.message)));
        if let Some(hint) = &self.hint {
            // A hint can be a list, one item per line.
            for (position, line) in hint.lines().enumerate() {
                tell(format_args!("{} {}\n", if position == 0 { "hint: " } else { "      " }, visible(line)));
            }
        }
    }
}

impl From<AttachError> for Failure {
    fn from(error: AttachError) -> Self {
        let failure = Self::new(error.kind().into(), error.to_string());
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

pub(crate) fn hint(message: &str) {
    tell(format_args!("hint:  {}\n", visible(message)));
}

pub(crate) fn note(message: &str) {
    tell(format_args!("note: {}\n", visible(message)));
}
