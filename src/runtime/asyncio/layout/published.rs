//! The table of offsets that asyncio's C module publishes about itself, 3.14+.
// CPython: Modules/_asynciomodule.c, Py_AsyncioModuleDebugOffsets.

use super::fields::*;
use crate::python::layout::published::PublishedError;
use crate::python::layout::published::tables::{Group, Table, WORD, word_count};
use crate::python::layout::{Flag, Layout as Python};

/// The structures and their words, in the table's order.
const GROUPS: [Group; 3] = [
    ("asyncio_task_object", "size task_name task_awaited_by task_is_task task_awaited_by_is_set task_coro task_node"),
    ("asyncio_interpreter_state", "size asyncio_tasks_head"),
    ("asyncio_thread_state", "size asyncio_running_loop asyncio_running_task asyncio_tasks_head"),
];

/// Bytes of the table.
pub const TABLE: usize = word_count(&GROUPS) * WORD;

/// The layout, with the values published by the asyncio module in place of the row's.
///
/// # Errors
/// If the table is too short or contains an implausible number; `OtherBuild` for a layout of a version that publishes
/// no such table. Then nothing of it is used.
pub fn overlay(layout: Layout, python: &Python, table: &[u8]) -> Result<Layout, PublishedError> {
    let table = Table::new(&GROUPS, table)?;
    let mut l = layout;
    let (Some(awaited_by), Registry::Lists(lists)) = (&mut l.future.awaited_by, &mut l.registry) else {
        return Err(PublishedError::OtherBuild);
    };
    let object = table.structure("asyncio_task_object")?;
    let task = &mut l.task;
    task.size = object.size;
    object.put("task_name", 8, &mut task.name)?;
    object.put("task_node", 8, &mut lists.node)?;
    object.put("task_coro", 8, &mut task.coro)?;
    object.put("task_awaited_by", 8, &mut awaited_by.object)?;
    object.put("task_awaited_by_is_set", 1, &mut awaited_by.is_set)?;
    let is_task = object.offset("task_is_task", 1)?;
    // Unpublished fields have a fixed distance to published ones, in the versions that publish.
    let header = python.object.size;
    task.fut_waiter = object.before("task_coro", task.coro, 8, header)?;
    l.future.state = object.before("task_is_task", is_task, 4, header)?;
    if is_task % 4 != 0 {
        return Err(object.implausible("task_is_task", is_task));
    }
    task.num_cancels_requested = task.num_cancels_requested.map(|_| is_task + 4);
    let flags = awaited_by.is_set + 1;
    l.future.log_traceback = Flag::Bit(flags, 0);
    task.must_cancel = Flag::Bit(flags, 2);
    table.structure("asyncio_interpreter_state")?.put("asyncio_tasks_head", 8, &mut lists.of_interpreter)?;
    let thread = table.structure("asyncio_thread_state")?;
    l.running_loop = RunningLoop::Field(thread.offset("asyncio_running_loop", 8)?);
    thread.put_some("asyncio_running_task", 8, &mut l.running_task)?;
    thread.put("asyncio_tasks_head", 8, &mut lists.of_thread)?;
    Ok(l)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python::layout::rows as python;
    use crate::runtime::asyncio::layout::rows;

    #[test]
    fn the_table_has_the_size_that_interpreters_publish_and_needs_a_version_that_publishes_it() {
        assert_eq!(TABLE, 104);
        let table = vec![0; TABLE];
        let python = [13, 14].map(|minor| python::row(minor, false).unwrap());
        let row = rows::row(&python[0]);
        assert_eq!(overlay(row, &python[0], &table), Err(PublishedError::OtherBuild));
        let row = rows::row(&python[1]);
        assert!(matches!(overlay(row, &python[1], &table), Err(PublishedError::Implausible { field: "size", .. })));
    }
}
