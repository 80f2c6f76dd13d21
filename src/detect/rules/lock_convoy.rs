//! Locks whose holders wait for something else while others queue.

use serde::Serialize;

use super::deadlock::Waits;
use super::names::{name_a_few, name_of};
use super::resources::{Contended, contended, continues_by_itself, what_for};
use super::rule::{RuleInfo, Scope};
use crate::detect::origin;
use crate::model::Snapshot;
use crate::model::snapshot::{Finding, RuleId, Severity, WaitKind};

pub(super) static INFO: RuleInfo = RuleInfo {
    id: RuleId::new("lock-convoy"),
    severities: &[Severity::Warning, Severity::Info],
    title: "Tasks wait for a lock whose holder waits for something else; a warning if none of them \
            moved while it was watched, unless a reply or a timer can move them",
    singular: "lock held across a wait",
    plural: "locks held across waits",
    help: "Do not await anything slow while holding a lock, or put a timeout around it (asyncio.timeout): everyone else \
           waits as long as the holder does.",
    only_time_tells: "how long the holder waits",
    scope: Scope::Instant,
    is_checked: false,
};

#[derive(Serialize)]
struct Facts {
    holder: String,
    waiting: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    still_ms: Option<u64>,
}

pub(super) fn judge(snapshot: &Snapshot, findings: &mut Vec<Finding>) {
    let waits = Waits::of(snapshot);
    for Contended { resource, waiting, holders } in contended(snapshot, |kind| kind == WaitKind::Lock) {
        // What is part of a deadlock, or stands behind one, is told there.
        let [holder] = holders[..] else { continue };
        if waits.is_stuck(holder) {
            continue;
        }
        let task = snapshot.task(holder);
        let Some(awaiting) = &task.awaiting else { continue };
        let slow = resource.still_ms.filter(|_| !continues_by_itself(awaiting));
        let at = origin::find_culprit(snapshot, &task.stack).map(origin::describe);
        let place = at.as_ref().map(|at| format!(" at {at}")).unwrap_or_default();
        let still = resource.still_ms.map(|ms| format!("; nothing moved for {ms} ms")).unwrap_or_default();
        let (count, who) = (waiting.len(), name_a_few(snapshot, &waiting));
        let wait = if count == 1 { "task waits" } else { "tasks wait" };
        let message = format!(
            "{count} {wait} for a lock ({who}) held by {}, which waits for {}{place}{still}",
            name_of(task),
            what_for(awaiting.kind)
        );
        let facts = Facts { holder: name_of(task), waiting: count, at, still_ms: resource.still_ms };
        let severity = if slow.is_some() { Severity::Warning } else { Severity::Info };
        let tasks = [holder].into_iter().chain(waiting).collect();
        findings.push(INFO.finding(severity, message, tasks, &facts));
    }
}
