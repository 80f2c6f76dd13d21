//! Layer 5: what is wrong in a snapshot. Pure functions from a snapshot to findings.
//!
//! Over time: [`stall`] judges the samples of event loops, [`analysis`] whole watches and recordings, [`difference`] two of
//! these, and [`check`] says whether what they show is good enough.
//!
//! No I/O, no clock, no terminal. A rule says only what one instant can show, and is silent where it cannot know.
//! Messages carry names from the target as they are; whoever prints them makes control characters visible.

pub mod analysis;
mod backlog;
mod blocked;
mod blocking;
pub mod check;
mod cycle;
pub mod difference;
mod exception;
pub mod origin;
mod orphan;
pub mod seen;
pub mod stall;
mod trust;
pub mod waits;

use crate::model::Snapshot;
use crate::model::snapshot::{Finding, Task, TaskId};

/// One thing that can be wrong.
pub trait Rule: Sync {
    /// kebab-case, as printed and as people filter by it.
    fn name(&self) -> &'static str;

    /// Adds what it finds.
    fn judge(&self, snapshot: &Snapshot, findings: &mut Vec<Finding>);
}

/// Every rule there is; findings of equal severity keep this order.
pub const RULES: &[&dyn Rule] = &[
    &cycle::AwaitCycle,
    &blocking::BlockingCall,
    &exception::ExceptionNeverRetrieved,
    &orphan::OrphanedTask,
    &backlog::ReadyQueueBacklog,
    &trust::UntestedInterpreter,
    &trust::IncompleteReading,
];

/// Everything that is wrong, worst first.
pub fn judge(snapshot: &Snapshot) -> Vec<Finding> {
    let mut findings = Vec::new();
    for rule in RULES {
        rule.judge(snapshot, &mut findings);
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

/// The name of a task, or its id when it has none or it could not be read.
fn name_of(task: &Task) -> String {
    /// A sentence with a longer name in it cannot be read.
    const LENGTH: usize = 80;
    match task.name.as_deref() {
        None | Some("") => format!("task {:#x}", task.key),
        Some(name) => match name.char_indices().nth(LENGTH) {
            Some((end, _)) => format!("{}…", &name[..end]),
            None => name.to_owned(),
        },
    }
}

/// `Task-1, Task-2, Task-3 and 4 more`.
fn name_a_few(snapshot: &Snapshot, tasks: &[TaskId]) -> String {
    /// More names than this are noise in a sentence.
    const NAMED: usize = 3;
    let names: Vec<String> = tasks.iter().take(NAMED).map(|&id| name_of(snapshot.task(id))).collect();
    match (tasks.len().checked_sub(NAMED), names.split_last()) {
        (Some(more), _) if more > 0 => format!("{} and {more} more", names.join(", ")),
        (_, Some((last, rest))) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.join(", "),
    }
}
