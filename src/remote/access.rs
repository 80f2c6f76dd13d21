//! Why a process cannot be read, and the smallest change that would allow it.

use std::io;

use nix::errno::Errno;

/// The fix where `/proc` is not as usual.
pub(super) const PROC_FIX: &str = "asyncprof needs a /proc that shows the target; is it mounted here?";

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
        /// How to fix it.
        fix: &'static str,
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
            Self::Proc { fix, .. } => (*fix).to_owned(),
        }
    }

    /// What a failed access to a file below `/proc/PID` says about the process; does not determine the reason for a
    /// refusal.
    pub(super) fn from_proc(pid: i32, path: &str, error: &io::Error) -> Self {
        match classify(error) {
            IoFailure::Gone => Self::Exited { pid },
            IoFailure::Forbidden => Self::Forbidden { pid, why: String::new(), fix: GENERAL_FIX.into() },
            IoFailure::Other => {
                let fix = error.raw_os_error().and_then(|errno| fix_of(Errno::from_raw(errno)));
                Self::Proc { path: path.into(), error: error.to_string(), fix: fix.unwrap_or(PROC_FIX) }
            }
        }
    }
}

/// What to do about an error of the kernel that is not about the process.
pub fn fix_of(errno: Errno) -> Option<&'static str> {
    match errno {
        Errno::EMFILE | Errno::ENFILE => Some("asyncprof may open too few files: raise the limit with ulimit -n"),
        Errno::ENOMEM => Some("the kernel has no memory left for this: try again, or allow the container more"),
        Errno::ENOSYS => Some("a filter of system calls (seccomp) or an emulator lacks process_vm_readv"),
        _ => None,
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
    fn every_error_of_a_file_in_proc_is_told_as_what_it_is() {
        const GONE: &str = "process 4211 has exited";
        const FORBIDDEN: &str = "cannot read process 4211: permission denied";
        for (errno, said, fix) in [
            (Errno::ENOENT, GONE, "pgrep -a python"),
            (Errno::ESRCH, GONE, "pgrep -a python"),
            (Errno::EACCES, FORBIDDEN, GENERAL_FIX),
            (Errno::EPERM, FORBIDDEN, GENERAL_FIX),
            (Errno::EMFILE, "cannot read /proc/4211/stat: Too many open files (os error 24)", "ulimit -n"),
            (Errno::ENFILE, "cannot read /proc/4211/stat: Too many open files in system (os error 23)", "ulimit -n"),
            (Errno::ENOMEM, "cannot read /proc/4211/stat: Cannot allocate memory (os error 12)", "no memory left"),
            (Errno::EINTR, "cannot read /proc/4211/stat: Interrupted system call (os error 4)", PROC_FIX),
            (Errno::EAGAIN, "cannot read /proc/4211/stat: Resource temporarily unavailable (os error 11)", PROC_FIX),
            (Errno::EIO, "cannot read /proc/4211/stat: Input/output error (os error 5)", PROC_FIX),
            (Errno::EINVAL, "cannot read /proc/4211/stat: Invalid argument (os error 22)", PROC_FIX),
            (Errno::ENOTDIR, "cannot read /proc/4211/stat: Not a directory (os error 20)", PROC_FIX),
            (Errno::ELOOP, "cannot read /proc/4211/stat: Too many levels of symbolic links (os error 40)", PROC_FIX),
        ] {
            let error = io::Error::from_raw_os_error(errno as i32);
            let error = AccessError::from_proc(4211, "/proc/4211/stat", &error);
            assert_eq!(error.to_string(), said, "{errno}");
            assert!(error.hint().contains(fix), "{errno}: {}", error.hint());
        }
    }

    #[test]
    fn a_file_of_proc_that_is_not_there_means_that_the_process_is_gone() {
        let gone = std::fs::read("/proc/2147483647/maps").unwrap_err();
        let pid = i32::MAX;
        assert_eq!(AccessError::from_proc(pid, "/proc/2147483647/maps", &gone), AccessError::Exited { pid });
    }
}
