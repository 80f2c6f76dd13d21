//! The report in one sentence.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::detect::analysis::Found;
use crate::detect::rules;
use crate::model::snapshot::{RuleId, Severity};
use crate::render::label;
use crate::render::report::contents::Report;
use crate::render::report::words;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// Nothing was found.
    Good,
    /// There is not enough data for a verdict.
    Unknown,
    /// Worth investigating.
    Warning,
    /// Something is wrong.
    Bad,
}

#[derive(Debug, Serialize)]
pub(super) struct Summary {
    pub(super) level: Level,
    pub(super) text: String,
}

pub(super) fn of(report: &Report<'_>) -> Summary {
    let (stalls, stall_level) = of_stalls(report);
    let findings = report.analysis.findings();
    let worst = findings.iter().map(|found| found.finding.finding.severity).max();
    let level = match worst {
        Some(Severity::Error) => Level::Bad,
        Some(Severity::Warning) => stall_level.max(Level::Warning),
        _ => stall_level,
    };
    let mut parts = vec![stalls];
    parts.extend(of_findings(findings));
    Summary { level, text: parts.join("; ") }
}

fn of_stalls(report: &Report<'_>) -> (String, Level) {
    let analysis = report.analysis;
    let threshold = words::duration(analysis.header().stall_threshold_ns);
    let Some(worst) = analysis.stalls().worst_first().first().copied() else {
        return match report.health().loop_samples {
            0 => ("No event loop was seen, so nothing is known about stalls".into(), Level::Unknown),
            _ => (format!("No stall of {threshold} or more was seen"), Level::Good),
        };
    };
    let count = label::counted(analysis.stalls().total().count, "stall");
    let length = words::stall_length(worst);
    let place = worst.site.as_ref().map(|site| format!(" at {}", words::frame(site))).unwrap_or_default();
    (format!("{count} of {threshold} or more, the longest {length}{place}: {}", words::cause(worst.cause)), Level::Bad)
}

fn of_findings(findings: &[Found]) -> Vec<String> {
    let mut by_rule: BTreeMap<&RuleId, u64> = BTreeMap::new();
    for found in findings.iter().filter(|found| found.finding.finding.severity > Severity::Info) {
        // A finding can concern many tasks.
        *by_rule.entry(&found.finding.finding.rule).or_default() += found.tasks.len().max(1) as u64;
    }
    let words = |(rule, count): (&RuleId, u64)| match rules::find(rule) {
        Some(info) if count == 1 => format!("1 {}", info.singular),
        Some(info) => format!("{} {}", label::count(count), info.plural),
        None => label::counted(count, "other finding"),
    };
    by_rule.into_iter().map(words).collect()
}
