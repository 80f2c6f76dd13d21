//! How one watch differs from another: what got slower, what waits longer, which stalls are new or gone, and how far
//! each of these is beyond chance.
//!
//! Watches differ in length, so everything is taken relative to the watched time, or per task. Code moves between two
//! versions of a program, so places are matched by function and file regardless of the line ([`Site`]).
//!
//! One watch of each is one sample of each. What can be stated is how exactly the two are known: the confidence
//! interval of a ratio follows from the number of samples, which counts for less where they come in bursts. It does not
//! cover how much a third watch of the same program would differ for other reasons (another load, a busy machine).

mod caveats;
mod loops;
mod measure;
mod pairing;
mod rates;
mod runs;
mod stalls;
mod waits;
mod watch;

pub use caveats::Caveat;
pub use loops::{FindingChange, LoopChange};
pub use measure::{Confidence, LEAST_EFFECT, Measure, Presence, RISK, Ratio, Site};
pub use runs::{CoroutineChange, RunChange};
pub use stalls::StallChange;
pub use waits::WaitChange;
pub use watch::Watch;

/// How one watch differs from another. Each list is ordered by importance, most important first.
#[derive(Clone, Debug)]
pub struct Difference {
    /// What makes the two hard to compare.
    pub caveats: Vec<Caveat>,
    /// Stalls by place and cause.
    pub stalls: Vec<StallChange>,
    /// The length from which a stall counts here, nanoseconds.
    pub stall_threshold_ns: u64,
    /// Tasks by coroutine: what loops ran of them, and how long they waited.
    pub coroutines: Vec<CoroutineChange>,
    /// What loops ran, by the function of the program where the time was spent.
    pub runs: Vec<RunChange>,
    /// Waits by place and kind.
    pub waits: Vec<WaitChange>,
    /// Event loops.
    pub loops: Vec<LoopChange>,
    /// The findings of the last snapshot, by rule and place.
    pub findings: Vec<FindingChange>,
}

impl Difference {
    /// Compares the second watch with the first.
    pub fn between(base: &Watch<'_>, head: &Watch<'_>) -> Self {
        let stall_threshold_ns = stalls::threshold_ns(base, head);
        Self {
            caveats: caveats::find(base, head),
            stalls: stalls::compare(base, head, stall_threshold_ns),
            stall_threshold_ns,
            coroutines: runs::coroutines(base, head),
            runs: runs::sites(base, head),
            waits: waits::compare(base, head),
            loops: loops::compare(base, head),
            findings: loops::findings(base, head),
        }
    }

    /// Whether anything differs beyond chance.
    pub fn has_changes(&self) -> bool {
        self.stalls.iter().any(|stall| stall.confidence().is_change())
            || self.coroutines.iter().any(|coroutine| coroutine.confidence().is_change())
            || self.runs.iter().any(|run| run.run.confidence.is_change())
            || self.waits.iter().any(|wait| wait.confidence().is_change())
            || self.loops.iter().any(|event_loop| event_loop.busy.confidence.is_change())
            || self.findings.iter().any(|finding| finding.presence != Presence::Both)
    }
}
