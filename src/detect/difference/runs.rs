//! What loops ran, by coroutine and by the function where the time was spent.

use std::collections::BTreeMap;

use super::measure::{Confidence, Measure, Presence, Site, add_slices, highest_first, risk_of_each};
use super::pairing::{Paired, Places, pair};
use super::rates::{Counted, worth};
use super::watch::Watch;
use crate::detect::origin;
use crate::model::snapshot::Frame;
use crate::profile::{CoroutineProfile, Label};

/// A thousandth of the time: anything that runs less does not matter.
const FLOOR: f64 = 0.001;

/// The tasks of one coroutine, in both watches.
#[derive(Clone, Debug)]
pub struct CoroutineChange {
    /// The coroutine; no frame where it is not known.
    pub site: Site,
    /// In which watches it was seen.
    pub presence: Presence,
    /// Share of the watched time in which loops ran such tasks.
    pub run: Measure,
    /// Nanoseconds that a loop ran one task, on average; unknown if tasks do not end, or are too short to be counted
    /// one by one.
    pub run_per_task: Measure,
    /// Nanoseconds that one task waited, on average; unknown in the same cases.
    pub wait_per_task: Measure,
    /// Tasks seen per second.
    pub tasks: Measure,
}

impl CoroutineChange {
    /// Whether such tasks got slower or faster: individually, or if that is not known, all together.
    pub fn confidence(&self) -> Confidence {
        self.decisive().confidence
    }

    /// The measure that shows whether it got slower.
    pub fn decisive(&self) -> &Measure {
        if self.run_per_task.confidence == Confidence::Unknown { &self.run } else { &self.run_per_task }
    }
}

/// What loops ran in one function of the program and in what it called, in both watches.
#[derive(Clone, Debug)]
pub struct RunChange {
    /// The innermost frame of the program's own code; no frame if none was known.
    pub site: Site,
    /// In which watches it was seen.
    pub presence: Presence,
    /// Share of the watched time.
    pub run: Measure,
}

/// Tasks of one coroutine, in one watch.
#[derive(Debug, Default)]
struct Tasks {
    seen: u64,
    born: u64,
    ended: u64,
    run_ns: u64,
    run_samples: u64,
    wait_ns: u64,
    lifetime_ns: u64,
    by_slice: Vec<f64>,
}

impl Tasks {
    fn add(&mut self, coroutine: &CoroutineProfile, lasted_ns: u64) {
        self.seen += coroutine.seen;
        self.born += coroutine.born;
        self.ended += coroutine.ended;
        self.run_ns += coroutine.run_ns;
        self.run_samples += coroutine.run_samples;
        self.wait_ns += coroutine.wait_ns;
        self.lifetime_ns += coroutine.lifetime_ns();
        add_slices(&mut self.by_slice, &coroutine.run_slices.counts(lasted_ns));
    }

    /// Independent samples of loops running them.
    fn run_events(&self) -> Option<f64> {
        worth(self.run_samples as f64, &self.by_slice)
    }

    /// Independent tasks: tasks that come in bursts, as their run time shows, count for fewer.
    fn task_events(&self) -> Option<f64> {
        let worth_of_one = self.run_events()? / self.run_samples as f64;
        (self.run_samples > 0).then_some(self.seen as f64 * worth_of_one)
    }

    /// Averages per task: only if most of them ended during the watch, and lived long enough that samples did not miss
    /// the short ones.
    fn are_countable(&self, look_period_ns: f64) -> bool {
        /// Fewer say nothing about the next one.
        const ENOUGH: u64 = 5;
        let mean_life_ns = self.lifetime_ns as f64 / self.seen.max(1) as f64;
        self.ended >= ENOUGH && self.ended * 2 >= self.seen && mean_life_ns >= 2.0 * look_period_ns
    }
}

/// The denominator for shares of the time: the actual loop samples per second.
fn sample_rate(watch: &Watch<'_>) -> f64 {
    let samples: u64 = watch.analysis.profile().loops().iter().map(|event_loop| event_loop.samples).sum();
    samples as f64 / watch.seconds().max(1e-9)
}

fn tasks<'c>(watch: &Watch<'_>, coroutines: &'c [CoroutineProfile]) -> Places<'c, (), Tasks> {
    let mut places: Places<'c, (), Tasks> = Places::new();
    for coroutine in coroutines {
        places.at((), coroutine.coroutine.as_ref(), coroutine.seen).add(coroutine, watch.analysis.duration_ns());
    }
    places
}

/// Tasks by coroutine.
pub(super) fn coroutines(base: &Watch<'_>, head: &Watch<'_>) -> Vec<CoroutineChange> {
    let (before, after) = (base.analysis.profile().coroutines(), head.analysis.profile().coroutines());
    let pairs = pair(tasks(base, &before), tasks(head, &after));
    let run_share = |tasks: &Option<Tasks>, watch: &Watch<'_>| {
        tasks.as_ref().map_or(0.0, |tasks| tasks.run_ns as f64) / (watch.seconds() * 1e9).max(1.0)
    };
    let matters = |pair: &&Paired<(), Tasks>| run_share(&pair.base, base).max(run_share(&pair.head, head)) >= FLOOR;
    // Up to four quantities each.
    let risk = risk_of_each(4 * pairs.iter().filter(matters).count());
    let mut changes: Vec<CoroutineChange> = pairs.into_iter().map(|pair| coroutine(pair, base, head, risk)).collect();
    highest_first(&mut changes, |change| {
        (change.confidence(), change.wait_per_task.confidence, change.run.difference().abs())
    });
    changes
}

fn coroutine(pair: Paired<(), Tasks>, base: &Watch<'_>, head: &Watch<'_>, risk: f64) -> CoroutineChange {
    let presence = Presence::of(pair.base.is_some(), pair.head.is_some());
    let (before, after) = (pair.base.unwrap_or_default(), pair.head.unwrap_or_default());
    let run =
        share_of_time((before.run_ns, events(&before, base)), base, (after.run_ns, events(&after, head)), head, risk);
    let per_second = |tasks: &Tasks, watch: &Watch<'_>| tasks.seen as f64 / watch.seconds().max(1e-9);
    let (was, is) = (per_second(&before, base), per_second(&after, head));
    let counted = |tasks: &Tasks, watch: &Watch<'_>| {
        // Tasks that exist all the time are equally many however long the watch is.
        let events = tasks.task_events().filter(|_| tasks.born * 2 >= tasks.seen)?;
        Some(Counted::of_rate(per_second(tasks, watch), events, watch.seconds()))
    };
    let tasks = Measure::of_rates((was, counted(&before, base)), (is, counted(&after, head)), 0.0, risk);
    let countable = before.are_countable(base.look_period_ns()) && after.are_countable(head.look_period_ns());
    let per_task = |time: fn(&Tasks) -> u64, samples: fn(&Tasks) -> Option<f64>, floor_ns: f64| {
        let side = |tasks: &Tasks| {
            let mean = time(tasks) as f64 / tasks.seen.max(1) as f64;
            // No more exact than either the samples or the number of tasks.
            samples(tasks)
                .map(|samples| Counted::of_rate(mean, samples.min(tasks.seen as f64), tasks.seen as f64))
                .map(|counted| (mean, Some(counted)))
        };
        match (countable, side(&before), side(&after)) {
            (true, Some(before), Some(after)) => Measure::of_rates(before, after, floor_ns, risk),
            _ => Measure::UNKNOWN,
        }
    };
    // What matters is the total time needed by all tasks started in a second.
    let most_tasks = was.max(is).max(1e-9);
    CoroutineChange {
        site: pair.site,
        presence,
        run,
        run_per_task: per_task(|tasks| tasks.run_ns, Tasks::run_events, FLOOR * 1e9 / most_tasks),
        wait_per_task: per_task(|tasks| tasks.wait_ns, Tasks::task_events, 1e6),
        tasks,
    }
}

/// The number of samples, as independent ones; zero if there were none.
fn events(tasks: &Tasks, watch: &Watch<'_>) -> Option<f64> {
    let has_slices = worth(0.0, &vec![0.0; watch_slices(watch)]).is_some();
    match tasks.by_slice.is_empty() {
        true => has_slices.then_some(0.0),
        false => tasks.run_events(),
    }
}

/// The number of slices that the watch is divided into.
fn watch_slices(watch: &Watch<'_>) -> usize {
    crate::profile::Slices::default().counts(watch.analysis.duration_ns()).len()
}

/// Two shares of the time: nanoseconds, and the samples that they rest on.
fn share_of_time(
    (before_ns, before): (u64, Option<f64>),
    base: &Watch<'_>,
    (after_ns, after): (u64, Option<f64>),
    head: &Watch<'_>,
    risk: f64,
) -> Measure {
    let side = |ns: u64, events: Option<f64>, watch: &Watch<'_>| {
        let share = ns as f64 / watch.watched_ns().max(1) as f64;
        // A share of one is all samples that exist.
        (share, events.map(|events| Counted::of_rate(share, events, sample_rate(watch) * watch.seconds())))
    };
    Measure::of_rates(side(before_ns, before, base), side(after_ns, after, head), FLOOR, risk)
}

/// What one function ran, in one watch.
#[derive(Debug, Default)]
struct Ran {
    time_ns: u64,
    /// Independent samples; `None` where that is not known.
    events: Option<f64>,
}

/// What loops ran, by the innermost function of the program's own code.
pub(super) fn sites(base: &Watch<'_>, head: &Watch<'_>) -> Vec<RunChange> {
    let (before, after) = (base.analysis.profile().runs(), head.analysis.profile().runs());
    let (before, after) = (ran(base, &before), ran(head, &after));
    let pairs = pair(before, after);
    let share = |ran: &Option<Ran>, watch: &Watch<'_>| {
        ran.as_ref().map_or(0.0, |ran| ran.time_ns as f64) / watch.watched_ns().max(1) as f64
    };
    let matters = |pair: &&Paired<(), Ran>| share(&pair.base, base).max(share(&pair.head, head)) >= FLOOR;
    let risk = risk_of_each(pairs.iter().filter(matters).count());
    let none = |watch: &Watch<'_>| Ran { time_ns: 0, events: worth(0.0, &vec![0.0; watch_slices(watch)]) };
    let mut changes: Vec<RunChange> = pairs
        .into_iter()
        .map(|pair| {
            let presence = Presence::of(pair.base.is_some(), pair.head.is_some());
            let (before, after) = (pair.base.unwrap_or_else(|| none(base)), pair.head.unwrap_or_else(|| none(head)));
            let run = share_of_time((before.time_ns, before.events), base, (after.time_ns, after.events), head, risk);
            RunChange { site: pair.site, presence, run }
        })
        .collect();
    highest_first(&mut changes, |change| (change.run.confidence, change.run.difference().abs()));
    changes
}

/// What was run by site. The spread over time of the samples of one function is not kept; it is assumed to be that of
/// the coroutine that called it, and outside of coroutines that of the coroutine with the largest bursts.
fn ran<'r>(watch: &Watch<'_>, runs: &'r [crate::profile::Weighted<'r>]) -> Places<'r, (), Ran> {
    let coroutines = watch.analysis.profile().coroutines();
    let mut each: BTreeMap<(&str, &str), f64> = BTreeMap::new();
    let mut least = worth(0.0, &vec![0.0; watch_slices(watch)]).map(|_| 1.0);
    for coroutine in coroutines.iter().filter(|coroutine| coroutine.run_samples > 0) {
        let mut tasks = Tasks::default();
        tasks.add(coroutine, watch.analysis.duration_ns());
        let Some(events) = tasks.run_events() else { continue };
        let worth_of_one = events / coroutine.run_samples as f64;
        least = least.map(|least: f64| least.min(worth_of_one));
        if let Some(frame) = &coroutine.coroutine {
            each.insert((&*frame.function, &*frame.file), worth_of_one);
        }
    }
    let mut places = Places::new();
    for run in runs {
        let frames = || {
            run.stack.iter().filter_map(|label| match label {
                Label::Frame(frame) => Some(*frame),
                _ => None,
            })
        };
        let outermost: Option<&Frame> = frames().next();
        let of_coroutine = outermost.and_then(|frame| each.get(&(&*frame.function, &*frame.file)).copied());
        let events = least.map(|least| run.count as f64 * of_coroutine.unwrap_or(least));
        let ran: &mut Ran = places.at((), origin::culprit_of(frames()), run.time_ns);
        ran.time_ns += run.time_ns;
        ran.events = events.map(|events| ran.events.unwrap_or(0.0) + events);
    }
    places
}
