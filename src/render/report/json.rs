//! `asyncprof.report/1`: the results of a watch, in machine-readable form. Its types belong to the format; the model
//! can change without it.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use super::contents::{Activity, Report, frames_of, rate};
use crate::detect::stall::Stall;
use crate::model::snapshot::Frame;
use crate::profile::{CoroutineProfile, Label, Lag, LoopProfile, WaitProfile, Weighted};
use crate::render::key::Key;
use crate::render::object::{object, write_line};
use crate::render::{shared, wait_words};

/// The format's name and version; fields may be added in this version, but never changed.
pub(super) const SCHEMA: &str = "asyncprof.report/1";

/// Maximum stacks written per coroutine, heaviest first.
const STACKS: usize = 20;

/// Writes the report as one line of JSON.
pub fn write(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    let (analysis, header) = (report.analysis, report.analysis.header());
    let (coroutines, waits, runs) = (report.hottest(), report.profile().waits(), report.profile().runs());
    let activity = Activity::of(&waits, &runs);
    let report = object! {
        #[serde(flatten)]
        header: shared::header(SCHEMA, header),
        duration_s: (analysis.duration_ns() as f64 / 1e6).round() / 1e3,
        complete: report.complete,
        sampling: sampling(report),
        loops: report.profile().loops().iter().map(event_loop).collect::<Vec<_>>(),
        stall_threshold_ms: ms(header.stall_threshold_ns),
        stall_totals: stall_totals(report),
        stalls: analysis.stalls().worst_first().into_iter().map(stall).collect::<Vec<_>>(),
        tasks: coroutines.iter().map(|one| tasks(one, &activity)).collect::<Vec<_>>(),
        findings: analysis.findings().iter().map(shared::found).collect::<Vec<_>>(),
        notes: analysis.notes().iter().map(shared::note).collect::<Vec<_>>(),
        notes_left_out: analysis.notes_left_out(),
    };
    write_line(&report, out)
}

fn sampling(report: &Report<'_>) -> impl Serialize {
    let (health, header) = (report.health(), report.analysis.header());
    object! {
        loop_samples: health.loop_samples,
        loop_rate_hz: rounded(report.loop_rate_hz()),
        loop_rate_asked_hz: header.loop_rate_hz,
        task_snapshots: health.task_snapshots,
        task_rate_hz: rounded(report.task_rate_hz()),
        task_rate_asked_hz: header.task_rate_hz,
        dropped: health.dropped + health.lost,
        torn: health.torn,
        partial: health.partial,
        late: health.late,
        cpu_percent: rounded(report.cpu_percent()),
        cpu_budget_percent: 100.0 * header.cpu_budget,
        lowered_rate: health.lowered_rate,
        shortest_stall_ms: ms(report.shortest_stall_ns()),
        blocking: header.blocking,
        stops: header.blocking.then(|| shared::stops(health.stops)),
        // Whether the watch has reported its health; if not, all fields except the samples are zero because they are
        // unknown.
        known: report.analysis.health().is_some(),
    }
}

fn event_loop(one: &LoopProfile) -> impl Serialize {
    object! {
        #[serde(flatten)]
        id: shared::loop_id(&one.info),
        samples: one.samples,
        rate_hz: rounded(rate(one.samples.saturating_sub(1), one.watched_ns())),
        busy_percent: one.busy_share().map(|share| rounded(100.0 * share)),
        waiting_for_gil_percent: one.gil_share().map(|share| rounded(100.0 * share)),
        parked_percent: (one.parked_ns > 0).then(|| rounded(100.0 * one.parked_ns as f64 / one.watched_ns().max(1) as f64)),
        lag_ms: one.lag().map(|Lag { p50_ns, p90_ns, p99_ns, max_ns }| {
            object! { p50: ms(p50_ns), p90: ms(p90_ns), p99: ms(p99_ns), max: ms(max_ns) }
        }),
        iterations_seen: one.iterations,
        most_ready: one.most_ready,
        not_sampled_ms: ms(one.gap_ns),
    }
}

/// All stalls, including those that are not listed.
fn stall_totals(report: &Report<'_>) -> impl Serialize {
    let stalls = report.analysis.stalls();
    let by_cause: BTreeMap<_, _> = stalls.totals().iter().map(|(cause, total)| (cause.as_str(), total.count)).collect();
    object! { count: stalls.total().count, duration_ms: ms(stalls.total().at_least_ns), by_cause }
}

pub(in crate::render) fn stall(stall: &Stall) -> impl Serialize {
    let task = stall.task.as_ref();
    object! {
        start_ns: stall.start_ns,
        duration_ms: ms(stall.at_least_ns),
        duration_ms_at_most: stall.at_most_ns.map(ms),
        ongoing: stall.ongoing,
        r#loop: Key(stall.event_loop.key),
        thread: stall.event_loop.thread,
        task: task.and_then(|task| task.name.as_deref()),
        coroutine: task.and_then(|task| task.coroutine.as_ref()).map(|coroutine| &*coroutine.function),
        cause: stall.cause.as_str(),
        cause_detail: stall.detail.as_deref(),
        site: shared::frame(stall.site.as_ref()),
        stack: shared::frames(&stall.stack),
        coroutines: stall.coroutines,
        torn: stall.torn,
        ready_waiting: stall.ready_waiting,
        callbacks: stall.callbacks,
        evidence: stall.evidence.entries().collect::<BTreeMap<_, _>>(),
        advice: &*stall.advice,
    }
}

/// All tasks of one coroutine.
fn tasks<'a>(coroutine: &'a CoroutineProfile, activity: &'a Activity<'a>) -> impl Serialize + use<'a> {
    let frame = coroutine.coroutine.as_ref();
    object! {
        coroutine: frame.map(|frame| &*frame.function),
        file: frame.map(|frame| &*frame.file),
        line: frame.and_then(|frame| frame.line),
        seen: coroutine.seen,
        born: coroutine.born,
        ended: coroutine.ended,
        alive: coroutine.alive,
        most_alive: coroutine.most_alive,
        growth_per_minute: coroutine.growth_per_minute.map(rounded),
        run_ms: ms(coroutine.run_ns),
        run_samples: coroutine.run_samples,
        wait_ms: ms(coroutine.wait_ns),
        ready_ms: ms(coroutine.ready_ns),
        unknown_ms: ms(coroutine.unknown_ns),
        longest_wait_ms_at_least: ms(coroutine.longest_wait_ns),
        longest_wait_task: coroutine.longest_wait_task.as_deref(),
        oldest_ms_at_least: ms(coroutine.oldest_ns),
        waits: activity.waits(frame).iter().take(STACKS).map(|one| wait(one)).collect::<Vec<_>>(),
        runs: activity.runs(frame).iter().take(STACKS).map(|one| run(one)).collect::<Vec<_>>(),
    }
}

/// A frame of a wait or run, whose fields have always been in alphabetical order.
fn frame(frame: &Frame) -> impl Serialize {
    object! { file: &*frame.file, function: &*frame.function, line: frame.line }
}

fn wait(wait: &WaitProfile<'_>) -> impl Serialize {
    object! {
        detail: wait.detail.map(wait_words::detail),
        held_by: wait.holders.iter().map(|(task, waits)| object! { task, waits }).collect::<Vec<_>>(),
        kind: wait.kind.map(|kind| kind.as_str()),
        longest_ms_at_least: ms(wait.longest_ns),
        longest_task: wait.longest_task,
        stack: wait.stack.iter().map(|one| frame(one)).collect::<Vec<_>>(),
        wait_ms: ms(wait.wait_ns),
        waits: wait.waits,
    }
}

fn run(run: &Weighted<'_>) -> impl Serialize {
    object! {
        run_ms: ms(run.time_ns),
        samples: run.count,
        stack: frames_of(&run.stack).map(frame).collect::<Vec<_>>(),
        torn: run.stack.contains(&Label::Torn),
    }
}

/// To the microsecond; the value is not known more precisely.
fn ms(ns: u64) -> f64 {
    (ns as f64 / 1e3).round() / 1e3
}

/// To a thousandth; the value is not known more precisely.
fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}
