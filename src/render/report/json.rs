//! `asyncprof.report/1`: the results of a watch, in machine-readable form. Its types belong to the format; the model
//! can change without it.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use serde::Serialize;

use super::contents::{Report, code, rate, runs_by_coroutine};
use crate::detect::stall::Stall;
use crate::model::event::Note;
use crate::model::snapshot::Frame;
use crate::profile::{CoroutineProfile, Label, Lag, LoopProfile, WaitProfile, Weighted};
use crate::render::json::serializer;
use crate::render::key::Key;
use crate::render::shared::finding::FindingJson;
use crate::render::shared::frame::FrameJson;
use crate::render::shared::header::HeaderJson;
use crate::render::shared::loop_id::LoopIdJson;
use crate::render::wait_words;

/// The format's name and version; fields may be added in this version, but never changed.
pub(super) const SCHEMA: &str = "asyncprof.report/1";

/// Maximum stacks written per coroutine, heaviest first.
const STACKS: usize = 20;

/// Writes the report as one line of JSON.
pub fn write(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut out = io::BufWriter::new(out);
    ReportJson::of(report).serialize(&mut serializer(&mut out))?;
    out.write_all(b"\n")?;
    out.flush()
}

#[derive(Serialize)]
struct ReportJson<'a> {
    #[serde(flatten)]
    header: HeaderJson<'a>,
    duration_s: f64,
    complete: bool,
    sampling: SamplingJson,
    loops: Vec<LoopJson<'a>>,
    stall_threshold_ms: f64,
    stall_totals: StallTotalsJson,
    stalls: Vec<StallJson<'a>>,
    tasks: Vec<TasksJson>,
    findings: Vec<FindingJson<'a, &'a [String]>>,
    notes: Vec<NoteJson<'a>>,
    notes_left_out: u64,
}

impl<'a> ReportJson<'a> {
    fn of(report: &Report<'a>) -> Self {
        let analysis = report.analysis;
        let header = analysis.header();
        Self {
            header: HeaderJson::of(SCHEMA, header),
            duration_s: seconds(analysis.duration_ns()),
            complete: report.complete,
            sampling: SamplingJson::of(report),
            loops: report.profile().loops().iter().map(LoopJson::of).collect(),
            stall_threshold_ms: ms(header.stall_threshold_ns),
            stall_totals: StallTotalsJson::of(report),
            stalls: analysis.stalls().worst_first().into_iter().map(StallJson::of).collect(),
            tasks: tasks(report),
            findings: analysis.findings().iter().map(FindingJson::of).collect(),
            notes: analysis.notes().iter().map(NoteJson::of).collect(),
            notes_left_out: analysis.notes_left_out(),
        }
    }
}

#[derive(Serialize)]
struct SamplingJson {
    loop_samples: u64,
    loop_rate_hz: f64,
    loop_rate_asked_hz: f64,
    task_snapshots: u64,
    task_rate_hz: f64,
    task_rate_asked_hz: f64,
    dropped: u64,
    torn: u64,
    partial: u64,
    late: u64,
    cpu_percent: f64,
    cpu_budget_percent: f64,
    lowered_rate: bool,
    shortest_stall_ms: f64,
    blocking: bool,
    /// Whether the watch has reported its health; if not, all fields except the samples are zero because they are
    /// unknown.
    known: bool,
}

impl SamplingJson {
    fn of(report: &Report<'_>) -> Self {
        let (health, header) = (report.health(), report.analysis.header());
        Self {
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
            known: report.analysis.health().is_some(),
        }
    }
}

#[derive(Serialize)]
struct LoopJson<'a> {
    #[serde(flatten)]
    id: LoopIdJson<'a>,
    samples: u64,
    rate_hz: f64,
    busy_percent: Option<f64>,
    waiting_for_gil_percent: Option<f64>,
    lag_ms: Option<LagJson>,
    iterations_seen: u64,
    most_ready: Option<u32>,
    not_sampled_ms: f64,
}

impl<'a> LoopJson<'a> {
    fn of(event_loop: &'a LoopProfile) -> Self {
        let known = event_loop.busy_ns + event_loop.leaving_ns + event_loop.selecting_ns;
        Self {
            id: LoopIdJson::of(&event_loop.info),
            samples: event_loop.samples,
            rate_hz: rounded(rate(event_loop.samples.saturating_sub(1), event_loop.watched_ns())),
            busy_percent: event_loop.busy_share().map(|share| rounded(100.0 * share)),
            waiting_for_gil_percent: (known > 0).then(|| rounded(100.0 * event_loop.leaving_ns as f64 / known as f64)),
            lag_ms: event_loop.lag().map(LagJson::of),
            iterations_seen: event_loop.iterations,
            most_ready: event_loop.most_ready,
            not_sampled_ms: ms(event_loop.gap_ns),
        }
    }
}

#[derive(Serialize)]
struct LagJson {
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

impl LagJson {
    fn of(Lag { p50_ns, p90_ns, p99_ns, max_ns }: Lag) -> Self {
        Self { p50: ms(p50_ns), p90: ms(p90_ns), p99: ms(p99_ns), max: ms(max_ns) }
    }
}

/// All stalls, including those that are not listed.
#[derive(Serialize)]
struct StallTotalsJson {
    count: u64,
    duration_ms: f64,
    by_cause: BTreeMap<&'static str, u64>,
}

impl StallTotalsJson {
    fn of(report: &Report<'_>) -> Self {
        let stalls = report.analysis.stalls();
        Self {
            count: stalls.total().count,
            duration_ms: ms(stalls.total().at_least_ns),
            by_cause: stalls.totals().iter().map(|(cause, total)| (cause.as_str(), total.count)).collect(),
        }
    }
}

#[derive(Serialize)]
pub(in crate::render) struct StallJson<'a> {
    start_ns: u64,
    duration_ms: f64,
    duration_ms_at_most: Option<f64>,
    ongoing: bool,
    #[serde(rename = "loop")]
    event_loop: Key,
    thread: Option<i32>,
    task: Option<&'a str>,
    coroutine: Option<&'a str>,
    cause: &'static str,
    cause_detail: Option<&'a str>,
    site: FrameJson<'a>,
    stack: Vec<FrameJson<'a>>,
    coroutines: usize,
    torn: bool,
    ready_waiting: Option<u32>,
    callbacks: Option<u32>,
    evidence: BTreeMap<&'static str, u64>,
    advice: &'a str,
}

impl<'a> StallJson<'a> {
    pub(in crate::render) fn of(stall: &'a Stall) -> Self {
        let task = stall.task.as_ref();
        Self {
            start_ns: stall.start_ns,
            duration_ms: ms(stall.at_least_ns),
            duration_ms_at_most: stall.at_most_ns.map(ms),
            ongoing: stall.ongoing,
            event_loop: Key(stall.event_loop.key),
            thread: stall.event_loop.thread,
            task: task.and_then(|task| task.name.as_deref()),
            coroutine: task.and_then(|task| task.coroutine.as_ref()).map(|coroutine| &*coroutine.function),
            cause: stall.cause.as_str(),
            cause_detail: stall.detail.as_deref(),
            site: FrameJson::of(stall.site.as_ref()),
            stack: FrameJson::list(&stall.stack),
            coroutines: stall.coroutines,
            torn: stall.torn,
            ready_waiting: stall.ready_waiting,
            callbacks: stall.callbacks,
            evidence: stall.evidence.entries().collect(),
            advice: &stall.advice,
        }
    }
}

/// All tasks of one coroutine. It owns its texts: they come from lists created for the report.
#[derive(Serialize)]
struct TasksJson {
    coroutine: Option<String>,
    file: Option<String>,
    line: Option<u32>,
    seen: u64,
    born: u64,
    ended: u64,
    alive: u64,
    most_alive: u64,
    growth_per_minute: Option<f64>,
    run_ms: f64,
    run_samples: u64,
    wait_ms: f64,
    ready_ms: f64,
    unknown_ms: f64,
    longest_wait_ms_at_least: f64,
    longest_wait_task: Option<String>,
    oldest_ms_at_least: f64,
    waits: Vec<serde_json::Value>,
    runs: Vec<serde_json::Value>,
}

fn tasks(report: &Report<'_>) -> Vec<TasksJson> {
    let (waits, runs) = (report.profile().waits(), report.profile().runs());
    let mut waits_of: HashMap<Option<&Frame>, Vec<&WaitProfile<'_>>> = HashMap::new();
    for wait in &waits {
        waits_of.entry(wait.coroutine).or_default().push(wait);
    }
    let runs_of = runs_by_coroutine(&runs);
    let whole = |coroutine: CoroutineProfile| {
        let frame = coroutine.coroutine.as_ref();
        let waits = waits_of.get(&frame).map_or(&[][..], Vec::as_slice);
        let runs = frame.and_then(|frame| runs_of.get(&code(frame))).map_or(&[][..], Vec::as_slice);
        tasks_of(&coroutine, waits, runs)
    };
    report.hottest().into_iter().map(whole).collect()
}

fn tasks_of(coroutine: &CoroutineProfile, waits: &[&WaitProfile<'_>], runs: &[&Weighted<'_>]) -> TasksJson {
    let frame = coroutine.coroutine.as_ref();
    TasksJson {
        coroutine: frame.map(|frame| frame.function.to_string()),
        file: frame.map(|frame| frame.file.to_string()),
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
        longest_wait_task: coroutine.longest_wait_task.as_deref().map(str::to_owned),
        oldest_ms_at_least: ms(coroutine.oldest_ns),
        waits: waits.iter().take(STACKS).map(|wait| wait_value(wait)).collect(),
        runs: runs.iter().take(STACKS).map(|run| run_value(run)).collect(),
    }
}

fn frame_value(frame: &Frame) -> serde_json::Value {
    serde_json::json!({ "function": &*frame.function, "file": &*frame.file, "line": frame.line })
}

fn wait_value(wait: &WaitProfile<'_>) -> serde_json::Value {
    let holders: Vec<_> =
        (wait.holders.iter()).map(|(task, waits)| serde_json::json!({ "task": task, "waits": waits })).collect();
    serde_json::json!({
        "kind": wait.kind.map(|kind| kind.as_str()),
        "detail": wait.detail.map(wait_words::detail),
        "stack": wait.stack.iter().map(|frame| frame_value(frame)).collect::<Vec<_>>(),
        "wait_ms": ms(wait.wait_ns),
        "waits": wait.waits,
        "longest_ms_at_least": ms(wait.longest_ns),
        "longest_task": wait.longest_task,
        "held_by": holders,
    })
}

fn run_value(run: &Weighted<'_>) -> serde_json::Value {
    let frames = run.stack.iter().filter_map(|label| match label {
        Label::Frame(frame) => Some(frame_value(frame)),
        _ => None,
    });
    serde_json::json!({
        "stack": frames.collect::<Vec<_>>(),
        "torn": run.stack.contains(&Label::Torn),
        "run_ms": ms(run.time_ns),
        "samples": run.count,
    })
}

#[derive(Serialize)]
pub(in crate::render) struct NoteJson<'a> {
    at_ns: u64,
    kind: &'static str,
    text: &'a str,
}

impl<'a> NoteJson<'a> {
    pub(in crate::render) fn of(note: &'a Note) -> Self {
        Self { at_ns: note.at_ns, kind: note.kind.as_str(), text: &note.text }
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

fn seconds(ns: u64) -> f64 {
    (ns as f64 / 1e6).round() / 1e3
}
