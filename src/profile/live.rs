//! The live tasks, and which of them wait for which.
//!
//! A task is known by its identity in the target, which is unique at any moment, so both tiers refer to the same task
//! by it.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::chains::{ChainId, Chains, Link};
use super::coroutines::CoroutineId;
use super::names::NameId;
use super::stacks::KeptStack;
use super::waits::WaitKey;
use crate::model::snapshot::Frame;
use crate::model::tables::TaskInfo;

/// What a task was seen doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// It stays in one place.
    Waiting(WaitKey),
    /// It is ready to run.
    Ready,
    /// It is running, or its state is unknown.
    Unknown,
}

/// A live task.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) name: Option<Arc<str>>,
    pub(super) coroutine_frame: Option<Frame>,
    pub(super) coroutine: CoroutineId,
    /// Its name as shown in stitched stacks.
    pub(super) label: Option<NameId>,
    /// The name of its loop's thread, once the loop was seen running the task.
    pub(super) thread: Option<NameId>,
    pub(super) doing: Doing,
    pub(super) stack: Option<KeptStack>,
    pub(super) torn: bool,
    /// Tasks it waits for.
    pub(super) awaits: Vec<u64>,
    /// The task sample in which it was first seen; `None` while only loop samples have shown it.
    pub(super) first_look_ns: Option<u64>,
    /// The task sample that first showed it doing this, since it was last seen running.
    pub(super) since_ns: u64,
    /// What tells the timer that ends its wait from others; `None` where it has none.
    pub(super) timer: Option<u64>,
    /// Its time has been counted up to here.
    pub(super) counted_ns: u64,
    /// Whether this stay has already been counted as a wait.
    pub(super) stay_counted: bool,
    /// Time for which it was seen running, not yet subtracted from its other states.
    pub(super) owed_ns: u64,
    /// When a loop was last seen running it.
    pub(super) last_run_ns: u64,
}

impl Live {
    /// Whether this can be the task with that name.
    pub(super) fn is(&self, info: &TaskInfo) -> bool {
        fn agree<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
            one.is_none() || other.is_none() || one == other
        }
        fn code(frame: &Frame) -> (&str, &str) {
            (&frame.function, &frame.file)
        }
        agree(self.name.as_deref(), info.name.as_deref())
            && agree(self.coroutine_frame.as_ref().map(code), info.coroutine.as_ref().map(code))
    }
}

/// All live tasks.
#[derive(Debug, Default)]
pub(super) struct LiveTasks {
    tasks: FxHashMap<u64, Live>,
    /// For each awaited task, its awaiters. Sorted, so that the same events always give the same result.
    awaiters: FxHashMap<u64, BTreeSet<u64>>,
}

impl LiveTasks {
    pub(super) fn get(&self, key: u64) -> Option<&Live> {
        self.tasks.get(&key)
    }

    pub(super) fn get_mut(&mut self, key: u64) -> Option<&mut Live> {
        self.tasks.get_mut(&key)
    }

    pub(super) fn insert(&mut self, key: u64, task: Live) {
        self.tasks.insert(key, task);
    }

    /// Ordered by identity.
    pub(super) fn keys(&self) -> Vec<u64> {
        let mut keys: Vec<u64> = self.tasks.keys().copied().collect();
        keys.sort_unstable();
        keys
    }

    pub(super) fn remove(&mut self, key: u64) -> Option<Live> {
        self.set_awaits(key, Vec::new());
        self.tasks.remove(&key)
    }

    /// Sets what a task waits for now.
    pub(super) fn set_awaits(&mut self, key: u64, awaits: Vec<u64>) {
        let Some(task) = self.tasks.get_mut(&key) else { return };
        let before = std::mem::replace(&mut task.awaits, awaits);
        for awaited in &before {
            if let Some(awaiters) = self.awaiters.get_mut(awaited) {
                awaiters.remove(&key);
                if awaiters.is_empty() {
                    self.awaiters.remove(awaited);
                }
            }
        }
        for &awaited in &task.awaits {
            self.awaiters.entry(awaited).or_default().insert(key);
        }
    }

    /// The chains above a task and the share of `time_ns` that each gets; the shares add up to it. Several awaiters
    /// share equally; a cycle is cut where it would close.
    pub(super) fn chains_above(&self, key: u64, time_ns: u64, chains: &mut Chains) -> Vec<(ChainId, u64)> {
        /// LIMIT: paths upwards that one task's time is split into: nested fan-in has exponentially many.
        const WAYS: usize = 64;
        let mut shares = Vec::new();
        self.climb(key, time_ns, WAYS, &mut Vec::new(), chains, &mut shares);
        shares
    }

    fn climb(
        &self,
        key: u64,
        time_ns: u64,
        ways: usize,
        below: &mut Vec<u64>,
        chains: &mut Chains,
        shares: &mut Vec<(ChainId, u64)>,
    ) {
        /// LIMIT: nested awaiters. Beyond this depth a stack says nothing more; it also bounds the recursion.
        const DEPTH: usize = 100;
        below.push(key);
        let present = |awaiter: &&u64| !below.contains(awaiter) && self.tasks.contains_key(awaiter);
        let awaiters: Vec<u64> = match self.awaiters.get(&key) {
            Some(awaiters) if below.len() <= DEPTH => awaiters.iter().filter(present).take(ways).copied().collect(),
            _ => Vec::new(),
        };
        if awaiters.is_empty() {
            let name = self.tasks.get(&key).and_then(|task| task.label);
            shares.push((chains.add(Link::Root(name)), time_ns));
        }
        let many = awaiters.len() as u64;
        for (position, &awaiter) in (0..).zip(&awaiters) {
            let part = time_ns / many + u64::from(position < time_ns % many);
            let first = shares.len();
            self.climb(awaiter, part, ways / awaiters.len(), below, chains, shares);
            let stack = self.tasks.get(&awaiter).and_then(|task| task.stack);
            for (chain, _) in &mut shares[first..] {
                *chain = chains.add(Link::Under(*chain, stack));
            }
        }
        below.pop();
    }
}
