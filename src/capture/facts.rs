//! What a reading needs besides memory: where the interpreter is and what the kernel reports about its threads.
//! Gathered from a live process, or taken from a saved image.

use serde::{Deserialize, Serialize};

use crate::python::layout::rows;
use crate::python::locate::Located;
use crate::remote::halt::Halt;
use crate::remote::kernel_thread::{KernelThread, SystemCall, ThreadState};
use crate::remote::process::ThreadIds;
use crate::remote::{Addr, Memory, Process};
use crate::runtime::layouts::find_asyncio_table;

/// Names this format; an image with another one is rejected.
pub const FACTS_SCHEMA: &str = "asyncprof.image/1";

/// Everything about a process that is not in its memory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Facts {
    /// [`FACTS_SCHEMA`].
    pub schema: String,
    /// Process id in our PID namespace.
    pub pid: i32,
    /// Process id in its own PID namespace.
    pub own_pid: Option<i32>,
    /// Path of the program.
    pub executable: String,
    /// Address of `_PyRuntime`.
    pub runtime: u64,
    /// Minor version of CPython 3.
    pub minor: u8,
    /// `PY_VERSION_HEX`, where it can be found without reading objects.
    pub version_hex: Option<u32>,
    /// A free-threaded build.
    pub free_threaded: bool,
    /// Address of asyncio's table of offsets, where it exists.
    pub asyncio_debug: Option<u64>,
    /// The process's threads.
    pub threads: Vec<ThreadFacts>,
    /// What kept the process from running before it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halt: Option<Halt>,
}

/// What the kernel reports about one thread.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ThreadFacts {
    /// Its id in our PID namespace.
    pub tid: i32,
    /// Its id in its own PID namespace.
    pub own_tid: i32,
    /// The kernel's name for it.
    pub name: Option<String>,
    /// What it is doing.
    pub activity: Activity,
    /// The word it sleeps on, when it waits for another thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub futex: Option<u64>,
}

/// What a thread is doing, as far as the kernel shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activity {
    /// On CPU or runnable.
    Running,
    /// In this system call.
    SystemCall(String),
    /// Neither in a system call nor running: a page fault, or stopped.
    Waiting,
    /// The kernel does not show it.
    Unknown,
}

impl Facts {
    /// Gathers the facts about a live process in which Python was found.
    pub fn gather(process: &Process, memory: &dyn Memory, located: &Located) -> Self {
        let ids = process.namespaced_threads();
        Self {
            schema: FACTS_SCHEMA.to_owned(),
            pid: process.pid(),
            own_pid: ids.theirs(process.pid()),
            executable: located.executable.clone(),
            runtime: located.runtime.raw(),
            minor: located.version.minor,
            version_hex: located.version.exact.map(|version| version.to_hex()),
            free_threaded: located.free_threaded,
            asyncio_debug: rows::row(located.version.minor, located.free_threaded)
                .and_then(|python| find_asyncio_table(process, memory, &python))
                .map(Addr::raw),
            threads: threads(process, &ids),
            halt: None,
        }
    }

    /// The same process later, with the current state of its threads. `halt` is what kept it from running before it was
    /// stopped to be read.
    pub fn renewed(&self, process: &Process, halt: Option<Halt>) -> Self {
        Self { threads: threads(process, &process.namespaced_threads()), halt, ..self.clone() }
    }

    /// The threads' ids in the target's own PID namespace.
    pub fn own_thread_ids(&self) -> Vec<i32> {
        self.threads.iter().map(|thread| thread.own_tid).collect()
    }

    /// The thread with this id in the target's own PID namespace.
    pub fn thread(&self, own_tid: i32) -> Option<&ThreadFacts> {
        self.threads.iter().find(|thread| thread.own_tid == own_tid)
    }
}

fn threads(process: &Process, ids: &ThreadIds) -> Vec<ThreadFacts> {
    let facts = |&(tid, own_tid): &(i32, i32)| {
        let kernel = KernelThread::read(process, tid);
        let futex = kernel.system_call.and_then(SystemCall::futex);
        ThreadFacts { tid, own_tid, activity: activity(&kernel), futex, name: kernel.name }
    };
    ids.pairs().iter().map(facts).collect()
}

pub(super) fn activity(kernel: &KernelThread) -> Activity {
    match (kernel.system_call, kernel.state) {
        (Some(SystemCall::Running), _) | (_, Some(ThreadState::Running)) => Activity::Running,
        (Some(call @ (SystemCall::In { number, .. } | SystemCall::Asleep { number })), _) => {
            Activity::SystemCall(call.name().map_or_else(|| number.to_string(), str::to_owned))
        }
        (Some(SystemCall::None), _) => Activity::Waiting,
        (None, _) => Activity::Unknown,
    }
}
