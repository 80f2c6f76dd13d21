//! The stack of a thread, read once: a [`StackWatch`] that takes one sample, so that the same proof applies to every
//! stack.

use super::frame::RawFrame;
use super::layout::Layout;
use super::stack_watch::{Sampled, StackWatch};
use crate::remote::{Addr, Memory, ReadError};

/// A thread's frames.
#[derive(Clone, Debug, Default)]
pub struct ThreadStack {
    /// Outermost first.
    pub frames: Vec<RawFrame>,
    /// Whether `frames` reaches the innermost frame; if not, the inner part changed while it was read, or could not be
    /// read.
    pub complete: bool,
    /// Torn attempts.
    pub torn: u32,
}

/// Reads the stack of the thread whose state is at `tstate`. `has_greenlets`: see [`StackWatch::expect_greenlets`].
///
/// # Errors
/// If the thread state cannot be read, or no more reads can succeed.
pub fn read_thread_stack(
    memory: &dyn Memory,
    layout: &Layout,
    tstate: Addr,
    has_greenlets: bool,
) -> Result<ThreadStack, ReadError> {
    let mut watch = StackWatch::new(memory, layout, tstate, &[])?;
    watch.expect_greenlets(has_greenlets);
    let sampled = watch.sample(memory, layout, &[], &[], &[])?;
    Ok(ThreadStack {
        frames: watch.frames().iter().rev().filter_map(|frame| frame.frame).collect(),
        complete: matches!(sampled, Sampled::Complete { .. }),
        torn: u32::try_from(watch.torn()).unwrap_or(u32::MAX),
    })
}
