//! The references to a task that asyncio itself holds: from futures, callbacks and the task's own frames.

use rustc_hash::{FxHashMap, FxHashSet};

use super::callback::{Callback, Function, read_callback, read_captured, read_defaults};
use crate::python::container::read_dict_items;
use crate::python::coroutine::Level;
use crate::python::frame::{owns_reference, untag};
use crate::python::reader::{Reader, optional};
use crate::python::refcount::read_refcount;
use crate::remote::{Addr, ReadError};
use crate::runtime::record::{FutureRecord, TaskRecord};
use crate::runtime::references::{FutureReferences, Reference};

/// LIMIT: slots of one frame that are examined.
const MAX_SLOTS: u32 = 10_000;

/// LIMIT: members of a container in a task's own frame that are examined.
const MAX_MEMBERS: i64 = 10_000;

/// The references that a future's callbacks and its list of awaiters hold.
pub fn read_future_references(
    reader: &mut Reader<'_, '_>,
    future: &FutureRecord,
    callbacks: &[Callback],
) -> Result<FutureReferences, ReadError> {
    let mut references = Vec::with_capacity(future.awaited_by.len() + callbacks.len());
    references.extend(future.awaited_by.iter().map(|task| Reference::Own(*task)));
    for callback in callbacks {
        match callback {
            Callback::Wakes(task) => references.push(Reference::Wakes(*task)),
            Callback::Function(function) => read_function_references(reader, function, &mut references)?,
            // CPython: Lib/asyncio/taskgroups.py: the group keeps the task that opened it.
            Callback::Method { object, function } if function.short_name() == "_on_task_done" => {
                if let Some(task) = optional(reader.attribute(*object, "_parent_task"))?.flatten() {
                    references.push(Reference::Group { group: *object, parent: task });
                }
            }
            _ => {}
        }
    }
    Ok(FutureReferences { future: future.addr, references })
}

/// CPython: Lib/asyncio/tasks.py, v3.14.10: callbacks of wait, shield and gather keep the waiting task as `cur_task`.
fn read_function_references(
    reader: &mut Reader<'_, '_>,
    function: &Function,
    references: &mut Vec<Reference>,
) -> Result<(), ReadError> {
    if !function.info.file.ends_with("asyncio/tasks.py") {
        return Ok(());
    }
    if let Some(captured) = optional(read_captured(reader, function, "cur_task"))?.flatten()
        && let Some(task) = captured.value
    {
        references.push(Reference::Shared { holder: captured.cell, task });
    }
    for task in optional(read_defaults(reader, function))?.unwrap_or_default() {
        references.push(Reference::Shared { holder: function.addr, task });
    }
    if function.short_name() == "_on_completion"
        && let Some(captured) = optional(read_captured(reader, function, "done"))?.flatten()
        && let Some(queue) = captured.value
    {
        references.push(Reference::ReportsTo(queue));
    }
    Ok(())
}

/// References to a task from its own coroutines and its own callbacks: a cycle, which keeps nothing alive.
pub fn count_own_references(
    reader: &mut Reader<'_, '_>,
    holders: &mut HolderTypes,
    task: &TaskRecord,
    levels: &[Level],
) -> Result<i64, ReadError> {
    let addr = task.future.addr;
    let (mut own, mut pending) = (0, false);
    let mut looked_into = FxHashSet::default();
    let mut words = std::mem::take(&mut holders.words);
    let mut met = [addr; 4];
    for (depth, level) in levels.iter().enumerate() {
        let awaited = levels.get(depth + 1).map(|next| next.object);
        level.frame.slots(reader.view, MAX_SLOTS, &mut words)?;
        for &raw in &words {
            let Some(object) = untag(reader.layout, raw) else { continue };
            if Some(object) == awaited {
                continue;
            }
            if object == addr {
                own += i64::from(owns_reference(reader.layout, raw));
                continue;
            }
            // A caller passes the same few objects down through all levels.
            if met.contains(&object) {
                continue;
            }
            met.rotate_right(1);
            met[0] = object;
            let found = match optional(holders.contain(reader, object)) {
                Ok(Some(true)) if looked_into.insert(object) => {
                    optional(count_in_object(reader, object, addr, &mut looked_into))
                }
                Ok(_) => continue,
                Err(error) => Err(error),
            };
            match found {
                Ok(found) => own += found.unwrap_or(0),
                // The missing pages of all levels are read together: one after the other would cost a round of the wave
                // each.
                Err(ReadError::Pending) => pending = true,
                Err(error) => return Err(error),
            }
        }
    }
    holders.words = words;
    for &callback in &task.future.callbacks {
        match optional(read_callback(reader, callback))? {
            Some(Callback::Partial { args }) => own += args.iter().filter(|arg| **arg == addr).count() as i64,
            Some(Callback::Method { object, .. }) if object == addr => own += 1,
            _ => {}
        }
    }
    if pending { Err(ReadError::Pending) } else { Ok(own) }
}

/// The types whose objects are searched for references to a task: most variables are of other types.
#[derive(Debug, Default)]
pub struct HolderTypes {
    known: FxHashMap<Addr, bool>,
    /// The slots of one frame: kept, because an allocation for each task is noticeable.
    words: Vec<u64>,
}

impl HolderTypes {
    fn contain(&mut self, reader: &mut Reader<'_, '_>, object: Addr) -> Result<bool, ReadError> {
        const LOOKED_INTO: [&str; 7] = ["method", "Timeout", "cell", "list", "tuple", "set", "dict"];
        let ty = reader.view.object(object, reader.layout.object.ob_type)?;
        if let Some(&known) = self.known.get(&ty) {
            return Ok(known);
        }
        let info = reader.caches.types.get(reader.view, reader.layout, ty)?;
        let looked_into = LOOKED_INTO.contains(&info.name.as_str());
        self.known.insert(ty, looked_into);
        Ok(looked_into)
    }
}

/// References to `task` from an object that one of its own frames holds: a timeout it is in, or a container that
/// nothing else holds.
fn count_in_object(
    reader: &mut Reader<'_, '_>,
    object: Addr,
    task: Addr,
    looked_into: &mut FxHashSet<Addr>,
) -> Result<i64, ReadError> {
    let ty = reader.type_of(object)?;
    let members =
        match ty.name.as_str() {
            "method" => {
                let bound = reader.view.object(object, reader.layout.builtin.method_self)?;
                // The same timeout may also be in a variable.
                return if looked_into.insert(bound) { count_timeout(reader, bound, task) } else { Ok(0) };
            }
            "Timeout" => return count_timeout(reader, object, task),
            "cell" => reader.view.pointer(object, reader.layout.builtin.cell_content)?.into_iter().collect(),
            "list" | "tuple" if reader.view.i64(object, reader.layout.object.size)? <= MAX_MEMBERS => {
                if ty.name == "list" { reader.list(object)? } else { reader.tuple(object)? }
            }
            "set" if reader.view.i64(object, reader.layout.builtin.set_used)? <= MAX_MEMBERS => reader.set(object)?,
            "dict" if reader.view.i64(object, reader.layout.dict.used)? <= MAX_MEMBERS => {
                let items = read_dict_items(reader.view, reader.layout, object)?;
                items.into_iter().flat_map(|(key, value)| [key, value]).collect()
            }
            _ => return Ok(0),
        };
    let found = members.iter().filter(|member| **member == task).count() as i64;
    // A container with other holders makes the task theirs.
    let exclusive = found > 0 && read_refcount(reader.view, reader.layout, object)? == Some(1);
    Ok(if exclusive { found } else { 0 })
}

/// CPython: Lib/asyncio/timeouts.py: an entered timeout keeps the task that it may have to cancel.
fn count_timeout(reader: &mut Reader<'_, '_>, object: Addr, task: Addr) -> Result<i64, ReadError> {
    if reader.type_of(object)?.name != "Timeout" {
        return Ok(0);
    }
    Ok(i64::from(reader.attribute(object, "_task")? == Some(task)))
}
