//! Interpreters and their threads: the lists that start at the runtime, the holder of the GIL, whether the collector
//! runs.

use super::cycle::CycleDetector;
use super::layout::{Gil, Layout};
use super::pthread::find_native_id;
use crate::remote::{Addr, ReadError, View};

/// LIMIT: interpreters of one process.
const MAX_INTERPRETERS: usize = 10_000;

/// LIMIT: Python threads of all interpreters together; the kernel's default for a process is about 32,000.
const MAX_THREADS: usize = 50_000;

/// One interpreter of the process.
#[derive(Clone, Debug)]
pub struct Interpreter {
    /// Its state.
    pub addr: Addr,
    /// 0 is the main one.
    pub id: i64,
    /// Its threads, oldest first.
    pub threads: Vec<PythonThread>,
    /// The interpreter runs with a GIL.
    pub has_gil: bool,
}

/// The GIL of an interpreter, and its collector, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GilState {
    /// The interpreter runs with a GIL.
    pub exists: bool,
    /// The thread state that holds it.
    pub holder: Option<Addr>,
    /// How often it has changed hands.
    switches: Option<u64>,
    /// Address of the note of its last holder.
    note: Option<u64>,
    /// A garbage collection is in progress.
    pub collecting: bool,
}

impl GilState {
    /// Whether a thread that sleeps on the futex at `word` waits for it.
    pub fn is_waited_for_at(&self, word: u64) -> bool {
        self.note.is_some_and(|note| Gil::has_lock_at(note, word))
    }
}

/// Reads the GIL of an interpreter.
pub fn read_gil_state(
    view: &mut View<'_>,
    layout: &Layout,
    runtime: Addr,
    interpreter: Addr,
) -> Result<GilState, ReadError> {
    let gc_base = if layout.gc.in_runtime { runtime } else { interpreter };
    let collecting = view.i32(gc_base, layout.gc.state + layout.gc.collecting)? != 0;
    let without = |exists| GilState { exists, holder: None, switches: None, note: None, collecting };
    let (base, locked, last_holder) = match layout.interp.gil {
        Gil::Runtime { locked, last_holder } => (runtime, locked, last_holder),
        Gil::Interpreter { pointer, locked, last_holder, enabled } => {
            let Some(gil) = view.pointer(interpreter, pointer)? else { return Ok(without(true)) };
            if let Some(enabled) = enabled
                && view.i32(gil, enabled)? == 0
            {
                return Ok(without(false));
            }
            (gil, locked, last_holder)
        }
    };
    // The last holder is kept when the lock is free. -1 means "not created yet".
    let holder = if view.i32(base, locked)? == 1 { view.pointer(base, last_holder)? } else { None };
    let switches = Some(view.u64(base, locked + Gil::SWITCHES)?);
    Ok(GilState { exists: true, holder, switches, note: base.add(last_holder).map(Addr::raw), collecting })
}

/// One thread state.
#[derive(Clone, Debug)]
pub struct PythonThread {
    /// Its state.
    pub addr: Addr,
    /// `pthread_self()`, the result of `threading.get_ident()`.
    pub pthread_id: u64,
    /// Kernel thread id in the target's PID namespace.
    pub native_id: Option<i32>,
    /// Free-threaded: attached to the interpreter, so running Python. 3.13+.
    pub attached: Option<bool>,
    /// Waiting for the GIL, 3.15+.
    pub wants_gil: Option<bool>,
}

/// Reads all interpreters from the list at the runtime. `kernel_threads` are the ids of the process's threads in its
/// own PID namespace.
pub fn read_interpreters(
    view: &mut View<'_>,
    layout: &Layout,
    runtime: Addr,
    kernel_threads: &[i32],
) -> Result<Vec<Interpreter>, ReadError> {
    let mut interpreters = Vec::new();
    for ThreadList { interpreter: addr, mut threads } in list_threads(view, layout, runtime)? {
        let gil = read_gil_state(view, layout, runtime, addr)?;
        // The list starts with the newest.
        threads.reverse();
        let threads = threads.into_iter().map(|thread| read_thread(view, layout, thread, kernel_threads));
        interpreters.push(Interpreter {
            addr,
            threads: threads.collect::<Result<_, _>>()?,
            id: view.i64(addr, layout.interp.id)?,
            has_gil: gil.exists,
        });
    }
    interpreters.sort_by_key(|interpreter| interpreter.id);
    Ok(interpreters)
}

/// The states of an interpreter and of its threads: only their addresses, nothing that changes while they run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadList {
    /// The interpreter's state.
    pub interpreter: Addr,
    /// Its threads' states, newest first.
    pub threads: Vec<Addr>,
}

/// Lists all interpreters and their threads.
pub fn list_threads(view: &mut View<'_>, layout: &Layout, runtime: Addr) -> Result<Vec<ThreadList>, ReadError> {
    let first = view.pointer(runtime, layout.runtime.interpreters_head)?;
    let next = |view: &mut View<'_>, addr| view.pointer(addr, layout.interp.next);
    let interpreters = follow(view, first, MAX_INTERPRETERS, "interpreters", next)?;
    let mut room = MAX_THREADS;
    let mut lists = Vec::with_capacity(interpreters.len());
    for interpreter in interpreters {
        let first = view.pointer(interpreter, layout.interp.threads_head)?;
        let threads = follow(view, first, room, "threads", |view, addr| {
            if view.u64(addr, layout.thread.interp)? != interpreter.raw() {
                return Err(ReadError::Invalid("thread state"));
            }
            view.pointer(addr, layout.thread.next)
        })?;
        room -= threads.len();
        lists.push(ThreadList { interpreter, threads });
    }
    Ok(lists)
}

/// Follows a linked list to its end; a list that leads back to itself is invalid.
fn follow(
    view: &mut View<'_>,
    first: Option<Addr>,
    limit: usize,
    what: &'static str,
    next: impl Fn(&mut View<'_>, Addr) -> Result<Option<Addr>, ReadError>,
) -> Result<Vec<Addr>, ReadError> {
    let (mut list, mut cycle, mut here) = (Vec::new(), CycleDetector::default(), first);
    while let Some(addr) = here {
        if cycle.is_repeat(addr) {
            return Err(ReadError::Invalid(what));
        }
        if list.len() >= limit {
            return Err(ReadError::Limit(what));
        }
        list.push(addr);
        here = next(view, addr)?;
    }
    Ok(list)
}

fn read_thread(
    view: &mut View<'_>,
    layout: &Layout,
    addr: Addr,
    kernel_threads: &[i32],
) -> Result<PythonThread, ReadError> {
    let fields = &layout.thread;
    let pthread_id = view.u64(addr, fields.pthread_id)?;
    let native_id = match fields.native_id {
        Some(at) => i32::try_from(view.u64(addr, at)?).ok().filter(|id| *id > 0),
        None => find_native_id(view, pthread_id, kernel_threads)?,
    };
    let attached = fields.state.map(|at| view.i32(addr, at)).transpose()?.map(|state| state == 1);
    let wants_gil = read_wants_gil(view, layout, addr)?;
    Ok(PythonThread { addr, pthread_id, native_id, attached, wants_gil })
}

/// Whether the thread at `addr` waits for the GIL; `None` where its state does not say so.
pub fn read_wants_gil(view: &mut View<'_>, layout: &Layout, addr: Addr) -> Result<Option<bool>, ReadError> {
    Ok(layout.thread.gil_requested.map(|at| view.i32(addr, at)).transpose()?.map(|wants| wants != 0))
}
