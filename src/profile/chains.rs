//! Stitched stacks: a task under the tasks that wait for it. It must not know what the time was spent for.

use crate::snapshot::model::{Frame, WaitKind};

/// One level of a stitched stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Label<'p> {
    /// The outermost task, by name; `None` where it has none.
    Task(Option<&'p str>),
    /// The loop runs a callback that is no task's step.
    Callback,
    /// A frame.
    Frame(&'p Frame),
    /// The inner part could not be read as one moment.
    Torn,
    /// What the task waits for.
    Await(WaitKind),
    /// The task could run, and waits for its turn.
    Ready,
    /// What the task does is not known.
    Unknown,
    /// All that is beyond the limit of distinct stacks.
    Other,
}

/// Time that was spent in one stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weighted<'p> {
    /// Outermost first.
    pub stack: Vec<Label<'p>>,
    /// Nanoseconds.
    pub time_ns: u64,
    /// Samples for time that was run, intervals for time that was waited. Fan-in splits time, not these.
    pub count: u64,
}
