//! An iteration in progress: since when, what its samples show, and which callback takes the time.

use super::record::Evidence;
use super::tally::{Before, CallNames, Clocks, StackPlace, State, Tally};
use crate::model::event::{LoopSample, Phase};
use crate::model::tables::{Tables, TaskInfo};

/// When an iteration began: somewhere between two moments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    /// Not before this; `None` if no sample came before it.
    pub(super) earliest_ns: Option<u64>,
    /// Not after this.
    pub(super) latest_ns: u64,
    /// The loop's own record of it, which identifies the samples of one iteration.
    pub(super) since_ns: Option<u64>,
    /// `since_ns` is the start, not a moment after the first sample.
    pub(super) is_exact: bool,
}

impl Start {
    /// According to the loop's own clock.
    pub(super) fn exact(since_ns: u64, precision_ns: u32) -> Self {
        let latest_ns = since_ns.saturating_add(u64::from(precision_ns));
        Self { earliest_ns: Some(since_ns), latest_ns, since_ns: Some(since_ns), is_exact: true }
    }

    /// From the first sample that shows it, and the one before.
    pub(super) fn seen(before_ns: Option<u64>, at_ns: u64) -> Self {
        Self { earliest_ns: before_ns, latest_ns: at_ns, since_ns: None, is_exact: false }
    }

    /// The start to show.
    pub(super) fn ns(&self) -> u64 {
        self.since_ns.filter(|_| self.is_exact).unwrap_or(self.latest_ns)
    }
}

/// One callback or step.
#[derive(Clone, Debug, Default)]
pub(super) struct Callback {
    pub(super) key: CallbackKey,
    /// The tasks that its samples show, and how many: a step can start another task's, and go on after it.
    tasks: Vec<(TaskInfo, u32)>,
    /// Samples that show no task.
    without: u32,
    pub(super) tally: Tally,
}

/// LIMIT: tasks of one callback that are told apart.
const MAX_TASKS: usize = 64;

impl Callback {
    /// Its number, if callbacks are numbered.
    pub(super) fn number(&self) -> Option<u64> {
        self.key.number
    }

    /// The task that most of its samples show.
    pub(super) fn task(&self) -> Option<&TaskInfo> {
        // The first of equal ones.
        let most = self.tasks.iter().rev().max_by_key(|(_, samples)| *samples)?;
        (most.1 >= self.without).then_some(&most.0)
    }

    fn count(&mut self, task: Option<&TaskInfo>) {
        let Some(task) = task else {
            self.without = self.without.saturating_add(1);
            return;
        };
        match self.tasks.iter().position(|(known, _)| known == task) {
            Some(at) => self.tasks[at].1 = self.tasks[at].1.saturating_add(1),
            None if self.tasks.len() < MAX_TASKS => self.tasks.push((task.clone(), 1)),
            None => {}
        }
    }
}

/// Distinguishes callbacks as well as the samples allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CallbackKey {
    number: Option<u64>,
    task: Option<u64>,
}

impl CallbackKey {
    pub(super) fn of(sample: &LoopSample, tables: &Tables) -> Self {
        let task = sample.task.and_then(|task| tables.task(task));
        Self { number: sample.callback, task: task.map(|task| task.key).filter(|_| sample.callback.is_none()) }
    }

    pub(super) fn is_numbered(self) -> bool {
        self.number.is_some()
    }

    pub(super) fn is_known(self) -> bool {
        self.number.is_some() || self.task.is_some()
    }
}

/// An iteration in progress.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) start: Start,
    pub(super) first_ns: u64,
    pub(super) last_ns: u64,
    /// It was in progress when the loop was first seen.
    pub(super) is_first: bool,
    /// All samples so far showed the thread waiting to leave the selector.
    pub(super) only_leaving: bool,
    pub(super) all: Tally,
    pub(super) current: Callback,
    heaviest: Option<Callback>,
    /// Callbacks seen to begin; `None` where nothing distinguishes one from the next.
    pub(super) callbacks: Option<u32>,
    pub(super) ready: Option<u32>,
    pub(super) evidence: Evidence,
    pub(super) clocks: Clocks,
    /// The last readings before the iteration.
    pub(super) clocks_before: Clocks,
    pub(super) call_names: CallNames,
    /// It is reported again when it has lasted this long; zero before the first report.
    pub(super) next_alert_ns: u64,
    last: (StackPlace, State),
    pub(super) before: Before,
    /// Callbacks in the ready queue at the last sample: only the loop removes them, so a decrease means that another
    /// one has begun.
    last_ready: Option<u32>,
}

impl Open {
    /// Starts it with its first sample.
    pub(super) fn new(start: Start, sample: &LoopSample, state: State, suspended: bool, tables: &Tables) -> Self {
        let place = StackPlace::of(sample, state);
        let mut open = Self {
            start,
            first_ns: sample.at_ns,
            last_ns: sample.at_ns,
            is_first: false,
            only_leaving: sample.phase == Phase::LeavingSelector,
            all: Tally::default(),
            current: Callback::default(),
            heaviest: None,
            callbacks: None,
            ready: None,
            evidence: Evidence::default(),
            clocks: Clocks::default(),
            clocks_before: Clocks::default(),
            call_names: CallNames::default(),
            next_alert_ns: 0,
            last: (place, state),
            before: Before::of(sample, state),
            last_ready: sample.ready,
        };
        open.begin_callback(sample, tables, 1);
        open.current.count(sample.task.and_then(|task| tables.task(task)));
        let before = if suspended { State::Stopped } else { state };
        open.add(place, before, sample.at_ns.saturating_sub(start.latest_ns));
        open.note(sample, state);
        open
    }

    /// Adds the next sample of the same iteration. It and the previous one each stand for half of the time between
    /// them. `suspended`: the process was stopped all that time.
    pub(super) fn continue_with(&mut self, sample: &LoopSample, state: State, suspended: bool, tables: &Tables) {
        let between = sample.at_ns.saturating_sub(self.last_ns);
        let (place, last_state) = self.last;
        self.add(place, if suspended { State::Stopped } else { last_state }, between / 2);
        let begun = self.taken_from_queue(sample);
        if begun > 0 || CallbackKey::of(sample, tables) != self.current.key {
            self.begin_callback(sample, tables, begun.max(1));
        }
        self.current.count(sample.task.and_then(|task| tables.task(task)));
        let place = StackPlace::of(sample, state);
        self.add(place, if suspended { State::Stopped } else { state }, between - between / 2);
        self.last = (place, state);
        self.before = Before::of(sample, state);
        self.last_ready = sample.ready;
        self.last_ns = sample.at_ns;
        self.only_leaving &= sample.phase == Phase::LeavingSelector;
        self.note(sample, state);
    }

    fn add(&mut self, place: StackPlace, state: State, ns: u64) {
        self.all.add(place, state, ns);
        self.current.tally.add(place, state, ns);
    }

    /// The last sample showed the thread waiting for the GIL.
    pub(super) fn waited_for_gil(&self) -> bool {
        self.last.1 == State::WaitingForGil
    }

    /// By how many callbacks the ready queue has shrunk since the last sample.
    pub(super) fn taken_from_queue(&self, sample: &LoopSample) -> u32 {
        self.last_ready.zip(sample.ready).map_or(0, |(before, now)| before.saturating_sub(now))
    }

    fn begin_callback(&mut self, sample: &LoopSample, tables: &Tables, begun: u32) {
        let key = CallbackKey::of(sample, tables);
        if key.number.is_some() || sample.ready.is_some() {
            self.callbacks = Some(self.callbacks.unwrap_or(0).saturating_add(begun));
        }
        let over = std::mem::replace(&mut self.current, Callback { key, ..Callback::default() });
        if over.tally.ns > self.heaviest.as_ref().map_or(0, |callback| callback.tally.ns) {
            self.heaviest = Some(over);
        }
    }

    fn note(&mut self, sample: &LoopSample, state: State) {
        self.evidence.count(state, sample.torn);
        self.ready = self.ready.max(sample.ready);
        self.call_names.learn(sample);
        self.clocks.look(sample, state);
    }

    /// Lower bound of its length at the last sample.
    pub(super) fn at_least_ns(&self) -> u64 {
        self.last_ns.saturating_sub(self.start.latest_ns)
    }

    /// Upper bound of its length if it was over at `end_ns`.
    pub(super) fn at_most_ns(&self, end_ns: u64) -> Option<u64> {
        Some(end_ns.saturating_sub(self.start.earliest_ns?).max(self.at_least_ns()))
    }

    /// The callback that takes the most time.
    pub(super) fn heaviest(&self) -> &Callback {
        (self.heaviest.as_ref()).filter(|over| over.tally.ns > self.current.tally.ns).unwrap_or(&self.current)
    }

    /// Makes it independent of `tables`.
    pub(super) fn keep(&mut self, tables: &Tables) {
        // The last place may be counted once more, under a number that has become meaningless: it continues without a
        // stack.
        self.all.keep(tables);
        self.current.tally.keep(tables);
        if let Some(callback) = &mut self.heaviest {
            callback.tally.keep(tables);
        }
        self.last.0 = self.last.0.without_stack();
    }
}
