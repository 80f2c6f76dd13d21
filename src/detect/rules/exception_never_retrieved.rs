//! Tasks that failed and whose exception was never retrieved.

use std::collections::BTreeMap;

use super::names::name_a_few;
use super::rule::{RuleInfo, Scope, Subject};
use crate::model::Snapshot;
use crate::model::snapshot::{Finding, RuleId, Severity, TaskId};

/// The rule.
pub static INFO: RuleInfo = RuleInfo {
    id: RuleId::new("exception-never-retrieved"),
    severities: &[Severity::Warning],
    title: "A task failed, nothing awaits it, and its exception was never retrieved",
    singular: "exception never retrieved",
    plural: "exceptions never retrieved",
    help: "Await the task, or call task.exception() in a callback added with add_done_callback(); an asyncio.TaskGroup does \
           this for its tasks.",
    only_time_tells: "whether the exception is retrieved later",
    scope: Scope::Lasting,
    is_checked: true,
};

/// One finding for each exception. A failed task with an awaiter is not reported: gather with `return_exceptions`
/// retrieves its exception later.
pub(super) fn judge(snapshot: &Snapshot, findings: &mut Vec<Finding>) {
    let mut groups: BTreeMap<&str, Vec<TaskId>> = BTreeMap::new();
    for (id, task) in (0..).map(TaskId).zip(&snapshot.tasks) {
        if let Some(exception) = &task.unretrieved_exception
            && task.awaited_by.is_empty()
        {
            groups.entry(exception).or_default().push(id);
        }
    }
    for (exception, tasks) in groups {
        let names = name_a_few(snapshot, &tasks);
        let message = match tasks.len() {
            1 => format!("{names} failed, and its exception was never retrieved: {exception}"),
            count => format!("{count} tasks failed, and their exceptions were never retrieved: {exception} ({names})"),
        };
        let exception = Some(exception.to_owned());
        let subject = Subject { count: Some(tasks.len() as u64), exception, ..Subject::default() };
        findings.push(INFO.finding(Severity::Warning, message, tasks, &subject));
    }
}
