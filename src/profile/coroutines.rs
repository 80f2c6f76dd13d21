//! What tasks did, grouped by the coroutine they were created from.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::slices::Slices;
use crate::model::snapshot::Frame;

/// All tasks of one coroutine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CoroutineProfile {
    /// The coroutine; `None` for tasks whose coroutine is not known, and for those beyond the limit of distinct
    /// coroutines.
    pub coroutine: Option<Frame>,
    /// Tasks seen.
    pub seen: u64,
    /// How many of them were not yet there in the first task sample.
    pub born: u64,
    /// How many of them have ended.
    pub ended: u64,
    /// How many of them were there in the last task sample.
    pub alive: u64,
    /// The most that were there in one task sample.
    pub most_alive: u64,
    /// Growth per minute from the first task sample to the last; `None` where the time between them is too short to
    /// say.
    pub growth_per_minute: Option<f64>,
    /// Time in which an event loop executed them, nanoseconds.
    pub run_ns: u64,
    /// Samples in which an event loop executed one of them.
    pub run_samples: u64,
    /// How these samples are spread over the watch.
    pub run_slices: Slices,
    /// Time in which they waited, nanoseconds.
    pub wait_ns: u64,
    /// Time in which they were ready to run and waited for their turn, nanoseconds.
    pub ready_ns: u64,
    /// The rest of the time for which they were seen alive, nanoseconds.
    pub unknown_ns: u64,
    /// The longest time for which one was seen waiting in one place, nanoseconds: a minimum, as the wait may have begun
    /// earlier.
    pub longest_wait_ns: u64,
    /// Name of the task with the longest wait.
    pub longest_wait_task: Option<Arc<str>>,
    /// The longest time for which one was seen alive, nanoseconds: a minimum.
    pub oldest_ns: u64,
    /// How many there were in the first task sample.
    pub(super) alive_at_first: u64,
}

impl CoroutineProfile {
    /// A sample showed one running, this long after the watch began.
    pub(super) fn ran(&mut self, since_ns: u64) {
        self.run_samples += 1;
        self.run_slices.add(since_ns);
    }

    /// Time for which they were seen alive, nanoseconds.
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
    /// LIMIT: distinct coroutines; the rest count as not known.
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

    /// Tasks added since the first task sample count as growth.
    pub(super) fn first_look_is_over(&mut self) {
        for coroutine in &mut self.list {
            coroutine.alive_at_first = coroutine.alive;
        }
    }

    /// In the order in which they were first seen. `between_ns` is the time from the first task sample to the last.
    pub(super) fn list(&self, between_ns: u64) -> Vec<CoroutineProfile> {
        /// A shorter time says little about a minute.
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
