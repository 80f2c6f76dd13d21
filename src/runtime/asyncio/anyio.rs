//! What a task waits for in anyio on asyncio: its locks and limiters record who holds them, its task groups their tasks.

use super::callback::function_name;
use super::future::FutureClasses;
use crate::model::wait::WaitDetail;
use crate::python::container::read_deque_len;
use crate::python::frame::NamedFrame;
use crate::python::reader::{Reader, optional};
use crate::remote::{Addr, ReadError};
use crate::runtime::wait::{Place, ResourceRecord, Wait, WaitKind};

/// How far outside of the wait the call that wants a token of a limiter is.
const CALLERS: usize = 4;

/// Whether a frame is of anyio's asyncio backend.
// anyio: _backends/_asyncio.py, 3.0 to 4.16.
pub(super) fn is_backend(frame: &NamedFrame) -> bool {
    is_of(frame, "/anyio/_backends/_asyncio.py")
}

fn is_of(frame: &NamedFrame, file: &str) -> bool {
    frame.file.ends_with(file)
}

/// Describes what a task with this chain (outermost first) waits for, if it waits in anyio's own code.
pub(super) fn describe_wait(
    reader: &mut Reader<'_, '_>,
    classes: &mut FutureClasses,
    chain: &[Place<'_>],
) -> Result<Option<Wait>, ReadError> {
    let mut inner = chain.iter().rev();
    let (Some(leaf), outer) = (inner.next(), inner.next()) else { return Ok(None) };
    if is_backend(leaf.named) {
        return match &*leaf.named.function {
            "Lock.acquire" => describe_lock(reader, leaf).map(Some),
            "TaskGroup.__aexit__" => describe_group(reader, classes, leaf).map(Some),
            "AsyncIOBackend.run_sync_in_worker_thread" => {
                let function = thread_function(reader, leaf)?;
                Ok(Some(Wait::with(WaitKind::Executor, function)))
            }
            _ => Ok(None),
        };
    }
    // A limiter and a memory stream wait for an event of asyncio, through anyio's own or directly.
    let is_event = |place: &Place<'_>| {
        &*place.named.function == "Event.wait"
            && (place.named.file.ends_with("asyncio/locks.py") || is_backend(place.named))
    };
    if !is_event(leaf) {
        return Ok(None);
    }
    let outer = outer.filter(|outer| !is_event(outer)).or_else(|| inner.next());
    let Some(outer) = outer else { return Ok(None) };
    match &*outer.named.function {
        "CapacityLimiter.acquire_on_behalf_of" if is_backend(outer.named) => {
            describe_limiter(reader, chain, outer).map(Some)
        }
        "MemoryObjectReceiveStream.receive" if is_of(outer.named, "/anyio/streams/memory.py") => {
            describe_stream(reader, outer, WaitKind::QueueGet).map(Some)
        }
        "MemoryObjectSendStream.send" if is_of(outer.named, "/anyio/streams/memory.py") => {
            describe_stream(reader, outer, WaitKind::QueuePut).map(Some)
        }
        _ => Ok(None),
    }
}

/// An attribute, or a slot: newer versions have slots.
pub(super) fn member(reader: &mut Reader<'_, '_>, object: Addr, name: &str) -> Result<Option<Addr>, ReadError> {
    if let Some(value) = optional(reader.attribute_not_none(object, name))?.flatten() {
        return Ok(Some(value));
    }
    let caches = &mut *reader.caches;
    let slot = caches.attributes.read_slot(reader.view, reader.layout, &mut caches.types, object, name);
    match optional(slot)?.flatten() {
        Some(value) => reader.not_none(value),
        None => Ok(None),
    }
}

fn describe_lock(reader: &mut Reader<'_, '_>, leaf: &Place<'_>) -> Result<Wait, ReadError> {
    let Some(lock) = reader.local(&leaf.raw, "self")? else { return Ok(Wait::new(WaitKind::Lock)) };
    let owner = member(reader, lock, "_owner_task")?;
    let waiters = match member(reader, lock, "_waiters")? {
        Some(waiters) => optional(read_deque_len(reader.view, reader.layout, waiters))?,
        None => None,
    };
    let resource = ResourceRecord { addr: lock, free: Some(u64::from(owner.is_none())), bound: Some(1), pool: None };
    Ok(Wait {
        lock: Some(lock),
        resource: Some(resource),
        holders: owner.into_iter().collect(),
        ..Wait::with(WaitKind::Lock, waiters.map(WaitDetail::Waiters))
    })
}

fn describe_group(
    reader: &mut Reader<'_, '_>,
    classes: &mut FutureClasses,
    leaf: &Place<'_>,
) -> Result<Wait, ReadError> {
    let tasks = match reader.local(&leaf.raw, "self")? {
        Some(group) => member(reader, group, "_tasks")?,
        None => None,
    };
    let targets = match tasks {
        Some(tasks) => optional(reader.set(tasks))?,
        None => None,
    };
    let Some(targets) = targets else { return Ok(Wait::new(WaitKind::TaskGroup)) };
    classes.count_targets(&targets)?;
    let detail = Some(WaitDetail::Unfinished(targets.len()));
    Ok(Wait { detail, ..Wait::on(WaitKind::TaskGroup, targets) })
}

fn describe_limiter(reader: &mut Reader<'_, '_>, chain: &[Place<'_>], acquire: &Place<'_>) -> Result<Wait, ReadError> {
    let Some(limiter) = reader.local(&acquire.raw, "self")? else { return Ok(Wait::new(WaitKind::Semaphore)) };
    let borrowers = match member(reader, limiter, "_borrowers")? {
        Some(borrowers) => optional(reader.set(borrowers))?,
        None => None,
    };
    // A number of tokens may also be infinite.
    let total = match member(reader, limiter, "_total_tokens")? {
        Some(total) => optional(reader.number(total))?.filter(|total| (0.0..1e9).contains(total)),
        None => None,
    };
    let bound = total.map(|total| total as u64);
    let free = bound.zip(borrowers.as_ref()).map(|(bound, borrowers)| bound.saturating_sub(borrowers.len() as u64));
    let wanted = chain.iter().rev().take(CALLERS + 2).find(|place| is_worker_call(place));
    let detail = match wanted {
        Some(call) => thread_function(reader, call)?,
        None => None,
    };
    Ok(Wait {
        lock: Some(limiter),
        resource: Some(ResourceRecord { addr: limiter, free, bound, pool: None }),
        holders: borrowers.unwrap_or_default().into(),
        ..Wait::with(WaitKind::Semaphore, detail)
    })
}

fn is_worker_call(place: &Place<'_>) -> bool {
    is_backend(place.named) && &*place.named.function == "AsyncIOBackend.run_sync_in_worker_thread"
}

/// The function that a worker thread is to run.
fn thread_function(reader: &mut Reader<'_, '_>, call: &Place<'_>) -> Result<Option<WaitDetail>, ReadError> {
    let Some(function) = reader.local(&call.raw, "func")? else { return Ok(None) };
    let name = optional(function_name(reader, function))?.flatten();
    Ok(name.map(|name| WaitDetail::Function((&*name).into())))
}

// anyio: streams/memory.py, 3.0 to 4.16.
fn describe_stream(reader: &mut Reader<'_, '_>, call: &Place<'_>, kind: WaitKind) -> Result<Wait, ReadError> {
    let state = match reader.local(&call.raw, "self")? {
        Some(stream) => member(reader, stream, "_state")?,
        None => None,
    };
    let Some(state) = state else { return Ok(Wait::new(kind)) };
    let len = match member(reader, state, "buffer")? {
        Some(buffer) => optional(read_deque_len(reader.view, reader.layout, buffer))?,
        None => None,
    };
    let max = match member(reader, state, "max_buffer_size")? {
        Some(max) => optional(reader.number(max))?.filter(|max| (0.0..1e9).contains(max)).map(|max| max as i64),
        None => None,
    };
    let bound = max.and_then(|max| u64::try_from(max).ok());
    let free = bound.zip(len).map(|(bound, len)| bound.saturating_sub(len as u64));
    let resource = Some(ResourceRecord { addr: state, free, bound, pool: None });
    Ok(Wait { resource, ..Wait::with(kind, len.map(|len| WaitDetail::Items { len, max })) })
}
