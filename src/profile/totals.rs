//! What a stretch of time adds up to: loops, what they ran, what tasks waited for. It takes events in the order of
//! time, live or from a recording, and can be asked at any moment.
//!
//! INVARIANT: it keeps no number of the tables that it is given, except such as it forgets when told that they begin anew.
//! Its memory grows with the number of distinct stacks and of tasks alive, not with the length of the watch; and for distinct
//! stacks, names and coroutines there are limits, beyond which all others are one, `<other>`.

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
use crate::model::event::{Doing, Event, Header, LoopSample, Phase, Source};
use crate::model::tables::{LoopInfo, Tables};

/// The totals of a watch.
#[derive(Debug)]
pub struct Profile {
    folding: Folding,
    loops: Vec<LoopProfile>,
    /// What the thread of each is called, by position in `loops`; `None` where that is not known or not told apart.
    threads: Vec<Option<NameId>>,
    loop_numbers: FxHashMap<LoopInfo, usize>,
    /// What each loop's last sample said, by position in `loops`.
    last: Vec<Option<Last>>,
    tasks: Tasks,
    timeline: Timeline,
    /// Time between two samples of a loop, as far as the watch says.
    period_ns: u64,
}

/// The last sample of a loop.
#[derive(Clone, Copy, Debug)]
struct Last {
    at_ns: u64,
    phase: Phase,
    /// What it ran, while it was away.
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

    /// Adds an event. The events of a source come in the order of time; `tables` are those its numbers belong to.
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

    /// Adds one iteration of a loop that was seen. Whoever follows the iterations says each once.
    pub fn iteration(&mut self, event_loop: &LoopInfo, iteration: Iteration) {
        let (number, period_ns) = (self.loop_number(event_loop), self.period_ns);
        self.loops[number].count(iteration, period_ns);
        self.timeline.iteration(number, iteration.start_ns, iteration.at_least_ns);
    }

    /// The tables of a source begin anew: its numbers from before mean something else from now on. If the next look at the
    /// tasks names as many as there are, others are no more.
    pub fn on_tables_reset(&mut self, source: Source) {
        self.tasks.stacks.forget(source);
        if source == Source::Tasks {
            self.tasks.next_look_may_list_all();
        }
    }

    /// Counts what still lasts up to this moment. Call it before asking; the watch may go on afterwards.
    pub fn settle(&mut self, at_ns: u64) {
        self.tasks.settle(at_ns);
    }

    /// Event loops, in the order in which they were met.
    pub fn loops(&self) -> &[LoopProfile] {
        &self.loops
    }

    /// How loops and tasks fared over time.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// Tasks by their coroutine, in the order in which they were met.
    pub fn coroutines(&self) -> Vec<CoroutineProfile> {
        self.tasks.coroutines.list(self.tasks.looked_for_ns())
    }

    /// Waits by await stack, kind and detail, most time first.
    pub fn waits(&self) -> Vec<WaitProfile<'_>> {
        self.tasks.waits.list(&self.tasks.coroutines, &self.tasks.stacks, &self.tasks.names)
    }

    /// Who waits for whom, by coroutine, most time first.
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

    /// What loops executed, by stack alone, without the task or what waits for it, most time first.
    pub fn runs(&self) -> Vec<Weighted<'_>> {
        self.tasks.weights.list_runs(&self.tasks.stacks)
    }

    /// The thread of all loops, if that is one: then also of tasks that none of them was seen to run.
    fn only_thread(&self) -> Option<NameId> {
        let first = *self.threads.first()?;
        first.filter(|_| self.threads.iter().all(|thread| *thread == first))
    }

    fn loop_number(&mut self, info: &LoopInfo) -> usize {
        /// LIMIT: distinct loops; a program that makes ever new ones is told of these only, and of all others as one.
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
        // A process that is stopped is neither busy nor idle.
        let stopped = sample.kernel.as_ref().is_some_and(|look| look.doing == Doing::Stopped);
        let phase = if stopped { Phase::Unknown } else { sample.phase };
        let running = (phase == Phase::Away).then(|| Running {
            task: sample.task.and_then(|task| self.tasks.ran(task, sample.at_ns, tables)),
            stack: sample.stack.and_then(|stack| self.tasks.stacks.keep(source, stack, sample.outer, tables)),
            torn: sample.torn,
        });
        let event_loop = &mut self.loops[number];
        event_loop.samples += 1;
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
        // Each sample stands for half of the time to its neighbours.
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

/// Nanoseconds between two samples at a rate; `None` where it says nothing.
pub fn period_ns(rate_hz: f64) -> Option<u64> {
    (rate_hz.is_finite() && rate_hz > 0.0).then(|| (1e9 / rate_hz) as u64)
}

/// After a longer time without a sample, nanoseconds, nobody knows what happened meanwhile.
pub fn longest_period_ns(period_ns: u64) -> u64 {
    /// Samplers are late by some milliseconds on a busy machine.
    const PATIENCE_NS: u64 = 50_000_000;
    period_ns.saturating_mul(20).max(PATIENCE_NS)
}
