//! An event loop's thread that sleeps in the kernel when it should run callbacks.

use serde::Serialize;

use super::names::name_of;
use super::rule::{RuleInfo, Scope};
use crate::detect::blocking_kind::{BlockingKind, IN_GREENLET, is_in_greenlet, is_poll};
use crate::detect::origin;
use crate::model::Snapshot;
use crate::model::snapshot::{EventLoop, Finding, Frame, FrameId, RuleId, Severity, Thread, ThreadState};

pub(super) static INFO: RuleInfo = RuleInfo {
    id: RuleId::new("blocking-call"),
    severities: &[Severity::Error, Severity::Warning],
    title: "The thread of a running event loop sleeps in the kernel, as in `time.sleep`, a child process, a file or a \
            blocking client",
    singular: "event loop blocked at the last snapshot",
    plural: "event loops blocked at the last snapshot",
    help: "Await an asynchronous call instead, or make the call with await asyncio.to_thread().",
    only_time_tells: "how long the call lasts: see stalls",
    scope: Scope::Instant,
    is_checked: false,
};

#[derive(Serialize)]
struct Facts<'s> {
    syscall: &'s str,
    thread: Option<i32>,
    at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    innermost: Option<String>,
}

/// A loop's thread sleeps in a system call other than its selector's: every other task of the loop waits for it.
pub(super) fn judge(snapshot: &Snapshot, findings: &mut Vec<Finding>) {
    for event_loop in &snapshot.loops {
        let Some(thread) = thread_of(snapshot, event_loop) else { continue };
        let ThreadState::Syscall(call) = &thread.state else { continue };
        let in_a_task = event_loop.running_task.is_some();
        // Outside a task, a poll is the selector of a loop whose idle state was not recognised.
        if !in_a_task && (event_loop.running != Some(true) || is_poll(call)) {
            continue;
        }
        findings.push(finding(snapshot, event_loop, thread, call));
    }
}

fn finding(snapshot: &Snapshot, event_loop: &EventLoop, thread: &Thread, call: &str) -> Finding {
    let task = event_loop.running_task.map(|id| snapshot.task(id));
    let stack: &[FrameId] = match task {
        Some(task) if !task.stack.is_empty() => &task.stack,
        _ => &thread.stack,
    };
    let at = origin::find_culprit(snapshot, stack).map(origin::describe);
    let who = task.map_or_else(|| "a callback".to_owned(), name_of);
    let place = at.as_ref().map(|frame| format!(" in {frame}")).unwrap_or_default();
    // In a stack without a task, it is not known where the event loop's own frames end.
    let coroutines = task.map_or(0, |task| task.coroutines as usize).min(stack.len());
    let synchronous: Vec<&Frame> = stack[coroutines..].iter().map(|&id| snapshot.frame(id)).collect();
    let kind = BlockingKind::from_call(call, &synchronous);
    let innermost = stack.last().map(|&id| origin::describe(snapshot.frame(id)));
    let message = format!("{who} blocks the event loop{place}: its thread is {} ({call})", kind.doing());
    let tasks = event_loop.running_task.into_iter().collect();
    let facts = Facts { syscall: call, thread: thread.native_id, at, innermost };
    let frames: Vec<&Frame> = stack.iter().map(|&id| snapshot.frame(id)).collect();
    let advice = if is_in_greenlet(&frames) { IN_GREENLET } else { kind.advice(&synchronous) };
    Finding { advice: advice.into(), ..INFO.finding(kind.severity(), message, tasks, &facts) }
}

fn thread_of<'s>(snapshot: &'s Snapshot, event_loop: &EventLoop) -> Option<&'s Thread> {
    let native_id = event_loop.thread?;
    snapshot.threads.iter().find(|thread| thread.native_id == Some(native_id))
}
