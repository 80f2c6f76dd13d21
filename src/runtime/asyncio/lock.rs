//! The task that holds a lock or semaphore. asyncio does not record it, but a task inside `async with lock` has the
//! object that will release it on the evaluation stack of that frame: the bound `__aexit__`, or from 3.14 on the lock
//! itself.

use crate::python::frame::{RawFrame, untag};
use crate::python::reader::{Reader, optional};
use crate::remote::{Addr, ReadError};

/// LIMIT: entries of one evaluation stack that are examined.
const MAX_ENTRIES: u32 = 1_000;

/// The objects that the suspended frame will use to leave its `async with` blocks.
fn read_context_managers(reader: &mut Reader<'_, '_>, frame: &RawFrame) -> Result<Vec<Addr>, ReadError> {
    let mut managers = Vec::new();
    let locals = reader.code(frame.code)?.locals;
    for index in locals..frame.live_slots.min(locals.saturating_add(MAX_ENTRIES)) {
        let raw = frame.slot(reader.view, index)?;
        let Some(object) = untag(reader.layout, raw) else { continue };
        let Some(ty) = optional(reader.type_of(object))? else { continue };
        if ty.name == "method" {
            managers.push(reader.view.object(object, reader.layout.builtin.method_self)?);
        } else {
            managers.push(object);
        }
    }
    Ok(managers)
}

/// The objects that a suspended frame has entered with `async with`, plus the locks wrapped by conditions among them.
pub fn read_entered(reader: &mut Reader<'_, '_>, frame: &RawFrame) -> Result<Vec<Addr>, ReadError> {
    let mut entered = read_context_managers(reader, frame)?;
    for position in 0..entered.len() {
        entered.extend(lock_of_condition(reader, entered[position])?);
    }
    Ok(entered)
}

/// The lock that a condition wraps; `None` for any other object.
fn lock_of_condition(reader: &mut Reader<'_, '_>, manager: Addr) -> Result<Option<Addr>, ReadError> {
    Ok(match optional(reader.is_instance(manager, "Condition"))? {
        Some(true) => optional(reader.attribute(manager, "_lock"))?.flatten(),
        _ => None,
    })
}
