//! What is known of the greenlets of a process, whichever of them is read.

use rustc_hash::FxHashMap;

use crate::remote::Addr;

/// Where greenlets keep the frame object in which they are suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TopFrame {
    /// Offset of the pointer to the state that holds it; `None` if the greenlet itself does, as before greenlet 2.
    pub(super) state: Option<u64>,
    /// Offset of the pointer to the frame object.
    pub(super) at: u64,
}

/// What is known of the greenlets of a process.
#[derive(Default)]
pub struct GreenletCache {
    pub(super) types: FxHashMap<Addr, bool>,
    pub(super) top_frame: Option<TopFrame>,
}
