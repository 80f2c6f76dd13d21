//! One question of a check, its answer, and the evidence for it.

use super::metrics::Metric;
use super::sites::Site;

/// A verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// For information only.
    Shown,
    /// Good enough.
    Pass,
    /// There is no data to judge by.
    NoData,
    /// There is data, but it is inconclusive.
    Inconclusive,
    /// Not good enough.
    Fail,
}

impl Verdict {
    /// As written in every format.
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

/// The subject of an item.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// How a run went; numbered from one.
    Run(usize),
    /// A budget.
    Budget(Metric),
    /// A place not seen in earlier runs.
    NewSite,
    /// That there are no new places.
    NoNewSites,
    /// A metric, compared with earlier runs.
    Change(Metric),
}

/// The evidence of an item.
#[derive(Clone, Debug, PartialEq)]
pub enum Numbers {
    /// No numbers.
    None,
    /// A value and its limit, in the metric's own unit.
    Limit {
        /// The median of all runs; `None` without data.
        value: Option<f64>,
        /// The limit.
        limit: f64,
        /// Number of runs above it.
        exceeded: usize,
        /// Number of runs.
        runs: usize,
    },
    /// A place: in how many runs of each side it was seen.
    Seen {
        /// Runs with it now.
        head: usize,
        /// Runs now, in total.
        heads: usize,
        /// Earlier runs; none of them has it.
        bases: usize,
        /// The probability of this by chance alone.
        p: f64,
    },
    /// A change of a metric, in the metric's own unit.
    Change {
        /// The earlier median.
        base: Option<f64>,
        /// The current median.
        head: Option<f64>,
        /// The factor of the change.
        ratio: Option<f64>,
        /// Lower end of the confidence interval of the factor.
        low: f64,
        /// Upper end of the confidence interval.
        high: f64,
        /// The probability of this by chance alone, adjusted for the number of metrics.
        p: f64,
        /// Runs or pairs that were used.
        runs: usize,
        /// Runs or pairs discarded for noise.
        spoilt: usize,
    },
}

/// One question and its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The subject.
    pub subject: Subject,
    /// The answer.
    pub verdict: Verdict,
    /// The evidence.
    pub numbers: Numbers,
    /// The places to blame, worst first.
    pub sites: Vec<Site>,
    /// Why, where the numbers do not show it.
    pub reason: Option<String>,
}
