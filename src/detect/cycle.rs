//! Tasks that wait for each other in a circle, through awaits or through locks. It must not know how owners of locks
//! are found.

use std::collections::BTreeMap;

use super::waits::{Knot, Waits};
use super::{Rule, name_of};
use crate::model::Snapshot;
use crate::model::snapshot::{Finding, Severity, TaskId};

/// A deadlock: none of the tasks can go on unless something from outside cancels one.
pub(super) struct AwaitCycle;

impl Rule for AwaitCycle {
    fn name(&self) -> &'static str {
        "await-cycle"
    }

    fn judge(&self, snapshot: &Snapshot, findings: &mut Vec<Finding>) {
        let waits = Waits::of(snapshot);
        let knots = waits.knots();
        let in_knots: usize = knots.iter().map(|knot| knot.members.len()).sum();
        let behind = waits.stuck() - in_knots;
        for knot in knots {
            findings.push(self.finding(snapshot, knot, behind));
        }
    }
}

impl AwaitCycle {
    fn finding(&self, snapshot: &Snapshot, knot: Knot, behind: usize) -> Finding {
        let story = tell(snapshot, &knot.circle);
        let more = match knot.members.len() - knot.circle.len() {
            0 => String::new(),
            more => format!(" ({more} more tasks are tied up with them)"),
        };
        let by_lock = knot.circle.iter().any(|&id| waits_for_a_holder(snapshot, id));
        let circle: Vec<String> = knot.circle.iter().map(|&id| name_of(snapshot.task(id))).collect();
        Finding {
            rule: self.name(),
            severity: Severity::Error,
            message: format!("deadlock: {story}{more}"),
            tasks: knot.members,
            evidence: BTreeMap::from([("circle", circle.into()), ("stuck_behind", behind.into())]),
            advice: if by_lock {
                "Take locks in the same order everywhere, and await nothing that needs the lock while holding it \
                 (asyncio's locks are not reentrant)."
                    .into()
            } else {
                "Let one of the tasks not await the other, or hand results over through an asyncio.Queue or Future; \
                 asyncio.timeout() around the await ends it at least."
                    .into()
            },
        }
    }
}

fn waits_for_a_holder(snapshot: &Snapshot, id: TaskId) -> bool {
    snapshot.task(id).awaiting.as_ref().is_some_and(|awaiting| !awaiting.held_by.is_empty())
}

/// `Task-3 waits for a lock held by Task-5, which waits for Task-3`.
fn tell(snapshot: &Snapshot, circle: &[TaskId]) -> String {
    /// A longer circle is told by its first tasks; all are in the finding.
    const TOLD: usize = 6;
    let Some(&first) = circle.first() else { return String::new() };
    let first_name = name_of(snapshot.task(first));
    let mut story = first_name.clone();
    for (position, &id) in circle.iter().enumerate() {
        if position >= TOLD {
            let left = circle.len() - position;
            story.push_str(&format!(", and so on through {left} more, back to {first_name}"));
            return story;
        }
        let next = circle.get(position + 1).copied().unwrap_or(first);
        let link = if position == 0 { " waits for " } else { ", which waits for " };
        story.push_str(link);
        story.push_str(&thing(snapshot, id, next));
        story.push_str(&if next == id { "itself".to_owned() } else { name_of(snapshot.task(next)) });
    }
    story
}

/// What stands between a task and the next: nothing, or the lock the next one holds.
fn thing(snapshot: &Snapshot, id: TaskId, next: TaskId) -> String {
    match &snapshot.task(id).awaiting {
        Some(awaiting) if awaiting.held_by.contains(&next) => format!("a {} held by ", awaiting.kind.as_str()),
        _ => String::new(),
    }
}
