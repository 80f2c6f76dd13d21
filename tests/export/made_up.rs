//! Watches that no program makes on demand: torn stacks, states nobody knows, times without samples, tables that begin anew,
//! more tasks than lanes.

use std::io::{self, Write};

use asyncprof::detect::analysis::Analysis;
use asyncprof::model::event::{Batch, Event, Gil, Header, LoopSample, Phase, Source, TaskChanges, TaskLook, TaskWait};
use asyncprof::model::snapshot::{TaskState, WaitKind};
use asyncprof::model::tables::{Definitions, LoopInfo, LoopNo, StackId, Tables, TaskInfo, TaskNo};
use asyncprof::render::export::{End, Exporter, Step};

use crate::watches::{MS, frame, header};

/// Begins to write a format of what happened over time.
pub(crate) type Begin = for<'o> fn(&Header, &'o mut dyn Write) -> io::Result<Box<dyn Exporter + 'o>>;

/// Batches in the making.
pub(crate) struct MadeUp {
    batches: Vec<Batch>,
    loops: Tables,
    tasks: Tables,
}

/// What was written, and what the format could not hold.
pub(crate) struct Written {
    pub(crate) text: String,
    pub(crate) left_out: Option<String>,
    pub(crate) analysis: Analysis,
}

impl MadeUp {
    pub(crate) fn new() -> Self {
        Self { batches: Vec::new(), loops: Tables::default(), tasks: Tables::default() }
    }

    fn info(key: u64, name: &str) -> TaskInfo {
        TaskInfo { key, name: Some(name.into()), coroutine: Some(frame("serve")) }
    }

    /// One event in a batch of its own, with all names that its tables have.
    fn push(&mut self, source: Source, begins_anew: bool, definitions: Definitions, event: Event) {
        self.batches.push(Batch { source, begins_anew, definitions, events: vec![event] });
    }

    /// The tables of the loops' events begin anew with the next one.
    pub(crate) fn begin_anew(&mut self) {
        self.loops = Tables::default();
    }

    pub(crate) fn sample(&mut self, at_ms: u64, phase: Phase, task: Option<(u64, &str)>, torn: bool) {
        self.sample_of(0x1, at_ms, phase, task, torn);
    }

    pub(crate) fn sample_of(&mut self, key: u64, at_ms: u64, phase: Phase, task: Option<(u64, &str)>, torn: bool) {
        let (mark, is_new) = (self.loops.mark(), self.loops.mark() == Tables::default().mark());
        let event_loop: LoopNo = self.loops.add_loop(&LoopInfo {
            key,
            class: "asyncio.unix_events._UnixSelectorEventLoop".into(),
            thread: Some(4211),
            thread_name: Some("MainThread".into()),
        });
        let task: Option<TaskNo> = task.map(|(key, name)| self.loops.add_task(&Self::info(key, name)));
        let frames = [frame("run_forever"), frame("serve"), frame("read")];
        let stack: Option<StackId> = if phase == Phase::Away { self.loops.add_frames(&frames) } else { None };
        let sample = LoopSample {
            at_ns: at_ms * MS,
            event_loop,
            phase,
            away_since_ns: None,
            away_precision_ns: 1,
            callback: (phase == Phase::Away).then_some(at_ms / 50),
            task,
            stack,
            outer: 1,
            coroutines: 1,
            torn,
            moved: true,
            ready: Some(3),
            gil: Gil::Own,
            collecting: false,
            kernel: None,
            holder_stack: None,
        };
        let definitions = self.loops.since(mark);
        self.push(Source::Loops, is_new, definitions, Event::Loop(sample));
    }

    /// A look at all tasks: those that changed, and those that are no more.
    pub(crate) fn look(&mut self, at_ms: u64, changed: &[(u64, &str, TaskState)], ended: &[(u64, &str)]) {
        let mark = self.tasks.mark();
        let stack = self.tasks.add_frames(&[frame("serve"), frame("sleep")]);
        let look = |(key, name, state): &(u64, &str, TaskState)| {
            let task = self.tasks.add_task(&Self::info(*key, name));
            let wait = TaskWait { kind: WaitKind::Sleep, detail: Some("1 s".into()), tasks: vec![], held_by: vec![] };
            let wait = Some(wait).filter(|_| *state == TaskState::Waiting);
            TaskLook { task, born: true, state: *state, stack, torn: false, wait }
        };
        let changed: Vec<TaskLook> = changed.iter().map(look).collect();
        let ended: Vec<TaskNo> = ended.iter().map(|(key, name)| self.tasks.add_task(&Self::info(*key, name))).collect();
        let total = changed.len() as u32;
        let changes = TaskChanges {
            at_ns: at_ms * MS,
            took_ns: MS,
            changed,
            ended,
            total,
            complete: true,
            contexts: Some(0),
            timers: Vec::new(),
        };
        let definitions = self.tasks.since(mark);
        self.push(Source::Tasks, false, definitions, Event::Tasks(changes));
    }

    pub(crate) fn written(&self, begin: Begin) -> Written {
        let mut analysis = Analysis::new(header());
        let mut out = Vec::new();
        let mut exporter = begin(&header(), &mut out).unwrap();
        for batch in &self.batches {
            let alerts = analysis.absorb(batch).unwrap();
            exporter.take(&Step { batch, analysis: &analysis, alerts: &alerts }).unwrap();
        }
        let ongoing = analysis.finish();
        let left_out = exporter.finish(&End { analysis: &analysis, ongoing: &ongoing, complete: true }).unwrap();
        Written { text: String::from_utf8(out).unwrap(), left_out, analysis }
    }
}
