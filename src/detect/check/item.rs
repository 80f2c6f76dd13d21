//! One question of a check, its answer, and what the answer rests on.

use super::metrics::Metric;
use super::sites::Site;

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// For information alone.
    Shown,
    /// Good enough.
    Pass,
    /// There is no data to judge by.
    NoData,
    /// There is data, and it does not tell.
    Inconclusive,
    /// Not good enough.
    Fail,
}

impl Verdict {
    /// As it is written everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shown => "shown",
            Self::Pass => "pass",
            Self::NoData => "no-data",
            Self::Inconclusive => "inconclusive",
            Self::Fail => "fail",
        }
    }
}

/// What an item is about.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// How a run went; counted from one.
    Run(usize),
    /// A limit.
    Budget(Metric),
    /// A place that was not known before.
    NewSite,
    /// That there is no such place.
    NoNewSites,
    /// A metric against runs of before.
    Change(Metric),
}

/// What an item rests on.
#[derive(Clone, Debug, PartialEq)]
pub enum Numbers {
    /// Nothing that is counted.
    None,
    /// A value and its limit, in the metric's own unit.
    Limit {
        /// In the middle of all runs; `None` without data.
        value: Option<f64>,
        /// What it may be.
        limit: f64,
        /// Runs above it.
        exceeded: usize,
        /// Runs.
        runs: usize,
    },
    /// A place: in how many runs of each side.
    Seen {
        /// Now.
        head: usize,
        /// Of so many.
        heads: usize,
        /// Runs of before; none has it.
        bases: usize,
        /// How likely by luck alone.
        p: f64,
    },
    /// A change of a metric, in its own unit.
    Change {
        /// Before, in the middle.
        base: Option<f64>,
        /// Now, in the middle.
        head: Option<f64>,
        /// By which factor.
        ratio: Option<f64>,
        /// Lower end of the interval of the factor.
        low: f64,
        /// Upper end.
        high: f64,
        /// How likely by chance alone, with all metrics together in view.
        p: f64,
        /// Runs or pairs that count.
        runs: usize,
        /// Runs or pairs that noise has spoilt.
        spoilt: usize,
    },
}

/// One question and its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// What it is about.
    pub subject: Subject,
    /// The answer.
    pub verdict: Verdict,
    /// What it rests on.
    pub numbers: Numbers,
    /// The places to blame, worst first.
    pub sites: Vec<Site>,
    /// Why, where the numbers do not say it.
    pub reason: Option<String>,
}
