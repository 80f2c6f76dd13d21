//! What ends and waits for others to end first: the interpreter, a pool of threads, or the run of an event loop.

use rustc_hash::{FxHashMap, FxHashSet};

use super::cancelled::find_cancelled;
use super::task_walk::{Shared, TaskWalk};
use super::threads::{CapturedThread, read_daemons};
use crate::model::snapshot::Cancellation;
use crate::python::interpreter::Interpreter;
use crate::python::reader::Reader;
use crate::remote::{Addr, ReadError};

/// What has been told to end.
#[derive(Debug, Default)]
pub(super) struct Endings {
    /// Requests to cancel after which tasks wait on, by index of the task.
    pub(super) cancelled: FxHashMap<usize, Cancellation>,
    /// The loops whose run is at its end.
    pub(super) loops: FxHashSet<Addr>,
    /// Which threads are daemons, by `threading.get_ident()`; only where the interpreter waits for the others.
    pub(super) daemons: FxHashMap<u64, bool>,
}

impl Endings {
    pub(super) fn read(
        reader: &mut Reader<'_, '_>,
        shared: &Shared,
        interpreters: &[Interpreter],
        walks: &[TaskWalk],
        threads: &[CapturedThread],
    ) -> Result<Self, ReadError> {
        let mut daemons = FxHashMap::default();
        for (at, interpreter) in interpreters.iter().enumerate() {
            if threads.iter().any(|thread| thread.interpreter == at && ends_interpreter(shared, thread)) {
                daemons.extend(read_daemons(reader, interpreter)?);
            }
        }
        let loops = closing_loops(shared, walks, threads);
        Ok(Self { cancelled: find_cancelled(reader.view, reader.layout, reader.caches, walks)?, loops, daemons })
    }

    /// The tasks that may wait although they were told to end.
    pub(super) fn tasks(&self, walks: &[TaskWalk]) -> Vec<usize> {
        let closes = |walk: &TaskWalk| {
            let record = walk.record.as_ref().filter(|record| record.is_pending() && record.waiter.is_some());
            record.and_then(|record| record.future.event_loop).is_some_and(|of| self.loops.contains(&of))
        };
        let told = |task: &usize| self.cancelled.contains_key(task) || closes(&walks[*task]);
        (0..walks.len()).filter(told).collect()
    }
}

/// Whether a thread waits for the others before the interpreter ends.
// CPython: Lib/threading.py, _shutdown; Lib/concurrent/futures/thread.py, _python_exit (3.8: without _shutdown); 3.8 to 3.15.
pub(super) fn ends_interpreter(shared: &Shared, thread: &CapturedThread) -> bool {
    let outermost = thread.frames.first().and_then(|(number, _)| shared.frames.get(*number));
    outermost.is_some_and(|frame| {
        (&*frame.function == "_shutdown" && frame.file.ends_with("/threading.py"))
            || (&*frame.function == "_python_exit" && frame.file.ends_with("concurrent/futures/thread.py"))
    })
}

/// Whether a thread joins the workers of all pools.
pub(super) fn ends_pools(shared: &Shared, thread: &CapturedThread) -> bool {
    let frames = thread.frames.iter().filter_map(|(number, _)| shared.frames.get(*number));
    let mut frames = frames;
    frames.any(|frame| &*frame.function == "_python_exit" && frame.file.ends_with("concurrent/futures/thread.py"))
}

/// The loops whose run is at its end: asyncio has cancelled the tasks that were left, or closes asynchronous generators.
// CPython: Lib/asyncio/runners.py, _cancel_all_tasks; Lib/asyncio/base_events.py, shutdown_asyncgens; 3.8 to 3.15.
fn closing_loops(shared: &Shared, walks: &[TaskWalk], threads: &[CapturedThread]) -> FxHashSet<Addr> {
    let name_of =
        |number: u32| shared.frames.get(number).map(|frame| frame.function.rsplit('.').next().unwrap_or_default());
    let cancels = |thread: &&CapturedThread| {
        thread.frames.iter().any(|(number, _)| name_of(*number) == Some("_cancel_all_tasks"))
    };
    let closes =
        |walk: &&TaskWalk| walk.frames.first().is_some_and(|number| name_of(*number) == Some("shutdown_asyncgens"));
    let of_threads = threads.iter().filter(cancels).filter_map(|thread| thread.reading.running_loop);
    let of_tasks = walks.iter().filter(closes).filter_map(|walk| walk.record.as_ref()?.future.event_loop);
    of_threads.chain(of_tasks).collect()
}
