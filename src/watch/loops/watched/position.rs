//! Where a loop is in its iteration, determined from the data of a single call; where nothing else shows it, from the
//! system call of its thread.

use std::hash::{Hash as _, Hasher as _};

use rustc_hash::FxHasher;

use super::state::{Kind, Named, WatchedLoop};
use crate::model::event::{Gil, Phase};
use crate::python::frame::untag;
use crate::python::layout::Layout;
use crate::remote::Addr;
use crate::remote::kernel_thread::SystemCall;
use crate::runtime::asyncio::iteration::UvLoop;

/// A loop's clock that is ahead of ours by more than this is another clock, nanoseconds.
const CLOCK_AHEAD_NS: u64 = 1_000_000;

/// What one call showed besides the frames of the stack.
#[derive(Clone, Copy)]
pub(super) struct Observed {
    pub(super) gil: Gil,
    /// Only the outer frames held; the inner ones are unknown.
    pub(super) torn: bool,
    /// A task's step runs.
    pub(super) in_task: bool,
}

/// What one call showed of the iteration.
pub(super) struct Position {
    pub(super) phase: Phase,
    pub(super) away_since_ns: Option<u64>,
    pub(super) precision_ns: u32,
    pub(super) callback: Option<u64>,
}

impl WatchedLoop {
    /// The float object that holds the start time of the iteration.
    pub(super) fn end_time(&self, layout: &Layout, named: &Named) -> Option<Addr> {
        let frame = self.stack.frames().get(named.run_once?)?;
        untag(layout, self.stack.slot(frame, self.run_once?.end_time)?)
    }

    pub(super) fn position(&mut self, layout: &Layout, named: &Named, at_ns: u64, seen: Observed) -> Position {
        if self.is_not_running(layout, named) {
            return Position { phase: Phase::NotRunning, away_since_ns: None, precision_ns: 0, callback: None };
        }
        match self.kind {
            Kind::Uv(uv) => self.uv_position(uv, at_ns, seen),
            Kind::RunOnce => self.asyncio_position(layout, named, at_ns, seen.gil),
        }
    }

    /// Whether the thread runs another loop, or none, according to its thread state (3.14+) or its frames.
    fn is_not_running(&self, layout: &Layout, named: &Named) -> bool {
        if let Some(at) = self.imported.thread_words().running_loop {
            return self.stack.thread_word(at).is_some_and(|running| running != self.event_loop.raw());
        }
        // A loop that was never seen with such frames may have none.
        let (Kind::RunOnce, Some(run_once)) = (&self.kind, self.run_once) else { return false };
        let Some(position) = named.run_once else { return named.without_loop };
        let frame = self.stack.frames().get(position);
        let iterates = frame.zip(run_once.event_loop).and_then(|(frame, slot)| self.stack.slot(frame, slot));
        iterates.and_then(|object| untag(layout, object)).is_some_and(|object| object != self.event_loop)
    }

    pub(super) fn asyncio_position(&mut self, layout: &Layout, named: &Named, at_ns: u64, gil: Gil) -> Position {
        let unknown = |phase| Position { phase, away_since_ns: None, precision_ns: 0, callback: None };
        let (Some(position), Some(run_once)) = (named.run_once, self.run_once) else {
            return unknown(if named.coroutines > 0 { Phase::Away } else { Phase::Unknown });
        };
        let Some(frame) = self.stack.frames().get(position) else { return unknown(Phase::Unknown) };
        let Some(end_time) = self.stack.slot(frame, run_once.end_time) else { return unknown(Phase::Unknown) };
        let Some(object) = untag(layout, end_time) else {
            // A change of the GIL's holder distinguishes one wait for it from the next.
            let callback = self.gil_switches();
            return Position { callback, ..unknown(self.in_selector(gil)) };
        };
        let since = self.float(object).and_then(|seconds| as_ns(seconds, at_ns));
        let mut callback = FxHasher::default();
        since.hash(&mut callback);
        self.stack.slot(frame, run_once.handle).hash(&mut callback);
        run_once.position.map(|slot| self.stack.slot(frame, slot)).hash(&mut callback);
        Position {
            phase: Phase::Away,
            away_since_ns: since,
            precision_ns: 1,
            callback: since.map(|_| callback.finish()),
        }
    }

    /// Before an iteration has stored its time, the loop is in its selector, entering it or leaving it.
    pub(super) fn in_selector(&self, gil: Gil) -> Phase {
        match gil {
            Gil::Free => Phase::Selecting,
            Gil::Own => Phase::LeavingSelector,
            Gil::Other(_) | Gil::None | Gil::Unknown => match self.system_call() {
                Some(call) if call.is_selector() => Phase::Selecting,
                Some(_) => Phase::LeavingSelector,
                None => Phase::Selecting,
            },
        }
    }

    pub(super) fn uv_position(&mut self, uv: UvLoop, at_ns: u64, seen: Observed) -> Position {
        let Observed { gil, torn, in_task } = seen;
        let word = |number: usize| self.stack.amid(number)?.try_into().ok().map(u64::from_le_bytes);
        let count = uv.count.and_then(|_| word(1));
        let since = word(0).and_then(|ms| ms.checked_mul(1_000_000)).filter(|ns| *ns <= at_ns + CLOCK_AHEAD_NS);
        let frames = self.stack.frames().iter().filter(|frame| frame.frame.is_some()).count();
        let at_rest = !in_task && self.idle_frames.is_none_or(|idle| frames <= idle);
        let call = if at_rest && !torn { self.system_call() } else { None };
        let phase = match call {
            _ if !at_rest => Phase::Away,
            // The gap may contain frames other than those of an idle loop.
            _ if torn => Phase::Unknown,
            Some(call) if call.is_selector() => Phase::Selecting,
            Some(call) if self.waits_for_gil(call) => Phase::LeavingSelector,
            // Callbacks without a Python frame, or libuv's own work.
            Some(_) if gil == Gil::Own => Phase::Away,
            Some(SystemCall::Running) if matches!(gil, Gil::Other(_)) => Phase::LeavingSelector,
            Some(_) => Phase::Selecting,
            None => Phase::Unknown,
        };
        // libuv increments the iteration count before it polls and updates its time after that; then again within the
        // iteration, whenever a timer is started. The first time seen after the poll is the one that counts.
        let since = match (count, self.iteration, since) {
            _ if phase != Phase::Away => None,
            (Some(count), Some((known, since)), Some(_)) if known == count => Some(since),
            (Some(count), _, Some(since)) => {
                self.iteration = Some((count, since));
                Some(since)
            }
            (_, _, since) => since,
        };
        if phase == Phase::Selecting {
            self.idle_frames = Some(self.idle_frames.map_or(frames, |idle| idle.min(frames)));
            return Position { phase, away_since_ns: None, precision_ns: 0, callback: None };
        }
        if phase == Phase::LeavingSelector {
            return Position { phase, away_since_ns: None, precision_ns: 0, callback: self.gil_switches() };
        }
        // The outermost frame of the callback: the one that the loop called.
        let first = self.idle_frames.and_then(|idle| self.stack.frames().iter().rev().nth(idle));
        let mut callback = FxHasher::default();
        count.hash(&mut callback);
        first.map(|frame| (frame.addr, frame.frame.map(|frame| frame.code))).hash(&mut callback);
        self.task.as_ref().map(|task| task.info.key).hash(&mut callback);
        Position { phase, away_since_ns: since, precision_ns: 1_000_000, callback: count.map(|_| callback.finish()) }
    }

    /// The value of a float object that was read along with the stack.
    pub(super) fn float(&self, object: Addr) -> Option<f64> {
        let number = self.floats.iter().position(|addr| *addr == object)?;
        self.stack.behind(number)?.try_into().ok().map(f64::from_le_bytes)
    }

    /// Whether a float object had the same value before and after the stack was read; true if it was not read.
    pub(super) fn is_unchanged_float(&self, object: Addr) -> bool {
        let number = self.floats.iter().position(|addr| *addr == object);
        number.is_none_or(|number| self.stack.beside(self.first_float + number) == self.stack.behind(number))
    }
}

/// A loop's time in our nanoseconds, if both use the same clock.
fn as_ns(seconds: f64, at_ns: u64) -> Option<u64> {
    let ns = seconds * 1e9;
    (ns >= 0.0 && ns <= (at_ns + CLOCK_AHEAD_NS) as f64).then_some(ns as u64)
}
