//! A stall and the evidence for its cause, and what the detector reports.

use crate::model::snapshot::Frame;
use crate::model::tables::{LoopInfo, TaskInfo};

/// An iteration of a loop that took too long. It owns all it names: the tables of its samples may be gone.
#[derive(Clone, Debug, PartialEq)]
pub struct Stall {
    /// Which loop.
    pub event_loop: LoopInfo,
    /// When it began, on the clock of the samples.
    pub start_ns: u64,
    /// It was seen to last this long: never more than the truth.
    pub at_least_ns: u64,
    /// It was over after this long: never less than the truth. `None` while it lasts, and where nobody saw the end.
    pub at_most_ns: Option<u64>,
    /// It had not ended when this was said.
    pub ongoing: bool,
    /// The task whose step took the largest part; `None` in a plain callback, or where that cannot be known.
    pub task: Option<TaskInfo>,
    /// Why.
    pub cause: Cause,
    /// More about the cause: system call and descriptor, holder of the GIL, why the cause is unknown.
    pub detail: Option<String>,
    /// The heaviest stack of the stall, outermost first: the task's coroutines, then synchronous calls. Without the frames
    /// of the loop's own machinery.
    pub stack: Vec<Frame>,
    /// How many of `stack` are coroutines.
    pub coroutines: usize,
    /// After `stack` there is a gap: inner frames moved too fast to be read.
    pub torn: bool,
    /// The frame to change: the innermost of the program's own code. When another thread kept the GIL, that thread's.
    pub site: Option<Frame>,
    /// The most callbacks seen waiting in the ready queue meanwhile.
    pub ready_waiting: Option<u32>,
    /// What the cause rests on.
    pub evidence: Evidence,
    /// What to do, one sentence in the words of asyncio's own patterns.
    pub advice: String,
    /// Callbacks and steps seen to run in this iteration: at least so many there were. `None` where the loop does not
    /// show which one runs.
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
    /// Its thread was ready to run and got no processor.
    CpuStarved,
    /// The process was stopped, or the machine suspended.
    Suspended,
    /// The samples do not tell.
    Unknown,
}

impl Cause {
    /// All of them, in the order of the contract.
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

    /// The contract's word.
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

/// What the samples of a stall say, counted. A sample counts once, for the first that is true of it.
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
    /// The thread ran, or was ready to, and its Python code had moved on since the sample before.
    pub running_moved: u64,
    /// The thread ran, or was ready to, at the same Python instruction as in the sample before.
    pub running_still: u64,
    /// Nothing tells.
    pub unclear: u64,
    /// Samples whose stack has a gap; counted above too.
    pub torn: u64,
    /// Nanoseconds on a processor, between the first and the last look at the kernel.
    pub run_ns: Option<u64>,
    /// Nanoseconds ready to run without a processor, over the same time; the wait that lasts is part of it.
    pub starved_ns: Option<u64>,
    /// Nanoseconds that the control group was throttled, over the same time.
    pub throttled_ns: Option<u64>,
}

impl Evidence {
    /// What there is of it by name, `samples` first, as printed. Names end in their unit; counts have none.
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

/// Something to tell at once. The stall is as it was known then.
#[derive(Clone, Debug, PartialEq)]
pub enum Alert {
    /// A stall has reached the threshold, and lasts.
    Began(Stall),
    /// It has reached twice the threshold, four times, eight times, and so on, and lasts.
    Continues(Stall),
    /// It is over. Every stall that ends had its `Began`.
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

/// One iteration of a loop that samples have shown, once it is over: what the time between two visits of the selector is
/// worked out from. Iterations that fall between two samples are not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Iteration {
    /// When it began; where only samples tell, its first one.
    pub start_ns: u64,
    /// How long it lasted at least.
    pub at_least_ns: u64,
    /// How long it lasted at most; `None` where no sample came before it and it does not say itself when it began.
    pub at_most_ns: Option<u64>,
    /// `start_ns` is the loop's own word, not a sample's time.
    pub exact_start: bool,
}
