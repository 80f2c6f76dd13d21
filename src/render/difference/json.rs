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
use crate::model::snapshot::Frame;
use crate::render::object::{object, write_line};

/// The format's name and version; fields may be added in this version, but never changed.
const SCHEMA: &str = "asyncprof.diff/1";

/// Writes the difference as one line of JSON.
pub fn write(comparison: &Comparison<'_>, out: &mut dyn Write) -> io::Result<()> {
    let difference = comparison.difference;
    let caveats = difference.caveats.iter().map(|caveat| object! { kind: caveat.kind, message: &caveat.message });
    let whole = object! {
        schema: SCHEMA,
        base: watch(comparison.base_name, &comparison.base),
        head: watch(comparison.head_name, &comparison.head),
        // Whether anything differs beyond noise.
        changed: difference.has_changes(),
        // At most this share of all certain entries of one list is wrong.
        risk: RISK,
        // Ratios closer to one than this do not count as a change.
        least_effect: LEAST_EFFECT,
        stall_threshold_ms: ms(difference.stall_threshold_ns),
        caveats: caveats.collect::<Vec<_>>(),
        stalls: difference.stalls.iter().map(stall).collect::<Vec<_>>(),
        coroutines: difference.coroutines.iter().map(coroutine).collect::<Vec<_>>(),
        runs: difference.runs.iter().map(run).collect::<Vec<_>>(),
        waits: difference.waits.iter().map(wait).collect::<Vec<_>>(),
        loops: difference.loops.iter().map(event_loop).collect::<Vec<_>>(),
        findings: difference.findings.iter().map(finding).collect::<Vec<_>>(),
    };
    write_line(&whole, out)
}

fn watch(name: &str, watch: &Watch<'_>) -> impl Serialize {
    let header = watch.analysis.header();
    object! {
        name,
        pid: header.pid,
        python: &header.python,
        command: &header.command,
        started_at: &header.started_at,
        duration_s: ms(watch.analysis.duration_ns()) / 1e3,
        // Without gaps.
        watched_s: ms(watch.watched_ns()) / 1e3,
        complete: watch.complete,
    }
}

fn place(site: &Site) -> Option<impl Serialize> {
    let line = |frame: &Option<Frame>| frame.as_ref().and_then(|frame| frame.line);
    let frame = site.frame()?;
    Some(object! {
        function: &*frame.function,
        file: &*frame.file,
        line_base: line(&site.base),
        line_head: line(&site.head),
    })
}

/// `unit` is the size of the format's unit in the measure's unit.
fn measure(measure: &Measure, unit: f64) -> impl Serialize {
    let value = |value: Option<f64>| value.map(|value| rounded(value / unit));
    let finite = |ratio: f64| ratio.is_finite().then(|| rounded(ratio));
    let ratio = measure.ratio.map(|ratio| {
        object! { estimate: finite(ratio.estimate), low: finite(ratio.low), high: finite(ratio.high) }
    });
    object! { base: value(measure.base), head: value(measure.head), ratio, confidence: measure.confidence.as_str() }
}

fn stall(stall: &StallChange) -> impl Serialize {
    object! {
        site: place(&stall.site),
        presence: stall.presence.as_str(),
        confidence: stall.confidence().as_str(),
        cause: stall.cause.as_str(),
        detail: &stall.detail,
        base_count: stall.count.0,
        head_count: stall.count.1,
        per_minute: measure(&stall.per_minute, 1.0),
        // The probability of such a difference in the numbers if nothing had changed.
        chance: stall.chance,
        mean_ms: measure(&stall.length, MS),
        base_longest_ms: ms(stall.longest_ns.0),
        head_longest_ms: ms(stall.longest_ns.1),
        advice: &stall.advice,
    }
}

fn coroutine(change: &CoroutineChange) -> impl Serialize {
    object! {
        site: place(&change.site),
        presence: change.presence.as_str(),
        confidence: change.confidence().as_str(),
        run_share: measure(&change.run, 1.0),
        run_per_task_ms: measure(&change.run_per_task, MS),
        wait_per_task_ms: measure(&change.wait_per_task, MS),
        tasks_per_second: measure(&change.tasks, 1.0),
    }
}

fn run(change: &RunChange) -> impl Serialize {
    object! {
        site: place(&change.site),
        presence: change.presence.as_str(),
        run_share: measure(&change.run, 1.0),
    }
}

fn wait(change: &WaitChange) -> impl Serialize {
    object! {
        site: place(&change.site),
        presence: change.presence.as_str(),
        confidence: change.confidence().as_str(),
        kind: change.kind.map(|kind| kind.as_str()),
        tasks_waiting: measure(&change.waiting, 1.0),
        mean_ms: measure(&change.length, MS),
        base_longest_ms: ms(change.longest_ns.0),
        head_longest_ms: ms(change.longest_ns.1),
    }
}

fn event_loop(change: &LoopChange) -> impl Serialize {
    object! {
        class: &*change.class,
        thread_name: change.thread_name.as_deref(),
        presence: change.presence.as_str(),
        busy_share: measure(&change.busy, 1.0),
        lag_p50_ms: measure(&change.lag_p50, MS),
        lag_p99_ms: measure(&change.lag_p99, MS),
        base_longest_ms: ms(change.longest_ns.0),
        head_longest_ms: ms(change.longest_ns.1),
    }
}

fn finding(change: &FindingChange) -> impl Serialize {
    object! {
        rule: change.rule.as_str(),
        severity: change.severity.as_str(),
        site: place(&change.site),
        presence: change.presence.as_str(),
        base_tasks: change.tasks.0,
        head_tasks: change.tasks.1,
        message: &change.message,
        advice: &change.advice,
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
