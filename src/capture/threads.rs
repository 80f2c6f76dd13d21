//! Threads of a snapshot: each with its stack, its running event loop and the task whose step it runs, proved to belong
//! together.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::python::caches::Caches;
use crate::python::container::read_dict_items;
use crate::python::greenlet::has_greenlets;
use crate::python::int::read_int;
use crate::python::interpreter::{Interpreter, PythonThread};
use crate::python::layout::Layout;
use crate::python::reader::{Reader, optional};
use crate::python::stack::{ThreadStack, read_thread_stack};
use crate::remote::{Addr, Memory, ReadError, View};
use crate::runtime::interface::Imported;

/// LIMIT: how many times a thread is read again if its running task changed during the reading.
const ATTEMPTS: u32 = 4;

/// A thread as it was read.
#[derive(Clone, Debug)]
pub(crate) struct ThreadReading {
    pub(crate) python: PythonThread,
    pub(crate) stack: ThreadStack,
    pub(crate) running_loop: Option<Addr>,
    pub(crate) running_task: Option<Addr>,
    /// The running task was the same before and after the stack was read.
    pub(crate) held: bool,
}

/// The running loop and running task of each thread, at one reading.
type Running = FxHashMap<Addr, (Option<Addr>, Option<Addr>)>;

/// Reads all threads of an interpreter.
pub(crate) fn read_threads(
    memory: &dyn Memory,
    layout: &Layout,
    caches: &mut Caches,
    interpreter: &Interpreter,
    runtimes: &[Arc<dyn Imported>],
    own_pid: Option<i32>,
) -> Result<Vec<ThreadReading>, ReadError> {
    let has_greenlets = has_greenlets(&mut Reader::new(&mut View::new(memory), layout, caches), interpreter.addr)?;
    let mut open: Vec<&PythonThread> = interpreter.threads.iter().collect();
    let mut done: FxHashMap<Addr, ThreadReading> = FxHashMap::default();
    for attempt in 0..ATTEMPTS {
        let before = read_running(memory, layout, caches, &open, runtimes, own_pid)?;
        let mut stacks = Vec::with_capacity(open.len());
        for thread in &open {
            stacks.push(optional(read_thread_stack(memory, layout, thread.addr, has_greenlets))?.unwrap_or_default());
        }
        let after = read_running(memory, layout, caches, &open, runtimes, own_pid)?;
        let mut moved = Vec::new();
        for (thread, stack) in open.into_iter().zip(stacks) {
            let held = before.get(&thread.addr) == after.get(&thread.addr);
            if !held {
                log::info!("thread {:?}: its running task changed while its stack was read", thread.native_id);
                moved.push(thread);
            }
            let (running_loop, running_task) = after.get(&thread.addr).copied().unwrap_or_default();
            if !stack.complete {
                log::info!("thread {:?}: its stack is incomplete, it changed while it was read", thread.native_id);
            }
            let torn = stack.torn + attempt;
            let reading = ThreadReading {
                python: thread.clone(),
                stack: ThreadStack { torn, ..stack },
                running_loop,
                running_task: running_task.filter(|_| held),
                held,
            };
            done.insert(thread.addr, reading);
        }
        open = moved;
        if open.is_empty() {
            break;
        }
    }
    Ok(interpreter.threads.iter().filter_map(|thread| done.remove(&thread.addr)).collect())
}

fn read_running(
    memory: &dyn Memory,
    layout: &Layout,
    caches: &mut Caches,
    threads: &[&PythonThread],
    runtimes: &[Arc<dyn Imported>],
    own_pid: Option<i32>,
) -> Result<Running, ReadError> {
    let mut view = View::new(memory);
    let mut reader = Reader::new(&mut view, layout, caches);
    let mut running = Running::default();
    for runtime in runtimes {
        let current = optional(runtime.read_current_tasks(&mut reader))?.unwrap_or_default();
        for thread in threads {
            let event_loop = optional(runtime.read_running_loop(&mut reader, thread, own_pid))?.flatten();
            let task = optional(runtime.read_running_task(&mut reader, thread, event_loop, &current))?.flatten();
            let (known_loop, known_task) = running.entry(thread.addr).or_default();
            (*known_loop, *known_task) = (known_loop.or(event_loop), known_task.or(task));
        }
    }
    Ok(running)
}

/// Names of threads by `threading.get_ident()`.
// CPython: Lib/threading.py, _active.
pub(crate) fn read_thread_names(
    reader: &mut Reader<'_, '_>,
    interpreter: &Interpreter,
) -> Result<FxHashMap<u64, String>, ReadError> {
    let mut names = FxHashMap::default();
    let Some(threading) = optional(reader.module(interpreter.addr, "threading"))?.flatten() else { return Ok(names) };
    let Some(active) = optional(reader.global(threading, "_active"))?.flatten() else { return Ok(names) };
    let items = optional(read_dict_items(reader.view, reader.layout, active))?.unwrap_or_default();
    for (ident, thread) in items {
        let ident = optional(read_int(reader.view, reader.layout, ident))?.and_then(|ident| u64::try_from(ident).ok());
        let name = optional(reader.str_attribute(thread, "_name"))?.flatten();
        if let (Some(ident), Some(name)) = (ident, name) {
            names.insert(ident, name);
        }
    }
    Ok(names)
}
