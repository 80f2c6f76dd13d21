//! The levels of a stitched stack.

use super::stacks::{KeptStack, Stacks};
use crate::model::snapshot::{Frame, WaitKind};

/// One level of a stitched stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Label<'p> {
    /// The thread of the event loop, by name; `None` where it is not known. Only where [threads](super::Threads) are
    /// kept apart.
    Thread(Option<&'p str>),
    /// The outermost task, by name; `None` where it has no name.
    Task(Option<&'p str>),
    /// The loop runs something that is not a step of a task.
    Callback,
    /// A frame.
    Frame(&'p Frame),
    /// The inner part could not be read as a consistent snapshot.
    Torn,
    /// What the task waits for.
    Await(WaitKind),
    /// The task is ready to run and waits for its turn.
    Ready,
    /// The loop has nothing to do and waits in its selector. Only where [asked for](super::Folding::idle).
    Idle,
    /// What the task does is not known.
    Unknown,
    /// Everything beyond the limit of distinct stacks.
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
