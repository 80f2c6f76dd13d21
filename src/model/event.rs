//! What a watch over time consists of: events, in the order of time, as owned and inert data. A live watch sends them,
//! a recording keeps them, and everything that is ever said about a stretch of time is worked out from them, live or
//! later, by the same code.
//!
//! Times are nanoseconds of the target machine's `CLOCK_MONOTONIC`.

use std::sync::Arc;

use super::snapshot::{Finding, TaskState, WaitDetail, WaitKind};
use super::tables::{Definitions, LoopNo, StackId, TaskNo};

/// What is known when a watch begins.
#[derive(Clone, Debug, PartialEq)]
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
    /// When the watch began, RFC 3339.
    pub started_at: String,
    /// The same moment on the clock of the events.
    pub started_ns: u64,
    /// Samples of each loop a second that were asked for.
    pub loop_rate_hz: f64,
    /// Task snapshots a second that were asked for.
    pub task_rate_hz: f64,
    /// From how long on a loop that is away from its selector is stalled.
    pub stall_threshold_ns: u64,
    /// Share of one core that asyncprof may use.
    pub cpu_budget: f64,
    /// The target was stopped for each sample.
    pub blocking: bool,
    /// Version of asyncprof.
    pub asyncprof: String,
    /// Of the machine: what a comparison with another recording needs to know, by name (`cpu`, `cores`, `kernel`).
    pub machine: Vec<(String, String)>,
}

/// Who numbers the names in a batch: each source has its own tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The loop tier.
    Loops,
    /// The task tier.
    Tasks,
}

/// Events of one source, and the names they use that were not said before.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Whose numbers these are.
    pub source: Source,
    /// The source's tables begin anew, before `definitions` are added: numbers from before mean nothing any more.
    pub begins_anew: bool,
    /// New names.
    pub definitions: Definitions,
    /// In the order of time.
    pub events: Vec<Event>,
}

/// Something seen.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// An event loop, at one moment.
    Loop(LoopSample),
    /// What became of the tasks since the last such event.
    Tasks(TaskChanges),
    /// What one look at everything showed: orphans, exceptions never retrieved, cycles. Replaces what the last one said.
    Findings {
        /// When the look began.
        at_ns: u64,
        /// What is wrong.
        findings: Vec<KeptFinding>,
    },
    /// How well the watch goes.
    Health(Health),
    /// Something happened to the target.
    Note(Note),
}

impl Event {
    /// When it was.
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
    /// When it was read.
    pub at_ns: u64,
    /// Which loop.
    pub event_loop: LoopNo,
    /// Where it is in its iteration.
    pub phase: Phase,
    /// Since when the loop has been away from its selector, by the loop's own clock; `None` in the selector, and where the
    /// loop does not keep such a time.
    pub away_since_ns: Option<u64>,
    /// How exact `away_since_ns` is: asyncio keeps nanoseconds, uvloop milliseconds.
    pub away_precision_ns: u32,
    /// Tells one callback or step of an iteration from the next: the same as long as it is the same one, of the same
    /// iteration. `None` where that cannot be known.
    pub callback: Option<u64>,
    /// The task whose step runs.
    pub task: Option<TaskNo>,
    /// The thread's whole stack. Of a torn one the outer part that held.
    pub stack: Option<StackId>,
    /// How many of its outermost frames are what runs the step or callback (`run_forever`, `_run_once`, ...).
    pub outer: u16,
    /// How many frames after those are coroutines of the task; what follows are synchronous calls.
    pub coroutines: u16,
    /// The inner part of the stack moved in every attempt to read it: after `stack` there is a gap.
    pub torn: bool,
    /// The innermost frame is at another instruction than in the sample before, or it is another frame: Python code ran.
    pub moved: bool,
    /// Callbacks in the ready queue.
    pub ready: Option<u32>,
    /// Who holds the GIL.
    pub gil: Gil,
    /// A garbage collection is under way in the loop's interpreter.
    pub collecting: bool,
    /// What the kernel says of the thread; looked at only while the loop is away from its selector for some time, or where
    /// nothing else tells whether it is.
    pub kernel: Option<KernelLook>,
    /// While another thread holds the GIL and this one waits for it: that thread's stack.
    pub holder_stack: Option<StackId>,
}

/// Where an event loop is in its iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// In its selector, waiting for events.
    Selecting,
    /// Away from it: a callback or step runs, or wants to.
    Away,
    /// Events have come, but the thread has not got the GIL to leave the selector with.
    LeavingSelector,
    /// The thread runs, but no loop in it.
    NotRunning,
    /// Cannot be known.
    Unknown,
}

/// Who holds the GIL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gil {
    /// Nobody.
    Free,
    /// The loop's thread.
    Own,
    /// Another thread, by its kernel id in our PID namespace where that is known.
    Other(Option<i32>),
    /// This build has none.
    None,
    /// Cannot be known.
    Unknown,
}

/// What the kernel says of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelLook {
    /// What it does.
    pub doing: Doing,
    /// Nanoseconds on a processor since it started.
    pub run_ns: Option<u64>,
    /// Nanoseconds ready to run without getting a processor, since it started.
    pub starved_ns: Option<u64>,
    /// Microseconds that its control group was throttled for its CPU quota, since that was made.
    pub throttled_us: Option<u64>,
}

/// What a thread does, as the kernel sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Doing {
    /// On a processor, or ready for one.
    Running,
    /// In this system call.
    Call {
        /// Its name, where it is a known one, and its number.
        name: Option<Arc<str>>,
        /// Its number on the target's machine.
        number: u32,
        /// The descriptor it is about, where its first argument is one.
        fd: Option<i32>,
    },
    /// Asleep on the lock or condition of the GIL.
    WaitingForGil,
    /// Not in a system call and not running: a page fault, mostly.
    Fault,
    /// Stopped by job control or a debugger.
    Stopped,
    /// Cannot be known.
    Unknown,
}

/// What became of the tasks since the last look. A task that is not named is as it was.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskChanges {
    /// When the look began.
    pub at_ns: u64,
    /// How long it took.
    pub took_ns: u64,
    /// Tasks that are new, or that are not as they were.
    pub changed: Vec<TaskLook>,
    /// Tasks that were there at the last look and are no more.
    pub ended: Vec<TaskNo>,
    /// How many there are now.
    pub total: u32,
    /// Every task that there is was seen; if not, one that is missing may live.
    pub complete: bool,
}

/// A task at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskLook {
    /// Which.
    pub task: TaskNo,
    /// It was not there at the last look. At the first look nobody knows since when a task is there: then it is false.
    pub born: bool,
    /// What it does.
    pub state: TaskState,
    /// Its coroutines, and while it runs the synchronous calls under them.
    pub stack: Option<StackId>,
    /// The inner part of the stack could not be read as one moment.
    pub torn: bool,
    /// What it waits for; `None` while it runs or is ready.
    pub wait: Option<TaskWait>,
}

/// What a task waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskWait {
    /// The kind of thing.
    pub kind: WaitKind,
    /// What more is known.
    pub detail: Option<WaitDetail>,
    /// The tasks it waits for, directly or through gather, shield, wait, TaskGroup.
    pub tasks: Vec<TaskNo>,
    /// For a lock, semaphore or condition: the tasks that hold it, where that can be seen.
    pub held_by: Vec<TaskNo>,
}

/// A finding of one look, with names instead of numbers that only that look knows.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptFinding {
    /// The finding; its `tasks` are empty.
    pub finding: Finding,
    /// The tasks concerned, as far as they have a number here.
    pub tasks: Vec<TaskNo>,
    /// Where the program's author should look: the frame nearest to the cause in their own code.
    pub site: Option<super::snapshot::Frame>,
}

/// How well the watch goes: totals since it began, and the rates of now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Health {
    /// When this was so.
    pub at_ns: u64,
    /// Samples of loops that were accepted, partial ones included.
    pub loop_samples: u64,
    /// Task snapshots that were accepted.
    pub task_snapshots: u64,
    /// Samples given up after bounded retries.
    pub dropped: u64,
    /// Samples lost because whoever takes them was slow.
    pub lost: u64,
    /// Attempts that did not hold together and were tried again.
    pub torn: u64,
    /// Samples kept with an explicit gap.
    pub partial: u64,
    /// Deadlines missed.
    pub late: u64,
    /// asyncprof's own CPU time, nanoseconds.
    pub cpu_ns: u64,
    /// Samples of each loop a second, now.
    pub loop_rate_hz: f64,
    /// Task snapshots a second, now.
    pub task_rate_hz: f64,
    /// A rate is lower than asked for, to stay within the CPU budget.
    pub lowered_rate: bool,
    /// The longest time between two accepted samples of a loop since the last such event.
    pub longest_gap_ns: u64,
}

/// Something that happened to the target or to the watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// When it was seen.
    pub at_ns: u64,
    /// What.
    pub kind: NoteKind,
    /// In words, for people.
    pub text: String,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoteKind {
    /// The target exited.
    Exited,
    /// The target executes another program now.
    Executed,
    /// The target was stopped by job control or a debugger.
    Stopped,
    /// It goes on.
    Continued,
    /// The machine was suspended; the time is not counted.
    Suspended,
    /// The watch was ended by the user or its time was over.
    Ended,
    /// Something could not be read.
    Gap,
    /// The watch continues otherwise than asked for.
    Adjusted,
}

impl NoteKind {
    /// The contract's word.
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
