//! Counters of both tiers: samples, losses, failures, costs.

use crate::model::event::Health;

use super::clock::SECOND;
use super::governor::Rates;
use super::readers::Effort;

/// Counters of the loop tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LoopTotals {
    pub(super) samples: u64,
    pub(super) dropped: u64,
    pub(super) torn: u64,
    pub(super) partial: u64,
    pub(super) late: u64,
    pub(super) lost: u64,
    /// For how long the target was stopped, nanoseconds.
    pub(super) stopped_ns: u64,
}

impl LoopTotals {
    /// Counts one sample of all loops, which gave `samples` samples.
    pub(super) fn count(&mut self, samples: usize, effort: Effort) {
        self.samples += samples as u64;
        self.dropped += effort.dropped;
        self.torn += effort.torn;
        self.partial += effort.partial;
        self.stopped_ns += effort.stopped_ns;
    }
}

/// Counters of the task tier, and the cost of its samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TaskTotals {
    pub(super) snapshots: u64,
    pub(super) dropped: u64,
    pub(super) torn: u64,
    pub(super) partial: u64,
    pub(super) late: u64,
    pub(super) lost: u64,
    /// CPU time of one task sample; zero when not known yet.
    pub(super) look_ns: u64,
    /// CPU time of the latest comparable samples, latest first; zero for none.
    latest_ns: [u64; 3],
    /// CPU time of one full snapshot, and the time between two of them.
    pub(super) deep_ns: u64,
    /// CPU time of first looks and first snapshots, which cost many times what later ones do.
    pub(super) first_ns: u64,
    pub(super) deep_every_ns: u64,
}

impl TaskTotals {
    /// Takes in the CPU time of a task sample. The first sample of a reader costs many times what later ones do and is
    /// ignored. A single outlier is not believed either: if it were, the next sample could be a long time off.
    pub(super) fn add_look(&mut self, cpu_ns: u64, is_first: bool) {
        if is_first {
            return;
        }
        self.latest_ns = [cpu_ns.max(1), self.latest_ns[0], self.latest_ns[1]];
        let mut sorted = self.latest_ns;
        sorted.sort_unstable();
        self.look_ns = match sorted {
            [0, 0, only] => only,
            [_, middle, _] => middle,
        };
    }

    /// The share of a core that first looks and first snapshots have used, as if spread over a minute.
    pub(super) fn first_share(&self, watched_ns: u64) -> f64 {
        self.first_ns as f64 / watched_ns.max(60 * SECOND) as f64
    }

    /// The share of a core that full snapshots use.
    pub(super) fn deep_share(&self) -> f64 {
        if self.deep_every_ns == 0 { 0.0 } else { self.deep_ns as f64 / self.deep_every_ns as f64 }
    }
}

/// Combines the counters of both tiers.
pub(super) fn combine(loops: &LoopTotals, tasks: &TaskTotals, rates: Rates) -> Health {
    Health {
        loop_samples: loops.samples,
        task_snapshots: tasks.snapshots,
        dropped: loops.dropped + tasks.dropped,
        lost: loops.lost + tasks.lost,
        torn: loops.torn + tasks.torn,
        partial: loops.partial + tasks.partial,
        late: loops.late + tasks.late,
        loop_rate_hz: rates.loop_hz,
        task_rate_hz: rates.task_hz,
        ..Health::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tiers_are_counted_together() {
        let mut loops = LoopTotals { late: 3, lost: 1, ..LoopTotals::default() };
        loops.count(2, Effort { torn: 5, dropped: 1, partial: 1, ..Effort::default() });
        let tasks =
            TaskTotals { snapshots: 7, dropped: 1, torn: 1, partial: 2, late: 4, lost: 1, ..TaskTotals::default() };
        let health = combine(&loops, &tasks, Rates { loop_hz: 100.0, task_hz: 1.0 });
        assert_eq!((health.loop_samples, health.task_snapshots, health.torn), (2, 7, 6));
        assert_eq!((health.dropped, health.lost, health.partial, health.late), (2, 2, 3, 7));
    }

    #[test]
    fn the_cost_of_a_look_follows_what_looks_cost_but_not_a_single_one() {
        let mut totals = TaskTotals::default();
        let mut add = |cpu_ns, is_first| {
            totals.add_look(cpu_ns, is_first);
            totals.look_ns
        };
        assert_eq!((add(900, true), add(10, false), add(900, false), add(12, false)), (0, 10, 10, 12));
        assert_eq!((add(500, false), add(12, false), add(500, false), add(510, false)), (500, 12, 500, 500));
        assert_eq!(totals.deep_share(), 0.0);
    }
}
