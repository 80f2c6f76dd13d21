//! The parts of each tier.

use std::sync::Arc;

use super::account::Account;
use super::clock::Clock;
use super::governor::Governor;
use super::options::{Judge, StopLimits};
use super::outbox::{Gate, Outbox};
use super::readers::Target;
use super::shared::Shared;
use crate::remote::MemoryLimit;

/// The parts of a loop tier.
pub(super) struct LoopParts {
    pub(super) shared: Arc<Shared>,
    pub(super) target: Arc<dyn Target>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) outbox: Outbox,
    /// Closed when the task tier does not end in time.
    pub(super) tasks_gate: Gate,
    pub(super) governor: Governor,
    /// Share of a core, for all watches that share it.
    pub(super) cpu_budget: f64,
    /// The process is stopped for each sample, which takes time.
    pub(super) stops: Option<StopLimits>,
    /// Wait for Python if it is not running yet or any more, for as long as the process lives.
    pub(super) wait_for_python: bool,
    /// CPU time that is charged to the watch.
    pub(super) account: Account,
}

/// The parts of a task tier.
pub(super) struct TaskParts {
    pub(super) shared: Arc<Shared>,
    pub(super) target: Arc<dyn Target>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) outbox: Outbox,
    /// Share of a core, for all watches that share it.
    pub(super) cpu_budget: f64,
    /// How much memory this process may use.
    pub(super) memory: MemoryLimit,
    /// The process is stopped for each sample.
    pub(super) stops: Option<StopLimits>,
    /// Without it, no full snapshots are taken.
    pub(super) judge: Option<Judge>,
    /// Minimum time between full snapshots.
    pub(super) findings_every_ns: u64,
}
