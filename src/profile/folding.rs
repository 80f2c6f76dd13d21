//! What is told apart in stitched stacks and what is one.

use crate::model::tables::LoopInfo;

use super::names::fold_digits;

/// How stacks are told apart. By default two that ran in different threads, or in tasks whose names differ by a counter, are
/// one; and time in which a loop waited in its selector is in none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Folding {
    /// Of tasks.
    pub naming: Naming,
    /// Of event loops.
    pub threads: Threads,
    /// Time of loops in their selectors counts too, as [`Label::Idle`](super::Label::Idle).
    pub idle: bool,
}

/// What becomes of the counters in names of tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Naming {
    /// `Task-17` and `Task-18` are `Task-*`, because where time goes does not depend on a counter.
    #[default]
    Folded,
    /// Names as they are; a program that names each task otherwise soon reaches the limit of distinct stacks.
    Full,
}

/// Whether stacks begin with the thread of their event loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Threads {
    /// No: the same stack in two threads is one.
    #[default]
    Merged,
    /// With its name, of which counters are folded: in another process the same thread has another number.
    Named,
    /// With its name and its number: each thread is one of its own.
    Each,
}

impl Threads {
    /// What the thread of a loop is called; `None` where nothing is known of it, or threads are merged.
    pub(super) fn name_of(self, info: &LoopInfo) -> Option<String> {
        let name = info.thread_name.as_deref().filter(|name| !name.is_empty());
        match (self, name, info.thread) {
            (Self::Merged, ..) => None,
            (Self::Named, name, _) => name.map(fold_digits),
            (Self::Each, Some(name), Some(thread)) => Some(format!("{name} ({thread})")),
            (Self::Each, Some(name), None) => Some(name.to_owned()),
            (Self::Each, None, thread) => thread.map(|thread| thread.to_string()),
        }
    }
}

impl From<Naming> for Folding {
    fn from(naming: Naming) -> Self {
        Self { naming, ..Self::default() }
    }
}
