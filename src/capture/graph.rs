//! The links between the tasks of one snapshot: the futures through which they wait for each other, and the locks they
//! have entered.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::task_walk::{Shared, TaskWalk};
use crate::model::snapshot::TaskId;
use crate::python::caches::Caches;
use crate::python::layout::Layout;
use crate::python::reader::{Reader, optional};
use crate::remote::{Addr, ReadError, View};
use crate::runtime::record::Waited;
use crate::runtime::references::FutureReferences;
use crate::runtime::wait_graph::{Frontier, Futures};

/// Tasks and the futures between them, by address.
pub(super) struct Graph {
    /// Index of each task.
    pub(super) tasks: FxHashMap<Addr, usize>,
    /// The tasks that each of the other futures stands for.
    targets: FxHashMap<Addr, Arc<[Addr]>>,
}

impl Futures for Graph {
    type Task = TaskId;

    fn task(&self, addr: Addr) -> Option<TaskId> {
        self.tasks.get(&addr).map(|position| TaskId(*position as u32))
    }

    fn targets(&self, future: Addr) -> &[Addr] {
        self.targets.get(&future).map_or(&[], |targets| targets)
    }
}

impl Graph {
    /// Reads all futures between tasks, starting from what the tasks wait for. Also returns the references that they
    /// hold.
    pub(super) fn read(
        view: &mut View<'_>,
        layout: &Layout,
        caches: &mut Caches,
        shared: &mut Shared,
        walks: &[TaskWalk],
        tasks: FxHashMap<Addr, usize>,
    ) -> (Self, Vec<FutureReferences>) {
        let mut graph = Self { tasks, targets: FxHashMap::default() };
        let mut references = Vec::new();
        let is_task = |tasks: &FxHashMap<Addr, usize>, addr| tasks.contains_key(&addr);
        let lists = walks.iter().filter_map(|walk| walk.wait.as_ref()).map(|wait| &wait.targets[..]);
        let mut frontier = Frontier::new(lists, |addr| is_task(&graph.tasks, addr));
        while let Some(mut round) = frontier.next_round() {
            let found = view.wave(&mut round, |view, addr| {
                let mut reader = Reader::new(view, layout, caches);
                let found = shared.runtimes.of(&mut reader, *addr)?.read_waited(&mut reader, *addr)?;
                // A task that is not among the listed ones is done, and nothing waits for it.
                let targets = |waited: Waited| if waited.is_task { Arc::default() } else { waited.wait.targets };
                Ok(found.map(|(waited, references)| (targets(waited), references)))
            });
            for (addr, found) in round.into_iter().zip(found) {
                let Some((targets, held)) = found.ok().flatten() else { continue };
                references.push(held);
                frontier.add(&targets, |addr| is_task(&graph.tasks, addr));
                graph.targets.insert(addr, targets);
            }
        }
        (graph, references)
    }
}

/// The objects that the coroutines of each task have entered with `async with`, if any task waits for a lock.
pub(super) fn read_all_entered(
    view: &mut View<'_>,
    layout: &Layout,
    caches: &mut Caches,
    shared: &mut Shared,
    walks: &[TaskWalk],
) -> Vec<Vec<Addr>> {
    if !walks.iter().any(|walk| walk.wait.as_ref().is_some_and(|wait| wait.lock.is_some())) {
        return vec![Vec::new(); walks.len()];
    }
    let mut items: Vec<usize> = (0..walks.len()).collect();
    let found = view.wave(&mut items, |view, index| {
        let mut reader = Reader::new(view, layout, caches);
        let mut entered = Vec::new();
        let runtime = shared.runtimes.of(&mut reader, walks[*index].addr)?;
        for level in walks[*index].chain.iter().flat_map(|chain| &chain.levels) {
            entered.extend(optional(runtime.read_entered(&mut reader, &level.frame))?.unwrap_or_default());
        }
        Ok::<_, ReadError>(entered)
    });
    found.into_iter().map(Result::unwrap_or_default).collect()
}
