//! Tracks for tasks: one for each live task, reused by a later task of the same coroutine.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::model::tables::TaskInfo;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Lane(pub(super) u32);

/// The lanes, and which of them are free.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    made: u32,
    free: BTreeSet<Lane>,
    free_of: FxHashMap<Option<Arc<str>>, BTreeSet<Lane>>,
    coroutines: Vec<Option<Arc<str>>>,
    /// Number of lanes of a coroutine.
    counts: FxHashMap<Option<Arc<str>>, u32>,
    left_out: u64,
}

/// A lane assigned to a task.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) lane: Lane,
    /// Its new name, if the name has changed.
    pub(super) name: Option<String>,
}

impl Lanes {
    /// LIMIT: lanes. Scrolling through more is impractical, and viewers become slow; tasks without a lane are counted.
    pub(super) const MOST: u32 = 1_000;

    /// Assigns a lane to a new task; `None` if all are taken.
    pub(super) fn take(&mut self, task: &TaskInfo) -> Option<Got> {
        let coroutine = task.coroutine.as_ref().map(|frame| frame.function.clone());
        if let Some(lane) = self.free_of.get_mut(&coroutine).and_then(BTreeSet::pop_first) {
            self.free.remove(&lane);
            return Some(Got { lane, name: None });
        }
        let lane = match self.made {
            Self::MOST.. => {
                let Some(lane) = self.free.pop_first() else {
                    self.left_out += 1;
                    return None;
                };
                let before = &self.coroutines[lane.0 as usize];
                if let Some(lanes) = self.free_of.get_mut(before) {
                    lanes.remove(&lane);
                    if lanes.is_empty() {
                        let before = before.clone();
                        self.free_of.remove(&before);
                    }
                }
                self.coroutines[lane.0 as usize] = coroutine.clone();
                lane
            }
            made => {
                self.made += 1;
                self.coroutines.push(coroutine.clone());
                Lane(made)
            }
        };
        let count = self.counts.entry(coroutine.clone()).or_default();
        *count += 1;
        let coroutine = coroutine.as_deref().map_or("task", |name| name);
        Some(Got { lane, name: Some(format!("{} {count}", crate::render::label::name(coroutine))) })
    }

    /// The task of a lane has ended.
    pub(super) fn give_back(&mut self, lane: Lane) {
        let Some(coroutine) = self.coroutines.get(lane.0 as usize) else { return };
        self.free.insert(lane);
        self.free_of.entry(coroutine.clone()).or_default().insert(lane);
    }

    /// Number of tasks without a lane.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::snapshot::Frame;

    fn task(key: u64, coroutine: &str) -> TaskInfo {
        let coroutine = Frame { function: coroutine.into(), file: "app.py".into(), line: Some(1) };
        TaskInfo { key, name: None, coroutine: Some(coroutine) }
    }

    #[test]
    fn a_later_task_of_the_same_coroutine_gets_the_lane() {
        let mut lanes = Lanes::default();
        let first = lanes.take(&task(1, "serve")).unwrap();
        let other = lanes.take(&task(2, "read")).unwrap();
        assert_eq!((first.name.as_deref(), other.name.as_deref()), (Some("serve 1"), Some("read 1")));
        lanes.give_back(first.lane);
        let next = lanes.take(&task(3, "write")).unwrap();
        assert!(next.lane != first.lane && next.lane != other.lane);
        assert_eq!(lanes.take(&task(4, "serve")).unwrap().lane, first.lane);
    }

    #[test]
    fn when_all_are_taken_a_task_is_counted_and_a_free_lane_serves_another_coroutine() {
        let mut lanes = Lanes::default();
        let all: Vec<Lane> =
            (0..u64::from(Lanes::MOST)).map(|key| lanes.take(&task(key, "serve")).unwrap().lane).collect();
        assert!(lanes.take(&task(9_999, "read")).is_none());
        assert_eq!(lanes.left_out(), 1);
        lanes.give_back(all[7]);
        let got = lanes.take(&task(10_000, "read")).unwrap();
        assert_eq!((got.lane, got.name.as_deref()), (all[7], Some("read 1")));
        lanes.give_back(all[7]);
        assert_eq!(lanes.take(&task(10_001, "read")).unwrap().lane, all[7]);
    }
}
