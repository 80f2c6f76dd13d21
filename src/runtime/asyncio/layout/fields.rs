//! The fields of asyncio's layout: where each structure is, and how it is built.

use crate::python::layout::{Flag, Offset};

/// Everything that a reader of asyncio needs to know about one build of CPython. CPython: Modules/_asynciomodule.c.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Layout {
    /// How tasks are listed.
    pub registry: Registry,
    /// How a thread's running event loop is found.
    pub running_loop: RunningLoop,
    /// In the thread state, 3.14+: the task whose step is running.
    pub running_task: Option<Offset>,
    /// `_asyncio.Future`, also the head of `_asyncio.Task`.
    pub future: Future,
    /// `_asyncio.Task`.
    pub task: Task,
    /// `asyncio.Handle` slots.
    pub handle: Handle,
    /// Whether a task's name can be an int n, meaning `Task-n`.
    pub lazy_names: bool,
}

impl Layout {
    /// Whether asyncio's C module publishes its offsets, 3.14+.
    pub fn publishes_offsets(&self) -> bool {
        matches!(self.registry, Registry::Lists(_))
    }
}

/// Where a thread's running event loop is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RunningLoop {
    /// Up to 3.11: `tstate.dict["__asyncio_running_event_loop__"]` is a holder of loop and process id.
    Holder {
        /// The loop; None if there is none.
        event_loop: Offset,
        /// i32; a different process id means a forked copy.
        pid: Offset,
    },
    /// 3.12: the same key, the value is the loop.
    ThreadDict,
    /// 3.13+: a field of the thread state.
    Field(Offset),
}

impl RunningLoop {
    /// Its field in the thread state, 3.13+.
    pub fn field(self) -> Option<Offset> {
        match self {
            Self::Field(at) => Some(at),
            Self::Holder { .. } | Self::ThreadDict => None,
        }
    }
}

/// How tasks are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registry {
    /// 3.8 to 3.11: `asyncio.tasks._all_tasks`, a WeakSet.
    AllTasks,
    /// 3.12, 3.13: `asyncio.tasks._scheduled_tasks` (WeakSet) and `_eager_tasks` (set).
    Scheduled,
    /// 3.14+: linked lists, plus the sets above for pure-Python tasks, plus sets in the C module's state for
    /// third-party classes.
    Lists(Lists),
}

/// Where tasks are listed from 3.14 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lists {
    /// In the thread state: head of the list of the thread's tasks.
    pub of_thread: Offset,
    /// In the interpreter state: head of the list of tasks whose thread has exited.
    pub of_interpreter: Offset,
    /// In a task: its links.
    pub node: Offset,
    /// In the C module's state: WeakSet.
    pub non_asyncio_tasks: Offset,
    /// In the C module's state: set.
    pub non_asyncio_eager_tasks: Offset,
}

/// `FutureObj`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Future {
    /// The event loop.
    pub event_loop: Offset,
    /// First callback; its context is the next word.
    pub callback0: Offset,
    /// list of further (callback, context) tuples.
    pub callbacks: Offset,
    /// Exception instance.
    pub exception: Offset,
    /// i32: 0 pending, 1 cancelled, 2 finished.
    pub state: Offset,
    /// Exception set and never retrieved.
    pub log_traceback: Flag,
    /// 3.14+: null, one awaiter or a set of them.
    pub awaited_by: Option<AwaitedBy>,
    /// `tp_basicsize` of the type, the proof of the layout.
    pub size: u64,
}

/// The awaiters of a future, 3.14+.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AwaitedBy {
    /// The object or set.
    pub object: Offset,
    /// u8: it is a set.
    pub is_set: Offset,
}

/// `TaskObj`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Task {
    /// The future it waits for.
    pub fut_waiter: Offset,
    /// Its coroutine.
    pub coro: Offset,
    /// str, or int when lazy.
    pub name: Offset,
    /// `cancel()` was called and not delivered yet.
    pub must_cancel: Flag,
    /// i32, 3.11+.
    pub num_cancels_requested: Option<Offset>,
    /// `tp_basicsize` of the type, the proof of the layout.
    pub size: u64,
}

/// `asyncio.Handle` and `TimerHandle`, Python classes with `__slots__`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Handle {
    /// tuple.
    pub args: Offset,
    /// callable.
    pub callback: Offset,
    /// bool.
    pub cancelled: Offset,
    /// TimerHandle: float, loop time in seconds.
    pub when: Offset,
}
