//! Task names in sentences.

use crate::model::Snapshot;
use crate::model::snapshot::{Task, TaskId};

/// The name of a task, or its id when it has no name or the name could not be read.
pub(super) fn name_of(task: &Task) -> String {
    /// A longer name makes a sentence unreadable.
    const LENGTH: usize = 80;
    match task.name.as_deref() {
        None | Some("") => format!("task {:#x}", task.key),
        Some(name) => match name.char_indices().nth(LENGTH) {
            Some((end, _)) => format!("{}…", &name[..end]),
            None => name.to_owned(),
        },
    }
}

/// `Task-1, Task-2, Task-3 and 4 more`.
pub(super) fn name_a_few(snapshot: &Snapshot, tasks: &[TaskId]) -> String {
    /// More names than this are noise in a sentence.
    const NAMED: usize = 3;
    let names: Vec<String> = tasks.iter().take(NAMED).map(|&id| name_of(snapshot.task(id))).collect();
    match (tasks.len().checked_sub(NAMED), names.split_last()) {
        (Some(more), _) if more > 0 => format!("{} and {more} more", names.join(", ")),
        (_, Some((last, rest))) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.join(", "),
    }
}
