//! Which tasks wait for which, by coroutine: the await graph of a period of time.

use rustc_hash::FxHashMap;

use super::coroutines::{CoroutineId, Coroutines};
use crate::model::snapshot::Frame;

/// Tasks of one coroutine that wait for tasks of another, or of the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AwaitEdge<'p> {
    /// The coroutine of the awaiters; `None` where it is not known.
    pub waiter: Option<&'p Frame>,
    /// The coroutine of the awaited tasks; `None` where it is not known.
    pub awaited: Option<&'p Frame>,
    /// Waiting time summed over all awaiters, nanoseconds. A task that waits for many tasks of one coroutine at once
    /// counts once.
    pub wait_ns: u64,
    /// Number of waits.
    pub waits: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Total {
    wait_ns: u64,
    waits: u64,
}

/// All edges.
#[derive(Debug, Default)]
pub(super) struct Edges {
    totals: FxHashMap<(CoroutineId, CoroutineId), Total>,
}

impl Edges {
    /// LIMIT: distinct edges; more than a picture can hold. Edges beyond it are left out.
    const LIMIT: usize = 1 << 14;

    pub(super) fn add(&mut self, waiter: CoroutineId, awaited: CoroutineId, wait_ns: u64, waits: u64) {
        if self.totals.len() >= Self::LIMIT && !self.totals.contains_key(&(waiter, awaited)) {
            return;
        }
        let total = self.totals.entry((waiter, awaited)).or_default();
        total.wait_ns = total.wait_ns.saturating_add(wait_ns);
        total.waits += waits;
    }

    /// Longest time first.
    pub(super) fn list<'p>(&self, coroutines: &'p Coroutines) -> Vec<AwaitEdge<'p>> {
        let mut totals: Vec<_> = self.totals.iter().collect();
        totals.sort_by_key(|(ends, total)| (std::cmp::Reverse(total.wait_ns), **ends));
        let whole = |(&(waiter, awaited), total): (&(CoroutineId, CoroutineId), &Total)| AwaitEdge {
            waiter: coroutines.frame(waiter),
            awaited: coroutines.frame(awaited),
            wait_ns: total.wait_ns,
            waits: total.waits,
        };
        totals.into_iter().map(whole).collect()
    }
}
