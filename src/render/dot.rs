//! The await graph for Graphviz: a box for each task, an arrow to what it waits for; many similar leaves share one box.

use std::io::{self, Write};

use rustc_hash::FxHashMap;

use super::options::Options;
use super::{escape, groups, label};
use crate::detect::origin;
use crate::model::Snapshot;
use crate::model::snapshot::{Finding, FrameId, Task, TaskId};

/// More similar leaves than this share one box: a graph of ten thousand boxes is unreadable.
const ALIKE: usize = 5;

/// Writes a directed graph.
pub fn write(snapshot: &Snapshot, findings: &[Finding], _options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let mut out = io::BufWriter::new(out);
    let in_cycle = groups::in_cycles(snapshot, findings);
    let boxes = Boxes::of(snapshot, &in_cycle);
    writeln!(out, "digraph tasks {{")?;
    writeln!(out, "  rankdir=LR;")?;
    writeln!(out, "  node [shape=box, style=\"rounded,filled\", fillcolor=white, fontname=\"sans-serif\"];")?;
    writeln!(out, "  edge [fontname=\"sans-serif\"];")?;
    for (number, members) in boxes.members.iter().enumerate() {
        let Some(&first) = members.first() else { continue };
        let task = snapshot.task(first);
        let color = color_of(task, in_cycle[first.0 as usize]);
        writeln!(out, "  t{number} [label={}{color}];", quoted(&label_of(snapshot, members)))?;
    }
    for (from, to, why) in boxes.edges(snapshot) {
        match why {
            Why::Awaits => writeln!(out, "  t{from} -> t{to};")?,
            Why::HeldBy => writeln!(out, "  t{from} -> t{to} [style=dashed, label=\"held by\"];")?,
        }
    }
    if let Some(unread) = label::unread(snapshot) {
        writeln!(out, "  unread [label={}, style=dashed];", quoted(&[unread]))?;
    }
    writeln!(out, "}}")?;
    out.flush()
}

/// Which tasks share a box.
struct Boxes {
    members: Vec<Vec<TaskId>>,
    box_of: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Why {
    Awaits,
    HeldBy,
}

/// Leaves with the same stack, state, wait and awaiters are similar.
#[derive(PartialEq, Eq, Hash)]
struct Likeness<'s> {
    stack: &'s [FrameId],
    state: &'static str,
    wait: Option<&'static str>,
    awaited_by: &'s [TaskId],
    orphaned: bool,
}

impl Boxes {
    fn of(snapshot: &Snapshot, in_cycle: &[bool]) -> Self {
        let mut holds = vec![false; snapshot.tasks.len()];
        for id in snapshot.tasks.iter().filter_map(|task| task.awaiting.as_ref()).flat_map(|wait| &wait.held_by) {
            holds[id.0 as usize] = true;
        }
        let mut alike: FxHashMap<Likeness<'_>, Vec<TaskId>> = FxHashMap::default();
        let likeness = |id: TaskId| likeness(snapshot.task(id), in_cycle[id.0 as usize] || holds[id.0 as usize]);
        let ids = || (0..).map(TaskId).take(snapshot.tasks.len());
        for id in ids() {
            if let Some(likeness) = likeness(id) {
                alike.entry(likeness).or_default().push(id);
            }
        }
        let mut boxes = Self { members: Vec::new(), box_of: vec![0; snapshot.tasks.len()] };
        for id in ids() {
            match likeness(id).and_then(|likeness| alike.get(&likeness)).filter(|group| group.len() > ALIKE) {
                Some(group) if group[0] != id => boxes.box_of[id.0 as usize] = boxes.box_of[group[0].0 as usize],
                group => {
                    boxes.box_of[id.0 as usize] = boxes.members.len();
                    boxes.members.push(group.cloned().unwrap_or_else(|| vec![id]));
                }
            }
        }
        boxes
    }

    fn edges(&self, snapshot: &Snapshot) -> Vec<(usize, usize, Why)> {
        let mut edges = Vec::new();
        for (index, task) in snapshot.tasks.iter().enumerate() {
            let Some(awaiting) = &task.awaiting else { continue };
            let from = self.box_of[index];
            let mut add = |ids: &[TaskId], why| {
                edges.extend(ids.iter().map(|id| (from, self.box_of[id.0 as usize], why)));
            };
            add(&awaiting.tasks, Why::Awaits);
            add(&awaiting.held_by, Why::HeldBy);
        }
        edges.sort_unstable();
        edges.dedup();
        edges
    }
}

fn likeness(task: &Task, alone: bool) -> Option<Likeness<'_>> {
    let wait = task.awaiting.as_ref();
    let alone = alone || wait.is_some_and(|wait| !wait.tasks.is_empty() || !wait.held_by.is_empty());
    (!alone).then(|| Likeness {
        stack: &task.stack,
        state: task.state.as_str(),
        wait: wait.map(|wait| wait.kind.as_str()),
        awaited_by: &task.awaited_by,
        orphaned: task.orphaned == Some(true),
    })
}

/// Name, state, and place in the program.
fn label_of(snapshot: &Snapshot, members: &[TaskId]) -> Vec<String> {
    let Some(&first) = members.first() else { return Vec::new() };
    let task = snapshot.task(first);
    let many = if members.len() > 1 { format!("{} × ", label::count(members.len())) } else { String::new() };
    let mut lines = vec![format!("{many}{}", label::tasks(snapshot, members, 3))];
    lines.push(match &task.awaiting {
        Some(awaiting) => format!("{} for {}", label::state(task), label::wait(awaiting.kind)),
        None => label::state(task).into_owned(),
    });
    if let Some(frame) = origin::find_culprit(snapshot, &task.stack) {
        lines.push(format!("{} ({})", escape::brief(&frame.function, 80), label::place(frame)));
    }
    if let Some(exception) = &task.unretrieved_exception {
        lines.push(escape::brief(exception, 120).into_owned());
    }
    lines
}

fn color_of(task: &Task, in_cycle: bool) -> &'static str {
    if in_cycle {
        ", fillcolor=\"#ffc9c9\""
    } else if task.orphaned == Some(true) || task.unretrieved_exception.is_some() {
        ", fillcolor=\"#ffe8cc\""
    } else if task.awaiting.is_none() {
        ", fillcolor=\"#d3f9d8\""
    } else {
        ""
    }
}

/// A quoted string of left-aligned lines. Graphviz interprets only `\` and `"` in it.
fn quoted(lines: &[String]) -> String {
    let mut text = String::from("\"");
    for line in lines {
        text.push_str(&line.replace('\\', "\\\\").replace('"', "\\\""));
        text.push_str("\\l");
    }
    text.push('"');
    text
}
