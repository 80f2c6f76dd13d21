//! Groups tasks in the same place for the same reason, so that ten thousand workers take one line.

use rustc_hash::FxHashMap;

use crate::detect::rules;
use crate::model::Snapshot;
use crate::model::snapshot::{Finding, FrameId, StackEnd, Task, TaskId, TaskState, WaitKind};

/// Why a group is shown in its position; the order is the order on the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Standing {
    Orphaned,
    InCycle,
    Failed,
    Cancelling,
    Running,
    WaitsForLock,
    Ordinary,
}

/// Tasks with the same stack, state and kind of wait.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) standing: Standing,
    /// In the snapshot's order; never empty.
    pub(super) tasks: Vec<TaskId>,
}

#[derive(PartialEq, Eq, Hash)]
struct Likeness<'s> {
    standing: Standing,
    stack: &'s [FrameId],
    end: Option<&'s str>,
    state: TaskState,
    wait: Option<WaitKind>,
    exception: Option<&'s str>,
}

/// Every task in exactly one group, trouble first, then the largest.
pub(super) fn of(snapshot: &Snapshot, findings: &[Finding]) -> Vec<Group> {
    let in_cycle = in_cycles(snapshot, findings);
    let mut index = FxHashMap::default();
    let mut groups: Vec<Group> = Vec::new();
    for (id, task) in (0..).map(TaskId).zip(&snapshot.tasks) {
        let standing = standing_of(task, in_cycle[id.0 as usize]);
        let likeness = Likeness {
            standing,
            stack: &task.stack,
            end: task.stack_end.as_ref().map(end_key),
            state: task.state,
            wait: task.awaiting.as_ref().map(|awaiting| awaiting.kind),
            exception: task.unretrieved_exception.as_deref(),
        };
        let group = *index.entry(likeness).or_insert_with(|| {
            groups.push(Group { standing, tasks: Vec::new() });
            groups.len() - 1
        });
        groups[group].tasks.push(id);
    }
    groups.sort_by_key(|group| (group.standing, std::cmp::Reverse(group.tasks.len())));
    groups
}

/// The tasks that are part of an await cycle.
pub(super) fn in_cycles(snapshot: &Snapshot, findings: &[Finding]) -> Vec<bool> {
    let mut in_cycle = vec![false; snapshot.tasks.len()];
    for finding in findings.iter().filter(|finding| finding.rule == rules::AWAIT_CYCLE.id) {
        for id in &finding.tasks {
            in_cycle[id.0 as usize] = true;
        }
    }
    in_cycle
}

fn end_key(end: &StackEnd) -> &str {
    match end {
        StackEnd::Opaque(class) => class,
        // No class has this name.
        StackEnd::Torn => "\0torn",
        StackEnd::Limit => "\0limit",
    }
}

fn standing_of(task: &Task, in_cycle: bool) -> Standing {
    let wait = task.awaiting.as_ref().map(|awaiting| awaiting.kind);
    if task.orphaned == Some(true) {
        Standing::Orphaned
    } else if in_cycle {
        Standing::InCycle
    } else if task.unretrieved_exception.is_some() && task.awaited_by.is_empty() {
        Standing::Failed
    } else if task.state == TaskState::Cancelling {
        Standing::Cancelling
    } else if task.state == TaskState::Running {
        Standing::Running
    } else if matches!(wait, Some(WaitKind::Lock | WaitKind::Semaphore | WaitKind::Condition)) {
        Standing::WaitsForLock
    } else {
        Standing::Ordinary
    }
}
