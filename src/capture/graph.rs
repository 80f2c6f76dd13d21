//! The wait graph: for each task, all tasks that it waits for, through whatever futures are between. It must not know how
//! tasks are shown.

use rustc_hash::{FxHashMap, FxHashSet};

use super::task_walk::{Shared, TaskWalk};
use crate::model::wait::WaitDetail;
use crate::python::caches::Caches;
use crate::python::layout::Layout;
use crate::python::reader::{Reader, optional};
use crate::remote::{Addr, ReadError, View};
use crate::runtime::asyncio::callback::read_callbacks;
use crate::runtime::asyncio::lock::{find_locks, read_context_managers};
use crate::runtime::asyncio::ownership::{FutureReferences, LoopReferences, read_future_references};
use crate::runtime::asyncio::wait::{WaitKind, describe_future};

/// LIMIT: how deep futures are followed into each other (a gather of gathers of shields ...), in rounds.
const MAX_ROUNDS: usize = 1_000;

/// Futures between tasks: what each stands for.
#[derive(Default)]
pub(super) struct Between {
    targets: FxHashMap<Addr, Vec<Addr>>,
    /// References that these futures hold.
    pub(super) references: Vec<FutureReferences>,
}

/// Reads all futures that lie between tasks, outwards from what the tasks wait for.
pub(super) fn read_between(
    view: &mut View<'_>,
    layout: &Layout,
    caches: &mut Caches,
    shared: &mut Shared,
    walks: &[TaskWalk],
    tasks: &FxHashMap<Addr, usize>,
) -> Between {
    let mut between = Between::default();
    let waits = walks.iter().filter_map(|walk| walk.wait.as_ref());
    let mut open: FxHashSet<Addr> = waits.flat_map(|wait| wait.targets.iter().copied()).collect();
    open.retain(|target| !tasks.contains_key(target));
    for _ in 0..MAX_ROUNDS {
        if open.is_empty() {
            break;
        }
        let mut round: Vec<Addr> = open.drain().collect();
        round.sort_unstable();
        let found = view.wave(&mut round, |view, addr| {
            let mut reader = Reader::new(view, layout, caches);
            let Some(future) = shared.classes.read(&mut reader, *addr)? else { return Ok((Vec::new(), None)) };
            let callbacks = read_callbacks(&mut reader, &future.callbacks)?;
            let references = Some(read_future_references(&mut reader, &future, &callbacks)?);
            // A task that is not among ours is done, and stands for nothing that is waited for.
            if future.class.kind.is_task() {
                return Ok((Vec::new(), references));
            }
            Ok((describe_future(&mut reader, &mut shared.classes, &future, &callbacks)?.targets, references))
        });
        for (addr, found) in round.into_iter().zip(found) {
            let (targets, references) = found.unwrap_or_default();
            between.references.extend(references);
            between.targets.insert(addr, targets);
        }
        let next = between.targets.values().flatten();
        open = next.filter(|t| !tasks.contains_key(t) && !between.targets.contains_key(t)).copied().collect();
    }
    between
}

impl Between {
    /// The tasks that these targets stand for, each once, in the order met.
    pub(super) fn expand(&self, targets: &[Addr], tasks: &FxHashMap<Addr, usize>) -> Vec<usize> {
        let (mut found, mut seen) = (Vec::new(), FxHashSet::default());
        let mut open: Vec<Addr> = targets.iter().rev().copied().collect();
        while let Some(target) = open.pop() {
            if !seen.insert(target) {
                continue;
            }
            match tasks.get(&target) {
                Some(&task) => found.push(task),
                None => open.extend(self.targets.get(&target).into_iter().flatten().rev()),
            }
        }
        found
    }
}

/// For tasks in `as_completed` up to 3.12: what reports to the queue they wait at.
pub(super) fn complete_targets(walks: &mut [TaskWalk], references: &LoopReferences, tasks: &FxHashMap<Addr, usize>) {
    for walk in walks {
        let Some(wait) = &mut walk.wait else { continue };
        if let Some(queue) = wait.completions {
            wait.targets = references.reporting_to(queue).iter().filter(|f| tasks.contains_key(f)).copied().collect();
            let waiting = wait.targets.len();
            wait.detail = (waiting > 0).then_some(WaitDetail::NotDone(waiting));
        }
    }
}

/// The tasks that hold each lock somebody waits for, where that can be seen.
pub(super) fn find_lock_holders(
    view: &mut View<'_>,
    layout: &Layout,
    caches: &mut Caches,
    walks: &[TaskWalk],
) -> FxHashMap<Addr, Vec<usize>> {
    let mut holders: FxHashMap<Addr, Vec<usize>> = FxHashMap::default();
    let wanted: FxHashSet<Addr> = walks.iter().filter_map(|walk| walk.wait.as_ref()?.lock).collect();
    if wanted.is_empty() {
        return holders;
    }
    let mut conditions = FxHashMap::default();
    let mut items: Vec<usize> = (0..walks.len()).collect();
    let found = view.wave(&mut items, |view, index| {
        let mut reader = Reader::new(view, layout, caches);
        let mut held = Vec::new();
        for level in walks[*index].chain.iter().flat_map(|chain| &chain.levels) {
            let managers = optional(read_context_managers(&mut reader, &level.frame))?.unwrap_or_default();
            held.extend(find_locks(&mut reader, &managers, &wanted, &mut conditions)?);
        }
        Ok::<_, ReadError>(held)
    });
    for (index, held) in items.into_iter().zip(found) {
        // Entering `async with lock` has put the lock on the stack too; who waits for it does not hold it. Who waits for
        // a condition has given its lock back meanwhile.
        let wait = walks[index].wait.as_ref();
        let waits_for = wait.and_then(|wait| wait.lock);
        let gave_back = wait.is_some_and(|wait| wait.kind == WaitKind::Condition);
        for lock in held.unwrap_or_default() {
            let holders = holders.entry(lock).or_default();
            if waits_for != Some(lock) && !gave_back && !holders.contains(&index) {
                holders.push(index);
            }
        }
    }
    holders
}
