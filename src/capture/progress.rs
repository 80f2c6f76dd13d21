//! Progress of a reading.

/// Progress of a reading.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// What is being read, in a word or two.
    pub stage: &'static str,
    /// Number of items done.
    pub done: u64,
    /// Number of items in total, where known.
    pub total: Option<u64>,
}
