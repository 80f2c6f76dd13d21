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
mod pairing;
mod rates;
mod runs;
mod stalls;
mod waits;

pub use caveats::Caveat;
pub use loops::{FindingChange, LoopChange};
pub use runs::{CoroutineChange, RunChange};
pub use stalls::StallChange;
pub use waits::WaitChange;

use super::analysis::Analysis;
use crate::model::snapshot::Frame;
use rates::{Counted, Interval};

/// A change below this is none, whatever its certainty: a tenth.
pub const LEAST_EFFECT: f64 = 1.1;

/// The share of wrong certainties in each list that is accepted.
pub const RISK: f64 = 0.01;

/// One of two watches.
#[derive(Clone, Copy, Debug)]
pub struct Watch<'a> {
    /// What it amounts to. Its `finish` was called.
    pub analysis: &'a Analysis,
    /// It has an end: false where a recording breaks off.
    pub complete: bool,
}

impl Watch<'_> {
    /// Time of which something is known, nanoseconds: without the gaps between samples.
    pub fn watched_ns(&self) -> u64 {
        let loops = self.analysis.profile().loops();
        let whole: u64 = loops.iter().map(|event_loop| event_loop.watched_ns()).sum();
        let gaps: u64 = loops.iter().map(|event_loop| event_loop.gap_ns).sum();
        let known = if whole > 0 { 1.0 - gaps as f64 / whole as f64 } else { 1.0 };
        (self.analysis.duration_ns() as f64 * known) as u64
    }

    fn seconds(&self) -> f64 {
        self.watched_ns() as f64 / 1e9
    }

    /// How often all tasks were looked at.
    fn looks(&self) -> f64 {
        match self.analysis.health().map_or(0, |health| health.task_snapshots) {
            // The watch has not said; it was asked to.
            0 => self.analysis.header().task_rate_hz * self.analysis.duration_ns() as f64 / 1e9,
            looks => looks as f64,
        }
    }

    /// Nanoseconds between two looks at the tasks.
    fn look_period_ns(&self) -> f64 {
        self.analysis.duration_ns() as f64 / self.looks().max(1e-9)
    }
}

/// How sure a difference is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// Nobody can say.
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

    fn of(base: bool, head: bool) -> Self {
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
    /// It is hardly less.
    pub low: f64,
    /// It is hardly more.
    pub high: f64,
}

impl Measure {
    /// Nothing is known.
    const UNKNOWN: Self = Self { base: None, head: None, ratio: None, confidence: Confidence::Unknown };

    /// Two values of which nobody can say how exact they are.
    fn unjudged(base: Option<f64>, head: Option<f64>) -> Self {
        let ratio = None;
        Self { base, head, ratio, confidence: Confidence::Unknown }
    }

    /// Two rates; `floor` is a difference that does not matter.
    fn of_rates(base: (f64, Counted), head: (f64, Counted), floor: f64, risk: f64) -> Self {
        let interval = rates::ratio(base.1, head.1, risk);
        let estimate = if base.0 > 0.0 { head.0 / base.0 } else { f64::INFINITY };
        Self::judged(base.0, head.0, estimate, interval, floor)
    }

    fn judged(base: f64, head: f64, estimate: f64, interval: Interval, floor: f64) -> Self {
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

/// The risk of each of many comparisons, so that of all together it is [`RISK`].
fn risk_of_each(comparisons: usize) -> f64 {
    RISK / comparisons.max(1) as f64
}
