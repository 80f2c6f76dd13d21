//! What a check has done, for its outputs and its baseline.

use crate::detect::check::{Fingerprint, Judgement, Run, SelfTest};

/// The default stall threshold.
pub(crate) const STALL_NS: u64 = 100_000_000;

/// The runs and their judgement.
pub(crate) struct Done {
    pub(crate) judgement: Judgement,
    pub(crate) head: Vec<Run>,
    pub(crate) base: Vec<Run>,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) self_test: Option<SelfTest>,
}
