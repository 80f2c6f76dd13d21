//! The words for verdicts, numbers and places that the formats of a check share. It must not know any format.

use super::Check;
use crate::detect::check::{Item, Kind, Metric, Numbers, Run, Site, Subject, Tolerance, Unit, Verdict};
use crate::render::escape::{brief, visible};
use crate::render::label;
use crate::render::report::words::duration;

/// `PASS`, and what it stands for.
pub(super) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Shown => "shown",
        Verdict::Pass => "pass",
        Verdict::NoData => "NO DATA",
        Verdict::Inconclusive => "INCONCLUSIVE",
        Verdict::Fail => "FAIL",
    }
}

/// The verdict on everything, with how many items made it.
pub(super) fn headline(check: &Check<'_>) -> String {
    if let Some(test) = check.self_test {
        let alarms = label::counted(test.false_alarms, "false alarm");
        return format!("{alarms} in {}", label::counted(test.trials, "comparison"));
    }
    let items = &check.judgement.items;
    let count = |verdict: Verdict| items.iter().filter(|item| item.verdict == verdict).count();
    let judged = items.iter().filter(|item| item.verdict != Verdict::Shown).count();
    let parts: Vec<String> = [
        (Verdict::Fail, "failed"),
        (Verdict::Inconclusive, "inconclusive"),
        (Verdict::NoData, "without data"),
        (Verdict::Pass, "passed"),
    ]
    .into_iter()
    .filter(|(verdict, _)| count(*verdict) > 0)
    .map(|(verdict, word)| format!("{} {word}", count(verdict)))
    .collect();
    format!("{} of {}", parts.join(", "), label::counted(judged, "check"))
}

/// What an item is called: of a budget its option, of a metric its name.
pub(super) fn name(item: &Item) -> String {
    match &item.subject {
        Subject::Run(number) => format!("run {number}"),
        Subject::Budget(metric) => metric.budget().to_owned(),
        Subject::NewSite => item.sites.first().map_or("new site".into(), |site| format!("new {}", kind(site.kind))),
        Subject::NoNewSites => "new sites".into(),
        Subject::Change(metric) => metric.as_str().to_owned(),
    }
}

/// What is wrong at a place, in words.
pub(super) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Stall => "stall",
        Kind::Orphan => "orphaned task",
        Kind::Unretrieved => "exception never retrieved",
        Kind::Busy => "busy coroutine",
        Kind::Growth => "growing tasks",
    }
}

/// A value in its metric's unit.
pub(super) fn value(metric: Metric, value: f64) -> String {
    match metric.unit() {
        // CAST: a negative or huge number becomes the nearest that there is.
        Unit::Time => duration(value as u64),
        Unit::Count => number(value),
        Unit::Share => format!("{:.1} %", 100.0 * value),
        Unit::PerMinute => format!("{value:.1} a minute"),
    }
}

/// A count, which is a half in the middle of an even number of runs.
fn number(value: f64) -> String {
    if value.fract() == 0.0 { label::count(value as u64) } else { format!("{value:.1}") }
}

/// One sentence: the numbers, and the reason where they do not tell.
pub(super) fn sentence(item: &Item) -> String {
    let mut sentence = numbers(item);
    if let Some(reason) = &item.reason {
        if !sentence.is_empty() {
            sentence.push_str("; ");
        }
        sentence.push_str(&visible(reason));
    }
    sentence
}

fn numbers(item: &Item) -> String {
    match (&item.subject, &item.numbers) {
        (Subject::Budget(metric), Numbers::Limit { value, limit, exceeded, runs }) => {
            limited(*metric, *value, *limit, *exceeded, *runs)
        }
        (Subject::NewSite, Numbers::Seen { head, heads, bases, p }) => {
            let luck = if *heads > 1 { format!(" (p = {})", probability(*p)) } else { String::new() };
            format!("in {head} of {}, in none of {} before{luck}", label::counted(*heads, "run"), label::count(*bases))
        }
        (Subject::NoNewSites, Numbers::Seen { heads, bases, .. }) => {
            format!("none in {} that none of {} before had", label::counted(*heads, "run"), label::count(*bases))
        }
        (Subject::Change(metric), numbers) => change(*metric, numbers),
        _ => String::new(),
    }
}

fn limited(metric: Metric, middle: Option<f64>, limit: f64, exceeded: usize, runs: usize) -> String {
    let limit = value(metric, limit);
    let several = match (runs, exceeded) {
        (0 | 1, _) => String::new(),
        (runs, 0) => format!(", the middle of {runs} runs"),
        (runs, exceeded) => format!(", the middle of {runs} runs; above the limit in {exceeded} of them"),
    };
    match middle {
        Some(middle) => format!("{} {}, at most {limit}{several}", metric.describe(), value(metric, middle)),
        None => format!("{} not known, at most {limit}", metric.describe()),
    }
}

fn change(metric: Metric, numbers: &Numbers) -> String {
    let Numbers::Change { base, head, ratio, low, high, p, runs, spoilt } = numbers else { return String::new() };
    let known = |number: &Option<f64>| number.map_or("?".into(), |number| value(metric, number));
    if base == head {
        return format!("{} {} as before, {}", metric.describe(), known(head), of_runs(*runs, *spoilt));
    }
    let mut about = Vec::new();
    // Of a count, or of nothing, a percentage says little.
    if let Some(ratio) = ratio.filter(|_| metric.unit() != Unit::Count && base.is_some_and(|base| base > 0.0)) {
        about.push(percent(ratio));
        if low.is_finite() && *low > 0.0 && high.is_finite() {
            about.push(format!("95 % interval {} to {}", percent(*low), percent(*high)));
        }
    }
    if *runs > 1 {
        about.push(format!("p = {}", probability(*p)));
    }
    about.push(of_runs(*runs, *spoilt));
    format!("{} {} → {} ({})", metric.describe(), known(base), known(head), about.join(", "))
}

fn of_runs(runs: usize, spoilt: usize) -> String {
    match spoilt {
        0 => label::counted(runs, "run"),
        spoilt => format!("{}, {spoilt} more not used", label::counted(runs, "run")),
    }
}

/// `+24.6 %` of a factor.
fn percent(factor: f64) -> String {
    format!("{:+.1} %", 100.0 * (factor - 1.0))
}

fn probability(p: f64) -> String {
    if p < 0.001 { "below 0.001".into() } else { format!("{p:.3}") }
}

/// `function (file:line)`, safe to print; the place is never cut.
pub(super) fn place(site: &Site, root: &str) -> String {
    /// A longer function name hides the place behind it.
    const FUNCTION: usize = 60;
    let file = visible(relative(&site.file, root)).into_owned();
    let at = site.line.map_or(file.clone(), |line| format!("{file}:{line}"));
    match (site.function.is_empty(), at.is_empty()) {
        (true, true) => "at a place that is not known".into(),
        (false, true) => brief(&site.function, FUNCTION).into_owned(),
        (true, false) => at,
        (false, false) => format!("{} ({at})", brief(&site.function, FUNCTION)),
    }
}

/// What happened at a place, and how much of it.
pub(super) fn event(site: &Site) -> String {
    let what = brief(&site.what, 200);
    match site.kind {
        Kind::Stall => {
            let times = if site.count > 1 { format!(", {} times", label::count(site.count)) } else { String::new() };
            format!("{} ({what}){times}", duration(site.longest_ns))
        }
        _ => what.into_owned(),
    }
}

/// A file below the root without it.
pub(super) fn relative<'f>(file: &'f str, root: &str) -> &'f str {
    let below = if root.is_empty() { None } else { file.strip_prefix(root) };
    below.unwrap_or(file).trim_start_matches("./")
}

/// What disturbed a run, for the line about runs.
pub(super) fn disturbances(runs: &[Run], tolerance: &Tolerance) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, run) in runs.iter().enumerate() {
        for taint in run.noise.taints(tolerance) {
            lines.push(format!("run {}: {}", index + 1, taint.describe()));
        }
    }
    lines
}
