//! Where tasks wait longer: by the place in the program and what they wait for there.

use super::measure::{Confidence, Measure, Presence, Site, add_slices, highest_first, risk_of_each};
use super::pairing::{Places, pair};
use super::rates::{Counted, worth};
use super::watch::Watch;
use crate::detect::origin;
use crate::model::snapshot::WaitKind;
use crate::profile::WaitProfile;

/// Average number of tasks waiting in one place; fewer do not matter.
const FLOOR: f64 = 0.02;

/// Waits in one place for one kind of thing, in both watches.
#[derive(Clone, Debug)]
pub struct WaitChange {
    /// The innermost frame of the program's own code; no frame where it is not known.
    pub site: Site,
    /// In which watches it was seen.
    pub presence: Presence,
    /// What is waited for; `None` where it is not known.
    pub kind: Option<WaitKind>,
    /// Number of tasks waiting there, averaged over the time.
    pub waiting: Measure,
    /// Average length of a wait, nanoseconds; unknown if waits are too short to be seen one by one, or do not end.
    pub length: Measure,
    /// Lower bound of the longest wait, nanoseconds.
    pub longest_ns: (u64, u64),
}

impl WaitChange {
    /// Whether there is more or less waiting there: per wait, or if that is not known, all together.
    pub fn confidence(&self) -> Confidence {
        self.decisive().confidence
    }

    /// The measure that shows whether it waits longer.
    pub fn decisive(&self) -> &Measure {
        if self.length.confidence == Confidence::Unknown { &self.waiting } else { &self.length }
    }
}

/// Waits in one place, in one watch.
#[derive(Debug, Default)]
struct Waited {
    wait_ns: u64,
    waits: u64,
    longest_ns: u64,
    by_slice: Vec<f64>,
}

impl Waited {
    fn add(&mut self, wait: &WaitProfile<'_>, lasted_ns: u64) {
        self.wait_ns += wait.wait_ns;
        self.waits += wait.waits;
        self.longest_ns = self.longest_ns.max(wait.longest_ns);
        add_slices(&mut self.by_slice, &wait.slices.counts(lasted_ns));
    }

    /// Whether the length of a wait is meaningful: most ended, and samples did not miss them.
    fn have_lengths(&self, watch: &Watch<'_>) -> bool {
        let mean_ns = self.wait_ns as f64 / self.waits.max(1) as f64;
        self.waits > 0 && mean_ns >= 2.0 * watch.look_period_ns() && self.longest_ns < watch.analysis.duration_ns() / 2
    }

    fn level(&self, watch: &Watch<'_>) -> f64 {
        self.wait_ns as f64 / watch.analysis.duration_ns().max(1) as f64
    }
}

/// Waits by place and kind.
pub(super) fn compare(base: &Watch<'_>, head: &Watch<'_>) -> Vec<WaitChange> {
    let (before, after) = (base.analysis.profile().waits(), head.analysis.profile().waits());
    let pairs = pair(places(base, &before), places(head, &after));
    let level = |waited: &Option<Waited>, watch: &Watch<'_>| waited.as_ref().map_or(0.0, |waited| waited.level(watch));
    let matters = pairs.iter().filter(|pair| level(&pair.base, base).max(level(&pair.head, head)) >= FLOOR);
    let risk = risk_of_each(2 * matters.count());
    let mut changes: Vec<WaitChange> = pairs
        .into_iter()
        .map(|pair| {
            let presence = Presence::of(pair.base.is_some(), pair.head.is_some());
            let (before, after) = (pair.base.unwrap_or_default(), pair.head.unwrap_or_default());
            let (waiting, length) =
                (waiting(&before, base, &after, head, risk), length(&before, base, &after, head, risk));
            let longest_ns = (before.longest_ns, after.longest_ns);
            WaitChange { site: pair.site, presence, kind: pair.kind, waiting, length, longest_ns }
        })
        .collect();
    highest_first(&mut changes, |change| (change.confidence(), change.waiting.difference().abs()));
    changes
}

fn places<'p>(watch: &Watch<'_>, waits: &'p [WaitProfile<'p>]) -> Places<'p, Option<WaitKind>, Waited> {
    let mut places: Places<'p, Option<WaitKind>, Waited> = Places::new();
    for wait in waits {
        let site = origin::culprit_of(wait.stack.iter().copied());
        places.at(wait.kind, site, wait.wait_ns).add(wait, watch.analysis.duration_ns());
    }
    places
}

fn waiting(before: &Waited, base: &Watch<'_>, after: &Waited, head: &Watch<'_>, risk: f64) -> Measure {
    let side = |waited: &Waited, watch: &Watch<'_>| {
        // If no task waited there, samples showed none.
        let events = if waited.waits == 0 { Some(0.0) } else { worth(waited.waits as f64, &waited.by_slice) };
        let level = waited.level(watch);
        (level, events.map(|events| Counted::of_rate(level, events, watch.looks())))
    };
    Measure::of_rates(side(before, base), side(after, head), FLOOR, risk)
}

fn length(before: &Waited, base: &Watch<'_>, after: &Waited, head: &Watch<'_>, risk: f64) -> Measure {
    if !before.have_lengths(base) || !after.have_lengths(head) {
        return Measure::UNKNOWN;
    }
    let side = |waited: &Waited| {
        let mean_ns = waited.wait_ns as f64 / waited.waits as f64;
        let events = worth(waited.waits as f64, &waited.by_slice)?;
        Some((mean_ns, Some(Counted::of_rate(mean_ns, events, 1.0))))
    };
    // Samples cannot distinguish lengths that differ by less than the time between two of them.
    let floor_ns = base.look_period_ns().max(head.look_period_ns());
    match (side(before), side(after)) {
        (Some(before), Some(after)) => Measure::of_rates(before, after, floor_ns, risk),
        _ => Measure::UNKNOWN,
    }
}
