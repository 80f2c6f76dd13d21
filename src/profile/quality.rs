//! How well the watch went. It must not know what was seen.

use crate::snapshot::event::Health;

/// How far to trust a profile.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quality {
    /// Totals of the watch, as it counted them; its rates are those that were achieved on the whole.
    pub health: Health,
    /// From the first event to the last, nanoseconds.
    pub duration_ns: u64,
    /// asyncprof's own CPU time, percent of one core; `None` where it was not said.
    pub cpu_percent: Option<f64>,
    /// The shortest stall that is sure to be seen, nanoseconds: nearly all times between two samples are shorter. `None`
    /// where there are too few samples to say.
    pub shortest_stall_ns: Option<u64>,
    /// The longest time between two samples of a loop, nanoseconds.
    pub longest_gap_ns: u64,
    /// Events since the watch ended, or that it ended at all: false where a recording breaks off.
    pub ended: bool,
}
