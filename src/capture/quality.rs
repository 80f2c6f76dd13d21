//! How well a reading went.

/// Statistics of the reading.
#[derive(Clone, Copy, Default)]
pub(super) struct Quality {
    pub(super) torn: u64,
    pub(super) dropped: u64,
    pub(super) consistent: bool,
    pub(super) batches: u64,
    pub(super) pieces: u64,
    pub(super) bytes: u64,
}
