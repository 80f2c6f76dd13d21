//! What became of tasks, by the coroutine that they were made of.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::slices::Slices;
use crate::model::snapshot::Frame;

/// All tasks of one coroutine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CoroutineProfile {
    /// The coroutine; `None` for tasks of which it is not known, and for what is beyond the limit of distinct ones.
    pub coroutine: Option<Frame>,
    /// Tasks that were seen.
    pub seen: u64,
    /// Of these, those that were not there at the first look.
    pub born: u64,
    /// Of these, those that are no more.
    pub ended: u64,
    /// Of these, those that were there at the last look.
    pub alive: u64,
    /// Most that were there at one look.
    pub most_alive: u64,
    /// By how many there are more at the last look than at the first, for each minute between them; `None` where the time
    /// between is too short to say.
    pub growth_per_minute: Option<f64>,
    /// Time in which a loop executed them, nanoseconds.
    pub run_ns: u64,
    /// Samples in which a loop executed one.
    pub run_samples: u64,
    /// How these samples are spread over the watch.
    pub run_slices: Slices,
    /// Time in which they waited, nanoseconds.
    pub wait_ns: u64,
    /// Time in which they could run and waited for their turn, nanoseconds.
    pub ready_ns: u64,
    /// The rest of the time that they were seen to live, nanoseconds.
    pub unknown_ns: u64,
    /// The longest that one was seen to wait in one place, nanoseconds: at least, as it may have begun earlier.
    pub longest_wait_ns: u64,
    /// Name of the task that did.
    pub longest_wait_task: Option<Arc<str>>,
    /// The longest that one was seen to live, nanoseconds: at least.
    pub oldest_ns: u64,
    /// How many there were at the first look.
    pub(super) alive_at_first: u64,
}

impl CoroutineProfile {
    /// A sample showed one that ran, so long after the beginning of the watch.
    pub(super) fn ran(&mut self, since_ns: u64) {
        self.run_samples += 1;
        self.run_slices.add(since_ns);
    }

    /// Time that they were seen to live, nanoseconds.
    pub fn lifetime_ns(&self) -> u64 {
        self.run_ns + self.wait_ns + self.ready_ns + self.unknown_ns
    }
}

/// Number of a coroutine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct CoroutineId(u32);

/// All coroutines.
#[derive(Debug, Default)]
pub(super) struct Coroutines {
    list: Vec<CoroutineProfile>,
    ids: FxHashMap<Option<Frame>, CoroutineId>,
}

impl Coroutines {
    /// LIMIT: distinct coroutines; the rest counts as not known.
    const LIMIT: usize = 1 << 14;

    pub(super) fn add(&mut self, coroutine: &Option<Frame>) -> CoroutineId {
        if let Some(id) = self.ids.get(coroutine) {
            return *id;
        }
        if self.list.len() >= Self::LIMIT && coroutine.is_some() {
            return self.add(&None);
        }
        let id = CoroutineId(self.list.len() as u32);
        self.list.push(CoroutineProfile { coroutine: coroutine.clone(), ..CoroutineProfile::default() });
        self.ids.insert(coroutine.clone(), id);
        id
    }

    pub(super) fn get(&mut self, id: CoroutineId) -> &mut CoroutineProfile {
        &mut self.list[id.0 as usize]
    }

    pub(super) fn frame(&self, id: CoroutineId) -> Option<&Frame> {
        self.list[id.0 as usize].coroutine.as_ref()
    }

    /// What was added since the first look counts as growth.
    pub(super) fn first_look_is_over(&mut self) {
        for coroutine in &mut self.list {
            coroutine.alive_at_first = coroutine.alive;
        }
    }

    /// In the order in which they were met. `between_ns` is the time from the first look to the last.
    pub(super) fn list(&self, between_ns: u64) -> Vec<CoroutineProfile> {
        /// Less says little about a minute.
        const ENOUGH_NS: u64 = 5_000_000_000;
        let minutes = (between_ns >= ENOUGH_NS).then_some(between_ns as f64 / 60e9);
        let with_growth = |coroutine: &CoroutineProfile| CoroutineProfile {
            growth_per_minute: minutes
                .map(|minutes| (coroutine.alive as f64 - coroutine.alive_at_first as f64) / minutes),
            ..coroutine.clone()
        };
        self.list.iter().map(with_growth).collect()
    }
}
