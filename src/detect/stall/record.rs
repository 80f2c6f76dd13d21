//! A stall and the evidence for its cause, and what the detector reports.

use crate::model::snapshot::Frame;
use crate::model::tables::{LoopInfo, TaskInfo};

/// An iteration of a loop that took too long. It owns everything it names: the tables of its samples may be gone.
#[derive(Clone, Debug, PartialEq)]
pub struct Stall {
    /// The loop.
    pub event_loop: LoopInfo,
    /// When it began, on the clock of the samples.
    pub start_ns: u64,
    /// Lower bound of its length: never more than the true length.
    pub at_least_ns: u64,
    /// Upper bound of its length: never less than the true length. `None` while it lasts, and if its end was not seen.
    pub at_most_ns: Option<u64>,
    /// It had not ended when this was recorded.
    pub ongoing: bool,
    /// The task whose step took the largest part; `None` for a plain callback, or if it cannot be known.
    pub task: Option<TaskInfo>,
    /// The cause.
    pub cause: Cause,
    /// Details of the cause: system call and descriptor, holder of the GIL, why the cause is unknown.
    pub detail: Option<String>,
    /// The heaviest stack of the stall, outermost first: the task's coroutines, then synchronous calls. Without the
    /// frames of the loop's own machinery.
    pub stack: Vec<Frame>,
    /// The stall interrupted the selector: the handler of a signal, or a finalizer.
    pub interrupts_selector: bool,
    /// How many of `stack` are coroutines.
    pub coroutines: usize,
    /// Frames are missing after `stack`: inner frames changed too fast to be read.
    pub torn: bool,
    /// The frame to change: the innermost of the program's own code. If another thread held the GIL, that thread's
    /// frame.
    pub site: Option<Frame>,
    /// The most callbacks seen in the ready queue during the stall.
    pub ready_waiting: Option<u32>,
    /// The evidence for the cause.
    pub evidence: Evidence,
    /// Advice, one sentence in the words of asyncio's own patterns.
    pub advice: String,
    /// Lower bound of the callbacks and steps that ran in this iteration, as seen. `None` if the loop does not show
    /// which one runs.
    pub callbacks: Option<u32>,
}

/// Why a loop stalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Its thread slept in the kernel: a system call, or a page fault.
    BlockingCall,
    /// Its thread ran Python code.
    Cpu,
    /// It had to wait for the GIL.
    GilWait,
    /// It collected garbage.
    Gc,
    /// Its thread ran native code, called from one place, or slept in native code that kept the GIL.
    Native,
    /// Callbacks that are short, but many.
    ManyCallbacks,
    /// Its thread was runnable but not scheduled.
    CpuStarved,
    /// The process was stopped, or the machine suspended.
    Suspended,
    /// The samples do not show the cause.
    Unknown,
}

impl Cause {
    /// All causes, in the order of the format's contract.
    pub const ALL: [Self; 9] = [
        Self::BlockingCall,
        Self::Cpu,
        Self::GilWait,
        Self::Gc,
        Self::Native,
        Self::ManyCallbacks,
        Self::CpuStarved,
        Self::Suspended,
        Self::Unknown,
    ];

    /// The word used in the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BlockingCall => "blocking_call",
            Self::Cpu => "cpu",
            Self::GilWait => "gil_wait",
            Self::Gc => "gc",
            Self::Native => "native",
            Self::ManyCallbacks => "many_callbacks",
            Self::CpuStarved => "cpu_starved",
            Self::Suspended => "suspended",
            Self::Unknown => "unknown",
        }
    }
}

/// Counts of what the samples of a stall show. A sample counts once, for the first entry that applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Samples inside the stall.
    pub samples: u64,
    /// The process was stopped.
    pub stopped: u64,
    /// Garbage was collected.
    pub collecting: u64,
    /// The thread waited for the GIL.
    pub waiting_for_gil: u64,
    /// The thread slept in a system call.
    pub in_call: u64,
    /// The thread waited for a page of memory.
    pub faults: u64,
    /// The thread ran, or was runnable, and its Python code had moved on since the previous sample.
    pub running_moved: u64,
    /// The thread ran, or was runnable, at the same Python instruction as in the previous sample.
    pub running_still: u64,
    /// Nothing shows what the thread did.
    pub unclear: u64,
    /// Samples with missing inner frames; also counted above.
    pub torn: u64,
    /// Nanoseconds on a CPU, between the first and the last reading of the kernel's clocks.
    pub run_ns: Option<u64>,
    /// Nanoseconds runnable without a CPU, over the same time, including a wait in progress.
    pub starved_ns: Option<u64>,
    /// Nanoseconds for which the control group was throttled, over the same time.
    pub throttled_ns: Option<u64>,
}

impl Evidence {
    /// The entries that are present, by name, `samples` first, as printed. Names end in their unit; counts have none.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = [
            ("stopped", self.stopped),
            ("collecting", self.collecting),
            ("waiting_for_gil", self.waiting_for_gil),
            ("in_call", self.in_call),
            ("faults", self.faults),
            ("running_moved", self.running_moved),
            ("running_still", self.running_still),
            ("unclear", self.unclear),
            ("torn", self.torn),
        ];
        let times = [("run_ns", self.run_ns), ("starved_ns", self.starved_ns), ("throttled_ns", self.throttled_ns)];
        [("samples", self.samples)]
            .into_iter()
            .chain(counts.into_iter().filter(|(_, count)| *count > 0))
            .chain(times.into_iter().filter_map(|(name, time)| Some((name, time?))))
    }
}

/// Something to report at once. The stall is as known at that moment.
#[derive(Clone, Debug, PartialEq)]
pub enum Alert {
    /// A stall has reached the threshold, and continues.
    Began(Stall),
    /// It has reached twice the threshold, four times, eight times, and so on, and continues.
    Continues(Stall),
    /// It is over. Every stall that ends had an earlier `Began`.
    Ended(Stall),
}

impl Alert {
    /// The stall.
    pub fn stall(&self) -> &Stall {
        match self {
            Self::Began(stall) | Self::Continues(stall) | Self::Ended(stall) => stall,
        }
    }
}

/// One iteration of a loop seen in samples, once it is over: lag is computed from these. Iterations that fall between
/// two samples are not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Iteration {
    /// When it began; if only samples show it, the time of its first one.
    pub start_ns: u64,
    /// Lower bound of its length.
    pub at_least_ns: u64,
    /// Upper bound of its length; `None` if no sample came before it and the loop does not report when it began.
    pub at_most_ns: Option<u64>,
    /// `start_ns` was reported by the loop, and is not the time of a sample.
    pub exact_start: bool,
}
