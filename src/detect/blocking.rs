//! An event loop's thread asleep in the kernel while it should run callbacks. It must not know /proc.

use std::collections::BTreeMap;

use super::blocked::{Blocked, is_poll};
use super::{Rule, name_of, origin};
use crate::model::Snapshot;
use crate::model::snapshot::{EventLoop, Finding, Frame, FrameId, Thread, ThreadState};

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
        // Of a stack without a task nobody knows where the machinery ends.
        let coroutines = task.map_or(0, |task| task.coroutines as usize).min(stack.len());
        let synchronous: Vec<&Frame> = stack[coroutines..].iter().map(|&id| snapshot.frame(id)).collect();
        let kind = Blocked::from_call(call, &synchronous);

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
            advice: kind.advice(&synchronous).into(),
        }
    }
}

fn thread_of<'s>(snapshot: &'s Snapshot, event_loop: &EventLoop) -> Option<&'s Thread> {
    let native_id = event_loop.thread?;
    snapshot.threads.iter().find(|thread| thread.native_id == Some(native_id))
}
