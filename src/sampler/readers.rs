//! What a tier needs from the target, as traits: implemented by the live process and by fakes in tests.

use crate::capture::session::AttachError;
use crate::model::Snapshot;
use crate::model::event::{LoopSample, TaskChanges};
use crate::model::tables::Tables;
use crate::remote::ReadError;
use crate::remote::stopped::StopError;

use super::target_state::Sight;

/// How a sample of all loops, or a look at all tasks, went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Effort {
    /// Attempts that did not hold together.
    pub(super) torn: u64,
    /// Loops that are not in the sample: all attempts failed.
    pub(super) dropped: u64,
    /// Samples with an explicit gap; looks that did not show everything.
    pub(super) partial: u64,
}

/// Why a look failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LookError {
    /// Memory could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The target was to be stopped for it, and could not be.
    #[error(transparent)]
    Stop(#[from] StopError),
}

impl LookError {
    /// Whether the next look cannot succeed either.
    pub(super) fn is_fatal(&self) -> bool {
        matches!(self, Self::Read(error) if error.is_fatal())
    }
}

/// Samples event loops. It keeps numbers of the tables it is given from one look to the next.
pub(super) trait LoopReader {
    /// Samples every loop once; adds to `out`.
    fn sample(&mut self, tables: &mut Tables, at_ns: u64, out: &mut Vec<LoopSample>) -> Result<Effort, LookError>;

    /// Looks which loops there are. Answers whether there is any.
    fn rediscover(&mut self, now_ns: u64) -> Result<bool, LookError>;

    /// The tables began anew: numbers from before mean nothing any more.
    fn forget_numbers(&mut self);
}

/// Looks at all tasks. It keeps numbers as [`LoopReader`] does. What it says first is everything.
pub(super) trait TaskReader {
    /// What became of the tasks since the last look. How long it took is for the caller to say.
    fn look(&mut self, tables: &mut Tables, at_ns: u64) -> Result<(TaskChanges, Effort), LookError>;

    /// The tables began anew, and at the next look everything is said anew.
    fn forget_numbers(&mut self);
}

/// The process that is watched.
pub(super) trait Target: Send + Sync {
    /// The process at this moment, compared with when it was last attached to.
    fn see(&self) -> Sight;

    /// Finds Python in it anew. `Ok(true)` when anything is otherwise than it was: then readers made before are of no use.
    fn attach(&self) -> Result<bool, AttachError>;

    /// How often [`Target::attach`] found something new.
    fn generation(&self) -> u64;

    /// A reader of its loops, as it was last attached to.
    fn loops(&self) -> Result<Box<dyn LoopReader>, LookError>;

    /// A reader of its tasks, as it was last attached to.
    fn tasks(&self) -> Result<Box<dyn TaskReader>, LookError>;

    /// Everything at one moment.
    fn snapshot(&self) -> Result<Snapshot, AttachError>;
}
