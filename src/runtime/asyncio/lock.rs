//! The task that holds a lock or semaphore. asyncio does not record it, but a task inside `async with lock` has the
//! object that will release it on the evaluation stack of that frame: the bound `__aexit__`, or from 3.14 on the lock
//! itself.

use super::callback::{Callback, read_callback};
use super::pools::pool_of_manager;
use crate::python::frame::{RawFrame, untag};
use crate::python::reader::{Reader, optional};
use crate::remote::{Addr, ReadError};

/// LIMIT: entries of one evaluation stack that are examined.
const MAX_ENTRIES: u32 = 1_000;

/// What leaves an `async with` block.
const EXIT: &str = "__aexit__";

/// What leaves a `with` block.
const SYNC_EXIT: &str = "__exit__";

/// The objects that the suspended frame will use to leave its `with` blocks, by calling one of `exits`. Arguments of a call that awaits are on
/// the same stack; only what belongs to such a call counts, or to a function that cannot be read, as in the images of
/// earlier versions.
fn read_context_managers(
    reader: &mut Reader<'_, '_>,
    frame: &RawFrame,
    exits: &[&str],
) -> Result<Vec<Addr>, ReadError> {
    let mut managers = Vec::new();
    let locals = reader.code(frame.code)?.locals;
    // 3.14+: the function, then the object. CPython: Python/bytecodes.c, v3.14.10: LOAD_SPECIAL.
    let mut follows_exit = false;
    for index in locals..frame.live_slots.min(locals.saturating_add(MAX_ENTRIES)) {
        let raw = frame.slot(reader.view, index)?;
        let Some(object) = untag(reader.layout, raw) else { continue };
        let Some(ty) = optional(reader.type_of(object))? else { continue };
        match ty.name.as_str() {
            "method" => match optional(read_callback(reader, object))? {
                Some(Callback::Method { object, function }) if exits.contains(&function.short_name()) => {
                    managers.push(object)
                }
                Some(_) => {}
                None => managers.push(reader.view.object(object, reader.layout.builtin.method_self)?),
            },
            "function" if !follows_exit => {
                let read = optional(read_callback(reader, object))?;
                follows_exit = match read {
                    Some(Callback::Function(function)) => exits.contains(&function.short_name()),
                    Some(_) => false,
                    None => true,
                };
                continue;
            }
            _ if follows_exit => managers.push(object),
            _ => {}
        }
        follows_exit = false;
    }
    Ok(managers)
}

/// The objects that a suspended frame has entered with `async with`, plus the locks wrapped by conditions among them, and
/// the pools of which they have a connection.
pub fn read_entered(reader: &mut Reader<'_, '_>, frame: &RawFrame) -> Result<Vec<Addr>, ReadError> {
    let mut entered = read_context_managers(reader, frame, &[EXIT])?;
    for position in 0..entered.len() {
        entered.extend(lock_of_condition(reader, entered[position])?);
        entered.extend(optional(pool_of_manager(reader, entered[position]))?.flatten());
    }
    Ok(entered)
}

/// The objects that a suspended frame has entered with `with` or `async with`.
pub fn read_scopes(reader: &mut Reader<'_, '_>, frame: &RawFrame) -> Result<Vec<Addr>, ReadError> {
    read_context_managers(reader, frame, &[EXIT, SYNC_EXIT])
}

/// The lock that a condition wraps; `None` for any other object.
fn lock_of_condition(reader: &mut Reader<'_, '_>, manager: Addr) -> Result<Option<Addr>, ReadError> {
    Ok(match optional(reader.is_instance(manager, "Condition"))? {
        Some(true) => optional(reader.attribute(manager, "_lock"))?.flatten(),
        _ => None,
    })
}
