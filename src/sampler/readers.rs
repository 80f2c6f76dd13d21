//! What a tier needs from the target, as traits: implemented by the live process and by fakes in tests.

use crate::capture::session::AttachError;
use crate::model::Snapshot;
use crate::model::event::{LoopSample, StopTotals, TaskChanges};
use crate::model::tables::Tables;
use crate::remote::ReadError;
use crate::remote::stopped::StopError;

use super::target_state::Sight;

/// Statistics of one sample of all loops or of all tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Effort {
    /// Torn attempts.
    pub(super) torn: u64,
    /// Loops missing from the sample because all attempts failed.
    pub(super) dropped: u64,
    /// Samples with an explicit gap; task samples that were not complete.
    pub(super) partial: u64,
    /// For how long the target was stopped, nanoseconds.
    pub(super) stopped_ns: u64,
    /// There was no memory for some of the tasks.
    pub(super) is_full: bool,
}

/// Why a sample failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LookError {
    /// Memory could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The target was to be stopped, and could not be.
    #[error(transparent)]
    Stop(#[from] StopError),
}

impl LookError {
    /// Whether the next sample would fail too.
    pub(super) fn is_fatal(&self) -> bool {
        matches!(self, Self::Read(error) if error.is_fatal())
    }
}

/// Samples event loops. Between samples it keeps numbers of the tables it is given.
pub(super) trait LoopReader {
    /// Samples every loop once; adds to `out`.
    fn sample(&mut self, tables: &mut Tables, at_ns: u64, out: &mut Vec<LoopSample>) -> Result<Effort, LookError>;

    /// Finds the current loops. Returns whether there are any.
    fn rediscover(&mut self, now_ns: u64) -> Result<bool, LookError>;

    /// The tables were reset: earlier numbers are no longer valid.
    fn forget_numbers(&mut self);
}

/// Samples all tasks. It keeps numbers as [`LoopReader`] does. Its first sample reports every task.
pub(super) trait TaskReader {
    /// What changed in the tasks since the last sample. The caller fills in the duration.
    fn look(&mut self, tables: &mut Tables, at_ns: u64) -> Result<(TaskChanges, Effort), LookError>;

    /// The tables were reset; the next sample reports every task again.
    fn forget_numbers(&mut self);
}

/// The watched process.
pub(super) trait Target: Send + Sync {
    /// The current state of the process, compared with the last attachment.
    fn see(&self) -> Sight;

    /// Attaches again. `Ok(true)` when anything has changed: then existing readers are useless.
    fn attach(&self) -> Result<bool, AttachError>;

    /// How it was stopped so far.
    fn stops(&self) -> StopTotals;

    /// How often [`Target::attach`] found a change.
    fn generation(&self) -> u64;

    /// A reader of its loops, for the last attachment.
    fn loops(&self) -> Result<Box<dyn LoopReader>, LookError>;

    /// A reader of its tasks, for the last attachment.
    fn tasks(&self) -> Result<Box<dyn TaskReader>, LookError>;

    /// Allows the calling thread this much CPU time for looks at tasks and full snapshots from now on; what takes more
    /// fails with [`ReadError::GivenUp`].
    fn allow_ns(&self, cpu_ns: u64);

    /// A full snapshot.
    fn snapshot(&self) -> Result<Snapshot, AttachError>;
}
