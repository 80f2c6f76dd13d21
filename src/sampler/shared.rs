//! State that both tiers and the owner of a watch share: the stop request, why the watch ended, and counters.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::model::event::Health;
use crate::remote::GiveUp;

use super::health::TaskTotals;
use super::sharing::Sharing;

/// A stop request, shared by everything that can make one: a signal handler, a time limit, the owner of a watch.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// When it was asked for.
    asked: Arc<OnceLock<Instant>>,
    /// A stop request for this watch together with others.
    above: Option<Arc<OnceLock<Instant>>>,
}

impl Stop {
    /// Requests a stop. The watch takes one last sample, and ends within about a second.
    pub fn ask(&self) {
        let _ = self.asked.set(Instant::now());
    }

    /// Whether a stop was requested.
    pub fn is_asked(&self) -> bool {
        self.asked_at().is_some()
    }

    /// When a stop was requested first.
    fn asked_at(&self) -> Option<Instant> {
        [Some(&self.asked), self.above.as_ref()].into_iter().flatten().filter_map(|asked| asked.get()).min().copied()
    }

    /// Due when a stop was requested this long ago.
    pub(super) fn give_up_after(&self, patience: Duration) -> GiveUp {
        let stop = self.clone();
        GiveUp::when(move || stop.asked_at().is_some_and(|at| at.elapsed() > patience))
    }

    /// For one watch of several: a request to it stops no other watch, and a request to `self` stops it too.
    pub fn for_one_of_several(&self) -> Self {
        Self { asked: Arc::default(), above: Some(self.asked.clone()) }
    }
}

/// Why a watch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A stop was requested.
    Asked,
    /// The target exited.
    Exited,
    /// The target lives, but could not be read any more; the error says why.
    Unreadable,
    /// The receiver of the events is gone.
    ReceiverDropped,
    /// An internal error; the error says which.
    Failed,
}

/// State visible to both tiers.
#[derive(Debug)]
pub(super) struct Shared {
    stop: Stop,
    /// The watches that share the CPU budget.
    sharing: Sharing,
    /// The first reason, with its error.
    end: Mutex<Option<(End, Option<String>)>>,
    tasks: Mutex<TaskTotals>,
    health: Mutex<Health>,
    /// The bits of a float.
    task_hz: AtomicU64,
    task_thread: AtomicI32,
    /// The task tier did not end in time; nobody waits for it any more.
    is_task_tier_left: AtomicBool,
    /// The last search for event loops found none.
    found_no_loop: AtomicBool,
}

/// Locks something that is never left half changed, and so is valid even after a panic.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(stop: Stop, sharing: Sharing, task_hz: f64) -> Self {
        Self {
            stop,
            sharing,
            end: Mutex::default(),
            tasks: Mutex::default(),
            health: Mutex::default(),
            task_hz: AtomicU64::new(task_hz.to_bits()),
            task_thread: AtomicI32::new(0),
            is_task_tier_left: AtomicBool::new(false),
            found_no_loop: AtomicBool::new(false),
        }
    }

    /// Ends the watch, unless it has ended for another reason.
    pub(super) fn end(&self, end: End, error: Option<String>) {
        lock(&self.end).get_or_insert((end, error));
    }

    /// Why it ended; a stop request counts as a reason.
    pub(super) fn ended(&self) -> Option<(End, Option<String>)> {
        let mut end = lock(&self.end);
        if end.is_none() && self.stop.is_asked() {
            *end = Some((End::Asked, None));
        }
        end.clone()
    }

    pub(super) fn is_over(&self) -> bool {
        self.ended().is_some()
    }

    pub(super) fn tasks(&self) -> TaskTotals {
        *lock(&self.tasks)
    }

    pub(super) fn set_tasks(&self, totals: TaskTotals) {
        *lock(&self.tasks) = totals;
    }

    pub(super) fn health(&self) -> Health {
        *lock(&self.health)
    }

    pub(super) fn set_health(&self, health: Health) {
        *lock(&self.health) = health;
    }

    pub(super) fn sharing(&self) -> &Sharing {
        &self.sharing
    }

    pub(super) fn task_hz(&self) -> f64 {
        f64::from_bits(self.task_hz.load(Relaxed))
    }

    pub(super) fn set_task_hz(&self, rate_hz: f64) {
        self.task_hz.store(rate_hz.to_bits(), Relaxed);
    }

    /// The kernel id of the task tier's thread, once it runs.
    pub(super) fn task_thread(&self) -> Option<i32> {
        Some(self.task_thread.load(Relaxed)).filter(|&tid| tid != 0)
    }

    pub(super) fn leave_task_tier(&self) {
        self.is_task_tier_left.store(true, Relaxed);
    }

    pub(super) fn set_found_no_loop(&self, found_none: bool) {
        self.found_no_loop.store(found_none, Relaxed);
    }

    pub(super) fn found_no_loop(&self) -> bool {
        self.found_no_loop.load(Relaxed)
    }

    pub(super) fn is_task_tier_left(&self) -> bool {
        self.is_task_tier_left.load(Relaxed)
    }

    pub(super) fn set_task_thread(&self, tid: i32) {
        self.task_thread.store(tid, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_is_the_one_that_counts() {
        let stop = Stop::default();
        let shared = Shared::new(stop.clone(), Sharing::default(), 10.0);
        assert!(!shared.is_over());
        stop.ask();
        assert_eq!(shared.ended(), Some((End::Asked, None)));
        shared.end(End::Exited, None);
        assert_eq!(shared.ended(), Some((End::Asked, None)));
    }

    #[test]
    fn a_wish_for_one_watch_is_none_for_the_others_but_one_for_all_is() {
        let all = Stop::default();
        let (one, other) = (all.for_one_of_several(), all.for_one_of_several());
        one.ask();
        assert_eq!((one.is_asked(), other.is_asked(), all.is_asked()), (true, false, false));
        all.ask();
        assert!(other.is_asked());
    }
}
