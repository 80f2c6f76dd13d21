//! Parts of the snapshot that are missing, or that could not be proved consistent.

use serde::Serialize;

use super::rule::{RuleInfo, Scope};
use crate::model::Snapshot;
use crate::model::snapshot::{Finding, RuleId, Severity};

pub(super) static INFO: RuleInfo = RuleInfo {
    id: RuleId::new("incomplete-reading"),
    severities: &[Severity::Info],
    title: "Something could not be read, or could not be proved to be of one moment",
    singular: "incomplete snapshot",
    plural: "incomplete snapshots",
    help: "Take another dump. --blocking stops the process for the few milliseconds of the read; --max-memory allows \
           asyncprof more memory.",
    only_time_tells: "whether the next snapshot is complete",
    scope: Scope::Snapshot,
    is_checked: false,
};

#[derive(Serialize)]
struct Facts {
    gaps: usize,
    torn: u64,
    dropped: u64,
    consistent: bool,
}

pub(super) fn judge(snapshot: &Snapshot, findings: &mut Vec<Finding>) {
    let message = match (snapshot.gaps.as_slice(), snapshot.consistent) {
        ([], true) => return,
        ([], false) => "the snapshot could not be proved to be of one moment".to_owned(),
        ([gap], _) => format!("one part could not be read: {} ({})", gap.what, gap.why),
        ([first, ..], _) => {
            format!("{} parts could not be read; the first: {} ({})", snapshot.gaps.len(), first.what, first.why)
        }
    };
    let facts = Facts {
        gaps: snapshot.gaps.len(),
        torn: snapshot.reading.torn,
        dropped: snapshot.reading.dropped,
        consistent: snapshot.consistent,
    };
    findings.push(INFO.finding(Severity::Info, message, Vec::new(), &facts));
}
