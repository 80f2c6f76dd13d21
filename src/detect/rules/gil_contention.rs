//! An event loop's thread that waits for the GIL.

use serde::Serialize;

use super::rule::{RuleInfo, Scope};
use crate::detect::origin;
use crate::model::Snapshot;
use crate::model::snapshot::{Finding, RuleId, Severity, Thread, ThreadState};

/// The rule. Over time it is judged by `detect::contention`.
pub static INFO: RuleInfo = RuleInfo {
    id: RuleId::new("gil-contention"),
    severities: &[Severity::Warning, Severity::Info],
    title: "The thread of an event loop waits for the GIL, which another thread holds; a warning if that takes a fifth of a \
            watch",
    singular: "event loop waiting for the GIL",
    plural: "event loops waiting for the GIL",
    help: "Move computation from threads to processes (loop.run_in_executor() with a ProcessPoolExecutor), or to a \
           library that releases the GIL.",
    only_time_tells: "which share of its time the loop waits for the GIL, and whether that delays it",
    scope: Scope::Instant,
    is_checked: false,
};

#[derive(Serialize)]
struct Facts<'s> {
    thread: Option<i32>,
    holder: Option<i32>,
    holder_name: Option<&'s str>,
    holder_at: Option<String>,
    holder_collects_garbage: bool,
}

pub(super) fn judge(snapshot: &Snapshot, findings: &mut Vec<Finding>) {
    for event_loop in &snapshot.loops {
        let waiting = |thread: &&Thread| {
            thread.native_id.is_some()
                && thread.native_id == event_loop.thread
                && thread.state == ThreadState::WaitingGil
        };
        let Some(thread) = snapshot.threads.iter().find(waiting) else { continue };
        let holder = thread.waits_behind.and_then(|index| snapshot.threads.get(index));
        let name = holder.and_then(|holder| holder.name.as_deref());
        // Where the innermost frame is not known, nothing is said of the place.
        let stack = holder.filter(|holder| holder.stack_end.is_none()).map(|holder| holder.stack.as_slice());
        let at = stack.and_then(|stack| {
            let innermost = stack.last().map(|&id| snapshot.frame(id));
            origin::find_culprit(snapshot, stack).or(innermost).map(origin::describe)
        });
        let id = holder.and_then(|holder| holder.native_id);
        let collects = holder.is_some_and(|holder| holder.collecting_garbage == Some(true));
        let who = match (name, id) {
            (Some(name), _) => format!(", which thread {name} holds"),
            (None, Some(id)) => format!(", which thread {id} holds"),
            (None, None) => String::new(),
        };
        let place = at.as_ref().map(|at| format!(" in {at}")).unwrap_or_default();
        let why = if collects { ", collecting garbage" } else { "" };
        let message = format!("the event loop waits for the GIL{who}{place}{why}");
        let facts = Facts {
            thread: thread.native_id,
            holder: id,
            holder_name: name,
            holder_at: at,
            holder_collects_garbage: collects,
        };
        findings.push(INFO.finding(Severity::Info, message, Vec::new(), &facts));
    }
}
