//! Why a process cannot be read, and the smallest thing that would change it. It must not know what is read there.

use super::process::{IoFailure, classify};

/// Why a process is out of reach.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// No process has this id.
    #[error("there is no process {pid}")]
    NoSuchProcess {
        /// The id asked for.
        pid: i32,
    },
    /// The id belongs to a thread, not to a process.
    #[error("{tid} is a thread of process {pid}, not a process")]
    Thread {
        /// The id asked for.
        tid: i32,
        /// The process it belongs to.
        pid: i32,
    },
    /// A thread of the kernel: it has no user memory.
    #[error("process {pid} ({comm}) is a thread of the kernel, not a program")]
    KernelThread {
        /// The id asked for.
        pid: i32,
        /// Its name.
        comm: String,
    },
    /// Dead, and not yet waited for by its parent.
    #[error("process {pid} ({comm}) has already exited and waits for its parent to notice (zombie)")]
    Zombie {
        /// The id asked for.
        pid: i32,
        /// Its name.
        comm: String,
    },
    /// It was there and has gone.
    #[error("process {pid} has exited")]
    Exited {
        /// The id asked for.
        pid: i32,
    },
    /// The kernel says no.
    #[error("cannot read process {pid}: permission denied{}", because(why))]
    Forbidden {
        /// The id asked for.
        pid: i32,
        /// What probably stands in the way, empty when it is not known.
        why: String,
        /// What to do about it.
        fix: String,
    },
    /// The program is built for another machine than this profiler.
    #[error("process {pid} runs {found} code; this asyncprof reads {expected} programs only")]
    OtherArchitecture {
        /// The id asked for.
        pid: i32,
        /// What its executable is built for.
        found: String,
        /// What we are built for.
        expected: &'static str,
    },
    /// The kernel's account of the process cannot be had for another reason.
    #[error("cannot read {path}: {error}")]
    Proc {
        /// The file under /proc.
        path: String,
        /// What the kernel said.
        error: String,
    },
}

impl AccessError {
    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::NoSuchProcess { .. } => "list the running Pythons with: pgrep -a python".into(),
            Self::Thread { pid, .. } => format!("use the process: {pid}"),
            Self::KernelThread { .. } => "give the id of a running Python program: pgrep -a python".into(),
            Self::Zombie { .. } | Self::Exited { .. } => {
                "it cannot be read any more; to watch a program from its start: asyncprof record -- python app.py"
                    .into()
            }
            Self::Forbidden { fix, .. } => fix.clone(),
            Self::OtherArchitecture { expected, .. } => {
                format!("run the target with a Python built for {expected}, or an asyncprof built for its machine")
            }
            Self::Proc { .. } => "asyncprof needs a /proc that shows the target; is it mounted here?".into(),
        }
    }

    /// What a failed access to a file below `/proc/PID` says about the process.
    pub(super) fn from_proc(pid: i32, path: &str, error: &std::io::Error) -> Self {
        match classify(error) {
            IoFailure::Gone => Self::Exited { pid },
            IoFailure::Forbidden => Self::forbidden(pid),
            IoFailure::Other => Self::Proc { path: path.into(), error: error.to_string() },
        }
    }

    /// The kernel refused to show process `pid`; the reason is looked for.
    pub fn forbidden(pid: i32) -> Self {
        Self::Forbidden {
            pid,
            why: String::new(),
            fix: "run asyncprof as the user the target runs as, or start the program under it: \
                  asyncprof record -- python app.py"
                .into(),
        }
    }
}

fn because(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!(" ({why})") }
}
