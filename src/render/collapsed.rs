//! Folded stacks: `task:NAME;outer (file:line);inner (file:line) count`, one line for each distinct stack, for any
//! flame graph tool.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};

use super::options::Options;
use super::{escape, label};
use crate::model::Snapshot;
use crate::model::snapshot::{Finding, Task};
use crate::profile::names::fold_digits;

/// Writes one line for each distinct await stack; its weight is the number of tasks there.
pub fn write(snapshot: &Snapshot, _findings: &[Finding], options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let mut out = io::BufWriter::new(out);
    for line in lines(snapshot, options) {
        writeln!(out, "{line}")?;
    }
    out.flush()
}

/// The lines, sorted.
pub(super) fn lines(snapshot: &Snapshot, options: &Options) -> Vec<String> {
    let frames: Vec<String> = snapshot
        .frames
        .iter()
        .map(|frame| {
            without_separator(&format!("{} ({})", escape::visible(&frame.function), label::place(frame))).into()
        })
        .collect();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for task in &snapshot.tasks {
        let mut stack = format!("task:{}", task_frame(task, options.full_task_names));
        for id in &task.stack {
            stack.push(';');
            stack.push_str(&frames[id.0 as usize]);
        }
        if let Some(awaiting) = &task.awaiting {
            stack.push_str(";await:");
            stack.push_str(awaiting.kind.as_str());
        }
        *counts.entry(stack).or_default() += 1;
    }
    counts.into_iter().map(|(stack, count)| format!("{stack} {count}")).collect()
}

fn task_frame(task: &Task, full: bool) -> String {
    match task.name.as_deref() {
        // An id would make every task a separate stack.
        None | Some("") => "?".into(),
        Some(name) if full => without_separator(&label::name(name)).into_owned(),
        Some(name) => without_separator(&label::name(&fold_digits(name))).into_owned(),
    }
}

/// The semicolon separates frames.
pub(super) fn without_separator(text: &str) -> Cow<'_, str> {
    if text.contains(';') { text.replace(';', ":").into() } else { text.into() }
}
