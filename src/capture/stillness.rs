//! What seems to hang is watched for a moment: one instant of a busy program looks like a hang. What is seen to stand still
//! in every look is said to have stood still for that long, and nothing longer.

use std::time::{Duration, Instant};

use rustc_hash::{FxHashMap, FxHashSet};

use super::ending::{Endings, ends_interpreter, ends_pools};
use super::facts::Activity;
use super::loop_position::settle;
use super::outside::{Means, Outside};
use super::task_walk::{Proof, Shared, TaskWalk};
use super::threads::CapturedThread;
use super::witness::{Look, Side};
use crate::model::snapshot::LoopPosition;
use crate::python::reader::{Reader, optional};
use crate::remote::kernel_thread::is_selector;
use crate::remote::{Addr, ReadError, View};
use crate::runtime::record::LoopRecord;
use crate::runtime::wait::{Wait, WaitKind};

/// The pauses between looks, milliseconds: uneven, so that a program that repeats itself cannot stay in step. Together
/// longer than any healthy hand-over of a lock, shorter than a user minds.
const PAUSES_MS: [u64; 14] = [2, 9, 4, 17, 7, 26, 12, 33, 19, 41, 23, 47, 31, 29];

/// LIMIT: tasks of one lock or queue that are watched; if the first do not move, the others are behind them.
const MAX_TASKS: usize = 64;

/// LIMIT: locks, semaphores and queues that are watched.
const MAX_RESOURCES: usize = 200;

/// LIMIT: tasks that were told to end and are watched; the first show what the others wait for.
const MAX_ENDING: usize = 500;

/// For how long things were seen not to move, milliseconds.
#[derive(Debug, Default)]
pub(super) struct Still {
    /// Locks, semaphores, limiters and queues with all tasks around them.
    pub(super) resources: FxHashMap<Addr, u64>,
    /// Loops that sleep although a callback is ready.
    pub(super) loops: FxHashMap<Addr, u64>,
    /// Pools of threads, by their queues.
    pub(super) pools: FxHashMap<Addr, u64>,
    /// Threads of loops, and those that wait for others to end, that sleep in one wait for a lock, by index.
    pub(super) threads: FxHashMap<usize, u64>,
    /// Tasks that were told to end, by index.
    pub(super) tasks: FxHashMap<usize, u64>,
    /// Tasks that moved themselves, or that wait for one that did, by index: who holds what they wait for may have been
    /// read at another moment.
    pub(super) moved: FxHashSet<usize>,
    /// How long nothing was read.
    pub(super) paused: Duration,
}

/// What was read, in which something may hang.
#[derive(Clone, Copy)]
pub(super) struct Seen<'s> {
    pub(super) walks: &'s [TaskWalk],
    pub(super) threads: &'s [CapturedThread],
    pub(super) loops: &'s [LoopRecord],
    /// The objects that the coroutines of each task have entered.
    pub(super) entered: &'s [Vec<Addr>],
    pub(super) endings: &'s Endings,
}

/// Something of which nothing is left, and the tasks around it, by index.
#[derive(Debug, Default)]
struct Contended {
    waiting: Vec<usize>,
    /// Those that may have taken it.
    holding: Vec<usize>,
}

impl Contended {
    fn tasks(&self) -> impl Iterator<Item = usize> {
        self.waiting.iter().chain(&self.holding).copied()
    }

    /// Whether someone still waits for the same ones.
    fn may_hang(&self, moved: &FxHashSet<usize>) -> bool {
        let is_still = |task: &usize| !moved.contains(task);
        self.holding.iter().all(is_still) && self.waiting.iter().any(is_still)
    }
}

/// What seems to hang.
#[derive(Debug, Default)]
pub(super) struct Watched {
    resources: FxHashMap<Addr, Contended>,
    /// The tasks that were seen to move.
    moved: FxHashSet<usize>,
    /// A loop, the id of its thread in the target's namespace, and what the kernel said of the thread while its stack was
    /// read.
    loops: Vec<(Addr, i32, Look)>,
    /// Pools of threads with jobs in their queues.
    pools: Vec<Addr>,
    /// Threads of loops that wait for a lock, by index; then as in `loops`.
    threads: Vec<(usize, i32, Look)>,
    /// Tasks that were told to end.
    tasks: Vec<usize>,
    /// Some thread waits for a result.
    results: bool,
}

impl Watched {
    pub(super) fn of(
        shared: &Shared,
        Seen { walks, threads, loops, entered, endings }: Seen<'_>,
        outside: &Outside,
    ) -> Self {
        let all_end = threads.iter().any(|thread| ends_pools(shared, thread));
        let is_full = |pool: &&super::outside::SeenPool| {
            let has_queue = pool.record.queued.as_ref().is_some_and(|(count, _)| *count > 0);
            has_queue || ((all_end || !pool.shut_down_by.is_empty()) && !pool.running.is_empty())
        };
        let mut tasks = endings.tasks(walks);
        tasks.truncate(MAX_ENDING);
        Self {
            resources: resources_of(walks, entered),
            moved: FxHashSet::default(),
            loops: sleeping_loops(shared, threads, loops),
            pools: outside.pools.iter().filter(is_full).map(|pool| pool.queue).collect(),
            threads: threads_on_locks(shared, threads),
            tasks,
            results: !outside.results.is_empty(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        let may_hang = self.resources.values().any(|one| one.may_hang(&self.moved));
        let are_still = self.tasks.iter().any(|task| !self.moved.contains(task));
        !may_hang
            && !are_still
            && self.loops.is_empty()
            && self.pools.is_empty()
            && self.threads.is_empty()
            && !self.results
    }

    /// Looks again and again, as long as anything stands still.
    pub(super) fn watch(
        &mut self,
        means: &mut Means<'_>,
        view: &mut View<'_>,
        walks: &[TaskWalk],
        loops: &[LoopRecord],
        outside: &mut Outside,
    ) -> Result<Still, ReadError> {
        let (started, mut seen, mut paused) = (Instant::now(), Duration::ZERO, Duration::ZERO);
        // Between threads that wait for results, any task can be a link.
        let links: Vec<usize> = match self.results {
            true => (0..walks.len()).filter(|task| walks[*task].waiter().is_some()).collect(),
            false => Vec::new(),
        };
        // What was read of a task in an earlier attempt may be out of date by now.
        let last = walks.iter().map(|walk| walk.attempt).max().unwrap_or(0);
        self.tasks.retain(|task| walks[*task].is_comparable(last));
        let ending = self.tasks.iter().chain(&links).copied();
        let tasks = self.resources.values().flat_map(Contended::tasks).chain(ending);
        let has_moved =
            |task: &usize| walks.get(*task).is_none_or(|walk| !walk.is_comparable(last) || !walk.is_as_it_was(view));
        self.moved = tasks.filter(has_moved).collect();
        for pause in [0].into_iter().chain(PAUSES_MS) {
            if self.is_empty() {
                break;
            }
            let before = Instant::now();
            std::thread::sleep(Duration::from_millis(pause));
            paused += before.elapsed();
            // Up to here everything that passes this look stood still.
            seen = started.elapsed();
            self.look_at_tasks(view, walks)?;
            self.keep_sleeping(means)?;
            let mut threads = std::mem::take(&mut self.threads);
            threads.retain(|(_, own_tid, before)| slept_on(means, *own_tid, before));
            self.threads = threads;
            self.keep_still_pools(means, walks, loops, outside)?;
        }
        if !self.loops.is_empty() && is_being_woken(means)? {
            self.loops.clear();
        }
        if self.results {
            self.look_at(view, walks, links)?;
            outside.search(means)?;
        }
        let ms = u64::try_from(seen.as_millis()).unwrap_or(u64::MAX);
        let is_still = |one: &Contended| one.tasks().all(|task| !self.moved.contains(&task));
        let still = self.resources.iter().filter(|(_, one)| is_still(one)).map(|(addr, _)| (*addr, ms)).collect();
        let behind = self.resources.values().filter(|one| one.holding.iter().any(|task| self.moved.contains(task)));
        let behind: Vec<usize> = behind.flat_map(|one| one.waiting.iter().copied()).collect();
        self.moved.extend(behind);
        Ok(Still {
            resources: still,
            loops: self.loops.drain(..).map(|(addr, ..)| (addr, ms)).collect(),
            pools: self.pools.drain(..).map(|addr| (addr, ms)).collect(),
            threads: self.threads.drain(..).map(|(at, ..)| (at, ms)).collect(),
            tasks: self.tasks.drain(..).filter(|task| !self.moved.contains(task)).map(|task| (task, ms)).collect(),
            moved: std::mem::take(&mut self.moved),
            paused,
        })
    }

    fn look_at_tasks(&mut self, view: &mut View<'_>, walks: &[TaskWalk]) -> Result<(), ReadError> {
        let open = self.resources.values().filter(|one| one.may_hang(&self.moved)).flat_map(Contended::tasks);
        let open = open.chain(self.tasks.iter().copied()).collect();
        self.look_at(view, walks, open)
    }

    fn look_at(&mut self, view: &mut View<'_>, walks: &[TaskWalk], mut tasks: Vec<usize>) -> Result<(), ReadError> {
        tasks.retain(|task| !self.moved.contains(task));
        tasks.sort_unstable();
        tasks.dedup();
        let proofs = Proof::read(view, tasks.iter().map(|task| &walks[*task]))?;
        self.moved
            .extend(tasks.into_iter().zip(proofs).filter(|(_, proof)| *proof != Proof::Held).map(|(task, _)| task));
        Ok(())
    }

    fn keep_sleeping(&mut self, means: &mut Means<'_>) -> Result<(), ReadError> {
        let mut kept = Vec::with_capacity(self.loops.len());
        for (addr, own_tid, before) in self.loops.drain(..) {
            let mut view = View::new(means.memory);
            let mut reader = Reader::new(&mut view, means.layout, means.caches);
            let read = means.shared.runtimes.of(&mut reader, addr)?.read_loop(&mut reader, addr);
            let ready = optional(read)?.and_then(|record| record.ready).unwrap_or(0);
            // It slept in the one call from when its stack was read until after the queue was.
            if ready > 0 && slept_on(means, own_tid, &before) {
                kept.push((addr, own_tid, before));
            }
        }
        self.loops = kept;
        Ok(())
    }

    fn keep_still_pools(
        &mut self,
        means: &mut Means<'_>,
        walks: &[TaskWalk],
        loops: &[LoopRecord],
        outside: &mut Outside,
    ) -> Result<(), ReadError> {
        if self.pools.is_empty() && !self.results {
            return Ok(());
        }
        let now = Outside::see(means, walks, loops, Some(outside))?;
        self.pools.retain(|queue| {
            let of = |seen: &Outside| seen.pools.iter().find(|pool| pool.queue == *queue).cloned();
            of(outside) == of(&now) && of(&now).is_some()
        });
        outside.results.retain(|result| now.results.contains(result));
        self.results = !outside.results.is_empty();
        Ok(())
    }
}

/// Locks, semaphores, limiters and queues of which nothing is left, with their tasks.
fn resources_of(walks: &[TaskWalk], entered: &[Vec<Addr>]) -> FxHashMap<Addr, Contended> {
    let mut found: FxHashMap<Addr, Contended> = FxHashMap::default();
    let index: FxHashMap<Addr, usize> = walks.iter().enumerate().map(|(at, walk)| (walk.addr, at)).collect();
    for (at, walk) in walks.iter().enumerate().filter(|(_, walk)| walk.waiter().is_some()) {
        let Some(wait) = walk.wait.as_ref() else { continue };
        let Some(resource) = wait.resource.filter(|resource| resource.free == Some(0)) else { continue };
        // An empty queue is no reason to suspect anything, other than one of connections.
        if wait.kind == WaitKind::QueueGet && resource.pool.is_none() {
            continue;
        }
        if found.len() >= MAX_RESOURCES && !found.contains_key(&resource.addr) {
            continue;
        }
        let one = found.entry(resource.addr).or_insert_with(|| {
            let holding = wait.holders.iter().filter_map(|holder| index.get(holder).copied()).take(MAX_TASKS).collect();
            Contended { waiting: Vec::new(), holding }
        });
        if one.waiting.len() < MAX_TASKS {
            one.waiting.push(at);
        }
    }
    for (at, entered) in entered.iter().enumerate() {
        for lock in entered {
            let is_entering =
                |wait: &Wait| wait.lock == Some(*lock) && wait.resource.is_none_or(|of| of.pool.is_none());
            let wants = walks[at].wait.as_ref().is_some_and(is_entering);
            if let Some(one) = found.get_mut(lock).filter(|one| !wants && !one.holding.contains(&at)) {
                one.holding.push(at);
            }
        }
    }
    found
}

/// Loops of which a callback is ready although they may sleep. Who makes one ready from another thread the right way
/// wakes the loop a moment later.
fn sleeping_loops(shared: &Shared, threads: &[CapturedThread], loops: &[LoopRecord]) -> Vec<(Addr, i32, Look)> {
    if threads.iter().flat_map(|thread| &thread.frames).any(|(number, _)| wakes(shared, *number)) {
        return Vec::new();
    }
    let sleeping = loops.iter().filter(|record| record.ready.is_some_and(|ready| ready > 0)).filter_map(|record| {
        let runner = threads.iter().find(|thread| thread.reading.running_loop == Some(record.addr))?;
        let look = runner.reading.look.as_ref().filter(|_| selects(runner))?;
        Some((record.addr, runner.reading.python.native_id?, look.clone()))
    });
    sleeping.collect()
}

/// Threads of loops, and those that wait for others to end, that sleep in a wait for a lock other than the GIL.
fn threads_on_locks(shared: &Shared, threads: &[CapturedThread]) -> Vec<(usize, i32, Look)> {
    let concerns = |thread: &CapturedThread| thread.reading.running_loop.is_some() || ends_interpreter(shared, thread);
    let of_loops = threads.iter().enumerate().filter(|(_, thread)| concerns(thread));
    let waiting = of_loops.filter(|(_, thread)| !thread.reading.waits_for_gil()).filter_map(|(at, thread)| {
        let look = thread.reading.look.as_ref().filter(|look| look.futex.is_some())?;
        Some((at, thread.reading.python.native_id?, look.clone()))
    });
    waiting.collect()
}

/// Whether a thread slept in one call from `before` until now.
fn slept_on(means: &Means<'_>, own_tid: i32, before: &Look) -> bool {
    let now = means.facts.thread(own_tid).map(|thread| means.witness.look(thread, Side::After));
    now.is_some_and(|now| before.slept_until(&now))
}

/// Whether a thread slept in the selector of its loop while its stack was read.
fn selects(runner: &CapturedThread) -> bool {
    let Some(Activity::SystemCall(call)) = runner.reading.look.as_ref().map(|look| &look.activity) else {
        return false;
    };
    let settled = runner.position.map(|position| settle(position, Some(call), runner.reading.running_task.is_some()));
    is_selector(call) && settled == Some(LoopPosition::Selector)
}

/// Whether the frame with this number is about to wake a loop.
fn wakes(shared: &Shared, number: u32) -> bool {
    let name = shared.frames.get(number).map(|frame| frame.function.rsplit('.').next().unwrap_or_default());
    matches!(name, Some("call_soon_threadsafe" | "_write_to_self"))
}

/// Whether a thread is about to wake a loop now, or may be: one that waits for the GIL can take long.
fn is_being_woken(means: &mut Means<'_>) -> Result<bool, ReadError> {
    for captured in means.threads {
        let stack = means.stack_of(captured)?;
        let mut view = View::new(means.memory);
        let mut reader = Reader::new(&mut view, means.layout, means.caches);
        for frame in &stack.frames {
            if optional(reader.code(frame.code))?.is_some_and(|code| code.is_interpreters_own()) {
                continue;
            }
            let number = optional(means.shared.frames.number(&mut reader, frame))?;
            if number.is_none_or(|number| wakes(means.shared, number)) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
