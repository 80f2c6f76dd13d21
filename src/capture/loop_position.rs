//! Where an event loop is, according to the frames of the thread that it is set as running in.

use crate::model::snapshot::LoopPosition;
use crate::python::frame::RawFrame;
use crate::python::reader::Reader;
use crate::remote::ReadError;
use crate::remote::kernel_thread::is_selector;
use crate::runtime::asyncio::iteration::{is_machinery, is_run_forever};

/// What a frame has to do with an event loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// It is an iteration.
    RunOnce,
    /// It calls iterations.
    RunForever,
    /// It calls a callback or a step.
    Handle,
    /// It is of a selector.
    Selector,
    /// It is the outermost of a thread.
    Root,
    /// Nothing.
    Other,
}

impl Mark {
    pub(super) fn of(reader: &mut Reader<'_, '_>, frame: &RawFrame) -> Result<Self, ReadError> {
        if is_run_forever(reader, frame)? {
            return Ok(Self::RunForever);
        }
        let code = reader.code(frame.code)?;
        let function = code.function.rsplit('.').next().unwrap_or_default();
        Ok(match function {
            "_run_once" => Self::RunOnce,
            _ if is_machinery(&code.function, &code.file) => Self::Handle,
            // CPython: Lib/selectors.py, 3.8 to 3.15. Selectors of others call these, and have the same method.
            _ if code.file.ends_with("/selectors.py") || &*code.file == "<frozen selectors>" => Self::Selector,
            "select" => Self::Selector,
            _ if code.begins_a_thread() => Self::Root,
            _ => Self::Other,
        })
    }
}

/// `marks` are those of a whole stack, outermost first; `step` is the index of the outermost coroutine of the running
/// task, if it is on the stack; `has_greenlets`: the program uses greenlets, so that a loop can be on another stack of the same
/// thread; `written_in_c`: its iterations are no frames.
pub(super) fn find_position(
    marks: &[Mark],
    step: Option<usize>,
    has_greenlets: bool,
    written_in_c: bool,
) -> LoopPosition {
    // Of nested loops the innermost decides.
    if let Some(iteration) = marks.iter().rposition(|mark| *mark == Mark::RunOnce) {
        let inner = &marks[iteration + 1..];
        return match inner.first() {
            Some(Mark::Handle) => LoopPosition::Callback,
            Some(Mark::Selector) if inner.iter().all(|mark| *mark == Mark::Selector) => LoopPosition::Selector,
            Some(Mark::Selector) => LoopPosition::Interrupted,
            _ if step.is_some_and(|step| step > iteration) => LoopPosition::Callback,
            // A selector that is written in C, or the work of the iteration itself.
            None => LoopPosition::Iteration,
            _ => LoopPosition::Unknown,
        };
    }
    let driven = marks.contains(&Mark::RunForever);
    if step.is_some() || marks.contains(&Mark::Handle) {
        // A loop that iterates in its own way, such as one of a graphical toolkit, can do so within a step.
        return if driven && !written_in_c { LoopPosition::Native } else { LoopPosition::Callback };
    }
    match marks.first() {
        _ if written_in_c && !has_greenlets => LoopPosition::Native,
        Some(Mark::Root) if has_greenlets && !written_in_c && !driven => LoopPosition::Parked,
        _ => LoopPosition::Unknown,
    }
}

/// The position with what the kernel adds to it: `call` is the system call that the thread slept in all the while.
pub(super) fn settle(position: LoopPosition, call: Option<&str>, in_task: bool) -> LoopPosition {
    match (position, call) {
        (LoopPosition::Iteration, Some(call)) if is_selector(call) => LoopPosition::Selector,
        // A step can wait for descriptors itself.
        (LoopPosition::Native, Some(call)) if is_selector(call) && in_task => LoopPosition::Unknown,
        (LoopPosition::Native, Some(call)) if is_selector(call) => LoopPosition::Selector,
        // The loop itself waits in no other call: something that it called does.
        (LoopPosition::Native, Some(_)) => LoopPosition::Callback,
        _ => position,
    }
}

#[cfg(test)]
mod tests {
    use super::Mark::{Handle, Other, Root, RunForever, RunOnce, Selector};
    use super::*;

    fn position(marks: &[Mark]) -> LoopPosition {
        find_position(marks, None, true, false)
    }

    #[test]
    fn the_innermost_of_nested_iterations_decides() {
        let outer = [Root, RunForever, RunOnce, Handle, Other];
        let nested = |inner: &[Mark]| position(&[&outer[..], inner].concat());
        assert_eq!(nested(&[]), LoopPosition::Callback);
        assert_eq!(nested(&[Other, RunOnce, Selector, Selector]), LoopPosition::Selector);
        assert_eq!(nested(&[Other, RunOnce, Handle, Other]), LoopPosition::Callback);
        assert_eq!(find_position(&[Root, RunOnce, Handle, Other, RunOnce, Selector], Some(3), true, false), {
            LoopPosition::Selector
        });
    }

    #[test]
    fn what_runs_above_a_selector_interrupts_it() {
        assert_eq!(position(&[Root, RunForever, RunOnce, Selector, Other]), LoopPosition::Interrupted);
    }

    #[test]
    fn a_loop_is_parked_only_where_its_thread_was_seen_from_its_root() {
        assert_eq!(position(&[Root, Other]), LoopPosition::Parked);
        assert_eq!(position(&[Other, Other]), LoopPosition::Unknown, "a greenlet that the loop may have started");
        assert_eq!(position(&[Root, RunForever, Other]), LoopPosition::Unknown, "a loop that iterates in its own way");
        assert_eq!(find_position(&[Root, Other], None, false, false), LoopPosition::Unknown);
        assert_eq!(find_position(&[Root, Other], None, true, true), LoopPosition::Unknown);
    }

    #[test]
    fn a_loop_written_in_c_shows_no_iteration() {
        let alone = find_position(&[Root, Other], None, false, true);
        assert_eq!(settle(alone, Some("epoll_pwait"), false), LoopPosition::Selector);
        assert_eq!(settle(alone, Some("clock_nanosleep"), false), LoopPosition::Callback);
        assert_eq!(settle(alone, None, false), LoopPosition::Native);
        assert_eq!(find_position(&[Root, Other], Some(1), false, true), LoopPosition::Callback);
    }
}
