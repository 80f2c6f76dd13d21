//! References to tasks, by which orphans are found.

use std::time::Duration;

use rustc_hash::FxHashSet;

use super::task_walk::{Shared, TaskWalk, can_be_counted};
use super::witness::Witness;
use crate::python::caches::Caches;
use crate::python::layout::Layout;
use crate::python::reader::Reader;
use crate::remote::{Addr, Memory, ReadError, View};
use crate::runtime::references::{LoopReferences, count_other_references};

/// The futures that tasks wait for, each once, in order of address.
pub(super) fn waited_for(walks: &[TaskWalk]) -> Vec<Addr> {
    let mut futures: Vec<Addr> = walks.iter().filter_map(TaskWalk::waiter).collect();
    futures.sort_unstable();
    futures.dedup();
    futures
}

/// Strong references to each task, without those of the event loop and its own.
pub(super) fn count_references(
    view: &mut View<'_>,
    layout: &Layout,
    caches: &mut Caches,
    shared: &mut Shared,
    walks: &[TaskWalk],
    references: &LoopReferences,
) -> Vec<Option<i64>> {
    let mut items: Vec<usize> = (0..walks.len()).collect();
    let counted = view.wave(&mut items, |view, index| {
        let walk = &walks[*index];
        let (Some(record), Some(chain)) = (&walk.record, &walk.chain) else { return Ok(None) };
        if !can_be_counted(chain) {
            return Ok(None);
        }
        let Some(loop_side) = references.of(walk.addr) else { return Ok(None) };
        count_other_references(record, loop_side, || match walk.own_references {
            Some(own) => Ok(own),
            None => {
                let mut reader = Reader::new(view, layout, caches);
                shared.runtimes.of(&mut reader, walk.addr)?.count_own_references(&mut reader, record, &chain.levels)
            }
        })
    });
    counted.into_iter().map(|count| count.unwrap_or_default()).collect()
}

/// A task, the futures that refer to it and the ready queues are read one after the other, so a count that makes a task
/// an orphan is checked once more. For a task that changed in between the result is unknown. Returns the orphans that serve
/// a connection.
pub(super) fn confirm_orphans(
    memory: &dyn Memory,
    layout: &Layout,
    caches: &mut Caches,
    shared: &mut Shared,
    walks: &[TaskWalk],
    references: &mut [Option<i64>],
) -> FxHashSet<usize> {
    let mut suspects: Vec<usize> = (0..walks.len()).filter(|index| references[*index] == Some(0)).collect();
    let mut view = View::new(memory);
    let later = view.wave(&mut suspects, |view, index| {
        let (mut reader, walk) = (Reader::new(view, layout, caches), &walks[*index]);
        let runtime = shared.runtimes.of(&mut reader, walk.addr)?;
        let outermost = walk.chain.as_ref().and_then(|chain| chain.levels.first());
        let serves = match outermost.map(|level| runtime.serves_connection(&mut reader, &level.frame)) {
            Some(Err(ReadError::Pending)) => return Err(ReadError::Pending),
            Some(Ok(serves)) => serves,
            Some(Err(_)) | None => false,
        };
        Ok((runtime.read_task(&mut reader, walk.addr)?, serves))
    });
    let mut serving = FxHashSet::default();
    for (index, later) in suspects.into_iter().zip(later) {
        match (&walks[index].record, later) {
            (Some(record), Ok((later, serves))) if record.stood_still(&later) => {
                if serves {
                    serving.insert(index);
                }
            }
            _ => references[index] = None,
        }
    }
    serving
}

/// How long a failed task is given until somebody retrieves its exception. A task group does so in a callback, which runs in
/// the next iteration of the loop.
const PATIENCE: Duration = Duration::from_millis(30);

/// Forgets the exceptions that are retrieved meanwhile: a task can have failed in this very iteration of its loop.
pub(super) fn confirm_failures(
    memory: &dyn Memory,
    layout: &Layout,
    caches: &mut Caches,
    shared: &mut Shared,
    walks: &mut [TaskWalk],
    witness: &dyn Witness,
) {
    let has_failed = |walk: &TaskWalk| walk.record.as_ref().is_some_and(|record| record.has_unretrieved_exception());
    let mut suspects: Vec<usize> = (0..walks.len()).filter(|index| has_failed(&walks[*index])).collect();
    if suspects.is_empty() || !witness.is_live() {
        return;
    }
    std::thread::sleep(PATIENCE);
    let mut view = View::new(memory);
    let later = view.wave(&mut suspects, |view, index| {
        let (mut reader, addr) = (Reader::new(view, layout, caches), walks[*index].addr);
        shared.runtimes.of(&mut reader, addr)?.read_task(&mut reader, addr)
    });
    for (index, later) in suspects.into_iter().zip(later) {
        if !later.is_ok_and(|later| later.has_unretrieved_exception()) {
            walks[index].record = None;
        }
    }
}
