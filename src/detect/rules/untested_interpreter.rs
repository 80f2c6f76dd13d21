//! Offsets that were never verified against a running interpreter of this kind.

use serde::Serialize;

use super::rule::{RuleInfo, Scope};
use crate::model::Snapshot;
use crate::model::snapshot::{Finding, RuleId, Severity};

pub(super) static INFO: RuleInfo = RuleInfo {
    id: RuleId::new("untested-interpreter"),
    severities: &[Severity::Warning],
    title: "asyncprof was not tested on this build of Python",
    singular: "untested interpreter",
    plural: "untested interpreters",
    help: "Compare with what the program itself reports (asyncio.all_tasks()) before acting on it.",
    only_time_tells: "nothing",
    scope: Scope::Snapshot,
    is_checked: false,
};

#[derive(Serialize)]
struct Facts<'s> {
    version: &'s str,
    free_threaded: bool,
}

pub(super) fn judge(snapshot: &Snapshot, findings: &mut Vec<Finding>) {
    let python = &snapshot.python;
    if python.tested {
        return;
    }
    let build = if python.free_threaded { " (free-threaded)" } else { "" };
    let message = format!("asyncprof was not tested on CPython {}{build}: the output may be wrong", python.version);
    let facts = Facts { version: &python.version, free_threaded: python.free_threaded };
    findings.push(INFO.finding(Severity::Warning, message, Vec::new(), &facts));
}
