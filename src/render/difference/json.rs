//! `asyncprof.diff/1`: how one watch differs from another, in machine-readable form. Its types belong to the format;
//! the model can change without it.
//!
//! A place is `{function, file, line_base, line_head}`, or null where it is not known. A measure is `{base, head,
//! ratio, confidence}`: two values in the unit that the field's name ends in, null where not known; `ratio` is head
//! divided by base as `{estimate, low, high}`, null where it is not known, with each field null where it is infinite;
//! `confidence` is `certain`, `likely`, `noise` or `unknown`. `presence` is `both`, `new` or `gone`. Lists have the
//! most important entry first and are complete, including entries within noise.

use std::io::{self, Write};

use serde::Serialize;

use super::sections::Comparison;
use crate::detect::difference::{
    CoroutineChange, FindingChange, LEAST_EFFECT, LoopChange, Measure, RISK, RunChange, Site, StallChange, WaitChange,
    Watch,
};
use crate::render::json::serializer;

/// The format's name and version; fields may be added in this version, but never changed.
const SCHEMA: &str = "asyncprof.diff/1";

/// Writes the difference as one line of JSON.
pub fn write(comparison: &Comparison<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut out = io::BufWriter::new(out);
    DiffJson::of(comparison).serialize(&mut serializer(&mut out))?;
    out.write_all(b"\n")?;
    out.flush()
}

#[derive(Serialize)]
struct DiffJson<'a> {
    schema: &'static str,
    base: WatchJson<'a>,
    head: WatchJson<'a>,
    /// Whether anything differs beyond noise.
    changed: bool,
    /// At most this share of all certain entries of one list is wrong.
    risk: f64,
    /// Ratios closer to one than this do not count as a change.
    least_effect: f64,
    stall_threshold_ms: f64,
    caveats: Vec<CaveatJson<'a>>,
    stalls: Vec<StallJson<'a>>,
    coroutines: Vec<CoroutineJson<'a>>,
    runs: Vec<RunJson<'a>>,
    waits: Vec<WaitJson<'a>>,
    loops: Vec<LoopJson<'a>>,
    findings: Vec<FindingJson<'a>>,
}

impl<'a> DiffJson<'a> {
    fn of(comparison: &Comparison<'a>) -> Self {
        let difference = comparison.difference;
        Self {
            schema: SCHEMA,
            base: WatchJson::of(comparison.base_name, &comparison.base),
            head: WatchJson::of(comparison.head_name, &comparison.head),
            changed: difference.has_changes(),
            risk: RISK,
            least_effect: LEAST_EFFECT,
            stall_threshold_ms: ms(difference.stall_threshold_ns),
            caveats: (difference.caveats.iter())
                .map(|caveat| CaveatJson { kind: caveat.kind, message: &caveat.message })
                .collect(),
            stalls: difference.stalls.iter().map(StallJson::of).collect(),
            coroutines: difference.coroutines.iter().map(CoroutineJson::of).collect(),
            runs: difference.runs.iter().map(RunJson::of).collect(),
            waits: difference.waits.iter().map(WaitJson::of).collect(),
            loops: difference.loops.iter().map(LoopJson::of).collect(),
            findings: difference.findings.iter().map(FindingJson::of).collect(),
        }
    }
}

#[derive(Serialize)]
struct WatchJson<'a> {
    name: &'a str,
    pid: i32,
    python: &'a str,
    command: &'a [String],
    started_at: &'a str,
    duration_s: f64,
    /// Without gaps.
    watched_s: f64,
    complete: bool,
}

impl<'a> WatchJson<'a> {
    fn of(name: &'a str, watch: &Watch<'a>) -> Self {
        let header = watch.analysis.header();
        Self {
            name,
            pid: header.pid,
            python: &header.python,
            command: &header.command,
            started_at: &header.started_at,
            duration_s: ms(watch.analysis.duration_ns()) / 1e3,
            watched_s: ms(watch.watched_ns()) / 1e3,
            complete: watch.complete,
        }
    }
}

#[derive(Serialize)]
struct CaveatJson<'a> {
    kind: &'static str,
    message: &'a str,
}

#[derive(Serialize)]
struct SiteJson<'a> {
    function: &'a str,
    file: &'a str,
    line_base: Option<u32>,
    line_head: Option<u32>,
}

impl<'a> SiteJson<'a> {
    fn of(site: &'a Site) -> Option<Self> {
        let frame = site.frame()?;
        Some(Self {
            function: &frame.function,
            file: &frame.file,
            line_base: site.base.as_ref().and_then(|frame| frame.line),
            line_head: site.head.as_ref().and_then(|frame| frame.line),
        })
    }
}

#[derive(Serialize)]
struct MeasureJson {
    base: Option<f64>,
    head: Option<f64>,
    ratio: Option<RatioJson>,
    confidence: &'static str,
}

#[derive(Serialize)]
struct RatioJson {
    estimate: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
}

impl MeasureJson {
    /// `unit` is the size of the format's unit in the measure's unit.
    fn of(measure: &Measure, unit: f64) -> Self {
        let value = |value: Option<f64>| value.map(|value| rounded(value / unit));
        let finite = |ratio: f64| ratio.is_finite().then(|| rounded(ratio));
        Self {
            base: value(measure.base),
            head: value(measure.head),
            ratio: measure.ratio.map(|ratio| RatioJson {
                estimate: finite(ratio.estimate),
                low: finite(ratio.low),
                high: finite(ratio.high),
            }),
            confidence: measure.confidence.as_str(),
        }
    }
}

#[derive(Serialize)]
struct StallJson<'a> {
    site: Option<SiteJson<'a>>,
    presence: &'static str,
    confidence: &'static str,
    cause: &'static str,
    detail: Option<&'a str>,
    base_count: u64,
    head_count: u64,
    per_minute: MeasureJson,
    /// The probability of such a difference in the numbers if nothing had changed.
    chance: f64,
    mean_ms: MeasureJson,
    base_longest_ms: f64,
    head_longest_ms: f64,
    advice: &'a str,
}

impl<'a> StallJson<'a> {
    fn of(stall: &'a StallChange) -> Self {
        Self {
            site: SiteJson::of(&stall.site),
            presence: stall.presence.as_str(),
            confidence: stall.confidence().as_str(),
            cause: stall.cause.as_str(),
            detail: stall.detail.as_deref(),
            base_count: stall.count.0,
            head_count: stall.count.1,
            per_minute: MeasureJson::of(&stall.per_minute, 1.0),
            chance: stall.chance,
            mean_ms: MeasureJson::of(&stall.length, MS),
            base_longest_ms: ms(stall.longest_ns.0),
            head_longest_ms: ms(stall.longest_ns.1),
            advice: &stall.advice,
        }
    }
}

#[derive(Serialize)]
struct CoroutineJson<'a> {
    site: Option<SiteJson<'a>>,
    presence: &'static str,
    confidence: &'static str,
    run_share: MeasureJson,
    run_per_task_ms: MeasureJson,
    wait_per_task_ms: MeasureJson,
    tasks_per_second: MeasureJson,
}

impl<'a> CoroutineJson<'a> {
    fn of(change: &'a CoroutineChange) -> Self {
        Self {
            site: SiteJson::of(&change.site),
            presence: change.presence.as_str(),
            confidence: change.confidence().as_str(),
            run_share: MeasureJson::of(&change.run, 1.0),
            run_per_task_ms: MeasureJson::of(&change.run_per_task, MS),
            wait_per_task_ms: MeasureJson::of(&change.wait_per_task, MS),
            tasks_per_second: MeasureJson::of(&change.tasks, 1.0),
        }
    }
}

#[derive(Serialize)]
struct RunJson<'a> {
    site: Option<SiteJson<'a>>,
    presence: &'static str,
    run_share: MeasureJson,
}

impl<'a> RunJson<'a> {
    fn of(change: &'a RunChange) -> Self {
        Self {
            site: SiteJson::of(&change.site),
            presence: change.presence.as_str(),
            run_share: MeasureJson::of(&change.run, 1.0),
        }
    }
}

#[derive(Serialize)]
struct WaitJson<'a> {
    site: Option<SiteJson<'a>>,
    presence: &'static str,
    confidence: &'static str,
    kind: Option<&'static str>,
    tasks_waiting: MeasureJson,
    mean_ms: MeasureJson,
    base_longest_ms: f64,
    head_longest_ms: f64,
}

impl<'a> WaitJson<'a> {
    fn of(change: &'a WaitChange) -> Self {
        Self {
            site: SiteJson::of(&change.site),
            presence: change.presence.as_str(),
            confidence: change.confidence().as_str(),
            kind: change.kind.map(|kind| kind.as_str()),
            tasks_waiting: MeasureJson::of(&change.waiting, 1.0),
            mean_ms: MeasureJson::of(&change.length, MS),
            base_longest_ms: ms(change.longest_ns.0),
            head_longest_ms: ms(change.longest_ns.1),
        }
    }
}

#[derive(Serialize)]
struct LoopJson<'a> {
    class: &'a str,
    thread_name: Option<&'a str>,
    presence: &'static str,
    busy_share: MeasureJson,
    lag_p50_ms: MeasureJson,
    lag_p99_ms: MeasureJson,
    base_longest_ms: f64,
    head_longest_ms: f64,
}

impl<'a> LoopJson<'a> {
    fn of(change: &'a LoopChange) -> Self {
        Self {
            class: &change.class,
            thread_name: change.thread_name.as_deref(),
            presence: change.presence.as_str(),
            busy_share: MeasureJson::of(&change.busy, 1.0),
            lag_p50_ms: MeasureJson::of(&change.lag_p50, MS),
            lag_p99_ms: MeasureJson::of(&change.lag_p99, MS),
            base_longest_ms: ms(change.longest_ns.0),
            head_longest_ms: ms(change.longest_ns.1),
        }
    }
}

#[derive(Serialize)]
struct FindingJson<'a> {
    rule: &'a str,
    severity: &'static str,
    site: Option<SiteJson<'a>>,
    presence: &'static str,
    base_tasks: u64,
    head_tasks: u64,
    message: &'a str,
    advice: &'a str,
}

impl<'a> FindingJson<'a> {
    fn of(change: &'a FindingChange) -> Self {
        Self {
            rule: change.rule.as_str(),
            severity: change.severity.as_str(),
            site: SiteJson::of(&change.site),
            presence: change.presence.as_str(),
            base_tasks: change.tasks.0,
            head_tasks: change.tasks.1,
            message: &change.message,
            advice: &change.advice,
        }
    }
}

/// Nanoseconds in a millisecond.
const MS: f64 = 1e6;

fn ms(ns: u64) -> f64 {
    rounded(ns as f64 / MS)
}

/// Six places: the values are not known more precisely.
fn rounded(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}
