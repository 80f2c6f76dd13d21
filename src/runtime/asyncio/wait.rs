//! What a suspended task waits for: recognised by the innermost of asyncio's own coroutines in its chain and by the
//! future it waits for.

use super::anyio;
use super::callback::{Callback, Function, function_name, read_callbacks, read_captured};
use super::future::{FutureClasses, read_children};
use super::pools;
use crate::model::wait::WaitDetail;
use crate::python::container::read_deque_len;
use crate::python::frame::NamedFrame;
use crate::python::reader::{Reader, optional};
use crate::remote::{Addr, ReadError, Span};
use crate::runtime::record::{FutureRecord, FutureState};
use crate::runtime::wait::{Place, ResourceRecord, Wait, WaitKind};

/// What a task waits for.
impl Place<'_> {
    /// `locks.Lock.acquire` for asyncio's own code, else nothing.
    fn asyncio_name(&self) -> Option<(&str, &str)> {
        Some((asyncio_module(self.named)?, &*self.named.function))
    }
}

/// The asyncio module that contains a frame.
fn asyncio_module(frame: &NamedFrame) -> Option<&str> {
    let (folder, file) = frame.file.rsplit_once('/')?;
    let module = file.strip_suffix(".py")?;
    let is_asyncio = folder == "asyncio" || folder.ends_with("/asyncio");
    is_asyncio.then_some(module)
}

/// Whether a frame is asyncio's own, or of a library that is read as if it were. A task whose innermost frame is not waits
/// just for what its future stands for.
pub fn is_asyncio(frame: &NamedFrame) -> bool {
    asyncio_module(frame).is_some() || anyio::is_backend(frame) || pools::is_leaf(frame)
}

/// Describes what a task with this chain (outermost first) waits for. `waiter` describes its future alone, see
/// [`describe_future`].
pub fn describe_wait(
    reader: &mut Reader<'_, '_>,
    classes: &mut FutureClasses,
    chain: &[Place<'_>],
    waiter: &Wait,
) -> Result<Wait, ReadError> {
    let wait = describe_own(reader, classes, chain, waiter)?;
    pools::refine(reader, chain, wait)
}

/// The wait in asyncio's own terms, or anyio's.
fn describe_own(
    reader: &mut Reader<'_, '_>,
    classes: &mut FutureClasses,
    chain: &[Place<'_>],
    waiter: &Wait,
) -> Result<Wait, ReadError> {
    let mut inner = chain.iter().rev();
    let Some(leaf) = inner.next() else { return Ok(waiter.clone()) };
    let outer = inner.next();
    if let Some(wait) = anyio::describe_wait(reader, classes, chain)? {
        return Ok(wait);
    }
    match leaf.asyncio_name() {
        Some(("tasks", "sleep")) => {
            let delay = local_number(reader, leaf, "delay")?;
            let deadline = read_deadline(reader, leaf, "h")?;
            Ok(Wait { deadline, ..Wait::with(WaitKind::Sleep, delay.and_then(WaitDetail::delay)) })
        }
        Some(("tasks", "_wait")) => {
            let targets = match reader.local(&leaf.raw, "fs")? {
                Some(set) => optional(read_members(reader, set))?.unwrap_or_default(),
                None => Vec::new(),
            };
            let deadline = read_deadline(reader, leaf, "timeout_handle")?;
            count_done(reader, classes, Wait { deadline, ..Wait::on(WaitKind::Wait, targets) })
        }
        Some(("tasks", "wait_for")) => describe_wait_for(reader, classes, leaf, waiter),
        Some(("taskgroups", "TaskGroup.__aexit__" | "TaskGroup._aexit")) => {
            let targets = match local_attribute(reader, leaf, "self", "_tasks")? {
                Some(set) => optional(reader.set(set))?.unwrap_or_default(),
                None => Vec::new(),
            };
            classes.count_targets(&targets)?;
            let detail = Some(WaitDetail::Unfinished(targets.len()));
            Ok(Wait { detail, ..Wait::on(WaitKind::TaskGroup, targets) })
        }
        Some(("queues", "Queue.get")) => match outer {
            Some(outer) if outer.named.function.ends_with("_wait_for_one") => {
                as_completed(reader, classes, leaf, outer)
            }
            _ => describe_queue(reader, leaf, WaitKind::QueueGet),
        },
        Some(("queues", "Queue.put")) => describe_queue(reader, leaf, WaitKind::QueuePut),
        Some(("locks", name)) => Ok(describe_lock(reader, chain, leaf, name)?.unwrap_or_else(|| waiter.clone())),
        Some((module, name)) => Ok(describe_io(reader, leaf, waiter, module, name)?.unwrap_or_else(|| waiter.clone())),
        None => Ok(waiter.clone()),
    }
}

/// A task in one of the primitives of `asyncio.locks`.
fn describe_lock(
    reader: &mut Reader<'_, '_>,
    chain: &[Place<'_>],
    leaf: &Place<'_>,
    name: &str,
) -> Result<Option<Wait>, ReadError> {
    let mut outer = chain.iter().rev().skip(1);
    let kind = match name {
        "Lock.acquire" => WaitKind::Lock,
        "Semaphore.acquire" | "BoundedSemaphore.acquire" => WaitKind::Semaphore,
        "Event.wait" => {
            let join = outer.next().and_then(Place::asyncio_name) == Some(("queues", "Queue.join"));
            return Ok(Some(Wait::with(WaitKind::Event, join.then_some(WaitDetail::QueueJoin))));
        }
        "Condition.wait" => {
            let barrier = outer.take(3).any(|place| place.named.function.starts_with("Barrier."));
            return Ok(Some(Wait::with(WaitKind::Condition, barrier.then_some(WaitDetail::Barrier))));
        }
        _ => return Ok(None),
    };
    let lock = reader.local(&leaf.raw, "self")?;
    let resource = match lock {
        Some(lock) => read_lock(reader, lock, kind)?,
        None => None,
    };
    let waiters = match local_attribute(reader, leaf, "self", "_waiters")? {
        Some(waiters) => optional(read_deque_len(reader.view, reader.layout, waiters))?,
        None => None,
    };
    Ok(Some(Wait { lock, resource, ..Wait::with(kind, waiters.map(WaitDetail::Waiters)) }))
}

/// What is left of a lock or semaphore.
// CPython: Lib/asyncio/locks.py, 3.8 to 3.15.
fn read_lock(reader: &mut Reader<'_, '_>, lock: Addr, kind: WaitKind) -> Result<Option<ResourceRecord>, ReadError> {
    let natural = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
    let (free, bound) = if kind == WaitKind::Lock {
        let locked = optional(reader.int_attribute(lock, "_locked"))?.flatten();
        (locked.map(|locked| u64::from(locked == 0)), Some(1))
    } else {
        let free = optional(reader.int_attribute(lock, "_value"))?.flatten();
        (natural(free), natural(optional(reader.int_attribute(lock, "_bound_value"))?.flatten()))
    };
    Ok(Some(ResourceRecord { addr: lock, free, bound, pool: None }))
}

/// A task that waits for something outside the event loop.
fn describe_io(
    reader: &mut Reader<'_, '_>,
    leaf: &Place<'_>,
    waiter: &Wait,
    module: &str,
    name: &str,
) -> Result<Option<Wait>, ReadError> {
    Ok(Some(match (module, name) {
        ("threads", "to_thread") => {
            let function = match reader.local(&leaf.raw, "func")? {
                Some(function) => optional(function_name(reader, function))?
                    .flatten()
                    .map(|name| WaitDetail::Function((&*name).into())),
                None => None,
            };
            Wait { job: waiter.job, ..Wait::with(WaitKind::Executor, function) }
        }
        ("streams", "StreamReader._wait_for_data") => {
            let fd = match local_attribute(reader, leaf, "self", "_transport")? {
                Some(transport) => optional(reader.int_attribute(transport, "_sock_fd"))?.flatten(),
                None => None,
            };
            Wait::with(WaitKind::Socket, fd.and_then(|fd| descriptor(fd.try_into().ok()?)))
        }
        ("streams", name) if name.ends_with("._drain_helper") => {
            Wait::with(WaitKind::Socket, Some(WaitDetail::WriteBufferFull))
        }
        ("selector_events", name) if name.contains(".sock_") => {
            let fd = match reader.local(&leaf.raw, "sock")? {
                Some(socket) => optional(reader.view.i32(socket, reader.layout.object.size))?,
                None => None,
            };
            Wait::with(WaitKind::Socket, fd.and_then(descriptor))
        }
        ("base_subprocess", "BaseSubprocessTransport._wait") => {
            let pid = match reader.local(&leaf.raw, "self")? {
                Some(transport) => optional(reader.int_attribute(transport, "_pid"))?.flatten(),
                None => None,
            };
            Wait::with(WaitKind::Subprocess, pid.map(WaitDetail::Process))
        }
        ("base_events", "Server.serve_forever") => Wait::with(WaitKind::Future, Some(WaitDetail::ServeForever)),
        _ => return Ok(None),
    }))
}

/// The meaning of a bare future: a task, a gather, the outer future of a shield, an executor's job, or a plain future.
pub fn describe_future(
    reader: &mut Reader<'_, '_>,
    classes: &mut FutureClasses,
    future: &FutureRecord,
    callbacks: &[Callback],
) -> Result<Wait, ReadError> {
    if future.is_task {
        return Ok(Wait::on(WaitKind::Task, vec![future.addr]));
    }
    if future.is_gathering {
        let children = optional(read_children(reader, future.addr))?.unwrap_or_default();
        return count_done(reader, classes, Wait::on(WaitKind::Gather, children));
    }
    for callback in callbacks {
        let Callback::Function(function) = callback else { continue };
        match function.short_name() {
            // CPython: Lib/asyncio/tasks.py, shield.
            "_outer_done_callback" => {
                let inner = captured(reader, function, "inner")?;
                return Ok(Wait::on(WaitKind::Shield, inner.into_iter().collect()));
            }
            // CPython: Lib/asyncio/futures.py, _chain_future: the other end is a concurrent.futures.Future.
            "_call_check_cancel" => {
                let source = captured(reader, function, "source")?;
                let state = match source {
                    Some(source) => optional(reader.str_attribute(source, "_state"))?.flatten(),
                    None => None,
                };
                let detail = state.map(|state| WaitDetail::Job(state.to_ascii_lowercase().into()));
                return Ok(Wait { job: source, ..Wait::with(WaitKind::Executor, detail) });
            }
            _ => {}
        }
    }
    Ok(Wait::new(WaitKind::Future))
}

fn captured(reader: &mut Reader<'_, '_>, function: &Function, name: &str) -> Result<Option<Addr>, ReadError> {
    Ok(optional(read_captured(reader, function, name))?.flatten().and_then(|captured| captured.value))
}

/// Up to 3.11 the waiter is a future of `wait_for`'s own and the awaited future a local variable; from 3.12 on it
/// awaits directly.
fn describe_wait_for(
    reader: &mut Reader<'_, '_>,
    classes: &mut FutureClasses,
    leaf: &Place<'_>,
    waiter: &Wait,
) -> Result<Wait, ReadError> {
    let awaited = match reader.local(&leaf.raw, "fut")? {
        Some(awaited) => optional(classes.read(reader, awaited))?.flatten(),
        None => None,
    };
    let wait = match awaited {
        Some(awaited) => {
            let callbacks = read_callbacks(reader, &awaited.callbacks)?;
            describe_future(reader, classes, &awaited, &callbacks)?
        }
        None => waiter.clone(),
    };
    let timeout = local_number(reader, leaf, "timeout")?;
    let deadline = read_deadline(reader, leaf, "timeout_handle")?;
    Ok(Wait { detail: WaitDetail::with_timeout(wait.detail, timeout), deadline, ..wait })
}

/// `as_completed` waits in the `get` of a queue. From 3.13 on the futures that are not done are an attribute of its
/// iterator; before that, only their callbacks identify them.
fn as_completed(
    reader: &mut Reader<'_, '_>,
    classes: &mut FutureClasses,
    get: &Place<'_>,
    wait_for_one: &Place<'_>,
) -> Result<Wait, ReadError> {
    let queue = reader.local(&get.raw, "self")?;
    match local_attribute(reader, wait_for_one, "self", "_todo")? {
        Some(todo) => {
            let targets = optional(reader.set(todo))?.unwrap_or_default();
            count_done(reader, classes, Wait::on(WaitKind::Wait, targets))
        }
        None => Ok(Wait { completions: queue, ..Wait::new(WaitKind::Wait) }),
    }
}

fn describe_queue(reader: &mut Reader<'_, '_>, leaf: &Place<'_>, kind: WaitKind) -> Result<Wait, ReadError> {
    let Some(queue) = reader.local(&leaf.raw, "self")? else { return Ok(Wait::new(kind)) };
    let len = match optional(reader.attribute(queue, "_queue"))?.flatten() {
        Some(items) => optional(read_deque_len(reader.view, reader.layout, items))?,
        None => None,
    };
    let max = optional(reader.int_attribute(queue, "_maxsize"))?.flatten().filter(|max| *max > 0);
    let bound = max.and_then(|max| u64::try_from(max).ok());
    let free = bound.zip(len).map(|(bound, len)| bound.saturating_sub(len as u64));
    let resource = Some(ResourceRecord { addr: queue, free, bound, pool: None });
    Ok(Wait { resource, ..Wait::with(kind, len.map(|len| WaitDetail::Items { len, max })) })
}

/// Adds how many futures are done, if there are several.
fn count_done(reader: &mut Reader<'_, '_>, classes: &mut FutureClasses, wait: Wait) -> Result<Wait, ReadError> {
    // Read together, because there can be very many: one after the other would cost a round of the wave each.
    reader.view.prefetch(wait.targets.iter().map(|target| Span::new(*target, classes.layout.future.size as usize)));
    let (mut done, mut known) = (0, true);
    for &target in wait.targets.iter() {
        match optional(classes.read_state(reader, target))?.flatten() {
            Some(state) => done += usize::from(state != FutureState::Pending),
            None => known = false,
        }
    }
    classes.count_targets(&wait.targets)?;
    let total = wait.targets.len();
    let detail = (known && total > 1).then_some(WaitDetail::Done { done, total });
    Ok(Wait { detail, ..wait })
}

/// Members of a collection that is usually a set and sometimes a list or tuple.
fn read_members(reader: &mut Reader<'_, '_>, collection: Addr) -> Result<Vec<Addr>, ReadError> {
    match reader.type_of(collection)?.name.as_str() {
        "list" => reader.list(collection),
        "tuple" => reader.tuple(collection),
        _ => reader.set(collection),
    }
}

fn local_attribute(
    reader: &mut Reader<'_, '_>,
    place: &Place<'_>,
    local: &str,
    attribute: &str,
) -> Result<Option<Addr>, ReadError> {
    match reader.local(&place.raw, local)? {
        Some(object) => Ok(optional(reader.attribute(object, attribute))?.flatten()),
        None => Ok(None),
    }
}

fn local_number(reader: &mut Reader<'_, '_>, place: &Place<'_>, local: &str) -> Result<Option<f64>, ReadError> {
    match reader.local(&place.raw, local)? {
        Some(object) => optional(reader.number(object)),
        None => Ok(None),
    }
}

/// The deadline of a timer handle in a local variable; `None` where the loop keeps it elsewhere (uvloop).
// CPython: Lib/asyncio/events.py, TimerHandle._when.
fn read_deadline(reader: &mut Reader<'_, '_>, place: &Place<'_>, local: &str) -> Result<Option<u64>, ReadError> {
    let Some(when) = local_attribute(reader, place, local, "_when")? else { return Ok(None) };
    Ok(optional(reader.number(when))?.map(f64::to_bits))
}

fn descriptor(fd: i32) -> Option<WaitDetail> {
    (fd >= 0).then_some(WaitDetail::Descriptor(fd))
}
