//! Turns task samples, and samples of what loops run, into time by place and by coroutine.
//!
//! A task sample shows a task at one moment. If two samples differ, the task is taken to have changed halfway between
//! them, which is right on average; the minimum that something lasted is from the first sample that showed it to the
//! last.

use std::collections::BTreeSet;

use rustc_hash::{FxHashMap, FxHashSet};

use super::chains::{Chains, Link};
use super::coroutines::{CoroutineId, Coroutines};
use super::edges::Edges;
use super::folding::Naming;
use super::live::{Doing, Live, LiveTasks};
use super::names::{NameId, Names, fold_digits};
use super::sameness::Sameness;
use super::stacks::{KeptStack, Stacks};
use super::waits::{WaitKey, Waits};
use super::weights::{By, Front, Leaf, TimeKey, Weighted, Weights};
use crate::model::event::{Source, TaskChanges, TaskLook, TaskWait};
use crate::model::snapshot::{TaskState, WaitDetail, WaitKind};
use crate::model::tables::{Tables, TaskInfo, TaskNo};

/// What a loop runs in one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Running {
    /// `None` if it is not a step of a task.
    pub(super) task: Option<Stepping>,
    pub(super) stack: Option<KeptStack>,
    pub(super) torn: bool,
}

/// A task whose step is running. It may be gone by the time this is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stepping {
    key: u64,
    coroutine: CoroutineId,
    label: Option<NameId>,
}

/// A task that has ended.
#[derive(Debug)]
struct Gone {
    live: Live,
    /// The first task sample that no longer showed it.
    missed_ns: u64,
}

/// All tasks, and how they spend their time.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    naming: Naming,
    /// When the watch began.
    started_ns: u64,
    pub(super) stacks: Stacks,
    pub(super) names: Names,
    chains: Chains,
    pub(super) coroutines: Coroutines,
    pub(super) weights: Weights,
    pub(super) waits: Waits,
    pub(super) edges: Edges,
    live: LiveTasks,
    /// Tasks seen running since the last task sample.
    ran: BTreeSet<u64>,
    /// Tasks that only loop samples have shown so far.
    unlooked: BTreeSet<u64>,
    /// Tasks missing from the last two task samples: news from the loop tier about what they did before may arrive
    /// later.
    gone: [FxHashMap<u64, Gone>; 2],
    first_look_ns: Option<u64>,
    last_look_ns: Option<u64>,
    look_before_ns: Option<u64>,
    /// The next task sample may list all tasks anew; those missing from it have ended.
    may_list_all: bool,
}

impl Tasks {
    pub(super) fn new(naming: Naming, started_ns: u64) -> Self {
        Self { naming, started_ns, ..Self::default() }
    }

    pub(super) fn next_look_may_list_all(&mut self) {
        self.may_list_all = true;
    }

    /// From the first task sample to the last.
    pub(super) fn looked_for_ns(&self) -> u64 {
        match (self.first_look_ns, self.last_look_ns) {
            (Some(first), Some(last)) => last.saturating_sub(first),
            _ => 0,
        }
    }

    /// A loop was seen running this task.
    pub(super) fn ran(&mut self, task: TaskNo, at_ns: u64, tables: &Tables) -> Option<Stepping> {
        let info = tables.task(task)?;
        let key = info.key;
        let since_ns = at_ns.saturating_sub(self.started_ns);
        let stepping = |live: &Live| Stepping { key, coroutine: live.coroutine, label: live.label };
        let gone = self.gone.iter().filter_map(|gone| gone.get(&key));
        if let Some(gone) = gone.clone().find(|gone| at_ns < gone.missed_ns && gone.live.is(info)) {
            let stepping = stepping(&gone.live);
            self.coroutines.get(stepping.coroutine).ran(since_ns);
            return Some(stepping);
        }
        if !self.live.get(key).is_some_and(|live| live.is(info)) {
            self.end(key, at_ns, at_ns, at_ns);
            self.meet(info, at_ns);
            self.unlooked.insert(key);
        }
        self.stay_ends(key, at_ns);
        let live = self.live.get_mut(key)?;
        live.last_run_ns = live.last_run_ns.max(at_ns);
        self.coroutines.get(live.coroutine).ran(since_ns);
        Some(stepping(live))
    }

    /// A task that ran did not stay where samples before and after show it: the stay is reset at the next task sample.
    fn stay_ends(&mut self, key: u64, at_ns: u64) {
        let looks = [self.last_look_ns, self.look_before_ns];
        let Some(live) = self.live.get(key).filter(|live| live.first_look_ns.is_some()) else { return };
        if live.since_ns > at_ns || !self.ran.insert(key) {
            return;
        }
        if let Some(seen_ns) = looks.into_iter().flatten().find(|look_ns| *look_ns <= at_ns) {
            self.note_longest(key, seen_ns);
        }
        // Loop samples may arrive after a later task sample.
        if let (Some(live), Some(look_ns)) = (self.live.get_mut(key), self.last_look_ns) {
            live.since_ns = live.since_ns.max(look_ns);
        }
    }

    /// A loop ran this for `time_ns`, in a thread of this name.
    pub(super) fn run(&mut self, running: Running, thread: Option<NameId>, time_ns: u64, samples: u64) {
        let (stack, leaf) = (running.stack, Leaf::Run { torn: running.torn });
        let Some(task) = running.task else {
            return self.weights.add(TimeKey { thread, above: None, stack, leaf }, time_ns, samples);
        };
        self.coroutines.get(task.coroutine).run_ns += time_ns;
        match self.live.get_mut(task.key).filter(|live| (live.coroutine, live.label) == (task.coroutine, task.label)) {
            Some(live) => {
                live.owed_ns += time_ns;
                live.thread = thread.or(live.thread);
                self.spread(task.key, stack, leaf, time_ns, samples);
            }
            None => {
                let above = Some(self.chains.add(Link::Root(task.label)));
                self.weights.add(TimeKey { thread, above, stack, leaf }, time_ns, samples);
            }
        }
    }

    /// A loop spent this time in its selector.
    pub(super) fn idle(&mut self, thread: Option<NameId>, time_ns: u64, samples: u64) {
        self.weights.add(TimeKey { thread, above: None, stack: None, leaf: Leaf::Idle }, time_ns, samples);
    }

    /// Counts time at a place under all awaiters of the task.
    fn spread(&mut self, key: u64, stack: Option<KeptStack>, leaf: Leaf, time_ns: u64, count: u64) {
        let thread = self.live.get(key).and_then(|live| live.thread);
        let shares = self.live.chains_above(key, time_ns, &mut self.chains);
        for (position, (chain, part_ns)) in shares.into_iter().enumerate() {
            let count = if position == 0 { count } else { 0 };
            self.weights.add(TimeKey { thread, above: Some(chain), stack, leaf }, part_ns, count);
        }
    }

    /// Processes a task sample.
    pub(super) fn look(&mut self, changes: &TaskChanges, tables: &Tables) {
        let at_ns = changes.at_ns;
        // A sample of very many tasks comes in several pieces of the same time.
        let is_piece = self.last_look_ns == Some(at_ns);
        let last_ns = if is_piece { self.look_before_ns } else { self.last_look_ns };
        let before_ns = last_ns.unwrap_or(at_ns);
        let middle_ns = before_ns + at_ns.saturating_sub(before_ns) / 2;
        self.gone.swap(0, 1);
        self.gone[0].clear();
        // Everything that is over is counted under the awaiters it had at the time, so before anything changes.
        let ended: Vec<u64> = (changes.ended.iter())
            .filter_map(|&task| tables.task(task))
            .filter(|info| self.live.get(info.key).is_some_and(|live| live.is(info)))
            .map(|info| info.key)
            .collect();
        let looks: Vec<(&TaskInfo, &TaskLook)> =
            changes.changed.iter().filter_map(|look| Some((tables.task(look.task)?, look))).collect();
        let unlisted = self.unlisted(&looks, changes);
        let changed = looks.iter().map(|(info, _)| info.key);
        for key in ended.iter().copied().chain(unlisted.iter().copied()).chain(changed) {
            self.count_up_to(key, middle_ns);
            self.note_longest(key, before_ns);
        }
        for key in ended.into_iter().chain(unlisted) {
            self.end(key, middle_ns, before_ns, at_ns);
        }
        self.doubt(changes, tables, before_ns);
        for (info, look) in looks {
            self.apply(info, look, at_ns, middle_ns, tables);
        }
        self.set_timers(changes, tables);
        self.forget_unlooked(before_ns, changes.complete);
        if self.first_look_ns.is_none() {
            self.first_look_ns = Some(at_ns);
            self.coroutines.first_look_is_over();
        }
        if !is_piece {
            self.look_before_ns = self.last_look_ns.replace(at_ns);
        }
        for key in std::mem::take(&mut self.ran) {
            if let Some(live) = self.live.get_mut(key).filter(|live| live.last_run_ns <= at_ns) {
                live.since_ns = at_ns;
            }
        }
    }

    /// At a sample after which a task that looks the same may have run: lower bounds begin anew for every task of which
    /// nothing shows that it has not.
    fn doubt(&mut self, changes: &TaskChanges, tables: &Tables, before_ns: u64) {
        if changes.contexts == Some(0) {
            return;
        }
        let renewed = changes.timers.iter().filter_map(|(task, _)| tables.task(*task));
        let renewed: FxHashSet<u64> = renewed.map(|info| info.key).collect();
        let mut same = Sameness::new(&self.live, &renewed);
        let doubtful: Vec<(u64, bool)> = (self.live.keys().into_iter())
            .filter(|key| !same.is_same_wait(*key))
            .collect::<Vec<_>>()
            .into_iter()
            .map(|key| (key, same.is_same_task(key)))
            .collect();
        for (key, same_task) in doubtful {
            self.note_longest(key, before_ns);
            let Some(live) = self.live.get_mut(key) else { continue };
            live.since_ns = live.since_ns.max(changes.at_ns);
            if !same_task {
                live.first_look_ns = live.first_look_ns.map(|_| changes.at_ns);
            }
        }
    }

    fn set_timers(&mut self, changes: &TaskChanges, tables: &Tables) {
        for (task, timer) in &changes.timers {
            let Some(live) = tables.task(*task).and_then(|info| self.live.get_mut(info.key)) else { continue };
            live.timer = Some(*timer).filter(|timer| *timer != 0);
        }
    }

    /// Removes tasks that have ended, at a task sample that lists all tasks. The tables of a recording are reset with
    /// each block, while its samples continue to list changes only.
    fn unlisted(&mut self, looks: &[(&TaskInfo, &TaskLook)], changes: &TaskChanges) -> Vec<u64> {
        let names_all = changes.complete && changes.changed.len() >= changes.total as usize;
        if !std::mem::take(&mut self.may_list_all) || !names_all {
            return Vec::new();
        }
        let mut keys = self.live.keys();
        let listed: FxHashMap<u64, ()> = looks.iter().map(|(info, _)| (info.key, ())).collect();
        keys.retain(|key| {
            !listed.contains_key(key) && self.live.get(*key).is_some_and(|live| live.first_look_ns.is_some())
        });
        keys
    }

    fn apply(&mut self, info: &TaskInfo, look: &TaskLook, at_ns: u64, middle_ns: u64, tables: &Tables) {
        let key = info.key;
        let is_same = |live: &Live| live.is(info) && !(look.born && live.first_look_ns.is_some());
        if !self.live.get(key).is_some_and(is_same) {
            self.end(key, middle_ns, self.last_look_ns.unwrap_or(at_ns), at_ns);
            let began_ns = if look.born { middle_ns } else { at_ns };
            self.meet(info, began_ns);
        }
        let stack = look.stack.and_then(|stack| self.stacks.keep(Source::Tasks, stack, 0, tables));
        let coroutine = self.coroutines.add(&info.coroutine);
        let doing = match look.state {
            TaskState::Waiting | TaskState::Cancelling => {
                Doing::Waiting(self.wait_key(coroutine, stack, look.wait.as_ref(), at_ns, tables))
            }
            TaskState::Ready => Doing::Ready,
            TaskState::Running | TaskState::Done | TaskState::Unknown => Doing::Unknown,
        };
        let keys = |tasks: &[TaskNo]| tasks.iter().filter_map(|&task| Some(tables.task(task)?.key)).collect();
        let awaits: Vec<u64> = look.wait.as_ref().map_or_else(Vec::new, |wait| keys(&wait.tasks));
        self.live.set_awaits(key, awaits);
        let Some(live) = self.live.get_mut(key) else { return };
        (live.doing, live.stack, live.torn, live.since_ns, live.stay_counted) = (doing, stack, look.torn, at_ns, false);
        live.timer = None;
        if live.first_look_ns.is_none() {
            live.first_look_ns = Some(at_ns);
            let first_look = self.first_look_ns.is_none();
            let coroutine = self.coroutines.get(live.coroutine);
            coroutine.born += u64::from(look.born && !first_look);
            coroutine.alive += 1;
            coroutine.most_alive = coroutine.most_alive.max(coroutine.alive);
        }
    }

    fn wait_key(
        &mut self,
        coroutine: CoroutineId,
        stack: Option<KeptStack>,
        wait: Option<&TaskWait>,
        at_ns: u64,
        tables: &Tables,
    ) -> WaitKey {
        // The length of a sleep differs from call to call; its place does not.
        let detail = wait.filter(|wait| wait.kind != WaitKind::Sleep).and_then(|wait| wait.detail.as_ref());
        let detail = match detail.and_then(WaitDetail::of_the_place) {
            Some(WaitDetail::Words(words)) => Some(fold_digits(&words).as_str().into()),
            known => known,
        };
        let key = WaitKey { coroutine, stack, kind: wait.map(|wait| wait.kind), detail };
        let holders = wait.map_or(&[][..], |wait| &wait.held_by);
        let holders: Vec<NameId> = (holders.iter())
            .filter_map(|&task| tables.task(task)?.name.as_deref())
            .map(|name| label(name, self.naming, &mut self.names))
            .collect();
        let since_ns = at_ns.saturating_sub(self.started_ns);
        let total = self.waits.get(key.clone());
        total.waits += 1;
        total.slices.add(since_ns);
        holders.into_iter().for_each(|holder| total.held_by(holder));
        key
    }

    /// Adds a new task.
    fn meet(&mut self, info: &TaskInfo, began_ns: u64) {
        let coroutine = self.coroutines.add(&info.coroutine);
        self.coroutines.get(coroutine).seen += 1;
        let name = info.name.as_deref().filter(|name| !name.is_empty());
        let label = name.map(|name| label(name, self.naming, &mut self.names));
        let live = Live {
            name: info.name.clone(),
            coroutine_frame: info.coroutine.clone(),
            coroutine,
            label,
            thread: None,
            doing: Doing::Unknown,
            stack: None,
            torn: false,
            awaits: Vec::new(),
            first_look_ns: None,
            since_ns: began_ns,
            timer: None,
            counted_ns: began_ns,
            stay_counted: false,
            owed_ns: 0,
            last_run_ns: 0,
        };
        self.live.insert(info.key, live);
    }

    /// A task has ended at `at_ns`; a sample at `seen_ns` still showed it, and the one at `missed_ns` did not.
    fn end(&mut self, key: u64, at_ns: u64, seen_ns: u64, missed_ns: u64) {
        self.count_up_to(key, at_ns);
        self.note_longest(key, seen_ns);
        let Some(live) = self.live.remove(key) else { return };
        let coroutine = self.coroutines.get(live.coroutine);
        coroutine.ended += 1;
        coroutine.alive -= u64::from(live.first_look_ns.is_some());
        self.gone[0].insert(key, Gone { live, missed_ns });
    }

    /// Tasks that came and went between two task samples.
    fn forget_unlooked(&mut self, before_ns: u64, complete: bool) {
        /// How long a task is kept if its end was not seen because samples were incomplete.
        const PATIENCE_NS: u64 = 10_000_000_000;
        let patience = if complete { 0 } else { PATIENCE_NS };
        for key in std::mem::take(&mut self.unlooked) {
            match self.live.get(key) {
                Some(live) if live.first_look_ns.is_some() => {}
                Some(live) if live.last_run_ns.saturating_add(patience) < before_ns => {
                    let last_ns = live.last_run_ns;
                    self.end(key, last_ns, last_ns, last_ns);
                }
                Some(_) => {
                    self.unlooked.insert(key);
                }
                None => {}
            }
        }
    }

    /// What a task did up to a moment.
    fn count_up_to(&mut self, key: u64, at_ns: u64) {
        let Some(live) = self.live.get_mut(key) else { return };
        // Only a task sample shows what a task does while it is not running.
        let looked = live.first_look_ns.is_some();
        let passed_ns = if looked { at_ns.saturating_sub(live.counted_ns) } else { 0 };
        let rest_ns = passed_ns.saturating_sub(live.owed_ns);
        // A run longer than the elapsed time is known more precisely than the moment at which the task changed.
        live.counted_ns += passed_ns.max(live.owed_ns);
        live.owed_ns = 0;
        if rest_ns == 0 {
            return;
        }
        let (doing, stack, torn) = (live.doing.clone(), live.stack, live.torn);
        let stays = u64::from(!std::mem::replace(&mut live.stay_counted, true));
        let coroutine = self.coroutines.get(live.coroutine);
        let leaf = match doing {
            Doing::Waiting(wait) => {
                coroutine.wait_ns += rest_ns;
                let kind = wait.kind;
                self.waits.get(wait).wait_ns += rest_ns;
                Leaf::Wait { kind, torn }
            }
            Doing::Ready => {
                coroutine.ready_ns += rest_ns;
                Leaf::Ready
            }
            Doing::Unknown => {
                coroutine.unknown_ns += rest_ns;
                Leaf::Unknown
            }
        };
        self.spread(key, stack, leaf, rest_ns, stays);
        if matches!(leaf, Leaf::Wait { .. }) {
            self.count_edges(key, rest_ns, stays);
        }
    }

    /// A task waited this long for the tasks it awaits.
    fn count_edges(&mut self, key: u64, time_ns: u64, stays: u64) {
        /// LIMIT: awaited tasks whose coroutine is looked up; the tasks of one gather mostly share a coroutine.
        const AWAITED: usize = 1_000;
        let Some(live) = self.live.get(key) else { return };
        let awaited = live.awaits.iter().take(AWAITED).filter_map(|key| Some(self.live.get(*key)?.coroutine));
        let mut awaited: Vec<CoroutineId> = awaited.collect();
        awaited.sort_unstable();
        awaited.dedup();
        for coroutine in awaited {
            self.edges.add(live.coroutine, coroutine, time_ns, stays);
        }
    }

    /// How long a task was seen unchanged, up to a task sample at `seen_ns`.
    fn note_longest(&mut self, key: u64, seen_ns: u64) {
        let Some(live) = self.live.get(key) else { return };
        let Some(first_look_ns) = live.first_look_ns else { return };
        let coroutine = self.coroutines.get(live.coroutine);
        coroutine.oldest_ns = coroutine.oldest_ns.max(seen_ns.saturating_sub(first_look_ns));
        let Doing::Waiting(wait) = live.doing.clone() else { return };
        let lasted_ns = seen_ns.saturating_sub(live.since_ns);
        let total = self.waits.get(wait);
        if lasted_ns > total.longest_ns {
            (total.longest_ns, total.longest_task) = (lasted_ns, live.name.clone());
        }
        if lasted_ns > coroutine.longest_wait_ns {
            (coroutine.longest_wait_ns, coroutine.longest_wait_task) = (lasted_ns, live.name.clone());
        }
    }

    pub(super) fn list_weights(&self, by: By, front: Front) -> Vec<Weighted<'_>> {
        self.weights.list(by, front, &self.chains, &self.stacks, &self.names)
    }

    /// Counts what is still going on.
    pub(super) fn settle(&mut self, at_ns: u64) {
        let seen_ns = self.last_look_ns.unwrap_or(at_ns);
        for key in self.live.keys() {
            self.count_up_to(key, at_ns);
            self.note_longest(key, seen_ns);
        }
    }
}

fn label(name: &str, naming: Naming, names: &mut Names) -> NameId {
    match naming {
        Naming::Folded => names.add(&fold_digits(name)),
        Naming::Full => names.add(name),
    }
}
