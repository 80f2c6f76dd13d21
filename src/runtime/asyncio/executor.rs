//! `concurrent.futures` beside asyncio: what a thread that blocks in `result()` waits for, which jobs the threads of a
//! `ThreadPoolExecutor` run, and which are in its queue.

use std::sync::Arc;

use super::callback::{Callback, Function, function_name, read_callback, read_captured};
use crate::python::block::read_words;
use crate::python::frame::{NamedFrame, RawFrame};
use crate::python::gc::walk_collected;
use crate::python::layout::SimpleQueue;
use crate::python::reader::{Reader, optional};
use crate::remote::{Addr, ReadError};

/// LIMIT: jobs of one queue that are looked at. Their number is always exact.
const MAX_JOBS: u64 = 10_000;

/// LIMIT: room for items of a queue; more is not one.
const MAX_ROOM: i64 = 1 << 32;

/// LIMIT: bytes of a handle written in C that are searched.
const MAX_HANDLE: u64 = 512;

/// LIMIT: callbacks of a future that are looked at.
const MAX_CALLBACKS: usize = 100;

/// A frame of `concurrent.futures` on the stack of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolFrame {
    /// It waits for the result of this future.
    Result {
        /// The future.
        future: Addr,
        /// The number of seconds after which it gives up.
        timeout: Option<Addr>,
    },
    /// A worker, which takes jobs from this queue.
    Worker {
        /// The queue.
        queue: Addr,
        /// A weak reference to the pool.
        pool: Option<Addr>,
    },
    /// It runs this job.
    Job(Addr),
    /// It waits for the workers of the pool with this queue to end.
    Shutdown(Addr),
}

/// What the frame is there for; `None` if it is none of `concurrent.futures`.
// CPython: Lib/concurrent/futures/thread.py and _base.py, 3.8 to 3.15.
pub fn read_pool_frame(
    reader: &mut Reader<'_, '_>,
    named: &NamedFrame,
    raw: &RawFrame,
) -> Result<Option<PoolFrame>, ReadError> {
    let function = named.function.rsplit('.').next().unwrap_or_default();
    if named.file.ends_with("concurrent/futures/_base.py") && function == "result" {
        let timeout = match optional(reader.local(raw, "timeout"))?.flatten() {
            Some(timeout) => reader.not_none(timeout)?,
            None => None,
        };
        let future = optional(reader.local(raw, "self"))?.flatten();
        return Ok(future.map(|future| PoolFrame::Result { future, timeout }));
    }
    if !named.file.ends_with("concurrent/futures/thread.py") {
        return Ok(None);
    }
    Ok(match function {
        "_worker" => {
            let pool = optional(reader.local(raw, "executor_reference"))?.flatten();
            optional(reader.local(raw, "work_queue"))?.flatten().map(|queue| PoolFrame::Worker { queue, pool })
        }
        "shutdown" => match optional(reader.local(raw, "self"))?.flatten() {
            Some(pool) => optional(reader.attribute_not_none(pool, "_work_queue"))?.flatten().map(PoolFrame::Shutdown),
            None => None,
        },
        // 3.14+ has a `WorkerContext.run` below it.
        "run" if matches!(&*named.function, "run" | "_WorkItem.run") => {
            optional(reader.local(raw, "self"))?.flatten().map(PoolFrame::Job)
        }
        _ => None,
    })
}

/// A future of `concurrent.futures`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobFuture {
    /// It has no result yet.
    pub is_pending: bool,
    /// The task whose result it gets.
    pub task: Option<Addr>,
}

/// Reads the future at `addr`; `None` if it is none.
pub fn read_job_future(reader: &mut Reader<'_, '_>, addr: Addr) -> Result<Option<JobFuture>, ReadError> {
    let Some(state) = optional(reader.str_attribute(addr, "_state"))?.flatten() else { return Ok(None) };
    let callbacks = match optional(reader.attribute(addr, "_done_callbacks"))?.flatten() {
        Some(list) => optional(reader.list(list))?.unwrap_or_default(),
        None => return Ok(None),
    };
    let mut task = None;
    for callback in callbacks.into_iter().take(MAX_CALLBACKS) {
        // CPython: Lib/asyncio/futures.py, _chain_future: this future is the destination.
        if let Some(Callback::Function(function)) = optional(read_callback(reader, callback))?
            && function.short_name() == "_call_check_cancel"
        {
            task = captured(reader, &function, "source")?;
        }
    }
    Ok(Some(JobFuture { is_pending: matches!(state.as_str(), "PENDING" | "RUNNING"), task }))
}

/// A job of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRecord {
    /// Its future.
    pub future: Option<Addr>,
    /// Its function.
    pub function: Option<Arc<str>>,
}

/// Reads the job at `item`.
pub fn read_job(reader: &mut Reader<'_, '_>, item: Addr) -> Result<JobRecord, ReadError> {
    let future = optional(reader.attribute_not_none(item, "future"))?.flatten();
    // 3.14+: a tuple of function, arguments and keyword arguments.
    let function = match optional(reader.attribute(item, "fn"))?.flatten() {
        Some(function) => Some(function),
        None => match optional(reader.attribute(item, "task"))?.flatten() {
            Some(task) => optional(reader.tuple(task))?.and_then(|task| task.first().copied()),
            None => None,
        },
    };
    let function = match function {
        Some(function) => optional(function_name(reader, function))?.flatten(),
        None => None,
    };
    Ok(JobRecord { future, function })
}

/// A pool of threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolRecord {
    /// The prefix of its threads' names.
    pub name: Option<String>,
    /// How many threads it may have.
    pub workers: Option<u64>,
    /// The number of jobs in its queue, and the first of them.
    pub queued: Option<(u64, Vec<JobRecord>)>,
}

/// Reads the pool with this queue. `pool` is a weak reference to it.
pub fn read_pool(reader: &mut Reader<'_, '_>, queue: Addr, pool: Option<Addr>) -> Result<PoolRecord, ReadError> {
    let pool = match pool {
        Some(reference) => optional(reader.field(reference, reader.layout.builtin.weakref_object))?.flatten(),
        None => None,
    };
    let (mut name, mut workers) = (None, None);
    if let Some(pool) = pool {
        name = optional(reader.str_attribute(pool, "_thread_name_prefix"))?.flatten().filter(|name| !name.is_empty());
        workers = optional(reader.int_attribute(pool, "_max_workers"))?.flatten();
    }
    let queued = match optional(read_queue(reader, queue))? {
        Some((count, items)) => {
            let mut jobs = Vec::with_capacity(items.len());
            for item in items {
                // None tells a worker to end.
                if let Some(item) = reader.not_none(item)? {
                    jobs.push(read_job(reader, item)?);
                }
            }
            // What was looked at and is no job does not count.
            let ends = count.min(MAX_JOBS) - jobs.len() as u64;
            Some((count - ends, jobs))
        }
        None => None,
    };
    Ok(PoolRecord { name, workers: workers.and_then(|workers| u64::try_from(workers).ok()), queued })
}

/// The number of items of a `SimpleQueue`, and the first of them.
fn read_queue(reader: &mut Reader<'_, '_>, queue: Addr) -> Result<(u64, Vec<Addr>), ReadError> {
    const INVALID: ReadError = ReadError::Invalid("queue of a pool");
    if !reader.type_of(queue)?.name.ends_with("SimpleQueue") {
        return Err(INVALID);
    }
    match reader.layout.simple_queue {
        SimpleQueue::List { items, taken } => {
            let list = reader.view.object(queue, items)?;
            let items = reader.list(list)?;
            let taken = usize::try_from(reader.view.i64(queue, taken)?).map_err(|_| INVALID)?;
            let rest = items.get(taken..).ok_or(INVALID)?;
            Ok((rest.len() as u64, rest.iter().take(MAX_JOBS as usize).copied().collect()))
        }
        SimpleQueue::Ring { next } => {
            let (at, items) = (reader.view.i64(queue, next)?, reader.view.object(queue, next + 8)?);
            let (room, count) = (reader.view.i64(queue, next + 16)?, reader.view.i64(queue, next + 24)?);
            if !(1..MAX_ROOM).contains(&room) || !(0..=room).contains(&count) || !(0..room).contains(&at) {
                return Err(INVALID);
            }
            let (wanted, mut found) = ((count as u64).min(MAX_JOBS) as usize, Vec::new());
            let before_end = wanted.min((room - at) as usize);
            let first = items.add(at as u64 * 8).ok_or(INVALID)?;
            let words =
                [read_words(reader.view, first, before_end)?, read_words(reader.view, items, wanted - before_end)?];
            for word in words.concat() {
                found.push(Addr::aligned(word).ok_or(INVALID)?);
            }
            Ok((count as u64, found))
        }
    }
}

/// A coroutine that was given to an event loop from another thread, and not started yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The future that is to get its result.
    pub future: Addr,
    /// The coroutine.
    pub coroutine: Option<Addr>,
    /// The event loop.
    pub event_loop: Option<Addr>,
}

/// What a handle in a ready queue is to start.
pub fn read_submitted(reader: &mut Reader<'_, '_>, handle: Addr) -> Result<Option<Submitted>, ReadError> {
    let ty = reader.view.object(handle, reader.layout.object.ob_type)?;
    let caches = &mut *reader.caches;
    let slot = caches.attributes.member_offset(reader.view, reader.layout, &mut caches.types, ty, "_callback")?;
    if let Some(at) = slot {
        return match reader.view.pointer(handle, at)? {
            Some(callback) => submits(reader, callback),
            None => Ok(None),
        };
    }
    let size = reader.type_of(handle)?.basicsize.unsigned_abs().min(MAX_HANDLE);
    for at in (reader.layout.object.size..size).step_by(8) {
        let Some(object) = Addr::aligned(reader.view.u64(handle, at)?) else { continue };
        if let Some(submitted) = optional(submits(reader, object))?.flatten() {
            return Ok(Some(submitted));
        }
    }
    Ok(None)
}

// CPython: Lib/asyncio/tasks.py, run_coroutine_threadsafe.
fn submits(reader: &mut Reader<'_, '_>, callback: Addr) -> Result<Option<Submitted>, ReadError> {
    if reader.type_of(callback)?.name != "function" {
        return Ok(None);
    }
    let Callback::Function(function) = read_callback(reader, callback)? else { return Ok(None) };
    if function.short_name() != "callback" || !function.info.file.ends_with("asyncio/tasks.py") {
        return Ok(None);
    }
    let Some(future) = captured(reader, &function, "future")? else { return Ok(None) };
    let coroutine = captured(reader, &function, "coro")?;
    Ok(Some(Submitted { future, coroutine, event_loop: captured(reader, &function, "loop")? }))
}

/// Searches all objects for the coroutine that `future` is to get the result of: its loop may be one that nothing else
/// leads to.
pub fn search_submitted(
    reader: &mut Reader<'_, '_>,
    runtime: Addr,
    interpreter: Addr,
    future: Addr,
) -> Result<Option<Submitted>, ReadError> {
    let (mut found, mut functions) = (None, None);
    let walked = walk_collected(reader, runtime, interpreter, |reader, object, ty| {
        if functions.is_none() && reader.caches.types.get(reader.view, reader.layout, ty)?.name == "function" {
            functions = Some(ty);
        }
        if functions == Some(ty)
            && let Some(submitted) = optional(submits(reader, object))?.flatten()
            && submitted.future == future
        {
            found = Some(submitted);
        }
        Ok(())
    });
    match walked {
        Err(error) if error.is_fatal() => Err(error),
        _ => Ok(found),
    }
}

fn captured(reader: &mut Reader<'_, '_>, function: &Function, name: &str) -> Result<Option<Addr>, ReadError> {
    Ok(optional(read_captured(reader, function, name))?.flatten().and_then(|captured| captured.value))
}
