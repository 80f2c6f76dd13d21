//! asyncio's rows of the layout table, oldest first: each contains only the changes from the one before. They were read
//! and checked on the interpreters that [`python::layout::rows::TAGS`](crate::python::layout::rows::TAGS) names.

use super::fields::*;
use crate::python::layout::{Flag, Layout as Python};

/// Bytes of the largest future of any version (3.10).
pub const FUTURE_BLOCK: usize = 152;
/// Bytes of the largest task of any version (3.10).
pub const TASK_BLOCK: usize = 192;

/// The row that belongs to this layout of CPython.
pub fn row(python: &Python) -> Layout {
    let mut layout = match python.minor {
        ..=8 => v3_8(),
        9 => v3_9(),
        10 => v3_10(),
        11 => v3_11(),
        12 => v3_12(),
        13 => v3_13(python),
        14 => v3_14(python),
        15.. => v3_15(python),
    };
    if python.free_threaded {
        grow(&mut layout, python);
    }
    layout
}

fn v3_8() -> Layout {
    Layout {
        registry: Registry::AllTasks,
        running_loop: RunningLoop::Holder { event_loop: 16, pid: 24 },
        running_task: None,
        future: Future {
            event_loop: 16,
            callback0: 24,
            callbacks: 40,
            exception: 48,
            state: 72,
            log_traceback: Flag::Int(76),
            awaited_by: None,
            size: 104,
        },
        task: Task {
            fut_waiter: 104,
            coro: 112,
            name: 120,
            must_cancel: Flag::Int(136),
            num_cancels_requested: None,
            size: 144,
        },
        handle: Handle { args: 16, callback: 24, cancelled: 32, when: 88 },
        lazy_names: false,
    }
}

fn v3_9() -> Layout {
    let mut l = v3_8();
    l.future = Future { state: 80, log_traceback: Flag::Int(84), size: 144, ..l.future };
    l.task = Task { fut_waiter: 144, coro: 152, name: 160, must_cancel: Flag::Int(176), size: 184, ..l.task };
    l
}

fn v3_10() -> Layout {
    let mut l = v3_9();
    l.future = Future { state: 88, log_traceback: Flag::Int(92), size: 152, ..l.future };
    l.task = Task { fut_waiter: 152, coro: 160, name: 168, must_cancel: Flag::Int(184), size: 192, ..l.task };
    l
}

fn v3_11() -> Layout {
    let mut l = v3_10();
    l.future.size = 128;
    l.task = Task {
        fut_waiter: 128,
        coro: 136,
        name: 144,
        must_cancel: Flag::Int(160),
        num_cancels_requested: Some(168),
        size: 176,
    };
    l
}

fn v3_12() -> Layout {
    let mut l = v3_11();
    l.registry = Registry::Scheduled;
    l.running_loop = RunningLoop::ThreadDict;
    l.handle.when = 80;
    l.lazy_names = true;
    l
}

fn v3_13(python: &Python) -> Layout {
    let mut l = v3_12();
    // The first field after the public part of the thread state.
    if let Some(behind) = python.thread.size {
        l.running_loop = RunningLoop::Field(behind);
    }
    l.future = Future { state: 96, log_traceback: Flag::Bit(100, 0), size: 104, ..l.future };
    l.task = Task {
        fut_waiter: 112,
        coro: 120,
        name: 128,
        must_cancel: Flag::Bit(100, 2),
        num_cancels_requested: Some(104),
        size: 144,
    };
    l
}

fn v3_14(python: &Python) -> Layout {
    let mut l = v3_13(python);
    l.registry = Registry::Lists(Lists {
        of_thread: 880,
        of_interpreter: if python.free_threaded { 17304 } else { 10880 },
        node: 152,
        non_asyncio_tasks: 48,
        non_asyncio_eager_tasks: 56,
    });
    l.running_loop = RunningLoop::Field(864);
    l.running_task = Some(872);
    l.future = Future {
        state: 104,
        log_traceback: Flag::Bit(110, 0),
        awaited_by: Some(AwaitedBy { object: 96, is_set: 109 }),
        size: 112,
        ..l.future
    };
    l.task = Task {
        fut_waiter: 120,
        coro: 128,
        name: 136,
        must_cancel: Flag::Bit(110, 2),
        num_cancels_requested: Some(112),
        size: 168,
    };
    l
}

fn v3_15(python: &Python) -> Layout {
    let mut l = v3_14(python);
    if let Registry::Lists(lists) = &mut l.registry {
        lists.of_thread = 1048;
        lists.of_interpreter = if python.free_threaded { 17256 } else { 10856 };
    }
    l.running_loop = RunningLoop::Field(1024);
    l.running_task = Some(1032);
    l
}

/// A free-threaded build: every field moves by the growth of the object header.
fn grow(l: &mut Layout, python: &Python) {
    let growth = python.object.size - 16;
    let flag = |flag| match flag {
        Flag::Int(at) => Flag::Int(at + growth),
        Flag::Bit(at, bit) => Flag::Bit(at + growth, bit),
    };
    let Future { event_loop, callback0, callbacks, exception, state, log_traceback, awaited_by, size } = &mut l.future;
    let Task { fut_waiter, coro, name, must_cancel, num_cancels_requested, size: task_size } = &mut l.task;
    let Handle { args, callback, cancelled, when } = &mut l.handle;
    let future = [event_loop, callback0, callbacks, exception, state, size];
    let task = [fut_waiter, coro, name, task_size].into_iter().chain(num_cancels_requested);
    for field in future.into_iter().chain(task).chain([args, callback, cancelled, when]) {
        *field += growth;
    }
    (*log_traceback, *must_cancel) = (flag(*log_traceback), flag(*must_cancel));
    if let Some(AwaitedBy { object, is_set }) = awaited_by {
        (*object, *is_set) = (*object + growth, *is_set + growth);
    }
    if let Registry::Lists(lists) = &mut l.registry {
        lists.node += growth;
        // The links are followed by a word for the owning thread.
        l.task.size += 8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python::layout::rows as python;

    #[test]
    fn what_is_read_in_one_piece_holds_the_fields_of_every_row() {
        for minor in python::OLDEST_MINOR..=python::NEWEST_MINOR {
            for layout in [false, true].into_iter().filter_map(|free_threaded| python::row(minor, free_threaded)) {
                let row = row(&layout);
                assert!(row.future.size <= FUTURE_BLOCK as u64 && row.task.size <= TASK_BLOCK as u64, "3.{minor}");
            }
        }
    }
}
