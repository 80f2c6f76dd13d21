//! Threads of a snapshot: each with its stack, its running event loop and the task whose step it runs, proved to belong
//! together.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::facts::{Activity, Facts, ThreadFacts};
use super::task_walk::TaskWalk;
use super::witness::{Look, Side, Witness};
use crate::model::snapshot::LoopPosition;
use crate::python::caches::Caches;
use crate::python::container::read_dict_items;
use crate::python::coroutine::ChainEnd;
use crate::python::frame::RawFrame;
use crate::python::greenlet::has_greenlets;
use crate::python::int::read_int;
use crate::python::interpreter::{GilState, Interpreter, PythonThread, read_gil_state, read_wants_gil};
use crate::python::layout::Layout;
use crate::python::reader::{Reader, optional};
use crate::python::stack::{ThreadStack, read_thread_stack};
use crate::remote::{Addr, Memory, ReadError, View};
use crate::runtime::interface::Imported;

/// LIMIT: how many times a thread is read again if it ran while it was read. A healthy loop that is busy half of the time
/// changes between work and sleep every few milliseconds; a reading takes a fraction of one.
const ATTEMPTS: u32 = 6;

/// LIMIT: threads that are read again only because the kernel's word did not fit; in a process with more of them the
/// state of some is unknown.
const MAX_AGAIN: usize = 64;

/// A thread as it was read.
#[derive(Clone, Debug)]
pub(super) struct ThreadReading {
    pub(super) python: PythonThread,
    pub(super) stack: ThreadStack,
    pub(super) running_loop: Option<Addr>,
    pub(super) running_task: Option<Addr>,
    /// The running task was the same before and after the stack was read.
    pub(super) held: bool,
    /// What the kernel says it did all the while; `None` where it ran in between.
    pub(super) look: Option<Look>,
    /// The GIL at the end of the reading.
    pub(super) gil: Option<GilState>,
    /// It did not change hands all the while.
    pub(super) gil_stayed: bool,
    /// The attempt in which it was read.
    attempt: u32,
}

impl ThreadReading {
    /// It was shown to wait for the GIL.
    pub(super) fn waits_for_gil(&self) -> bool {
        let (Some(look), Some(gil)) = (&self.look, self.gil.filter(|gil| gil.exists)) else { return false };
        let is_gils = |word: u64| gil.is_waited_for_at(word);
        look.activity != Activity::Running && (self.python.wants_gil == Some(true) || look.futex.is_some_and(is_gils))
    }

    /// Whether `holder` held the GIL all the while this thread was shown to wait for it, and both were read together.
    pub(super) fn waits_behind(&self, holder: &Self) -> bool {
        let together = self.attempt == holder.attempt && self.gil == holder.gil && self.gil_stayed;
        together && self.waits_for_gil() && self.gil.is_some_and(|gil| gil.holder == Some(holder.python.addr))
    }

    /// Whether nothing about it is left to be found out by another attempt.
    fn is_settled(&self, has_kernel: bool) -> bool {
        self.held && (self.look.is_some() || !has_kernel)
    }
}

/// Where the threads of an interpreter are read from.
#[derive(Clone, Copy)]
pub(super) struct Source<'s> {
    pub(super) memory: &'s dyn Memory,
    pub(super) layout: &'s Layout,
    pub(super) runtime: Addr,
    pub(super) facts: &'s Facts,
    pub(super) interpreter: &'s Interpreter,
    pub(super) runtimes: &'s [Arc<dyn Imported>],
}

/// A thread and its interpreter.
pub(super) struct CapturedThread {
    /// Index in `interpreters`.
    pub(super) interpreter: usize,
    pub(super) reading: ThreadReading,
    /// Its frames, outermost first: the number, and the generator that owns the frame.
    pub(super) frames: Vec<(u32, Option<Addr>)>,
    /// The same frames, raw; that of the coroutine for its step to a greenlet.
    pub(super) raw: Vec<RawFrame>,
    /// How the loop set as running in it stands to these frames.
    pub(super) position: Option<LoopPosition>,
}

/// The running loop and running task of each thread, at one reading.
type Running = FxHashMap<Addr, (Option<Addr>, Option<Addr>)>;

/// Reads all threads of an interpreter: what memory shows between two looks at what the kernel says.
pub(super) fn read_threads(
    source: Source<'_>,
    caches: &mut Caches,
    witness: &dyn Witness,
) -> Result<Vec<ThreadReading>, ReadError> {
    let threads = &source.interpreter.threads;
    let mut open: Vec<&PythonThread> = threads.iter().collect();
    let mut done: FxHashMap<Addr, ThreadReading> = FxHashMap::default();
    for attempt in 0..ATTEMPTS {
        let readings = read_once(source, caches, witness, &open, attempt)?;
        let mut again: Vec<&PythonThread> = Vec::new();
        let mut holder = None;
        for (thread, reading) in open.into_iter().zip(readings) {
            let has_kernel = source.kernel(thread).is_some();
            let settled = reading.is_settled(has_kernel);
            if !settled && (!reading.held || again.len() < MAX_AGAIN) {
                log::info!("thread {:?} ran while it was read", thread.native_id);
                again.push(thread);
            }
            holder = holder.or(reading.gil.and_then(|gil| gil.holder));
            // The holder of the GIL is read again for the sake of others: what was known of it stays known.
            let known = done.get(&thread.addr).is_some_and(|known| known.is_settled(has_kernel));
            if settled || !known {
                done.insert(thread.addr, reading);
            }
        }
        if again.is_empty() {
            break;
        }
        if let Some(holder) = threads.iter().find(|thread| Some(thread.addr) == holder)
            && !again.iter().any(|thread| thread.addr == holder.addr)
        {
            again.push(holder);
        }
        open = again;
    }
    Ok(threads.iter().filter_map(|thread| done.remove(&thread.addr)).collect())
}

impl<'s> Source<'s> {
    fn kernel(&self, thread: &PythonThread) -> Option<&'s ThreadFacts> {
        self.facts.thread(thread.native_id?)
    }

    fn look(&self, witness: &dyn Witness, threads: &[&PythonThread], side: Side) -> Vec<Option<Look>> {
        threads.iter().map(|thread| Some(witness.look(self.kernel(thread)?, side))).collect()
    }

    fn gil(&self) -> Result<Option<GilState>, ReadError> {
        let mut view = View::new(self.memory);
        optional(read_gil_state(&mut view, self.layout, self.runtime, self.interpreter.addr))
    }
}

/// Reads threads once, in an order that shows which of them did not run meanwhile.
fn read_once(
    source: Source<'_>,
    caches: &mut Caches,
    witness: &dyn Witness,
    open: &[&PythonThread],
    attempt: u32,
) -> Result<Vec<ThreadReading>, ReadError> {
    let Source { memory, layout, interpreter, .. } = source;
    let mut view = View::new(memory);
    let has_greenlets = has_greenlets(&mut Reader::new(&mut view, layout, caches), interpreter.addr)?;
    let looks = source.look(witness, open, Side::Before);
    let mut gil = source.gil()?;
    let before = read_running(source, caches, open)?;
    let mut stacks = Vec::with_capacity(open.len());
    for thread in open {
        let stack = optional(read_thread_stack(memory, layout, thread.addr, has_greenlets))?.unwrap_or_default();
        let wants_gil = optional(read_wants_gil(&mut View::new(memory), layout, thread.addr))?.flatten();
        stacks.push((stack, wants_gil));
    }
    let after = read_running(source, caches, open)?;
    let gil_before = std::mem::replace(&mut gil, source.gil()?);
    let gil_stayed = gil_before == gil;
    let later = source.look(witness, open, Side::After);
    let looks = looks.into_iter().zip(later).map(|(before, after)| before?.until(&after?));
    let readings = open.iter().zip(stacks).zip(looks).map(|((thread, (stack, wants_gil)), look)| {
        let held = before.get(&thread.addr) == after.get(&thread.addr);
        let (running_loop, running_task) = after.get(&thread.addr).copied().unwrap_or_default();
        if !stack.complete {
            log::info!("thread {:?}: its stack is incomplete, it changed while it was read", thread.native_id);
        }
        let torn = stack.torn + attempt;
        ThreadReading {
            python: PythonThread { wants_gil, ..(*thread).clone() },
            stack: ThreadStack { torn, ..stack },
            running_loop,
            running_task: running_task.filter(|_| held),
            held,
            look,
            gil,
            gil_stayed,
            attempt,
        }
    });
    Ok(readings.collect())
}

fn read_running(source: Source<'_>, caches: &mut Caches, threads: &[&PythonThread]) -> Result<Running, ReadError> {
    let Source { memory, layout, runtimes, facts: Facts { own_pid, .. }, .. } = source;
    let mut view = View::new(memory);
    let mut reader = Reader::new(&mut view, layout, caches);
    let mut running = Running::default();
    for runtime in runtimes {
        let current = optional(runtime.read_current_tasks(&mut reader))?.unwrap_or_default();
        for thread in threads {
            let event_loop = optional(runtime.read_running_loop(&mut reader, thread, *own_pid))?.flatten();
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

/// Whether threads are daemons, by `threading.get_ident()`.
// CPython: Lib/threading.py, Thread._daemonic, 3.8 to 3.15.
pub(super) fn read_daemons(
    reader: &mut Reader<'_, '_>,
    interpreter: &Interpreter,
) -> Result<FxHashMap<u64, bool>, ReadError> {
    let mut daemons = FxHashMap::default();
    let Some(threading) = optional(reader.module(interpreter.addr, "threading"))?.flatten() else { return Ok(daemons) };
    let Some(active) = optional(reader.global(threading, "_active"))?.flatten() else { return Ok(daemons) };
    let items = optional(read_dict_items(reader.view, reader.layout, active))?.unwrap_or_default();
    for (ident, thread) in items {
        let ident = optional(read_int(reader.view, reader.layout, ident))?.and_then(|ident| u64::try_from(ident).ok());
        // A bool is an int.
        let daemonic = optional(reader.int_attribute(thread, "_daemonic"))?.flatten();
        if let (Some(ident), Some(daemonic)) = (ident, daemonic) {
            daemons.insert(ident, daemonic != 0);
        }
    }
    Ok(daemons)
}

/// A task whose chain shows it running although it is on no thread's stack, or the other way round: it was read at
/// another moment than the threads.
pub(super) fn is_running_elsewhere(walk: &TaskWalk, threads: &[CapturedThread]) -> bool {
    let Some(chain) = &walk.chain else { return false };
    let is_current = threads.iter().any(|thread| thread.reading.running_task == Some(walk.addr));
    if chain.end != ChainEnd::Running {
        return is_current;
    }
    let root = walk.record.as_ref().and_then(|record| record.coroutine);
    !threads.iter().any(|thread| thread.frames.iter().any(|(_, generator)| generator.is_some() && *generator == root))
}
