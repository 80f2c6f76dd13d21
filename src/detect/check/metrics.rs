//! The metrics of a run, and when two runs may be compared by them.

use super::noise::Taint;
use crate::detect::rules::{self, RuleInfo};

/// A number that every run has, or has no data for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// CPU time of the program and the children it waited for, nanoseconds: for a fixed amount of work, the number that
    /// other processes on the machine disturb least.
    Cpu,
    /// From the start of the program to its end, nanoseconds.
    Wall,
    /// The longest stall, nanoseconds; zero if there was none.
    LongestStall,
    /// Stalls that reached the threshold.
    Stalls,
    /// 99th percentile of the iteration lengths of the slowest loop, nanoseconds.
    P99Lag,
    /// Share of the time in which the busiest loop was busy.
    Busy,
    /// The most orphaned tasks in one snapshot.
    Orphans,
    /// The most failed tasks with an unretrieved exception in one snapshot.
    Unretrieved,
    /// The most tasks in one task sample.
    Tasks,
    /// Growth in the number of tasks per minute.
    TaskGrowth,
}

/// The unit of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds.
    Time,
    /// A count.
    Count,
    /// A share of the whole.
    Share,
    /// Per minute.
    PerMinute,
}

/// When a change for the worse fails a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// Never: it is only shown.
    Never,
    /// When the runs of both sides were interleaved, at the same time on the same machine.
    SideBySide,
    /// Also against a baseline from the same machine.
    SameMachine,
    /// Against a baseline from any machine.
    AnyMachine,
}

impl Metric {
    /// All metrics, in the order in which they are shown.
    pub const ALL: [Self; 10] = [
        Self::Cpu,
        Self::Wall,
        Self::LongestStall,
        Self::Stalls,
        Self::P99Lag,
        Self::Busy,
        Self::Orphans,
        Self::Unretrieved,
        Self::Tasks,
        Self::TaskGrowth,
    ];

    /// As written in every format.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Wall => "wall",
            Self::LongestStall => "longest-stall",
            Self::Stalls => "stalls",
            Self::P99Lag => "p99-lag",
            Self::Busy => "busy",
            Self::Orphans => "orphans",
            Self::Unretrieved => "unretrieved",
            Self::Tasks => "tasks",
            Self::TaskGrowth => "task-growth",
        }
    }

    /// The metric with that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.as_str() == name)
    }

    /// Its description in words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Cpu => "CPU time",
            Self::Wall => "run time",
            Self::LongestStall => "longest stall",
            Self::Stalls => "stalls",
            Self::P99Lag => "p99 loop lag",
            Self::Busy => "busiest event loop, time busy",
            Self::Orphans => "orphaned tasks",
            Self::Unretrieved => "exceptions never retrieved",
            Self::Tasks => "most tasks at once",
            Self::TaskGrowth => "task growth",
        }
    }

    /// The rule whose findings it counts; `None` for a measured quantity.
    pub fn rule(self) -> Option<&'static RuleInfo> {
        match self {
            Self::Orphans => Some(&rules::ORPHANED_TASK),
            Self::Unretrieved => Some(&rules::EXCEPTION_NEVER_RETRIEVED),
            _ => None,
        }
    }

    /// The name of its budget.
    pub fn budget(self) -> &'static str {
        match self {
            Self::Cpu => "max-cpu",
            Self::Wall => "max-wall",
            Self::LongestStall => "max-stall",
            Self::Stalls => "max-stalls",
            Self::P99Lag => "max-p99-lag",
            Self::Busy => "max-busy",
            Self::Orphans => "max-orphans",
            Self::Unretrieved => "max-unretrieved",
            Self::Tasks => "max-tasks",
            Self::TaskGrowth => "max-task-growth",
        }
    }

    /// Its unit.
    pub fn unit(self) -> Unit {
        match self {
            Self::Cpu | Self::Wall | Self::LongestStall | Self::P99Lag => Unit::Time,
            Self::Stalls | Self::Orphans | Self::Unretrieved | Self::Tasks => Unit::Count,
            Self::Busy => Unit::Share,
            Self::TaskGrowth => Unit::PerMinute,
        }
    }

    /// A smaller change for the worse does not matter, however certain it is; in the metric's own unit.
    pub(super) fn floor(self) -> f64 {
        match self {
            Self::Cpu => 5e6,
            Self::Wall => 50e6,
            Self::LongestStall => 50e6,
            // A busy machine delays timers by this much anyway.
            Self::P99Lag => 10e6,
            Self::Busy => 0.05,
            Self::Stalls | Self::Orphans | Self::Unretrieved => 1.0,
            Self::Tasks => 10.0,
            Self::TaskGrowth => 10.0,
        }
    }

    pub(super) fn gate(self) -> Gate {
        match self {
            // Disturbed most by other processes, which disturb both runs of a pair.
            Self::Wall => Gate::SideBySide,
            Self::Cpu | Self::P99Lag => Gate::SameMachine,
            Self::Stalls | Self::Orphans | Self::Unretrieved | Self::Tasks => Gate::AnyMachine,
            // Stalls are judged one by one, and a loop that is busier has not done less work.
            Self::LongestStall | Self::Busy | Self::TaskGrowth => Gate::Never,
        }
    }

    /// The noise that makes this number of a run unusable. The length of a stall excludes the time spent waiting for a
    /// CPU, so it is usable even on a busy machine.
    pub(super) fn is_spoilt_by(self, taint: Taint) -> bool {
        match taint {
            Taint::Starved => matches!(self, Self::Wall | Self::P99Lag | Self::Busy),
            Taint::Slow => matches!(self, Self::Cpu | Self::Wall | Self::P99Lag | Self::Busy),
            Taint::Blind | Taint::Torn => matches!(self, Self::Stalls | Self::P99Lag | Self::Busy),
        }
    }

    /// On this scale a change by a factor has the same size anywhere. Values that can be zero are shifted away from it.
    pub(super) fn to_log(self, value: f64) -> f64 {
        let offset = match self.unit() {
            Unit::Time if matches!(self, Self::Cpu | Self::Wall) => 0.0,
            Unit::Time => 1e6,
            Unit::Count => 0.5,
            Unit::Share => 0.01,
            Unit::PerMinute => 1.0,
        };
        (value.max(0.0) + offset).ln()
    }
}
