//! Hand-made snapshots, for tests of findings and renderers.
#![allow(dead_code, reason = "each test program uses its own part")]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use asyncprof::model::Snapshot;
use asyncprof::model::snapshot::*;

/// An empty snapshot of a program that uses asyncio.
pub(crate) fn empty() -> Snapshot {
    Snapshot {
        pid: 4211,
        python: Python {
            version: "3.12.1".into(),
            free_threaded: false,
            executable: "/usr/bin/python3.12".into(),
            tested: true,
            asyncio_loaded: true,
        },
        taken_at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_760_000_000_123),
        elapsed_us: 1_234.5,
        stop: None,
        unread_tasks: 0,
        halt: None,
        kernel_threads: 2,
        consistent: true,
        reading: Reading { calls: 21, pieces: 433, bytes: 215_040, torn: 0, dropped: 0 },
        frames: Vec::new(),
        threads: Vec::new(),
        loops: Vec::new(),
        tasks: Vec::new(),
        gaps: Vec::new(),
        pools: Vec::new(),
        results: Vec::new(),
    }
}

/// A snapshot under construction.
pub(crate) struct Sample(pub(crate) Snapshot);

impl Sample {
    /// An idle event loop in the main thread.
    pub(crate) fn new() -> Self {
        let mut snapshot = empty();
        snapshot.threads.push(Thread {
            native_id: Some(4211),
            name: Some("MainThread".into()),
            interpreter: 0,
            holds_gil: Some(false),
            state: ThreadState::Idle,
            collecting_garbage: Some(false),
            waits_behind: None,
            lock_holder: None,
            asleep_on_lock_ms: None,
            is_daemon: None,
            stack: Vec::new(),
            stack_end: None,
        });
        snapshot.loops.push(EventLoop {
            key: 0x7f00_0000_1000,
            class: "asyncio.unix_events._UnixSelectorEventLoop".into(),
            thread: Some(4211),
            running: Some(true),
            position: LoopPosition::Callback,
            running_task: None,
            ready: Some(0),
            asleep_beside_ready_ms: None,
            scheduled: Some(2),
        });
        Self(snapshot)
    }

    /// The id of a frame; equal frames share an id.
    pub(crate) fn frame(&mut self, function: &str, file: &str, line: u32) -> FrameId {
        let frame = Frame { function: Arc::from(function), file: Arc::from(file), line: Some(line) };
        let known = self.0.frames.iter().position(|other| *other == frame);
        let index = known.unwrap_or_else(|| {
            self.0.frames.push(frame);
            self.0.frames.len() - 1
        });
        FrameId(index as u32)
    }

    /// Adds a task suspended in these functions of `/app/main.py`.
    pub(crate) fn task(&mut self, name: &str, functions: &[(&str, u32)]) -> TaskId {
        let stack: Vec<FrameId> =
            functions.iter().map(|(function, line)| self.frame(function, "/app/main.py", *line)).collect();
        let id = TaskId(self.0.tasks.len() as u32);
        self.0.tasks.push(Task {
            key: 0x7f00_0010_0000 + u64::from(id.0) * 0x100,
            name: Some(name.into()),
            class: None,
            state: TaskState::Waiting,
            event_loop: Some(LoopId(0)),
            coroutines: stack.len() as u32,
            stack,
            stack_end: None,
            awaiting: Some(Awaiting {
                kind: WaitKind::Future,
                detail: None,
                tasks: Vec::new(),
                held_by: Vec::new(),
                resource: None,
                has_moved: false,
                thread: None,
                queued_in: None,
                starts_on: None,
            }),
            awaited_by: Vec::new(),
            parent: None,
            orphaned: Some(false),
            serves_connection: false,
            references: Some(1),
            unretrieved_exception: None,
            cancel_requests: 0,
            cancellation: None,
            still_ms: None,
            age_ms_at_least: None,
        });
        id
    }

    pub(crate) fn edit(&mut self, id: TaskId) -> &mut Task {
        &mut self.0.tasks[id.0 as usize]
    }

    /// Makes a task wait for something that is not a task.
    pub(crate) fn waits(&mut self, id: TaskId, kind: WaitKind, detail: Option<&str>) {
        self.edit(id).awaiting = Some(Awaiting {
            kind,
            detail: detail.map(Into::into),
            tasks: Vec::new(),
            held_by: Vec::new(),
            resource: None,
            has_moved: false,
            thread: None,
            queued_in: None,
            starts_on: None,
        });
    }

    /// Makes a task await other tasks.
    pub(crate) fn awaits(&mut self, id: TaskId, kind: WaitKind, tasks: &[TaskId]) {
        self.waits(id, kind, None);
        for &task in tasks {
            self.edit(task).awaited_by.push(id);
        }
        if let Some(awaiting) = &mut self.edit(id).awaiting {
            awaiting.tasks = tasks.to_vec();
        }
    }

    /// Makes a task wait for a lock of this kind that other tasks hold.
    pub(crate) fn wants(&mut self, id: TaskId, kind: WaitKind, held_by: &[TaskId]) {
        self.waits(id, kind, None);
        if let Some(awaiting) = &mut self.edit(id).awaiting {
            awaiting.held_by = held_by.to_vec();
        }
    }

    /// Makes a task the running one, with its thread in this state.
    pub(crate) fn runs(&mut self, id: TaskId, state: ThreadState) {
        self.edit(id).state = TaskState::Running;
        self.edit(id).awaiting = None;
        self.0.loops[0].running_task = Some(id);
        self.0.threads[0].state = state;
        self.0.threads[0].holds_gil = Some(true);
    }
}

/// Some of everything: a blocked loop, a gather, a lock with a waiter, an orphan, a failed task, a worker thread.
pub(crate) fn small() -> Snapshot {
    let mut sample = Sample::new();
    let main = sample.task("Task-1", &[("main", 88)]);
    let workers =
        [2, 3, 4].map(|number| sample.task(&format!("Task-{number}"), &[("crawl", 30), ("Client.fetch", 12)]));
    sample.awaits(main, WaitKind::Gather, &workers);
    for worker in workers {
        sample.waits(worker, WaitKind::Socket, Some(&format!("fd {}", 7 + worker.0)));
    }
    let holder = sample.task("holder", &[("hold", 40)]);
    sample.waits(holder, WaitKind::Sleep, Some("30 s"));
    let waiter = sample.task("waiter", &[("update", 47)]);
    let acquire = sample.frame("Lock.acquire", "/usr/lib/python3.12/asyncio/locks.py", 113);
    sample.edit(waiter).stack.push(acquire);
    sample.wants(waiter, WaitKind::Lock, &[holder]);
    let orphan = sample.task("Task-9", &[("refresh_cache", 55)]);
    sample.waits(orphan, WaitKind::Sleep, Some("5 s"));
    sample.edit(orphan).orphaned = Some(true);
    sample.edit(orphan).references = Some(0);
    let failed = sample.task("Task-10", &[]);
    sample.edit(failed).state = TaskState::Done;
    sample.edit(failed).awaiting = None;
    sample.edit(failed).unretrieved_exception = Some("ValueError: no such user".into());
    let cancelling = sample.task("closer", &[("close", 70)]);
    sample.edit(cancelling).state = TaskState::Cancelling;
    sample.edit(cancelling).cancel_requests = 2;
    sample.waits(cancelling, WaitKind::Subprocess, Some("process 4300"));
    let reader = sample.task("rows", &[("read_rows", 61)]);
    sample.edit(reader).class = Some("app.TracedTask".into());
    sample.edit(reader).stack_end = Some(StackEnd::Opaque("asyncpg.protocol.Protocol".into()));
    sample.edit(reader).awaiting = None;
    sample.edit(reader).orphaned = None;
    let blocker = sample.task("Task-12", &[("handle", 20), ("render", 24)]);
    sample.runs(blocker, ThreadState::Syscall("clock_nanosleep".into()));
    sample.0.loops[0].ready = Some(240);
    let pool = [
        sample.frame("Thread._bootstrap", "/usr/lib/python3.12/threading.py", 1030),
        sample.frame("load_report", "/app/report.py", 9),
    ];
    sample.0.threads.push(Thread {
        native_id: Some(4215),
        name: Some("asyncio_0".into()),
        interpreter: 0,
        holds_gil: Some(false),
        state: ThreadState::Syscall("read".into()),
        collecting_garbage: Some(false),
        waits_behind: None,
        lock_holder: None,
        asleep_on_lock_ms: None,
        is_daemon: None,
        stack: pool.to_vec(),
        stack_end: None,
    });
    sample.0.gaps.push(Gap { what: "timers of the event loop".into(), why: "changed while being read".into() });
    sample.0.reading.torn = 3;
    sample.0.reading.dropped = 1;
    sample.0
}

/// A deadlock of two locks, a cycle of three awaits, and a task that awaits a member of the deadlock.
pub(crate) fn cycle() -> Snapshot {
    let mut sample = Sample::new();
    let left = sample.task("Task-3", &[("transfer", 10), ("debit", 20)]);
    let right = sample.task("Task-5", &[("transfer", 10), ("credit", 30)]);
    sample.wants(left, WaitKind::Lock, &[right]);
    sample.wants(right, WaitKind::Lock, &[left]);
    let behind = sample.task("Task-6", &[("report", 50)]);
    sample.awaits(behind, WaitKind::Task, &[left]);
    let a = sample.task("a", &[("ping", 60)]);
    let b = sample.task("b", &[("pong", 70)]);
    let c = sample.task("c", &[("pang", 80)]);
    sample.awaits(a, WaitKind::Task, &[b]);
    sample.awaits(b, WaitKind::Shield, &[c]);
    sample.awaits(c, WaitKind::Gather, &[a]);
    sample.0
}

/// Two tasks that await the same third task, which awaits a fourth.
pub(crate) fn fan_in() -> Snapshot {
    let mut sample = Sample::new();
    let first = sample.task("first", &[("handler", 10)]);
    let second = sample.task("second", &[("handler", 10)]);
    let shared = sample.task("shared", &[("load", 20)]);
    let leaf = sample.task("leaf", &[("query", 30)]);
    sample.awaits(first, WaitKind::Task, &[shared]);
    sample.awaits(second, WaitKind::Shield, &[shared]);
    sample.awaits(shared, WaitKind::Gather, &[leaf]);
    sample.waits(leaf, WaitKind::Executor, Some("thread asyncio_0"));
    sample.0
}

/// Hostile names: escape sequences, markup, control and bidirectional characters.
pub(crate) fn hostile() -> Snapshot {
    let mut sample = Sample::new();
    let names = [
        "\u{1b}[2J\u{1b}[31mowned",
        "line\nbreak\ttab\rreturn",
        "\u{202e}txt.exe\u{2066}",
        "quote\" back\\slash; semi",
        "<script>alert(1)</script> & {x|y}",
        "",
    ];
    for name in names {
        sample.task(name, &[]);
    }
    let long = "x".repeat(500);
    let long = sample.task(&long, &[]);
    let frame = sample.frame("f\u{1b}]0;title\u{7}", "/app/\u{200b}dir;a/\"q\"\n.py", 3);
    sample.edit(long).stack = vec![frame];
    sample.edit(long).unretrieved_exception = Some("Error: \u{9b}31m\u{7f}".into());
    sample.edit(long).state = TaskState::Done;
    sample.edit(long).awaiting = None;
    sample.edit(TaskId(0)).orphaned = Some(true);
    sample.0.python.executable = "/tmp/\u{1b}[7m/python".into();
    sample.0.loops[0].class = "evil.\u{1b}cLoop".into();
    sample.0.threads[0].name = Some("\u{8}\u{8}main".into());
    sample.0.gaps.push(Gap { what: "\u{1b}[0m".into(), why: "\u{2028}".into() });
    sample.0
}

/// A task that gathers `count` others, each eight coroutines deep.
pub(crate) fn many(count: u32) -> Snapshot {
    let mut sample = Sample::new();
    let main = sample.task("main", &[("main", 5)]);
    let levels: Vec<(String, u32)> = (0..8).map(|level| (format!("level_{level}"), 100 + level)).collect();
    let levels: Vec<(&str, u32)> = levels.iter().map(|(name, line)| (name.as_str(), *line)).collect();
    let workers: Vec<TaskId> = (0..count).map(|number| sample.task(&format!("Task-{}", number + 2), &levels)).collect();
    for &worker in &workers {
        sample.waits(worker, WaitKind::Sleep, None);
    }
    sample.awaits(main, WaitKind::Gather, &workers);
    sample.0
}

/// A chain of `count` tasks, each of which awaits the next.
pub(crate) fn chain(count: u32) -> Snapshot {
    let mut sample = Sample::new();
    let links: Vec<TaskId> = (0..count).map(|number| sample.task(&format!("Task-{number}"), &[("link", 7)])).collect();
    for pair in links.windows(2) {
        sample.awaits(pair[0], WaitKind::Task, &[pair[1]]);
    }
    sample.0
}
