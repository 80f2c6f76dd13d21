//! Tasks that wait for each other in a cycle, through awaits or through locks.

use serde::Serialize;

use super::deadlock::{Knot, Waits, is_pool};
use super::names::name_of;
use super::rule::{RuleInfo, Scope};
use crate::model::Snapshot;
use crate::model::snapshot::{Awaiting, Finding, Resource, RuleId, Severity, TaskId};

/// The rule.
pub static INFO: RuleInfo = RuleInfo {
    id: RuleId::new("await-cycle"),
    severities: &[Severity::Error],
    title: "Tasks wait for each other in a circle, through awaits or through locks",
    singular: "task in a deadlock",
    plural: "tasks in a deadlock",
    help: "Remove one of the awaits, or acquire locks in the same order everywhere.",
    only_time_tells: "whether something outside cancels one of the tasks",
    scope: Scope::Lasting,
    is_checked: false,
};

const LOCKS: &str = "Acquire locks in the same order everywhere, and while holding one do not await anything that needs it \
     (asyncio's locks are not reentrant).";
const POOLS: &str =
    "Never wait for a second connection of a pool while a task has one: pass the first one on, or give it back before.";
const AWAITS: &str = "Remove one of the awaits, or pass results through an asyncio.Queue or Future; asyncio.timeout() around \
     an await at least ends the deadlock.";

#[derive(Serialize)]
struct Facts {
    /// Names, in the order of the cycle.
    circle: Vec<String>,
    /// Tasks that cannot continue either, although they are not in a cycle.
    stuck_behind: usize,
}

/// None of the tasks can continue unless something outside cancels one of them.
pub(super) fn judge(snapshot: &Snapshot, findings: &mut Vec<Finding>) {
    let waits = Waits::of(snapshot);
    let knots = waits.knots();
    let in_knots: usize = knots.iter().map(|knot| knot.members.len()).sum();
    let stuck_behind = waits.stuck() - in_knots;
    findings.extend(knots.into_iter().map(|knot| finding(snapshot, knot, stuck_behind)));
}

fn finding(snapshot: &Snapshot, knot: Knot, stuck_behind: usize) -> Finding {
    let more = match knot.members.len() - knot.circle.len() {
        0 => String::new(),
        1 => " (1 more task is part of it)".to_owned(),
        more => format!(" ({more} more tasks are part of it)"),
    };
    let by_lock = knot.circle.iter().any(|&id| waits_for_a_holder(snapshot, id));
    let by_pool = knot.circle.iter().filter_map(|&id| snapshot.task(id).awaiting.as_ref()).any(is_pool);
    let circle = knot.circle.iter().map(|&id| name_of(snapshot.task(id))).collect();
    let message = format!("deadlock: {}{more}", describe(snapshot, &knot.circle));
    let finding = INFO.finding(Severity::Error, message, knot.members, &Facts { circle, stuck_behind });
    let advice = match by_lock {
        true if by_pool => POOLS,
        true => LOCKS,
        false => AWAITS,
    };
    Finding { advice: advice.into(), ..finding }
}

fn waits_for_a_holder(snapshot: &Snapshot, id: TaskId) -> bool {
    snapshot.task(id).awaiting.as_ref().is_some_and(|awaiting| !awaiting.held_by.is_empty())
}

/// `Task-3 waits for a lock held by Task-5, which waits for Task-3`.
fn describe(snapshot: &Snapshot, circle: &[TaskId]) -> String {
    /// Only the first tasks of a longer cycle are named; the finding contains all of them.
    const MAX_NAMED: usize = 6;
    let Some(&first) = circle.first() else { return String::new() };
    let first_name = name_of(snapshot.task(first));
    let mut text = first_name.clone();
    for (position, &id) in circle.iter().enumerate() {
        if position >= MAX_NAMED {
            let left = circle.len() - position;
            text.push_str(&format!(", and so on through {left} more, back to {first_name}"));
            return text;
        }
        let next = circle.get(position + 1).copied().unwrap_or(first);
        text.push_str(if position == 0 { " waits for " } else { ", which waits for " });
        text.push_str(&lock_between(snapshot, id, next));
        text.push_str(&if next == id { "itself".to_owned() } else { name_of(snapshot.task(next)) });
    }
    text
}

/// The lock that a task waits for and the next one holds, if there is one.
fn lock_between(snapshot: &Snapshot, id: TaskId, next: TaskId) -> String {
    match &snapshot.task(id).awaiting {
        Some(Awaiting { held_by, resource: Some(Resource { pool: Some(pool), .. }), .. })
            if held_by.contains(&next) =>
        {
            format!("a connection of {} held by ", pool.name())
        }
        Some(awaiting) if awaiting.held_by.contains(&next) => format!("a {} held by ", awaiting.kind.as_str()),
        _ => String::new(),
    }
}
