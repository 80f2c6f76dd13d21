//! A report: the watch it shows, and data derived from it for several formats.

use std::collections::HashMap;

use crate::detect::analysis::Analysis;
use crate::detect::stall::{Cause, Stall};
use crate::model::event::Health;
use crate::model::snapshot::Frame;
use crate::profile::{CoroutineProfile, Label, Profile, WaitProfile, Weighted};

/// A watch that is over, or its state so far.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// Its analysis, with `finish` already called.
    pub analysis: &'a Analysis,
    /// Whether it is complete: false if a recording breaks off.
    pub complete: bool,
}

/// Default maximum entries per list in human-readable output.
pub(super) const SHOWN: usize = 10;

/// Stalls with the same cause and the same frame to change.
pub(super) struct StallGroup<'a> {
    pub(super) worst: &'a Stall,
    /// All of them, in the order in which they occurred.
    pub(super) stalls: Vec<&'a Stall>,
    pub(super) total_ns: u64,
    pub(super) ongoing: bool,
}

impl StallGroup<'_> {
    pub(super) fn count(&self) -> usize {
        self.stalls.len()
    }
}

/// By site and cause, the group with the longest stall first.
pub(super) fn stall_groups<'a>(stalls: &[&'a Stall]) -> Vec<StallGroup<'a>> {
    type Sameness<'a> = (Cause, Option<&'a Frame>, Option<&'a Frame>);
    let mut groups: Vec<StallGroup<'a>> = Vec::new();
    let mut positions: HashMap<Sameness<'a>, usize> = HashMap::new();
    for stall in stalls {
        let innermost = if stall.site.is_none() { stall.stack.last() } else { None };
        let position = *positions.entry((stall.cause, stall.site.as_ref(), innermost)).or_insert_with(|| {
            groups.push(StallGroup { worst: stall, stalls: Vec::new(), total_ns: 0, ongoing: false });
            groups.len() - 1
        });
        let group = &mut groups[position];
        group.stalls.push(stall);
        group.total_ns += stall.at_least_ns;
        group.ongoing |= stall.ongoing;
        if stall.at_least_ns > group.worst.at_least_ns {
            group.worst = stall;
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse((group.worst.at_least_ns, group.total_ns)));
    groups
}

impl<'a> Report<'a> {
    pub(super) fn profile(&self) -> &'a Profile {
        self.analysis.profile()
    }

    /// The watch's own figures, otherwise what the events show.
    pub(super) fn health(&self) -> Health {
        match self.analysis.health() {
            Some(health) => *health,
            None => Health {
                loop_samples: self.profile().loops().iter().map(|event_loop| event_loop.samples).sum(),
                ..Health::default()
            },
        }
    }

    /// Actual samples of a loop per second; zero if there are none.
    pub(super) fn loop_rate_hz(&self) -> f64 {
        let loops = self.profile().loops();
        let watched: u64 = loops.iter().map(|event_loop| event_loop.watched_ns()).sum();
        let samples: u64 = loops.iter().map(|event_loop| event_loop.samples.saturating_sub(1)).sum();
        rate(samples, watched)
    }

    pub(super) fn task_rate_hz(&self) -> f64 {
        rate(self.health().task_snapshots, self.analysis.duration_ns())
    }

    /// CPU time of asyncprof itself, relative to one core.
    pub(super) fn cpu_percent(&self) -> f64 {
        100.0 * self.health().cpu_ns as f64 / (self.analysis.duration_ns().max(1)) as f64
    }

    /// Stalls of at least this length were sure to be seen: the watch's own figure, otherwise computed from the actual
    /// samples.
    pub(super) fn shortest_stall_ns(&self) -> u64 {
        self.analysis.shortest_sure_stall_ns().unwrap_or_else(|| {
            let longest = self.profile().loops().iter().map(|event_loop| event_loop.longest_between_ns).max();
            let header = self.analysis.header();
            let longest_ns = longest.unwrap_or_default();
            crate::detect::analysis::shortest_sure_stall_ns(header.stall_threshold_ns, longest_ns, header.loop_rate_hz)
        })
    }

    /// By growth per minute, then by number.
    pub(super) fn fastest_growing(&self) -> Vec<CoroutineProfile> {
        let mut coroutines = self.profile().coroutines();
        coroutines.sort_by_key(|coroutine| {
            std::cmp::Reverse((coroutine.growth_per_minute.unwrap_or_default().max(0.0) as u64, coroutine.seen))
        });
        coroutines
    }

    /// By what loops executed of them, longest time first.
    pub(super) fn hottest(&self) -> Vec<CoroutineProfile> {
        let mut coroutines = self.profile().coroutines();
        coroutines.sort_by_key(|coroutine| std::cmp::Reverse(coroutine.run_ns));
        coroutines
    }
}

pub(super) fn rate(number: u64, duration_ns: u64) -> f64 {
    if duration_ns == 0 { 0.0 } else { number as f64 * 1e9 / duration_ns as f64 }
}

/// What identifies a function, regardless of the line.
type Code<'f> = (&'f str, &'f str);

fn code(frame: &Frame) -> Code<'_> {
    (&frame.function, &frame.file)
}

/// What the tasks of each coroutine ran and waited for.
pub(super) struct Activity<'r> {
    waits: HashMap<Option<&'r Frame>, Vec<&'r WaitProfile<'r>>>,
    runs: HashMap<Code<'r>, Vec<&'r Weighted<'r>>>,
}

impl<'r> Activity<'r> {
    pub(super) fn of(waits: &'r [WaitProfile<'r>], runs: &'r [Weighted<'r>]) -> Self {
        let mut activity = Self { waits: HashMap::new(), runs: HashMap::new() };
        for wait in waits {
            activity.waits.entry(wait.coroutine).or_default().push(wait);
        }
        for run in runs {
            if let Some(Label::Frame(outermost)) = run.stack.first() {
                activity.runs.entry(code(outermost)).or_default().push(run);
            }
        }
        activity
    }

    /// Longest time first.
    pub(super) fn waits<'a>(&'a self, coroutine: Option<&'a Frame>) -> &'a [&'a WaitProfile<'a>] {
        self.waits.get(&coroutine).map_or(&[], Vec::as_slice)
    }

    /// What was run, by the outermost function of its stack, longest time first.
    pub(super) fn runs<'a>(&'a self, coroutine: Option<&'a Frame>) -> &'a [&'a Weighted<'a>] {
        coroutine.and_then(|frame| self.runs.get(&code(frame))).map_or(&[], Vec::as_slice)
    }
}

/// The code in a stitched stack.
pub(super) fn frames_of<'p>(stack: &[Label<'p>]) -> impl Iterator<Item = &'p Frame> {
    stack.iter().filter_map(|label| match label {
        Label::Frame(frame) => Some(*frame),
        _ => None,
    })
}
