//! Locks that stay taken because the task that took them has ended.

use std::collections::BTreeMap;

use serde::Serialize;

use super::names::name_a_few;
use super::rule::{RuleInfo, Scope};
use crate::model::Snapshot;
use crate::model::snapshot::{Finding, Resource, RuleId, Severity, TaskId};

pub(super) static INFO: RuleInfo = RuleInfo {
    id: RuleId::new("lock-holder-ended"),
    severities: &[Severity::Warning, Severity::Info],
    title: "Tasks wait for a lock that is taken, and no living task was found that holds it",
    singular: "lock of a task that has ended",
    plural: "locks of tasks that have ended",
    help: "Take locks with `async with`, or call release() in a `finally`, so that a task that fails or is cancelled gives \
           its lock back.",
    only_time_tells: "whether a thread or a timer releases it after all",
    scope: Scope::Lasting,
    is_checked: false,
};

#[derive(Serialize)]
struct Facts {
    waiting: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    still_ms: Option<u64>,
}

/// One finding for each lock.
pub(super) fn judge(snapshot: &Snapshot, findings: &mut Vec<Finding>) {
    let mut locks: BTreeMap<u64, (Resource, Vec<TaskId>)> = BTreeMap::new();
    for (id, task) in (0..).map(TaskId).zip(&snapshot.tasks) {
        let resource = task.awaiting.as_ref().and_then(|awaiting| awaiting.resource);
        if let Some(resource) = resource.filter(|resource| resource.is_abandoned) {
            locks.entry(resource.key).or_insert_with(|| (resource, Vec::new())).1.push(id);
        }
    }
    for (resource, tasks) in locks.into_values() {
        let severity = if resource.still_ms.is_some() { Severity::Warning } else { Severity::Info };
        let names = name_a_few(snapshot, &tasks);
        let (wait, count) =
            if tasks.len() == 1 { ("waits", String::new()) } else { ("wait", format!("{} tasks ", tasks.len())) };
        let message = format!(
            "{count}{open}{names}{close} {wait} for a lock that is taken, but no living task was found that holds it: the task \
             that took it has most likely ended without release()",
            open = if count.is_empty() { "" } else { "(" },
            close = if count.is_empty() { "" } else { ")" },
        );
        let facts = Facts { waiting: tasks.len(), still_ms: resource.still_ms };
        findings.push(INFO.finding(severity, message, tasks, &facts));
    }
}
