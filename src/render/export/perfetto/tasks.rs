//! A lane for each task from its creation to its end, showing what it does: it runs, waits for something, is ready, or
//! its state is unknown. Runs come from loop samples, the rest from task samples.
//!
//! A task sample shows a task at one moment. A task that ran since the previous sample is taken to have been in the new
//! state since it ran; one that did not, since halfway between the two samples. A run is cut if such a change falls
//! inside it.

use std::io;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use serde::Serialize;

use super::lanes::{Lane, Lanes};
use super::runs::Stretch;
use super::trace::{DoesArgs, Trace, TrackId};
use crate::model::event::{TaskChanges, TaskLook};
use crate::model::snapshot::TaskState;
use crate::model::tables::{Tables, TaskInfo};
use crate::render::label;
use crate::render::object::object;
use crate::render::report::words;
use crate::render::wait_words;

/// The contents of a task sample, with names.
#[derive(Debug)]
pub(super) struct Look {
    changed: Vec<Looked>,
    ended: Vec<TaskInfo>,
    complete: bool,
    /// It lists all tasks.
    lists_all: bool,
}

#[derive(Debug)]
struct Looked {
    info: TaskInfo,
    born: bool,
    does: Does,
}

/// What a task does when it is not running.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Does {
    kind: &'static str,
    name: String,
    detail: Option<Arc<str>>,
    /// The innermost place: `function (file:line)`.
    at: Option<String>,
    torn: bool,
}

#[derive(Debug)]
struct Living {
    info: TaskInfo,
    lane: Option<Lane>,
    does: Does,
    /// Its lane is written up to here.
    since_ns: u64,
    runs: bool,
    /// A task sample no longer showed it, so it ends with its run.
    ends: bool,
    /// It ran, and no task sample has yet shown what it has done since.
    ran: bool,
    looked: bool,
}

#[derive(Debug)]
pub(super) struct Tasks {
    pid: u32,
    lanes: Lanes,
    /// Each lane is occupied up to here.
    taken_ns: Vec<u64>,
    living: FxHashMap<u64, Living>,
    ran: Vec<u64>,
    /// First seen in a run, and not in a task sample so far.
    unlooked: FxHashSet<u64>,
    last_look_ns: Option<u64>,
}

impl Look {
    pub(super) fn of(changes: &TaskChanges, lists_all: bool, tables: &Tables) -> Self {
        let looked = |look: &TaskLook| {
            let at = look.stack.and_then(|stack| tables.frames_of(stack).next()).and_then(|id| tables.frame(id));
            let (kind, name, detail) = match (look.state, &look.wait) {
                (TaskState::Waiting | TaskState::Cancelling, Some(wait)) => {
                    let detail = wait.detail.as_ref().map(|detail| wait_words::detail(detail).into());
                    ("wait", format!("await:{}", wait.kind.as_str()), detail)
                }
                (TaskState::Ready, _) => ("ready", "<ready>".to_owned(), None),
                // A task sample taken during the step says nothing of the time before and after it.
                _ => ("unknown", "<unknown>".to_owned(), None),
            };
            let at = at.map(words::frame);
            let does = Does { kind, name, detail, at, torn: look.torn };
            Some(Looked { info: tables.task(look.task)?.clone(), born: look.born, does })
        };
        Self {
            changed: changes.changed.iter().filter_map(looked).collect(),
            ended: changes.ended.iter().filter_map(|&task| tables.task(task).cloned()).collect(),
            complete: changes.complete,
            lists_all,
        }
    }
}

/// The arguments of a task's life.
fn life(info: &TaskInfo) -> impl Serialize {
    object! { task: format!("{:#x}", info.key), coroutine: info.coroutine.as_ref().map(words::frame) }
}

impl Does {
    fn unknown() -> Self {
        Self { kind: "unknown", name: "<unknown>".into(), detail: None, at: None, torn: false }
    }
}

impl Tasks {
    pub(super) fn new(pid: u32) -> Self {
        Self {
            pid,
            lanes: Lanes::default(),
            taken_ns: Vec::new(),
            living: FxHashMap::default(),
            ran: Vec::new(),
            unlooked: FxHashSet::default(),
            last_look_ns: None,
        }
    }

    fn place(&self, lane: Lane) -> TrackId {
        /// Track numbers are assigned here, so that none is mistaken for a thread.
        const FIRST: u32 = 20_000_000;
        TrackId { pid: self.pid, tid: FIRST + lane.0 }
    }

    /// A loop starts running a task.
    pub(super) fn begins(&mut self, info: &TaskInfo, at_ns: u64, trace: &mut Trace<'_>) -> io::Result<()> {
        if self.living.get(&info.key).is_none_or(|living| living.info != *info) {
            self.end(info.key, at_ns, trace)?;
            self.meet(info, at_ns, trace)?;
            self.unlooked.insert(info.key);
        }
        self.write_up_to(info.key, at_ns, trace)?;
        if let Some(living) = self.living.get_mut(&info.key) {
            living.runs = true;
        }
        Ok(())
    }

    /// A loop stops running a task.
    pub(super) fn ran(&mut self, info: &TaskInfo, run: &Stretch, trace: &mut Trace<'_>) -> io::Result<()> {
        let Some(living) = self.living.get_mut(&info.key).filter(|living| living.info == *info) else { return Ok(()) };
        let from_ns = run.from_ns.max(living.since_ns);
        (living.runs, living.ran) = (false, true);
        living.since_ns = run.to_ns.max(from_ns);
        let (to_ns, lane, ends) = (living.since_ns, living.lane, living.ends);
        self.ran.push(info.key);
        if let Some(lane) = lane.filter(|_| from_ns < to_ns) {
            let args = DoesArgs { at: run.look.at.as_deref(), torn: run.look.torn, ..DoesArgs::default() };
            trace.slice(self.place(lane), "run", "run", (from_ns, to_ns), &args)?;
        }
        if ends { self.end(info.key, to_ns, trace) } else { Ok(()) }
    }

    /// Processes a task sample.
    pub(super) fn look(&mut self, at_ns: u64, look: Look, trace: &mut Trace<'_>) -> io::Result<()> {
        let before_ns = self.last_look_ns.replace(at_ns).unwrap_or(at_ns).min(at_ns);
        let middle_ns = before_ns + (at_ns - before_ns) / 2;
        let mut ended: Vec<u64> = (look.ended.iter())
            .filter(|info| self.living.get(&info.key).is_some_and(|living| living.info == **info))
            .map(|info| info.key)
            .collect();
        if look.lists_all && look.complete {
            let listed: FxHashSet<u64> = look.changed.iter().map(|looked| looked.info.key).collect();
            let missing = |(key, living): (&u64, &Living)| (living.looked && !listed.contains(key)).then_some(*key);
            ended.extend(self.living.iter().filter_map(missing));
        }
        if look.complete {
            // Tasks that came and went between two samples.
            let gone =
                |key: &&u64| self.living.get(*key).is_none_or(|living| !living.runs && living.since_ns < before_ns);
            ended.extend(self.unlooked.iter().filter(gone));
        }
        // Sorted, so that one recording always gives the same file.
        ended.sort_unstable();
        for key in ended {
            if let Some(living) = self.living.get_mut(&key).filter(|living| living.runs) {
                living.ends = true;
                continue;
            }
            let at_ns = self.changed_ns(key, middle_ns);
            self.end(key, at_ns, trace)?;
        }
        for looked in look.changed {
            let key = looked.info.key;
            let is_same = |living: &Living| living.info == looked.info && !(looked.born && living.looked);
            if !self.living.get(&key).is_some_and(is_same) {
                let ended_ns = self.changed_ns(key, middle_ns);
                self.end(key, ended_ns, trace)?;
                let born_ns = if looked.born { middle_ns.max(ended_ns.min(at_ns)) } else { at_ns };
                self.meet(&looked.info, born_ns, trace)?;
            } else {
                let changed_ns = self.changed_ns(key, middle_ns);
                self.write_up_to(key, changed_ns, trace)?;
            }
            self.unlooked.remove(&key);
            if let Some(living) = self.living.get_mut(&key) {
                (living.does, living.ran, living.looked) = (looked.does, false, true);
            }
        }
        for key in std::mem::take(&mut self.ran) {
            if let Some(living) = self.living.get_mut(&key) {
                living.ran = false;
            }
        }
        Ok(())
    }

    /// No more events will come.
    pub(super) fn finish(&mut self, at_ns: u64, trace: &mut Trace<'_>) -> io::Result<u64> {
        let mut keys: Vec<u64> = self.living.keys().copied().collect();
        keys.sort_unstable();
        for key in keys {
            self.end(key, at_ns, trace)?;
        }
        Ok(self.lanes.left_out())
    }

    /// When a task entered the state that a task sample shows.
    fn changed_ns(&self, key: u64, middle_ns: u64) -> u64 {
        match self.living.get(&key) {
            Some(living) if living.ran => living.since_ns,
            Some(living) => middle_ns.max(living.since_ns),
            None => middle_ns,
        }
    }

    fn meet(&mut self, info: &TaskInfo, at_ns: u64, trace: &mut Trace<'_>) -> io::Result<()> {
        let got = self.lanes.take(info);
        let mut at_ns = at_ns;
        if let Some(got) = &got {
            let taken_ns = self.taken_ns.get(got.lane.0 as usize).copied();
            at_ns = at_ns.max(taken_ns.unwrap_or_default());
            let place = self.place(got.lane);
            if let Some(name) = &got.name {
                trace.name_track(place, name, got.lane.0)?;
            }
            trace.open(place, &name(info), at_ns, &life(info))?;
        }
        let lane = got.map(|got| got.lane);
        let (does, info) = (Does::unknown(), info.clone());
        let living = Living { lane, does, since_ns: at_ns, runs: false, ends: false, ran: false, looked: false, info };
        self.living.insert(living.info.key, living);
        Ok(())
    }

    fn end(&mut self, key: u64, at_ns: u64, trace: &mut Trace<'_>) -> io::Result<()> {
        self.unlooked.remove(&key);
        self.write_up_to(key, at_ns, trace)?;
        let Some(living) = self.living.remove(&key) else { return Ok(()) };
        if let Some(lane) = living.lane {
            let ended_ns = at_ns.max(living.since_ns);
            trace.close(self.place(lane), &name(&living.info), ended_ns, &life(&living.info))?;
            self.lanes.give_back(lane);
            let index = lane.0 as usize;
            if self.taken_ns.len() <= index {
                self.taken_ns.resize(index + 1, 0);
            }
            self.taken_ns[index] = ended_ns;
        }
        Ok(())
    }

    /// Writes what a task did while it was not running.
    fn write_up_to(&mut self, key: u64, at_ns: u64, trace: &mut Trace<'_>) -> io::Result<()> {
        let Some(living) = self.living.get(&key) else { return Ok(()) };
        let from_ns = living.since_ns;
        if at_ns <= from_ns || living.runs {
            return Ok(());
        }
        if let Some(lane) = living.lane {
            let Does { kind, name, detail, at, torn } = &living.does;
            let args = DoesArgs { task: None, detail: detail.as_deref(), at: at.as_deref(), torn: *torn };
            trace.slice(self.place(lane), kind, name, (from_ns, at_ns), &args)?;
        }
        if let Some(living) = self.living.get_mut(&key) {
            living.since_ns = at_ns;
        }
        Ok(())
    }
}

/// A task's name, or its identity if it has none.
pub(super) fn name(info: &TaskInfo) -> String {
    match info.name.as_deref() {
        Some(name) if !name.is_empty() => label::name(name).into_owned(),
        _ => format!("task {:#x}", info.key),
    }
}
