//! Errors, hints and notes: everything that stderr says outside of a running watch.

use std::path::Path;

pub(crate) use super::exit::Exit;
use crate::capture::session::AttachError;
use crate::render::escape::visible;

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
        eprintln!("error: {}", visible(&self.message));
        if let Some(hint) = &self.hint {
            // A hint can be a list, one item per line.
            for (position, line) in hint.lines().enumerate() {
                eprintln!("{} {}", if position == 0 { "hint: " } else { "      " }, visible(line));
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
    eprintln!("hint:  {}", visible(message));
}

pub(crate) fn note(message: &str) {
    eprintln!("note: {}", visible(message));
}
