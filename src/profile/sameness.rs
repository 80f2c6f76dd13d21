//! What shows that a task is still in the same wait, or at least still the same task, although tasks have run since the
//! last sample: a look that is the same is no proof. A task that repeats short waits at one line, and short tasks that
//! follow each other at one address, look the same byte for byte.

use rustc_hash::{FxHashMap, FxHashSet};

use super::live::{Doing, LiveTasks};
use crate::model::snapshot::WaitKind;

/// LIMIT: tasks that await each other in a row. Beyond this depth nothing is shown; it also bounds the recursion.
const DEPTH: usize = 100;

/// LIMIT: tasks that one task awaits and that are looked at. For one that awaits more nothing is shown.
const AWAITED: usize = 1_000;

/// The answers of one sample.
pub(super) struct Sameness<'l> {
    live: &'l LiveTasks,
    /// Tasks with another timer than before.
    renewed: &'l FxHashSet<u64>,
    waits: FxHashMap<u64, bool>,
}

impl<'l> Sameness<'l> {
    pub(super) fn new(live: &'l LiveTasks, renewed: &'l FxHashSet<u64>) -> Self {
        Self { live, renewed, waits: FxHashMap::default() }
    }

    /// Whether the task is in the same wait as before.
    pub(super) fn is_same_wait(&mut self, key: u64) -> bool {
        self.is_same_wait_at(key, 0)
    }

    /// Whether it is the same task as before, in the same wait or not.
    pub(super) fn is_same_task(&mut self, key: u64) -> bool {
        self.is_same_task_at(key, 0)
    }

    fn is_same_wait_at(&mut self, key: u64, depth: usize) -> bool {
        if let Some(known) = self.waits.get(&key) {
            return *known;
        }
        // In a circle each would prove the other.
        self.waits.insert(key, false);
        let same = depth < DEPTH && self.find_same_wait(key, depth);
        self.waits.insert(key, same);
        same
    }

    fn find_same_wait(&mut self, key: u64, depth: usize) -> bool {
        let Some(live) = self.live.get(key) else { return false };
        let Doing::Waiting(wait) = &live.doing else { return false };
        if live.timer.is_some() && !self.renewed.contains(&key) {
            return true;
        }
        // These end when a task that they wait for does. Others can end and begin again with the same tasks.
        matches!(wait.kind, Some(WaitKind::Task | WaitKind::Gather | WaitKind::TaskGroup))
            && (1..=AWAITED).contains(&live.awaits.len())
            && live.awaits.iter().all(|awaited| self.is_same_task_at(*awaited, depth + 1))
    }

    fn is_same_task_at(&mut self, key: u64, depth: usize) -> bool {
        let Some(live) = self.live.get(key) else { return false };
        live.name.as_deref().is_some_and(is_numbered) || self.is_same_wait_at(key, depth)
    }
}

/// Whether a name is one that asyncio gives: its number is never used twice.
// CPython: Lib/asyncio/tasks.py, _task_name_counter.
fn is_numbered(name: &str) -> bool {
    name.strip_prefix("Task-").is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_names_that_asyncio_gives_are_unique() {
        assert!(is_numbered("Task-17"));
        for name in ["Task-", "Task-1a", "GET /health", "worker-3", ""] {
            assert!(!is_numbered(name), "{name}");
        }
    }
}
