//! Which stitched stacks are kept apart and which are merged.

use crate::model::tables::LoopInfo;

use super::names::fold_digits;

/// How stacks are kept apart. By default, stacks that differ only in the thread, or in a counter in the task name, are
/// merged, and the time that an event loop spends waiting in its selector is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Folding {
    /// How task names are treated.
    pub naming: Naming,
    /// How threads of event loops are treated.
    pub threads: Threads,
    /// Whether time that loops spend in their selectors is counted too, as [`Label::Idle`](super::Label::Idle).
    pub idle: bool,
}

/// What happens to counters in task names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Naming {
    /// `Task-17` and `Task-18` become `Task-*`, because where time goes does not depend on a counter.
    #[default]
    Folded,
    /// Names are kept unchanged; a program that gives each task its own name soon reaches the limit of distinct stacks.
    Full,
}

/// Whether stacks begin with the thread of their event loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Threads {
    /// No: the same stack in two threads is merged.
    #[default]
    Merged,
    /// With the thread's name, its counters folded: the same thread has a different number in another process.
    Named,
    /// With the thread's name and number: every thread is kept apart.
    Each,
}

impl Threads {
    /// The label of an event loop's thread; `None` where nothing is known of it, or threads are merged.
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
