//! One reading of a process: threads, tasks, loops, and the proof that each task was read at a single moment.

use rustc_hash::{FxHashMap, FxHashSet};

use super::abandoned::{self, Living};
use super::capturing::Capturing;
use super::ending::Endings;
use super::facts::Facts;
use super::graph::{Graph, read_all_entered};
use super::held_lock::find_lock_holders;
use super::outside::{Means, Outside};
use super::progress::Progress;
use super::quality::Quality;
use super::references::{confirm_failures, confirm_orphans, count_references, waited_for};
use super::stillness::{Seen, Still, Watched};
use super::task_list::{keep_each_once, walk_lists};
use super::task_reading::TasksAndThreads;
use super::task_walk::{Shared, TaskWalk};
use super::threads::{CapturedThread, read_thread_names};
use super::witness::Witness;
use crate::python::caches::Caches;
use crate::python::frame_table::FrameTable;
use crate::python::greenlet::has_greenlets;
use crate::python::interpreter::{Interpreter, read_interpreters};
use crate::python::reader::Reader;
use crate::remote::{Addr, Memory, MemoryLimit, ReadError, View};
use crate::runtime::layouts::Layouts;
use crate::runtime::record::{LoopRecord, TaskList};
use crate::runtime::references::LoopReferences;

/// Bytes of the target's memory that may be held even if there is no memory left: without them there is no snapshot.
const LEAST_VIEW: u64 = 8 << 20;

/// Everything that was read, by address; `assemble` turns it into a snapshot.
pub(super) struct Capture {
    pub(super) interpreters: Vec<Interpreter>,
    /// Index of the interpreter, thread, frames of its stack.
    pub(super) threads: Vec<CapturedThread>,
    pub(super) thread_names: FxHashMap<u64, String>,
    /// The tasks to show.
    pub(super) tasks: Vec<TaskWalk>,
    /// Tasks that were not read, because there was no memory for them.
    pub(super) unread: usize,
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

/// Reads the process.
pub(super) fn capture(
    memory: &dyn Memory,
    facts: &Facts,
    layouts: &Layouts,
    memory_limit: MemoryLimit,
    witness: &mut dyn Witness,
    progress: &dyn Fn(Progress),
) -> Result<Capture, ReadError> {
    let mut view = View::new(memory);
    // The rest is for what is made of it.
    view.limit((memory_limit.left() / 2).max(LEAST_VIEW));
    let mut capturing = Capturing {
        memory,
        facts,
        layout: &layouts.python,
        view,
        caches: Caches::default(),
        shared: Shared::new(layouts, true),
        interpreters: Vec::new(),
        imported: Vec::new(),
        memory_limit,
        pass: 0,
        waiter_references: FxHashMap::default(),
        problems: Vec::new(),
        quality: Quality { consistent: true, ..Quality::default() },
    };
    capturing.find_interpreters()?;
    let thread_names = capturing.read_thread_names()?;
    let listed = capturing.list_tasks()?;
    let read = capturing.read_tasks_and_threads(&listed, witness, progress)?;
    drop(listed);
    capturing.relate(read, thread_names, witness)
}

impl Capturing<'_> {
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
        // The pages of many tasks are not worth their memory: they are read again, part by part.
        if self.view.held() > self.memory_limit.left() / 4 {
            self.forget();
        }
        Ok(all)
    }

    /// Relates the parts: the wait graph, locks, references, loops.
    fn relate(
        mut self,
        read: TasksAndThreads,
        thread_names: FxHashMap<u64, String>,
        witness: &mut dyn Witness,
    ) -> Result<Capture, ReadError> {
        let TasksAndThreads { mut walks, threads, unread } = read;
        self.make_room(&mut walks);
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
        // A task that was not read may be the one that gives it back.
        let abandoned = if unread == 0 { self.find_abandoned(&walks, &loops, &entered)? } else { Vec::new() };
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
            unread,
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
