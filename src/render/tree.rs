//! The await graph as a tree: each task with the tasks it waits for below it. A task with several awaiters is shown
//! once and referred to after that; a cycle is marked and never followed. Nothing here recurses: a chain of a hundred
//! thousand tasks needs no more stack than one task.

use std::io::{self, Write};

use rustc_hash::FxHashMap;

use super::options::Options;
use super::paint::Paint;
use super::{escape, groups, label};
use crate::model::Snapshot;
use crate::model::snapshot::{Finding, FrameId, Task, TaskId};
use crate::render::wait_words;

/// Deeper levels are numbered instead of indented: otherwise the page would grow with the square of the depth.
const DEEPEST_INDENT: usize = 24;

/// More similar children than this share one line.
const ALIKE: usize = 8;

/// Writes the tree.
pub fn write(snapshot: &Snapshot, findings: &[Finding], options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let mut out = io::BufWriter::new(out);
    if snapshot.tasks.is_empty() && snapshot.unread_tasks == 0 {
        writeln!(out, "No asyncio tasks.")?;
        return out.flush();
    }
    let mut tree = Tree {
        snapshot,
        in_cycle: groups::in_cycles(snapshot, findings),
        shown: vec![false; snapshot.tasks.len()],
        open: vec![false; snapshot.tasks.len()],
        paint: Paint::new(options.color),
        out: &mut out,
    };
    for root in roots(snapshot) {
        tree.walk_from(root)?;
    }
    // The rest are cycles that no task outside waits for.
    for id in (0..).map(TaskId).take(snapshot.tasks.len()) {
        if !tree.shown[id.0 as usize] {
            tree.walk_from(id)?;
        }
    }
    if let Some(unread) = label::unread(snapshot) {
        writeln!(out, "… {unread}")?;
    }
    out.flush()
}

/// Tasks without an awaiter.
fn roots(snapshot: &Snapshot) -> Vec<TaskId> {
    let mut awaited = vec![false; snapshot.tasks.len()];
    for task in &snapshot.tasks {
        for id in awaited_tasks(task) {
            awaited[id.0 as usize] = true;
        }
    }
    let ids = (0..).map(TaskId).zip(&snapshot.tasks);
    ids.filter(|(id, task)| task.awaited_by.is_empty() && !awaited[id.0 as usize]).map(|(id, _)| id).collect()
}

fn awaited_tasks(task: &Task) -> &[TaskId] {
    task.awaiting.as_ref().map_or(&[], |awaiting| &awaiting.tasks)
}

struct Tree<'a> {
    snapshot: &'a Snapshot,
    in_cycle: Vec<bool>,
    shown: Vec<bool>,
    /// On the path from the root to the current task.
    open: Vec<bool>,
    paint: Paint,
    out: &'a mut dyn Write,
}

/// The next item on the page.
enum Step {
    /// A task at this depth, and whether it is the last of its siblings.
    Enter(TaskId, usize, bool),
    /// Several similar tasks, none of which waits for another task.
    Alike(Vec<TaskId>, usize, bool),
    /// Everything below this task has been shown.
    Leave(TaskId),
}

impl Tree<'_> {
    fn walk_from(&mut self, root: TaskId) -> io::Result<()> {
        let mut rails = Rails::default();
        let mut steps = vec![Step::Enter(root, 0, true)];
        while let Some(step) = steps.pop() {
            match step {
                Step::Enter(id, depth, last) => {
                    rails.enter(depth, last);
                    if self.enter(id, &rails)? {
                        steps.push(Step::Leave(id));
                        self.push_children(id, depth + 1, &mut steps);
                    }
                }
                Step::Alike(ids, depth, last) => {
                    rails.enter(depth, last);
                    self.alike(&ids, &rails)?;
                }
                Step::Leave(id) => self.open[id.0 as usize] = false,
            }
        }
        Ok(())
    }

    /// Shows a task, or refers to where it is shown; returns true when its children follow.
    fn enter(&mut self, id: TaskId, rails: &Rails) -> io::Result<bool> {
        let task = self.snapshot.task(id);
        let index = id.0 as usize;
        let name = self.paint.name(label::task(task));
        if self.open[index] {
            writeln!(self.out, "{}{name} {}", rails.head(), self.paint.trouble("↺ cycle, see above"))?;
            return Ok(false);
        }
        if self.shown[index] {
            writeln!(self.out, "{}{name} {}", rails.head(), self.paint.faint("(see above)"))?;
            return Ok(false);
        }
        self.shown[index] = true;
        self.open[index] = true;
        writeln!(self.out, "{}{name}: {}{}", rails.head(), self.state_of(task), self.marks_of(id))?;
        self.stack(task, rails, !awaited_tasks(task).is_empty())?;
        Ok(true)
    }

    fn alike(&mut self, ids: &[TaskId], rails: &Rails) -> io::Result<()> {
        let Some(&first) = ids.first() else { return Ok(()) };
        for id in ids {
            self.shown[id.0 as usize] = true;
        }
        let task = self.snapshot.task(first);
        let names = self.paint.name(label::tasks(self.snapshot, ids, 4));
        let count = label::count(ids.len());
        writeln!(self.out, "{}{count} × {names}: {}{}", rails.head(), self.state_of(task), self.marks_of(first))?;
        self.stack(task, rails, false)
    }

    fn push_children(&mut self, id: TaskId, depth: usize, steps: &mut Vec<Step>) {
        let mut children: Vec<Step> = Vec::new();
        for ids in self.gather_alike(awaited_tasks(self.snapshot.task(id))) {
            match ids.as_slice() {
                &[id] => children.push(Step::Enter(id, depth, false)),
                _ => children.push(Step::Alike(ids, depth, false)),
            }
        }
        if let Some(Step::Enter(.., last) | Step::Alike(.., last)) = children.last_mut() {
            *last = true;
        }
        steps.extend(children.into_iter().rev());
    }

    /// Groups leaves with the same stack and wait if there are many; everything else stays separate, in order.
    fn gather_alike(&self, ids: &[TaskId]) -> Vec<Vec<TaskId>> {
        let mut alike: FxHashMap<_, Vec<TaskId>> = FxHashMap::default();
        for &id in ids {
            if let Some(likeness) = self.likeness(id) {
                alike.entry(likeness).or_default().push(id);
            }
        }
        alike.retain(|_, group| group.len() > ALIKE);
        let mut gathered = Vec::new();
        for &id in ids {
            match self.likeness(id).and_then(|likeness| alike.get_mut(&likeness)) {
                // The first member takes the whole group; the others find nothing left.
                Some(group) if group.is_empty() => {}
                Some(group) => gathered.push(std::mem::take(group)),
                None => gathered.push(vec![id]),
            }
        }
        gathered
    }

    fn likeness(&self, id: TaskId) -> Option<(&[FrameId], &'static str, Option<&'static str>)> {
        let task = self.snapshot.task(id);
        let wait = task.awaiting.as_ref();
        let alone = self.shown[id.0 as usize]
            || self.in_cycle[id.0 as usize]
            || wait.is_some_and(|wait| !wait.tasks.is_empty() || !wait.held_by.is_empty())
            || task.awaited_by.len() > 1
            || task.unretrieved_exception.is_some()
            || task.stack_end.is_some();
        (!alone).then(|| (task.stack.as_slice(), task.state.as_str(), wait.map(|wait| wait.kind.as_str())))
    }

    fn state_of(&self, task: &Task) -> String {
        let mut phrase = label::state(task).into_owned();
        if let Some(awaiting) = &task.awaiting {
            phrase.push_str(&format!(" for {}", label::wait(awaiting.kind)));
            if !awaiting.held_by.is_empty() {
                let holders = label::tasks(self.snapshot, &awaiting.held_by, 4);
                phrase.push_str(&format!(", held by {}", self.paint.name(holders)));
            }
            if let Some(detail) = awaiting.detail.as_ref().map(wait_words::detail)
                && (awaiting.held_by.is_empty() || !detail.starts_with("held by "))
            {
                phrase.push_str(&format!(" ({})", escape::brief(&detail, 80)));
            }
        }
        if let Some(exception) = &task.unretrieved_exception {
            phrase.push_str(&format!(" with {}", self.paint.trouble(escape::brief(exception, 200))));
        }
        phrase
    }

    fn marks_of(&self, id: TaskId) -> String {
        let task = self.snapshot.task(id);
        let mut marks = String::new();
        if self.in_cycle[id.0 as usize] {
            marks.push_str(&format!("  {}", self.paint.trouble("[deadlock]")));
        }
        if task.orphaned == Some(true) {
            marks.push_str(&format!("  {}", self.paint.trouble("[orphaned]")));
        }
        if task.awaited_by.len() > 1 {
            marks.push_str(&format!("  {}", self.paint.faint(format_args!("[{} awaiters]", task.awaited_by.len()))));
        }
        marks
    }

    fn stack(&mut self, task: &Task, rails: &Rails, children: bool) -> io::Result<()> {
        let body = rails.body(children);
        for &id in &task.stack {
            let frame = self.snapshot.frame(id);
            let place = self.paint.faint(format_args!("({})", label::place(frame)));
            writeln!(self.out, "{body}{} {place}", escape::brief(&frame.function, 200))?;
        }
        if let Some(end) = &task.stack_end {
            writeln!(self.out, "{body}{}", self.paint.faint(label::stack_end(end)))?;
        }
        Ok(())
    }
}

/// The lines at the left of the page: for each level, whether more siblings follow.
#[derive(Default)]
struct Rails {
    /// True if no sibling follows.
    last: Vec<bool>,
}

impl Rails {
    fn enter(&mut self, depth: usize, last: bool) {
        self.last.truncate(depth);
        self.last.push(last);
    }

    fn depth(&self) -> usize {
        self.last.len().saturating_sub(1)
    }

    /// Before a task's name.
    fn head(&self) -> String {
        let depth = self.depth();
        if depth == 0 {
            return String::new();
        }
        let elbow = if self.last[depth] { "└─ " } else { "├─ " };
        let number = if depth > DEEPEST_INDENT { format!("[level {depth}] ") } else { String::new() };
        format!("{}{elbow}{number}", self.rails(depth - 1))
    }

    /// Before a line that belongs to the task.
    fn body(&self, children: bool) -> String {
        let depth = self.depth();
        let below = if children { "│   " } else { "    " };
        format!("{}{below}", self.rails(depth))
    }

    /// The first levels below the root.
    fn rails(&self, depth: usize) -> String {
        let levels = self.last.get(1..=depth).unwrap_or_default();
        levels.iter().take(DEEPEST_INDENT).map(|&last| if last { "   " } else { "│  " }).collect()
    }
}
