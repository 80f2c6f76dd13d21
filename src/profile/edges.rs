//! Who waits for whom, by coroutine: the await graph of a stretch of time.

use rustc_hash::FxHashMap;

use super::coroutines::{CoroutineId, Coroutines};
use crate::model::snapshot::Frame;

/// Tasks of one coroutine that wait for tasks of another, or of the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AwaitEdge<'p> {
    /// What the tasks that wait are made of; `None` where it is not known.
    pub waiter: Option<&'p Frame>,
    /// What those are made of that they wait for; `None` where it is not known.
    pub awaited: Option<&'p Frame>,
    /// Time of all waiting tasks together, nanoseconds. A task that waits for many of the same coroutine at once counts once.
    pub wait_ns: u64,
    /// How many waits.
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
    /// LIMIT: distinct edges; more than a picture can hold. What is beyond it is left out.
    const LIMIT: usize = 1 << 14;

    pub(super) fn add(&mut self, waiter: CoroutineId, awaited: CoroutineId, wait_ns: u64, waits: u64) {
        if self.totals.len() >= Self::LIMIT && !self.totals.contains_key(&(waiter, awaited)) {
            return;
        }
        let total = self.totals.entry((waiter, awaited)).or_default();
        total.wait_ns = total.wait_ns.saturating_add(wait_ns);
        total.waits += waits;
    }

    /// Most time first.
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
