//! Where a loop is in its iteration, determined from the data of a single call; where nothing else shows it, from the
//! system call of its thread.

use std::hash::{Hash as _, Hasher as _};

use rustc_hash::FxHasher;

use super::elsewhere::{Progress, Side};
use super::state::{Kind, Named, WatchedLoop};
use crate::model::event::{Gil, Phase};
use crate::python::frame::untag;
use crate::python::layout::Layout;
use crate::python::stack_watch::StackWatch;
use crate::remote::kernel_thread::SystemCall;
use crate::remote::{Addr, Memory};
use crate::runtime::asyncio::iteration::{InsideLoop, UvLoop};

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

/// How a stack compares to that of an idle loop, with the number of frames of the latter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// The same frames.
    Equal(usize),
    /// The same frames, and others inside them.
    Beyond(usize),
    /// Other frames, or it is not known.
    Other,
}

impl Depth {
    /// The number of outermost frames that are those of the idle loop.
    pub(super) fn begins(self) -> usize {
        match self {
            Self::Equal(frames) | Self::Beyond(frames) => frames,
            Self::Other => 0,
        }
    }
}

impl Position {
    fn of(phase: Phase) -> Self {
        Self { phase, away_since_ns: None, precision_ns: 0, callback: None }
    }

    /// A callback runs that `handle` and `position` distinguish from others of the same iteration.
    fn busy(since: Option<u64>, handle: Option<u64>, position: Option<Option<u64>>) -> Self {
        let mut callback = FxHasher::default();
        (since, handle, position).hash(&mut callback);
        let callback = since.map(|_| callback.finish());
        Self { phase: Phase::Away, away_since_ns: since, precision_ns: 1, callback }
    }
}

/// The frames of a stack and their code.
fn outermost_first(stack: &StackWatch) -> impl Iterator<Item = (Addr, Addr)> + '_ {
    stack.frames().iter().rev().filter_map(|frame| Some((frame.addr, frame.frame?.code)))
}

impl WatchedLoop {
    /// The float object that holds the start time of the iteration.
    pub(super) fn end_time(&self, layout: &Layout, named: &Named) -> Option<Addr> {
        let frame = self.stack.frames().get(named.run_once?)?;
        untag(layout, self.stack.slot(frame, self.run_once?.end_time)?)
    }

    pub(super) fn position(
        &mut self,
        memory: &dyn Memory,
        layout: &Layout,
        named: &Named,
        at_ns: u64,
        seen: Observed,
    ) -> Position {
        if self.runs_another_loop(layout, named) {
            return Position::of(Phase::NotRunning);
        }
        match self.kind {
            Kind::Uv(uv) => self.uv_position(uv, at_ns, seen),
            Kind::RunOnce if named.run_once.is_some() => {
                self.remember_iteration(named);
                self.asyncio_position(layout, named, at_ns, seen.gil)
            }
            Kind::RunOnce => {
                self.count_contexts();
                self.position_elsewhere(memory, layout, named, at_ns, seen)
            }
        }
    }

    /// Whether the thread runs another loop, or none, according to its thread state (3.13+) or to the loop that iterates.
    fn runs_another_loop(&self, layout: &Layout, named: &Named) -> bool {
        if let Some(at) = self.imported.thread_words().running_loop {
            return self.stack.thread_word(at).is_some_and(|running| running != self.event_loop.raw());
        }
        let frame = named.run_once.and_then(|position| self.stack.frames().get(position));
        let slot = self.run_once.and_then(|run_once| run_once.event_loop);
        let iterates = frame.zip(slot).and_then(|(frame, slot)| self.stack.slot(frame, slot));
        iterates.and_then(|object| untag(layout, object)).is_some_and(|object| object != self.event_loop)
    }

    /// The position of a loop whose iteration is not on the stack that the thread executes.
    fn position_elsewhere(
        &mut self,
        memory: &dyn Memory,
        layout: &Layout,
        named: &Named,
        at_ns: u64,
        seen: Observed,
    ) -> Position {
        if !named.is_complete {
            return Position::of(if seen.in_task { Phase::Away } else { Phase::Unknown });
        }
        match self.side(named) {
            // A loop that was never seen with such frames may have none.
            Side::Loop if seen.in_task => self.callback_of_unknown(None),
            Side::Loop if named.without_loop && self.run_once.is_some() => Position::of(Phase::NotRunning),
            Side::Loop => {
                named.inside.map_or(Position::of(Phase::Unknown), |inside| self.foreign(named, inside, seen.gil))
            }
            Side::Thread => Position::of(Phase::Parked),
            // Without a task, the greenlet can be that of a callback, or it can be the one that drives the loop.
            Side::Greenlet if !seen.in_task => Position::of(Phase::Unknown),
            Side::Greenlet => match self.waiting_iteration(memory, layout) {
                Some(Progress { since, handle, position }) => Position::busy(as_ns(since, at_ns), handle, position),
                None => self.callback_of_unknown(None),
            },
        }
    }

    /// The position of a loop that is neither asyncio's own nor libuv's, while its thread runs no task.
    fn foreign(&self, named: &Named, inside: InsideLoop, gil: Gil) -> Position {
        if inside == InsideLoop::Handle {
            return self.callback_of_unknown(None);
        }
        let Some(call) = self.system_call() else { return Position::of(Phase::Unknown) };
        if inside == InsideLoop::Own {
            return match call {
                call if call.is_selector() => Position::of(Phase::Selecting),
                call if self.waits_for_gil(call) => {
                    Position { callback: self.gil_switches(), ..Position::of(Phase::LeavingSelector) }
                }
                _ => Position::of(Phase::Unknown),
            };
        }
        // What a toolkit calls can run the loop again without a frame that shows it: then it waits for events, or runs
        // code of the toolkit.
        let blocks = match call {
            SystemCall::In { .. } | SystemCall::Asleep { .. } => !call.is_selector() || call.is_sleep(),
            SystemCall::Running => gil == Gil::Own,
            SystemCall::None => false,
        };
        if blocks { self.callback_of_unknown(named.outer) } else { Position::of(Phase::Unknown) }
    }

    fn count_contexts(&mut self) {
        let now = self.stack.amid(0).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
        self.counts_contexts |= self.contexts.is_some() && now.is_some() && now != self.contexts;
        self.contexts = now;
    }

    /// A callback of a loop whose iterations are not seen. Each handle enters a context and leaves it: as long as the
    /// thread has done neither, it is the same callback. `first`: the position of what is not called through a handle,
    /// counted from the outermost frame.
    fn callback_of_unknown(&self, first: Option<usize>) -> Position {
        let contexts = self.contexts.filter(|_| self.counts_contexts && self.run_once.is_none());
        let callback = contexts.map(|contexts| {
            let mut callback = FxHasher::default();
            contexts.hash(&mut callback);
            first.and_then(|first| outermost_first(&self.stack).nth(first)).hash(&mut callback);
            self.task.as_ref().map(|task| task.info.key).hash(&mut callback);
            callback.finish()
        });
        Position { callback, ..Position::of(Phase::Away) }
    }

    fn asyncio_position(&mut self, layout: &Layout, named: &Named, at_ns: u64, gil: Gil) -> Position {
        let frame = named.run_once.and_then(|position| self.stack.frames().get(position));
        let Some((frame, run_once)) = frame.zip(self.run_once) else { return Position::of(Phase::Unknown) };
        let Some(end_time) = self.stack.slot(frame, run_once.end_time) else { return Position::of(Phase::Unknown) };
        let Some(object) = untag(layout, end_time) else {
            if let Some(position) = named.interruption {
                // As long as its outermost frame is the same one, so is the call.
                let mut callback = FxHasher::default();
                outermost_first(&self.stack).nth(position).hash(&mut callback);
                return Position { callback: Some(callback.finish()), ..Position::of(Phase::Away) };
            }
            // A change of the GIL's holder distinguishes one wait for it from the next.
            let callback = self.gil_switches();
            return Position { callback, ..Position::of(self.in_selector(gil)) };
        };
        let since = self.float(object).and_then(|seconds| as_ns(seconds, at_ns));
        let slot = |slot| self.stack.slot(frame, slot);
        Position::busy(since, slot(run_once.handle), run_once.position.map(slot))
    }

    /// Before an iteration has stored its time, the loop is in its selector, entering it or leaving it.
    pub(super) fn in_selector(&self, gil: Gil) -> Phase {
        match gil {
            Gil::Free => Phase::Selecting,
            Gil::Own => Phase::LeavingSelector,
            Gil::Other(_) | Gil::None | Gil::Unknown => match self.system_call() {
                Some(call) if call.is_selector() => Phase::Selecting,
                Some(_) => Phase::LeavingSelector,
                // Without a GIL nothing can keep it from leaving.
                None if gil == Gil::None => Phase::Selecting,
                None => Phase::Unknown,
            },
        }
    }

    fn uv_position(&mut self, uv: UvLoop, at_ns: u64, seen: Observed) -> Position {
        let word = |number: usize| self.stack.amid(number)?.try_into().ok().map(u64::from_le_bytes);
        let count = uv.count.and_then(|_| word(1));
        let since = word(0).and_then(|ms| ms.checked_mul(1_000_000)).filter(|ns| *ns <= at_ns + CLOCK_AHEAD_NS);
        let depth = self.depth();
        let phase = self.uv_phase(depth, seen);
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
        match phase {
            Phase::Selecting => {
                self.idle.clear();
                self.idle.extend(outermost_first(&self.stack));
                return Position::of(phase);
            }
            Phase::LeavingSelector => return Position { callback: self.gil_switches(), ..Position::of(phase) },
            _ => {}
        }
        // The outermost frame of the callback: the one that the loop called.
        let first = outermost_first(&self.stack).nth(depth.begins());
        let mut callback = FxHasher::default();
        count.hash(&mut callback);
        first.hash(&mut callback);
        self.task.as_ref().map(|task| task.info.key).hash(&mut callback);
        Position { phase, away_since_ns: since, precision_ns: 1_000_000, callback: count.map(|_| callback.finish()) }
    }

    /// The phase of a loop whose iteration is written in C. A program can run it at any depth, so the number of frames
    /// proves nothing: where no task's step runs, the kernel says what the thread does.
    fn uv_phase(&self, depth: Depth, seen: Observed) -> Phase {
        let Observed { gil, torn, in_task } = seen;
        if in_task || (torn && matches!(depth, Depth::Beyond(_))) {
            return Phase::Away;
        }
        // The gap may contain frames other than those of an idle loop.
        let Some(call) = self.system_call().filter(|_| !torn) else { return Phase::Unknown };
        let is_usual = match depth {
            Depth::Equal(_) => true,
            Depth::Beyond(_) => false,
            Depth::Other => self.idle.is_empty(),
        };
        let usual = if is_usual { Phase::Selecting } else { Phase::Unknown };
        match (call, self.poll) {
            // Of which descriptor it waits is not known.
            (SystemCall::Asleep { .. }, Some(_)) if call.is_selector() => usual,
            (call, Some(poll)) if call.is_selector() => {
                if call.descriptor() == Some(poll) {
                    Phase::Selecting
                } else {
                    Phase::Away
                }
            }
            (call, None) if call.is_selector() => usual,
            (call, _) if self.waits_for_gil(call) => match depth {
                Depth::Beyond(_) => Phase::Away,
                _ if is_usual => Phase::LeavingSelector,
                _ => Phase::Unknown,
            },
            // Callbacks without a Python frame, or libuv's own work.
            _ if gil == Gil::Own => Phase::Away,
            // Another call than that of its selector: a callback makes it.
            (SystemCall::In { .. } | SystemCall::Asleep { .. }, _) => Phase::Away,
            (SystemCall::Running, _) if is_usual && matches!(gil, Gil::Other(_)) => Phase::LeavingSelector,
            // It may be about to leave its selector.
            (SystemCall::Running | SystemCall::None, _) => usual,
        }
    }

    /// How the stack compares to that of the loop when it last waited, if its iteration is written in C.
    pub(super) fn depth(&self) -> Depth {
        let (idle, now) = (self.idle.len(), outermost_first(&self.stack).count());
        if idle == 0 || idle > now || !outermost_first(&self.stack).zip(&self.idle).all(|(frame, then)| frame == *then)
        {
            return Depth::Other;
        }
        if idle == now { Depth::Equal(idle) } else { Depth::Beyond(idle) }
    }

    /// Whether a step can have gone on below a greenlet, on a stack that shows neither the loop nor the task.
    pub(super) fn may_be_below_greenlet(&self, named: &Named) -> bool {
        named.is_complete
            && self.has_greenlets
            && match self.kind {
                Kind::RunOnce => named.run_once.is_none() && self.side(named) == Side::Greenlet,
                Kind::Uv(_) => !named.at_thread_root && self.depth() == Depth::Other,
            }
    }

    /// The number of outermost frames that belong to the loop, and that of the coroutines after them.
    pub(super) fn split(&self, named: &Named, torn: bool) -> (u16, u16) {
        let frames = || self.stack.frames().iter().rev().filter_map(|frame| frame.frame.as_ref());
        let count = frames().count();
        let first_coroutine = || frames().position(|frame| frame.generator.is_some());
        let begins = || Some(self.depth().begins()).filter(|begins| *begins > 0);
        let outer = named.outer.or_else(first_coroutine).or_else(begins);
        let unseen = || if torn || self.may_be_below_greenlet(named) { 0 } else { count };
        let outer = outer.unwrap_or_else(unseen).min(count);
        let coroutines = frames().skip(outer).take_while(|frame| frame.generator.is_some()).count();
        (u16::try_from(outer).unwrap_or(u16::MAX), u16::try_from(coroutines).unwrap_or(u16::MAX))
    }

    /// The value of a float object that was read along with the stack.
    pub(super) fn float(&self, object: Addr) -> Option<f64> {
        let number = self.floats.iter().position(|(addr, _)| *addr == object)?;
        self.stack.behind(number)?.try_into().ok().map(f64::from_le_bytes)
    }

    /// Whether a float object had the same value before and after the stack was read; true if it was not read.
    pub(super) fn is_unchanged_float(&self, object: Addr) -> bool {
        let number = self.floats.iter().position(|(addr, _)| *addr == object);
        number.is_none_or(|number| self.stack.beside(self.first_float + number) == self.stack.behind(number))
    }
}

/// A loop's time in our nanoseconds, if both use the same clock.
fn as_ns(seconds: f64, at_ns: u64) -> Option<u64> {
    let ns = seconds * 1e9;
    (ns >= 0.0 && ns <= (at_ns + CLOCK_AHEAD_NS) as f64).then_some(ns as u64)
}
