//! Chrome's trace events, for Perfetto's user interface and its trace processor. They show, over time, the stalls of
//! each event loop, what it runs, its lag and the number of ready callbacks, and for each task a lane with its runs and
//! waits.
//!
//! The trace has two processes, as the format calls groups of tracks: the event loops, under the target's own id, and
//! the tasks, under an id that no process can have. Unknown time is a slice with a name in angle brackets, like
//! everything that is not code.

mod lanes;
mod loops;
mod order;
mod runs;
mod tasks;
mod trace;

use std::io::{self, Write};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use self::lanes::Lanes;
use self::loops::Loops;
use self::order::InOrder;
use self::runs::{Changes, Does};
use self::tasks::{Look, Tasks};
use self::trace::{Trace, TrackId};
use super::exporter::{End, Exporter, Step};
use crate::model::event::{Event, Header, Note, Source};
use crate::model::tables::{Tables, TaskInfo, TaskNo};
use crate::profile::period_ns;
use crate::render::escape::brief;
use crate::render::label;
use crate::render::object::object;

/// Process ids end at 4,194,304 on Linux.
const TASKS_PID: u32 = 4_194_305;

/// The format's name and version, in the file's metadata.
const SCHEMA: &str = "asyncprof.trace/1";

/// An event to be put in order.
enum Seen {
    /// A change in what a loop does from one sample to the next.
    Loop {
        index: usize,
        changes: Changes,
    },
    Tasks(Look),
}

/// A trace being written.
struct Perfetto<'o> {
    trace: Trace<'o>,
    loops: Loops,
    tasks: Tasks,
    seen: InOrder<Seen>,
    period_ns: u64,
    /// Tasks by their numbers in each source's tables.
    known: FxHashMap<TaskNo, Arc<TaskInfo>>,
    /// The next task sample lists all tasks.
    lists_all: bool,
    total: Option<u32>,
    last_ns: u64,
}

/// Starts writing Chrome's trace events, which Perfetto opens.
pub fn begin<'o>(header: &Header, out: &'o mut dyn Write) -> io::Result<Box<dyn Exporter + 'o>> {
    Ok(Box::new(Perfetto::begin(header, out)?))
}

impl<'o> Perfetto<'o> {
    fn begin(header: &Header, out: &'o mut dyn Write) -> io::Result<Self> {
        let command = super::exporter::title(header);
        let about = object! {
            schema: SCHEMA,
            asyncprof: &header.asyncprof,
            command: &command,
            pid: header.pid,
            python: &header.python,
            started_at: &header.started_at,
            stall_threshold_ms: header.stall_threshold_ns as f64 / 1e6,
        };
        let mut trace = Trace::begin(out, header.started_ns, &about)?;
        let loops = Loops::new(u32::try_from(header.pid).unwrap_or(1));
        let whose = brief(&command, 80);
        trace.name_process(loops.place(), &format!("event loops of {whose}"), 0)?;
        trace.name_track(loops.place(), "events", 0)?;
        trace.name_process(tasks_place(), &format!("tasks of {whose}"), 1)?;
        Ok(Self {
            trace,
            loops,
            tasks: Tasks::new(TASKS_PID),
            seen: InOrder::new(),
            period_ns: period_ns(header.loop_rate_hz).unwrap_or(1_000_000),
            known: FxHashMap::default(),
            lists_all: true,
            total: None,
            last_ns: header.started_ns,
        })
    }

    fn event(&mut self, source: Source, event: &Event, tables: &Tables) -> io::Result<()> {
        let at_ns = event.at_ns();
        self.last_ns = self.last_ns.max(at_ns);
        match event {
            Event::Loop(sample) => {
                let Some(info) = tables.event_loop(sample.event_loop) else { return Ok(()) };
                let Some(index) = self.loops.find(info, &mut self.trace)? else { return Ok(()) };
                self.loops.ready(index, at_ns, sample.ready, &mut self.trace)?;
                let task = sample.task.and_then(|number| self.task(number, tables));
                let (does, period_ns) = (Does::of(sample, task), self.period_ns);
                let Some(event_loop) = self.loops.get(index) else { return Ok(()) };
                let changes = event_loop.runs.sample(at_ns, does, period_ns, || runs::Look::of(sample, tables));
                if !changes.is_empty() {
                    self.seen.push(source, at_ns, Seen::Loop { index, changes });
                }
            }
            Event::Tasks(changes) => {
                let lists_all = std::mem::take(&mut self.lists_all);
                self.seen.push(source, at_ns, Seen::Tasks(Look::of(changes, lists_all, tables)));
                if self.total.replace(changes.total) != Some(changes.total) {
                    self.trace.counter(tasks_place(), "tasks", at_ns, f64::from(changes.total))?;
                }
            }
            Event::Health(health) => self.period_ns = period_ns(health.loop_rate_hz).unwrap_or(self.period_ns),
            Event::Note(note) => self.note(note)?,
            Event::Findings { .. } => {}
        }
        Ok(())
    }

    fn note(&mut self, note: &Note) -> io::Result<()> {
        let text = format!("{}: {}", note.kind.as_str(), brief(&note.text, 200));
        self.loops.mark(note.at_ns, &text, &mut self.trace)
    }

    /// A task of the loops' tables, shared by everything that refers to it.
    fn task(&mut self, number: TaskNo, tables: &Tables) -> Option<Arc<TaskInfo>> {
        /// LIMIT: tasks that are shared; beyond it they are forgotten, and created again.
        const KNOWN: usize = 1 << 16;
        if let Some(known) = self.known.get(&number) {
            return Some(known.clone());
        }
        let task = Arc::new(tables.task(number)?.clone());
        if self.known.len() >= KNOWN {
            self.known.clear();
        }
        self.known.insert(number, task.clone());
        Some(task)
    }

    fn write(&mut self, at_ns: u64, seen: Seen) -> io::Result<()> {
        let (index, changes) = match seen {
            Seen::Tasks(look) => return self.tasks.look(at_ns, look, &mut self.trace),
            Seen::Loop { index, changes } => (index, changes),
        };
        for stretch in &changes.over {
            self.loops.over(index, stretch, &mut self.trace)?;
            if let Some(task) = stretch.does.task() {
                self.tasks.ran(task, stretch, &mut self.trace)?;
            }
        }
        match changes.begins.as_ref().and_then(|(from_ns, does)| Some((*from_ns, does.task()?))) {
            Some((from_ns, task)) => self.tasks.begins(task, from_ns, &mut self.trace),
            None => Ok(()),
        }
    }
}

fn tasks_place() -> TrackId {
    TrackId { pid: TASKS_PID, tid: TASKS_PID }
}

impl Exporter for Perfetto<'_> {
    fn take(&mut self, step: &Step<'_>) -> io::Result<()> {
        let Step { batch, analysis, .. } = *step;
        if batch.begins_anew {
            match batch.source {
                Source::Loops => self.known.clear(),
                Source::Tasks => self.lists_all = true,
            }
        }
        let tables = analysis.tables(batch.source);
        for event in &batch.events {
            self.event(batch.source, event, tables)?;
        }
        if let Some(last) = batch.events.last() {
            self.seen.saw(batch.source, last.at_ns());
        }
        while let Some((at_ns, seen)) = self.seen.next() {
            self.write(at_ns, seen)?;
        }
        for stall in step.ended() {
            self.loops.stall(stall, &mut self.trace)?;
        }
        for (info, iteration) in analysis.iterations() {
            self.loops.iteration(info, iteration, &mut self.trace)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, end: &End<'_>) -> io::Result<Option<String>> {
        while let Some((at_ns, seen)) = self.seen.next_of_rest() {
            self.write(at_ns, seen)?;
        }
        for (index, stretch) in self.loops.finish() {
            let changes = Changes { over: vec![stretch], begins: None };
            self.write(self.last_ns, Seen::Loop { index, changes })?;
        }
        for stall in end.ongoing {
            self.loops.stall(stall, &mut self.trace)?;
        }
        let without_lane = self.tasks.finish(self.last_ns, &mut self.trace)?;
        if !end.complete {
            self.loops.mark(self.last_ns, "the recording is cut off here", &mut self.trace)?;
        }
        let tasks = (without_lane > 0).then(|| {
            format!("{} tasks have no lane, because {} others lived", label::count(without_lane), Lanes::MOST)
        });
        let left_out = super::exporter::together([self.loops.were_more.then(super::exporter::loops_left_out), tasks]);
        if let Some(left_out) = &left_out {
            self.loops.mark(self.last_ns, left_out, &mut self.trace)?;
        }
        self.trace.end()?;
        Ok(left_out)
    }
}
