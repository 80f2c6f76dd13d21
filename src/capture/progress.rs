//! How far a reading is, for whoever waits for it.

/// How far the reading is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// What is being read, in a word or two.
    pub stage: &'static str,
    /// How many are done.
    pub done: u64,
    /// Of how many, where that is known.
    pub total: Option<u64>,
}
