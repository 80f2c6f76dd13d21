//! A lock of `threading` that a suspended task holds, while the thread of an event loop waits for it: `with lock:` around an
//! `await`.

use rustc_hash::FxHashMap;

use super::task_walk::TaskWalk;
use super::threads::CapturedThread;
use crate::python::caches::Caches;
use crate::python::layout::Layout;
use crate::python::reader::{Reader, optional};
use crate::python::thread_lock::{AwaitedBy, read_awaited_by, read_held_locks};
use crate::remote::{Addr, ReadError, View};

/// The task that holds what the thread of a loop waits for, by index of the thread.
pub(super) fn find_lock_holders(
    view: &mut View<'_>,
    layout: &Layout,
    caches: &mut Caches,
    walks: &[TaskWalk],
    threads: &[CapturedThread],
) -> Result<FxHashMap<usize, Addr>, ReadError> {
    let futex = |thread: &CapturedThread| {
        thread.reading.look.as_ref().and_then(|look| look.futex).filter(|_| !thread.reading.waits_for_gil())
    };
    let waiting: Vec<(usize, u64)> =
        threads.iter().enumerate().filter_map(|(at, thread)| Some((at, futex(thread)?))).collect();
    let mut holders = FxHashMap::default();
    if !waiting.iter().any(|(at, _)| threads[*at].reading.running_loop.is_some()) {
        return Ok(holders);
    }
    let mut items: Vec<usize> = (0..walks.len()).collect();
    let held = view.wave(&mut items, |view, index| {
        let (mut reader, mut held) = (Reader::new(view, layout, caches), Vec::new());
        for level in walks[*index].chain.iter().flat_map(|chain| &chain.levels) {
            for lock in optional(read_held_locks(&mut reader, &level.frame))?.unwrap_or_default() {
                held.push(read_awaited_by(&mut reader, lock)?);
            }
        }
        Ok::<_, ReadError>(held)
    });
    for (walk, held) in walks.iter().zip(held) {
        for awaited_by in held.unwrap_or_default() {
            let thread = match (awaited_by, &waiting[..]) {
                (AwaitedBy::Futex(addr), waiting) => waiting.iter().find(|(_, futex)| *futex == addr),
                // With several threads that wait for something, it is not known which one waits for this lock.
                (AwaitedBy::Some, [thread]) => Some(thread),
                (AwaitedBy::Some | AwaitedBy::None, _) => None,
            };
            if let Some((thread, _)) = thread {
                holders.insert(*thread, walk.addr);
            }
        }
    }
    Ok(holders)
}
