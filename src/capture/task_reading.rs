//! Reads the tasks of an instant, part by part: as many as memory allows, each until it was proved to show a single moment.

use super::capturing::Capturing;
use super::progress::Progress;
use super::references::waited_for;
use super::task_walk::{Proof, TaskWalk, Verdict, is_task};
use super::threads::{CapturedThread, is_running_elsewhere};
use super::witness::Witness;
use crate::python::reader::Reader;
use crate::remote::{Addr, MemoryLimit, ReadError, View};
use crate::runtime::record::Waited;
use crate::runtime::wait::{Wait, WaitKind};

/// LIMIT: how many times data that changed during the reading is read again.
const ATTEMPTS: u32 = 5;

/// LIMIT: tasks that are read together in any case. What a wave reads for them is held in memory until the last one is proved.
const LEAST_PART: usize = 2 << 10;

/// A part with fewer tasks than this is not worth its calls.
const SMALLEST_PART: usize = 1 << 10;

/// Bytes that a task with a short stack takes while it is read.
const USUAL_BYTES: u64 = 2_000;

/// Bytes for each task that are needed after it was read: its references, its edges, and its place in the snapshot.
const BYTES_AFTERWARDS: u64 = 600;

/// The tasks that were read, and the threads that were read with the last of them.
pub(super) struct TasksAndThreads {
    pub(super) walks: Vec<TaskWalk>,
    pub(super) threads: Vec<CapturedThread>,
    /// Tasks for which there was no memory.
    pub(super) unread: usize,
}

/// How many tasks fit into the memory that is left.
struct Room {
    limit: MemoryLimit,
    /// Bytes that a task takes while it is read: the most so far.
    each: u64,
}

impl Room {
    /// How many of `rest` tasks to read next; 0: there is no memory for more.
    fn next(&self, read: usize, rest: usize) -> usize {
        let left = self.limit.left().saturating_sub(read as u64 * BYTES_AFTERWARDS);
        let fit = usize::try_from(left / (self.each + BYTES_AFTERWARDS)).unwrap_or(usize::MAX);
        // How much the first ones take is a guess, and how much the next ones take an estimate.
        let fit = if read == 0 { LEAST_PART.max(fit / 4) } else { fit / 2 };
        if fit < SMALLEST_PART.min(rest) { 0 } else { rest.min(fit) }
    }

    /// Learns from a part for which there were `before` bytes left.
    fn learn(&mut self, before: u64, tasks: usize) {
        let taken = before.saturating_sub(self.limit.left());
        self.each = self.each.max(taken / tasks.max(1) as u64);
    }
}

impl Capturing<'_> {
    /// Reads the tasks, and the threads that run some of them, as far as memory allows. Those that run are read in any case.
    pub(super) fn read_tasks_and_threads(
        &mut self,
        listed: &[Addr],
        witness: &mut dyn Witness,
        progress: &dyn Fn(Progress),
    ) -> Result<TasksAndThreads, ReadError> {
        let report = |done: usize| {
            progress(Progress { stage: "tasks", done: done as u64, total: Some(listed.len() as u64) });
        };
        report(0);
        let mut room = Room { limit: self.memory_limit, each: USUAL_BYTES };
        let (mut walks, mut rest) = (Vec::new(), listed);
        let mut threads = loop {
            let (part, later) = rest.split_at(room.next(listed.len() - rest.len(), rest.len()));
            let before = room.limit.left();
            let threads = self.read_part(part, &mut walks, witness, &report)?;
            room.learn(before, part.len());
            rest = later;
            if room.next(listed.len() - rest.len(), rest.len()) == 0 {
                break threads;
            }
            self.start_afresh(&mut walks);
        };
        let mut unread = rest.len();
        let running: Vec<Addr> = threads.iter().filter_map(|thread| thread.reading.running_task).collect();
        let running: Vec<Addr> = running.into_iter().filter(|task| rest.contains(task)).collect();
        if !running.is_empty() {
            unread -= running.len();
            self.start_afresh(&mut walks);
            threads = self.read_part(&running, &mut walks, witness, &report)?;
        }
        if unread > 0 {
            log::info!("{unread} of {} tasks not read: memory is used up", listed.len());
        }
        Ok(TasksAndThreads { walks, threads, unread })
    }

    /// Reads tasks that are read together, and the threads, until each task was proved to show a single moment or the
    /// attempts are used up.
    fn read_part(
        &mut self,
        part: &[Addr],
        settled: &mut Vec<TaskWalk>,
        witness: &mut dyn Witness,
        report: &dyn Fn(usize),
    ) -> Result<Vec<CapturedThread>, ReadError> {
        let mut open: Vec<Addr> = part.to_vec();
        for attempt in 1..=ATTEMPTS {
            let last = attempt == ATTEMPTS;
            if attempt > 1 {
                self.start_afresh(settled);
            }
            self.pass += 1;
            let mut walks: Vec<TaskWalk> = open.iter().map(|addr| TaskWalk::new(*addr, self.pass)).collect();
            let (layout, caches, shared) = (self.layout, &mut self.caches, &mut self.shared);
            let read =
                self.view.wave(&mut walks, |view, walk| walk.advance(&mut Reader::new(view, layout, caches), shared));
            self.describe_waits(&mut walks);
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
                *settled = walks;
            } else {
                settled.append(&mut walks);
            }
            log::info!(
                "{} of {} tasks changed while they were read (attempt {attempt} of {ATTEMPTS})",
                open.len(),
                part.len()
            );
            report(settled.len());
            if open.is_empty() {
                self.quality.torn += threads.iter().map(|thread| u64::from(thread.reading.stack.torn)).sum::<u64>();
                self.quality.consistent &= threads.iter().all(|t| t.reading.held && t.reading.stack.complete);
                return Ok(threads);
            }
            self.quality.torn += open.len() as u64;
        }
        // The last attempt settles every task.
        self.read_threads(witness)
    }

    /// Forgets what was read of the tasks, other than their walks.
    fn start_afresh(&mut self, settled: &mut [TaskWalk]) {
        if settled.iter().any(TaskWalk::may_hang) {
            // The view no longer holds what was read in earlier passes.
            let of_this = settled.iter_mut().filter(|walk| walk.attempt == self.pass);
            of_this.for_each(|walk| walk.keep_print(&mut self.view));
        }
        self.forget();
    }

    /// Forgets what was read of the tasks if there is a lot of it.
    pub(super) fn make_room(&mut self, walks: &mut [TaskWalk]) {
        if self.view.held() > self.memory_limit.left() / 4 {
            self.start_afresh(walks);
        }
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
    fn describe_waits(&mut self, walks: &mut [TaskWalk]) {
        let (layout, caches, shared) = (self.layout, &mut self.caches, &mut self.shared);
        let mut addrs = waited_for(walks);
        let read =
            self.view.wave(&mut addrs, |view, addr| shared.read_waited(&mut Reader::new(view, layout, caches), *addr));
        self.waiter_references.reserve(addrs.len());
        let waiters: Vec<Option<Waited>> = (read.into_iter().zip(&addrs))
            .map(|(found, addr)| {
                let (waiter, references) = found.ok().flatten()?;
                self.waiter_references.insert(*addr, (self.pass, references));
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
}
