//! Which task waits for which, and which task holds which lock, after a sample in which something has changed.

use rustc_hash::{FxHashMap, FxHashSet};

use super::entry::{FutureEntry, TaskEntry};
use super::reading::{insert, read_futures};
use super::state::TaskWatch;
use crate::model::tables::TaskNo;
use crate::remote::{Addr, ReadError, View};
use crate::runtime::wait_graph::{Frontier, Futures, Node, relate};

/// The tasks and the futures between them, as far as known.
struct Graph<'w> {
    tasks: &'w [TaskEntry],
    index: &'w FxHashMap<Addr, usize>,
    futures: &'w FxHashMap<Addr, FutureEntry>,
}

impl Futures for Graph<'_> {
    type Task = TaskNo;

    fn task(&self, addr: Addr) -> Option<TaskNo> {
        number_of(self.tasks, self.index, addr)
    }

    fn targets(&self, future: Addr) -> &[Addr] {
        let waiter = self.futures.get(&future).and_then(|future| future.waiter.as_ref());
        waiter.map_or(&[], |waiter| &waiter.wait.targets)
    }
}

fn number_of(tasks: &[TaskEntry], index: &FxHashMap<Addr, usize>, addr: Addr) -> Option<TaskNo> {
    index.get(&addr).and_then(|at| tasks[*at].number)
}

impl TaskWatch {
    /// Recomputes what every task waits for.
    pub(super) fn relate(&mut self) -> Result<(), ReadError> {
        self.complete_targets();
        self.read_between()?;
        self.forget_unused_futures();
        let graph = Graph { tasks: &self.tasks, index: &self.index, futures: &self.futures };
        let nodes: Vec<Node<'_, TaskNo>> = self.tasks.iter().filter_map(TaskEntry::node).collect();
        let mut edges = relate(&nodes, &graph).into_iter();
        for task in self.tasks.iter_mut().filter(|task| task.number.is_some()) {
            task.edges = edges.next().unwrap_or_default();
        }
        Ok(())
    }

    /// Up to 3.12, tasks in `as_completed`: they wait for the tasks that report to their queue.
    fn complete_targets(&mut self) {
        if !self.tasks.iter().any(|task| task.wait.as_ref().is_some_and(|wait| wait.completions.is_some())) {
            return;
        }
        let mut reporting: FxHashMap<Addr, Vec<Addr>> = FxHashMap::default();
        for task in self.tasks.iter().filter(|task| task.number.is_some()) {
            task.reports_to.iter().for_each(|queue| reporting.entry(*queue).or_default().push(task.addr));
        }
        for wait in self.tasks.iter_mut().filter_map(|task| task.wait.as_mut()) {
            wait.complete(|queue| reporting.get(&queue).cloned().unwrap_or_default());
        }
    }

    /// Reads the futures between tasks that are unknown or have changed, starting from what the tasks wait for.
    fn read_between(&mut self) -> Result<(), ReadError> {
        let Self { store, layout, knowledge, futures, looks, tasks, index, .. } = self;
        let is_task = |addr| number_of(tasks, index, addr).is_some();
        let waiting = tasks.iter().filter_map(TaskEntry::node).filter(|node| node.is_suspended);
        let mut frontier = Frontier::new(waiting.map(|node| node.targets), is_task);
        while let Some(round) = frontier.next_round() {
            let is_known = |addr: &Addr| futures.get(addr).is_some_and(|future| future.holds);
            let wanted: FxHashSet<Addr> = round.iter().filter(|addr| !is_known(addr)).copied().collect();
            if !wanted.is_empty() {
                let mut view = View::over(store, store.memory());
                view.keep_touched();
                for (addr, entry) in read_futures(&mut view, store, layout, knowledge, wanted) {
                    insert(store, futures, addr, entry);
                }
            }
            for addr in round {
                let Some(future) = futures.get_mut(&addr) else { continue };
                future.used = *looks;
                future.waiter.iter().for_each(|waiter| frontier.add(&waiter.wait.targets, is_task));
            }
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
}
