//! The events of `asyncprof.events/1`, with all names spelled out, so that each line can be read independently.

use std::borrow::Cow;

use serde::Serialize;

use crate::model::event::{Doing, Gil, Header, Health, KernelLook, LoopSample, Phase, TaskChanges, TaskLook};
use crate::model::tables::{StackId, Tables, TaskNo};
use crate::render::key::Key;
use crate::render::shared::frame::FrameJson;
use crate::render::shared::header::HeaderJson;
use crate::render::shared::loop_id::LoopIdJson;
use crate::render::wait_words;

/// The format's name and version; fields may be added in this version, but never changed.
const SCHEMA: &str = "asyncprof.events/1";

#[derive(Serialize)]
pub(super) struct HeaderLine<'a> {
    #[serde(flatten)]
    header: HeaderJson<'a>,
    loop_rate_hz: f64,
    task_rate_hz: f64,
    stall_threshold_ns: u64,
    cpu_budget: f64,
    blocking: bool,
}

impl<'a> HeaderLine<'a> {
    pub(super) fn of(header: &'a Header) -> Self {
        Self {
            header: HeaderJson::of(SCHEMA, header),
            loop_rate_hz: header.loop_rate_hz,
            task_rate_hz: header.task_rate_hz,
            stall_threshold_ns: header.stall_threshold_ns,
            cpu_budget: header.cpu_budget,
            blocking: header.blocking,
        }
    }
}

#[derive(Serialize)]
struct TaskJson<'a> {
    id: Key,
    name: Option<&'a str>,
    coroutine: Option<FrameJson<'a>>,
}

impl<'a> TaskJson<'a> {
    fn of(number: TaskNo, tables: &'a Tables) -> Option<Self> {
        let info = tables.task(number)?;
        let coroutine = info.coroutine.as_ref().map(|frame| FrameJson::of(Some(frame)));
        Some(Self { id: Key(info.key), name: info.name.as_deref(), coroutine })
    }

    fn list(numbers: &[TaskNo], tables: &'a Tables) -> Vec<Self> {
        numbers.iter().filter_map(|&number| Self::of(number, tables)).collect()
    }
}

fn frames(stack: Option<StackId>, tables: &Tables) -> Option<Vec<FrameJson<'_>>> {
    stack.map(|stack| FrameJson::list(tables.frames_outermost_first(stack)))
}

#[derive(Serialize)]
pub(super) struct LoopLine<'a> {
    at_ns: u64,
    #[serde(rename = "loop")]
    event_loop: Option<LoopIdJson<'a>>,
    phase: &'static str,
    away_since_ns: Option<u64>,
    callback: Option<u64>,
    task: Option<TaskJson<'a>>,
    stack: Option<Vec<FrameJson<'a>>>,
    outer: u16,
    coroutines: u16,
    torn: bool,
    moved: bool,
    ready: Option<u32>,
    gil: &'static str,
    gil_thread: Option<i32>,
    collecting: bool,
    kernel: Option<KernelJson<'a>>,
    holder_stack: Option<Vec<FrameJson<'a>>>,
}

impl<'a> LoopLine<'a> {
    pub(super) fn of(sample: &'a LoopSample, tables: &'a Tables) -> Self {
        let (gil, gil_thread) = match sample.gil {
            Gil::Free => ("free", None),
            Gil::Own => ("own", None),
            Gil::Other(thread) => ("other", thread),
            Gil::None => ("none", None),
            Gil::Unknown => ("unknown", None),
        };
        Self {
            at_ns: sample.at_ns,
            event_loop: tables.event_loop(sample.event_loop).map(LoopIdJson::of),
            phase: match sample.phase {
                Phase::Selecting => "selecting",
                Phase::Away => "away",
                Phase::LeavingSelector => "leaving_selector",
                Phase::NotRunning => "not_running",
                Phase::Unknown => "unknown",
            },
            away_since_ns: sample.away_since_ns,
            callback: sample.callback,
            task: sample.task.and_then(|task| TaskJson::of(task, tables)),
            stack: frames(sample.stack, tables),
            outer: sample.outer,
            coroutines: sample.coroutines,
            torn: sample.torn,
            moved: sample.moved,
            ready: sample.ready,
            gil,
            gil_thread,
            collecting: sample.collecting,
            kernel: sample.kernel.as_ref().map(KernelJson::of),
            holder_stack: frames(sample.holder_stack, tables),
        }
    }
}

#[derive(Serialize)]
struct KernelJson<'a> {
    doing: &'static str,
    call: Option<&'a str>,
    call_number: Option<u32>,
    fd: Option<i32>,
    run_ns: Option<u64>,
    starved_ns: Option<u64>,
    throttled_us: Option<u64>,
}

impl<'a> KernelJson<'a> {
    fn of(look: &'a KernelLook) -> Self {
        let (doing, call, call_number, fd) = match &look.doing {
            Doing::Running => ("running", None, None, None),
            Doing::Call { name, number, fd } => ("call", name.as_deref(), Some(*number), *fd),
            Doing::WaitingForGil => ("waiting_for_gil", None, None, None),
            Doing::Fault => ("fault", None, None, None),
            Doing::Stopped => ("stopped", None, None, None),
            Doing::Unknown => ("unknown", None, None, None),
        };
        let KernelLook { run_ns, starved_ns, throttled_us, .. } = *look;
        Self { doing, call, call_number, fd, run_ns, starved_ns, throttled_us }
    }
}

#[derive(Serialize)]
pub(super) struct TasksLine<'a> {
    at_ns: u64,
    took_ns: u64,
    total: u32,
    complete: bool,
    changed: Vec<LookJson<'a>>,
    ended: Vec<TaskJson<'a>>,
}

impl<'a> TasksLine<'a> {
    pub(super) fn of(changes: &'a TaskChanges, tables: &'a Tables) -> Self {
        Self {
            at_ns: changes.at_ns,
            took_ns: changes.took_ns,
            total: changes.total,
            complete: changes.complete,
            changed: changes.changed.iter().map(|look| LookJson::of(look, tables)).collect(),
            ended: TaskJson::list(&changes.ended, tables),
        }
    }
}

#[derive(Serialize)]
struct LookJson<'a> {
    task: Option<TaskJson<'a>>,
    born: bool,
    state: &'static str,
    stack: Option<Vec<FrameJson<'a>>>,
    torn: bool,
    wait: Option<WaitJson<'a>>,
}

#[derive(Serialize)]
struct WaitJson<'a> {
    kind: &'static str,
    detail: Option<Cow<'a, str>>,
    tasks: Vec<TaskJson<'a>>,
    held_by: Vec<TaskJson<'a>>,
}

impl<'a> LookJson<'a> {
    fn of(look: &'a TaskLook, tables: &'a Tables) -> Self {
        let wait = look.wait.as_ref().map(|wait| WaitJson {
            kind: wait.kind.as_str(),
            detail: wait.detail.as_ref().map(wait_words::detail),
            tasks: TaskJson::list(&wait.tasks, tables),
            held_by: TaskJson::list(&wait.held_by, tables),
        });
        Self {
            task: TaskJson::of(look.task, tables),
            born: look.born,
            state: look.state.as_str(),
            stack: frames(look.stack, tables),
            torn: look.torn,
            wait,
        }
    }
}

#[derive(Serialize)]
pub(super) struct HealthLine {
    at_ns: u64,
    loop_samples: u64,
    task_snapshots: u64,
    dropped: u64,
    lost: u64,
    torn: u64,
    partial: u64,
    late: u64,
    cpu_ns: u64,
    loop_rate_hz: f64,
    task_rate_hz: f64,
    lowered_rate: bool,
    longest_gap_ns: u64,
}

impl HealthLine {
    pub(super) fn of(health: &Health) -> Self {
        let Health { at_ns, loop_samples, task_snapshots, dropped, lost, torn, partial, late, cpu_ns, .. } = *health;
        let Health { loop_rate_hz, task_rate_hz, lowered_rate, longest_gap_ns, .. } = *health;
        Self {
            at_ns,
            loop_samples,
            task_snapshots,
            dropped,
            lost,
            torn,
            partial,
            late,
            cpu_ns,
            loop_rate_hz,
            task_rate_hz,
            lowered_rate,
            longest_gap_ns,
        }
    }
}
