//! An event loop's thread asleep in the kernel while it should run callbacks. It must not know /proc.

use std::collections::BTreeMap;

use super::{Rule, name_of, origin};
use crate::snapshot::Snapshot;
use crate::snapshot::model::{EventLoop, Finding, FrameId, Severity, Thread, ThreadState};

/// A loop's thread sleeps in a system call, outside its selector: every other task of the loop waits for it.
pub(super) struct BlockingCall;

impl Rule for BlockingCall {
    fn name(&self) -> &'static str {
        "blocking-call"
    }

    fn judge(&self, snapshot: &Snapshot, findings: &mut Vec<Finding>) {
        for event_loop in &snapshot.loops {
            let Some(thread) = thread_of(snapshot, event_loop) else { continue };
            let ThreadState::Syscall(call) = &thread.state else { continue };
            let in_a_task = event_loop.running_task.is_some();
            // Outside a task, a poll is the selector of a loop whose idle state was not recognised.
            if !in_a_task && (event_loop.running != Some(true) || is_poll(call)) {
                continue;
            }
            findings.push(self.finding(snapshot, event_loop, thread, call));
        }
    }
}

impl BlockingCall {
    fn finding(&self, snapshot: &Snapshot, event_loop: &EventLoop, thread: &Thread, call: &str) -> Finding {
        let task = event_loop.running_task.map(|id| snapshot.task(id));
        let stack: &[FrameId] = match task {
            Some(task) if !task.stack.is_empty() => &task.stack,
            _ => &thread.stack,
        };
        let culprit = origin::find_culprit(snapshot, stack).map(origin::describe);
        let who = task.map_or_else(|| "a callback".to_owned(), name_of);
        let place = culprit.as_ref().map(|frame| format!(" in {frame}")).unwrap_or_default();
        let kind = Blocked::from_call(call);

        let mut evidence =
            BTreeMap::from([("syscall", call.into()), ("thread", thread.native_id.into()), ("at", culprit.into())]);
        if let Some(&innermost) = stack.last() {
            evidence.insert("innermost", origin::describe(snapshot.frame(innermost)).into());
        }
        Finding {
            rule: self.name(),
            severity: kind.severity(),
            message: format!("{who} blocks the event loop{place}: its thread {} ({call})", kind.doing()),
            tasks: event_loop.running_task.into_iter().collect(),
            evidence,
            advice: kind.advice().into(),
        }
    }
}

fn thread_of<'s>(snapshot: &'s Snapshot, event_loop: &EventLoop) -> Option<&'s Thread> {
    let native_id = event_loop.thread?;
    snapshot.threads.iter().find(|thread| thread.native_id == Some(native_id))
}

fn is_poll(call: &str) -> bool {
    call.starts_with("epoll_") || matches!(call, "poll" | "ppoll" | "select" | "pselect6")
}

/// What kind of sleep a system call is, in the words of its remedy.
enum Blocked {
    Sleep,
    Child,
    Lock,
    Network,
    File,
}

impl Blocked {
    fn from_call(call: &str) -> Self {
        match call {
            "nanosleep" | "clock_nanosleep" | "pause" => Self::Sleep,
            "wait4" | "waitid" | "waitpid" => Self::Child,
            call if call.starts_with("futex") => Self::Lock,
            "connect" | "accept" | "accept4" | "recvfrom" | "recvmsg" | "recvmmsg" | "sendto" | "sendmsg"
            | "sendmmsg" => Self::Network,
            call if is_poll(call) => Self::Network,
            _ => Self::File,
        }
    }

    /// One instant does not show how long it takes; a sleep or a child process is never right in an event loop.
    fn severity(&self) -> Severity {
        match self {
            Self::Sleep | Self::Child => Severity::Error,
            Self::Lock | Self::Network | Self::File => Severity::Warning,
        }
    }

    fn doing(&self) -> &'static str {
        match self {
            Self::Sleep => "sleeps",
            Self::Child => "waits for a child process",
            Self::Lock => "waits for a lock of another thread",
            Self::Network => "waits for the network",
            Self::File => "waits for a file or pipe",
        }
    }

    fn advice(&self) -> &'static str {
        match self {
            Self::Sleep => "Use await asyncio.sleep() instead of time.sleep().",
            Self::Child => "Use asyncio.create_subprocess_exec() and await its communicate() or wait().",
            Self::Lock => {
                "Use asyncio's own locks and queues between tasks; for a lock of another thread, acquire it in \
                 await asyncio.to_thread()."
            }
            Self::Network => {
                "Use an async client (aiohttp or httpx for HTTP, an async driver for the database), or call the \
                 blocking one with await asyncio.to_thread()."
            }
            Self::File => "Do blocking reads and writes with await asyncio.to_thread().",
        }
    }
}
