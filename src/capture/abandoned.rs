//! Locks that are taken although no living task has taken them: whoever did has ended without giving them back.
//!
//! asyncio does not record who holds a lock. Inside `async with` the task has it on its stack; who calls `acquire()` calls
//! `release()` later, or a function of the program that does. So every living task is searched for these names, and a single
//! one that may hold the lock makes it unknown. Only if none may, all functions of the process are looked through for those
//! that take or give back something themselves, and the tasks are searched again for their names.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::task_walk::{Shared, TaskWalk};
use crate::model::origin::{Origin, origin_of};
use crate::python::caches::Caches;
use crate::python::container::{read_deque, read_dict_items, read_tuple};
use crate::python::coroutine::ChainEnd;
use crate::python::frame::{RawFrame, untag};
use crate::python::gc::walk_collected;
use crate::python::layout::Layout;
use crate::python::reader::{Reader, optional};
use crate::python::types::TypeInfo;
use crate::remote::{Addr, Memory, ReadError, View};
use crate::runtime::asyncio::callback::{Callback, read_callback};
use crate::runtime::record::LoopRecord;
use crate::runtime::wait::WaitKind;

/// What takes a lock other than by `async with`, and what gives it back.
const BY_HAND: [&str; 2] = ["acquire", "release"];

/// What starts a coroutine as a task of its own: who uses it beside the name of a coroutine function need not await that.
const STARTS_TASKS: [&str; 6] =
    ["create_task", "ensure_future", "gather", "start_soon", "run_coroutine_threadsafe", "as_completed"];

/// `co_flags` of a coroutine function. CPython: Include/cpython/code.h, v3.12.1: CO_COROUTINE.
const COROUTINE: u32 = 0x80;

/// LIMIT: slots of one frame that are searched; a frame with more is not known to hold nothing.
const MAX_SLOTS: u32 = 1_000;

/// LIMIT: timers of a loop that are searched; with more it is not known that none gives the lock back.
const MAX_TIMERS: usize = 1_000;

/// LIMIT: bases of a class that are searched; a class with more is not known to have no such method.
const MAX_BASES: usize = 16;

/// Classes of asyncio whose objects hold no lock of others; programs have classes of the same names that do.
const HARMLESS: &[&str] =
    &["Lock", "Semaphore", "BoundedSemaphore", "Event", "Condition", "Queue", "TaskGroup", "Timeout"];

/// Locks that are wanted and taken, and on no task's stack.
pub(super) fn suspects(walks: &[TaskWalk], entered: &[Vec<Addr>]) -> Vec<Addr> {
    let mut suspects: FxHashSet<Addr> = FxHashSet::default();
    let mut wanted: FxHashMap<usize, Addr> = FxHashMap::default();
    for (at, walk) in walks.iter().enumerate() {
        let Some(wait) = walk.wait.as_ref().filter(|_| walk.waiter().is_some()) else { continue };
        let Some(lock) = wait.lock else { continue };
        wanted.insert(at, lock);
        let is_taken = wait.resource.is_some_and(|resource| resource.free == Some(0));
        if wait.kind == WaitKind::Lock && wait.holders.is_empty() && is_taken {
            suspects.insert(lock);
        }
    }
    for (at, entered) in entered.iter().enumerate() {
        let mut not_acquired = wanted.get(&at).copied();
        for lock in entered {
            if not_acquired == Some(*lock) {
                not_acquired = None;
            } else {
                suspects.remove(lock);
            }
        }
    }
    let mut suspects: Vec<Addr> = suspects.into_iter().collect();
    suspects.sort_unstable();
    suspects
}

/// Where the search looks.
pub(super) struct Living<'l> {
    pub(super) walks: &'l [TaskWalk],
    pub(super) loops: &'l [LoopRecord],
    /// Address of the runtime, and of each interpreter.
    pub(super) runtime: Addr,
    pub(super) interpreters: &'l [Addr],
}

/// Those of the suspects that no living task may hold.
pub(super) fn search(
    view: &mut View<'_>,
    layout: &Layout,
    caches: &mut Caches,
    shared: &mut Shared,
    living: &Living<'_>,
    suspects: &[Addr],
) -> Result<Vec<Addr>, ReadError> {
    let found = Search::new(Giving::by_hand()).keep_lost(view, layout, caches, shared, living, suspects.to_vec())?;
    if found.is_empty() {
        return Ok(found);
    }
    let mut reader = Reader::new(view, layout, caches);
    let Some(helpers) = find_helpers(&mut reader, living)? else { return Ok(Vec::new()) };
    Search::new(helpers).keep_lost(view, layout, caches, shared, living, found)
}

/// Names of functions that take locks or give them back.
#[derive(Default)]
struct Giving {
    functions: FxHashSet<Arc<str>>,
    /// Coroutine functions: they do it in the task that awaits them.
    coroutines: FxHashSet<Arc<str>>,
}

impl Giving {
    fn by_hand() -> Self {
        Self { functions: BY_HAND.into_iter().map(Arc::from).collect(), ..Self::default() }
    }

    /// Whether code that uses these names may do it.
    fn is_done_by(&self, names: &[Arc<str>]) -> bool {
        let awaits = || !names.iter().any(|name| STARTS_TASKS.contains(&&**name));
        names.iter().any(|name| self.functions.contains(name))
            || (names.iter().any(|name| self.coroutines.contains(name)) && awaits())
    }

    fn contains(&self, name: &str) -> bool {
        self.functions.contains(name) || self.coroutines.contains(name)
    }
}

/// A function that was found in the process.
struct Found {
    name: Arc<str>,
    is_coroutine: bool,
    uses: Vec<Arc<str>>,
}

/// All functions that take or give back something, or use one that does, by name; `None` if not all could be read. Those
/// of the standard library handle locks of their own.
fn find_helpers(reader: &mut Reader<'_, '_>, living: &Living<'_>) -> Result<Option<Giving>, ReadError> {
    let mut codes = FxHashSet::default();
    for interpreter in living.interpreters {
        let walked = walk_collected(reader, living.runtime, *interpreter, |reader, object, ty| {
            if reader.caches.types.get(reader.view, reader.layout, ty)?.name == "function" {
                codes.insert(reader.view.object(object, reader.layout.builtin.function_code)?);
            }
            Ok(())
        });
        match walked {
            Err(error) if error.is_fatal() => return Err(error),
            Err(_) => return Ok(None),
            Ok(()) => {}
        }
    }
    let mut functions = Vec::new();
    for code in codes {
        match optional(read_found(reader, code))? {
            Some(found) => functions.extend(found),
            None => return Ok(None),
        }
    }
    let mut giving = Giving::by_hand();
    loop {
        let before = functions.len();
        functions.retain(|function: &Found| {
            let gives = giving.is_done_by(&function.uses);
            if gives {
                let names = if function.is_coroutine { &mut giving.coroutines } else { &mut giving.functions };
                names.insert(function.name.clone());
            }
            !gives
        });
        if functions.len() == before {
            return Ok(Some(giving));
        }
    }
}

fn read_found(reader: &mut Reader<'_, '_>, code: Addr) -> Result<Option<Found>, ReadError> {
    let info = reader.code(code)?;
    if origin_of(&info.file) == Origin::Python {
        return Ok(None);
    }
    let name = info.function.rsplit('.').next().unwrap_or_default().into();
    let is_coroutine = reader.view.u32(code, reader.layout.code.flags)? & COROUTINE != 0;
    Ok(Some(Found { name, is_coroutine, uses: read_names(reader, code)? }))
}

/// The names that code uses: of globals, attributes and methods.
fn read_names(reader: &mut Reader<'_, '_>, code: Addr) -> Result<Vec<Arc<str>>, ReadError> {
    let names = reader.view.object(code, reader.layout.code.body.names())?;
    let names = read_tuple(reader.view, reader.layout, names)?;
    names.into_iter().map(|name| reader.caches.codes.name(reader.view, reader.layout, name)).collect()
}

/// Those of `found` that were taken all the time: the same task is the first to get the lock as before, and there are no
/// tasks but those that were searched.
pub(super) fn confirm(
    memory: &dyn Memory,
    layout: &Layout,
    caches: &mut Caches,
    shared: &mut Shared,
    walks: &[TaskWalk],
    listed: &[Addr],
    found: Vec<Addr>,
) -> Result<Vec<Addr>, ReadError> {
    let known: FxHashSet<Addr> = walks.iter().map(|walk| walk.addr).collect();
    let mut view = View::new(memory);
    let mut new: Vec<Addr> = listed.iter().filter(|task| !known.contains(*task)).copied().collect();
    let pending = view.wave(&mut new, |view, addr| {
        let mut reader = Reader::new(view, layout, caches);
        Ok::<_, ReadError>(shared.runtimes.of(&mut reader, *addr)?.read_task(&mut reader, *addr)?.is_pending())
    });
    if pending.into_iter().any(|pending| pending.unwrap_or(true)) {
        return Ok(Vec::new());
    }
    let mut confirmed = Vec::new();
    for lock in found {
        let mut reader = Reader::new(&mut view, layout, caches);
        let first = match optional(reader.attribute(lock, "_waiters"))?.flatten() {
            Some(waiters) => optional(read_deque(reader.view, layout, waiters))?.and_then(|all| all.first().copied()),
            None => None,
        };
        let is_taken = optional(reader.int_attribute(lock, "_locked"))?.flatten() == Some(1);
        // asyncio's locks are fair: while the first is the same, nobody else has got it. Tasks that were read later than
        // this one were read while it was taken.
        let same = walks.iter().any(|walk| {
            let waits = walk.wait.as_ref().is_some_and(|wait| wait.lock == Some(lock));
            waits && walk.attempt == 1 && first.is_some() && walk.waiter() == first
        });
        if is_taken && same {
            confirmed.push(lock);
        }
    }
    Ok(confirmed)
}

/// A function written in C or Cython.
fn is_compiled(class: &str) -> bool {
    matches!(class.rsplit('.').next(), Some("builtin_function_or_method" | "cython_function_or_method"))
}

fn is_harmless(reader: &mut Reader<'_, '_>, ty: &TypeInfo) -> Result<bool, ReadError> {
    if !HARMLESS.contains(&ty.name.as_str()) {
        return Ok(false);
    }
    let name = reader.caches.types.qualified_name(reader.view, reader.layout, ty.addr)?;
    Ok(name.starts_with("asyncio."))
}

/// A search for those who may give back a lock.
struct Search {
    giving: Giving,
    classes: FxHashMap<Addr, bool>,
    codes: FxHashMap<Addr, bool>,
}

impl Search {
    fn new(giving: Giving) -> Self {
        Self { giving, classes: FxHashMap::default(), codes: FxHashMap::default() }
    }

    /// Those of `suspects` that no task and no callback that waits may give back.
    fn keep_lost(
        &mut self,
        view: &mut View<'_>,
        layout: &Layout,
        caches: &mut Caches,
        shared: &mut Shared,
        living: &Living<'_>,
        mut suspects: Vec<Addr>,
    ) -> Result<Vec<Addr>, ReadError> {
        let walks = living.walks;
        let mut items: Vec<usize> = (0..walks.len()).collect();
        let may = view.wave(&mut items, |view, index| {
            self.may_release(&mut Reader::new(view, layout, caches), shared, &walks[*index])
        });
        for (walk, may) in walks.iter().zip(may) {
            if may.unwrap_or(true) {
                // A task that only waits for the lock does not hold it.
                let wanted = walk.wait.as_ref().filter(|_| walk.waiter().is_some()).and_then(|wait| wait.lock);
                suspects.retain(|lock| Some(*lock) == wanted);
            }
        }
        for record in living.loops {
            let mut reader = Reader::new(view, layout, caches);
            if optional(self.loop_may_release(&mut reader, shared, record))?.unwrap_or(true) {
                suspects.clear();
            }
        }
        Ok(suspects)
    }

    /// Whether a callback that is ready, or a timer, may give a lock back. Of a loop that is not asyncio's own the timers
    /// are not known.
    fn loop_may_release(
        &mut self,
        reader: &mut Reader<'_, '_>,
        shared: &mut Shared,
        record: &LoopRecord,
    ) -> Result<bool, ReadError> {
        if record.ready.is_some_and(|ready| ready > record.handles.len()) {
            return Ok(true);
        }
        for handle in &record.handles {
            if shared.runtimes.of(reader, *handle)?.read_handle_task(reader, *handle)?.is_none() {
                return Ok(true);
            }
        }
        let Some(timers) = reader.attribute(record.addr, "_scheduled")? else { return Ok(false) };
        let timers = reader.list(timers)?;
        if timers.len() > MAX_TIMERS {
            return Ok(true);
        }
        for timer in timers {
            // A cancelled one has none.
            let Some(callback) = reader.attribute_not_none(timer, "_callback")? else { continue };
            if self.callback_may_release(reader, callback)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn callback_may_release(&mut self, reader: &mut Reader<'_, '_>, callback: Addr) -> Result<bool, ReadError> {
        match read_callback(reader, callback)? {
            Callback::Wakes(_) => Ok(false),
            Callback::Function(function) | Callback::Method { function, .. } => {
                Ok(self.giving.contains(function.short_name())
                    || (!function.info.file.contains("/asyncio/") && self.mentions(reader, function.code, 1)?))
            }
            Callback::Partial { .. } => Ok(true),
            // A loop's own, written in C.
            Callback::Other => Ok(!is_compiled(&reader.type_of(callback)?.name)),
        }
    }

    /// Whether a task may give a lock back later that it has taken.
    fn may_release(
        &mut self,
        reader: &mut Reader<'_, '_>,
        shared: &mut Shared,
        walk: &TaskWalk,
    ) -> Result<bool, ReadError> {
        let Some(record) = walk.record.as_ref().filter(|record| record.is_pending()) else { return Ok(false) };
        let Some(chain) = &walk.chain else { return Ok(true) };
        if matches!(chain.end, ChainEnd::Running | ChainEnd::Broken(_) | ChainEnd::Limit) {
            return Ok(true);
        }
        for callback in &record.future.callbacks {
            if self.callback_may_release(reader, *callback)? {
                return Ok(true);
            }
        }
        for (level, number) in chain.levels.iter().zip(&walk.frames) {
            let own = shared.frames.get(*number).is_some_and(|frame| shared.runtimes.is_own_code(frame));
            if !own && self.frame_may_release(reader, &level.frame)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn frame_may_release(&mut self, reader: &mut Reader<'_, '_>, frame: &RawFrame) -> Result<bool, ReadError> {
        if self.mentions(reader, frame.code, 1)? || frame.live_slots > MAX_SLOTS {
            return Ok(true);
        }
        let mut words = Vec::new();
        frame.slots(reader.view, MAX_SLOTS, &mut words)?;
        for word in words {
            let Some(object) = untag(reader.layout, word) else { continue };
            let Some(ty) = optional(reader.type_of(object))? else { continue };
            let may = match ty.name.as_str() {
                "method" => {
                    let bound = reader.view.object(object, reader.layout.builtin.method_self)?;
                    self.callback_may_release(reader, object)? || self.class_may_release(reader, bound)?
                }
                "function" => self.callback_may_release(reader, object)?,
                // What is inside of them is not searched.
                "async_generator" | "generator" | "functools.partial" | "partial" => true,
                _ => self.class_may_release(reader, object)?,
            };
            if may {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a method of the object's class gives something back.
    fn class_may_release(&mut self, reader: &mut Reader<'_, '_>, object: Addr) -> Result<bool, ReadError> {
        let Some(mut ty) = optional(reader.type_of(object))? else { return Ok(false) };
        let first = ty.addr;
        if let Some(known) = self.classes.get(&first) {
            return Ok(*known);
        }
        let mut may = false;
        for depth in 0..=MAX_BASES {
            if !ty.is_heap || is_harmless(reader, &ty)? {
                break;
            }
            if depth == MAX_BASES
                || ty.name.ends_with("ContextManager")
                || ty.name.ends_with("ExitStack")
                || self.methods_mention(reader, ty.addr)?
            {
                may = true;
                break;
            }
            let Some(base) = ty.base else { break };
            ty = reader.caches.types.get(reader.view, reader.layout, base)?;
        }
        self.classes.insert(first, may);
        Ok(may)
    }

    fn methods_mention(&mut self, reader: &mut Reader<'_, '_>, ty: Addr) -> Result<bool, ReadError> {
        let dict = reader.view.object(ty, reader.layout.types.dict)?;
        for (_, value) in read_dict_items(reader.view, reader.layout, dict)? {
            if reader.type_of(value)?.name == "function" {
                let code = reader.view.object(value, reader.layout.builtin.function_code)?;
                if self.mentions(reader, code, 1)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Whether code, or code inside of it, takes or gives back something by hand.
    fn mentions(&mut self, reader: &mut Reader<'_, '_>, code: Addr, depth: u32) -> Result<bool, ReadError> {
        if let Some(known) = self.codes.get(&code) {
            return Ok(*known);
        }
        let mut mentions = self.giving.is_done_by(&read_names(reader, code)?);
        if !mentions && depth > 0 {
            let constants = reader.view.object(code, reader.layout.code.body.names() - 8)?;
            for constant in read_tuple(reader.view, reader.layout, constants)? {
                if reader.type_of(constant)?.name == "code" {
                    mentions |= self.mentions(reader, constant, depth - 1)?;
                }
            }
        }
        self.codes.insert(code, mentions);
        Ok(mentions)
    }
}
