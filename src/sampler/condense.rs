//! Handles events that do not fit into the channel: samples are lost, task changes are merged, and of events that
//! supersede each other only the latest is kept.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::model::event::{Event, Health, TaskChanges, TaskLook};
use crate::model::tables::TaskNo;

/// LIMIT: notes that wait for room in the channel, more than anyone would read.
const MAX_NOTES: usize = 1_000;

/// Number of tasks named in changes.
pub(super) fn size(changes: &TaskChanges) -> usize {
    changes.changed.len() + changes.ended.len()
}

/// Returns what must be kept of events that do not fit into the channel, in order of time, and how many samples are
/// lost.
pub(super) fn condense(events: Vec<Event>) -> (Vec<Event>, u64) {
    let mut lost = 0;
    let (mut notes, mut changes, mut findings, mut health) = (Vec::new(), None::<TaskChanges>, None, None::<Health>);
    for event in events {
        match event {
            Event::Loop(_) => lost += 1,
            Event::Tasks(later) => {
                changes = Some(match changes {
                    None => later,
                    Some(earlier) => {
                        lost += 1;
                        merge(earlier, later)
                    }
                });
            }
            Event::Findings { .. } => findings = Some(event),
            Event::Health(later) => {
                let gap = health.map_or(0, |earlier| earlier.longest_gap_ns);
                health = Some(Health { longest_gap_ns: later.longest_gap_ns.max(gap), ..later });
            }
            Event::Note(_) if notes.len() >= MAX_NOTES => {}
            Event::Note(_) => notes.push(event),
        }
    }
    let mut kept = notes;
    kept.extend(changes.map(Event::Tasks).into_iter().chain(findings).chain(health.map(Event::Health)));
    kept.sort_by_key(Event::at_ns);
    (kept, lost)
}

/// Merges two events into one. In rare cases it reports the end of a task that was never reported.
fn merge(earlier: TaskChanges, later: TaskChanges) -> TaskChanges {
    let mut looks: Vec<TaskLook> = Vec::with_capacity(earlier.changed.len() + later.changed.len());
    let mut places: FxHashMap<TaskNo, usize> = FxHashMap::default();
    let ended_later: FxHashSet<TaskNo> = later.ended.iter().copied().collect();
    let mut unseen: FxHashSet<TaskNo> = FxHashSet::default();
    for look in earlier.changed {
        if ended_later.contains(&look.task) {
            // Born and ended in between: it was never reported, so its end need not be either.
            if look.born {
                unseen.insert(look.task);
            }
        } else {
            places.insert(look.task, looks.len());
            looks.push(look);
        }
    }
    let ended_earlier: FxHashSet<TaskNo> = earlier.ended.iter().copied().collect();
    for look in later.changed {
        // It ended and exists again under the same number: the receiver knows it and has not seen its end.
        let look = TaskLook { born: look.born && !ended_earlier.contains(&look.task), ..look };
        match places.get(&look.task) {
            Some(&place) => {
                let born = looks[place].born || look.born;
                looks[place] = TaskLook { born, ..look };
            }
            None => looks.push(look),
        }
    }
    let alive: FxHashSet<TaskNo> = looks.iter().map(|look| look.task).collect();
    let mut ended = earlier.ended;
    ended.extend(later.ended.into_iter().filter(|task| !unseen.contains(task)));
    ended.retain(|task| !alive.contains(task));
    ended.sort_unstable();
    ended.dedup();
    let mut timers = earlier.timers;
    timers.retain(|(task, _)| later.timers.iter().all(|(other, _)| other != task));
    timers.extend(later.timers);
    TaskChanges {
        contexts: earlier.contexts.zip(later.contexts).map(|(one, other)| one.saturating_add(other)),
        timers,
        at_ns: later.at_ns,
        took_ns: later.took_ns,
        changed: looks,
        ended,
        total: later.total,
        complete: later.complete,
    }
}
