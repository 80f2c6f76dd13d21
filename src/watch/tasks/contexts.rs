//! How many callbacks the event loops have run from one sample to the next: if none, no task has run.

use super::state::TaskWatch;
use crate::remote::{Addr, Span};

/// LIMIT: threads that are asked at each sample. A process with more of them is not shown to be quiet, which only leaves
/// out lower bounds.
const MAX_THREADS: usize = 256;

impl TaskWatch {
    /// How often each thread has entered or left a context; `None` if that is not known of all.
    pub(super) fn read_context_switches(&self) -> Option<Vec<(Addr, u64)>> {
        let threads = self.registry.threads().filter(|threads| threads.len() <= MAX_THREADS)?;
        let counts: Option<Vec<Span>> = (threads.iter())
            .map(|thread| Some(Span::new(thread.add(self.layout.thread.context_switches)?, 8)))
            .collect();
        let (counts, mut bytes, mut results) = (counts?, vec![0; 8 * threads.len()], Vec::new());
        self.store.memory().read_batch(&counts, &mut bytes, &mut results);
        if results.len() != threads.len() || results.iter().any(Result::is_err) {
            return None;
        }
        let words =
            bytes.chunks_exact(8).map(|word| word.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
        Some(threads.into_iter().zip(words).collect())
    }
}

/// How often all threads together have entered or left a context in between; `None` if that is not known, or if threads
/// have begun or ended.
pub(super) fn between(before: Option<&[(Addr, u64)]>, after: Option<&[(Addr, u64)]>) -> Option<u64> {
    let (before, after) = (before?, after?);
    if before.len() != after.len() {
        return None;
    }
    before.iter().zip(after).try_fold(0_u64, |sum, (one, other)| {
        let count = other.1.checked_sub(one.1).filter(|_| one.0 == other.0)?;
        Some(sum.saturating_add(count))
    })
}
