//! The state of a reading in progress, and what all of its stages need.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::facts::Facts;
use super::loop_position::find_position;
use super::named_stack::{NamedStack, read_step};
use super::quality::Quality;
use super::task_walk::Shared;
use super::threads::{CapturedThread, Source, ThreadReading, read_threads};
use super::witness::Witness;
use crate::model::snapshot::LoopPosition;
use crate::python::caches::Caches;
use crate::python::interpreter::Interpreter;
use crate::python::layout::Layout;
use crate::python::reader::{Reader, optional};
use crate::remote::{Addr, Memory, MemoryLimit, ReadError, View};
use crate::runtime::interface::Imported;
use crate::runtime::references::FutureReferences;

/// LIMIT: gaps that are reported individually.
const MAX_PROBLEMS: usize = 100;

/// A reading in progress.
pub(super) struct Capturing<'c> {
    pub(super) memory: &'c dyn Memory,
    pub(super) facts: &'c Facts,
    pub(super) layout: &'c Layout,
    pub(super) view: View<'c>,
    pub(super) caches: Caches,
    pub(super) shared: Shared,
    pub(super) interpreters: Vec<Interpreter>,
    /// The runtimes of each interpreter.
    pub(super) imported: Vec<Vec<Arc<dyn Imported>>>,
    pub(super) memory_limit: MemoryLimit,
    /// How many times tasks were read, counted over all parts and attempts.
    pub(super) pass: u32,
    /// References to tasks from the futures that tasks wait for, and the pass in which they were read.
    pub(super) waiter_references: FxHashMap<Addr, (u32, FutureReferences)>,
    pub(super) problems: Vec<(String, ReadError)>,
    pub(super) quality: Quality,
}

impl<'c> Capturing<'c> {
    pub(super) fn reader(&mut self) -> Reader<'_, 'c> {
        Reader::new(&mut self.view, self.layout, &mut self.caches)
    }

    /// Records something that could not be read; ends the reading if nothing more can be read.
    pub(super) fn note(&mut self, what: impl Into<String>, error: ReadError) -> Result<(), ReadError> {
        if error.is_fatal() {
            return Err(error);
        }
        let what = what.into();
        log::info!("{what} skipped: {error}");
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push((what, error));
        }
        self.quality.dropped += 1;
        Ok(())
    }

    pub(super) fn runtime(&self) -> Result<Addr, ReadError> {
        Addr::new(self.facts.runtime).ok_or(ReadError::BadPointer(self.facts.runtime))
    }

    /// Forgets what was read, but not what was made of it.
    pub(super) fn forget(&mut self) {
        self.view.forget();
        // A code object or type can have been freed together with the coroutine that used it.
        self.caches = Caches::default();
        self.shared.forget_addresses();
    }

    pub(super) fn read_threads(&mut self, witness: &dyn Witness) -> Result<Vec<CapturedThread>, ReadError> {
        let mut threads = Vec::new();
        let runtime = self.runtime()?;
        for position in 0..self.interpreters.len() {
            let (interpreter, runtimes) = (&self.interpreters[position], &self.imported[position]);
            let (memory, layout, facts) = (self.memory, self.layout, self.facts);
            let source = Source { memory, layout, runtime, facts, interpreter, runtimes };
            let read = read_threads(source, &mut self.caches, witness)?;
            for mut reading in read {
                let mut view = View::new(self.memory);
                let mut reader = Reader::new(&mut view, self.layout, &mut self.caches);
                let step = read_step(&mut reader, &mut self.shared, &reading)?;
                let named = NamedStack::of(memory, &mut reader, &mut self.shared, &mut reading, step)?;
                let stand = self.find_position(&reading, &named, step)?;
                let NamedStack { frames, raw, .. } = named;
                threads.push(CapturedThread { interpreter: position, reading, frames, raw, position: stand });
            }
        }
        Ok(threads)
    }

    /// Where the loop that is set as running in a thread is, if its whole stack was shown.
    fn find_position(
        &mut self,
        reading: &ThreadReading,
        named: &NamedStack,
        step: Option<Addr>,
    ) -> Result<Option<LoopPosition>, ReadError> {
        let Some(event_loop) = reading.running_loop else { return Ok(None) };
        if !reading.stack.complete || !reading.held {
            return Ok(Some(LoopPosition::Unknown));
        }
        let step = step.and_then(|coroutine| named.position_of(coroutine));
        let written_in_c = {
            let mut view = View::new(self.memory);
            let mut reader = Reader::new(&mut view, self.layout, &mut self.caches);
            let runtime = self.shared.runtimes.of(&mut reader, event_loop)?;
            let record = optional(runtime.read_loop(&mut reader, event_loop))?;
            // The timers of asyncio's own loops and of those derived from them are in a list.
            record.is_some_and(|record| record.scheduled.is_none())
        };
        Ok(Some(find_position(&named.marks, step, self.shared.has_greenlets, written_in_c)))
    }
}
