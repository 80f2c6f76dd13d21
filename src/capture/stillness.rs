//! What seems to hang is watched for a moment: one instant of a busy program looks like a hang. What is seen to stand still
//! in every look is said to have stood still for that long, and nothing longer.

use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::facts::{Activity, Facts};
use super::outside::{Look, Outside};
use super::task_walk::{Proof, Shared, TaskWalk};
use super::threads::CapturedThread;
use super::witness::Witness;
use crate::python::reader::{Reader, optional};
use crate::remote::kernel_thread::is_selector;
use crate::remote::{Addr, ReadError, View};
use crate::runtime::record::LoopRecord;
use crate::runtime::wait::WaitKind;

/// The pauses between looks, milliseconds: uneven, so that a program that repeats itself cannot stay in step. Together
/// longer than any healthy hand-over of a lock, shorter than a user minds.
const PAUSES_MS: [u64; 14] = [2, 9, 4, 17, 7, 26, 12, 33, 19, 41, 23, 47, 31, 29];

/// LIMIT: tasks of one lock or queue that are watched; if the first do not move, the others are behind them.
const MAX_TASKS: usize = 64;

/// LIMIT: locks, semaphores and queues that are watched.
const MAX_RESOURCES: usize = 200;

/// For how long things were seen not to move, milliseconds.
#[derive(Debug, Default)]
pub(super) struct Still {
    /// Locks, semaphores, limiters and queues with the tasks around them.
    pub(super) resources: FxHashMap<Addr, u64>,
    /// Loops that sleep although a callback is ready.
    pub(super) loops: FxHashMap<Addr, u64>,
    /// Pools of threads, by their queues.
    pub(super) pools: FxHashMap<Addr, u64>,
    /// Locks, semaphores, limiters and queues around which something moved.
    pub(super) moved: Vec<Addr>,
}

/// What seems to hang.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// A resource and the tasks that have taken it or wait for it, by index.
    resources: Vec<(Addr, Vec<usize>)>,
    /// A loop, the id of its thread in the target's namespace, and how often the thread had run.
    loops: Vec<(Addr, i32, Option<u64>)>,
    /// Pools of threads with jobs in their queues.
    pools: Vec<Addr>,
    /// Some thread waits for a result.
    results: bool,
}

impl Watched {
    pub(super) fn of(
        shared: &Shared,
        walks: &[TaskWalk],
        threads: &[CapturedThread],
        loops: &[LoopRecord],
        outside: &Outside,
        entered: &[Vec<Addr>],
    ) -> Self {
        let is_full =
            |pool: &&super::outside::SeenPool| pool.record.queued.as_ref().is_some_and(|(count, _)| *count > 0);
        Self {
            resources: resources_of(walks, entered),
            loops: sleeping_loops(shared, threads, loops),
            pools: outside.pools.iter().filter(is_full).map(|pool| pool.queue).collect(),
            results: !outside.results.is_empty(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.loops.is_empty() && self.pools.is_empty() && !self.results
    }

    /// Looks again and again, as long as anything stands still.
    #[allow(clippy::too_many_arguments, reason = "everything that was captured")]
    pub(super) fn watch(
        &mut self,
        look: &mut Look<'_>,
        view: &mut View<'_>,
        facts: &Facts,
        walks: &[TaskWalk],
        loops: &[LoopRecord],
        outside: &mut Outside,
        witness: &dyn Witness,
    ) -> Result<Still, ReadError> {
        let started = Instant::now();
        let mut moved: Vec<Addr> = self.resources.iter().map(|(addr, _)| *addr).collect();
        self.keep_selecting(facts, witness);
        for pause in [0].into_iter().chain(PAUSES_MS) {
            if self.is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(pause));
            self.keep_still_tasks(view, walks)?;
            self.keep_sleeping(look, facts, witness)?;
            self.keep_still_pools(look, walks, loops, outside)?;
        }
        if self.results {
            outside.search(look)?;
        }
        moved.retain(|addr| !self.resources.iter().any(|(still, _)| still == addr));
        let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(Still {
            resources: self.resources.drain(..).map(|(addr, _)| (addr, ms)).collect(),
            loops: self.loops.drain(..).map(|(addr, ..)| (addr, ms)).collect(),
            pools: self.pools.drain(..).map(|addr| (addr, ms)).collect(),
            moved,
        })
    }

    fn keep_still_tasks(&mut self, view: &mut View<'_>, walks: &[TaskWalk]) -> Result<(), ReadError> {
        let mut failed = Ok(());
        self.resources.retain(|(_, tasks)| match Proof::read(view, tasks.iter().filter_map(|task| walks.get(*task))) {
            Ok(proofs) => proofs.iter().all(|proof| *proof == Proof::Held),
            Err(error) => {
                failed = Err(error);
                false
            }
        });
        failed
    }

    /// Only loops whose threads the kernel shows asleep in a selector.
    fn keep_selecting(&mut self, facts: &Facts, witness: &dyn Witness) {
        self.loops.retain_mut(|(_, own_tid, slices)| {
            let Some(thread) = facts.thread(*own_tid) else { return false };
            let selects = matches!(&thread.activity, Activity::SystemCall(name) if is_selector(name));
            *slices = witness.sleeps_in_selector(thread.tid);
            selects && slices.is_some()
        });
    }

    fn keep_sleeping(&mut self, look: &mut Look<'_>, facts: &Facts, witness: &dyn Witness) -> Result<(), ReadError> {
        let mut kept = Vec::with_capacity(self.loops.len());
        for (addr, own_tid, slices) in self.loops.drain(..) {
            let mut view = View::new(look.memory);
            let mut reader = Reader::new(&mut view, look.layout, look.caches);
            let read = look.shared.runtimes.of(&mut reader, addr)?.read_loop(&mut reader, addr);
            let ready = optional(read)?.and_then(|record| record.ready).unwrap_or(0);
            // The queue was read between two moments at which the thread had run equally often: it slept all the time.
            let now = facts.thread(own_tid).and_then(|thread| witness.sleeps_in_selector(thread.tid));
            if ready > 0 && now.is_some() && now == slices {
                kept.push((addr, own_tid, slices));
            }
        }
        self.loops = kept;
        Ok(())
    }

    fn keep_still_pools(
        &mut self,
        look: &mut Look<'_>,
        walks: &[TaskWalk],
        loops: &[LoopRecord],
        outside: &mut Outside,
    ) -> Result<(), ReadError> {
        if self.pools.is_empty() && !self.results {
            return Ok(());
        }
        let now = Outside::see(look, walks, loops, Some(outside))?;
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
fn resources_of(walks: &[TaskWalk], entered: &[Vec<Addr>]) -> Vec<(Addr, Vec<usize>)> {
    let mut found: FxHashMap<Addr, Vec<usize>> = FxHashMap::default();
    let index: FxHashMap<Addr, usize> = walks.iter().enumerate().map(|(at, walk)| (walk.addr, at)).collect();
    let wait_of = |walk: &TaskWalk| walk.wait.clone().filter(|_| walk.waiter().is_some());
    for (at, walk) in walks.iter().enumerate() {
        let Some(wait) = wait_of(walk) else { continue };
        let Some(resource) = wait.resource.filter(|resource| resource.free == Some(0)) else { continue };
        if wait.kind == WaitKind::QueueGet || (found.len() >= MAX_RESOURCES && !found.contains_key(&resource.addr)) {
            continue;
        }
        let tasks = found.entry(resource.addr).or_insert_with(|| {
            wait.holders.iter().filter_map(|holder| index.get(holder).copied()).take(MAX_TASKS).collect()
        });
        if tasks.len() < 2 * MAX_TASKS {
            tasks.push(at);
        }
    }
    for (at, entered) in entered.iter().enumerate() {
        for lock in entered {
            if let Some(tasks) = found.get_mut(lock).filter(|tasks| !tasks.contains(&at)) {
                tasks.push(at);
            }
        }
    }
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_unstable();
    found
}

/// Loops of which a callback is ready although they may sleep. Who makes one ready from another thread the right way
/// wakes the loop a moment later.
fn sleeping_loops(shared: &Shared, threads: &[CapturedThread], loops: &[LoopRecord]) -> Vec<(Addr, i32, Option<u64>)> {
    let calls = |number: u32| {
        let name = shared.frames.get(number).map(|frame| frame.function.rsplit('.').next().unwrap_or_default());
        matches!(name, Some("call_soon_threadsafe" | "_write_to_self"))
    };
    if threads.iter().flat_map(|thread| &thread.frames).any(|(number, _)| calls(*number)) {
        return Vec::new();
    }
    let sleeping = loops.iter().filter(|record| record.ready.is_some_and(|ready| ready > 0)).filter_map(|record| {
        let runner = threads.iter().find(|thread| thread.reading.running_loop == Some(record.addr))?;
        Some((record.addr, runner.reading.python.native_id?, None))
    });
    sleeping.collect()
}
