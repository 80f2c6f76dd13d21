//! Why no supported CPython was found, and what to do about it.

use crate::python::layout::rows::{NEWEST_MINOR, OLDEST_MINOR};
use crate::remote::AccessError;
use crate::remote::elf::ElfError;

/// Why no supported CPython was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocateError {
    /// The process cannot be read at all.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// No mapped file contains a Python runtime.
    #[error("process {pid} is not a Python program: it runs {executable}")]
    NotPython {
        /// The process.
        pid: i32,
        /// The program it runs.
        executable: String,
    },
    /// A Python, but not CPython.
    #[error("process {pid} runs {name}, not CPython")]
    OtherImplementation {
        /// The process.
        pid: i32,
        /// The implementation.
        name: &'static str,
    },
    /// A CPython older than the oldest supported version.
    #[error("process {pid} runs Python {found}; 3.{oldest} is the oldest that can be read", oldest = OLDEST_MINOR)]
    TooOld {
        /// The process.
        pid: i32,
        /// Its version, as far as it is known.
        found: String,
    },
    /// A CPython newer than the newest supported version.
    #[error("process {pid} runs Python {found}; 3.{newest} is the newest that can be read", newest = NEWEST_MINOR)]
    TooNew {
        /// The process.
        pid: i32,
        /// Its version.
        found: String,
    },
    /// A runtime whose version cannot be determined.
    #[error("process {pid} holds a Python runtime in {object}, but nothing tells its version")]
    UnknownVersion {
        /// The process.
        pid: i32,
        /// The file with the runtime.
        object: String,
    },
    /// The interpreter is not initialised yet.
    #[error("the Python interpreter of process {pid} is still starting")]
    Starting {
        /// The process.
        pid: i32,
    },
    /// The interpreter is shutting down.
    #[error("the Python interpreter of process {pid} is shutting down")]
    Finalizing {
        /// The process.
        pid: i32,
    },
    /// The file that should contain the runtime cannot be used.
    #[error("cannot search {object} of process {pid}: {error}")]
    Unreadable {
        /// The process.
        pid: i32,
        /// The file.
        object: String,
        /// Why.
        error: ElfError,
    },
    /// The runtime does not match the layout of its version.
    #[error("the memory of process {pid} does not look like Python {version}: {what}")]
    Layout {
        /// The process.
        pid: i32,
        /// The version that was expected.
        version: String,
        /// What contradicts it.
        what: &'static str,
    },
}

impl LocateError {
    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::Access(error) => error.hint(),
            Self::NotPython { .. } => {
                "give the id of the Python process itself, not of a shell or wrapper around it: pgrep -a python".into()
            }
            Self::OtherImplementation { .. } => "run the program with CPython to look at it".into(),
            Self::TooOld { .. } => format!("run the program with Python 3.{OLDEST_MINOR} or later"),
            Self::TooNew { .. } => {
                format!("use a newer asyncprof, or run the program with Python 3.{NEWEST_MINOR} or earlier")
            }
            Self::UnknownVersion { .. } => {
                "it is probably embedded without its C API; please report which program this is".into()
            }
            Self::Starting { .. } => "try again in a moment".into(),
            Self::Finalizing { .. } => "it is about to exit; there is nothing left to read".into(),
            Self::Unreadable { .. } => {
                "the file was replaced or lies in another mount namespace: restart the target, or run asyncprof as root"
                    .into()
            }
            Self::Layout { .. } => {
                "nothing was guessed; a debug build or a patched Python keeps its data elsewhere and cannot be read"
                    .into()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_what_to_do_next() {
        let (pid, found) = (4211, "2.7".to_owned());
        let error = LocateError::TooOld { pid, found };
        assert_eq!(error.to_string(), "process 4211 runs Python 2.7; 3.8 is the oldest that can be read");
        assert_eq!(error.hint(), "run the program with Python 3.8 or later");
        let error = LocateError::TooNew { pid, found: "3.99.0a1".into() };
        let newest = format!("process 4211 runs Python 3.99.0a1; 3.{NEWEST_MINOR} is the newest that can be read");
        assert_eq!(error.to_string(), newest);
        let error = LocateError::NotPython { pid, executable: "/usr/bin/sleep".into() };
        assert_eq!(error.to_string(), "process 4211 is not a Python program: it runs /usr/bin/sleep");
        let error = LocateError::Layout { pid, version: "3.11.7".into(), what: "a list leads out of memory" };
        assert!(error.hint().starts_with("nothing was guessed"));
    }
}
