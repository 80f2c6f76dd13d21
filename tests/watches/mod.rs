//! Watches that are made up, event by event, for what counts, judges and shows them.
#![allow(dead_code, reason = "each test program uses its part")]

pub(crate) mod story;

use std::sync::Arc;

use asyncprof::model::event::{
    Doing, Event, Gil, Header, KernelLook, LoopSample, Phase, Source, TaskChanges, TaskLook, TaskWait,
};
use asyncprof::model::snapshot::{Frame, TaskState, WaitKind};
use asyncprof::model::tables::{LoopInfo, StackId, Tables, TaskInfo, TaskNo};
use asyncprof::profile::{Folding, Profile};

/// Nanoseconds in a millisecond.
pub(crate) const MS: u64 = 1_000_000;

/// A profile and the tables of the events it is given; one source for both tiers.
pub(crate) struct Watch {
    pub(crate) profile: Profile,
    pub(crate) tables: Tables,
    stopped: bool,
    /// Of the loop that the next samples are of, one in each thread.
    pub(crate) thread: (i32, Arc<str>),
}

/// What a watch of a small program begins with.
pub(crate) fn header() -> Header {
    Header {
        pid: 4211,
        python: "3.13.1".into(),
        free_threaded: false,
        executable: "/usr/bin/python3.13".into(),
        command: vec!["python3".into(), "app.py".into()],
        started_at: "2026-01-02T03:04:05Z".into(),
        started_ns: 0,
        loop_rate_hz: 1_000.0,
        task_rate_hz: 10.0,
        stall_threshold_ns: 100 * MS,
        cpu_budget: 0.05,
        blocking: false,
        asyncprof: "0.1.0".into(),
        machine: vec![("cores".into(), "2".into())],
    }
}

/// `function` in a file of its own name's first word, where it begins.
pub(crate) fn frame(function: &str) -> Frame {
    let line = function.bytes().fold(7, |sum: u32, byte| (sum * 31 + u32::from(byte)) % 90) + 10;
    Frame { function: function.into(), file: "/app/main.py".into(), line: Some(line) }
}

impl Watch {
    pub(crate) fn new(folding: impl Into<Folding>) -> Self {
        let profile = Profile::new(&header(), folding.into());
        Self { profile, tables: Tables::default(), stopped: false, thread: (4211, "MainThread".into()) }
    }

    pub(crate) fn task(&mut self, key: u64, name: &str, coroutine: &str) -> TaskNo {
        let info = TaskInfo { key, name: Some(name.into()), coroutine: Some(frame(coroutine)) };
        self.tables.add_task(&info)
    }

    pub(crate) fn stack(&mut self, functions: &[&str]) -> Option<StackId> {
        let frames: Vec<Frame> = functions.iter().map(|function| frame(function)).collect();
        self.tables.add_frames(&frames)
    }

    pub(crate) fn selects(&mut self, at_ns: u64) {
        self.sample(at_ns, Phase::Selecting, None, &[]);
    }

    pub(crate) fn runs(&mut self, at_ns: u64, task: Option<TaskNo>, functions: &[&str]) {
        self.sample(at_ns, Phase::Away, task, functions);
    }

    /// The process is stopped in the middle of something.
    pub(crate) fn is_stopped(&mut self, at_ns: u64) {
        self.stopped = true;
        self.sample(at_ns, Phase::Away, None, &["main"]);
        self.stopped = false;
    }

    pub(crate) fn sample(&mut self, at_ns: u64, phase: Phase, task: Option<TaskNo>, functions: &[&str]) {
        let event_loop = LoopInfo {
            key: self.thread.0 as u64,
            class: "asyncio.unix_events._UnixSelectorEventLoop".into(),
            thread: Some(self.thread.0),
            thread_name: Some(self.thread.1.clone()),
        };
        let event_loop = self.tables.add_loop(&event_loop);
        let stack = match functions {
            [] => None,
            functions => self.stack(&[&["run_forever", "_run_once"], functions].concat()),
        };
        let sample = LoopSample {
            at_ns,
            event_loop,
            phase,
            away_since_ns: None,
            away_precision_ns: 1,
            callback: None,
            task,
            stack,
            outer: 2,
            coroutines: u16::from(task.is_some()),
            torn: false,
            moved: true,
            ready: Some(0),
            gil: Gil::Own,
            collecting: false,
            kernel: self.stopped.then_some(KernelLook::of(Doing::Stopped)),
            holder_stack: None,
        };
        self.profile.absorb(Source::Loops, &Event::Loop(sample), &self.tables);
    }

    /// A look at the tasks, which says what `tell` tells.
    pub(crate) fn look(&mut self, at_ns: u64, tell: impl FnOnce(&mut Look<'_>)) {
        self.look_at(at_ns, None, tell);
    }

    /// A look at tasks that look as before, after some have run; these have other timers than before.
    pub(crate) fn busy_look(&mut self, at_ns: u64, timers: &[(TaskNo, u64)]) {
        let changes = TaskChanges {
            at_ns,
            took_ns: MS,
            changed: Vec::new(),
            ended: Vec::new(),
            total: 0,
            complete: true,
            contexts: Some(4),
            timers: timers.to_vec(),
        };
        self.profile.absorb(Source::Tasks, &Event::Tasks(changes), &self.tables);
    }

    /// The same, where `total` tasks are there in all.
    pub(crate) fn look_at(&mut self, at_ns: u64, total: Option<u32>, tell: impl FnOnce(&mut Look<'_>)) {
        let mut look = Look { tables: &mut self.tables, changed: Vec::new(), ended: Vec::new(), born: Vec::new() };
        tell(&mut look);
        let (mut changed, ended, born) = (look.changed, look.ended, look.born);
        for look in &mut changed {
            look.born = born.contains(&look.task);
        }
        let total = total.unwrap_or(changed.len() as u32);
        let changes = TaskChanges {
            at_ns,
            took_ns: MS,
            changed,
            ended,
            total,
            complete: true,
            contexts: Some(0),
            timers: Vec::new(),
        };
        self.profile.absorb(Source::Tasks, &Event::Tasks(changes), &self.tables);
    }
}

/// A look in the making.
pub(crate) struct Look<'w> {
    tables: &'w mut Tables,
    changed: Vec<TaskLook>,
    ended: Vec<TaskNo>,
    born: Vec<TaskNo>,
}

impl Look<'_> {
    pub(crate) fn ends(&mut self, task: TaskNo) {
        self.ended.push(task);
    }

    pub(crate) fn born(&mut self, task: TaskNo, born: bool) {
        if born {
            self.born.push(task);
        }
    }

    pub(crate) fn is(&mut self, task: TaskNo, state: TaskState) {
        self.changed.push(TaskLook { task, born: false, state, stack: None, torn: false, wait: None });
    }

    pub(crate) fn waits(&mut self, task: TaskNo, functions: &[&str], kind: WaitKind, tasks: &[TaskNo]) {
        let frames: Vec<Frame> = functions.iter().map(|function| frame(function)).collect();
        let wait = TaskWait { kind, detail: None, tasks: tasks.to_vec(), held_by: Vec::new() };
        self.changed.push(TaskLook {
            task,
            born: false,
            state: TaskState::Waiting,
            stack: self.tables.add_frames(&frames),
            torn: false,
            wait: Some(wait),
        });
    }
}
