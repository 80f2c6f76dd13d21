//! What limits the trust in the snapshot itself. It must not know how it was read.

use std::collections::BTreeMap;

use super::Rule;
use crate::model::Snapshot;
use crate::model::snapshot::{Finding, Severity};

/// The offsets in use were never checked against a running interpreter of this kind.
pub(super) struct UntestedInterpreter;

impl Rule for UntestedInterpreter {
    fn name(&self) -> &'static str {
        "untested-interpreter"
    }

    fn judge(&self, snapshot: &Snapshot, findings: &mut Vec<Finding>) {
        let python = &snapshot.python;
        if python.tested {
            return;
        }
        let build = if python.free_threaded { " (free-threaded)" } else { "" };
        findings.push(Finding {
            rule: self.name(),
            severity: Severity::Warning,
            message: format!(
                "asyncprof's tests have not run on CPython {}{build}: what is shown may be wrong",
                python.version
            ),
            tasks: Vec::new(),
            evidence: BTreeMap::from([
                ("version", python.version.as_str().into()),
                ("free_threaded", python.free_threaded.into()),
            ]),
            advice: "Compare with what the program says of itself (asyncio.all_tasks()) before acting on it.".into(),
        });
    }
}

/// Something is missing from the snapshot, or could not be shown to be one moment.
pub(super) struct IncompleteReading;

impl Rule for IncompleteReading {
    fn name(&self) -> &'static str {
        "incomplete-reading"
    }

    fn judge(&self, snapshot: &Snapshot, findings: &mut Vec<Finding>) {
        let message = match (snapshot.gaps.as_slice(), snapshot.consistent) {
            ([], true) => return,
            ([], false) => "what was read could not be shown to be one moment".to_owned(),
            ([gap], _) => format!("one part could not be read: {} ({})", gap.what, gap.why),
            ([first, ..], _) => {
                format!("{} parts could not be read, the first: {} ({})", snapshot.gaps.len(), first.what, first.why)
            }
        };
        findings.push(Finding {
            rule: self.name(),
            severity: Severity::Info,
            message,
            tasks: Vec::new(),
            evidence: BTreeMap::from([
                ("gaps", snapshot.gaps.len().into()),
                ("torn", snapshot.reading.torn.into()),
                ("dropped", snapshot.reading.dropped.into()),
                ("consistent", snapshot.consistent.into()),
            ]),
            advice: "Take another dump, or use --blocking to stop the process for the milliseconds of the reading."
                .into(),
        });
    }
}
