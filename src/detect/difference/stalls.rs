//! Stalls that are new, gone, more or less frequent, longer or shorter, by place and cause.

use super::measure::{Confidence, LEAST_EFFECT, Measure, Presence, RISK, Ratio, Site, risk_of_each};
use super::pairing::{Paired, Places, pair};
use super::rates::{self, Counted, worth};
use super::watch::Watch;
use crate::detect::stall::{Cause, Stall};

/// Above this probability of chance, a change is not even likely.
const DOUBTFUL: f64 = 0.05;

/// Stalls in one place for one cause, in both watches.
#[derive(Clone, Debug)]
pub struct StallChange {
    /// The frame to change; no frame where it is not known.
    pub site: Site,
    /// In which watches it was seen.
    pub presence: Presence,
    /// The cause.
    pub cause: Cause,
    /// Number of stalls.
    pub count: (u64, u64),
    /// Stalls per minute.
    pub per_minute: Measure,
    /// The probability of such a difference in the numbers by chance alone.
    pub chance: f64,
    /// Lower bound of the average length, nanoseconds.
    pub length: Measure,
    /// Lower bound of the longest, nanoseconds.
    pub longest_ns: (u64, u64),
    /// Details of the cause of the longest one, from the second watch if it has one.
    pub detail: Option<String>,
    /// What to do about it.
    pub advice: String,
}

impl StallChange {
    /// Whether they became more or less frequent, or longer or shorter.
    pub fn confidence(&self) -> Confidence {
        self.per_minute.confidence.max(self.length.confidence)
    }

    /// Causes outside the program's control are not differences of the program.
    pub fn is_of_the_program(&self) -> bool {
        is_of_the_program(self.cause)
    }
}

fn is_of_the_program(cause: Cause) -> bool {
    !matches!(cause, Cause::CpuStarved | Cause::Suspended)
}

/// Stalls in one place, in one watch.
#[derive(Default)]
struct Stalled<'a> {
    stalls: Vec<&'a Stall>,
}

/// The length from which a stall counts in both watches, nanoseconds.
pub(super) fn threshold_ns(base: &Watch<'_>, head: &Watch<'_>) -> u64 {
    base.analysis.header().stall_threshold_ns.max(head.analysis.header().stall_threshold_ns)
}

/// Stalls by place and cause.
pub(super) fn compare(base: &Watch<'_>, head: &Watch<'_>, threshold_ns: u64) -> Vec<StallChange> {
    let pairs = pair(places(base, threshold_ns), places(head, threshold_ns));
    // Number and length in each watch.
    let risk = risk_of_each(2 * pairs.len());
    let mut changes: Vec<StallChange> = pairs.into_iter().map(|pair| change(pair, base, head, risk)).collect();
    changes.sort_by_key(|change| {
        let lasted = |(base_ns, head_ns): (u64, u64)| base_ns.max(head_ns);
        let rank = (change.confidence(), change.presence == Presence::New, lasted(change.longest_ns));
        std::cmp::Reverse(rank)
    });
    changes
}

fn places<'a>(watch: &Watch<'a>, threshold_ns: u64) -> Places<'a, Cause, Stalled<'a>> {
    let mut places = Places::new();
    for stall in watch.analysis.stalls().worst_first() {
        if stall.at_least_ns >= threshold_ns {
            let at: &mut Stalled<'a> = places.at(stall.cause, stall.site.as_ref(), stall.at_least_ns);
            at.stalls.push(stall);
        }
    }
    places
}

fn change(pair: Paired<Cause, Stalled<'_>>, base: &Watch<'_>, head: &Watch<'_>, risk: f64) -> StallChange {
    let presence = Presence::of(pair.base.is_some(), pair.head.is_some());
    let (before, after) = (pair.base.unwrap_or_default(), pair.head.unwrap_or_default());
    let (was, is) = (before.counted(base), after.counted(head));
    let chance = rates::chance(was, is);
    let per_minute =
        |stalled: &Stalled<'_>, watch: &Watch<'_>| stalled.stalls.len() as f64 * 60.0 / watch.seconds().max(1e-9);
    let values = (per_minute(&before, base), per_minute(&after, head));
    let confidence = confidence(pair.kind, values, chance, risk);
    let interval = rates::ratio(was, is, risk);
    let estimate = if values.0 > 0.0 { values.1 / values.0 } else { f64::INFINITY };
    let ratio = Some(Ratio { estimate, low: interval.low, high: interval.high });
    // The longest comes first.
    let worst = after.stalls.first().or(before.stalls.first());
    let longest_ns = |stalled: &Stalled<'_>| stalled.stalls.first().map_or(0, |stall| stall.at_least_ns);
    StallChange {
        site: pair.site,
        presence,
        cause: pair.kind,
        count: (before.stalls.len() as u64, after.stalls.len() as u64),
        per_minute: Measure { base: Some(values.0), head: Some(values.1), ratio, confidence },
        chance,
        length: length(pair.kind, &before, &after, risk),
        longest_ns: (longest_ns(&before), longest_ns(&after)),
        detail: worst.and_then(|stall| stall.detail.clone()),
        advice: worst.map(|stall| stall.advice.clone()).unwrap_or_default(),
    }
}

fn confidence(cause: Cause, (before, after): (f64, f64), chance: f64, risk: f64) -> Confidence {
    let ratio = after / before;
    let is_large = !(1.0 / LEAST_EFFECT..=LEAST_EFFECT).contains(&ratio);
    match chance {
        _ if !is_of_the_program(cause) => Confidence::Unknown,
        _ if !is_large => Confidence::Noise,
        chance if chance < risk.min(RISK) => Confidence::Certain,
        chance if chance < DOUBTFUL => Confidence::Likely,
        _ => Confidence::Noise,
    }
}

/// Nanoseconds, on average.
fn length(cause: Cause, before: &Stalled<'_>, after: &Stalled<'_>, risk: f64) -> Measure {
    /// A stall is measured by samples some milliseconds apart.
    const FLOOR_NS: f64 = 5e6;
    let lengths =
        |stalled: &Stalled<'_>| -> Vec<f64> { stalled.stalls.iter().map(|stall| stall.at_least_ns as f64).collect() };
    let mean = |lengths: &[f64]| (!lengths.is_empty()).then(|| lengths.iter().sum::<f64>() / lengths.len() as f64);
    let (before, after) = (lengths(before), lengths(after));
    let (was, is) = (mean(&before), mean(&after));
    match (was, is, rates::ratio_of_sizes(&before, &after, risk)) {
        (Some(was), Some(is), Some((estimate, interval))) if is_of_the_program(cause) => {
            Measure::judged(was, is, estimate, interval, FLOOR_NS)
        }
        _ => Measure::unjudged(was, is),
    }
}

impl Stalled<'_> {
    /// The number of independent ones over the watched time: those that come together count for fewer.
    fn counted(&self, watch: &Watch<'_>) -> Counted {
        const SLICES: usize = 16;
        let (started_ns, lasted_ns) = (watch.analysis.header().started_ns, watch.analysis.duration_ns().max(1));
        let mut slices = [0.0; SLICES];
        for stall in &self.stalls {
            let since_ns = stall.start_ns.saturating_sub(started_ns).min(lasted_ns - 1);
            // CAST: below the number of slices.
            slices[(u128::from(since_ns) * SLICES as u128 / u128::from(lasted_ns)) as usize] += 1.0;
        }
        let number = self.stalls.len() as f64;
        let events = worth(number, &slices).unwrap_or(number);
        Counted::of_rate(number / watch.seconds().max(1e-9), events, watch.seconds())
    }
}
