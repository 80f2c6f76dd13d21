//! Event loops: finds them, the thread that runs each, and the contents of their queues.

use super::callback::{Callback, read_callback};
use super::layout::RunningLoop;
use super::registry::{AsyncioModules, list_tasks};
use crate::python::container::{read_deque, read_deque_len, read_dict_items};
use crate::python::interpreter::PythonThread;
use crate::python::reader::{Reader, optional};
use crate::remote::{Addr, ReadError};
use crate::runtime::interface::{Imported, ThreadWords};
use crate::runtime::record::{LoopRecord, TaskList};

/// LIMIT: handles of a ready queue that are inspected. The length of the queue is always exact.
const MAX_HANDLES: usize = 200_000;

/// Loops written in C are searched this far for their ready queue, in bytes. uvloop 0.21 to 0.23 have it at 96.
const SEARCHED: u64 = 512;

/// LIMIT: bytes of a handle written in C that are searched.
const MAX_HANDLE: u64 = 512;

/// Key of the running loop in a thread's dict, up to 3.12. CPython: Modules/_asynciomodule.c.
const RUNNING_LOOP_KEY: &str = "__asyncio_running_event_loop__";

impl Imported for AsyncioModules {
    fn list_tasks(
        &self,
        reader: &mut Reader<'_, '_>,
        interpreter: Addr,
        threads: &[Addr],
        list: &mut TaskList,
    ) -> Result<(), ReadError> {
        list_tasks(reader, interpreter, threads, *self, list)
    }

    fn thread_words(&self) -> ThreadWords {
        ThreadWords { running_loop: self.layout.running_loop.field(), running_task: self.layout.running_task }
    }

    fn read_running_loop(
        &self,
        reader: &mut Reader<'_, '_>,
        thread: &PythonThread,
        pid: Option<i32>,
    ) -> Result<Option<Addr>, ReadError> {
        if let Some(at) = self.layout.running_loop.field() {
            return reader.field(thread.addr, at);
        }
        let Some(dict) = reader.view.pointer(thread.addr, reader.layout.thread.dict)? else { return Ok(None) };
        let Some(noted) = reader.key(dict, RUNNING_LOOP_KEY)? else { return Ok(None) };
        match self.layout.running_loop {
            RunningLoop::Holder { event_loop, pid: pid_at } => {
                // A forked child inherits its parent's entry, which is valid only in the process that wrote it.
                let owner = reader.view.i32(noted, pid_at)?;
                if pid.is_some_and(|pid| pid != owner) { Ok(None) } else { reader.field(noted, event_loop) }
            }
            _ => reader.not_none(noted),
        }
    }

    // CPython: Lib/asyncio/tasks.py: one dict up to 3.13; from 3.14 on that of the tasks that are written in Python.
    fn read_current_tasks(&self, reader: &mut Reader<'_, '_>) -> Result<Vec<(Addr, Addr)>, ReadError> {
        match reader.global(self.tasks, "_current_tasks")? {
            Some(dict) => read_dict_items(reader.view, reader.layout, dict),
            _ => Ok(Vec::new()),
        }
    }

    // From 3.14 on it is in the thread state.
    fn read_running_task(
        &self,
        reader: &mut Reader<'_, '_>,
        thread: &PythonThread,
        event_loop: Option<Addr>,
        current: &[(Addr, Addr)],
    ) -> Result<Option<Addr>, ReadError> {
        let noted = match self.layout.running_task {
            Some(at) => reader.view.pointer(thread.addr, at)?,
            None => None,
        };
        Ok(noted.or_else(|| current.iter().find(|(key, _)| Some(*key) == event_loop).map(|(_, task)| *task)))
    }
}

/// Qualified class name of a loop.
pub fn read_loop_class(reader: &mut Reader<'_, '_>, addr: Addr) -> Result<String, ReadError> {
    let ty = reader.view.object(addr, reader.layout.object.ob_type)?;
    reader.caches.types.qualified_name(reader.view, reader.layout, ty)
}

/// The address of the length of a loop's ready queue, an i64.
pub fn find_ready_length(reader: &mut Reader<'_, '_>, addr: Addr) -> Result<Option<Addr>, ReadError> {
    Ok(ready_queue(reader, addr)?.and_then(|queue| queue.add(reader.layout.object.size)))
}

fn ready_queue(reader: &mut Reader<'_, '_>, addr: Addr) -> Result<Option<Addr>, ReadError> {
    match optional(reader.attribute(addr, "_ready"))?.flatten() {
        Some(queue) => Ok(Some(queue)),
        None => find_ready_queue(reader, addr),
    }
}

/// Reads the event loop at `addr`.
pub fn read_loop(reader: &mut Reader<'_, '_>, addr: Addr) -> Result<LoopRecord, ReadError> {
    let class_name = read_loop_class(reader, addr)?;
    let queue = ready_queue(reader, addr)?;
    let (mut ready, mut handles) = (None, Vec::new());
    if let Some(queue) = queue {
        ready = optional(read_deque_len(reader.view, reader.layout, queue))?;
        // The queue changes all the time; unreadable handles are just left out.
        handles = optional(read_deque(reader.view, reader.layout, queue))?.unwrap_or_default();
        handles.truncate(MAX_HANDLES);
    }
    let scheduled = match optional(reader.attribute(addr, "_scheduled"))?.flatten() {
        Some(list) => optional(reader.view.i64(list, reader.layout.object.size))?,
        None => None,
    };
    let closed = optional(reader.int_attribute(addr, "_closed"))?.flatten().map(|closed| closed != 0);
    Ok(LoopRecord {
        addr,
        class_name,
        ready,
        scheduled: scheduled.and_then(|count| usize::try_from(count).ok()),
        handles,
        closed,
    })
}

/// The ready queue of a loop whose fields have no names: the only deque that its first bytes point to. One written in
/// Python has none there, and what follows it is not its own.
fn find_ready_queue(reader: &mut Reader<'_, '_>, addr: Addr) -> Result<Option<Addr>, ReadError> {
    let mut found = None;
    let size = reader.type_of(addr)?.basicsize.unsigned_abs().min(SEARCHED);
    for at in (reader.layout.object.size..size).step_by(8) {
        let Some(object) = Addr::aligned(reader.view.u64(addr, at)?) else { continue };
        if optional(reader.type_of(object))?.is_some_and(|ty| ty.name == "collections.deque") {
            if found.is_some_and(|known| known != object) {
                return Ok(None);
            }
            found = Some(object);
        }
    }
    Ok(found)
}

/// The task that a handle in a ready queue steps or wakes.
pub fn read_handle_task(reader: &mut Reader<'_, '_>, handle: Addr) -> Result<Option<Addr>, ReadError> {
    let ty = reader.view.object(handle, reader.layout.object.ob_type)?;
    let caches = &mut *reader.caches;
    let slot = caches.attributes.member_offset(reader.view, reader.layout, &mut caches.types, ty, "_callback")?;
    if let Some(at) = slot {
        return match reader.view.pointer(handle, at)? {
            Some(callback) => wakes(reader, callback),
            None => Ok(None),
        };
    }
    // A handle written in C: search it for an object that wakes a task.
    let size = reader.type_of(handle)?.basicsize.unsigned_abs().min(MAX_HANDLE);
    for at in (reader.layout.object.size..size).step_by(8) {
        let Some(object) = Addr::aligned(reader.view.u64(handle, at)?) else { continue };
        if let Some(task) = optional(wakes(reader, object))?.flatten() {
            return Ok(Some(task));
        }
    }
    Ok(None)
}

fn wakes(reader: &mut Reader<'_, '_>, callback: Addr) -> Result<Option<Addr>, ReadError> {
    Ok(match read_callback(reader, callback)? {
        Callback::Wakes(task) => Some(task),
        _ => None,
    })
}
