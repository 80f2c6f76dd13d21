//! How busy each event loop is, and how long its iterations take.

use hdrhistogram::Histogram;

use crate::model::event::Phase;
use crate::model::tables::LoopInfo;

/// The busy part of one iteration of a loop: from leaving its selector until it is back in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Iteration {
    /// When it began, on the clock of the events.
    pub start_ns: u64,
    /// Lower bound of its length, nanoseconds.
    pub at_least_ns: u64,
    /// Upper bound of its length; `None` while it lasts and where its end was not seen.
    pub at_most_ns: Option<u64>,
}

/// Lengths of iterations, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Half of the iterations are shorter.
    pub p50_ns: u64,
    /// 90 % are shorter.
    pub p90_ns: u64,
    /// 99 % are shorter.
    pub p99_ns: u64,
    /// Lower bound of the longest.
    pub max_ns: u64,
}

/// How an event loop spent its time.
#[derive(Clone, Debug)]
pub struct LoopProfile {
    /// The loop.
    pub info: LoopInfo,
    /// Samples taken of it.
    pub samples: u64,
    /// Time in which it was busy, nanoseconds.
    pub busy_ns: u64,
    /// Time in its selector, nanoseconds.
    pub selecting_ns: u64,
    /// Time in which events had arrived but the thread waited for the GIL before it could leave its selector,
    /// nanoseconds.
    pub leaving_ns: u64,
    /// Whether its interpreter has a GIL, as the last sample showed it.
    pub has_gil: bool,
    /// Time in which no loop ran in the thread, or its state was unknown, nanoseconds.
    pub unknown_ns: u64,
    /// Time in which the loop was parked: its stack was that of a greenlet, and the thread ran its own, nanoseconds.
    pub parked_ns: u64,
    /// Time without samples, nanoseconds; not included in any of the others.
    pub gap_ns: u64,
    /// The longest time between two consecutive samples, nanoseconds.
    pub longest_between_ns: u64,
    /// Iterations seen. Those that fall between two samples are missed.
    pub iterations: u64,
    /// Lower bound of the longest of them, nanoseconds.
    pub longest_ns: u64,
    /// The most callbacks seen in its ready queue.
    pub most_ready: Option<u32>,
    /// Lengths of iterations, nanoseconds, each weighted by the estimated number of iterations of that length.
    lengths: Histogram<u64>,
}

impl LoopProfile {
    /// Longer iterations count as this long in the percentiles: one hour.
    const LONGEST_NS: u64 = 3_600_000_000_000;

    pub(super) fn new(info: LoopInfo) -> Self {
        let lengths = Histogram::new_with_bounds(1_000, Self::LONGEST_NS, 2).expect("the bounds are fixed and valid");
        Self {
            info,
            samples: 0,
            busy_ns: 0,
            selecting_ns: 0,
            leaving_ns: 0,
            has_gil: true,
            unknown_ns: 0,
            parked_ns: 0,
            gap_ns: 0,
            longest_between_ns: 0,
            iterations: 0,
            longest_ns: 0,
            most_ready: None,
            lengths,
        }
    }

    /// Share of the known time in which the loop was busy; `None` where no time is known.
    pub fn busy_share(&self) -> Option<f64> {
        let busy = self.busy_ns + self.leaving_ns;
        let known = busy + self.selecting_ns;
        (known > 0).then(|| busy as f64 / known as f64)
    }

    /// Share of the known time in which it waited for the GIL before it could leave its selector; `None` where there is no
    /// GIL, or no time is known.
    pub fn gil_share(&self) -> Option<f64> {
        let known = self.busy_ns + self.leaving_ns + self.selecting_ns;
        (known > 0 && self.has_gil).then(|| self.leaving_ns as f64 / known as f64)
    }

    /// From the first sample to the last, nanoseconds.
    pub fn watched_ns(&self) -> u64 {
        self.busy_ns + self.selecting_ns + self.leaving_ns + self.unknown_ns + self.parked_ns + self.gap_ns
    }

    /// How long its iterations took; `None` where none were seen.
    pub fn lag(&self) -> Option<Lag> {
        let at = |share| self.lengths.value_at_quantile(share).min(self.longest_ns);
        (self.iterations > 0).then(|| Lag {
            p50_ns: at(0.5),
            p90_ns: at(0.9),
            p99_ns: at(0.99),
            max_ns: self.longest_ns,
        })
    }

    pub(super) fn spend(&mut self, phase: Phase, time_ns: u64) {
        match phase {
            Phase::Away => self.busy_ns += time_ns,
            Phase::Selecting => self.selecting_ns += time_ns,
            Phase::LeavingSelector => self.leaving_ns += time_ns,
            Phase::Parked => self.parked_ns += time_ns,
            Phase::NotRunning | Phase::Unknown => self.unknown_ns += time_ns,
        }
    }

    /// `period_ns` is the time between two samples. An iteration shorter than that is seen only by chance: each one
    /// seen stands for as many as fit into the period. Without this, the percentiles would describe the long iterations
    /// only.
    pub(super) fn count(&mut self, iteration: Iteration, period_ns: u64) {
        /// One chance sample of a very short iteration does not prove a million of them.
        const MOST: u64 = 1_000;
        let most = iteration.at_most_ns.unwrap_or(iteration.at_least_ns).max(iteration.at_least_ns);
        let length = (iteration.at_least_ns + (most - iteration.at_least_ns) / 2).max(1);
        let times = (period_ns / length).clamp(1, MOST);
        self.lengths.saturating_record_n(length, times);
        self.iterations += 1;
        self.longest_ns = self.longest_ns.max(iteration.at_least_ns);
    }
}
