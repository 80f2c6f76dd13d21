//! How busy each event loop is, and how long its iterations take. It must not know tasks.

use hdrhistogram::Histogram;

use crate::snapshot::tables::LoopInfo;

/// One iteration of a loop: from leaving its selector to reaching it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Iteration {
    /// It lasted at least so long, nanoseconds.
    pub at_least_ns: u64,
    /// And at most so long; `None` while it lasts and where its end was not seen.
    pub at_most_ns: Option<u64>,
}

/// Lengths of iterations, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Half are shorter.
    pub p50_ns: u64,
    /// Nine of ten are shorter.
    pub p90_ns: u64,
    /// 99 of 100 are shorter.
    pub p99_ns: u64,
    /// The longest lasted at least so long.
    pub max_ns: u64,
}

/// What became of an event loop's time.
#[derive(Clone, Debug)]
pub struct LoopProfile {
    /// Which.
    pub info: LoopInfo,
    /// Samples of it.
    pub samples: u64,
    /// Time away from its selector, nanoseconds.
    pub busy_ns: u64,
    /// Time in its selector, nanoseconds.
    pub selecting_ns: u64,
    /// Time in which events had come but the thread waited for the GIL to leave its selector, nanoseconds.
    pub leaving_ns: u64,
    /// Time in which no loop ran in the thread, or nobody knows, nanoseconds.
    pub unknown_ns: u64,
    /// Time without samples, nanoseconds; in none of the others.
    pub gap_ns: u64,
    /// Iterations that were seen.
    pub iterations: u64,
    /// Most callbacks that were seen in its ready queue.
    pub most_ready: Option<u32>,
    /// Lengths of iterations, nanoseconds, each weighted by how many of its length there must have been.
    lengths: Histogram<u64>,
}

impl LoopProfile {
    /// Share of the known time outside the selector; `None` where there is none.
    pub fn busy_share(&self) -> Option<f64> {
        let known = self.busy_ns + self.leaving_ns + self.selecting_ns;
        (known > 0).then(|| (self.busy_ns + self.leaving_ns) as f64 / known as f64)
    }

    /// How long its iterations took; `None` where none was seen.
    pub fn lag(&self) -> Option<Lag> {
        None
    }
}
