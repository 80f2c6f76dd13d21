//! One quantity in both watches, how certain it is that it changed, and in which watches it was seen.

use super::rates::{self, Counted, Interval};
use crate::model::snapshot::Frame;

/// Changes below this are ignored, however certain: a tenth.
pub const LEAST_EFFECT: f64 = 1.1;

/// The accepted share of false positives in each list.
pub const RISK: f64 = 0.01;

/// How certain a difference is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// Not known.
    Unknown,
    /// Within what chance produces, or too small to matter.
    Noise,
    /// Statistically significant, but perhaps too small to matter.
    Likely,
    /// Statistically significant, and certainly large enough to matter.
    Certain,
}

impl Confidence {
    /// The word as printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Noise => "noise",
            Self::Likely => "likely",
            Self::Certain => "certain",
        }
    }

    /// Whether it counts as a difference.
    pub fn is_change(self) -> bool {
        self >= Self::Likely
    }
}

/// In which of the two watches something was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Presence {
    /// In both.
    Both,
    /// In the second only.
    New,
    /// In the first only.
    Gone,
}

impl Presence {
    /// The word as printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::New => "new",
            Self::Gone => "gone",
        }
    }

    pub(super) fn of(base: bool, head: bool) -> Self {
        match (base, head) {
            (false, true) => Self::New,
            (true, false) => Self::Gone,
            _ => Self::Both,
        }
    }
}

/// One quantity in both watches; the documentation of its field gives its unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measure {
    /// In the first watch; `None` where it is not known.
    pub base: Option<f64>,
    /// In the second watch.
    pub head: Option<f64>,
    /// The ratio of the second to the first, with its confidence interval; `None` where it is not known, or there is no
    /// first. The upper end is infinite where it is unbounded.
    pub ratio: Option<Ratio>,
    /// How certain it is that they differ.
    pub confidence: Confidence,
}

/// A ratio with its confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// The observed ratio; infinite if there was nothing before.
    pub estimate: f64,
    /// Lower bound of the confidence interval.
    pub low: f64,
    /// Upper bound of the confidence interval.
    pub high: f64,
}

impl Measure {
    /// Nothing is known.
    pub(super) const UNKNOWN: Self = Self { base: None, head: None, ratio: None, confidence: Confidence::Unknown };

    /// Two values of unknown precision.
    pub(super) fn unjudged(base: Option<f64>, head: Option<f64>) -> Self {
        let ratio = None;
        Self { base, head, ratio, confidence: Confidence::Unknown }
    }

    /// Two rates; `floor` is a difference too small to matter. They are of unknown precision where a count is not known.
    pub(super) fn of_rates(
        (was, base): (f64, Option<Counted>),
        (is, head): (f64, Option<Counted>),
        floor: f64,
        risk: f64,
    ) -> Self {
        let (Some(base), Some(head)) = (base, head) else { return Self::unjudged(Some(was), Some(is)) };
        let estimate = if was > 0.0 { is / was } else { f64::INFINITY };
        Self::judged(was, is, estimate, rates::ratio(base, head, risk), floor)
    }

    pub(super) fn judged(base: f64, head: f64, estimate: f64, interval: Interval, floor: f64) -> Self {
        let confidence = if (head - base).abs() < floor || (base == 0.0 && head == 0.0) {
            Confidence::Noise
        } else if interval.low > LEAST_EFFECT || interval.high < 1.0 / LEAST_EFFECT {
            Confidence::Certain
        } else if (interval.low > 1.0 && estimate > LEAST_EFFECT)
            || (interval.high < 1.0 && estimate < 1.0 / LEAST_EFFECT)
        {
            Confidence::Likely
        } else {
            Confidence::Noise
        };
        let known = !(base == 0.0 && head == 0.0);
        let ratio = known.then_some(Ratio { estimate, low: interval.low, high: interval.high });
        Self { base: Some(base), head: Some(head), ratio, confidence }
    }

    /// The size of the change; zero where it is not known.
    pub fn difference(&self) -> f64 {
        self.head.zip(self.base).map_or(0.0, |(head, base)| head - base)
    }
}

/// A place in the program matched between two watches: a function of a file, and what happens there. Each watch has its
/// own line.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// In the first watch.
    pub base: Option<Frame>,
    /// In the second watch.
    pub head: Option<Frame>,
}

impl Site {
    /// The frame to show: from the second watch if it was seen there.
    pub fn frame(&self) -> Option<&Frame> {
        self.head.as_ref().or(self.base.as_ref())
    }
}

/// Orders changes, those of the highest rank first.
pub(super) fn highest_first<T, R: PartialOrd>(changes: &mut [T], rank: impl Fn(&T) -> R) {
    changes.sort_by(|one, other| rank(other).partial_cmp(&rank(one)).unwrap_or(std::cmp::Ordering::Equal));
}

/// Adds how often something was seen in each slice of a watch.
pub(super) fn add_slices(sums: &mut Vec<f64>, counts: &[u64]) {
    sums.resize(sums.len().max(counts.len()), 0.0);
    sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += *count as f64);
}

/// The risk allowed for each of many comparisons, so that the risk for all together is [`RISK`].
pub(super) fn risk_of_each(comparisons: usize) -> f64 {
    RISK / comparisons.max(1) as f64
}
