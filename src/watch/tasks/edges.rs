//! Which task waits for which, through whatever futures are between, after a look in which something has moved. It must
//! not know how tasks are read.

use rustc_hash::{FxHashMap, FxHashSet};

use super::TaskWatch;
use super::reading::{insert, read_futures};
use crate::model::tables::TaskNo;
use crate::model::wait::WaitDetail;
use crate::remote::{Addr, ReadError, View};
use crate::runtime::asyncio::wait::WaitKind;

/// LIMIT: how deep futures are followed into each other (a gather of gathers of shields ...), in rounds.
const MAX_ROUNDS: usize = 1_000;

impl TaskWatch {
    /// Works out anew what every task waits for.
    pub(super) fn relate(&mut self) -> Result<(), ReadError> {
        self.complete_targets();
        self.read_between()?;
        self.forget_unused_futures();
        let awaits: Vec<Option<Vec<TaskNo>>> = (self.tasks.iter())
            .map(|task| {
                task.wait.as_ref().filter(|wait| !wait.targets.is_empty()).map(|wait| self.expand(&wait.targets))
            })
            .collect();
        for (task, awaits) in self.tasks.iter_mut().zip(awaits) {
            task.awaits = awaits.unwrap_or_default();
        }
        self.add_own_awaiters();
        self.find_holders();
        Ok(())
    }

    /// Who holds each lock that somebody waits for. Entering `async with lock` has put the lock on the stack too: who waits for
    /// it does not hold it. Who waits for a condition has given its lock back meanwhile.
    fn find_holders(&mut self) {
        let waits = self.tasks.iter().filter_map(|task| task.wait.as_ref()?.lock);
        let mut holders: FxHashMap<Addr, Vec<TaskNo>> = waits.map(|lock| (lock, Vec::new())).collect();
        for task in &self.tasks {
            let wait = task.wait.as_ref();
            let gave_back = wait.is_some_and(|wait| wait.kind == WaitKind::Condition);
            let Some(number) = task.number.filter(|_| !gave_back && !holders.is_empty()) else { continue };
            let waits_for = wait.and_then(|wait| wait.lock);
            for lock in task.entered.iter().filter(|lock| waits_for != Some(**lock)) {
                if let Some(holders) = holders.get_mut(lock).filter(|holders| !holders.contains(&number)) {
                    holders.push(number);
                }
            }
        }
        for task in &mut self.tasks {
            let lock = task.wait.as_ref().and_then(|wait| wait.lock);
            task.held_by = lock.and_then(|lock| holders.get(&lock)).cloned().unwrap_or_default();
        }
    }

    /// Up to 3.12, tasks in `as_completed`: what reports to the queue they wait at.
    fn complete_targets(&mut self) {
        if !self.tasks.iter().any(|task| task.wait.as_ref().is_some_and(|wait| wait.completions.is_some())) {
            return;
        }
        let mut reporting: FxHashMap<Addr, Vec<Addr>> = FxHashMap::default();
        for task in self.tasks.iter().filter(|task| task.number.is_some()) {
            task.reports_to.iter().for_each(|queue| reporting.entry(*queue).or_default().push(task.addr));
        }
        for wait in self.tasks.iter_mut().filter_map(|task| task.wait.as_mut()) {
            let Some(queue) = wait.completions else { continue };
            wait.targets = reporting.get(&queue).cloned().unwrap_or_default();
            let waiting = wait.targets.len();
            wait.detail = (waiting > 0).then_some(WaitDetail::NotDone(waiting));
        }
    }

    fn is_task(&self, addr: Addr) -> bool {
        self.index.get(&addr).is_some_and(|at| self.tasks[*at].number.is_some())
    }

    /// Reads the futures that lie between tasks and are not known or have changed, outwards from what the tasks wait for.
    fn read_between(&mut self) -> Result<(), ReadError> {
        let waits = self.tasks.iter().filter_map(|task| task.wait.as_ref());
        let mut open: FxHashSet<Addr> =
            waits.flat_map(|wait| wait.targets.iter().copied()).filter(|target| !self.is_task(*target)).collect();
        let mut met = open.clone();
        for _ in 0..MAX_ROUNDS {
            if open.is_empty() {
                break;
            }
            let known = |addr: &Addr| self.futures.get(addr).is_some_and(|future| future.holds);
            let wanted: FxHashSet<Addr> = open.iter().filter(|addr| !known(addr)).copied().collect();
            let Self { store, layout, knowledge, futures, looks, .. } = self;
            if !wanted.is_empty() {
                let mut view = View::over(store, store.memory());
                view.keep_touched();
                for (addr, entry) in read_futures(&mut view, store, layout, knowledge, wanted) {
                    insert(store, futures, addr, entry);
                }
            }
            let mut next = FxHashSet::default();
            for addr in open.drain() {
                let Some(future) = futures.get_mut(&addr) else { continue };
                future.used = *looks;
                next.extend(future.waiter.iter().flat_map(|waiter| waiter.wait.targets.iter().copied()));
            }
            open = next.into_iter().filter(|target| !self.is_task(*target) && met.insert(*target)).collect();
        }
        Ok(())
    }

    fn forget_unused_futures(&mut self) {
        let Self { tasks, futures, looks, store, .. } = self;
        for waiter in tasks.iter().filter_map(|task| task.waiter) {
            futures.entry(waiter).and_modify(|future| future.used = *looks);
        }
        futures.retain(|_, future| {
            let used = future.used == *looks;
            if !used {
                store.release(&future.lines);
            }
            used
        });
    }

    /// The tasks that these targets stand for, each once, in the order met.
    fn expand(&self, targets: &[Addr]) -> Vec<TaskNo> {
        let number = |addr: Addr| self.index.get(&addr).and_then(|at| self.tasks[*at].number);
        if let [only] = targets
            && let Some(task) = number(*only)
        {
            return vec![task];
        }
        let (mut found, mut seen) = (Vec::new(), FxHashSet::default());
        let mut open: Vec<Addr> = targets.iter().rev().copied().collect();
        while let Some(target) = open.pop() {
            if !seen.insert(target) {
                continue;
            }
            match number(target) {
                Some(task) => found.push(task),
                None => {
                    let future = self.futures.get(&target).and_then(|future| future.waiter.as_ref());
                    open.extend(future.iter().flat_map(|waiter| waiter.wait.targets.iter().rev()));
                }
            }
        }
        found
    }

    /// 3.14+: a future itself says who awaits it; what it says is added to what was derived.
    fn add_own_awaiters(&mut self) {
        for at in 0..self.tasks.len() {
            let Some(number) = self.tasks[at].number else { continue };
            let awaiters = std::mem::take(&mut self.tasks[at].awaited_by);
            for awaiter in &awaiters {
                let Some(&awaiter) = self.index.get(awaiter) else { continue };
                let awaiter = &mut self.tasks[awaiter];
                // Only of one that waits now: the note stays until the awaiter's next step.
                if awaiter.wait.is_some() && !awaiter.awaits.contains(&number) {
                    awaiter.awaits.push(number);
                }
            }
            self.tasks[at].awaited_by = awaiters;
        }
    }
}
