//! Tasks that were asked to cancel and do not end.

use std::collections::BTreeMap;

use serde::Serialize;

use super::closing::{handled_words, handler_of, place_of, severity_of, still_words, tasks_of_closing_loops, waits_on};
use super::names::name_a_few;
use super::rule::{RuleInfo, Scope};
use crate::model::Snapshot;
use crate::model::snapshot::{Finding, RuleId, Severity, TaskId};

pub(super) static INFO: RuleInfo = RuleInfo {
    id: RuleId::new("cancelled-task-waits"),
    severities: &[Severity::Warning, Severity::Info],
    title: "A task was asked to cancel and still waits for something, in its cleanup or because it swallowed the \
            CancelledError; a warning if it did not move while it was watched, unless a reply or a timer ends its cleanup, \
            or nobody waits for it and the request may be one that was never taken back",
    singular: "cancelled task that does not end",
    plural: "cancelled tasks that do not end",
    help: "Let the CancelledError pass: catch it only to clean up, raise it again, and put a timeout around what the cleanup \
           awaits. A task that goes on by intention takes the request back with uncancel().",
    only_time_tells: "whether the task ends after all",
    scope: Scope::Instant,
    is_checked: false,
};

#[derive(Serialize)]
struct Facts {
    requests: u32,
    waits_for: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    /// The function whose `except` or `finally` block the task is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    handled_in: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    still_ms: Option<u64>,
}

/// What is said of a task: where it waits, which function handles the request, what it waits for, and how bad that is.
type Sameness = (Option<String>, Option<String>, &'static str, Severity);

/// Tasks of which the same is said.
struct Alike {
    tasks: Vec<TaskId>,
    /// Fewest requests, and the shortest time that one of them was seen not to move.
    facts: Facts,
    severity: Severity,
}

pub(super) fn judge(snapshot: &Snapshot, findings: &mut Vec<Finding>) {
    let told = tasks_of_closing_loops(snapshot);
    let mut alike: BTreeMap<Sameness, Alike> = BTreeMap::new();
    for (id, task) in (0..).map(TaskId).zip(&snapshot.tasks) {
        let Some(cancellation) = task.cancellation.filter(|_| !told.contains(&id)) else { continue };
        let Some(waits_for) = waits_on(snapshot, task) else { continue };
        let (at, handled_in) = (place_of(snapshot, task), handler_of(snapshot, task, cancellation));
        // A library that cancels a task for its own ends and never calls uncancel() leaves a request behind; where nobody
        // waits for the task and it handles nothing, that cannot be told from a request that was swallowed.
        let may_be_left = cancellation.handled_in.is_none() && task.awaited_by.is_empty();
        let severity = if may_be_left { Severity::Info } else { severity_of(snapshot, id) };
        let one = alike.entry((at.clone(), handled_in.clone(), waits_for, severity)).or_insert_with(|| Alike {
            tasks: Vec::new(),
            facts: Facts { requests: cancellation.requests, waits_for, at, handled_in, still_ms: task.still_ms },
            severity,
        });
        one.tasks.push(id);
        one.facts.requests = one.facts.requests.min(cancellation.requests);
        // What is said of all is true of all.
        one.facts.still_ms = one.facts.still_ms.min(task.still_ms);
    }
    findings.extend(alike.into_values().map(|one| finding(snapshot, one)));
}

fn finding(snapshot: &Snapshot, Alike { tasks, facts, severity }: Alike) -> Finding {
    let names = name_a_few(snapshot, &tasks);
    let (who, verb, wait) = match tasks.len() {
        1 => (names, "was asked", "waits"),
        count => (format!("{count} tasks ({names})"), "were asked", "wait"),
    };
    let times = match facts.requests {
        1 => String::new(),
        count => format!("{count} times "),
    };
    let at = facts.at.as_ref().map(|at| format!(" at {at}")).unwrap_or_default();
    let handled = facts.handled_in.as_ref().map(|frame| handled_words(frame)).unwrap_or_default();
    let still = still_words(facts.still_ms);
    let message = format!("{who} {verb} {times}to cancel but still {wait} for {}{at}{handled}{still}", facts.waits_for);
    INFO.finding(severity, message, tasks, &facts)
}
