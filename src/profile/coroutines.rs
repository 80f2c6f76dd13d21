//! What became of tasks, by the coroutine that they were made of. It must not know stacks.

use std::sync::Arc;

use crate::snapshot::model::Frame;

/// All tasks of one coroutine.
#[derive(Clone, Debug, PartialEq)]
pub struct CoroutineProfile {
    /// The coroutine; `None` for tasks of which it is not known, and for what is beyond the limit of distinct ones.
    pub coroutine: Option<Frame>,
    /// Tasks that were seen.
    pub seen: u64,
    /// Of these, those that were not there at the first look.
    pub born: u64,
    /// Of these, those that are no more.
    pub ended: u64,
    /// Of these, those that were there at the last look.
    pub alive: u64,
    /// Most that were there at one look.
    pub most_alive: u64,
    /// By how many there are more at the last look than at the first, for each minute between them; `None` where the time
    /// between is too short to say.
    pub growth_per_minute: Option<f64>,
    /// Time in which a loop executed them, nanoseconds.
    pub run_ns: u64,
    /// Samples in which a loop executed one.
    pub run_samples: u64,
    /// Time in which they waited, nanoseconds.
    pub wait_ns: u64,
    /// The longest that one was seen to wait in one place, nanoseconds: at least, as it may have begun earlier.
    pub longest_wait_ns: u64,
    /// Name of the task that did.
    pub longest_wait_task: Option<Arc<str>>,
    /// The longest that one was seen to live, nanoseconds: at least.
    pub oldest_ns: u64,
}
