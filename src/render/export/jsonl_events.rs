//! The events of `asyncprof.events/1`, with all names spelled out, so that each line can be read independently.

use serde::Serialize;

use crate::model::event::{Doing, Gil, Header, Health, KernelLook, LoopSample, Phase, TaskChanges, TaskLook};
use crate::model::tables::{StackId, Tables, TaskNo};
use crate::render::key::Key;
use crate::render::object::object;
use crate::render::{shared, wait_words};

/// The format's name and version; fields may be added in this version, but never changed.
const SCHEMA: &str = "asyncprof.events/1";

pub(super) fn header(header: &Header) -> impl Serialize {
    object! {
        r#type: "header",
        #[serde(flatten)]
        header: shared::header(SCHEMA, header),
        loop_rate_hz: header.loop_rate_hz,
        task_rate_hz: header.task_rate_hz,
        stall_threshold_ns: header.stall_threshold_ns,
        cpu_budget: header.cpu_budget,
        blocking: header.blocking,
    }
}

fn task(number: TaskNo, tables: &Tables) -> Option<impl Serialize> {
    let info = tables.task(number)?;
    let coroutine = info.coroutine.as_ref().map(|frame| shared::frame(Some(frame)));
    Some(object! { id: Key(info.key), name: info.name.as_deref(), coroutine })
}

fn tasks(numbers: &[TaskNo], tables: &Tables) -> Vec<impl Serialize> {
    numbers.iter().filter_map(|&number| task(number, tables)).collect()
}

fn frames(stack: Option<StackId>, tables: &Tables) -> Option<Vec<impl Serialize>> {
    stack.map(|stack| shared::frames(tables.frames_outermost_first(stack)))
}

pub(super) fn loop_sample(sample: &LoopSample, tables: &Tables) -> impl Serialize {
    let (gil, gil_thread) = match sample.gil {
        Gil::Free => ("free", None),
        Gil::Own => ("own", None),
        Gil::Other(thread) => ("other", thread),
        Gil::None => ("none", None),
        Gil::Unknown => ("unknown", None),
    };
    object! {
        r#type: "loop",
        at_ns: sample.at_ns,
        r#loop: tables.event_loop(sample.event_loop).map(shared::loop_id),
        phase: match sample.phase {
            Phase::Selecting => "selecting",
            Phase::Away => "away",
            Phase::LeavingSelector => "leaving_selector",
            Phase::NotRunning => "not_running",
            Phase::Parked => "parked",
            Phase::Unknown => "unknown",
        },
        away_since_ns: sample.away_since_ns,
        callback: sample.callback,
        task: sample.task.and_then(|number| task(number, tables)),
        stack: frames(sample.stack, tables),
        outer: sample.outer,
        coroutines: sample.coroutines,
        torn: sample.torn,
        moved: sample.moved,
        ready: sample.ready,
        gil,
        gil_thread,
        collecting: sample.collecting,
        kernel: sample.kernel.as_ref().map(kernel),
        holder_stack: frames(sample.holder_stack, tables),
    }
}

fn kernel(look: &KernelLook) -> impl Serialize {
    let (doing, call, call_number, fd) = match &look.doing {
        Doing::Running => ("running", None, None, None),
        Doing::Call { name, number, fd } => ("call", name.as_deref(), Some(*number), *fd),
        Doing::WaitingForGil => ("waiting_for_gil", None, None, None),
        Doing::Fault => ("fault", None, None, None),
        Doing::Stopped => ("stopped", None, None, None),
        Doing::Unknown => ("unknown", None, None, None),
    };
    let KernelLook { run_ns, starved_ns, throttled_us, holder_run_ns, .. } = *look;
    object! { doing, call, call_number, fd, run_ns, starved_ns, throttled_us, holder_run_ns }
}

pub(super) fn task_changes(changes: &TaskChanges, tables: &Tables) -> impl Serialize {
    object! {
        r#type: "tasks",
        at_ns: changes.at_ns,
        took_ns: changes.took_ns,
        total: changes.total,
        complete: changes.complete,
        changed: changes.changed.iter().map(|look| task_look(look, tables)).collect::<Vec<_>>(),
        ended: tasks(&changes.ended, tables),
    }
}

fn task_look(look: &TaskLook, tables: &Tables) -> impl Serialize {
    let wait = look.wait.as_ref().map(|wait| {
        object! {
            kind: wait.kind.as_str(),
            detail: wait.detail.as_ref().map(wait_words::detail),
            tasks: tasks(&wait.tasks, tables),
            held_by: tasks(&wait.held_by, tables),
        }
    });
    object! {
        task: task(look.task, tables),
        born: look.born,
        state: look.state.as_str(),
        stack: frames(look.stack, tables),
        torn: look.torn,
        wait,
    }
}

pub(super) fn health(health: &Health) -> impl Serialize {
    object! {
        r#type: "health",
        at_ns: health.at_ns,
        loop_samples: health.loop_samples,
        task_snapshots: health.task_snapshots,
        dropped: health.dropped,
        lost: health.lost,
        torn: health.torn,
        partial: health.partial,
        late: health.late,
        cpu_ns: health.cpu_ns,
        loop_rate_hz: health.loop_rate_hz,
        task_rate_hz: health.task_rate_hz,
        lowered_rate: health.lowered_rate,
        longest_gap_ns: health.longest_gap_ns,
        stops: shared::stops(health.stops),
    }
}
