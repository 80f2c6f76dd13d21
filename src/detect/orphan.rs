//! Tasks that nobody can ever hear of again. It must not know how references were counted.

use std::collections::BTreeMap;

use super::{Rule, name_a_few, origin};
use crate::model::Snapshot;
use crate::model::snapshot::{Finding, FrameId, Severity, TaskId};

/// Pending, awaited by nobody, and kept alive by the event loop alone: one finding for each coroutine.
pub(super) struct OrphanedTask;

impl Rule for OrphanedTask {
    fn name(&self) -> &'static str {
        "orphaned-task"
    }

    fn judge(&self, snapshot: &Snapshot, findings: &mut Vec<Finding>) {
        for (coroutine, tasks) in orphans_by_coroutine(snapshot) {
            let what = match coroutine {
                Some((function, file)) => format!(" of {function} ({file})"),
                None => String::new(),
            };
            let names = name_a_few(snapshot, &tasks);
            let message = match tasks.len() {
                1 => format!("{names}{what} runs on, but nobody awaits it and only the event loop refers to it"),
                count => format!(
                    "{count} tasks{what} run on, but nobody awaits them and only the event loop refers to them: {names}"
                ),
            };
            let mut evidence = BTreeMap::from([("count", tasks.len().into())]);
            if let Some((function, file)) = coroutine {
                evidence.insert("coroutine", function.into());
                evidence.insert("file", file.into());
            }
            if let Some(at) = tasks.first().and_then(|&id| suspended_at(snapshot, &snapshot.task(id).stack)) {
                evidence.insert("suspended_at", at.into());
            }
            findings.push(Finding {
                rule: self.name(),
                severity: Severity::Warning,
                message,
                tasks,
                evidence,
                advice: "Keep what asyncio.create_task() returns (in a set, with add_done_callback(set.discard)) and \
                         await it before the program ends, or start it in an asyncio.TaskGroup; now only what \
                         it waits for keeps it alive, and its exception is heard by nobody."
                    .into(),
            });
        }
    }
}

/// Function and file of a task's outermost coroutine.
type Coroutine<'s> = (&'s str, &'s str);

/// Largest group first.
fn orphans_by_coroutine(snapshot: &Snapshot) -> Vec<(Option<Coroutine<'_>>, Vec<TaskId>)> {
    let mut groups: BTreeMap<Option<Coroutine<'_>>, Vec<TaskId>> = BTreeMap::new();
    for (id, task) in (0..).map(TaskId).zip(&snapshot.tasks) {
        if task.orphaned == Some(true) {
            let coroutine = task.stack.first().map(|&frame| {
                let frame = snapshot.frame(frame);
                (&*frame.function, &*frame.file)
            });
            groups.entry(coroutine).or_default().push(id);
        }
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, tasks)| std::cmp::Reverse(tasks.len()));
    groups
}

fn suspended_at(snapshot: &Snapshot, stack: &[FrameId]) -> Option<String> {
    origin::find_culprit(snapshot, stack).map(origin::describe)
}
