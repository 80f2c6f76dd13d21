//! Work that piles up behind a step that does not return.

use serde::Serialize;

use super::names::name_of;
use super::rule::{RuleInfo, Scope};
use crate::detect::origin;
use crate::model::Snapshot;
use crate::model::snapshot::{Finding, RuleId, Severity};

pub(super) static INFO: RuleInfo = RuleInfo {
    id: RuleId::new("ready-queue-backlog"),
    severities: &[Severity::Warning, Severity::Info],
    title: "Many callbacks are queued behind a running task: 100 (info) or 1,000 and more (warning)",
    singular: "ready-queue backlog",
    plural: "ready-queue backlogs",
    help: "Split long steps with await asyncio.sleep(0), move computation to asyncio.to_thread() or a process pool, and \
           limit how much starts at once (asyncio.Semaphore).",
    only_time_tells: "how long the queued callbacks wait, and whether the queue keeps growing",
    scope: Scope::Instant,
    is_checked: false,
};

/// At some microseconds per callback, this is a measurable delay.
const MIN_INFO: u64 = 100;
/// This is a noticeable delay.
const MIN_WARNING: u64 = 1_000;

#[derive(Serialize)]
struct Facts<'s> {
    ready: u64,
    r#loop: &'s str,
    #[serde(skip_serializing_if = "Option::is_none")]
    running_at: Option<String>,
}

pub(super) fn judge(snapshot: &Snapshot, findings: &mut Vec<Finding>) {
    for event_loop in &snapshot.loops {
        let (Some(ready), Some(running)) = (event_loop.ready, event_loop.running_task) else { continue };
        if ready < MIN_INFO {
            continue;
        }
        let task = snapshot.task(running);
        let running_at = origin::find_culprit(snapshot, &task.stack).map(origin::describe);
        let place = running_at.as_ref().map(|frame| format!(" in {frame}")).unwrap_or_default();
        let severity = if ready < MIN_WARNING { Severity::Info } else { Severity::Warning };
        let message = format!("{ready} callbacks are queued while {} runs{place}", name_of(task));
        let facts = Facts { ready, r#loop: &event_loop.class, running_at };
        findings.push(INFO.finding(severity, message, vec![running], &facts));
    }
}
