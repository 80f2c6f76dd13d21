//! What a reading starts from besides memory: where the interpreter is and what the kernel says of its threads. Gathered
//! from a live process, or taken from a saved image. It must not know what is read with it.

use serde::{Deserialize, Serialize};

use crate::python::layout::rows;
use crate::python::locate::Located;
use crate::remote::kernel_thread::{KernelThread, Schedule, SystemCall, ThreadState};
use crate::remote::{Addr, Memory, Process};
use crate::runtime::asyncio;
use crate::runtime::asyncio::locate::find_table;

/// Names this format; an image with another one is refused.
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
    /// The program.
    pub executable: String,
    /// Address of `_PyRuntime`.
    pub runtime: u64,
    /// Minor version of CPython 3.
    pub minor: u8,
    /// `PY_VERSION_HEX`, where the program tells it without objects being read.
    pub version_hex: Option<u32>,
    /// A free-threaded build.
    pub free_threaded: bool,
    /// Address of asyncio's table of offsets, where there is one.
    pub asyncio_debug: Option<u64>,
    /// The process's threads.
    pub threads: Vec<ThreadFacts>,
}

/// What the kernel says of one thread.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ThreadFacts {
    /// Its id in our PID namespace.
    pub tid: i32,
    /// Its id in its own PID namespace.
    pub own_tid: i32,
    /// The kernel's name of it.
    pub name: Option<String>,
    /// What it is doing.
    pub activity: Activity,
}

/// What a thread is doing as far as the kernel tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activity {
    /// On a processor, or ready to be.
    Running,
    /// In this system call.
    SystemCall(String),
    /// Not in a system call, not running: a page fault, or stopped.
    Waiting,
    /// The kernel does not say.
    Unknown,
}

impl Facts {
    /// Gathers what there is to know about a live process in which Python was found.
    pub fn gather(process: &Process, memory: &dyn Memory, located: &Located) -> Self {
        let ids = process.namespaced_threads();
        let threads = ids.pairs().iter().map(|&(tid, own_tid)| {
            let kernel = KernelThread::read(process, tid);
            ThreadFacts { tid, own_tid, activity: activity(&kernel), name: kernel.name }
        });
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
                .and_then(|python| find_table(process, memory, &asyncio::layout::rows::row(&python)))
                .map(Addr::raw),
            threads: threads.collect(),
        }
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

fn activity(kernel: &KernelThread) -> Activity {
    match (kernel.system_call, kernel.state) {
        (Some(SystemCall::Running), _) | (_, Some(ThreadState::Running)) => Activity::Running,
        (Some(call @ SystemCall::In { number, .. }), _) => {
            Activity::SystemCall(call.name().map_or_else(|| number.to_string(), str::to_owned))
        }
        (Some(SystemCall::None), _) => Activity::Waiting,
        (None, _) => Activity::Unknown,
    }
}

/// A look at the scheduler's account of every thread, to tell later whether any of them ran in between. As long as none
/// did, nothing in the process's memory can have changed by its own doing.
#[derive(Debug)]
pub struct Stillness {
    threads: Vec<(i32, Schedule)>,
}

impl Stillness {
    /// A look; `None` when a thread is running now, or the kernel does not keep the account.
    pub fn observe(process: &Process) -> Option<Self> {
        let ids = process.thread_ids();
        let threads: Option<Vec<(i32, Schedule)>> = ids
            .into_iter()
            .map(|tid| {
                let thread = KernelThread::read(process, tid);
                let asleep =
                    matches!(thread.state, Some(ThreadState::Sleeping | ThreadState::Stopped | ThreadState::Traced));
                // All zero: accounting is switched off.
                thread.schedule.filter(|schedule| asleep && schedule.slices > 0).map(|schedule| (tid, schedule))
            })
            .collect();
        threads.filter(|threads| !threads.is_empty()).map(|threads| Self { threads })
    }

    /// Whether no thread ran since, none was born and none died.
    pub fn lasted(&self, process: &Process) -> bool {
        Self::observe(process).is_some_and(|now| now.threads == self.threads)
    }
}
