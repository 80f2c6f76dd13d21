//! The events that a watch over time consists of, in order of time, as owned and inert data. A live watch sends them, a
//! recording stores them, and every report about a period of time is computed from them by the same code, live or
//! later.
//!
//! Times are nanoseconds of the target machine's `CLOCK_MONOTONIC`.

use std::sync::Arc;

use super::snapshot::{Finding, TaskState, WaitDetail, WaitKind};
use super::tables::{Definitions, LoopNo, StackId, TaskNo};

/// What is known when a watch begins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Header {
    /// Process id in our PID namespace.
    pub pid: i32,
    /// For example `3.12.1`.
    pub python: String,
    /// A free-threaded build.
    pub free_threaded: bool,
    /// Path of the executable as the target sees it.
    pub executable: String,
    /// The target's command line.
    pub command: Vec<String>,
    /// When the watch began, in RFC 3339.
    pub started_at: String,
    /// The same moment on the events' clock.
    pub started_ns: u64,
    /// Requested samples of each loop per second.
    pub loop_rate_hz: f64,
    /// Requested task snapshots per second.
    pub task_rate_hz: f64,
    /// A loop that is busy for at least this long is stalled.
    pub stall_threshold_ns: u64,
    /// Share of one core that asyncprof may use.
    pub cpu_budget: f64,
    /// The target was stopped for each sample.
    pub blocking: bool,
    /// Version of asyncprof.
    pub asyncprof: String,
    /// Facts about the machine that a comparison with another recording needs, by name (`cpu`, `cores`, `kernel`).
    pub machine: Vec<(String, String)>,
}

/// The source of a batch. Each source has its own tables and numbers its names independently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The loop tier.
    Loops,
    /// The task tier.
    Tasks,
}

/// Events of one source, and the names they use that earlier batches did not define.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The source whose numbers these are.
    pub source: Source,
    /// The source's tables are reset before `definitions` are added: earlier numbers are no longer valid.
    pub begins_anew: bool,
    /// New names.
    pub definitions: Definitions,
    /// In order of time.
    pub events: Vec<Event>,
}

/// One observation.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// An event loop at one moment.
    Loop(LoopSample),
    /// What changed in the tasks since the last such event.
    Tasks(TaskChanges),
    /// Result of one full snapshot: orphans, exceptions never retrieved, cycles. Replaces the previous result.
    Findings {
        /// When reading the snapshot began.
        at_ns: u64,
        /// What is wrong.
        findings: Vec<KeptFinding>,
    },
    /// Health of the watch.
    Health(Health),
    /// Something happened to the target.
    Note(Note),
}

impl Event {
    /// The time of the event.
    pub fn at_ns(&self) -> u64 {
        match self {
            Self::Loop(sample) => sample.at_ns,
            Self::Tasks(changes) => changes.at_ns,
            Self::Findings { at_ns, .. } => *at_ns,
            Self::Health(health) => health.at_ns,
            Self::Note(note) => note.at_ns,
        }
    }
}

/// An event loop's thread at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct LoopSample {
    /// When its reading began.
    pub at_ns: u64,
    /// Which loop.
    pub event_loop: LoopNo,
    /// Where the loop is in its iteration.
    pub phase: Phase,
    /// Start of the busy part of this iteration, by the loop's own clock; `None` in the selector, and where the loop
    /// does not keep such a time.
    pub away_since_ns: Option<u64>,
    /// Precision of `away_since_ns`: asyncio keeps nanoseconds, uvloop milliseconds. Without `away_since_ns`, that of `at_ns`: how
    /// long the reading took, if it took unusually long.
    pub away_precision_ns: u32,
    /// Distinguishes one callback or step from the next: equal for as long as the same one runs in the same iteration.
    /// `None` where that cannot be determined.
    pub callback: Option<u64>,
    /// The task whose step is running.
    pub task: Option<TaskNo>,
    /// The thread's whole stack; for a torn one, the outer part that was proved.
    pub stack: Option<StackId>,
    /// Number of outermost frames that belong to the loop itself (`run_forever`, `_run_once`, ...).
    pub outer: u16,
    /// Number of frames after those that are coroutines of the task; the rest are synchronous calls.
    pub coroutines: u16,
    /// The inner part of the stack changed during every attempt to read it: there is a gap after `stack`.
    pub torn: bool,
    /// The innermost frame differs from the previous sample or is at another instruction: Python code ran.
    pub moved: bool,
    /// Callbacks in the ready queue.
    pub ready: Option<u32>,
    /// The holder of the GIL.
    pub gil: Gil,
    /// A garbage collection is in progress in the loop's interpreter.
    pub collecting: bool,
    /// The kernel's view of the thread; read only once the loop has been busy for some time, or where nothing else
    /// shows whether it is.
    pub kernel: Option<KernelLook>,
    /// The stack of the thread that holds the GIL, while this thread waits for it.
    pub holder_stack: Option<StackId>,
}

impl LoopSample {
    /// The end of its reading: what it shows was so by then.
    pub fn read_by_ns(&self) -> u64 {
        let took = if self.away_since_ns.is_none() { self.away_precision_ns } else { 0 };
        self.at_ns.saturating_add(took.into())
    }
}

/// Where an event loop is in its iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// In its selector, waiting for events.
    Selecting,
    /// Busy: a callback or step runs or is ready to run.
    Away,
    /// On its way into the selector or out of it: with the GIL, or waiting until another thread gives it up.
    LeavingSelector,
    /// The thread runs, but no event loop runs in it.
    NotRunning,
    /// The loop's stack is that of a greenlet, and the thread has left it for its own: nobody drives the loop.
    Parked,
    /// Unknown.
    Unknown,
}

/// The holder of the GIL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gil {
    /// No thread.
    Free,
    /// The loop's thread.
    Own,
    /// Another thread, by its kernel id in our PID namespace where that is known.
    Other(Option<i32>),
    /// This build has no GIL.
    None,
    /// Unknown.
    Unknown,
}

/// The kernel's view of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelLook {
    /// What the thread is doing.
    pub doing: Doing,
    /// Nanoseconds on CPU since the thread started.
    pub run_ns: Option<u64>,
    /// Nanoseconds runnable but not scheduled since the thread started.
    pub starved_ns: Option<u64>,
    /// Microseconds that its control group has been throttled for its CPU quota since the group was created.
    pub throttled_us: Option<u64>,
    /// Nanoseconds on CPU of the thread that holds the GIL, since it started; where this thread waits for the GIL, and the
    /// holder is runnable.
    pub holder_run_ns: Option<u64>,
}

impl KernelLook {
    /// Without a clock.
    pub fn of(doing: Doing) -> Self {
        Self { doing, run_ns: None, starved_ns: None, throttled_us: None, holder_run_ns: None }
    }
}

/// What a thread is doing, as the kernel sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Doing {
    /// On CPU or runnable.
    Running,
    /// In this system call.
    Call {
        /// Its name, where it is a known call.
        name: Option<Arc<str>>,
        /// Its number on the target's machine.
        number: u32,
        /// The descriptor in its first argument, where that is one.
        fd: Option<i32>,
    },
    /// Asleep on the lock or condition variable of the GIL.
    WaitingForGil,
    /// Neither in a system call nor running: usually a page fault.
    Fault,
    /// Stopped by job control or a debugger.
    Stopped,
    /// Unknown.
    Unknown,
}

/// What changed in the tasks since the last sample. A task that is not named has not changed.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskChanges {
    /// When reading began.
    pub at_ns: u64,
    /// Duration of the reading.
    pub took_ns: u64,
    /// Tasks that are new or have changed.
    pub changed: Vec<TaskLook>,
    /// Tasks of the last sample that no longer exist.
    pub ended: Vec<TaskNo>,
    /// Number of tasks now.
    pub total: u32,
    /// Every task was seen. If false, a task that is missing may still exist.
    pub complete: bool,
    /// How often the threads have entered or left a context since the last sample, at most: event loops do both for
    /// every callback. If 0, no task has run. Otherwise, and where it is not known, a task that looks the same may have
    /// run and come back to the same place, in another wait; it may even be another task at the same address.
    pub contexts: Option<u64>,
    /// Tasks whose timer is another one than at the last sample that named it, with what tells this timer from others:
    /// its deadline. 0 where the wait has none, or none that was read. A task that keeps its timer is in the same wait.
    pub timers: Vec<(TaskNo, u64)>,
}

/// A task at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskLook {
    /// Its number.
    pub task: TaskNo,
    /// It was not there at the last sample. False at the first sample, because the age of a task is unknown then.
    pub born: bool,
    /// Its state.
    pub state: TaskState,
    /// Its coroutines and, while it runs, the synchronous calls below them.
    pub stack: Option<StackId>,
    /// The inner part of the stack was torn.
    pub torn: bool,
    /// What it waits for; `None` while it runs or is ready.
    pub wait: Option<TaskWait>,
}

/// What a task waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskWait {
    /// The kind of wait.
    pub kind: WaitKind,
    /// Further details, where known.
    pub detail: Option<WaitDetail>,
    /// The tasks it waits for, directly or through gather, shield, wait or TaskGroup.
    pub tasks: Vec<TaskNo>,
    /// For a lock, semaphore or condition: the tasks that hold it, where they can be seen.
    pub held_by: Vec<TaskNo>,
}

/// A finding of one snapshot, with numbers of the tables in place of ids that are valid only in that snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptFinding {
    /// The finding; its `tasks` are empty.
    pub finding: Finding,
    /// The tasks concerned, as far as they have a number in the tables.
    pub tasks: Vec<TaskNo>,
    /// The frame to change: the innermost one of the user's own code.
    pub site: Option<super::snapshot::Frame>,
}

/// Health of the watch: totals since it began, and current rates.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Health {
    /// When it was measured.
    pub at_ns: u64,
    /// Accepted samples of loops, including partial ones.
    pub loop_samples: u64,
    /// Accepted task snapshots.
    pub task_snapshots: u64,
    /// Samples given up after a bounded number of retries.
    pub dropped: u64,
    /// Samples lost because the receiver of the events was slow.
    pub lost: u64,
    /// Attempts that were torn and retried.
    pub torn: u64,
    /// Samples kept with an explicit gap.
    pub partial: u64,
    /// Deadlines missed.
    pub late: u64,
    /// asyncprof's own CPU time, nanoseconds.
    pub cpu_ns: u64,
    /// Current samples of each loop per second.
    pub loop_rate_hz: f64,
    /// Current task snapshots per second.
    pub task_rate_hz: f64,
    /// A rate is lower than requested, to stay within the CPU budget.
    pub lowered_rate: bool,
    /// The longest time between two accepted samples of a loop since the last such event.
    pub longest_gap_ns: u64,
    /// How the target was stopped for samples; all zero if it was not to be.
    pub stops: StopTotals,
}

/// How a target was stopped while it was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StopTotals {
    /// How often.
    pub stops: u64,
    /// For how long in total, nanoseconds.
    pub stopped_ns: u64,
    /// The longest stop, nanoseconds.
    pub longest_ns: u64,
    /// Stops that ended at their limit; the rest was read while the target ran.
    pub cut_short: u64,
    /// Samples without a stop, because the target had been stopped for its share of the time.
    pub without: u64,
}

/// Something that happened to the target or to the watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// When it was seen.
    pub at_ns: u64,
    /// What happened.
    pub kind: NoteKind,
    /// The same as human-readable text.
    pub text: String,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoteKind {
    /// The target exited.
    Exited,
    /// The target now executes another program.
    Executed,
    /// The target was stopped by job control or a debugger.
    Stopped,
    /// It continued.
    Continued,
    /// The machine was suspended; that time is not counted.
    Suspended,
    /// The watch was ended by the user or by its time limit.
    Ended,
    /// Something could not be read.
    Gap,
    /// The watch continues with settings other than the requested ones.
    Adjusted,
}

impl NoteKind {
    /// The word in the output contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exited => "exited",
            Self::Executed => "executed",
            Self::Stopped => "stopped",
            Self::Continued => "continued",
            Self::Suspended => "suspended",
            Self::Ended => "ended",
            Self::Gap => "gap",
            Self::Adjusted => "adjusted",
        }
    }
}
