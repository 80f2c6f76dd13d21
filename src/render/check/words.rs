//! Wording for verdicts, numbers and places, shared by the formats of a check.

use super::contents::Check;
use crate::detect::check::{Item, Metric, Numbers, Run, SelfTest, Site, SiteKind, Subject, Tolerance, Unit, Verdict};
use crate::render::escape::{brief, visible};
use crate::render::label;
use crate::render::report::words::{duration, percent as share};

/// The word for a verdict, as printed.
pub(super) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Shown => "shown",
        Verdict::Pass => "pass",
        Verdict::NoData => "NO DATA",
        Verdict::Inconclusive => "INCONCLUSIVE",
        Verdict::Fail => "FAIL",
    }
}

/// Number of items by verdict.
pub(super) fn headline(check: &Check<'_>) -> String {
    if let Some(test) = check.self_test {
        let alarms = label::counted(test.false_alarms, "false alarm");
        return format!("{alarms} in {}", label::counted(test.trials, "comparison"));
    }
    let items = &check.judgement.items;
    let count = |verdict: Verdict| items.iter().filter(|item| item.verdict == verdict).count();
    let judged = items.iter().filter(|item| item.verdict != Verdict::Shown).count();
    if judged == 0 {
        return "nothing was checked".into();
    }
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

/// The name of an item: the option of a budget, the name of a metric.
pub(super) fn name(item: &Item) -> String {
    match &item.subject {
        Subject::Run(number) => format!("run {number}"),
        Subject::Budget(metric) => metric.budget().to_owned(),
        Subject::NewSite => item.sites.first().map_or("new site".into(), |site| format!("new {}", kind(site.kind))),
        Subject::NoNewSites => "new sites".into(),
        Subject::Change(metric) => metric.as_str().to_owned(),
    }
}

/// What is wrong in a place, in words.
pub(super) fn kind(kind: SiteKind) -> &'static str {
    match kind {
        SiteKind::Stall => "stall",
        SiteKind::Finding(rule) => rule.singular,
        SiteKind::Busy => "busy coroutine",
        SiteKind::Growth => "growing tasks",
    }
}

/// A value in its metric's unit.
pub(super) fn value(metric: Metric, value: f64) -> String {
    match metric.unit() {
        // CAST: a negative or huge number becomes the nearest representable one.
        Unit::Time => duration(value as u64),
        Unit::Count => number(value),
        Unit::Share => share(value),
        Unit::PerMinute => format!("{value:.1}/min"),
    }
}

/// A count; the median of an even number of runs can end in a half.
fn number(value: f64) -> String {
    if value.fract() == 0.0 { label::count(value as u64) } else { format!("{value:.1}") }
}

/// One sentence: the numbers, and the reason where they do not explain the verdict.
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
            let luck = if *heads > 1 { format!(" ({})", probability(*p)) } else { String::new() };
            format!("in {head} of {}, in none of {} before{luck}", label::counted(*heads, "run"), label::count(*bases))
        }
        (Subject::NoNewSites, Numbers::Seen { heads, bases, .. }) => {
            format!("none in {} compared with {} before", label::counted(*heads, "run"), label::count(*bases))
        }
        (Subject::Change(metric), numbers) => change(*metric, numbers),
        _ => String::new(),
    }
}

fn limited(metric: Metric, middle: Option<f64>, limit: f64, exceeded: usize, runs: usize) -> String {
    let limit = value(metric, limit);
    let several = match (runs, exceeded) {
        (0 | 1, _) => String::new(),
        (runs, 0) => format!(", median of {runs} runs"),
        (runs, exceeded) => format!(", median of {runs} runs; above the limit in {exceeded}"),
    };
    match middle {
        Some(middle) => format!("{} {}, limit {limit}{several}", metric.describe(), value(metric, middle)),
        None => format!("{} unknown, limit {limit}", metric.describe()),
    }
}

fn change(metric: Metric, numbers: &Numbers) -> String {
    let Numbers::Change { base, head, ratio, low, high, p, runs, spoilt } = numbers else { return String::new() };
    if *runs == 0 && *spoilt > 0 {
        return format!("{}: not judged", metric.describe());
    }
    let known = |number: &Option<f64>| number.map_or("?".into(), |number| value(metric, number));
    if base == head {
        return format!("{} {}, unchanged ({})", metric.describe(), known(head), of_runs(*runs, *spoilt));
    }
    let mut about = Vec::new();
    // A percentage of a count, or of zero, says little.
    if let Some(ratio) = ratio.filter(|_| metric.unit() != Unit::Count && base.is_some_and(|base| base > 0.0)) {
        about.push(percent(ratio));
        if low.is_finite() && *low > 0.0 && high.is_finite() {
            about.push(format!("95 % interval {} to {}", percent(*low), percent(*high)));
        }
    }
    if *runs > 1 {
        about.push(probability(*p));
    }
    about.push(of_runs(*runs, *spoilt));
    format!("{} {} → {} ({})", metric.describe(), known(base), known(head), about.join(", "))
}

fn of_runs(runs: usize, spoilt: usize) -> String {
    match spoilt {
        0 => label::counted(runs, "run"),
        spoilt => format!("{}, {spoilt} more too noisy to use", label::counted(runs, "run")),
    }
}

/// A factor as `+24.6 %`.
fn percent(factor: f64) -> String {
    format!("{:+.1} %", 100.0 * (factor - 1.0))
}

fn probability(p: f64) -> String {
    if p < 0.001 { "p < 0.001".into() } else { format!("p = {p:.3}") }
}

/// `function (file:line)`, safe to print; the place is never cut.
pub(super) fn place(site: &Site, root: &str) -> String {
    /// A longer function name hides the place behind it.
    const FUNCTION: usize = 60;
    let file = visible(relative(&site.file, root)).into_owned();
    let at = site.line.map_or(file.clone(), |line| format!("{file}:{line}"));
    match (site.function.is_empty(), at.is_empty()) {
        (true, true) => "at an unknown place".into(),
        (false, true) => brief(&site.function, FUNCTION).into_owned(),
        (true, false) => at,
        (false, false) => format!("{} ({at})", brief(&site.function, FUNCTION)),
    }
}

/// What happened in a place, and how often or how much.
pub(super) fn event(site: &Site) -> String {
    let what = brief(&site.what, 200);
    match site.kind {
        SiteKind::Stall => {
            let times = if site.count > 1 { format!(", {} times", label::count(site.count)) } else { String::new() };
            format!("{} ({what}){times}", duration(site.longest_ns))
        }
        _ => what.into_owned(),
    }
}

/// A file's path without the root, if it is below it.
pub(super) fn relative<'f>(file: &'f str, root: &str) -> &'f str {
    let below = if root.is_empty() { None } else { file.strip_prefix(root) };
    below.unwrap_or(file).trim_start_matches("./")
}

/// Why runs were too noisy to use, one sentence each.
pub(super) fn disturbances(runs: &[Run], tolerance: &Tolerance) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, run) in runs.iter().enumerate() {
        for taint in run.noise.taints(tolerance) {
            lines.push(format!("Run {} was noisy: {}", index + 1, taint.describe()));
        }
    }
    lines
}

/// `5 runs, compared with 5`.
pub(super) fn runs(check: &Check<'_>) -> String {
    let head = label::counted(check.head.len(), "run");
    match check.base.len() {
        0 => head,
        base => format!("{head}, compared with {}", label::count(base)),
    }
}

/// The result of a self-test, one sentence per line.
pub(super) fn self_test(test: &SelfTest) -> Vec<String> {
    let (rate, low, high) = test.rate;
    let mut lines = vec![format!(
        "The program was compared with itself {}: {}, {} (95 % interval {} to {}); {} inconclusive.",
        label::counted(test.trials, "time"),
        label::counted(test.false_alarms, "false alarm"),
        share(rate),
        share(low),
        share(high),
        label::count(test.inconclusive),
    )];
    lines.push(match test.smallest_effect.effect {
        Some(effect) => format!(
            "Smallest detectable change: {:.0} % more CPU time would have been found in {} of {}.",
            100.0 * effect,
            test.smallest_effect.found,
            label::count(test.trials),
        ),
        None => "Not even ten times the CPU time would have been found: use more runs (--runs).".into(),
    });
    lines.push(match test.sure_stall_ns {
        Some(sure) => format!("Stalls shorter than {} may have been missed.", duration(sure)),
        None => "The length of stalls that may have been missed is unknown.".into(),
    });
    lines
}
