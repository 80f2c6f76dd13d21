//! An event loop's thread that sleeps in the kernel when it should run callbacks.

use serde::Serialize;

use super::names::name_of;
use super::rule::{RuleInfo, Scope};
use super::thread_deadlock;
use crate::detect::blocking_kind::{BlockingKind, IN_GREENLET, is_in_greenlet, is_poll};
use crate::detect::origin;
use crate::model::Snapshot;
use crate::model::snapshot::{
    EventLoop, Finding, Frame, FrameId, LoopPosition, RuleId, Severity, Task, Thread, ThreadState,
};

pub(super) static INFO: RuleInfo = RuleInfo {
    id: RuleId::new("blocking-call"),
    severities: &[Severity::Error, Severity::Warning, Severity::Info],
    title: "The thread of a running event loop sleeps in the kernel, as in `time.sleep`, a child process, a file or a \
            blocking client; a wait for a lock is a warning if it lasted 0.3 s",
    singular: "event loop blocked at the last snapshot",
    plural: "event loops blocked at the last snapshot",
    help: "Await an asynchronous call instead, or make the call with await asyncio.to_thread().",
    only_time_tells: "how long the call lasts: see stalls",
    scope: Scope::Instant,
    is_checked: false,
};

/// What to do about a lock in a process of one thread.
const ALONE: &str = "The process has a single thread: await what is waited for instead (an asyncio.Lock, or the coroutine \
                     itself), unless another process holds the lock.";

/// What to do about a lock of `threading` that a task holds across an `await`.
const HELD_BY_TASK: &str = "Do not await while a threading.Lock is held: give it back first, or use an asyncio.Lock with \
                            `async with`.";

#[derive(Serialize)]
struct Facts<'s> {
    syscall: &'s str,
    thread: Option<i32>,
    at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    innermost: Option<String>,
    /// The process has no thread but this one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    only_thread: bool,
    /// For how long it was seen to wait for the lock, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    asleep_ms: Option<u64>,
    /// The suspended task that holds the lock.
    #[serde(skip_serializing_if = "Option::is_none")]
    held_by: Option<String>,
}

/// A loop's thread sleeps in a system call other than its selector's, below a callback of the loop: every other task of
/// the loop waits for it. The call, the frames and the task were read together, or the state is unknown.
pub(super) fn judge(snapshot: &Snapshot, findings: &mut Vec<Finding>) {
    let deadlocked = thread_deadlock::threads_in_circles(snapshot);
    let is_deadlocked = |thread: &Thread| {
        deadlocked.iter().any(|at| snapshot.threads.get(*at).is_some_and(|one| std::ptr::eq(one, thread)))
    };
    for event_loop in &snapshot.loops {
        let Some(thread) = thread_of(snapshot, event_loop) else { continue };
        let ThreadState::Syscall(call) = &thread.state else { continue };
        if event_loop.running != Some(true)
            || !matches!(event_loop.position, LoopPosition::Callback | LoopPosition::Interrupted)
        {
            continue;
        }
        // Outside a task, a poll is the selector of a loop whose idle state was not recognised.
        if event_loop.running_task.is_none() && is_poll(call) {
            continue;
        }
        // What the thread waits for is known, and told by `thread-deadlock`.
        if is_deadlocked(thread) {
            continue;
        }
        findings.push(finding(snapshot, event_loop, thread, call));
    }
}

/// Whether asyncio or uvloop is starting a process.
fn starts_process(snapshot: &Snapshot, stack: &[FrameId]) -> bool {
    let frames = || stack.iter().map(|&id| snapshot.frame(id));
    let starts = |frame: &Frame| frame.function.ends_with("_execute_child") && frame.file.ends_with("/subprocess.py");
    let is_asyncios =
        |frame: &Frame| frame.file.ends_with("/asyncio/base_events.py") && frame.function.contains("subprocess_");
    let innermost_is_asyncios =
        || frames().next_back().is_some_and(|frame| frame.file.ends_with("/asyncio/subprocess.py"));
    (frames().any(starts) && frames().any(is_asyncios)) || innermost_is_asyncios()
}

fn finding(snapshot: &Snapshot, event_loop: &EventLoop, thread: &Thread, call: &str) -> Finding {
    let interrupted = event_loop.position == LoopPosition::Interrupted;
    let running = event_loop.running_task.filter(|_| !interrupted);
    let task = running.map(|id| snapshot.task(id));
    let stack: &[FrameId] = match task {
        Some(task) if !task.stack.is_empty() => &task.stack,
        _ => &thread.stack,
    };
    let at = origin::find_culprit(snapshot, stack).map(origin::describe);
    let who = match task {
        _ if interrupted => "code that interrupted the selector, such as a signal handler,".to_owned(),
        Some(task) => name_of(task),
        None => "a callback".to_owned(),
    };
    let place = at.as_ref().map(|frame| format!(" in {frame}")).unwrap_or_default();
    // In a stack without a task, it is not known where the event loop's own frames end.
    let coroutines = task.map_or(0, |task| task.coroutines as usize).min(stack.len());
    let synchronous: Vec<&Frame> = stack[coroutines..].iter().map(|&id| snapshot.frame(id)).collect();
    let kind = BlockingKind::from_call(call, &synchronous);
    let innermost = stack.last().map(|&id| origin::describe(snapshot.frame(id)));
    // Another process can hold a lock in shared memory, but one thread cannot wait for another.
    let only_thread = kind == BlockingKind::Lock && snapshot.kernel_threads == 1;
    let doing =
        if only_thread { "waiting for a lock that nothing else in this process can release" } else { kind.doing() };
    let is_of_loop = |task: &Task| {
        let of = task.event_loop.and_then(|id| snapshot.loops.get(id.0 as usize));
        of.is_some_and(|of| of.key == event_loop.key)
    };
    let holder = thread.lock_holder.filter(|_| kind == BlockingKind::Lock).map(|id| (id, snapshot.task(id)));
    let holder = holder.filter(|(_, task)| is_of_loop(task));
    let message = match holder {
        Some((_, holder)) => {
            let held_at = origin::find_culprit(snapshot, &holder.stack).map(origin::describe);
            let held_at = held_at.map(|at| format!(" in {at}")).unwrap_or_default();
            format!(
                "{who} blocks the event loop{place}, waiting for a threading lock that {} holds while it is \
                 suspended{held_at}: only this event loop can resume it",
                name_of(holder)
            )
        }
        None => format!("{who} blocks the event loop{place}: its thread is {doing} ({call})"),
    };
    let tasks = running.into_iter().chain(holder.map(|(id, _)| id)).collect();
    let held_by = holder.map(|(_, task)| name_of(task));
    let asleep_ms = thread.asleep_on_lock_ms;
    let facts = Facts { syscall: call, thread: thread.native_id, at, innermost, only_thread, asleep_ms, held_by };
    let frames: Vec<&Frame> = stack.iter().map(|&id| snapshot.frame(id)).collect();
    let advice = match () {
        () if holder.is_some() => HELD_BY_TASK,
        () if only_thread => ALONE,
        () if is_in_greenlet(&frames) => IN_GREENLET,
        () => kind.advice(&synchronous),
    };
    // It takes the loop's time whoever does it, and asyncio's own way is the right one.
    let severity = match holder {
        Some(_) => Severity::Error,
        None if starts_process(snapshot, &thread.stack) => Severity::Info,
        None => kind.severity(asleep_ms.is_some() || only_thread),
    };
    Finding { advice: advice.into(), ..INFO.finding(severity, message, tasks, &facts) }
}

fn thread_of<'s>(snapshot: &'s Snapshot, event_loop: &EventLoop) -> Option<&'s Thread> {
    let native_id = event_loop.thread?;
    snapshot.threads.iter().find(|thread| thread.native_id == Some(native_id))
}
