//! A thread's stack with names. Where a greenlet runs a part of a coroutine's step, it begins with the stack around the
//! greenlet.

use super::loop_position::Mark;
use super::task_walk::Shared;
use super::threads::ThreadReading;
use crate::model::origin::{GREENLET_FILE, GREENLET_SWITCH};
use crate::python::around_greenlet::read_stack_around_greenlet;
use crate::python::frame::{NamedFrame, RawFrame};
use crate::python::reader::{Reader, optional};
use crate::remote::{Addr, Memory, ReadError};

/// The frames of a stack, outermost first.
#[derive(Default)]
pub(super) struct NamedStack {
    /// The number, and the generator that owns the frame.
    pub(super) frames: Vec<(u32, Option<Addr>)>,
    pub(super) raw: Vec<RawFrame>,
    /// How those of a loop's thread belong to its loop.
    pub(super) marks: Vec<Mark>,
}

/// The coroutine of the task whose step a thread runs.
pub(super) fn read_step(
    reader: &mut Reader<'_, '_>,
    shared: &mut Shared,
    reading: &ThreadReading,
) -> Result<Option<Addr>, ReadError> {
    let Some(task) = reading.running_task else { return Ok(None) };
    let runtime = shared.runtimes.of(reader, task)?;
    Ok(optional(runtime.read_task(reader, task))?.and_then(|record| record.coroutine))
}

impl NamedStack {
    /// Numbers of a stack's frames; a frame that cannot be named ends the part that is kept. `step`: the coroutine whose
    /// step the thread runs.
    pub(super) fn of(
        memory: &dyn Memory,
        reader: &mut Reader<'_, '_>,
        shared: &mut Shared,
        reading: &mut ThreadReading,
        step: Option<Addr>,
    ) -> Result<Self, ReadError> {
        let mut named = Self::default();
        let has_loop = reading.running_loop.is_some();
        let frames = std::mem::take(&mut reading.stack.frames);
        let is_on_it = |coroutine: Addr| frames.iter().any(|frame| frame.generator == Some(coroutine));
        if let (Some(coroutine), Some(root)) = (step, frames.first())
            && shared.has_greenlets
            && reading.stack.complete
            && !is_on_it(coroutine)
        {
            let around = read_stack_around_greenlet(memory, reader.layout, reader.caches, coroutine, root)?;
            if named.push_all(reader, shared, &around, has_loop)? {
                named.push_switch(shared);
            } else {
                named = Self::default();
            }
        }
        reading.stack.complete &= named.push_all(reader, shared, &frames, has_loop)?;
        reading.stack.frames = frames;
        Ok(named)
    }

    /// The index of the frame of this coroutine.
    pub(super) fn position_of(&self, coroutine: Addr) -> Option<usize> {
        self.frames.iter().position(|(_, generator)| *generator == Some(coroutine))
    }

    /// Whether all of them could be named.
    fn push_all(
        &mut self,
        reader: &mut Reader<'_, '_>,
        shared: &mut Shared,
        frames: &[RawFrame],
        has_loop: bool,
    ) -> Result<bool, ReadError> {
        for frame in frames {
            if optional(reader.code(frame.code))?.is_some_and(|code| code.is_interpreters_own()) {
                continue;
            }
            let Some(number) = optional(shared.frames.number(reader, frame))? else { return Ok(false) };
            self.frames.push((number, frame.generator));
            self.raw.push(*frame);
            if has_loop {
                self.marks.push(optional(Mark::of(reader, frame))?.unwrap_or(Mark::Other));
            }
        }
        Ok(true)
    }

    fn push_switch(&mut self, shared: &mut Shared) {
        let Some(raw) = self.raw.last().copied() else { return };
        let switch = NamedFrame { function: GREENLET_SWITCH.into(), file: GREENLET_FILE.into(), line: None };
        self.frames.push((shared.frames.number_named(&switch), None));
        self.raw.push(raw);
        if !self.marks.is_empty() {
            self.marks.push(Mark::Other);
        }
    }
}
