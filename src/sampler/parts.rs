//! What each tier is made of.

use std::sync::Arc;

use super::account::Account;
use super::clock::Clock;
use super::governor::Governor;
use super::options::Judge;
use super::outbox::Outbox;
use super::readers::Target;
use super::shared::Shared;

/// What a loop tier is made of.
pub(super) struct LoopParts {
    pub(super) shared: Arc<Shared>,
    pub(super) target: Arc<dyn Target>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) outbox: Outbox,
    pub(super) governor: Governor,
    /// Share of a core, of all that share it together.
    pub(super) cpu_budget: f64,
    /// A Python that is not there (yet, or any more) is waited for as long as the process lives.
    pub(super) wait_for_python: bool,
    /// CPU time that the watch is charged with.
    pub(super) account: Account,
}

/// What a task tier is made of.
pub(super) struct TaskParts {
    pub(super) shared: Arc<Shared>,
    pub(super) target: Arc<dyn Target>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) outbox: Outbox,
    /// Share of a core, of all that share it together.
    pub(super) cpu_budget: f64,
    /// Without one, nobody looks at everything.
    pub(super) judge: Option<Judge>,
    /// How far apart looks at everything are at least.
    pub(super) findings_every_ns: u64,
}
