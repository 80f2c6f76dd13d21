//! Samples the threads that run event loops: each sample gives a [`LoopSample`] per loop.

mod around;
mod naming;
mod running;
mod watched;

use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::capture::session::Attachment;
use crate::capture::threads::read_thread_names;
use crate::model::event::LoopSample;
use crate::model::tables::Tables;
use crate::python::caches::Caches;
use crate::python::greenlet::has_greenlets;
use crate::python::interpreter::read_interpreters;
use crate::python::reader::{Reader, optional};
use crate::remote::{Addr, Memory, ReadError, View};
use crate::runtime::runtimes::Runtimes;
use around::{Around, Place};
use watched::WatchedLoop;

/// The cost and losses of sampling since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// Torn attempts that were retried.
    pub torn: u64,
    /// Samples given up.
    pub dropped: u64,
    /// Samples kept with a gap.
    pub partial: u64,
    /// Calls that read a whole stack.
    pub calls: u64,
}

impl Effort {
    /// Whether every sample since `before` is whole.
    pub fn is_whole_since(&self, before: &Self) -> bool {
        (self.dropped, self.partial) == (before.dropped, before.partial)
    }
}

/// LIMIT: stops for one sample of a process that is stopped for sampling. It can be stopped between two frames, where
/// no retry helps; it is then continued for [a moment](MOMENT).
pub const STOPS: usize = 8;

/// How long it runs before it is stopped again for the same sample: in less time it may not run at all.
pub const MOMENT: Duration = Duration::from_micros(100);

/// Watches the event loops of one process.
pub struct LoopWatch {
    around: Around,
    loops: Vec<WatchedLoop>,
    effort: Effort,
}

impl LoopWatch {
    /// A watch of the process that was attached to. It knows no loops before [`LoopWatch::rediscover`].
    ///
    /// # Errors
    /// If the attachment has no runtime.
    pub fn new(attachment: &Attachment) -> Result<Self, ReadError> {
        let facts = &attachment.facts;
        let around = Around {
            process: attachment.process.clone(),
            layouts: attachment.layouts.clone(),
            runtime: Addr::new(facts.runtime).ok_or(ReadError::BadPointer(facts.runtime))?,
            own_pid: facts.own_pid,
            threads: FxHashMap::default(),
        };
        Ok(Self { around, loops: Vec::new(), effort: Effort::default() })
    }

    /// Number of watched loops.
    pub fn loops(&self) -> usize {
        self.loops.len()
    }

    /// The cost of sampling so far.
    pub fn effort(&self) -> Effort {
        let (mut effort, mut stacks) = (self.effort, (0, 0));
        for watched in &self.loops {
            stacks = (stacks.0 + watched.stack.torn(), stacks.1 + watched.stack.calls());
        }
        effort.torn += stacks.0;
        effort.calls += stacks.1;
        effort
    }

    /// Finds the loops that run now, and forgets those that do not and everything known by an address that may have
    /// been reused. Call it about twice a second.
    ///
    /// # Errors
    /// If the interpreters cannot be read; then nothing is forgotten.
    pub fn rediscover(&mut self, memory: &dyn Memory, now_ns: u64) -> Result<(), ReadError> {
        let found = self.find(memory, now_ns)?;
        let mut kept = Vec::with_capacity(found.len());
        for new in found {
            match self.loops.iter().position(|old| old.is_the_same_as(&new)) {
                Some(position) => {
                    let mut old = self.loops.swap_remove(position);
                    old.renew(new, memory, &self.around.layouts.python)?;
                    kept.push(old);
                }
                None => kept.push(new),
            }
        }
        for gone in &self.loops {
            self.effort.torn += gone.stack.torn();
            self.effort.calls += gone.stack.calls();
        }
        self.loops = kept;
        Ok(())
    }

    /// Takes a sample of each loop.
    ///
    /// # Errors
    /// Only if no more reads can succeed: the process is gone or forbidden.
    pub fn sample(
        &mut self,
        memory: &dyn Memory,
        tables: &mut Tables,
        at_ns: u64,
        out: &mut Vec<LoopSample>,
    ) -> Result<(), ReadError> {
        for watched in &mut self.loops {
            match watched.sample(memory, &self.around, tables, at_ns)? {
                Some(sample) => {
                    self.effort.partial += u64::from(sample.torn);
                    out.push(sample);
                }
                None => {
                    log::debug!("a loop sample was dropped: its thread changed while it was read");
                    self.effort.dropped += 1;
                }
            }
        }
        Ok(())
    }

    /// Counts the samples since `before` that are not whole as torn instead: they will be retried.
    pub fn try_again(&mut self, before: &Effort) {
        let lost = (self.effort.dropped - before.dropped) + (self.effort.partial - before.partial);
        self.effort.torn += lost;
        (self.effort.dropped, self.effort.partial) = (before.dropped, before.partial);
    }

    /// The tables were reset: earlier numbers are no longer valid.
    pub fn on_tables_reset(&mut self) {
        for watched in &mut self.loops {
            watched.on_tables_reset();
        }
    }

    fn find(&mut self, memory: &dyn Memory, now_ns: u64) -> Result<Vec<WatchedLoop>, ReadError> {
        let around = &mut self.around;
        let ids = around.process.namespaced_threads();
        let own_ids: Vec<i32> = ids.pairs().iter().map(|(_, own)| *own).collect();
        let (mut view, mut caches) = (View::new(memory), Caches::default());
        let interpreters = read_interpreters(&mut view, &around.layouts.python, around.runtime, &own_ids)?;
        around.threads = interpreters
            .iter()
            .flat_map(|interpreter| &interpreter.threads)
            .filter_map(|thread| Some((thread.addr, ids.ours(thread.native_id?).or(thread.native_id)?)))
            .collect();
        let (mut found, mut runtimes) = (Vec::new(), Runtimes::new(&around.layouts));
        for interpreter in &interpreters {
            let mut reader = Reader::new(&mut view, &around.layouts.python, &mut caches);
            let imported = runtimes.find(&mut reader, interpreter.addr)?;
            if imported.is_empty() {
                continue;
            }
            let names = read_thread_names(&mut reader, interpreter)?;
            let has_greenlets = has_greenlets(&mut reader, interpreter.addr)?;
            for (imported, thread) in imported.iter().flat_map(|one| interpreter.threads.iter().map(move |t| (one, t)))
            {
                let running = optional(imported.read_running_loop(&mut reader, thread, around.own_pid))?.flatten();
                let Some(event_loop) = running else { continue };
                let thread_name = names.get(&thread.pthread_id).map(|name| name.as_str().into());
                let place =
                    Place { has_greenlets, interpreter, thread, imported: imported.clone(), event_loop, thread_name };
                // A loop that could not be read now may be readable next time.
                let watched = WatchedLoop::find(&mut reader, memory, around, &mut runtimes, place, now_ns);
                found.extend(optional(watched)?);
            }
        }
        Ok(found)
    }
}
