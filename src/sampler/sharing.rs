//! The CPU budget that several watches share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Watches that share a CPU budget: those that are started with clones of the same value.
#[derive(Clone, Debug, Default)]
pub struct Sharing(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    watches: AtomicU32,
    /// CPU time of all tiers' threads, as far as reported.
    tiers_ns: AtomicU64,
}

impl Sharing {
    /// The current number of watches.
    pub fn watches(&self) -> u32 {
        self.0.watches.load(Relaxed)
    }

    /// The share of one watch: all of the budget if there is no other.
    pub(super) fn part(&self) -> f64 {
        1.0 / f64::from(self.watches().max(1))
    }
    pub(super) fn join(&self) {
        self.0.watches.fetch_add(1, Relaxed);
    }

    pub(super) fn leave(&self) {
        self.0.watches.fetch_sub(1, Relaxed);
    }

    /// CPU time of all tiers' threads, as far as it has been charged.
    pub(super) fn tiers_ns(&self) -> u64 {
        self.0.tiers_ns.load(Relaxed)
    }

    /// Adds CPU time of a tier's thread; returns the total.
    pub(super) fn charge(&self, ns: u64) -> u64 {
        self.0.tiers_ns.fetch_add(ns, Relaxed) + ns
    }
}
