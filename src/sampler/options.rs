//! The options of a watch.

use std::sync::Arc;
use std::time::Duration;

use crate::model::Snapshot;
use crate::model::snapshot::{Finding, Frame};
use crate::remote::MemoryLimit;

use super::shared::Stop;
use super::sharing::Sharing;

/// Judges a full snapshot.
pub type Judge = Arc<dyn Fn(&Snapshot) -> Vec<Judged> + Send + Sync>;

/// A finding and its location.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The finding.
    pub finding: Finding,
    /// The frame nearest to the cause in the program's own code.
    pub site: Option<Frame>,
}

/// How to watch. Rates and shares are positive: the caller has checked them.
#[derive(Clone)]
pub struct Options {
    /// Samples of each loop per second.
    pub loop_rate_hz: f64,
    /// Task snapshots per second.
    pub task_rate_hz: f64,
    /// A loop blocked for at least this long counts as stalled. For the header only.
    pub stall_threshold: Duration,
    /// Share of one core that this whole process may use.
    pub cpu_budget: f64,
    /// How much memory this whole process may use.
    pub memory: MemoryLimit,
    /// The watches that share the budget in equal parts: all that are started with clones of this.
    pub sharing: Sharing,
    /// Stop the target while it is read.
    pub stops: Option<StopLimits>,
    /// Minimum time between full snapshots. The first is taken early, the last at the end.
    pub findings_every: Duration,
    /// Wait for Python if it is not running yet or any more, for as long as the process lives.
    pub wait_for_python: bool,
    /// Judges full snapshots; without it none are taken.
    pub judge: Option<Judge>,
    /// Ends the watch, and the wait for Python before it.
    pub stop: Stop,
}

/// How the target may be stopped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StopLimits {
    /// For how long at a time.
    pub longest: Duration,
    /// For which share of the time.
    pub share: f64,
}

impl StopLimits {
    /// The CPU time that uses as much of a CPU budget as a stop uses of the share: what keeps to the budget keeps to
    /// the share then.
    pub(super) fn cost_ns(&self, stopped_ns: u64, cpu_budget: f64) -> u64 {
        // CAST: a float that is too large becomes the largest integer.
        (stopped_ns as f64 * cpu_budget / self.share) as u64
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            loop_rate_hz: 1000.0,
            task_rate_hz: 10.0,
            stall_threshold: Duration::from_millis(100),
            cpu_budget: 0.05,
            memory: MemoryLimit::NONE,
            sharing: Sharing::default(),
            stops: None,
            findings_every: Duration::from_secs(10),
            wait_for_python: false,
            judge: None,
            stop: Stop::default(),
        }
    }
}
