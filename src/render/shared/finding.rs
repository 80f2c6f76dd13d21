//! A finding.

use serde::Serialize;

use super::frame::FrameJson;
use crate::detect::analysis::Found;
use crate::model::snapshot::{Evidence, Finding};

/// `T`: how its tasks are named.
#[derive(Serialize)]
pub(in crate::render) struct FindingJson<'a, T> {
    rule: &'a str,
    severity: &'static str,
    message: &'a str,
    tasks: T,
    /// Absent from a dump.
    #[serde(skip_serializing_if = "Option::is_none")]
    site: Option<FrameJson<'a>>,
    evidence: &'a Evidence,
    advice: &'a str,
}

impl<'a, T> FindingJson<'a, T> {
    pub(in crate::render) fn with_tasks(finding: &'a Finding, tasks: T) -> Self {
        Self {
            rule: finding.rule.as_str(),
            severity: finding.severity.as_str(),
            message: &finding.message,
            tasks,
            site: None,
            evidence: &finding.evidence,
            advice: &finding.advice,
        }
    }
}

impl<'a> FindingJson<'a, &'a [String]> {
    /// A finding of a watch, with its place.
    pub(in crate::render) fn of(found: &'a Found) -> Self {
        let site = Some(FrameJson::of(found.finding.site.as_ref()));
        Self { site, ..Self::with_tasks(&found.finding.finding, &found.tasks) }
    }
}
