//! One quantity in both watches, how certain it is that it changed, and where it was seen.

use super::rates::{self, Counted, Interval};
use crate::model::snapshot::Frame;

/// A change below this is none, whatever its certainty: a tenth.
pub const LEAST_EFFECT: f64 = 1.1;

/// The share of wrong certainties in each list that is accepted.
pub const RISK: f64 = 0.01;

/// How sure a difference is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// Not known.
    Unknown,
    /// Within what chance does, or too small to matter.
    Noise,
    /// Beyond chance, but perhaps smaller than matters.
    Likely,
    /// Beyond chance, and surely large enough to matter.
    Certain,
}

impl Confidence {
    /// The word for it, as printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Noise => "noise",
            Self::Likely => "likely",
            Self::Certain => "certain",
        }
    }

    /// It is a difference.
    pub fn is_change(self) -> bool {
        self >= Self::Likely
    }
}

/// In which of the two watches something was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Presence {
    /// In both.
    Both,
    /// In the second alone.
    New,
    /// In the first alone.
    Gone,
}

impl Presence {
    /// The word for it, as printed.
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

/// One quantity in both watches; its field's documentation says its unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measure {
    /// In the first; `None` where it is not known.
    pub base: Option<f64>,
    /// In the second.
    pub head: Option<f64>,
    /// The second by the first, and where that ratio can be; `None` where nothing can be said, or the first is none. The
    /// upper end is infinite where nothing limits it.
    pub ratio: Option<Ratio>,
    /// How sure it is that they differ.
    pub confidence: Confidence,
}

/// A ratio, and where it can be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// As it was seen; infinite where there was nothing before.
    pub estimate: f64,
    /// Lower bound of the confidence interval.
    pub low: f64,
    /// Upper bound of the confidence interval.
    pub high: f64,
}

impl Measure {
    /// Nothing is known.
    pub(super) const UNKNOWN: Self = Self { base: None, head: None, ratio: None, confidence: Confidence::Unknown };

    /// Two values of which nobody can say how exact they are.
    pub(super) fn unjudged(base: Option<f64>, head: Option<f64>) -> Self {
        let ratio = None;
        Self { base, head, ratio, confidence: Confidence::Unknown }
    }

    /// Two rates; `floor` is a difference that does not matter.
    pub(super) fn of_rates(base: (f64, Counted), head: (f64, Counted), floor: f64, risk: f64) -> Self {
        let interval = rates::ratio(base.1, head.1, risk);
        let estimate = if base.0 > 0.0 { head.0 / base.0 } else { f64::INFINITY };
        Self::judged(base.0, head.0, estimate, interval, floor)
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

    /// By how much it changed; zero where that is not known.
    pub fn difference(&self) -> f64 {
        self.head.zip(self.base).map_or(0.0, |(head, base)| head - base)
    }
}

/// A place in the program that two watches share: a function of a file, and what happens there. Lines are where they were.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// In the first watch.
    pub base: Option<Frame>,
    /// In the second.
    pub head: Option<Frame>,
}

impl Site {
    /// Where to look: in the second watch, where it was seen there.
    pub fn frame(&self) -> Option<&Frame> {
        self.head.as_ref().or(self.base.as_ref())
    }
}

/// The risk of each of many comparisons, so that of all together it is [`RISK`].
pub(super) fn risk_of_each(comparisons: usize) -> f64 {
    RISK / comparisons.max(1) as f64
}
