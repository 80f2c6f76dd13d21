//! What tasks waited for, by await stack. It must not know who waits for them.

use std::sync::Arc;

use crate::snapshot::model::{Frame, WaitKind};

/// All waits of one kind in one await stack.
#[derive(Clone, Debug, PartialEq)]
pub struct WaitProfile<'p> {
    /// Outermost first; empty where it is not known, and for what is beyond the limit of distinct stacks.
    pub stack: Vec<&'p Frame>,
    /// What was waited for; `None` where it is not known.
    pub kind: Option<WaitKind>,
    /// Details, numbers in them as `*`.
    pub detail: Option<&'p str>,
    /// Time of all tasks together, nanoseconds.
    pub wait_ns: u64,
    /// How many waits: one is a task that stays at one place.
    pub waits: u64,
    /// The longest, nanoseconds: at least.
    pub longest_ns: u64,
    /// The task of the longest.
    pub longest_task: Option<&'p str>,
    /// Who held what was waited for, by name of the task, and for how many waits; most first.
    pub holders: Vec<(Arc<str>, u64)>,
}
