//! Tasks: a future with a coroutine, a name and something it waits for.

use super::future::{FutureClasses, FutureKind};
use super::layout::rows::TASK_BLOCK;
use super::layout::{Future as FutureFields, Layout};
use crate::python::block::Block;
use crate::python::int::read_int;
use crate::python::reader::{Reader, optional};
use crate::python::refcount::read_refcount;
use crate::remote::{Addr, ReadError, Span};
use crate::runtime::record::{FutureRecord, FutureState, TaskRecord};

/// Reads the task at `addr`.
///
/// # Errors
/// `Invalid("task")` if it is not a task.
pub fn read_task(
    reader: &mut Reader<'_, '_>,
    classes: &mut FutureClasses,
    addr: Addr,
) -> Result<TaskRecord, ReadError> {
    let class = classes.class_of(reader, addr)?;
    match class.kind {
        FutureKind::CTask => read_c_task(reader, classes, addr),
        FutureKind::PythonTask => read_python_task(reader, classes, addr),
        // A third-party class that was registered with asyncio: if it has a coroutine, it counts as a task.
        FutureKind::Other if reader.attribute(addr, "_coro")?.is_some() => read_python_task(reader, classes, addr),
        _ => Err(ReadError::Invalid("task")),
    }
}

fn read_c_task(reader: &mut Reader<'_, '_>, classes: &mut FutureClasses, addr: Addr) -> Result<TaskRecord, ReadError> {
    let Layout { task: fields, future: FutureFields { state, .. }, lazy_names, .. } = classes.layout;
    let bytes: [u8; TASK_BLOCK] = reader.view.block(addr, fields.size as usize)?;
    let block = Block(&bytes);
    let future = classes.read(reader, addr)?.ok_or(ReadError::Invalid("task"))?;
    let ty = reader.view.object(addr, reader.layout.object.ob_type)?;
    let info = reader.caches.types.get(reader.view, reader.layout, ty)?;
    let class_name = if info.name == "_asyncio.Task" {
        None
    } else {
        Some(reader.caches.types.qualified_name(reader.view, reader.layout, ty)?)
    };
    let name = block.pointer(fields.name)?.map_or(Ok(None), |name| read_name(reader, name, lazy_names))?;
    let cancel_requests = match fields.num_cancels_requested {
        Some(at) => u32::try_from(block.i32(at)?).unwrap_or(0),
        None => 0,
    };
    // The whole object up to its coroutine: reference count, callbacks, state, waiter.
    let anchor = Some(Span::new(addr, (fields.coro.max(state) + 8) as usize));
    Ok(TaskRecord {
        coroutine: not_none(reader, block.pointer(fields.coro)?)?,
        waiter: not_none(reader, block.pointer(fields.fut_waiter)?)?,
        name,
        class_name,
        must_cancel: block.flag(fields.must_cancel)?,
        cancel_requests,
        future,
        references: optional(read_refcount(reader.view, reader.layout, addr))?.flatten(),
        anchor,
    })
}

fn not_none(reader: &mut Reader<'_, '_>, object: Option<Addr>) -> Result<Option<Addr>, ReadError> {
    object.map_or(Ok(None), |object| reader.not_none(object))
}

// CPython: Lib/asyncio/tasks.py.
fn read_python_task(
    reader: &mut Reader<'_, '_>,
    classes: &mut FutureClasses,
    addr: Addr,
) -> Result<TaskRecord, ReadError> {
    let future = match classes.read(reader, addr)? {
        Some(future) => future,
        None => FutureRecord {
            addr,
            is_task: true,
            is_gathering: false,
            state: FutureState::Pending,
            event_loop: reader.attribute(addr, "_loop")?,
            callbacks: Vec::new(),
            exception: None,
            never_retrieved: false,
            awaited_by: Vec::new(),
        },
    };
    let lazy_names = classes.layout.lazy_names;
    let name = reader.attribute(addr, "_name")?.map_or(Ok(None), |name| read_name(reader, name, lazy_names))?;
    let ty = reader.view.object(addr, reader.layout.object.ob_type)?;
    let class_name = reader.caches.types.qualified_name(reader.view, reader.layout, ty)?;
    let must_cancel = super::future::is_true(reader, addr, "_must_cancel")?;
    let cancel_requests = reader.int_attribute(addr, "_num_cancels_requested")?.unwrap_or(0);
    Ok(TaskRecord {
        coroutine: reader.attribute_not_none(addr, "_coro")?,
        waiter: reader.attribute_not_none(addr, "_fut_waiter")?,
        name,
        class_name: Some(class_name),
        must_cancel,
        cancel_requests: u32::try_from(cancel_requests).unwrap_or(0),
        future,
        references: optional(read_refcount(reader.view, reader.layout, addr))?.flatten(),
        anchor: None,
    })
}

/// A task's name: a str, or an int n that stands for `Task-n` until the name is requested.
fn read_name(reader: &mut Reader<'_, '_>, name: Addr, lazy_names: bool) -> Result<Option<String>, ReadError> {
    if lazy_names && reader.type_of(name)?.name == "int" {
        let number = optional(read_int(reader.view, reader.layout, name))?;
        return Ok(number.map(|number| ["Task-", &number.to_string()].concat()));
    }
    // Subclasses of str keep their characters elsewhere; such a task just has no name here.
    optional(reader.str(name))
}
