//! Wording for tasks, waits and counts, shared by every human-readable format.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::SystemTime;

use super::escape::{brief, visible};
use crate::model::Snapshot;
use crate::model::snapshot::{Frame, StackEnd, Task, TaskId, TaskState, ThreadState, WaitKind};

/// A longer task name is cut in the middle, as it would hide everything else.
const NAME_LENGTH: usize = 80;

/// A task's name, safe to print; its id if it has no name.
pub(super) fn task(task: &Task) -> Cow<'_, str> {
    match &task.name {
        Some(name) if !name.is_empty() => self::name(name),
        _ => format!("task {:#x}", task.key).into(),
    }
}

/// A name, safe to print.
pub(super) fn name(name: &str) -> Cow<'_, str> {
    brief(name, NAME_LENGTH)
}

/// `Task-1, Task-2 and 9,998 more`.
pub(super) fn tasks(snapshot: &Snapshot, ids: &[TaskId], most: usize) -> String {
    let shown = if ids.len() == most + 1 { most + 1 } else { most };
    let mut names = String::new();
    for (position, &id) in ids.iter().take(shown).enumerate() {
        if position > 0 {
            names.push_str(", ");
        }
        names.push_str(&task(snapshot.task(id)));
    }
    if ids.len() > shown {
        let _ = write!(names, " and {} more", count(ids.len() - shown));
    }
    names
}

/// A task's state in one word.
pub(super) fn state_word(state: TaskState) -> &'static str {
    match state {
        TaskState::Unknown => "in unknown state",
        known => known.as_str(),
    }
}

/// What a task does, as a verb: "waits", perhaps followed by " for ..." and what it waits for.
pub(super) fn state(task: &Task) -> Cow<'static, str> {
    match (task.state, task.cancel_requests) {
        (TaskState::Waiting, _) => "waits".into(),
        (TaskState::Cancelling, requests) if requests > 1 => format!("cancelled {requests} times, waits").into(),
        (TaskState::Cancelling, _) => "cancelled, waits".into(),
        (state, _) => state_word(state).into(),
    }
}

/// A wait as named in a sentence: "waits for ...".
pub(super) fn wait(kind: WaitKind) -> &'static str {
    match kind {
        WaitKind::Sleep => "asyncio.sleep",
        WaitKind::Future => "a future",
        WaitKind::Task => "a task",
        WaitKind::Gather => "asyncio.gather",
        WaitKind::TaskGroup => "a task group",
        WaitKind::Wait => "asyncio.wait",
        WaitKind::Shield => "asyncio.shield",
        WaitKind::Lock => "a lock",
        WaitKind::Semaphore => "a semaphore",
        WaitKind::Event => "an event",
        WaitKind::Condition => "a condition",
        WaitKind::QueueGet => "queue.get",
        WaitKind::QueuePut => "queue.put",
        WaitKind::Executor => "an executor job",
        WaitKind::Socket => "a socket",
        WaitKind::Subprocess => "a subprocess",
        WaitKind::Other => "something else",
    }
}

/// Why a stack ends, as its last line.
pub(super) fn stack_end(end: &StackEnd) -> Cow<'static, str> {
    match end {
        StackEnd::Opaque(class) => format!("awaits {}, which cannot be inspected", visible(class)).into(),
        StackEnd::Torn => "changed during the read: the rest is unknown".into(),
        StackEnd::Limit => "deeper than asyncprof reads".into(),
    }
}

/// What a thread is doing.
pub(super) fn thread_state(state: &ThreadState) -> Cow<'_, str> {
    match state {
        ThreadState::Running => "running".into(),
        ThreadState::Idle => "idle in its selector".into(),
        ThreadState::WaitingGil => "waiting for the GIL".into(),
        ThreadState::Syscall(call) => format!("in {}", visible(call)).into(),
        ThreadState::Stopped => "stopped".into(),
        ThreadState::Unknown => "state unknown".into(),
    }
}

/// `file:line`, never cut.
pub(super) fn place(frame: &Frame) -> String {
    match frame.line {
        Some(line) => format!("{}:{line}", visible(&frame.file)),
        None => visible(&frame.file).into_owned(),
    }
}

/// RFC 3339 in UTC, to the millisecond.
pub(super) fn timestamp(time: SystemTime) -> String {
    let Ok(time) = jiff::Timestamp::try_from(time) else { return "unknown".into() };
    // Rounding can only fail at the end of the representable range.
    time.round(jiff::Unit::Millisecond).unwrap_or(time).to_string()
}

/// `1,204`.
pub(super) fn count(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().unwrap_or(u64::MAX).to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.char_indices() {
        if position > 0 && (digits.len() - position) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 task`, `1,204 tasks`.
pub(super) fn counted(number: impl TryInto<u64>, noun: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// How many tasks were not read, if there are any.
pub(super) fn unread(snapshot: &Snapshot) -> Option<String> {
    let unread = snapshot.unread_tasks;
    (unread > 0).then(|| format!("{} not read (see --max-memory)", counted(unread, "task")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_by_thousands() {
        assert_eq!(count(0_u64), "0");
        assert_eq!(count(999_u64), "999");
        assert_eq!(count(1_000_u64), "1,000");
        assert_eq!(count(1_234_567_u64), "1,234,567");
        assert_eq!(counted(1_u64, "task"), "1 task");
        assert_eq!(counted(0_u64, "task"), "0 tasks");
    }
}
