//! Tasks that were told to end, alone or with the run of their event loop, and what they still wait for.

use super::resources::{may_move, what_for};
use crate::detect::origin;
use crate::model::Snapshot;
use crate::model::origin::{Origin, origin_of};
use crate::model::snapshot::{Cancellation, FrameId, LoopId, Severity, Task, TaskId, TaskState, Thread};

/// What a task that was asked to cancel waits for; `None` if the request has been passed on to what it waits for.
pub(super) fn waits_on(snapshot: &Snapshot, task: &Task) -> Option<&'static str> {
    let awaiting =
        task.awaiting.as_ref().filter(|_| matches!(task.state, TaskState::Cancelling | TaskState::Waiting))?;
    let is_passed_on = |id: &TaskId| {
        let other = snapshot.task(*id);
        other.cancel_requests > 0 && other.state != TaskState::Done
    };
    (!awaiting.tasks.iter().any(is_passed_on)).then(|| what_for(awaiting.kind))
}

/// Where it waits.
pub(super) fn place_of(snapshot: &Snapshot, task: &Task) -> Option<String> {
    origin::find_culprit(snapshot, &task.stack).map(origin::describe)
}

/// The frame that handles the CancelledError.
pub(super) fn handler_of(snapshot: &Snapshot, task: &Task, cancellation: Cancellation) -> Option<String> {
    let frame = task.stack.get(cancellation.handled_in?)?;
    Some(origin::describe(snapshot.frame(*frame)))
}

/// `, while serve (/app/main.py:9) handles the CancelledError`.
pub(super) fn handled_words(frame: &str) -> String {
    format!(", in an except or finally block of {frame} that handles the CancelledError")
}

pub(super) fn still_words(still_ms: Option<u64>) -> String {
    still_ms.map(|ms| format!("; nothing moved for {ms} ms")).unwrap_or_default()
}

/// A task that did not move while it was watched may clean up, and end when a reply comes.
pub(super) fn severity_of(snapshot: &Snapshot, id: TaskId) -> Severity {
    let task = snapshot.task(id);
    let cleans_up = task.cancellation.is_none_or(|cancellation| cancellation.handled_in.is_some());
    match task.still_ms {
        Some(_) if !(cleans_up && may_move(snapshot, id)) => Severity::Warning,
        _ => Severity::Info,
    }
}

/// The tasks that run the method with this name of an event loop: asyncio's, or uvloop's, which is compiled.
// CPython: Lib/asyncio/base_events.py, 3.8 to 3.15; uvloop: loop.pyx.
pub(super) fn tasks_in(snapshot: &Snapshot, function: &str) -> Vec<TaskId> {
    let is_in = |(_, task): &(TaskId, &Task)| {
        let outermost = task.stack.first().map(|id| snapshot.frame(*id));
        task.state != TaskState::Done
            && outermost.is_some_and(|frame| {
                let is_loops = frame.file.ends_with("asyncio/base_events.py") || frame.file.starts_with("uvloop/");
                frame.function.rsplit('.').next() == Some(function) && is_loops
            })
    };
    (0..).map(TaskId).zip(&snapshot.tasks).filter(is_in).map(|(id, _)| id).collect()
}

/// What the end of a loop's run waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    /// The tasks that were left have been cancelled.
    Tasks,
    /// Asynchronous generators are being closed.
    Generators,
}

/// What a loop waits for at the end of its run; `None` if it is not there.
pub(super) fn closing(snapshot: &Snapshot, id: LoopId) -> Option<Closing> {
    let event_loop = snapshot.loops.get(id.0 as usize)?;
    let is_runner = |thread: &&Thread| event_loop.thread.is_some() && thread.native_id == event_loop.thread;
    let cancels = |id: &FrameId| {
        let frame = snapshot.frame(*id);
        // CPython: Lib/asyncio/runners.py, 3.8 to 3.15; uvloop: __init__.py.
        &*frame.function == "_cancel_all_tasks" && origin_of(&frame.file) != Origin::Program
    };
    if snapshot.threads.iter().find(is_runner)?.stack.iter().any(cancels) {
        return Some(Closing::Tasks);
    }
    let closes = |task: &TaskId| snapshot.task(*task).event_loop == Some(id);
    tasks_in(snapshot, "shutdown_asyncgens").iter().any(closes).then_some(Closing::Generators)
}

/// The tasks that a loop at the end of its run waits for, and that do not just pass a request to cancel on.
pub(super) fn tasks_left(snapshot: &Snapshot, id: LoopId) -> Vec<TaskId> {
    let ends = tasks_in(snapshot, "shutdown_asyncgens");
    let is_left = |(at, task): &(TaskId, &Task)| {
        // Up to 3.10 no task says that it was asked to cancel. It was, if it did not move while the thread was seen to wait.
        let did_not_move = task.state == TaskState::Waiting && task.still_ms.is_some();
        let is_delivered = did_not_move || task.cancellation.is_some();
        task.event_loop == Some(id) && is_delivered && !ends.contains(at) && waits_on(snapshot, task).is_some()
    };
    (0..).map(TaskId).zip(&snapshot.tasks).filter(is_left).map(|(id, _)| id).collect()
}

/// The tasks that are told as those for which a shutdown waits.
pub(super) fn tasks_of_closing_loops(snapshot: &Snapshot) -> Vec<TaskId> {
    let loops = (0..snapshot.loops.len() as u32).map(LoopId).filter(|id| closing(snapshot, *id).is_some());
    loops.flat_map(|id| tasks_left(snapshot, id)).collect()
}
