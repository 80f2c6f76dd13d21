//! Aggregates a period of time: loops, what they ran, what tasks waited for. It takes events in order of time, live or
//! from a recording, and can be queried at any moment.
//!
//! INVARIANT: it keeps no number of the tables it is given, except those it forgets when told that the tables were
//! reset. Its memory grows with the number of distinct stacks and of live tasks, not with the length of the watch;
//! distinct stacks, names and coroutines are limited, and everything beyond a limit is merged into `<other>`.

use rustc_hash::FxHashMap;

use super::coroutines::CoroutineProfile;
use super::edges::AwaitEdge;
use super::folding::{Folding, Threads};
use super::loops::{Iteration, LoopProfile};
use super::names::NameId;
use super::tasks::{Running, Tasks};
use super::timeline::Timeline;
use super::waits::WaitProfile;
use super::weights::{By, Front, Weighted};
use crate::model::event::{Doing, Event, Gil, Header, LoopSample, Phase, Source};
use crate::model::tables::{LoopInfo, Tables};

/// The totals of a watch.
#[derive(Debug)]
pub struct Profile {
    folding: Folding,
    loops: Vec<LoopProfile>,
    /// The label of each loop's thread, by position in `loops`; `None` where it is not known or threads are merged.
    threads: Vec<Option<NameId>>,
    loop_numbers: FxHashMap<LoopInfo, usize>,
    /// The last sample of each loop, by position in `loops`.
    last: Vec<Option<Last>>,
    tasks: Tasks,
    timeline: Timeline,
    /// Time between two samples of a loop, as far as the watch reports it.
    period_ns: u64,
}

/// The last sample of a loop.
#[derive(Clone, Copy, Debug)]
struct Last {
    at_ns: u64,
    phase: Phase,
    /// What it was running, if it was busy.
    running: Option<Running>,
}

impl Profile {
    /// Nothing seen yet.
    pub fn new(header: &Header, folding: Folding) -> Self {
        Self {
            folding,
            loops: Vec::new(),
            threads: Vec::new(),
            loop_numbers: FxHashMap::default(),
            last: Vec::new(),
            tasks: Tasks::new(folding.naming, header.started_ns),
            timeline: Timeline::new(header.started_ns),
            period_ns: period_ns(header.loop_rate_hz).unwrap_or(1_000_000),
        }
    }

    /// Adds an event. The events of a source come in order of time; their numbers refer to `tables`.
    pub fn absorb(&mut self, source: Source, event: &Event, tables: &Tables) {
        match event {
            Event::Loop(sample) => self.absorb_sample(source, sample, tables),
            Event::Tasks(changes) => {
                let born = changes.changed.iter().filter(|look| look.born).count() as u64;
                self.timeline.look(changes.at_ns, changes.total, born, changes.ended.len() as u64);
                self.tasks.look(changes, tables);
            }
            Event::Health(health) => self.period_ns = period_ns(health.loop_rate_hz).unwrap_or(self.period_ns),
            Event::Findings { .. } | Event::Note(_) => {}
        }
    }

    /// Adds one observed iteration of a loop. The caller that follows the iterations reports each of them once.
    pub fn iteration(&mut self, event_loop: &LoopInfo, iteration: Iteration) {
        let (number, period_ns) = (self.loop_number(event_loop), self.period_ns);
        self.loops[number].count(iteration, period_ns);
        self.timeline.iteration(number, iteration.start_ns, iteration.at_least_ns);
    }

    /// The tables of a source were reset: its earlier numbers now mean something else. If the next task sample lists
    /// every task, tasks missing from it have ended.
    pub fn on_tables_reset(&mut self, source: Source) {
        self.tasks.stacks.forget(source);
        if source == Source::Tasks {
            self.tasks.next_look_may_list_all();
        }
    }

    /// Counts what is still going on up to this moment. Call it before querying; the watch may continue afterwards.
    pub fn settle(&mut self, at_ns: u64) {
        self.tasks.settle(at_ns);
    }

    /// Event loops, in the order in which they were first seen.
    pub fn loops(&self) -> &[LoopProfile] {
        &self.loops
    }

    /// What loops and tasks did over time.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// Tasks by coroutine, in the order in which they were first seen.
    pub fn coroutines(&self) -> Vec<CoroutineProfile> {
        self.tasks.coroutines.list(self.tasks.looked_for_ns())
    }

    /// Waits by await stack, kind and detail, longest time first.
    pub fn waits(&self) -> Vec<WaitProfile<'_>> {
        self.tasks.waits.list(&self.tasks.coroutines, &self.tasks.stacks, &self.tasks.names)
    }

    /// Awaiters and awaited, by coroutine, longest time first.
    pub fn await_edges(&self) -> Vec<AwaitEdge<'_>> {
        self.tasks.edges.list(&self.tasks.coroutines)
    }

    /// Stitched stacks with their time, heaviest first: a task stands under the tasks that wait for it.
    pub fn weights(&self, by: By) -> Vec<Weighted<'_>> {
        let front = match self.folding.threads {
            Threads::Merged => Front::Nothing,
            Threads::Named | Threads::Each => Front::Thread(self.only_thread()),
        };
        self.tasks.list_weights(by, front)
    }

    /// What loops executed, by stack alone, without the task or its awaiters, longest time first.
    pub fn runs(&self) -> Vec<Weighted<'_>> {
        self.tasks.weights.list_runs(&self.tasks.stacks)
    }

    /// The label of the thread of all loops, if they share one: it then also applies to tasks that no loop was seen
    /// running.
    fn only_thread(&self) -> Option<NameId> {
        let first = *self.threads.first()?;
        first.filter(|_| self.threads.iter().all(|thread| *thread == first))
    }

    fn loop_number(&mut self, info: &LoopInfo) -> usize {
        /// LIMIT: distinct loops; if a program keeps creating new ones, those beyond the limit are merged.
        const LOOPS: usize = 1 << 10;
        if let Some(number) = self.loop_numbers.get(info) {
            return *number;
        }
        let number = self.loops.len().min(LOOPS);
        if number == self.loops.len() {
            let info = match number {
                LOOPS => LoopInfo { key: 0, class: "<other>".into(), thread: None, thread_name: None },
                _ => info.clone(),
            };
            self.loop_numbers.insert(info.clone(), number);
            let thread = self.folding.threads.name_of(&info).map(|name| self.tasks.names.add(&name));
            self.threads.push(thread);
            self.loops.push(LoopProfile::new(info));
            self.last.push(None);
        }
        number
    }

    fn absorb_sample(&mut self, source: Source, sample: &LoopSample, tables: &Tables) {
        let Some(info) = tables.event_loop(sample.event_loop) else { return };
        let number = self.loop_number(info);
        // A stopped process is neither busy nor idle.
        let stopped = sample.kernel.as_ref().is_some_and(|look| look.doing == Doing::Stopped);
        let phase = match sample.phase {
            _ if stopped => Phase::Unknown,
            // It enters its selector or comes back from it, and does not wait for anything.
            Phase::LeavingSelector if sample.gil == Gil::Own => Phase::Away,
            phase => phase,
        };
        let running = (phase == Phase::Away).then(|| Running {
            task: sample.task.and_then(|task| self.tasks.ran(task, sample.at_ns, tables)),
            stack: sample.stack.and_then(|stack| self.tasks.stacks.keep(source, stack, sample.outer, tables)),
            torn: sample.torn,
        });
        let event_loop = &mut self.loops[number];
        event_loop.samples += 1;
        event_loop.has_gil = sample.gil != Gil::None;
        event_loop.most_ready = event_loop.most_ready.max(sample.ready);
        self.timeline.ready(number, sample.at_ns, sample.ready);
        let now = Last { at_ns: sample.at_ns, phase, running };
        let before = self.last[number].replace(now);
        let passed_ns = before.map_or(0, |before| sample.at_ns.saturating_sub(before.at_ns));
        event_loop.longest_between_ns = event_loop.longest_between_ns.max(passed_ns);
        if passed_ns > longest_period_ns(self.period_ns) {
            event_loop.gap_ns += passed_ns;
            return self.spend(number, now, 0, 1);
        }
        // Each sample stands for half of the time to each of its neighbours.
        if let Some(before) = before {
            let middle_ns = before.at_ns + passed_ns / 2;
            self.timeline.spend(number, before.phase, before.at_ns, middle_ns);
            self.timeline.spend(number, phase, middle_ns, sample.at_ns);
            self.spend(number, before, passed_ns / 2, 0);
        }
        self.spend(number, now, passed_ns - passed_ns / 2, 1);
    }

    fn spend(&mut self, number: usize, what: Last, time_ns: u64, samples: u64) {
        self.loops[number].spend(what.phase, time_ns);
        let thread = self.threads[number];
        if let Some(running) = what.running {
            self.tasks.run(running, thread, time_ns, samples);
        }
        if self.folding.idle && what.phase == Phase::Selecting {
            self.tasks.idle(thread, time_ns, samples);
        }
    }
}

/// Nanoseconds between two samples at a rate; `None` if the rate is meaningless.
pub fn period_ns(rate_hz: f64) -> Option<u64> {
    (rate_hz.is_finite() && rate_hz > 0.0).then(|| (1e9 / rate_hz) as u64)
}

/// After a longer time without a sample, nanoseconds, it is unknown what happened in between.
pub fn longest_period_ns(period_ns: u64) -> u64 {
    /// On a busy machine, samplers are late by some milliseconds.
    const PATIENCE_NS: u64 = 50_000_000;
    period_ns.saturating_mul(20).max(PATIENCE_NS)
}
