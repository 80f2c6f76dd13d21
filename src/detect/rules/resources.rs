//! Locks, semaphores and queues of which nothing is left, with the tasks around them.

use std::collections::{BTreeMap, BTreeSet};

use crate::detect::origin;
use crate::model::Snapshot;
use crate::model::snapshot::{Awaiting, FrameId, Job, Resource, TaskId, TaskState, WaitDetail, WaitKind};

/// A resource that others wait for.
pub(super) struct Contended {
    pub(super) resource: Resource,
    /// The tasks that wait for it.
    pub(super) waiting: Vec<TaskId>,
    /// The tasks that have taken it, as far as they are seen.
    pub(super) holders: Vec<TaskId>,
}

/// Those for which tasks wait in this way.
pub(super) fn contended(snapshot: &Snapshot, is_of_kind: impl Fn(WaitKind) -> bool) -> Vec<Contended> {
    let mut found: BTreeMap<u64, Contended> = BTreeMap::new();
    for (id, task) in (0..).map(TaskId).zip(&snapshot.tasks) {
        let Some(awaiting) = task.awaiting.as_ref().filter(|awaiting| is_of_kind(awaiting.kind)) else { continue };
        let Some(resource) = awaiting.resource.filter(|resource| resource.free == Some(0)) else { continue };
        // What changes hands while it is looked at is only busy.
        if awaiting.has_moved {
            continue;
        }
        let one = found.entry(resource.key).or_insert_with(|| Contended {
            resource,
            waiting: Vec::new(),
            holders: awaiting.held_by.clone(),
        });
        one.waiting.push(id);
    }
    found.into_values().collect()
}

/// Whether a wait can end without another task's doing: by a timer, a timeout, or something outside of the process. What
/// a plain future stands for is not known; most are replies.
pub(super) fn continues_by_itself(awaiting: &Awaiting) -> bool {
    matches!(
        awaiting.kind,
        WaitKind::Sleep | WaitKind::Socket | WaitKind::Subprocess | WaitKind::Future | WaitKind::Other
    ) || matches!(awaiting.detail, Some(WaitDetail::Timeout { .. }))
}

/// `a future`, `an event`.
pub(super) fn what_for(kind: WaitKind) -> &'static str {
    match kind {
        WaitKind::Sleep => "a sleep",
        WaitKind::Future => "a future",
        WaitKind::Task => "a task",
        WaitKind::Gather | WaitKind::TaskGroup | WaitKind::Wait => "other tasks",
        WaitKind::Shield => "a shielded task",
        WaitKind::Lock => "another lock",
        WaitKind::Semaphore => "a semaphore",
        WaitKind::Event => "an event",
        WaitKind::Condition => "a condition",
        WaitKind::QueueGet => "an item of a queue",
        WaitKind::QueuePut => "a place in a queue",
        WaitKind::Executor => "a job in a thread",
        WaitKind::Socket => "a socket",
        WaitKind::Subprocess => "a child process",
        WaitKind::Other => "something else",
    }
}

/// The frames of a job on its thread's stack.
fn job_stack<'s>(snapshot: &'s Snapshot, job: &Job) -> &'s [FrameId] {
    let stack = snapshot.threads.get(job.thread).map_or(&[][..], |thread| &thread.stack);
    stack.get(job.outside..).unwrap_or_default()
}

/// `slow_report (/app/main.py:9)`.
pub(super) fn job_place(snapshot: &Snapshot, job: &Job) -> String {
    match (origin::find_culprit(snapshot, job_stack(snapshot, job)), &job.function) {
        (Some(frame), _) => origin::describe(frame),
        (None, Some(function)) => function.clone(),
        (None, None) => "an unknown function".to_owned(),
    }
}

/// LIMIT: tasks behind a task that are looked at; in a longer chain something most likely moves.
const MAX_BEHIND: usize = 1_000;

/// Whether a task, or one that it waits for, runs or may be moved by a timer or by something outside of the process.
pub(super) fn may_move(snapshot: &Snapshot, id: TaskId) -> bool {
    let (mut open, mut seen) = (vec![id], BTreeSet::new());
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        let task = snapshot.task(id);
        let suspended = matches!(task.state, TaskState::Waiting | TaskState::Cancelling);
        let Some(awaiting) = task.awaiting.as_ref().filter(|_| suspended && seen.len() <= MAX_BEHIND) else {
            return true;
        };
        if awaiting.has_moved || (awaiting.tasks.is_empty() && continues_by_itself(awaiting)) {
            return true;
        }
        open.extend(awaiting.tasks.iter().chain(&awaiting.held_by).copied());
    }
    false
}
