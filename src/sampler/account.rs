//! Whose CPU time it was. The budget is of asyncprof as a whole: watches that share it have an equal part each, and each is
//! charged with its own two threads and an equal part of everything else (whoever takes the events, whoever looks for more
//! processes). It must not know what follows from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use super::clock::Clock;
use super::shared::Shared;

/// Watches that share a CPU budget: those that are started with clones of one value.
#[derive(Clone, Debug, Default)]
pub struct Sharing(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    watches: AtomicU32,
    /// CPU time of the threads of all tiers, as far as it was told.
    tiers_ns: AtomicU64,
}

impl Sharing {
    /// How many watches there are now.
    pub fn watches(&self) -> u32 {
        self.0.watches.load(Relaxed)
    }

    /// The part of one watch: all of it when there is no other.
    pub(super) fn part(&self) -> f64 {
        1.0 / f64::from(self.watches().max(1))
    }
}

/// The account of one watch; while it exists, the watch has a share.
#[derive(Debug)]
pub(super) struct Account {
    sharing: Sharing,
    /// CPU time at the last update: of the threads of its two tiers, and of everything that is nobody's own.
    loops_ns: u64,
    tasks_ns: u64,
    common_ns: u64,
    /// What this watch was charged with, without the task tier and with it.
    rest_ns: f64,
    total_ns: f64,
}

impl Account {
    /// An account of a watch whose threads have not run yet; what the process used before is not charged.
    pub(super) fn open(sharing: &Sharing, process_ns: u64) -> Self {
        sharing.0.watches.fetch_add(1, Relaxed);
        Self {
            common_ns: process_ns.saturating_sub(sharing.0.tiers_ns.load(Relaxed)),
            sharing: sharing.clone(),
            loops_ns: 0,
            tasks_ns: 0,
            rest_ns: 0.0,
            total_ns: 0.0,
        }
    }

    /// Charges what was used since the last update. To be called by the loop tier's thread.
    pub(super) fn update(&mut self, clock: &dyn Clock, shared: &Shared) {
        let loops_ns = clock.thread_cpu_ns();
        // A thread that has ended used what it had used.
        let task_thread = shared.task_thread().and_then(|tid| clock.cpu_of_thread_ns(tid));
        let tasks_ns = task_thread.unwrap_or(self.tasks_ns);
        let (loops, tasks) = (loops_ns.saturating_sub(self.loops_ns), tasks_ns.saturating_sub(self.tasks_ns));
        let tiers_ns = self.sharing.0.tiers_ns.fetch_add(loops + tasks, Relaxed) + loops + tasks;
        // What other tiers have not told yet looks common until they do; so only what is more than ever before counts.
        let common_ns = clock.process_cpu_ns().saturating_sub(tiers_ns);
        let common = common_ns.saturating_sub(self.common_ns);
        let charged = loops as f64 + common as f64 * self.sharing.part();
        self.rest_ns += charged;
        self.total_ns += charged + tasks as f64;
        (self.loops_ns, self.tasks_ns, self.common_ns) = (loops_ns, tasks_ns, self.common_ns.max(common_ns));
    }

    /// What it was charged with so far, but for the threads of the task tier.
    pub(super) fn rest_ns(&self) -> u64 {
        // CAST: CPU time of this process, which fits.
        self.rest_ns as u64
    }

    /// What it was charged with so far.
    pub(super) fn total_ns(&self) -> u64 {
        // CAST: as above.
        self.total_ns as u64
    }

    /// The part of the budget that this watch has now.
    pub(super) fn part(&self) -> f64 {
        self.sharing.part()
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.sharing.0.watches.fetch_sub(1, Relaxed);
    }
}
