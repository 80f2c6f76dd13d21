//! One snapshot, as inert data. Everything that renders or judges a snapshot works on this and nothing else.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use super::wait::{PoolKind, Resource, WaitDetail, WaitKind};

/// A snapshot of a process.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Process id in our PID namespace.
    pub pid: i32,
    /// The interpreter.
    pub python: Python,
    /// When reading began.
    pub taken_at: SystemTime,
    /// Time spent reading the target, microseconds.
    pub elapsed_us: f64,
    /// The stop that asyncprof made to read the process; `None` if it was not to be stopped.
    pub stop: Option<Stop>,
    /// What else kept the process from running while it was read; `None` if nothing was seen to.
    pub halt: Option<Halt>,
    /// Threads of the process that the kernel listed, those that know no Python included.
    pub kernel_threads: usize,
    /// Every accepted part was proved to show a single moment.
    pub consistent: bool,
    /// Statistics of the reading.
    pub reading: Reading,
    /// All distinct frames; [`FrameId`] indexes this.
    pub frames: Vec<Frame>,
    /// Python threads, main thread first.
    pub threads: Vec<Thread>,
    /// Event loops.
    pub loops: Vec<EventLoop>,
    /// Tasks that are not done, plus done ones whose exception was never retrieved.
    pub tasks: Vec<Task>,
    /// Further tasks that were listed, but not read, because asyncprof's own memory was used up.
    pub unread_tasks: usize,
    /// What could not be read, and why.
    pub gaps: Vec<Gap>,
    /// Pools of threads of which a worker runs a job, or whose jobs something waits for.
    pub pools: Vec<Pool>,
    /// Threads that block in `result()` of a future.
    pub results: Vec<ResultWait>,
}

/// A stop that asyncprof made to read a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// How long the process was stopped.
    pub duration: Duration,
    /// Everything was read during the stop. If not, it ended at its limit, and the process was read while it ran.
    pub covers_reading: bool,
}

impl Snapshot {
    /// The frame with this id.
    pub fn frame(&self, id: FrameId) -> &Frame {
        &self.frames[id.0 as usize]
    }

    /// What seemed to keep the process from running did not do so all the while: what its threads did is unknown.
    pub fn forget_halt(&mut self) {
        if self.halt.take().is_some() {
            self.threads.iter_mut().for_each(|thread| thread.state = ThreadState::Unknown);
        }
    }

    /// Something kept the process from running for a part of the time: what stood still did not do so by itself.
    pub fn forget_stillness(&mut self) {
        self.loops.iter_mut().for_each(|event_loop| event_loop.asleep_beside_ready_ms = None);
        self.threads.iter_mut().for_each(|thread| thread.asleep_on_lock_ms = None);
        self.pools.iter_mut().for_each(|pool| pool.still_ms = None);
        self.tasks.iter_mut().for_each(|task| task.still_ms = None);
        let waits = self.tasks.iter_mut().filter_map(|task| task.awaiting.as_mut());
        waits.filter_map(|wait| wait.resource.as_mut()).for_each(|resource| resource.still_ms = None);
    }

    /// The task with this index.
    pub fn task(&self, id: TaskId) -> &Task {
        &self.tasks[id.0 as usize]
    }
}

/// The interpreter that was read.
#[derive(Clone, Debug)]
pub struct Python {
    /// For example `3.12.1`.
    pub version: String,
    /// A free-threaded build.
    pub free_threaded: bool,
    /// Path of the executable as the target sees it.
    pub executable: String,
    /// Whether asyncprof's own tests have checked this build's layout on a running interpreter.
    pub tested: bool,
    /// asyncio's C module is loaded; without it there are no tasks.
    pub asyncio_loaded: bool,
}

/// What keeps a process from running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// A signal: SIGSTOP, SIGTSTP, ...
    JobControl,
    /// A debugger.
    Tracer,
    /// The freezer of its control group.
    Frozen,
}

impl Halt {
    /// The word in the output contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JobControl => "stopped",
            Self::Tracer => "traced",
            Self::Frozen => "frozen",
        }
    }
}

/// Counts that show how far the snapshot can be trusted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// System calls that read memory.
    pub calls: u64,
    /// Pieces in these calls.
    pub pieces: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Tasks or threads that changed while they were read and were read again.
    pub torn: u64,
    /// Given up after a bounded number of retries; each has a gap.
    pub dropped: u64,
}

/// Index into [`Snapshot::frames`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameId(pub u32);

/// One level of a stack.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    /// Qualified name where the version has one (3.11+, or any coroutine), else the name.
    pub function: Arc<str>,
    /// `co_filename`.
    pub file: Arc<str>,
    /// Line being executed or suspended at; `None` when the bytecode has no line there or the line is unknown.
    pub line: Option<u32>,
}

/// A thread known to the interpreter.
#[derive(Clone, Debug)]
pub struct Thread {
    /// Kernel thread id in our PID namespace; in the target's own where the kernel does not list the thread.
    pub native_id: Option<i32>,
    /// `threading` name if it has one, else the kernel's name.
    pub name: Option<String>,
    /// Interpreter id, 0 is the main one.
    pub interpreter: i64,
    /// `None` in free-threaded builds without a GIL, or when unknown.
    pub holds_gil: Option<bool>,
    /// What it is doing.
    pub state: ThreadState,
    /// A garbage collection is running in this thread's interpreter and this thread holds the GIL.
    pub collecting_garbage: Option<bool>,
    /// While it waits for the GIL: the index of the thread that was shown to hold it all the while.
    pub waits_behind: Option<usize>,
    /// While it waits for a lock of `threading`: the suspended task that holds it.
    pub lock_holder: Option<TaskId>,
    /// It runs an event loop, or waits for other threads to end, and was seen to sleep in one wait for a lock for this long,
    /// milliseconds.
    pub asleep_on_lock_ms: Option<u64>,
    /// The interpreter does not wait for it when the program ends; `None` where that was not read.
    pub is_daemon: Option<bool>,
    /// Outermost first.
    pub stack: Vec<FrameId>,
    /// Why the stack ends early, if it does.
    pub stack_end: Option<String>,
}

/// What a thread is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ThreadState {
    /// On a CPU or runnable.
    Running,
    /// An event loop in its selector.
    Idle,
    /// Waiting for the GIL.
    WaitingGil,
    /// In this system call.
    Syscall(String),
    /// The whole process is stopped, traced or frozen.
    Stopped,
    /// Unknown, or not the same all the while it was read.
    Unknown,
}

/// Index into [`Snapshot::loops`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoopId(pub u32);

/// Where an event loop is, as far as the frames of its thread show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoopPosition {
    /// It waits in its selector.
    Selector,
    /// A callback or a step runs.
    Callback,
    /// Code runs that interrupted its selector: a signal handler or a finalizer.
    Interrupted,
    /// In an iteration, between its selector and a callback.
    Iteration,
    /// In code that shows no frames, and only the system call can tell where.
    Native,
    /// In a greenlet that does not run, while other code runs in its thread.
    Parked,
    /// It does not run.
    NotRunning,
    /// Unknown.
    Unknown,
}

impl LoopPosition {
    /// The word in the output contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Selector => "selector",
            Self::Callback => "callback",
            Self::Interrupted => "interrupted",
            Self::Iteration => "iteration",
            Self::Native => "native",
            Self::Parked => "parked",
            Self::NotRunning => "not_running",
            Self::Unknown => "unknown",
        }
    }
}

/// An event loop.
#[derive(Clone, Debug)]
pub struct EventLoop {
    /// Stable while the loop lives.
    pub key: u64,
    /// Qualified class name, `asyncio.unix_events._UnixSelectorEventLoop`, `uvloop.Loop`.
    pub class: String,
    /// Kernel id of the thread that runs it.
    pub thread: Option<i32>,
    /// It is running in a thread now; one idle in its selector counts as running.
    pub running: Option<bool>,
    /// Where it is.
    pub position: LoopPosition,
    /// The task whose step runs now.
    pub running_task: Option<TaskId>,
    /// Callbacks in the ready queue.
    pub ready: Option<u64>,
    /// For how long it was seen to sleep in its selector, without a pause, while its ready queue was not empty.
    pub asleep_beside_ready_ms: Option<u64>,
    /// Timers, cancelled ones included.
    pub scheduled: Option<u64>,
}

/// Index into [`Snapshot::tasks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub u32);

/// A task.
#[derive(Clone, Debug)]
pub struct Task {
    /// Stable while the task lives; printed as hex.
    pub key: u64,
    /// The result of `get_name()`.
    pub name: Option<String>,
    /// Class name, unless it is asyncio's own C `Task`.
    pub class: Option<String>,
    /// What it is doing.
    pub state: TaskState,
    /// Its event loop.
    pub event_loop: Option<LoopId>,
    /// Outermost first: its coroutines and, for the running task, the synchronous frames below them.
    pub stack: Vec<FrameId>,
    /// How many frames of `stack` are coroutines; the rest are synchronous calls of the running step.
    pub coroutines: u32,
    /// Why the stack ends, unless it ends in a future.
    pub stack_end: Option<StackEnd>,
    /// What it waits for; `None` while running or ready.
    pub awaiting: Option<Awaiting>,
    /// All tasks that await it.
    pub awaited_by: Vec<TaskId>,
    /// The scope that it was started in; `None` if it belongs to none or the scope cannot be seen.
    pub parent: Option<ParentScope>,
    /// Pending, not awaited, and with no strong reference but the event loop's own.
    pub orphaned: Option<bool>,
    /// An orphan that has the writer of a connection that a server accepted.
    pub serves_connection: bool,
    /// Strong references beyond the event loop's own.
    pub references: Option<i64>,
    /// Type and text of an exception that was never retrieved.
    pub unretrieved_exception: Option<String>,
    /// Number of calls of `cancel()` minus those of `uncancel()`.
    pub cancel_requests: u32,
    /// Requests to cancel it that were delivered, and after which it waits on; `None` if there are none or it is unknown.
    pub cancellation: Option<Cancellation>,
    /// For how long it was seen not to move at all, milliseconds, where that was watched.
    pub still_ms: Option<u64>,
    /// Lower bound of its age, milliseconds; a single snapshot cannot know the age.
    pub age_ms_at_least: Option<f64>,
}

/// Requests to cancel a task that have reached it, although it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancellation {
    /// Calls of `cancel()` minus those of `uncancel()`, without those of scopes around it that take theirs back at their end.
    pub requests: u32,
    /// The frame that handles the CancelledError, in an `except` or `finally` block: an index of the task's stack.
    pub handled_in: Option<usize>,
}

/// State of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskState {
    /// Its step runs now.
    Running,
    /// In the ready queue, or about to be.
    Ready,
    /// Suspended on something.
    Waiting,
    /// Finished.
    Done,
    /// Cancellation requested and not finished.
    Cancelling,
    /// Unknown.
    Unknown,
}

impl TaskState {
    /// The word in the output contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Ready => "ready",
            Self::Waiting => "waiting",
            Self::Done => "done",
            Self::Cancelling => "cancelling",
            Self::Unknown => "unknown",
        }
    }
}

/// Why a stack ends in something other than a future.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StackEnd {
    /// An awaitable that cannot be inspected, by type name.
    Opaque(String),
    /// The part below was torn.
    Torn,
    /// Deeper than the limit for a stack walk.
    Limit,
}

/// A scope that does not end before the tasks started in it: a task group or nursery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParentScope {
    /// Stable while the scope lives; equal for tasks of the same scope.
    pub key: u64,
    /// The task that opened it, if it is in the snapshot.
    pub owner: Option<TaskId>,
}

/// What a task waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct Awaiting {
    /// The kind of wait.
    pub kind: WaitKind,
    /// Further details, where known.
    pub detail: Option<WaitDetail>,
    /// The tasks it waits for, directly or through gather, shield, wait or TaskGroup.
    pub tasks: Vec<TaskId>,
    /// For a lock, semaphore or condition: the tasks that hold it, where they can be seen.
    pub held_by: Vec<TaskId>,
    /// The lock, semaphore, limiter or queue that it waits at.
    pub resource: Option<Resource>,
    /// This task, or one that it waits for, was seen to move after it was read: who waits for whom may be out of date.
    pub has_moved: bool,
    /// The thread that runs the job it waits for: an index of [`Snapshot::threads`].
    pub thread: Option<usize>,
    /// The pool in whose queue the job it waits for is: an index of [`Snapshot::pools`].
    pub queued_in: Option<usize>,
    /// The event loop that has yet to start the coroutine whose result it waits for.
    pub starts_on: Option<LoopId>,
}

/// A pool of threads that runs jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Stable while it lives.
    pub key: u64,
    /// The prefix of its threads' names.
    pub name: Option<String>,
    /// How many threads it may have.
    pub workers: Option<u64>,
    /// The jobs that run now.
    pub running: Vec<Job>,
    /// Jobs in its queue.
    pub queued: Option<u64>,
    /// The functions of queued jobs, and how many jobs each has: the most common first.
    pub queued_functions: Vec<(String, u64)>,
    /// The function of the job that has been in the queue for longest.
    pub oldest: Option<String>,
    /// The threads that wait in its `shutdown()` for its workers to end: indexes of [`Snapshot::threads`].
    pub shut_down_by: Vec<usize>,
    /// For how long the running jobs and the queue were seen not to move at all.
    pub still_ms: Option<u64>,
}

/// A job that a thread of a pool runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The thread: an index of [`Snapshot::threads`].
    pub thread: usize,
    /// How many frames of the thread's stack are outside of the job.
    pub outside: usize,
    /// Its function.
    pub function: Option<String>,
}

/// A thread that blocks in `result()` of a future.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultWait {
    /// The thread: an index of [`Snapshot::threads`].
    pub thread: usize,
    /// How many frames of the thread's stack are outside of the call of `result()`.
    pub outside: usize,
    /// It gives up after this many nanoseconds, counted from the beginning of its wait.
    pub timeout_ns: Option<u64>,
    /// What the future is the result of.
    pub of: ResultOf,
}

/// What brings the result of a future.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResultOf {
    /// Unknown.
    Unknown,
    /// This task.
    Task(TaskId),
    /// A coroutine that its event loop has not started.
    Coroutine {
        /// The coroutine's function, and its file.
        function: Option<(String, String)>,
        /// The loop; `None` if it is not among those of the snapshot.
        event_loop: Option<LoopId>,
        /// A thread runs the loop; `None` if unknown.
        is_running: Option<bool>,
    },
    /// A job that a thread runs: an index of [`Snapshot::threads`].
    Running(usize),
    /// A job in the queue of a pool: an index of [`Snapshot::pools`].
    Queued(usize),
}

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// What is missing.
    pub what: String,
    /// Why.
    pub why: String,
}

/// Severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth checking.
    Warning,
    /// Wrong.
    Error,
}

impl Severity {
    /// The word in the output contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// The kebab-case name of a rule. A recording can contain rules that this version does not have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(Cow<'static, str>);

impl RuleId {
    /// The name of a rule of this version.
    pub const fn new(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// A name read from a file.
    pub fn from_file(name: &str) -> Self {
        Self(Cow::Owned(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something wrong in a snapshot, found by a rule of the `detect` layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The rule that found it.
    pub rule: RuleId,
    /// Its severity.
    pub severity: Severity,
    /// One sentence.
    pub message: String,
    /// The tasks concerned.
    pub tasks: Vec<TaskId>,
    /// The facts that support it, by name.
    pub evidence: Evidence,
    /// What to do, in one sentence.
    pub advice: String,
}

/// Facts by name.
pub type Evidence = serde_json::Map<String, serde_json::Value>;
