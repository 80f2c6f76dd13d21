//! Makes samples of event loops as a watch of a real process would: one each millisecond, by a program that is told what
//! its loops do.

use asyncprof::detect::stall::{Alert, Stall, StallDetector};
use asyncprof::model::event::{Doing, Gil, KernelLook, LoopSample, Note, NoteKind, Phase};
use asyncprof::model::snapshot::Frame;
use asyncprof::model::tables::{LoopInfo, LoopNo, StackId, Tables, TaskInfo, TaskNo};

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const THRESHOLD: u64 = 100 * MS;

pub(crate) fn frame(function: &str, file: &str, line: u32) -> Frame {
    Frame { function: function.into(), file: file.into(), line: Some(line) }
}

pub(crate) fn app(function: &str, line: u32) -> Frame {
    frame(function, "/app/main.py", line)
}

pub(crate) fn lib(function: &str, file: &str, line: u32) -> Frame {
    frame(function, &format!("/usr/lib/python3.12/{file}"), line)
}

/// In this system call.
pub(crate) fn call(name: &str, fd: Option<i32>) -> Doing {
    let number = name.bytes().map(u32::from).sum();
    Doing::Call { name: Some(name.into()), number, fd }
}

/// A watch of a process with any number of loops.
pub(crate) struct Watch {
    pub(crate) tables: Tables,
    pub(crate) detector: StallDetector,
    pub(crate) at_ns: u64,
    pub(crate) alerts: Vec<Alert>,
    /// Of the thread that is looked at.
    pub(crate) run_ns: u64,
    pub(crate) starved_ns: u64,
    pub(crate) throttled_us: u64,
    /// Of the thread that holds the GIL.
    pub(crate) holder_run_ns: Option<u64>,
    callback: u64,
}

impl Watch {
    pub(crate) fn new() -> Self {
        let mut detector = StallDetector::new(THRESHOLD);
        detector.set_rate(1_000.0);
        Self {
            tables: Tables::default(),
            detector,
            at_ns: 5_000 * MS,
            alerts: Vec::new(),
            run_ns: 7 * MS,
            starved_ns: 3 * MS,
            throttled_us: 1_000,
            holder_run_ns: None,
            callback: 0,
        }
    }

    pub(crate) fn event_loop(&mut self, key: u64) -> LoopNo {
        let class = "asyncio.unix_events._UnixSelectorEventLoop".into();
        self.tables.add_loop(&LoopInfo { key, class, thread: Some(key as i32), thread_name: Some("MainThread".into()) })
    }

    pub(crate) fn task(&mut self, name: &str) -> TaskNo {
        let key = name.bytes().fold(0, |sum, byte| sum * 31 + u64::from(byte));
        self.tables.add_task(&TaskInfo { key, name: Some(name.into()), coroutine: Some(app("handle", 1)) })
    }

    /// The machinery of two frames, then these.
    pub(crate) fn stack(&mut self, frames: &[Frame]) -> Option<StackId> {
        let machinery = [
            lib("BaseEventLoop._run_once", "asyncio/base_events.py", 1900),
            lib("Handle._run", "asyncio/events.py", 80),
        ];
        self.tables.add_frames(machinery.iter().chain(frames))
    }

    pub(crate) fn next_callback(&mut self) -> u64 {
        self.callback += 1;
        self.callback
    }

    /// A sample of the first loop in its selector.
    pub(crate) fn idle_sample(&mut self) -> LoopSample {
        LoopSample {
            at_ns: self.at_ns,
            event_loop: self.event_loop(1),
            phase: Phase::Selecting,
            away_since_ns: None,
            away_precision_ns: 0,
            callback: None,
            task: None,
            stack: None,
            outer: 0,
            coroutines: 0,
            torn: false,
            moved: false,
            ready: Some(0),
            gil: Gil::Free,
            collecting: false,
            kernel: None,
            holder_stack: None,
        }
    }

    /// One of a step of `Task-1` since `since_ns`.
    pub(crate) fn away_sample(&mut self, since_ns: u64, frames: &[Frame]) -> LoopSample {
        LoopSample {
            phase: Phase::Away,
            away_since_ns: Some(since_ns),
            callback: Some(self.callback),
            task: Some(self.task("Task-1")),
            stack: self.stack(frames),
            outer: 2,
            coroutines: 1,
            gil: Gil::Own,
            ..self.idle_sample()
        }
    }

    pub(crate) fn look(&self, doing: Doing) -> Option<KernelLook> {
        Some(KernelLook {
            doing,
            run_ns: Some(self.run_ns),
            starved_ns: Some(self.starved_ns),
            throttled_us: Some(self.throttled_us),
            holder_run_ns: self.holder_run_ns,
        })
    }

    pub(crate) fn feed(&mut self, sample: &LoopSample) {
        self.alerts.extend(self.detector.sample(sample, &self.tables));
    }

    pub(crate) fn pass(&mut self, ns: u64) {
        self.at_ns += ns;
    }

    /// Some milliseconds in the selector.
    pub(crate) fn idle(&mut self, ms: u64) {
        for _ in 0..ms {
            self.pass(MS);
            let sample = self.idle_sample();
            self.feed(&sample);
        }
    }

    /// An iteration of one callback, which begins half a millisecond from now. `change` makes of a sample what it shows.
    /// The samples end with the last inside; then half a millisecond passes.
    pub(crate) fn iteration(
        &mut self,
        ms: u64,
        frames: &[Frame],
        mut change: impl FnMut(&mut Self, u64, &mut LoopSample),
    ) {
        self.pass(MS / 2);
        let since_ns = self.at_ns;
        self.next_callback();
        self.pass(MS / 2);
        for index in 0..ms {
            let mut sample = self.away_sample(since_ns, frames);
            change(self, index, &mut sample);
            self.feed(&sample);
            self.pass(if index + 1 < ms { MS } else { MS / 2 });
        }
    }

    pub(crate) fn note(&mut self, kind: NoteKind) {
        let note = Note { at_ns: self.at_ns, kind, text: String::new() };
        self.alerts.extend(self.detector.note(&note, &self.tables));
    }

    pub(crate) fn ended(&self) -> Vec<&Stall> {
        (self.alerts.iter())
            .filter_map(|alert| match alert {
                Alert::Ended(stall) => Some(stall),
                Alert::Began(_) | Alert::Continues(_) => None,
            })
            .collect()
    }

    /// The one stall that there was, once it is over.
    pub(crate) fn only_stall(&mut self) -> Stall {
        self.idle(5);
        let ended = self.ended();
        assert_eq!(ended.len(), 1, "{ended:#?}");
        ended[0].clone()
    }
}
