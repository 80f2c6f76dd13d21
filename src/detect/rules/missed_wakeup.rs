//! Loops that sleep although a callback is ready.

use serde::Serialize;

use super::names::name_a_few;
use super::rule::{RuleInfo, Scope};
use crate::model::Snapshot;
use crate::model::snapshot::{Finding, LoopId, RuleId, Severity, TaskId, TaskState};

pub(super) static INFO: RuleInfo = RuleInfo {
    id: RuleId::new("missed-wakeup"),
    severities: &[Severity::Error],
    title: "A callback is ready, but its event loop sleeps on in its selector: it was made ready from another thread or a \
            signal handler, without call_soon_threadsafe",
    singular: "missed wakeup",
    plural: "missed wakeups",
    help: "From another thread or a signal handler, touch futures, events and tasks of the loop only with loop.call_soon_threadsafe() or \
           asyncio.run_coroutine_threadsafe(): they wake the loop, the direct calls do not.",
    only_time_tells: "when a timer or a socket wakes the loop by chance",
    scope: Scope::Lasting,
    is_checked: false,
};

#[derive(Serialize)]
struct Facts {
    thread: Option<i32>,
    ready: Option<u64>,
    asleep_ms: u64,
}

pub(super) fn judge(snapshot: &Snapshot, findings: &mut Vec<Finding>) {
    for (id, event_loop) in (0..).map(LoopId).zip(&snapshot.loops) {
        let Some(asleep_ms) = event_loop.asleep_beside_ready_ms else { continue };
        let of_loop =
            |task: &crate::model::snapshot::Task| task.state == TaskState::Ready && task.event_loop == Some(id);
        let tasks: Vec<TaskId> =
            (0..).map(TaskId).zip(&snapshot.tasks).filter(|(_, task)| of_loop(task)).map(|(id, _)| id).collect();
        let thread = event_loop.thread.map(|id| format!(" of thread {id}")).unwrap_or_default();
        let count = match event_loop.ready {
            Some(1) | None => "a callback is ready".to_owned(),
            Some(count) => format!("{count} callbacks are ready"),
        };
        let of = if tasks.is_empty() { String::new() } else { format!(" (of {})", name_a_few(snapshot, &tasks)) };
        let message = format!(
            "missed wakeup: {count}{of}, but the event loop{thread} sleeps in its selector (for {asleep_ms} ms while it was \
             watched): another thread, or a signal handler, made it ready without call_soon_threadsafe()"
        );
        let facts = Facts { thread: event_loop.thread, ready: event_loop.ready, asleep_ms };
        findings.push(INFO.finding(Severity::Error, message, tasks, &facts));
    }
}
