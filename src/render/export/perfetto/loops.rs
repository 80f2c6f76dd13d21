//! Two tracks for each event loop, its stalls and what it runs, and its counters: loop lag, and the number of ready
//! callbacks.

use std::collections::BTreeMap;
use std::io;

use super::runs::{Does, Runs, Stretch};
use super::tasks;
use super::trace::{DoesArgs, Trace, TrackId};
use crate::detect::stall::{Iteration, Stall};
use crate::model::tables::LoopInfo;
use crate::render::escape::visible;
use crate::render::export::exporter::LOOPS;
use crate::render::label;
use crate::render::object::object;
use crate::render::report::words;

/// Shorter iterations are not drawn as lag: there are thousands a second, and most are not seen.
const SHORTEST_LAG_NS: u64 = 1_000_000;

#[derive(Debug)]
pub(super) struct Loop {
    info: LoopInfo,
    number: u32,
    pub(super) runs: Runs,
    ready: Option<u32>,
    /// The track of stalls is written up to here.
    stalls_ns: u64,
    lag_ns: u64,
}

/// All loops, in the order in which they were first seen.
#[derive(Debug)]
pub(super) struct Loops {
    pid: u32,
    list: Vec<Loop>,
    /// Some loops did not get tracks.
    pub(super) were_more: bool,
}

impl Loops {
    pub(super) fn new(pid: u32) -> Self {
        Self { pid, list: Vec::new(), were_more: false }
    }

    pub(super) fn get(&mut self, index: usize) -> Option<&mut Loop> {
        self.list.get_mut(index)
    }

    /// Its index; `None` if there are too many. Its tracks are created when it is first seen.
    pub(super) fn find(&mut self, info: &LoopInfo, trace: &mut Trace<'_>) -> io::Result<Option<usize>> {
        if let Some(index) = self.list.iter().position(|known| known.info == *info) {
            return Ok(Some(index));
        }
        if self.list.len() >= LOOPS {
            self.were_more = true;
            return Ok(None);
        }
        let number = self.list.len() as u32;
        let info = info.clone();
        let event_loop = Loop { info, number, runs: Runs::default(), ready: None, stalls_ns: 0, lag_ns: 0 };
        let name = event_loop.name();
        trace.name_track(event_loop.stalls_track(self.pid), &format!("{name}: stalls"), 2 * number)?;
        trace.name_track(event_loop.runs_track(self.pid), &format!("{name}: what it runs"), 2 * number + 1)?;
        self.list.push(event_loop);
        Ok(Some(number as usize))
    }

    /// An activity of a loop has ended.
    pub(super) fn over(&self, index: usize, stretch: &Stretch, trace: &mut Trace<'_>) -> io::Result<()> {
        let (Some(event_loop), true) = (self.list.get(index), stretch.from_ns < stretch.to_ns) else { return Ok(()) };
        let (place, times) = (event_loop.runs_track(self.pid), (stretch.from_ns, stretch.to_ns));
        let look = &stretch.look;
        let (cat, name) = match &stretch.does {
            Does::Run { task: Some(task), .. } => {
                let name = match &task.coroutine {
                    Some(frame) => label::name(&frame.function).into_owned(),
                    None => tasks::name(task),
                };
                ("run", name)
            }
            Does::Run { task: None, .. } => {
                let callee = look.callee.as_deref().map(|callee| format!("callback: {}", label::name(callee)));
                ("run", callee.unwrap_or_else(|| "callback".into()))
            }
            Does::WaitsForGil => ("gil", "waiting for the GIL".into()),
            Does::NoLoop => ("none", "<no loop runs>".into()),
            Does::Stopped => ("none", "<stopped>".into()),
            Does::Unknown => ("none", "<unknown>".into()),
            Does::NotSampled => ("none", "<not sampled>".into()),
        };
        let task = stretch.does.task().map(|task| tasks::name(task));
        trace.slice(
            place,
            cat,
            &name,
            times,
            &DoesArgs { task, at: look.at.as_deref(), torn: look.torn, ..DoesArgs::default() },
        )
    }

    /// Writes a stall once it is over, or once it is clear that its end will not be seen.
    pub(super) fn stall(&mut self, stall: &Stall, trace: &mut Trace<'_>) -> io::Result<()> {
        let Some(index) = self.find(&stall.event_loop, trace)? else { return Ok(()) };
        let event_loop = &mut self.list[index];
        let from_ns = stall.start_ns.max(event_loop.stalls_ns);
        let to_ns = stall.start_ns.saturating_add(stall.at_least_ns).max(from_ns);
        event_loop.stalls_ns = to_ns;
        let site = stall.site.as_ref().or(stall.stack.last()).map(words::frame);
        let name = match &site {
            Some(site) => format!("{}: {site}", words::cause(stall.cause)),
            None => words::cause(stall.cause).to_owned(),
        };
        let args = object! {
            cause: stall.cause.as_str(),
            #[serde(flatten)]
            detail: stall.detail.as_ref().map(|detail| object! { detail }),
            task: stall.task.as_ref().map(tasks::name),
            at_least_ms: ms(stall.at_least_ns),
            at_most_ms: stall.at_most_ns.map(ms),
            ongoing: stall.ongoing,
            advice: &stall.advice,
            site: stall.site.as_ref().map(words::frame),
            // Innermost first.
            stack: stall.stack.iter().rev().map(words::frame).collect::<Vec<_>>(),
            torn: stall.torn,
            callbacks: stall.callbacks,
            ready_waiting: stall.ready_waiting,
            evidence: stall.evidence.entries().collect::<BTreeMap<_, _>>(),
        };
        let place = event_loop.stalls_track(self.pid);
        trace.slice(place, "stall", &name, (from_ns, to_ns), &args)
    }

    /// Writes the number of ready callbacks if it has changed.
    pub(super) fn ready(
        &mut self,
        index: usize,
        at_ns: u64,
        ready: Option<u32>,
        trace: &mut Trace<'_>,
    ) -> io::Result<()> {
        let pid = self.pid;
        let Some(event_loop) = self.get(index) else { return Ok(()) };
        let (Some(now), true) = (ready, event_loop.ready != ready) else { return Ok(()) };
        event_loop.ready = ready;
        let name = format!("loop {} ready queue", event_loop.number + 1);
        trace.counter(event_loop.runs_track(pid), &name, at_ns, f64::from(now))
    }

    /// An observed iteration: the loop's lag is its length from its beginning to its end, and zero afterwards.
    pub(super) fn iteration(
        &mut self,
        info: &LoopInfo,
        iteration: &Iteration,
        trace: &mut Trace<'_>,
    ) -> io::Result<()> {
        let (pid, Some(index)) = (self.pid, self.find(info, trace)?) else { return Ok(()) };
        let event_loop = &mut self.list[index];
        let end_ns = iteration.start_ns.saturating_add(iteration.at_least_ns);
        if iteration.at_least_ns < SHORTEST_LAG_NS || iteration.start_ns < event_loop.lag_ns {
            return Ok(());
        }
        event_loop.lag_ns = end_ns;
        let (place, name) = (event_loop.runs_track(pid), format!("loop {} lag (ms)", event_loop.number + 1));
        trace.counter(place, &name, iteration.start_ns, ms(iteration.at_least_ns))?;
        trace.counter(place, &name, end_ns, 0.0)
    }

    /// No more samples will come: returns what each loop is still doing, by index.
    pub(super) fn finish(&mut self) -> Vec<(usize, Stretch)> {
        let last = |(index, event_loop): (usize, &mut Loop)| Some((index, event_loop.runs.finish()?));
        self.list.iter_mut().enumerate().filter_map(last).collect()
    }

    /// The track for marks that concern all loops.
    pub(super) fn place(&self) -> TrackId {
        TrackId { pid: self.pid, tid: FIRST_TRACK - 1 }
    }

    pub(super) fn mark(&self, at_ns: u64, what: &str, trace: &mut Trace<'_>) -> io::Result<()> {
        trace.instant(self.place(), what, at_ns, &object! {})
    }
}

/// Track numbers are assigned here: a loop has two, and its thread may have run another loop before.
const FIRST_TRACK: u32 = 10_000_001;

impl Loop {
    fn stalls_track(&self, pid: u32) -> TrackId {
        TrackId { pid, tid: FIRST_TRACK + 2 * self.number }
    }

    fn runs_track(&self, pid: u32) -> TrackId {
        TrackId { pid, tid: FIRST_TRACK + 2 * self.number + 1 }
    }

    fn name(&self) -> String {
        let LoopInfo { class, thread, thread_name, .. } = &self.info;
        let class = class.rsplit('.').next().unwrap_or(class);
        let thread = match (thread, thread_name) {
            (Some(thread), Some(name)) => format!(" in thread {thread} ({})", label::name(name)),
            (Some(thread), None) => format!(" in thread {thread}"),
            (None, Some(name)) => format!(" in thread {}", label::name(name)),
            (None, None) => String::new(),
        };
        format!("loop {} {}{thread}", self.number + 1, visible(class))
    }
}

fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}
