//! The levels of a stitched stack.

use super::stacks::{KeptStack, Stacks};
use crate::model::snapshot::{Frame, WaitKind};

/// One level of a stitched stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Label<'p> {
    /// The thread of the event loop, by name; `None` where it is not known. Only where [threads](super::Threads) are told
    /// apart.
    Thread(Option<&'p str>),
    /// The outermost task, by name; `None` where it has none.
    Task(Option<&'p str>),
    /// The loop runs what is no task's step.
    Callback,
    /// A frame.
    Frame(&'p Frame),
    /// The inner part could not be read as one moment.
    Torn,
    /// What the task waits for.
    Await(WaitKind),
    /// The task could run, and waits for its turn.
    Ready,
    /// The loop has nothing to do, and waits in its selector. Only where [asked for](super::Folding::idle).
    Idle,
    /// What the task does is not known.
    Unknown,
    /// All that is beyond the limit of distinct stacks.
    Other,
}

/// The levels of a stack of frames, outermost first.
pub(super) fn stack_labels(stack: Option<KeptStack>, stacks: &Stacks) -> Vec<Label<'_>> {
    match stack {
        None => Vec::new(),
        Some(Stacks::OTHER) => vec![Label::Other],
        Some(stack) => stacks.frames(stack).into_iter().map(Label::Frame).collect(),
    }
}
