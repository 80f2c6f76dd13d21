//! The codes of the words of events in a file. A code keeps its meaning forever; a new word gets a new code and raises
//! the version of the format.

use super::before::LastSample;
use super::wire::Malformed;
use crate::model::event::{Doing, Event, Gil, Health, Note, NoteKind, Phase, Source, TaskChanges};
use crate::model::snapshot::{Severity, TaskState, WaitKind};

/// A word with a code.
pub(super) trait Coded: Sized {
    fn code(&self) -> u8;

    /// `None` for a code that is not assigned.
    fn from_code(code: u8) -> Option<Self>;

    /// # Errors
    /// When the code is not assigned.
    fn decode(code: u8) -> Result<Self, Malformed> {
        Self::from_code(code).ok_or(Malformed("a code has no meaning"))
    }
}

/// Defines both directions from one table; a word without a code does not compile. `with` a pattern of what belongs to
/// the word, and what a reader starts from.
macro_rules! codes {
    ($type:ident { $($code:literal => $word:ident $(with $pattern:tt = $blank:tt)?),+ $(,)? }) => {
        impl Coded for $type {
            fn code(&self) -> u8 {
                match self {
                    $(Self::$word $($pattern)? => $code,)+
                }
            }

            fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$word $($blank)?),)+
                    _ => None,
                }
            }
        }
    };
}

codes!(Source { 0 => Loops, 1 => Tasks });

codes!(Phase { 0 => Selecting, 1 => Away, 2 => LeavingSelector, 3 => NotRunning, 4 => Unknown, 5 => Parked });

codes!(TaskState { 0 => Running, 1 => Ready, 2 => Waiting, 3 => Done, 4 => Cancelling, 5 => Unknown });

codes!(Severity { 0 => Info, 1 => Warning, 2 => Error });

codes!(NoteKind {
    0 => Exited,
    1 => Executed,
    2 => Stopped,
    3 => Continued,
    4 => Suspended,
    5 => Ended,
    6 => Gap,
    7 => Adjusted,
});

codes!(WaitKind {
    0 => Sleep,
    1 => Future,
    2 => Task,
    3 => Gather,
    4 => TaskGroup,
    5 => Wait,
    6 => Shield,
    7 => Lock,
    8 => Semaphore,
    9 => Event,
    10 => Condition,
    11 => QueueGet,
    12 => QueuePut,
    13 => Executor,
    14 => Socket,
    15 => Subprocess,
    16 => Other,
});

codes!(Gil {
    0 => Free,
    1 => Own,
    2 => Other with (Some(_)) = (Some(0)),
    3 => Other with (None) = (None),
    4 => None,
    5 => Unknown,
});

codes!(Doing {
    0 => Running,
    1 => Call with { .. } = { name: None, number: 0, fd: None },
    2 => WaitingForGil,
    3 => Fault,
    4 => Stopped,
    5 => Unknown,
});

codes!(Event {
    0 => Loop with (_) = (LastSample::unseen().sample),
    1 => Tasks with (_) = (NO_CHANGES),
    2 => Findings with { .. } = { at_ns: 0, findings: Vec::new() },
    3 => Health with (_) = (Health::default()),
    4 => Note with (_) = (Note { at_ns: 0, kind: NoteKind::Gap, text: String::new() }),
});

const NO_CHANGES: TaskChanges = TaskChanges {
    at_ns: 0,
    took_ns: 0,
    changed: Vec::new(),
    ended: Vec::new(),
    total: 0,
    complete: false,
    contexts: None,
    timers: Vec::new(),
};

/// Not the code of an event: what follows belongs to the source whose code comes next.
pub(super) const BATCH: u8 = 5;

/// Bits of a loop sample: `…_CHANGED` says that the field follows because it differs from the loop's previous sample;
/// the other bits are the value itself.
pub(super) mod sample {
    pub(crate) const OTHER_LOOP: u16 = 1;
    pub(crate) const PHASE_CHANGED: u16 = 1 << 1;
    pub(crate) const AWAY_CHANGED: u16 = 1 << 2;
    pub(crate) const PRECISION_CHANGED: u16 = 1 << 3;
    pub(crate) const CALLBACK_CHANGED: u16 = 1 << 4;
    pub(crate) const TASK_CHANGED: u16 = 1 << 5;
    pub(crate) const STACK_CHANGED: u16 = 1 << 6;
    pub(crate) const PARTS_CHANGED: u16 = 1 << 7;
    pub(crate) const TORN: u16 = 1 << 8;
    pub(crate) const MOVED: u16 = 1 << 9;
    pub(crate) const READY_CHANGED: u16 = 1 << 10;
    pub(crate) const GIL_CHANGED: u16 = 1 << 11;
    pub(crate) const COLLECTING: u16 = 1 << 12;
    /// Reserved: older files may have a number here, which is skipped.
    pub(crate) const RESERVED_NUMBER: u16 = 1 << 13;
    pub(crate) const KERNEL: u16 = 1 << 14;
    pub(crate) const HOLDER_CHANGED: u16 = 1 << 15;
}

/// Bits of changes of tasks.
pub(super) mod changes {
    pub(crate) const COMPLETE: u8 = 1;
    /// The number of contexts entered or left follows.
    pub(crate) const CONTEXTS: u8 = 1 << 1;
    /// A list of timers follows.
    pub(crate) const TIMERS: u8 = 1 << 2;
    pub(crate) const ALL: u8 = COMPLETE | CONTEXTS | TIMERS;
}

/// Bits of a health event.
pub(super) mod health {
    pub(crate) const LOWERED: u8 = 1;
    pub(crate) const STOPS: u8 = 1 << 1;
    pub(crate) const ALL: u8 = LOWERED | STOPS;
}

/// Bits for what the kernel reports of a thread: which numbers follow.
pub(super) mod kernel {
    pub(crate) const DOING_CHANGED: u8 = 1;
    pub(crate) const RUN: u8 = 1 << 1;
    pub(crate) const STARVED: u8 = 1 << 2;
    pub(crate) const THROTTLED: u8 = 1 << 3;
    pub(crate) const HOLDER_RUN: u8 = 1 << 4;
    pub(crate) const ALL: u8 = DOING_CHANGED | RUN | STARVED | THROTTLED | HOLDER_RUN;
}
