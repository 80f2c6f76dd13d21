//! Loops that spin: busy all the time, although no callback takes long, because a task yields again and again without
//! waiting for anything. A server that is saturated looks the same to a CPU meter; what tells them apart is that one
//! task is never seen waiting, that it is what the loop runs, and that its steps take next to no time. Work that is cut
//! into pieces with `asyncio.sleep(0)` in between is no spin: its steps take longer.

use rustc_hash::FxHashMap;
use serde::Serialize;

use super::origin;
use super::rules::LOOP_SPIN;
use crate::model::event::{KeptFinding, LoopSample, Phase, TaskChanges};
use crate::model::snapshot::{Frame, Severity, TaskState};
use crate::model::tables::{Tables, TaskNo};

/// The shortest time that says something, nanoseconds.
const ENOUGH_NS: u64 = 2_000_000_000;
/// Fewer samples than this that show where the loop is say nothing about it. Most may show nothing: what lasts for a
/// microsecond is over before it is read.
const ENOUGH_SAMPLES: u64 = 30;
/// Fewer samples with a task than this say nothing about which tasks run.
const ENOUGH_WITH_TASK: u64 = 20;
/// Fewer task samples than this say nothing about a task.
const ENOUGH_LOOKS: u64 = 4;
/// The shortest time over which callbacks are counted, nanoseconds. A busy process can use up the CPU budget, so that its
/// tasks are hardly sampled after that.
const ENOUGH_COUNTED_NS: u64 = 400_000_000;
/// Share of the time for which the loop may be in its selector, as far as the samples can tell. One that does not wait
/// returns at once, which still takes a good part of an iteration that does nothing else: a quarter with uvloop.
const MOST_IDLE: f64 = 0.4;
/// Share of the samples with a task in which it must be the one that runs.
const LEAST_RUNNING: f64 = 0.8;
/// Callbacks per second: with fewer, their steps do work.
const LEAST_CALLBACKS: f64 = 5_000.0;
/// LIMIT: tasks that are followed; while more than this are ready at once, none is known to make the loop spin.
const MAX_TASKS: usize = 1_000;

/// A task that has not been seen waiting.
#[derive(Clone, Debug)]
struct Restless {
    since_ns: u64,
    looks_before: u64,
    /// Where it yields; `None` until it was seen there: a task of a busy server may never be seen waiting either.
    place: Option<Frame>,
    /// `None` since the tables were reset.
    number: Option<TaskNo>,
    name: Option<String>,
}

/// An upper bound of the share of the time that `part` of `whole` samples show, with a confidence of 95 %.
// Wald's interval with a correction for few samples. Samples of one loop are not quite independent.
fn share_at_most(part: u64, whole: u64) -> f64 {
    let whole = whole.max(1) as f64;
    let share = part as f64 / whole;
    share + 1.645 * (share * (1.0 - share) / whole).sqrt() + 1.0 / whole
}

/// The place of the program that yields without waiting, if these frames are in `asyncio.sleep(0)`.
// CPython: Lib/asyncio/tasks.py, __sleep0, v3.8.18 to v3.15.2.
fn find_yield(frames: Vec<&Frame>) -> Option<Frame> {
    let is_yield = |frame: &Frame| &*frame.function == "__sleep0" && frame.file.ends_with("/asyncio/tasks.py");
    frames.iter().any(|frame| is_yield(frame)).then(|| origin::culprit_of(frames).cloned()).flatten()
}

/// What the samples since the loop was last seen idle show.
#[derive(Debug, Default)]
pub(super) struct Spins {
    restless: FxHashMap<u64, Restless>,
    /// There were too many tasks.
    overflowed: bool,
    /// Samples of the only loop in which each task ran, and how many with any task there were up to the last of them.
    ran: FxHashMap<u64, (u64, u64)>,
    samples: u64,
    first_ns: Option<u64>,
    last_ns: u64,
    with_task: u64,
    idle: u64,
    unknown: u64,
    event_loop: Option<u64>,
    /// The loop is one of asyncio's own classes.
    is_asyncios: bool,
    /// More than one loop was seen: callbacks are counted for all of them together.
    several_loops: bool,
    looks: u64,
    first_look_ns: Option<u64>,
    last_look_ns: u64,
    /// Contexts entered or left, and the time for which that is known, nanoseconds.
    contexts: (u64, u64),
}

#[derive(Serialize)]
struct Facts {
    iterations_per_s: u64,
    callbacks_per_s: u64,
    seconds: f64,
    task: Option<String>,
    at: String,
    function: String,
    file: String,
}

impl Spins {
    pub(super) fn sample(&mut self, sample: &LoopSample, tables: &Tables) {
        let Some(info) = tables.event_loop(sample.event_loop) else { return };
        self.several_loops |= *self.event_loop.get_or_insert(info.key) != info.key;
        self.is_asyncios = info.class.starts_with("asyncio.");
        self.samples += 1;
        (self.first_ns, self.last_ns) = (self.first_ns.or(Some(sample.at_ns)), sample.at_ns);
        self.idle += u64::from(matches!(sample.phase, Phase::Selecting | Phase::NotRunning | Phase::Parked));
        self.unknown += u64::from(sample.phase == Phase::Unknown);
        let Some(task) = sample.task.and_then(|task| tables.task(task)) else { return };
        self.with_task += 1;
        if let Some(restless) = self.restless.get_mut(&task.key).filter(|restless| restless.place.is_none()) {
            restless.place = sample.stack.and_then(|stack| find_yield(tables.frames_outermost_first(stack)));
        }
        if self.ran.len() < MAX_TASKS || self.ran.contains_key(&task.key) {
            let (samples, last) = self.ran.entry(task.key).or_default();
            (*samples, *last) = (*samples + 1, self.with_task);
        }
    }

    pub(super) fn look(&mut self, changes: &TaskChanges, tables: &Tables) {
        match self.first_look_ns {
            // Before the first sample nothing was counted.
            None => self.first_look_ns = Some(changes.at_ns),
            Some(_) => {
                // A sample of very many tasks comes in several pieces of the same time.
                let passed_ns = changes.at_ns.saturating_sub(self.last_look_ns);
                if let Some(more) = changes.contexts.filter(|_| passed_ns > 0) {
                    self.contexts = (self.contexts.0.saturating_add(more), self.contexts.1.saturating_add(passed_ns));
                }
            }
        }
        self.looks += 1;
        self.last_look_ns = changes.at_ns;
        for task in changes.ended.iter().filter_map(|task| tables.task(*task)) {
            self.restless.remove(&task.key);
        }
        for look in &changes.changed {
            let Some(info) = tables.task(look.task) else { continue };
            // A task that runs all the time moves while it is read.
            if !matches!(look.state, TaskState::Ready | TaskState::Running | TaskState::Unknown) {
                self.restless.remove(&info.key);
                continue;
            }
            if self.restless.len() >= MAX_TASKS && !self.restless.contains_key(&info.key) {
                self.overflowed = true;
                continue;
            }
            let looks_before = self.looks - 1;
            let task = self.restless.entry(info.key).or_insert_with(|| Restless {
                since_ns: changes.at_ns,
                looks_before,
                place: None,
                number: None,
                name: info.name.as_deref().map(str::to_owned),
            });
            task.number = Some(look.task);
            if task.place.is_none() {
                task.place = look.stack.and_then(|stack| find_yield(tables.frames_outermost_first(stack)));
            }
        }
    }

    /// The tables of the tasks were reset. In a recording that happens often, and only changes are told afterwards.
    pub(super) fn on_tables_reset(&mut self) {
        self.restless.values_mut().for_each(|task| task.number = None);
    }

    /// How often a callback changes the context at most: asyncio's own loops enter and leave it once, uvloop twice.
    fn switches_per_callback(&self) -> f64 {
        if self.is_asyncios { 2.0 } else { 4.0 }
    }

    /// What is known now.
    pub(super) fn finding(&self) -> Option<KeptFinding> {
        let watched_ns = self.last_ns.saturating_sub(self.first_ns?);
        let counted_ns = self.last_look_ns.saturating_sub(self.first_look_ns?);
        let (contexts, known_ns) = self.contexts;
        let callbacks = contexts as f64 / self.switches_per_callback() * 1e9 / known_ns.max(1) as f64;
        let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        let known = self.samples - self.unknown;
        let is_spinning = watched_ns >= ENOUGH_NS
            && counted_ns >= ENOUGH_COUNTED_NS
            && known_ns >= counted_ns / 2
            && known >= ENOUGH_SAMPLES
            && !self.several_loops
            && !self.overflowed
            && callbacks >= LEAST_CALLBACKS
            && share_at_most(self.idle, known) <= MOST_IDLE;
        let ran = |key: &u64| self.ran.get(key).copied().unwrap_or_default();
        let spins = |(key, task): &(&u64, &Restless)| {
            // Samples that show a step of a microsecond are few and come in clusters: only those of other tasks tell that it
            // does not run any more.
            self.looks - task.looks_before >= ENOUGH_LOOKS && self.with_task - ran(key).1 < ENOUGH_WITH_TASK
        };
        let spinners: Vec<(u64, &Restless)> =
            self.restless.iter().filter(spins).map(|(key, task)| (ran(key).0, task)).collect();
        let together: u64 = spinners.iter().map(|(ran, _)| ran).sum();
        // Few samples can show a task that runs for a microsecond; then what it was seen to do must do.
        let others_run = self.with_task >= ENOUGH_WITH_TASK && share(together, self.with_task) < LEAST_RUNNING;
        if !is_spinning || others_run {
            return None;
        }
        let most = spinners.iter().max_by_key(|(ran, task)| (*ran, std::cmp::Reverse(task.since_ns)))?.1;
        let place = most.place.as_ref()?;
        let seconds = self.last_ns.saturating_sub(most.since_ns) as f64 / 1e9;
        let iterations = callbacks / spinners.len().max(1) as f64;
        let name = most.name.as_deref().unwrap_or("a task");
        let others = match spinners.len() - 1 {
            0 => String::new(),
            1 => " (another task does the same)".to_owned(),
            others => format!(" ({others} other tasks do the same)"),
        };
        let at = origin::describe(place);
        let about = if self.is_asyncios { "about" } else { "at least" };
        let message = format!(
            "the event loop hardly ever sleeps: {name} in {at} yields without waiting, {about} {iterations:.0} times a second, \
             for {seconds:.1} s so far{others}"
        );
        let facts = Facts {
            iterations_per_s: iterations as u64,
            callbacks_per_s: callbacks as u64,
            seconds,
            task: most.name.clone(),
            at,
            function: place.function.to_string(),
            file: place.file.to_string(),
        };
        let finding = LOOP_SPIN.finding(Severity::Warning, message, Vec::new(), &facts);
        Some(KeptFinding { finding, tasks: most.number.into_iter().collect(), site: Some(place.clone()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{Gil, TaskLook};
    use crate::model::tables::{LoopInfo, TaskInfo};

    const MS: u64 = 1_000_000;

    /// A busy loop that runs two tasks in turn, seen for three seconds; `states` are those of the first one.
    fn watched(
        states: &[TaskState],
        yields: bool,
        share_of_first: u64,
        callbacks_per_s: u64,
        phase: Phase,
    ) -> Option<KeptFinding> {
        let (mut spins, mut tables) = (Spins::default(), Tables::default());
        let frame = Frame { function: "pump".into(), file: "/app/main.py".into(), line: Some(7) };
        let sleep0 =
            Frame { function: "__sleep0".into(), file: "/usr/lib/python3.12/asyncio/tasks.py".into(), line: Some(1) };
        let stack = if yields { tables.add_frames([&frame, &sleep0]) } else { tables.add_frames([&frame]) };
        let event_loop = tables.add_loop(&LoopInfo {
            key: 1,
            class: "asyncio.unix_events.Loop".into(),
            thread: None,
            thread_name: None,
        });
        let task = |key| TaskInfo { key, name: Some(format!("Task-{key}").as_str().into()), coroutine: None };
        let tasks = [tables.add_task(&task(1)), tables.add_task(&task(2))];
        for number in 0..30_u64 {
            let state = states[number as usize % states.len()];
            let look = TaskLook { task: tasks[0], born: false, state, stack, torn: false, wait: None };
            let changes = TaskChanges {
                at_ns: number * 100 * MS,
                took_ns: 0,
                changed: vec![look],
                ended: Vec::new(),
                total: 2,
                complete: true,
                contexts: Some(callbacks_per_s / 5),
                timers: Vec::new(),
            };
            spins.look(&changes, &tables);
            for part in 0..10 {
                let sample = LoopSample {
                    at_ns: (number * 100 + part * 10) * MS,
                    event_loop,
                    phase,
                    away_since_ns: None,
                    away_precision_ns: 1,
                    callback: None,
                    task: Some(tasks[usize::from(part >= share_of_first)]),
                    stack: None,
                    outer: 0,
                    coroutines: 0,
                    torn: false,
                    moved: true,
                    ready: None,
                    gil: Gil::Own,
                    collecting: false,
                    kernel: None,
                    holder_stack: None,
                };
                spins.sample(&sample, &tables);
            }
        }
        spins.finding()
    }

    #[test]
    fn a_task_that_only_ever_yields_makes_its_loop_spin() {
        let found = watched(&[TaskState::Ready], true, 10, 40_000, Phase::Away).unwrap().finding;
        assert!(found.message.contains("Task-1 in pump (/app/main.py:7)"), "{}", found.message);
        assert_eq!(found.evidence["callbacks_per_s"], 40_000);
    }

    #[test]
    fn few_samples_bound_a_share_less() {
        assert!(share_at_most(0, 30) < 0.05);
        assert!((0.4..0.5).contains(&share_at_most(9, 30)));
        assert!((0.3..0.33).contains(&share_at_most(300, 1_000)));
        assert!(share_at_most(0, 0) >= 1.0, "nothing is known");
    }

    #[test]
    fn a_busy_server_a_loop_that_sleeps_and_work_in_pieces_do_not_spin() {
        let waits = [TaskState::Ready, TaskState::Ready, TaskState::Waiting];
        assert_eq!(watched(&waits, true, 10, 40_000, Phase::Away), None, "it waits now and then");
        assert_eq!(watched(&[TaskState::Ready], false, 10, 40_000, Phase::Away), None, "it may wait in between");
        assert_eq!(watched(&[TaskState::Ready], true, 5, 40_000, Phase::Away), None, "others run as much");
        assert_eq!(watched(&[TaskState::Ready], true, 10, 900, Phase::Away), None, "its steps do work");
        assert_eq!(watched(&[TaskState::Ready], true, 10, 40_000, Phase::Selecting), None, "the loop sleeps");
    }
}
