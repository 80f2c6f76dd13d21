//! Where an event loop is in its iteration, and when its busy part started, by the loop's own clock.
//!
//! asyncio's `_run_once` stores the time in a local variable as soon as its selector has returned, to find the timers
//! that are due; until then the variable is unbound. libuv stores the same in its loop's structure.

use crate::python::frame::RawFrame;
use crate::python::reader::{Reader, optional};
use crate::remote::{Addr, ReadError, View};

/// Bytes of a loop written in C that are searched for a pointer to libuv's loop. uvloop 0.21 to 0.23 have it at 24.
const SEARCHED: u64 = 128;

/// Bytes of libuv's loop that are searched for its time. uvloop 0.21 to 0.23 (libuv 1.48) have it at 544.
const SEARCHED_UV: usize = 848;

/// Where libuv's loop points to its internal fields, which start with flags and the number of iterations.
// libuv: include/uv.h, uv_loop_t; src/uv-common.h, uv__loop_internal_fields_t, 1.45.
const UV_INTERNAL: u64 = 40;
const UV_LOOP_COUNT: u64 = 8;

/// Where libuv's loop keeps the descriptor on which it waits for events.
// libuv: include/uv.h and include/uv/unix.h, uv_loop_t, 1.45 to 1.48.
const UV_BACKEND_FD: u64 = 64;

/// How far libuv's time can be behind when it is searched, milliseconds: it is updated once per iteration.
const UV_BEHIND_MS: u64 = 600_000;

/// The local variables of asyncio's `_run_once` that show where an iteration is.
// CPython: Lib/asyncio/base_events.py, BaseEventLoop._run_once, v3.8.18 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunOnce {
    /// The code object.
    pub code: Addr,
    /// Slot of `self`: the loop.
    pub event_loop: Option<u32>,
    /// Slot of `end_time`: the loop's time when the selector returned, a float; unbound before.
    pub end_time: u32,
    /// Slot of `handle`: the callback that runs.
    pub handle: u32,
    /// Slot of `i`: how many callbacks of the iteration ran before it.
    pub position: Option<u32>,
    /// Number of slots that cover all of these.
    pub slots: u32,
}

impl RunOnce {
    /// The variables of a frame's code, if it is that of an iteration.
    pub fn find(reader: &mut Reader<'_, '_>, frame: &RawFrame) -> Result<Option<Self>, ReadError> {
        let info = reader.code(frame.code)?;
        if info.function.rsplit('.').next() != Some("_run_once") {
            return Ok(None);
        }
        let locals = reader.caches.codes.locals(reader.view, reader.layout, frame.code)?;
        let slot = |name: &str| {
            let slot = locals.iter().position(|local| &*local.name == name && !local.is_cell)?;
            u32::try_from(slot).ok()
        };
        let (Some(end_time), Some(handle)) = (slot("end_time"), slot("handle")) else { return Ok(None) };
        let position = slot("i");
        let event_loop = slot("self");
        let slots = [end_time, handle].into_iter().chain(position).chain(event_loop).max().unwrap_or(0) + 1;
        Ok(Some(Self { code: frame.code, event_loop, end_time, handle, position, slots }))
    }
}

/// Follows the frames inside `_run_once`, outermost first, to find out what interrupts its selector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InsideRunOnce {
    /// The file of the selector.
    selector: Option<String>,
    calls_another: bool,
}

impl InsideRunOnce {
    /// Whether the next frame is inside a selector and not part of it: the handler of a signal, or a finalizer.
    pub fn is_interrupted_by(&mut self, function: &str, file: &str) -> bool {
        // CPython: Lib/selectors.py: `select`, and helpers in the same file. A selector can wrap another one.
        let is_selector = matches!(function.rsplit('.').next(), Some("select" | "_select"));
        match &self.selector {
            Some(of) => !is_selector && of != file,
            None => {
                self.calls_another |= !is_selector;
                self.selector = (is_selector && !self.calls_another).then(|| file.to_owned());
                false
            }
        }
    }
}

/// Where the frames inside the `run_forever` of a loop that has no `_run_once` have got to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsideLoop {
    /// In the loop's own code.
    Own,
    /// In a callback that one of asyncio's handles runs.
    Handle,
    /// In other code that the loop did not call through a handle: a signal handler, or what a toolkit calls.
    Other,
}

/// Follows the frames of a stack, outermost first, to find out where a loop is that is neither asyncio's own nor written
/// in C, such as one that drives a toolkit's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InsideRunForever {
    /// The file of the loop.
    file: String,
    place: Option<InsideLoop>,
}

impl InsideRunForever {
    /// Whether the next frame is the loop's.
    pub fn includes(&mut self, function: &str, file: &str) -> bool {
        let name = function.rsplit('.').next();
        if name == Some("run_forever") {
            *self = Self { file: file.to_owned(), place: Some(InsideLoop::Own) };
            return true;
        }
        if self.place != Some(InsideLoop::Own) {
            return false;
        }
        // CPython: Lib/selectors.py: `select`.
        let is_own = file == self.file || (name == Some("select") && file.ends_with("/selectors.py"));
        let is_handle = !is_own && is_machinery(function, file);
        self.place = Some(match (is_own, is_handle) {
            (true, _) => InsideLoop::Own,
            (false, true) => InsideLoop::Handle,
            (false, false) => InsideLoop::Other,
        });
        is_own || is_handle
    }

    /// Where the innermost of the frames is; `None` if none of them runs a loop.
    pub fn place(&self) -> Option<InsideLoop> {
        self.place
    }
}

/// Whether a frame is the one that calls `_run_once` repeatedly.
// CPython: Lib/asyncio/base_events.py, BaseEventLoop.run_forever, v3.8.18 on.
pub fn is_run_forever(reader: &mut Reader<'_, '_>, frame: &RawFrame) -> Result<bool, ReadError> {
    Ok(reader.code(frame.code)?.function.rsplit('.').next() == Some("run_forever"))
}

/// libuv's loop behind a loop object written in C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UvLoop {
    /// u64: milliseconds of `CLOCK_MONOTONIC` when its poll returned.
    pub time: Addr,
    /// u64: iterations so far.
    pub count: Option<Addr>,
    /// The descriptor on which it waits for events; whoever uses it checks that it is one of epoll.
    pub poll: Option<i32>,
}

impl UvLoop {
    /// Finds it: the structure that the loop object points to and that points back, and the word in it that is the
    /// time. `now_ns` is `CLOCK_MONOTONIC`.
    pub fn find(view: &mut View<'_>, event_loop: Addr, now_ns: u64) -> Result<Option<Self>, ReadError> {
        for at in (16..SEARCHED).step_by(8) {
            let Some(uv) = Addr::aligned(view.u64(event_loop, at)?) else { continue };
            if optional(view.u64(uv, 0))? != Some(event_loop.raw()) {
                continue;
            }
            let Some(bytes) = optional(view.bytes(uv, SEARCHED_UV))? else { continue };
            let now_ms = now_ns / 1_000_000;
            let is_time = |word: u64| word <= now_ms + 1 && word + UV_BEHIND_MS >= now_ms;
            let words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
            let mut times = words.enumerate().skip(1).filter(|(_, word)| is_time(*word)).map(|(index, _)| index as u64);
            // Two candidates: it is not clear which one is the time.
            let (Some(index), None) = (times.next(), times.next()) else { return Ok(None) };
            let count = match optional(view.object(uv, UV_INTERNAL))? {
                Some(internal) => internal.add(UV_LOOP_COUNT),
                None => None,
            };
            let poll = optional(view.i32(uv, UV_BACKEND_FD))?.filter(|fd| *fd >= 0);
            return Ok(uv.add(8 * index).map(|time| Self { time, count, poll }));
        }
        Ok(None)
    }
}

/// Whether a frame lies between `_run_once` and the callback or step that it runs.
// CPython: Lib/asyncio/events.py, Handle._run; Lib/asyncio/tasks.py, Task.__step and its parts.
pub fn is_machinery(function: &str, file: &str) -> bool {
    let function = function.rsplit('.').next().unwrap_or_default();
    (file.ends_with("asyncio/events.py") && function == "_run")
        || (file.ends_with("asyncio/tasks.py") && (function.starts_with("__step") || function.starts_with("__wakeup")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(frames: &[(&str, &str)]) -> (usize, Option<InsideLoop>) {
        let mut inside = InsideRunForever::default();
        let included = frames.iter().filter(|(function, file)| inside.includes(function, file)).count();
        (included, inside.place())
    }

    const RUN: [(&str, &str); 3] =
        [("main", "/app.py"), ("Toolkit.run_forever", "/site/toolkit.py"), ("Toolkit.turn", "/site/toolkit.py")];

    #[test]
    fn a_loop_waits_in_its_own_code_or_in_that_of_a_selector() {
        assert_eq!(place(&RUN), (2, Some(InsideLoop::Own)));
        let select = ("EpollSelector.select", "/usr/lib/python3.12/selectors.py");
        assert_eq!(place(&[&RUN[..], &[select]].concat()), (3, Some(InsideLoop::Own)));
    }

    #[test]
    fn what_a_handle_runs_is_a_callback_also_in_the_file_of_the_loop() {
        let run = ("Handle._run", "/usr/lib/python3.12/asyncio/events.py");
        for called in [("called", "/app.py"), ("Toolkit.called", "/site/toolkit.py")] {
            assert_eq!(place(&[&RUN[..], &[run, called]].concat()), (3, Some(InsideLoop::Handle)));
        }
    }

    #[test]
    fn what_no_handle_runs_is_other_code() {
        let slot = [("clicked", "/app.py"), ("Toolkit.helper", "/site/toolkit.py")];
        assert_eq!(place(&[&RUN[..], &slot].concat()), (2, Some(InsideLoop::Other)));
    }

    #[test]
    fn the_innermost_of_several_runs_counts_and_without_one_nothing_is_known() {
        assert_eq!(place(&[&RUN[..], &[("clicked", "/app.py")], &RUN[1..]].concat()), (4, Some(InsideLoop::Own)));
        assert_eq!(place(&RUN[..1]), (0, None));
    }
}
