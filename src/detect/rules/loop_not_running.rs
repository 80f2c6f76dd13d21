//! Threads that wait for a coroutine on an event loop that nobody runs.

use serde::Serialize;

use super::rule::{RuleInfo, Scope};
use super::thread_deadlock::{place_of, thread_name, until};
use crate::model::Snapshot;
use crate::model::snapshot::{Finding, ResultOf, RuleId, Severity};

pub(super) static INFO: RuleInfo = RuleInfo {
    id: RuleId::new("loop-not-running"),
    severities: &[Severity::Warning],
    title: "A thread waits for the result of a coroutine on an event loop that no thread runs",
    singular: "wait for an event loop that does not run",
    plural: "waits for event loops that do not run",
    help: "Give coroutines only to a loop that runs: stop a loop after its last user, check loop.is_running() before \
           asyncio.run_coroutine_threadsafe(), and pass a timeout to result().",
    only_time_tells: "whether a thread runs the loop later",
    scope: Scope::Lasting,
    is_checked: false,
};

#[derive(Serialize)]
struct Facts {
    thread: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    coroutine: Option<String>,
}

pub(super) fn judge(snapshot: &Snapshot, findings: &mut Vec<Finding>) {
    for result in &snapshot.results {
        let ResultOf::Coroutine { function, is_running: Some(false), .. } = &result.of else { continue };
        let (thread, at) = (thread_name(snapshot, result.thread), place_of(snapshot, result));
        let place = at.as_ref().map(|at| format!(" in {at}")).unwrap_or_default();
        let coroutine = function.as_ref().map(|(function, file)| format!("{function} ({file})"));
        let what = coroutine.as_ref().map_or_else(|| "a coroutine".to_owned(), |name| format!("the coroutine {name}"));
        let message = format!(
            "{thread} waits{place} for the result of {what}, which was given to an event loop that no thread runs{}",
            until(result)
        );
        findings.push(INFO.finding(Severity::Warning, message, Vec::new(), &Facts { thread, at, coroutine }));
    }
}
