//! Stacks of the loop's thread that are not the loop's own. With greenlets a thread has several stacks: the loop can wait
//! on one of them while its task goes on below a greenlet on another, or while the program does something else.

use super::state::{LastIteration, Named, WatchedLoop};
use crate::model::origin::{GREENLET_FILE, GREENLET_SWITCH};
use crate::model::snapshot::Frame;
use crate::model::tables::{StackId, Tables};
use crate::python::around_greenlet::read_stack_around_greenlet;
use crate::python::frame::{RawFrame, untag};
use crate::python::layout::{Frames, Layout};
use crate::python::reader::optional;
use crate::remote::{Addr, Memory, ReadError, Span};

/// Whose stack the thread executes, if it does not show the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The one on which the loop ran; it does not run now.
    Loop,
    /// The thread's own: the loop waits on the stack of a greenlet until somebody goes on with it.
    Thread,
    /// That of another greenlet.
    Greenlet,
}

/// Where the busy part of an iteration has got to.
#[derive(Clone, Copy)]
pub(super) struct Progress {
    /// When the busy part began, in seconds of the loop's clock.
    pub(super) since: f64,
    /// The words of the callback, and of its position where there is one.
    pub(super) handle: Option<u64>,
    pub(super) position: Option<Option<u64>>,
}

impl WatchedLoop {
    /// Remembers where the iteration on the current stack is.
    pub(super) fn remember_iteration(&mut self, named: &Named) {
        let frame = named.run_once.and_then(|position| self.stack.frames().get(position));
        let Some((frame, run_once)) = frame.zip(self.run_once) else { return };
        let (Some(raw), Some(root)) = (frame.frame, self.root()) else { return };
        self.last_iteration = Some(LastIteration { root, frame: frame.addr, locals: raw.locals, run_once });
    }

    /// The outermost frame of the current stack, and its code.
    fn root(&self) -> Option<(Addr, Addr)> {
        self.stack.frames().iter().rev().find_map(|frame| Some((frame.addr, frame.frame?.code)))
    }

    /// Whose stack a complete stack without the loop is.
    pub(super) fn side(&self, named: &Named) -> Side {
        let is_loops = self.last_iteration.is_some_and(|last| self.root() == Some(last.root));
        match named.at_thread_root {
            _ if is_loops || !self.has_greenlets => Side::Loop,
            true if self.last_iteration.is_none() => Side::Loop,
            true => Side::Thread,
            false => Side::Greenlet,
        }
    }

    /// The last iteration that was seen on a stack, if its frame is still there: it waits for the greenlet that its
    /// callback runs.
    pub(super) fn waiting_iteration(&self, memory: &dyn Memory, layout: &Layout) -> Option<Progress> {
        let LastIteration { frame, locals, run_once, .. } = self.last_iteration?;
        let code_at = match &layout.frames {
            Frames::Objects(fields) => fields.code,
            Frames::Embedded(fields) => fields.executable,
        };
        let slot = |slot: u32| Some(Span::new(locals.add(8 * u64::from(slot))?, 8));
        let mut spans = vec![Span::new(frame.add(code_at)?, 8), slot(run_once.end_time)?, slot(run_once.handle)?];
        spans.extend(run_once.position.and_then(slot));
        let words = read_words(memory, &spans)?;
        if untag(layout, words[0]) != Some(run_once.code) {
            return None;
        }
        let value = untag(layout, words[1])?.add(layout.builtin.float_value)?;
        let since = f64::from_bits(*read_words(memory, &[Span::new(value, 8)])?.first()?);
        let position = run_once.position.map(|_| words.get(3).copied());
        Some(Progress { since, handle: Some(words[2]), position })
    }
}

/// The stack of a greenlet, together with that of the coroutine that runs it.
pub(super) struct Joined {
    pub(super) stack: Option<StackId>,
    /// The number of outermost frames before the coroutines, and that of the coroutines.
    pub(super) outer: u16,
    pub(super) coroutines: u16,
}

impl WatchedLoop {
    /// The stack around the greenlet whose stack was read, which runs a part of this coroutine's step, and that stack
    /// inside of it; `None` if the two were not shown to belong together.
    pub(super) fn join_stacks(
        &mut self,
        memory: &dyn Memory,
        layout: &Layout,
        tables: &mut Tables,
        coroutine: Addr,
    ) -> Result<Option<Joined>, ReadError> {
        let inside: Vec<RawFrame> = self.stack.frames().iter().rev().filter_map(|frame| frame.frame).collect();
        let Some(root) = inside.first() else { return Ok(None) };
        let around = read_stack_around_greenlet(memory, layout, &mut self.naming.caches, coroutine, root)?;
        if around.is_empty() || !self.naming.verify(memory, layout, around.iter().chain(&inside).copied())? {
            return Ok(None);
        }
        let mut stack = None;
        for frame in &around {
            stack = optional(self.naming.stack(memory, layout, tables, stack, frame))?.flatten();
        }
        let switch =
            tables.add_frame(&Frame { function: GREENLET_SWITCH.into(), file: GREENLET_FILE.into(), line: None });
        stack = Some(tables.add_stack(stack, switch));
        for frame in &inside {
            stack = optional(self.naming.stack(memory, layout, tables, stack, frame))?.flatten();
        }
        let is_coroutine = |frame: &&RawFrame| frame.generator.is_some();
        let outer = around.iter().take_while(|frame| !is_coroutine(frame)).count();
        let coroutines = around[outer..].iter().take_while(is_coroutine).count();
        let number = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
        Ok(Some(Joined { stack, outer: number(outer), coroutines: number(coroutines) }))
    }
}

/// Words that were all read.
fn read_words(memory: &dyn Memory, spans: &[Span]) -> Option<Vec<u64>> {
    let mut out = vec![0; 8 * spans.len()];
    let mut results = Vec::with_capacity(spans.len());
    memory.read_batch(spans, &mut out, &mut results);
    let all = results.iter().all(Result::is_ok);
    all.then(|| out.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect())
}
