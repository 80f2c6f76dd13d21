//! One reading of a process: threads, tasks, loops, and the proof that each task was read at a single moment.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::abandoned::{self, Living};
use super::ending::Endings;
use super::facts::Facts;
use super::graph::{Graph, read_all_entered};
use super::held_lock::find_lock_holders;
use super::loop_position::find_position;
use super::named_stack::{NamedStack, read_step};
use super::outside::{Means, Outside};
use super::progress::Progress;
use super::quality::Quality;
use super::references::{confirm_failures, confirm_orphans, count_references, waited_for};
use super::stillness::{Seen, Still, Watched};
use super::task_list::{keep_each_once, walk_lists};
use super::task_walk::{Proof, Shared, TaskWalk, Verdict, is_task};
use super::threads::{CapturedThread, Source, ThreadReading, is_running_elsewhere, read_thread_names, read_threads};
use super::witness::Witness;
use crate::model::snapshot::LoopPosition;
use crate::python::caches::Caches;
use crate::python::frame_table::FrameTable;
use crate::python::greenlet::has_greenlets;
use crate::python::interpreter::{Interpreter, read_interpreters};
use crate::python::layout::Layout;
use crate::python::reader::{Reader, optional};
use crate::remote::{Addr, Memory, ReadError, View};
use crate::runtime::interface::Imported;
use crate::runtime::layouts::Layouts;
use crate::runtime::record::{LoopRecord, TaskList, Waited};
use crate::runtime::references::{FutureReferences, LoopReferences};
use crate::runtime::wait::{Wait, WaitKind};

/// LIMIT: how many times data that changed during the reading is read again.
const ATTEMPTS: u32 = 5;

/// LIMIT: gaps that are reported individually.
const MAX_PROBLEMS: usize = 100;

/// Everything that was read, by address; `assemble` turns it into a snapshot.
pub(super) struct Capture {
    pub(super) interpreters: Vec<Interpreter>,
    /// Index of the interpreter, thread, frames of its stack.
    pub(super) threads: Vec<CapturedThread>,
    pub(super) thread_names: FxHashMap<u64, String>,
    /// The tasks to show.
    pub(super) tasks: Vec<TaskWalk>,
    pub(super) graph: Graph,
    /// The objects that the coroutines of each task have entered with `async with`, if any task waits for a lock.
    pub(super) entered: Vec<Vec<Addr>>,
    pub(super) loops: Vec<LoopRecord>,
    /// Strong references beyond the loop's own, by task.
    pub(super) other_references: Vec<Option<i64>>,
    /// The tasks without references that serve a connection, by index.
    pub(super) serving: FxHashSet<usize>,
    pub(super) frames: FrameTable,
    pub(super) asyncio_loaded: bool,
    pub(super) quality: Quality,
    pub(super) problems: Vec<(String, ReadError)>,
    pub(super) outside: Outside,
    /// Locks that are taken although no living task has taken them.
    pub(super) abandoned: Vec<Addr>,
    /// What was seen not to move.
    pub(super) still: Still,
    /// What has been told to end.
    pub(super) endings: Endings,
    /// The tasks that hold the locks that threads of event loops wait for, by index of the thread.
    pub(super) lock_holders: FxHashMap<usize, Addr>,
}

/// A reading in progress.
struct Capturing<'c> {
    memory: &'c dyn Memory,
    facts: &'c Facts,
    layout: &'c Layout,
    view: View<'c>,
    caches: Caches,
    shared: Shared,
    interpreters: Vec<Interpreter>,
    /// The runtimes of each interpreter.
    imported: Vec<Vec<Arc<dyn Imported>>>,
    /// References to tasks from the futures that tasks wait for, and the attempt in which they were read.
    waiter_references: FxHashMap<Addr, (u32, FutureReferences)>,
    problems: Vec<(String, ReadError)>,
    quality: Quality,
}

/// Reads the process.
pub(super) fn capture(
    memory: &dyn Memory,
    facts: &Facts,
    layouts: &Layouts,
    witness: &mut dyn Witness,
    progress: &dyn Fn(Progress),
) -> Result<Capture, ReadError> {
    let mut capturing = Capturing {
        memory,
        facts,
        layout: &layouts.python,
        view: View::new(memory),
        caches: Caches::default(),
        shared: Shared::new(layouts, true),
        interpreters: Vec::new(),
        imported: Vec::new(),
        waiter_references: FxHashMap::default(),
        problems: Vec::new(),
        quality: Quality { consistent: true, ..Quality::default() },
    };
    capturing.find_interpreters()?;
    let thread_names = capturing.read_thread_names()?;
    let listed = capturing.list_tasks()?;
    progress(Progress { stage: "tasks", done: 0, total: Some(listed.len() as u64) });
    let (walks, threads) = capturing.read_tasks_and_threads(&listed, witness, progress)?;
    capturing.relate(walks, threads, thread_names, witness)
}

impl<'c> Capturing<'c> {
    fn reader(&mut self) -> Reader<'_, 'c> {
        Reader::new(&mut self.view, self.layout, &mut self.caches)
    }

    /// Records something that could not be read; ends the reading if nothing more can be read.
    fn note(&mut self, what: impl Into<String>, error: ReadError) -> Result<(), ReadError> {
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

    fn find_interpreters(&mut self) -> Result<(), ReadError> {
        let runtime = self.runtime()?;
        let own_threads = self.facts.own_thread_ids();
        let layout = self.layout;
        let (interpreters, torn) =
            walk_lists(&mut self.view, |view| read_interpreters(view, layout, runtime, &own_threads))?;
        self.interpreters = interpreters;
        self.quality.torn += torn;
        self.find_runtimes()
    }

    fn find_runtimes(&mut self) -> Result<(), ReadError> {
        for position in 0..self.interpreters.len() {
            let mut reader = Reader::new(&mut self.view, self.layout, &mut self.caches);
            let found = match self.shared.runtimes.find(&mut reader, self.interpreters[position].addr) {
                Ok(found) => found,
                Err(error) => {
                    self.note(format!("modules of interpreter {}", self.interpreters[position].id), error)?;
                    Vec::new()
                }
            };
            self.imported.push(found);
            let mut reader = Reader::new(&mut self.view, self.layout, &mut self.caches);
            self.shared.has_greenlets |= has_greenlets(&mut reader, self.interpreters[position].addr)?;
        }
        Ok(())
    }

    fn runtime(&self) -> Result<Addr, ReadError> {
        Addr::new(self.facts.runtime).ok_or(ReadError::BadPointer(self.facts.runtime))
    }

    fn read_thread_names(&mut self) -> Result<FxHashMap<u64, String>, ReadError> {
        let mut names = FxHashMap::default();
        for position in 0..self.interpreters.len() {
            let interpreter = self.interpreters[position].clone();
            names.extend(read_thread_names(&mut self.reader(), &interpreter)?);
        }
        Ok(names)
    }

    /// Addresses of all tasks of all interpreters.
    fn list_tasks(&mut self) -> Result<Vec<Addr>, ReadError> {
        let runtime = self.runtime()?;
        let mut all = Vec::new();
        for position in 0..self.interpreters.len() {
            let interpreter = self.interpreters[position].clone();
            let threads: Vec<Addr> = interpreter.threads.iter().map(|thread| thread.addr).collect();
            let mut list = TaskList::default();
            let mut reader = Reader::new(&mut self.view, self.layout, &mut self.caches);
            for imported in &self.imported[position] {
                imported.list_tasks(&mut reader, interpreter.addr, &threads, &mut list)?;
            }
            if !self.imported[position].is_empty() {
                for own in self.shared.runtimes.all() {
                    own.add_unlisted_tasks(&mut reader, runtime, &interpreter, &mut list)?;
                }
            }
            for (what, error) in list.problems {
                self.note(what, error)?;
            }
            all.append(&mut list.tasks);
        }
        keep_each_once(&mut all, self.interpreters.len());
        Ok(all)
    }

    /// Reads all tasks, and the threads that run some of them, until each was proved to show a single moment or the
    /// attempts are used up.
    fn read_tasks_and_threads(
        &mut self,
        listed: &[Addr],
        witness: &mut dyn Witness,
        progress: &dyn Fn(Progress),
    ) -> Result<(Vec<TaskWalk>, Vec<CapturedThread>), ReadError> {
        let mut settled: Vec<TaskWalk> = Vec::new();
        let mut open: Vec<Addr> = listed.to_vec();
        for attempt in 1..=ATTEMPTS {
            let last = attempt == ATTEMPTS;
            if attempt > 1 {
                if settled.iter().any(TaskWalk::may_hang) {
                    settled.iter_mut().for_each(|walk| walk.keep_print(&mut self.view));
                }
                self.view.forget();
                // A code object or type can have been freed together with the coroutine that used it.
                self.caches = Caches::default();
                self.shared.forget_addresses();
            }
            let mut walks: Vec<TaskWalk> = open.iter().map(|addr| TaskWalk::new(*addr, attempt)).collect();
            let (layout, caches, shared) = (self.layout, &mut self.caches, &mut self.shared);
            let read =
                self.view.wave(&mut walks, |view, walk| walk.advance(&mut Reader::new(view, layout, caches), shared));
            self.describe_waits(&mut walks, attempt);
            let threads = self.read_threads(witness)?;
            // If no thread has run since before the first read, nothing can have changed.
            let proofs = if witness.nothing_ran() { None } else { Some(Proof::read(&mut self.view, &walks)?) };
            open.clear();
            let mut settles = Vec::with_capacity(walks.len());
            for (position, (walk, read)) in walks.iter_mut().zip(read).enumerate() {
                if let Err(error) = read
                    && error.is_fatal()
                {
                    return Err(error);
                }
                let proof = proofs.as_ref().map(|proofs| proofs[position]);
                let mut verdict = walk.judge(read, proof, last);
                if verdict == Verdict::Held && proof.is_some() && !last && is_running_elsewhere(walk, &threads) {
                    verdict = Verdict::Again;
                }
                settles.push(self.settle(walk, verdict, &mut open)?);
            }
            let mut settles = settles.into_iter();
            walks.retain(|_| settles.next().unwrap_or(false));
            // Nearly always all tasks settle at once; then nothing is copied.
            if settled.is_empty() {
                settled = walks
            } else {
                settled.append(&mut walks)
            }
            log::info!(
                "{} of {} tasks changed while they were read (attempt {attempt} of {ATTEMPTS})",
                open.len(),
                listed.len()
            );
            if open.is_empty() {
                self.quality.torn += threads.iter().map(|thread| u64::from(thread.reading.stack.torn)).sum::<u64>();
                self.quality.consistent &= threads.iter().all(|t| t.reading.held && t.reading.stack.complete);
                return Ok((settled, threads));
            }
            self.quality.torn += open.len() as u64;
            progress(Progress { stage: "tasks", done: settled.len() as u64, total: Some(listed.len() as u64) });
        }
        // The last attempt settles every task.
        Ok((settled, self.read_threads(witness)?))
    }

    /// Handles the verdict on a task. Returns whether the task is settled.
    fn settle(&mut self, walk: &mut TaskWalk, verdict: Verdict, open: &mut Vec<Addr>) -> Result<bool, ReadError> {
        match verdict {
            Verdict::Held => return Ok(true),
            Verdict::Again => {
                log::debug!("task {} changed while it was read: reading it again", walk.addr);
                open.push(walk.addr);
            }
            Verdict::Unreadable(error) => self.give_up(walk.addr, error)?,
            Verdict::Partly(anchors) => {
                log::info!(
                    "task {} changed in every attempt: the inconsistent part of its stack is left out",
                    walk.addr
                );
                walk.keep_anchors(anchors);
                self.quality.consistent = false;
                self.quality.dropped += 1;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Determines what each task waits for. A future that many tasks wait for is read once.
    fn describe_waits(&mut self, walks: &mut [TaskWalk], attempt: u32) {
        let (layout, caches, shared) = (self.layout, &mut self.caches, &mut self.shared);
        let mut addrs = waited_for(walks);
        let read =
            self.view.wave(&mut addrs, |view, addr| shared.read_waited(&mut Reader::new(view, layout, caches), *addr));
        self.waiter_references.reserve(addrs.len());
        let waiters: Vec<Option<Waited>> = (read.into_iter().zip(&addrs))
            .map(|(found, addr)| {
                let (waiter, references) = found.ok().flatten()?;
                self.waiter_references.insert(*addr, (attempt, references));
                Some(waiter)
            })
            .collect();
        self.view.wave(walks, |view, walk| match walk.waiter() {
            Some(addr) => {
                let waiter = addrs.binary_search(&addr).ok().and_then(|position| waiters[position].as_ref());
                walk.describe(&mut Reader::new(view, layout, caches), shared, waiter)
            }
            None => Ok(()),
        });
        // A wait for something that could not be read is still a wait.
        for walk in walks.iter_mut().filter(|walk| walk.waiter().is_some() && walk.wait.is_none()) {
            walk.wait = Some(Wait::new(WaitKind::Other));
        }
    }

    /// Gives up a task that could not be read in any attempt: it is gone by now, or must be reported.
    fn give_up(&mut self, addr: Addr, error: ReadError) -> Result<(), ReadError> {
        let mut view = View::new(self.memory);
        let mut reader = Reader::new(&mut view, self.layout, &mut self.caches);
        if is_task(&mut reader, &mut self.shared, addr)? {
            self.quality.consistent = false;
            self.note(format!("task {addr}"), error)?;
        }
        Ok(())
    }

    fn read_threads(&mut self, witness: &dyn Witness) -> Result<Vec<CapturedThread>, ReadError> {
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

    /// Relates the parts: the wait graph, locks, references, loops.
    fn relate(
        mut self,
        mut walks: Vec<TaskWalk>,
        threads: Vec<CapturedThread>,
        thread_names: FxHashMap<u64, String>,
        witness: &mut dyn Witness,
    ) -> Result<Capture, ReadError> {
        confirm_failures(self.memory, self.layout, &mut self.caches, &mut self.shared, &mut walks, witness);
        walks.retain(TaskWalk::is_shown);
        let index: FxHashMap<Addr, usize> = walks.iter().enumerate().map(|(n, walk)| (walk.addr, n)).collect();
        let loops = self.read_loops(&walks, &threads)?;
        let mut outside = self.see_outside(&mut walks, &threads, &loops, witness)?;

        let mut references = LoopReferences::with_room(walks.len());
        // Data from an earlier attempt than the task's own is out of date, because the task has changed since. Later
        // data is valid, because every task for which the count matters was shown to have stood still.
        let attempts: Vec<u32> = walks.iter().map(|walk| walk.attempt).collect();
        let is_stale = |read: u32| {
            let (attempts, index) = (&attempts, &index);
            move |task: Addr| index.get(&task).is_some_and(|position| attempts[*position] > read)
        };
        let waiters = waited_for(&walks);
        // A future's memory is reused at once: an address read where one task waited can be the next future of another
        // task. So if a task waits for a single future, only that future's data counts.
        let waits = |position: &usize| {
            let walk = &walks[*position];
            walk.waiter().filter(|_| walk.wait.as_ref().is_some_and(|wait| wait.targets.is_empty()))
        };
        for (future, (attempt, found)) in std::mem::take(&mut self.waiter_references) {
            // A future that no task waits for any more wakes no task.
            if waiters.binary_search(&future).is_ok() {
                let is_anothers = |task: Addr| index.get(&task).and_then(waits).is_some_and(|waiter| waiter != future);
                references.add(found, |task| is_stale(attempt)(task) || is_anothers(task));
            }
        }
        for walk in &mut walks {
            let attempt = walk.attempt;
            walk.references.take().into_iter().for_each(|found| references.add(found, is_stale(attempt)));
        }
        for wait in walks.iter_mut().filter_map(|walk| walk.wait.as_mut()) {
            wait.complete(|queue| {
                references.reporting_to(queue).iter().filter(|future| index.contains_key(future)).copied().collect()
            });
        }
        let (layout, caches, shared) = (self.layout, &mut self.caches, &mut self.shared);
        let (graph, held) = Graph::read(&mut self.view, layout, caches, shared, &walks, index);
        // Read after every attempt, so never out of date.
        held.into_iter().for_each(|found| references.add(found, |_| false));
        let mut handles: Vec<Addr> = loops.iter().flat_map(|record| record.handles.iter().copied()).collect();
        let woken = self.view.wave(&mut handles, |view, handle| {
            let mut reader = Reader::new(view, layout, caches);
            shared.runtimes.of(&mut reader, *handle)?.read_handle_task(&mut reader, *handle)
        });
        woken.into_iter().flatten().flatten().for_each(|task| references.add_step(task));
        let entered = read_all_entered(&mut self.view, layout, caches, shared, &walks);
        let mut other_references = count_references(&mut self.view, layout, caches, shared, &walks, &references);
        let serving = confirm_orphans(self.memory, layout, caches, shared, &walks, &mut other_references);
        let mut reader = Reader::new(&mut self.view, layout, caches);
        let endings = Endings::read(&mut reader, shared, &self.interpreters, &walks, &threads)?;
        let seen = Seen { walks: &walks, threads: &threads, loops: &loops, entered: &entered, endings: &endings };
        let still = self.watch_stillness(seen, &mut outside, witness)?;
        let abandoned = self.find_abandoned(&walks, &loops, &entered)?;
        let (layout, caches) = (self.layout, &mut self.caches);
        let lock_holders = find_lock_holders(&mut self.view, layout, caches, &walks, &threads)?;
        self.quality.batches = self.view.batches();
        self.quality.pieces = self.view.pieces();
        self.quality.bytes = self.view.bytes_read();
        Ok(Capture {
            asyncio_loaded: self.imported.iter().any(|runtimes| !runtimes.is_empty()),
            interpreters: self.interpreters,
            threads,
            thread_names,
            tasks: walks,
            graph,
            entered,
            loops,
            other_references,
            serving,
            frames: self.shared.frames,
            quality: self.quality,
            problems: self.problems,
            outside,
            abandoned,
            still,
            endings,
            lock_holders,
        })
    }

    /// Looks at what happens outside of the event loops, and adds what it says of the tasks' waits.
    fn see_outside(
        &mut self,
        walks: &mut [TaskWalk],
        threads: &[CapturedThread],
        loops: &[LoopRecord],
        witness: &dyn Witness,
    ) -> Result<Outside, ReadError> {
        if !Outside::is_wanted(&self.shared, walks, threads) {
            return Ok(Outside::default());
        }
        let interpreters: Vec<Addr> = self.interpreters.iter().map(|interpreter| interpreter.addr).collect();
        let outside = Outside::see(&mut self.means(threads, &interpreters, witness)?, walks, loops, None)?;
        outside.relate(walks);
        Ok(outside)
    }

    fn means<'l>(
        &'l mut self,
        threads: &'l [CapturedThread],
        interpreters: &'l [Addr],
        witness: &'l dyn Witness,
    ) -> Result<Means<'l>, ReadError> {
        let runtime = self.runtime()?;
        let (memory, layout, facts) = (self.memory, self.layout, self.facts);
        let (caches, shared) = (&mut self.caches, &mut self.shared);
        Ok(Means { memory, facts, witness, layout, caches, shared, threads, runtime, interpreters })
    }

    /// Watches for a while what seems to hang. What moved meanwhile is taken out of `outside`.
    fn watch_stillness(
        &mut self,
        seen: Seen<'_>,
        outside: &mut Outside,
        witness: &dyn Witness,
    ) -> Result<Still, ReadError> {
        let Seen { walks, threads, loops, .. } = seen;
        let mut watched = Watched::of(&self.shared, seen, outside);
        if watched.is_empty() || !witness.is_live() || self.facts.halt.is_some() {
            return Ok(Still::default());
        }
        let interpreters: Vec<Addr> = self.interpreters.iter().map(|interpreter| interpreter.addr).collect();
        let runtime = self.runtime()?;
        let Self { memory, layout, view, caches, shared, facts, .. } = self;
        let (memory, interpreters) = (*memory, &*interpreters);
        let mut means = Means { memory, facts, witness, layout, caches, shared, threads, runtime, interpreters };
        watched.watch(&mut means, view, walks, loops, outside)
    }

    /// Finds locks that no living task has taken.
    fn find_abandoned(
        &mut self,
        walks: &[TaskWalk],
        loops: &[LoopRecord],
        entered: &[Vec<Addr>],
    ) -> Result<Vec<Addr>, ReadError> {
        let suspects = abandoned::suspects(walks, entered);
        if suspects.is_empty() {
            return Ok(suspects);
        }
        let interpreters: Vec<Addr> = self.interpreters.iter().map(|interpreter| interpreter.addr).collect();
        let living = Living { walks, loops, runtime: self.runtime()?, interpreters: &interpreters };
        let (layout, caches, shared) = (self.layout, &mut self.caches, &mut self.shared);
        let found = abandoned::search(&mut self.view, layout, caches, shared, &living, &suspects)?;
        if found.is_empty() {
            return Ok(found);
        }
        self.view.forget();
        let listed = self.list_tasks()?;
        let (layout, caches, shared) = (self.layout, &mut self.caches, &mut self.shared);
        abandoned::confirm(self.memory, layout, caches, shared, walks, &listed, found)
    }

    fn read_loops(&mut self, walks: &[TaskWalk], threads: &[CapturedThread]) -> Result<Vec<LoopRecord>, ReadError> {
        let mut seen = FxHashSet::default();
        let running = threads.iter().filter_map(|thread| thread.reading.running_loop);
        let of_tasks = walks.iter().filter_map(|walk| walk.record.as_ref()?.future.event_loop);
        let mut addrs: Vec<Addr> = running.chain(of_tasks).filter(|addr| seen.insert(*addr)).collect();
        let (layout, caches, shared) = (self.layout, &mut self.caches, &mut self.shared);
        let read = self.view.wave(&mut addrs, |view, addr| {
            let mut reader = Reader::new(view, layout, caches);
            shared.runtimes.of(&mut reader, *addr)?.read_loop(&mut reader, *addr)
        });
        let mut loops = Vec::with_capacity(read.len());
        for (addr, read) in addrs.into_iter().zip(read) {
            match read {
                Ok(record) => loops.push(record),
                Err(error) => self.note(format!("event loop {addr}"), error)?,
            }
        }
        Ok(loops)
    }
}
