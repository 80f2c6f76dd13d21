//! A process that is kept from running as a whole.

use serde::Serialize;

use super::rule::{RuleInfo, Scope};
use crate::model::Snapshot;
use crate::model::snapshot::{Finding, Halt, RuleId, Severity};

pub(super) static INFO: RuleInfo = RuleInfo {
    id: RuleId::new("process-stopped"),
    severities: &[Severity::Warning],
    title: "The process is stopped by a signal or a debugger, or its control group is frozen: nothing in it runs",
    singular: "stopped process",
    plural: "stopped processes",
    help: "Continue it: kill -CONT for a signal, end or detach the debugger, thaw the control group (docker unpause).",
    only_time_tells: "since when, and whether it continues",
    scope: Scope::Snapshot,
    is_checked: false,
};

#[derive(Serialize)]
struct Facts {
    by: &'static str,
}

pub(super) fn judge(snapshot: &Snapshot, findings: &mut Vec<Finding>) {
    let Some(halt) = snapshot.halt else { return };
    let (by, advice) = match halt {
        Halt::JobControl => ("by a signal", format!("Continue it with: kill -CONT {}", snapshot.pid)),
        Halt::Tracer => ("by a debugger", "Continue it in the debugger, or detach the debugger.".to_owned()),
        Halt::Frozen => (
            "because its control group is frozen",
            "Thaw the control group, for example with docker unpause.".to_owned(),
        ),
    };
    let message = format!("the process is stopped {by}: none of its threads runs, and no event loop gets on");
    let facts = Facts { by: halt.as_str() };
    findings.push(Finding { advice, ..INFO.finding(Severity::Warning, message, Vec::new(), &facts) });
}
