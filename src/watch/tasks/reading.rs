//! Reads what has changed in one sample: the tasks, what they wait for, and the proof of each.

use rustc_hash::{FxHashMap, FxHashSet};

use super::entry::FutureEntry;
use super::knowledge::Knowledge;
use super::state::TaskWatch;
use crate::capture::task_walk::{Proof, TaskWalk, Verdict, is_task};
use crate::model::tables::{Tables, TaskNo};
use crate::python::coroutine::read_function;
use crate::python::layout::Layout;
use crate::python::reader::{Reader, optional};
use crate::remote::store::{FULL, Lines, Store};
use crate::remote::{Addr, ReadError, View};
use crate::runtime::references::FutureReferences;
use crate::runtime::wait::{Wait, WaitKind};

/// LIMIT: how many times data that changed during the reading is read again.
const ATTEMPTS: u32 = 5;

/// LIMIT: tasks that are read together. What is read of them is held in memory until the last one is proved.
const MOST_AT_ONCE: u64 = 8 << 10;

/// Bytes of the memory that asyncprof may use for each task that is read together with others.
const BYTES_AT_ONCE: u64 = 64 << 10;

/// A task whose reading is in progress.
struct Walking {
    /// Index among the tasks.
    at: usize,
    walk: TaskWalk,
    lines: Lines,
    /// Number of the frame that names its function.
    coroutine: Option<u32>,
    described: bool,
    /// The objects that its frames have entered, from the outermost frame on, for the frames examined so far.
    entered: Vec<Vec<Addr>>,
    /// The last list contains it.
    listed: bool,
}

impl TaskWatch {
    /// Reads the tasks that have changed, and the new ones as far as there is memory for them. Returns whether there were
    /// any, or whether the futures between tasks may have changed.
    pub(super) fn read_changed(
        &mut self,
        tables: &mut Tables,
        new: Vec<Addr>,
        ended: &mut Vec<TaskNo>,
    ) -> Result<bool, ReadError> {
        let stale = self.read_stale_futures()?;
        let mut open: Vec<usize> = (0..self.tasks.len()).filter(|at| !self.tasks[*at].holds).collect();
        let moved = stale || !open.is_empty() || !new.is_empty();
        let mut gone: FxHashSet<Addr> = FxHashSet::default();
        let mut is_full = false;
        let mut new = &new[..];
        // CAST: at most MOST_AT_ONCE.
        let part = (self.memory_limit.bytes() / BYTES_AT_ONCE).clamp(1, MOST_AT_ONCE) as usize;
        while !is_full {
            let mut later = open.split_off(open.len().min(part));
            if later.is_empty() {
                let (now, then) = new.split_at(new.len().min(part - open.len()));
                open.extend(self.tasks.len()..self.tasks.len() + now.len());
                self.add(now);
                new = then;
            }
            if open.is_empty() {
                break;
            }
            for attempt in 1..=ATTEMPTS {
                if open.is_empty() {
                    break;
                }
                if attempt > 1 {
                    self.store.renew_pages();
                    self.knowledge.begin();
                    self.stats.torn += open.len() as u64;
                }
                open = self.attempt(attempt, open, tables, ended, &mut gone, &mut is_full)?;
            }
            let is_all = later.is_empty() && new.is_empty();
            // One half is for everything else: what is told of these tasks, and full snapshots.
            is_full |= !is_all && self.memory_limit.left() < self.memory_limit.bytes() / 2;
            std::mem::swap(&mut open, &mut later);
        }
        if is_full {
            // As many as now is what there is memory for. Those that were reported stay.
            self.remove(ended, |task| gone.contains(&task.addr) || (!task.holds && task.number.is_none()));
            (self.most, self.stats.is_full) = (self.tasks.len(), true);
        } else if !gone.is_empty() {
            self.remove(ended, |task| gone.contains(&task.addr));
        }
        Ok(moved)
    }

    /// One attempt to read these tasks; returns those that must be read again.
    fn attempt(
        &mut self,
        attempt: u32,
        open: Vec<usize>,
        tables: &mut Tables,
        ended: &mut Vec<TaskNo>,
        gone: &mut FxHashSet<Addr>,
        is_full: &mut bool,
    ) -> Result<Vec<usize>, ReadError> {
        let last = attempt == ATTEMPTS;
        self.stats.walked += open.len() as u64;
        let walking = |at: usize| Walking {
            at,
            walk: TaskWalk::new(self.tasks[at].addr, attempt),
            lines: Lines::default(),
            coroutine: None,
            described: false,
            entered: Vec::new(),
            listed: self.is_listed(at),
        };
        let mut walks: Vec<Walking> = open.into_iter().map(walking).collect();
        let Self { store, layout, knowledge, futures, .. } = self;
        let mut view = View::over(store, store.memory());
        view.keep_touched();
        view.limit(self.memory_limit.bytes() / 4);
        let read = view.wave(&mut walks, |view, walking| {
            let done = walking.advance(view, layout, knowledge);
            knowledge.add_touched(view, store, &mut walking.lines);
            done
        });
        let needed = |future: &Addr| attempt > 1 || !futures.get(future).is_some_and(|known| known.holds);
        let waiters: FxHashSet<Addr> =
            walks.iter().filter_map(|walking| walking.walk.waiter()).filter(needed).collect();
        for (addr, entry) in read_futures(&mut view, store, layout, knowledge, waiters) {
            insert(store, futures, addr, entry);
        }
        view.wave(&mut walks, |view, walking| {
            let done = walking.describe(view, layout, knowledge, futures);
            knowledge.add_touched(view, store, &mut walking.lines);
            done
        });
        let confirmed = knowledge.is_confirmed(store)?;
        let proofs = Proof::read(&mut view, walks.iter().map(|walking| &walking.walk))?;
        let _ = knowledge.take_touched(&mut view, store);
        // A task is gone if this was read after the list that contains it, or if no list contains it.
        let mut is_gone = |view: &mut View<'_>, walking: &Walking, read: Result<(), ReadError>| match read {
            Ok(()) if walking.listed => Ok(false),
            Ok(()) if walking.walk.record.as_ref().is_some_and(|record| !record.is_pending()) => Ok(true),
            Err(_) if walking.listed && attempt == 1 => Ok(false),
            _ => {
                let mut reader = Reader::new(view, layout, &mut knowledge.caches);
                Ok(!is_task(&mut reader, &mut knowledge.shared, walking.walk.addr)?)
            }
        };
        *is_full |= read.contains(&Err(FULL));
        let mut verdicts = Vec::with_capacity(walks.len());
        for ((walking, read), proof) in walks.iter().zip(read).zip(proofs) {
            verdicts.push(match read {
                Err(error) if error.is_fatal() => return Err(error),
                _ if is_gone(&mut view, walking, read)? => None,
                Ok(()) if !confirmed && last => Some(Verdict::Unreadable(ReadError::Invalid("moment"))),
                Ok(()) if !confirmed => Some(Verdict::Again),
                read => Some(walking.walk.judge(read, Some(proof), last)),
            });
        }
        let _ = knowledge.take_touched(&mut view, store);
        drop(view);
        if !confirmed {
            knowledge.forget(store);
            // Data about the other tasks depends on it too.
            self.forget_next = true;
        }
        Ok(self.settle(walks, verdicts, tables, ended, gone))
    }

    /// Handles the result of an attempt, `None` for what is not a task any more; returns the tasks that must be read
    /// again.
    fn settle(
        &mut self,
        walks: Vec<Walking>,
        verdicts: Vec<Option<Verdict>>,
        tables: &mut Tables,
        ended: &mut Vec<TaskNo>,
        gone: &mut FxHashSet<Addr>,
    ) -> Vec<usize> {
        let mut again = Vec::new();
        for (mut walking, verdict) in walks.into_iter().zip(verdicts) {
            let task = &mut self.tasks[walking.at];
            match verdict {
                Some(Verdict::Again) => {
                    again.push(walking.at);
                    continue;
                }
                None => {
                    gone.insert(task.addr);
                    continue;
                }
                Some(Verdict::Unreadable(error)) => {
                    log::info!("task {} skipped: {error}", task.addr);
                    self.unreadable += 1;
                    self.stats.dropped += 1;
                    continue;
                }
                Some(Verdict::Partly(anchors)) => {
                    log::debug!("task {} changed in every attempt: part of its stack is left out", task.addr);
                    walking.walk.keep_anchors(anchors);
                    self.stats.dropped += 1;
                }
                Some(Verdict::Held) => task.holds = true,
            }
            task.entered = std::mem::take(&mut walking.entered).concat();
            ended.extend(task.take(&walking.walk, walking.coroutine, &mut self.knowledge, tables));
            self.store.hold(&walking.lines);
            self.store.release(&std::mem::replace(&mut task.lines, walking.lines));
        }
        again
    }

    /// Reads the changed futures again for which an unchanged task waits; a task whose future now gives another result
    /// must be read again. Returns whether any future has changed.
    fn read_stale_futures(&mut self) -> Result<bool, ReadError> {
        let stale: FxHashSet<Addr> =
            self.futures.iter().filter(|(_, future)| !future.holds).map(|(addr, _)| *addr).collect();
        if stale.is_empty() {
            return Ok(false);
        }
        let still = self.tasks.iter().filter(|task| task.holds);
        let wanted: FxHashSet<Addr> = still.filter_map(|task| task.waiter).filter(|f| stale.contains(f)).collect();
        let Self { store, layout, knowledge, futures, .. } = self;
        let mut view = View::over(store, store.memory());
        view.keep_touched();
        let mut changed = FxHashSet::default();
        for (addr, entry) in read_futures(&mut view, store, layout, knowledge, wanted) {
            if !futures.get(&addr).is_some_and(|known| known.says_the_same(&entry)) {
                changed.insert(addr);
            }
            insert(store, futures, addr, entry);
        }
        for task in &mut self.tasks {
            task.holds = task.holds && !task.waiter.is_some_and(|waiter| changed.contains(&waiter));
        }
        Ok(true)
    }
}

/// Replaces what was known of a future by a new reading.
pub(super) fn insert(store: &Store, futures: &mut FxHashMap<Addr, FutureEntry>, addr: Addr, entry: FutureEntry) {
    store.hold(&entry.lines);
    if let Some(before) = futures.insert(addr, entry) {
        store.release(&before.lines);
    }
}

/// Reads futures.
pub(super) fn read_futures(
    view: &mut View<'_>,
    store: &Store,
    layout: &Layout,
    knowledge: &mut Knowledge,
    wanted: FxHashSet<Addr>,
) -> Vec<(Addr, FutureEntry)> {
    let mut items: Vec<(Addr, Lines)> = wanted.into_iter().map(|addr| (addr, Lines::default())).collect();
    items.sort_unstable_by_key(|(addr, _)| *addr);
    let read = view.wave(&mut items, |view, (addr, lines)| {
        let read = knowledge.shared.read_waited(&mut Reader::new(view, layout, &mut knowledge.caches), *addr);
        knowledge.add_touched(view, store, lines);
        read
    });
    let entry = |((addr, lines), read): ((Addr, Lines), Result<_, ReadError>)| {
        let (waiter, references) = read.ok().flatten().unzip();
        let reports_to = references.iter().flat_map(FutureReferences::reports_to).collect();
        (addr, FutureEntry { lines, holds: true, used: 0, waiter, reports_to })
    };
    items.into_iter().zip(read).map(entry).collect()
}

impl Walking {
    /// Reads on until everything is available; ends with [`ReadError::Pending`] where a page is missing.
    fn advance(&mut self, view: &mut View<'_>, layout: &Layout, knowledge: &mut Knowledge) -> Result<(), ReadError> {
        let mut reader = Reader::new(view, layout, &mut knowledge.caches);
        self.walk.advance(&mut reader, &mut knowledge.shared)?;
        if self.coroutine.is_none()
            && let Some(root) = self.walk.record.as_ref().filter(|record| record.is_pending()).and_then(|r| r.coroutine)
            && let Some(frame) = optional(read_function(reader.view, layout, reader.caches, root))?.flatten()
        {
            self.coroutine = optional(knowledge.shared.frames.number(&mut reader, &frame))?;
        }
        let levels = self.walk.chain.iter().flat_map(|chain| &chain.levels).skip(self.entered.len());
        let runtime = knowledge.shared.runtimes.of(&mut reader, self.walk.addr)?;
        for level in levels {
            self.entered.push(optional(runtime.read_entered(&mut reader, &level.frame))?.unwrap_or_default());
        }
        Ok(())
    }

    /// Determines what the task waits for.
    fn describe(
        &mut self,
        view: &mut View<'_>,
        layout: &Layout,
        knowledge: &mut Knowledge,
        futures: &FxHashMap<Addr, FutureEntry>,
    ) -> Result<(), ReadError> {
        let Some(addr) = self.walk.waiter().filter(|_| !self.described) else { return Ok(()) };
        let waiter = futures.get(&addr).and_then(|future| future.waiter.as_ref());
        let mut reader = Reader::new(view, layout, &mut knowledge.caches);
        let described = self.walk.describe(&mut reader, &mut knowledge.shared, waiter);
        if described != Err(ReadError::Pending) {
            self.described = true;
            // A wait for something that could not be read is still a wait.
            self.walk.wait.get_or_insert_with(|| Wait::new(WaitKind::Other));
        }
        described
    }
}
