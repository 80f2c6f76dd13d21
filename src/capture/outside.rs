//! What happens outside of the event loops and decides whether tasks continue: threads that block in `result()`, and the jobs
//! of pools of threads. Looked for only where a task waits for a job or a thread is inside of `concurrent.futures`.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::facts::{Activity, Facts};
use super::task_walk::{Shared, TaskWalk};
use super::threads::CapturedThread;
use super::witness::{Side, Witness};
use crate::model::wait::WaitDetail;
use crate::python::caches::Caches;
use crate::python::coroutine::read_function;
use crate::python::greenlet::has_greenlets;
use crate::python::layout::Layout;
use crate::python::reader::{Reader, optional};
use crate::python::stack::{ThreadStack, read_thread_stack};
use crate::remote::{Addr, Memory, ReadError, View};
use crate::runtime::asyncio::executor::{
    JobFuture, JobRecord, PoolFrame, PoolRecord, Submitted, read_job, read_job_future, read_pool, read_pool_frame,
    read_submitted, search_submitted,
};
use crate::runtime::record::LoopRecord;
use crate::runtime::wait::WaitKind;

/// Nanoseconds of a second.
const NS: f64 = 1e9;

/// Everything found, by address.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Outside {
    pub(super) pools: Vec<SeenPool>,
    pub(super) results: Vec<SeenResult>,
    /// Where the job with this future is.
    pub(super) places: FxHashMap<Addr, Place>,
    /// What the futures are that tasks wait for.
    futures: FxHashMap<Addr, JobFuture>,
    /// The coroutines that wait to be started, by their futures.
    submitted: FxHashMap<Addr, Submitted>,
}

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In this thread, by its index.
    Thread(usize),
    /// In the queue of this pool, by its index.
    Pool(usize),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct SeenPool {
    pub(super) queue: Addr,
    reference: Option<Addr>,
    pub(super) record: PoolRecord,
    pub(super) running: Vec<SeenJob>,
    /// The threads that wait for its workers to end, and how many of their frames are outside of the call.
    pub(super) shut_down_by: Vec<(usize, usize)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct SeenJob {
    pub(super) thread: usize,
    /// Frames of the thread outside of the job.
    pub(super) outside: usize,
    item: Addr,
    pub(super) record: JobRecord,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct SeenResult {
    pub(super) thread: usize,
    pub(super) outside: usize,
    future: Addr,
    pub(super) timeout_ns: Option<u64>,
    pub(super) of: SeenOf,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum SeenOf {
    Unknown,
    Task(Addr),
    Coroutine {
        function: Option<(Arc<str>, Arc<str>)>,
        event_loop: Option<Addr>,
        /// The loop says itself that a thread runs it.
        says_running: bool,
    },
    Place(Place),
}

/// What is needed to means.
pub(super) struct Means<'l> {
    pub(super) memory: &'l dyn Memory,
    pub(super) facts: &'l Facts,
    pub(super) witness: &'l dyn Witness,
    pub(super) layout: &'l Layout,
    pub(super) caches: &'l mut Caches,
    pub(super) shared: &'l mut Shared,
    pub(super) threads: &'l [CapturedThread],
    /// Address of the runtime, and of each interpreter.
    pub(super) runtime: Addr,
    pub(super) interpreters: &'l [Addr],
}

impl Means<'_> {
    /// The stack that a thread has now; empty and incomplete if it cannot be read.
    pub(super) fn stack_of(&mut self, captured: &CapturedThread) -> Result<ThreadStack, ReadError> {
        let mut view = View::new(self.memory);
        let interpreter = self.interpreters[captured.interpreter];
        let has_greenlets = has_greenlets(&mut Reader::new(&mut view, self.layout, self.caches), interpreter)?;
        let stack = read_thread_stack(self.memory, self.layout, captured.reading.python.addr, has_greenlets);
        Ok(optional(stack)?.unwrap_or_default())
    }
}

impl Outside {
    /// Whether anything can be found.
    pub(super) fn is_wanted(shared: &Shared, walks: &[TaskWalk], threads: &[CapturedThread]) -> bool {
        let is_of_pool =
            |number: &u32| shared.frames.get(*number).is_some_and(|frame| frame.file.contains("concurrent/futures/"));
        walks.iter().any(|walk| walk.wait.as_ref().is_some_and(|wait| wait.job.is_some()))
            || threads.iter().any(|thread| thread.frames.iter().any(|(number, _)| is_of_pool(number)))
    }

    /// Looks once. `before` spares the search for what was found already.
    ///
    /// # Errors
    /// Those after which no further read can succeed.
    pub(super) fn see(
        means: &mut Means<'_>,
        walks: &[TaskWalk],
        loops: &[LoopRecord],
        before: Option<&Self>,
    ) -> Result<Self, ReadError> {
        let mut view = View::new(means.memory);
        let mut outside = Self::default();
        let waiting = outside.see_threads(means, &mut view)?;
        outside.read_pools(means, &mut view)?;
        let mut futures: Vec<Addr> = walks.iter().filter_map(|walk| walk.wait.as_ref()?.job).collect();
        futures.extend(waiting.iter().map(|wait| wait.future));
        futures.sort_unstable();
        futures.dedup();
        let (layout, caches) = (means.layout, &mut *means.caches);
        let read = view.wave(&mut futures, |view, addr| read_job_future(&mut Reader::new(view, layout, caches), *addr));
        for (addr, read) in futures.iter().zip(read) {
            if let Some(future) = read.ok().flatten() {
                outside.futures.insert(*addr, future);
            }
        }
        match before {
            Some(before) => outside.submitted.clone_from(&before.submitted),
            None => outside.find_submitted(means, &mut view, loops)?,
        }
        for mut wait in waiting {
            // Whoever has the result already is about to go on.
            if !outside.futures.get(&wait.future).is_some_and(|future| future.is_pending) {
                continue;
            }
            wait.of = outside.of(means, &mut view, wait.future)?;
            outside.results.push(wait);
        }
        outside.confirm(means)?;
        Ok(outside)
    }

    /// Finds workers with their jobs, and threads that wait for results.
    fn see_threads(&mut self, means: &mut Means<'_>, view: &mut View<'_>) -> Result<Vec<SeenResult>, ReadError> {
        let (mut waiting, mut ends) = (Vec::new(), Vec::new());
        for (thread, captured) in
            means.threads.iter().enumerate().filter(|(_, captured)| captured.reading.stack.complete)
        {
            let (mut worker, mut result, mut ended) = (None, None, None);
            for (at, ((number, _), raw)) in captured.frames.iter().zip(&captured.raw).enumerate() {
                let Some(named) = means.shared.frames.get(*number) else { continue };
                if !named.file.contains("concurrent/futures/") {
                    continue;
                }
                let named = named.clone();
                let mut reader = Reader::new(view, means.layout, means.caches);
                match optional(read_pool_frame(&mut reader, &named, raw))?.flatten() {
                    Some(PoolFrame::Worker { queue, pool }) => worker = Some(self.pool(queue, pool)),
                    Some(PoolFrame::Job(item)) => {
                        let Some(pool) = worker else { continue };
                        let Some(record) = optional(read_job(&mut reader, item))? else { continue };
                        self.pools[pool].running.push(SeenJob { thread, outside: at + 1, item, record });
                    }
                    Some(PoolFrame::Shutdown(queue)) => ended = Some((queue, at)),
                    Some(PoolFrame::Result { future, timeout }) => {
                        let timeout = match timeout {
                            Some(timeout) => optional(reader.number(timeout))?,
                            None => None,
                        };
                        let timeout_ns = timeout.filter(|seconds| *seconds >= 0.0).map(|seconds| (seconds * NS) as u64);
                        result = Some(SeenResult { thread, outside: at, future, timeout_ns, of: SeenOf::Unknown });
                    }
                    None => {}
                }
            }
            // It blocks only in the innermost of its calls, in a condition of `threading`.
            let innermost = captured.frames.last().and_then(|(number, _)| means.shared.frames.get(*number));
            let blocks = sleeps(captured) && innermost.is_some_and(|frame| frame.file.ends_with("threading.py"));
            ends.extend(ended.filter(|_| blocks).map(|(queue, at)| (queue, thread, at)));
            waiting.extend(result.filter(|result| blocks && result.outside + 2 == captured.frames.len()));
        }
        for (queue, thread, at) in ends {
            if let Some(pool) = self.pools.iter_mut().find(|pool| pool.queue == queue) {
                pool.shut_down_by.push((thread, at));
            }
        }
        Ok(waiting)
    }

    /// The pool with this queue.
    fn pool(&mut self, queue: Addr, reference: Option<Addr>) -> usize {
        self.pools.iter().position(|pool| pool.queue == queue).unwrap_or_else(|| {
            let record = PoolRecord { name: None, workers: None, queued: None };
            self.pools.push(SeenPool { queue, reference, record, running: Vec::new(), shut_down_by: Vec::new() });
            self.pools.len() - 1
        })
    }

    fn read_pools(&mut self, means: &mut Means<'_>, view: &mut View<'_>) -> Result<(), ReadError> {
        for (number, pool) in self.pools.iter_mut().enumerate() {
            let mut reader = Reader::new(view, means.layout, means.caches);
            if let Some(record) = optional(read_pool(&mut reader, pool.queue, pool.reference))? {
                pool.record = record;
            }
            let queued = pool.record.queued.iter().flat_map(|(_, jobs)| jobs);
            self.places.extend(queued.filter_map(|job| Some((job.future?, Place::Pool(number)))));
            let running = pool.running.iter();
            self.places.extend(running.filter_map(|job| Some((job.record.future?, Place::Thread(job.thread)))));
        }
        Ok(())
    }

    /// Finds the coroutines that futures wait for which are of no pool and of no task.
    fn find_submitted(
        &mut self,
        means: &mut Means<'_>,
        view: &mut View<'_>,
        loops: &[LoopRecord],
    ) -> Result<(), ReadError> {
        let is_open = |future: &JobFuture| future.is_pending && future.task.is_none();
        let open = |addr: &&Addr| !self.places.contains_key(*addr);
        if !self.futures.iter().filter(|(_, future)| is_open(future)).any(|(addr, _)| open(&addr)) {
            return Ok(());
        }
        let mut handles: Vec<Addr> = loops.iter().flat_map(|record| record.handles.iter().copied()).collect();
        let (layout, caches) = (means.layout, &mut *means.caches);
        let read = view.wave(&mut handles, |view, at| read_submitted(&mut Reader::new(view, layout, caches), *at));
        let found = read.into_iter().flatten().flatten();
        self.submitted.extend(found.map(|submitted| (submitted.future, submitted)));
        Ok(())
    }

    /// Searches all objects for what threads wait for on loops to which nothing else leads. Long: only for waits that last.
    ///
    /// # Errors
    /// Those after which no further read can succeed.
    pub(super) fn search(&mut self, means: &mut Means<'_>) -> Result<(), ReadError> {
        let mut view = View::new(means.memory);
        for number in 0..self.results.len() {
            if self.results[number].of != SeenOf::Unknown {
                continue;
            }
            let future = self.results[number].future;
            for interpreter in means.interpreters {
                let mut reader = Reader::new(&mut view, means.layout, means.caches);
                let found = search_submitted(&mut reader, means.runtime, *interpreter, future);
                if let Some(found) = optional(found)?.flatten() {
                    self.submitted.insert(future, found);
                }
            }
            self.results[number].of = self.of(means, &mut view, future)?;
        }
        self.confirm(means)
    }

    fn of(&self, means: &mut Means<'_>, view: &mut View<'_>, future: Addr) -> Result<SeenOf, ReadError> {
        if let Some(task) = self.futures.get(&future).and_then(|future| future.task) {
            return Ok(SeenOf::Task(task));
        }
        if let Some(place) = self.places.get(&future) {
            return Ok(SeenOf::Place(*place));
        }
        let Some(submitted) = self.submitted.get(&future) else { return Ok(SeenOf::Unknown) };
        let function = match submitted.coroutine {
            Some(coroutine) => optional(read_function(view, means.layout, means.caches, coroutine))?.flatten(),
            None => None,
        };
        let named = match function {
            Some(frame) => optional(frame.name(view, means.layout, means.caches))?,
            None => None,
        };
        let function = named.map(|named| (named.function, named.file));
        let event_loop = submitted.event_loop;
        // CPython: Lib/asyncio/base_events.py, BaseEventLoop.is_running, 3.8 to 3.15.
        let says_running = match event_loop {
            Some(addr) => {
                let mut reader = Reader::new(view, means.layout, means.caches);
                optional(reader.attribute_not_none(addr, "_thread_id"))?.flatten().is_some()
            }
            None => false,
        };
        Ok(SeenOf::Coroutine { function, event_loop, says_running })
    }

    /// Reads the stacks again: what has moved since it was captured is left out.
    fn confirm(&mut self, means: &mut Means<'_>) -> Result<(), ReadError> {
        let mut stacks = FxHashMap::default();
        let jobs = self.pools.iter().flat_map(|pool| {
            let running = pool.running.iter().map(|job| job.thread);
            running.chain(pool.shut_down_by.iter().map(|(thread, _)| *thread))
        });
        for thread in jobs.chain(self.results.iter().map(|result| result.thread)) {
            if let std::collections::hash_map::Entry::Vacant(vacant) = stacks.entry(thread) {
                vacant.insert(means.stack_of(&means.threads[thread])?);
            }
        }
        let is_there = |thread: usize, at: usize| {
            let frame = means.threads[thread].raw.get(at);
            frame.is_some_and(|frame| stacks.get(&thread).is_some_and(|stack| stack.frames.contains(frame)))
        };
        let is_same = |thread: usize| {
            let captured = &means.threads[thread];
            let is_same = |stack: &ThreadStack| stack.complete && stack.frames == captured.reading.stack.frames;
            stacks.get(&thread).is_some_and(is_same) && has_slept(means, captured)
        };
        for pool in &mut self.pools {
            pool.shut_down_by.retain(|(thread, at)| is_there(*thread, *at));
            let gone = |job: &SeenJob| !is_there(job.thread, job.outside - 1);
            if pool.running.iter().any(gone) {
                pool.running.retain(|job| !gone(job));
                // How many jobs were queued while others ended is not known.
                pool.record.queued = None;
            }
        }
        self.results.retain(|result| is_same(result.thread));
        let held: Vec<usize> = self.pools.iter().flat_map(|pool| &pool.running).map(|job| job.thread).collect();
        self.places.retain(|_, place| !matches!(place, Place::Thread(thread) if !held.contains(thread)));
        Ok(())
    }

    /// The event loop that has yet to start the coroutine that this is the future of.
    pub(super) fn loop_of(&self, future: Addr) -> Option<Addr> {
        self.submitted.get(&future).and_then(|submitted| submitted.event_loop)
    }

    /// Says of the tasks that wait for the results of others what these are.
    pub(super) fn relate(&self, walks: &mut [TaskWalk]) {
        for wait in walks.iter_mut().filter_map(|walk| walk.wait.as_mut()) {
            let Some(job) = wait.job else { continue };
            if let Some(task) = self.futures.get(&job).and_then(|future| future.task) {
                (wait.kind, wait.targets) = (WaitKind::Task, Arc::new([task]));
                wait.detail = instead(wait.detail.take(), None);
            } else if self.submitted.contains_key(&job) {
                wait.kind = WaitKind::Future;
                let words = "a coroutine that its loop has not started".into();
                wait.detail = instead(wait.detail.take(), Some(words));
            }
        }
    }
}

/// Other details of the same wait; its timeout stays.
fn instead(detail: Option<WaitDetail>, other: Option<WaitDetail>) -> Option<WaitDetail> {
    match detail {
        Some(WaitDetail::Timeout { ns, .. }) => Some(WaitDetail::Timeout { ns, wait: other.map(Box::new) }),
        _ => other,
    }
}

/// Whether a thread slept in a system call, other than for the GIL, while its stack was read.
fn sleeps(captured: &CapturedThread) -> bool {
    let activity = captured.reading.look.as_ref().map(|look| &look.activity);
    matches!(activity, Some(Activity::SystemCall(_))) && !captured.reading.waits_for_gil()
}

/// Whether a thread has slept since its stack was read.
fn has_slept(means: &Means<'_>, captured: &CapturedThread) -> bool {
    let kernel = captured.reading.python.native_id.and_then(|id| means.facts.thread(id));
    let look = kernel.map(|thread| means.witness.look(thread, Side::After));
    captured.reading.look.as_ref().zip(look).is_some_and(|(before, now)| before.slept_until(&now))
}
