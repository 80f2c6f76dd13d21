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

/// Name, description, name of the budget, unit, floor and gate.
type Row = (&'static str, &'static str, &'static str, Unit, f64, Gate);

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

    fn row(self) -> Row {
        use Gate::{AnyMachine, Never, SameMachine, SideBySide};
        match self {
            Self::Cpu => ("cpu", "CPU time", "max-cpu", Unit::Time, 5e6, SameMachine),
            // Disturbed most by other processes, which disturb both runs of a pair.
            Self::Wall => ("wall", "run time", "max-wall", Unit::Time, 50e6, SideBySide),
            // Stalls are judged one by one, and a loop that is busier has not done less work.
            Self::LongestStall => ("longest-stall", "longest stall", "max-stall", Unit::Time, 50e6, Never),
            Self::Stalls => ("stalls", "stalls", "max-stalls", Unit::Count, 1.0, AnyMachine),
            // A busy machine delays timers by this much anyway.
            Self::P99Lag => ("p99-lag", "p99 loop lag", "max-p99-lag", Unit::Time, 10e6, SameMachine),
            Self::Busy => ("busy", "busiest event loop, time busy", "max-busy", Unit::Share, 0.05, Never),
            Self::Orphans => ("orphans", "orphaned tasks", "max-orphans", Unit::Count, 1.0, AnyMachine),
            Self::Unretrieved => {
                ("unretrieved", "exceptions never retrieved", "max-unretrieved", Unit::Count, 1.0, AnyMachine)
            }
            Self::Tasks => ("tasks", "most tasks at once", "max-tasks", Unit::Count, 10.0, AnyMachine),
            Self::TaskGrowth => ("task-growth", "task growth", "max-task-growth", Unit::PerMinute, 10.0, Never),
        }
    }

    /// As written in every format.
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The metric with that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.as_str() == name)
    }

    /// Its description in words.
    pub fn describe(self) -> &'static str {
        self.row().1
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
        self.row().2
    }

    /// Its unit.
    pub fn unit(self) -> Unit {
        self.row().3
    }

    /// A smaller change for the worse does not matter, however certain it is; in the metric's own unit.
    pub(super) fn floor(self) -> f64 {
        self.row().4
    }

    pub(super) fn gate(self) -> Gate {
        self.row().5
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
