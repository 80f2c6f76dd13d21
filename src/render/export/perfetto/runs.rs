//! Turns the samples of each loop into periods of activity: each sample stands for half of the time to each of its
//! neighbours, as in the profile, so that the periods add up to the same totals.

use std::sync::Arc;

use crate::model::event::{Doing, Gil, LoopSample, Phase};
use crate::model::tables::{Tables, TaskInfo};
use crate::profile::longest_period_ns;
use crate::render::report::words;

/// What a loop's thread does in a sample. Waiting in the selector does not count as an activity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Does {
    Run {
        task: Option<Arc<TaskInfo>>,
        callback: Option<u64>,
    },
    WaitsForGil,
    NoLoop,
    Stopped,
    Unknown,
    /// There was no sample for too long, so the activity is unknown.
    NotSampled,
}

/// The details from its first sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// The outermost function, outside of tasks; a task has its own coroutine.
    pub(super) callee: Option<Arc<str>>,
    /// `function (file:line)` of the innermost frame.
    pub(super) at: Option<String>,
    /// Inner frames are missing.
    pub(super) torn: bool,
}

/// A period of one activity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) from_ns: u64,
    pub(super) to_ns: u64,
    pub(super) does: Does,
    pub(super) look: Look,
}

/// The effect of a sample: at most one period ends, perhaps followed by one without samples, and one begins.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) over: Vec<Stretch>,
    /// What runs from this moment on.
    pub(super) begins: Option<(u64, Does)>,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.over.is_empty() && self.begins.is_none()
    }
}

#[derive(Debug, Default)]
pub(super) struct Runs {
    last_ns: Option<u64>,
    open: Option<(u64, Does, Look)>,
}

impl Look {
    pub(super) fn none() -> Self {
        Self { callee: None, at: None, torn: false }
    }

    pub(super) fn of(sample: &LoopSample, tables: &Tables) -> Self {
        let Some(stack) = sample.stack else { return Self { torn: sample.torn, ..Self::none() } };
        let frames: Vec<_> = tables.frames_of(stack).filter_map(|id| tables.frame(id)).collect();
        let (outer, at) = (usize::from(sample.outer), frames.first().map(|frame| words::frame(frame)));
        let callee = frames.iter().rev().nth(outer).map(|frame| frame.function.clone());
        Self { callee, at, torn: sample.torn }
    }
}

impl Does {
    /// `None` in the selector.
    pub(super) fn of(sample: &LoopSample, task: Option<Arc<TaskInfo>>) -> Option<Self> {
        if sample.kernel.as_ref().is_some_and(|look| look.doing == Doing::Stopped) {
            return Some(Self::Stopped);
        }
        match sample.phase {
            Phase::Selecting => None,
            Phase::Away => Some(Self::Run { task, callback: sample.callback }),
            Phase::LeavingSelector if sample.gil == Gil::Own => Some(Self::Run { task: None, callback: None }),
            Phase::LeavingSelector => Some(Self::WaitsForGil),
            Phase::NotRunning | Phase::Parked => Some(Self::NoLoop),
            Phase::Unknown => Some(Self::Unknown),
        }
    }

    pub(super) fn task(&self) -> Option<&Arc<TaskInfo>> {
        match self {
            Self::Run { task, .. } => task.as_ref(),
            _ => None,
        }
    }
}

impl Runs {
    /// Adds the next sample; `look` has the details to use if a new activity begins with it.
    pub(super) fn sample(
        &mut self,
        at_ns: u64,
        does: Option<Does>,
        period_ns: u64,
        look: impl FnOnce() -> Look,
    ) -> Changes {
        let mut changes = Changes::default();
        let last_ns = self.last_ns.replace(at_ns).unwrap_or(at_ns);
        let passed_ns = at_ns.saturating_sub(last_ns);
        let is_gap = passed_ns > longest_period_ns(period_ns);
        if !is_gap && self.open.as_ref().map(|(_, open, _)| open) == does.as_ref() {
            return changes;
        }
        let (until_ns, since_ns) =
            if is_gap { (last_ns, at_ns) } else { (last_ns + passed_ns / 2, last_ns + passed_ns / 2) };
        changes.over.extend(self.close(until_ns));
        if is_gap {
            let (does, look) = (Does::NotSampled, Look::none());
            changes.over.push(Stretch { from_ns: until_ns, to_ns: since_ns, does, look });
        }
        if let Some(does) = does {
            changes.begins = Some((since_ns, does.clone()));
            self.open = Some((since_ns, does, look()));
        }
        changes
    }

    /// Anything still in progress ends with the last sample.
    pub(super) fn finish(&mut self) -> Option<Stretch> {
        let last_ns = self.last_ns?;
        self.close(last_ns)
    }

    fn close(&mut self, to_ns: u64) -> Option<Stretch> {
        let (from_ns, does, look) = self.open.take()?;
        Some(Stretch { from_ns, to_ns, does, look })
    }
}
