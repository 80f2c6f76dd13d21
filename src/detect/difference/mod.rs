//! How one watch differs from another: what got slower, what waits longer, which stalls are new and which are gone, and
//! how far each of these is beyond chance.
//!
//! Watches differ in length, so everything is taken over the time that was watched, or for each task. Code moves between
//! two versions of a program, so places are matched by function and file whatever the line ([`Site`]).
//!
//! One watch of each is one sample of each. What can be said is how exactly the two are known: the interval of a ratio
//! comes from the number of samples, fewer where they come in bursts. How much a third watch of the same program
//! would differ for other reasons (another load, a busy machine) is not in it.

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

/// How one watch differs from another. Each list has the most important first.
#[derive(Clone, Debug)]
pub struct Difference {
    /// What makes the two hard to compare.
    pub caveats: Vec<Caveat>,
    /// Stalls by place and cause.
    pub stalls: Vec<StallChange>,
    /// From how long on a stall counts here, nanoseconds.
    pub stall_threshold_ns: u64,
    /// Tasks by coroutine: what loops ran of them, and what they waited.
    pub coroutines: Vec<CoroutineChange>,
    /// What loops ran, by the function of the program that it went into.
    pub runs: Vec<RunChange>,
    /// Waits by place and kind.
    pub waits: Vec<WaitChange>,
    /// Event loops.
    pub loops: Vec<LoopChange>,
    /// What the last look at everything showed, by rule and place.
    pub findings: Vec<FindingChange>,
}

impl Difference {
    /// What is different in the second of two watches.
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

    /// Anything differs beyond chance.
    pub fn has_changes(&self) -> bool {
        self.stalls.iter().any(|stall| stall.confidence().is_change())
            || self.coroutines.iter().any(|coroutine| coroutine.confidence().is_change())
            || self.runs.iter().any(|run| run.run.confidence.is_change())
            || self.waits.iter().any(|wait| wait.confidence().is_change())
            || self.loops.iter().any(|event_loop| event_loop.busy.confidence.is_change())
            || self.findings.iter().any(|finding| finding.presence != Presence::Both)
    }
}
