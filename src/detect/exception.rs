//! Tasks that failed and whose exception nobody has looked at. It must not know how exceptions were read.

use std::collections::BTreeMap;

use super::{Rule, name_a_few};
use crate::model::Snapshot;
use crate::model::snapshot::{Finding, Severity, TaskId};

/// Failed, not awaited by anybody, and the exception not retrieved: one finding for each exception.
///
/// A failed task that somebody waits for is not reported: gather with `return_exceptions` collects it later.
pub(super) struct ExceptionNeverRetrieved;

impl Rule for ExceptionNeverRetrieved {
    fn name(&self) -> &'static str {
        "exception-never-retrieved"
    }

    fn judge(&self, snapshot: &Snapshot, findings: &mut Vec<Finding>) {
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
                1 => format!("{names} failed with {exception}, and nobody has looked at it"),
                count => format!("{count} tasks failed with {exception}, and nobody has looked at them: {names}"),
            };
            findings.push(Finding {
                rule: self.name(),
                severity: Severity::Warning,
                message,
                evidence: BTreeMap::from([("exception", exception.into()), ("count", tasks.len().into())]),
                tasks,
                advice: "Await the task, or look at task.exception() in a callback added with add_done_callback(); \
                         an asyncio.TaskGroup does it for all its tasks."
                    .into(),
            });
        }
    }
}
