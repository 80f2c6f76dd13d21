//! Why a process cannot be read, and the smallest change that would allow it.

use std::io;

use nix::errno::Errno;

/// The fix in most cases.
pub(super) const GENERAL_FIX: &str = "run asyncprof as the user the target runs as, or with sudo";

/// Why a process cannot be accessed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// No process has this id.
    #[error("there is no process {pid}")]
    NoSuchProcess {
        /// The requested id.
        pid: i32,
    },
    /// It exists, and `/proc` does not show it.
    #[error("cannot see process {pid}: it exists, but /proc does not show it (mounted with hidepid)")]
    Hidden {
        /// The requested id.
        pid: i32,
    },
    /// The id belongs to a thread, not to a process.
    #[error("{tid} is a thread of process {pid}, not a process")]
    Thread {
        /// The requested id.
        tid: i32,
        /// The process it belongs to.
        pid: i32,
    },
    /// A kernel thread: it has no user memory.
    #[error("process {pid} ({comm}) is a thread of the kernel, not a program")]
    KernelThread {
        /// The requested id.
        pid: i32,
        /// Its name.
        comm: String,
    },
    /// Dead, and not yet waited for by its parent.
    #[error("process {pid} ({comm}) has already exited and waits for its parent to notice (zombie)")]
    Zombie {
        /// The requested id.
        pid: i32,
        /// Its name.
        comm: String,
    },
    /// It existed and has exited.
    #[error("process {pid} has exited")]
    Exited {
        /// The requested id.
        pid: i32,
    },
    /// The kernel denies access.
    #[error("cannot read process {pid}: permission denied{}", because(why))]
    Forbidden {
        /// The requested id.
        pid: i32,
        /// The probable obstacle; empty if unknown.
        why: String,
        /// How to fix it.
        fix: String,
    },
    /// The program is built for another architecture than this profiler.
    #[error("process {pid} runs {found} code; this asyncprof reads {expected} programs only")]
    OtherArchitecture {
        /// The requested id.
        pid: i32,
        /// The architecture of its executable.
        found: String,
        /// Our architecture.
        expected: &'static str,
    },
    /// The kernel's data about the process cannot be read for another reason.
    #[error("cannot read {path}: {error}")]
    Proc {
        /// The file under /proc.
        path: String,
        /// The kernel's message.
        error: String,
    },
}

impl AccessError {
    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::NoSuchProcess { .. } => "list the running Pythons with: pgrep -a python".into(),
            Self::Hidden { pid } => format!(
                "run asyncprof as the user process {pid} runs as, or with sudo; or show all processes: sudo mount -o \
                 remount,hidepid=0 /proc"
            ),
            Self::Thread { pid, .. } => format!("use the process: {pid}"),
            Self::KernelThread { .. } => "give the id of a running Python program: pgrep -a python".into(),
            Self::Zombie { .. } | Self::Exited { .. } => {
                "it cannot be read any more; list the running Pythons with: pgrep -a python".into()
            }
            Self::Forbidden { fix, .. } => fix.clone(),
            Self::OtherArchitecture { expected, .. } => {
                format!("run the target with a Python built for {expected}, or an asyncprof built for its machine")
            }
            Self::Proc { .. } => "asyncprof needs a /proc that shows the target; is it mounted here?".into(),
        }
    }

    /// What a failed access to a file below `/proc/PID` says about the process; does not determine the reason for a
    /// refusal.
    pub(super) fn from_proc(pid: i32, path: &str, error: &io::Error) -> Self {
        match classify(error) {
            IoFailure::Gone => Self::Exited { pid },
            IoFailure::Forbidden => Self::Forbidden { pid, why: String::new(), fix: GENERAL_FIX.into() },
            IoFailure::Other => Self::Proc { path: path.into(), error: error.to_string() },
        }
    }
}

/// What a failed access to a file of `/proc/PID` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IoFailure {
    Gone,
    Forbidden,
    Other,
}

pub(super) fn classify(error: &io::Error) -> IoFailure {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT | Errno::ESRCH) => IoFailure::Gone,
        Some(Errno::EACCES | Errno::EPERM) => IoFailure::Forbidden,
        _ => IoFailure::Other,
    }
}

fn because(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!(" ({why})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_what_happened_and_what_to_do() {
        let (why, fix) = ("ptrace_scope=1".to_owned(), "start it under asyncprof".to_owned());
        let error = AccessError::Forbidden { pid: 4211, why, fix };
        assert_eq!(error.to_string(), "cannot read process 4211: permission denied (ptrace_scope=1)");
        assert_eq!(error.hint(), "start it under asyncprof");
        let error = AccessError::Zombie { pid: 4211, comm: "python".into() };
        let expected = "process 4211 (python) has already exited and waits for its parent to notice (zombie)";
        assert_eq!(error.to_string(), expected);
        let error = AccessError::Thread { tid: 4212, pid: 4211 };
        assert_eq!(error.to_string(), "4212 is a thread of process 4211, not a process");
        assert_eq!(error.hint(), "use the process: 4211");
        let error = AccessError::OtherArchitecture { pid: 4211, found: "32-bit i386".into(), expected: "x86_64" };
        assert_eq!(error.to_string(), "process 4211 runs 32-bit i386 code; this asyncprof reads x86_64 programs only");
    }

    #[test]
    fn a_file_of_proc_that_is_not_there_means_that_the_process_is_gone() {
        let gone = std::fs::read("/proc/2147483647/maps").unwrap_err();
        let pid = i32::MAX;
        assert_eq!(AccessError::from_proc(pid, "/proc/2147483647/maps", &gone), AccessError::Exited { pid });
    }
}
