//! All tasks of an interpreter, from every list and set in which asyncio keeps them.

use rustc_hash::FxHashMap;

use super::future::FutureClasses;
use super::layout::{Layout, Lists, Registry};
use crate::python::gc::walk_collected;
use crate::python::interpreter::Interpreter;
use crate::python::layout::Offset;
use crate::python::modules::Module;
use crate::python::reader::Reader;
use crate::python::weak_set::{WeakMembers, read_weak_set};
use crate::remote::{Addr, ReadError};
use crate::runtime::record::{MAX_TASKS, TaskList};

/// LIMIT: how many times a list that changed while it was walked is walked again.
const ATTEMPTS: usize = 4;

/// asyncio's modules in one interpreter.
#[derive(Clone, Copy, Debug)]
pub struct AsyncioModules {
    /// The layout of asyncio's structures.
    pub layout: Layout,
    /// `asyncio.tasks`.
    pub tasks: Module,
    /// `_asyncio`, the C module; absent only where it could not be built.
    pub accelerator: Option<Module>,
}

impl AsyncioModules {
    /// Finds them; `None` if the interpreter has not imported asyncio.
    pub fn find(reader: &mut Reader<'_, '_>, layout: &Layout, interpreter: Addr) -> Result<Option<Self>, ReadError> {
        let Some(tasks) = reader.module(interpreter, "asyncio.tasks")? else { return Ok(None) };
        Ok(Some(Self { layout: *layout, tasks, accelerator: reader.module(interpreter, "_asyncio")? }))
    }
}

/// Adds the tasks of an interpreter with these threads (states): all that are pending, and of those that are done the
/// ones that asyncio still lists.
///
/// # Errors
/// Only those after which no further read can succeed; everything else is a problem of the list.
pub fn list_tasks(
    reader: &mut Reader<'_, '_>,
    interpreter: Addr,
    threads: &[Addr],
    modules: AsyncioModules,
    list: &mut TaskList,
) -> Result<(), ReadError> {
    match modules.layout.registry {
        Registry::AllTasks => add_weak_set(reader, modules.tasks, "_all_tasks", list)?,
        Registry::Scheduled => add_python_sets(reader, modules.tasks, list)?,
        Registry::Lists(lists) => {
            add_python_sets(reader, modules.tasks, list)?;
            add_lists(reader, interpreter, threads, &lists, list)?;
            if let Some(state) = modules.accelerator.and_then(|module| module.state) {
                let weak = reader.view.pointer(state, lists.non_asyncio_tasks);
                let weak = weak.and_then(|set| read_weak(reader, set));
                add_members(list, "tasks of other classes", weak)?;
                let eager = reader.view.pointer(state, lists.non_asyncio_eager_tasks);
                let eager = eager.and_then(|set| read_eager(reader, set));
                list.add_all("tasks of other classes", eager)?;
            }
        }
    }
    Ok(())
}

fn add_python_sets(reader: &mut Reader<'_, '_>, tasks: Module, list: &mut TaskList) -> Result<(), ReadError> {
    add_weak_set(reader, tasks, "_scheduled_tasks", list)?;
    let eager = reader.global(tasks, "_eager_tasks").and_then(|set| read_eager(reader, set));
    list.add_all("eager tasks", eager)
}

fn add_weak_set(
    reader: &mut Reader<'_, '_>,
    tasks: Module,
    name: &'static str,
    list: &mut TaskList,
) -> Result<(), ReadError> {
    let mut members = Err(ReadError::Invalid("task registry"));
    for _ in 0..ATTEMPTS {
        members = reader.global(tasks, name).and_then(|set| match set {
            Some(_) => read_weak(reader, set),
            None => Err(ReadError::Invalid("task registry")),
        });
        match members {
            Ok(_) => break,
            Err(error) if error.is_fatal() => return Err(error),
            // A growing set moves its table; what was read of it before is out of date.
            Err(_) => reader.view.forget(),
        }
    }
    add_members(list, "task registry", members)
}

/// Adds the members of a weak set, and says if there are more.
fn add_members(
    list: &mut TaskList,
    what: &'static str,
    found: Result<WeakMembers, ReadError>,
) -> Result<(), ReadError> {
    let cut = found.as_ref().ok().and_then(|found| found.cut);
    list.add_all(what, found.map(|found| found.members))?;
    cut.map_or(Ok(()), |error| list.problem(what, error))
}

fn read_weak(reader: &mut Reader<'_, '_>, set: Option<Addr>) -> Result<WeakMembers, ReadError> {
    let Some(set) = set else { return Ok(WeakMembers::default()) };
    read_weak_set(reader.view, reader.layout, &mut reader.caches.types, set)
}

fn read_eager(reader: &mut Reader<'_, '_>, set: Option<Addr>) -> Result<Vec<Addr>, ReadError> {
    set.map_or(Ok(Vec::new()), |set| reader.set(set))
}

/// 3.14+: one ring per thread, and one per interpreter for tasks whose thread has exited.
fn add_lists(
    reader: &mut Reader<'_, '_>,
    interpreter: Addr,
    threads: &[Addr],
    lists: &Lists,
    list: &mut TaskList,
) -> Result<(), ReadError> {
    let of_threads = threads.iter().filter_map(|thread| thread.add(lists.of_thread));
    for head in of_threads.chain(interpreter.add(lists.of_interpreter)) {
        let mut outcome = Ok(());
        for _ in 0..ATTEMPTS {
            outcome = walk_list(reader, head, lists.node, list);
            match outcome {
                Ok(()) => break,
                Err(error) if error.is_fatal() => return Err(error),
                Err(ReadError::Limit(_)) => break,
                // The page with the inconsistent link is out of date; the rest must be read afresh.
                Err(_) => reader.view.forget(),
            }
        }
        if let Err(error) = outcome {
            list.problem("task list", error)?;
        }
    }
    Ok(())
}

fn walk_list(reader: &mut Reader<'_, '_>, head: Addr, node_at: Offset, list: &mut TaskList) -> Result<(), ReadError> {
    let mut at = head;
    for _ in 0..MAX_TASKS {
        let next = reader.view.object(at, 0)?;
        reader.view.page_of_list(next);
        // Each link is matched by the one back; a node that was unlinked meanwhile breaks this.
        if reader.view.object(next, 8)? != at {
            return Err(ReadError::Invalid("task list"));
        }
        if next == head {
            return Ok(());
        }
        list.add(next.sub(node_at).ok_or(ReadError::BadPointer(next.raw()))?);
        at = next;
    }
    Err(ReadError::Limit("tasks"))
}

/// Adds tasks that are in no registry: from 3.14 on these are all tasks that are done, and those with an exception that
/// was never retrieved are worth finding. They are found among all objects of the garbage collector.
pub fn add_unlisted_tasks(
    reader: &mut Reader<'_, '_>,
    classes: &mut FutureClasses,
    runtime: Addr,
    interpreter: &Interpreter,
    list: &mut TaskList,
) -> Result<(), ReadError> {
    if !classes.layout.publishes_offsets() || reader.layout.gc.lists.is_none() {
        return Ok(());
    }
    let mut types: FxHashMap<Addr, bool> = FxHashMap::default();
    // Objects of the same type are adjacent.
    let (mut last, mut is_task) = (None, false);
    let walked = walk_collected(reader, runtime, interpreter.addr, |reader, object, ty| {
        if last != Some(ty) {
            is_task = match types.get(&ty) {
                Some(&known) => known,
                None => {
                    let known = match classes.class_of_type(reader, ty) {
                        Ok(class) => class.kind.is_task(),
                        Err(error) if error.is_fatal() => return Err(error),
                        Err(_) => false,
                    };
                    types.insert(ty, known);
                    known
                }
            };
            last = Some(ty);
        }
        if is_task {
            list.add(object);
        }
        Ok(())
    });
    match walked {
        Ok(()) => Ok(()),
        Err(error) => list.problem("failed tasks among the finished ones", error),
    }
}
