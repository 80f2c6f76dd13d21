//! Translates events from one set of tables to another: from those of a source to those of a block or of the live
//! tasks.

use rustc_hash::FxHashMap;

use crate::model::event::{Event, KeptFinding, LoopSample, TaskChanges, TaskLook, TaskWait};
use crate::model::tables::{LoopNo, StackId, StackNode, Tables, TaskNo, UndefinedError};

/// Maps the numbers of one set of tables to another, for those that were asked for.
#[derive(Debug, Default)]
pub(super) struct Translation {
    stacks: FxHashMap<StackId, StackId>,
    tasks: FxHashMap<TaskNo, TaskNo>,
    loops: FxHashMap<LoopNo, LoopNo>,
}

impl Translation {
    /// Number of mapped entries.
    pub(super) fn len(&self) -> usize {
        self.stacks.len() + self.tasks.len() + self.loops.len()
    }
}

/// Two sets of tables and the mapping between them.
pub(super) struct Translator<'t> {
    pub(super) from: &'t Tables,
    pub(super) to: &'t mut Tables,
    pub(super) known: &'t mut Translation,
}

impl Translator<'_> {
    pub(super) fn task(&mut self, number: TaskNo) -> Result<TaskNo, UndefinedError> {
        if let Some(known) = self.known.tasks.get(&number) {
            return Ok(*known);
        }
        let found = self.to.add_task(self.from.task(number).ok_or(UndefinedError)?);
        self.known.tasks.insert(number, found);
        Ok(found)
    }

    pub(super) fn event_loop(&mut self, number: LoopNo) -> Result<LoopNo, UndefinedError> {
        if let Some(known) = self.known.loops.get(&number) {
            return Ok(*known);
        }
        let found = self.to.add_loop(self.from.event_loop(number).ok_or(UndefinedError)?);
        self.known.loops.insert(number, found);
        Ok(found)
    }

    pub(super) fn stack(&mut self, id: StackId) -> Result<StackId, UndefinedError> {
        if let Some(known) = self.known.stacks.get(&id) {
            return Ok(*known);
        }
        // From the innermost frame out to a caller that is mapped, then back. It ends, because a caller is defined
        // before its callee.
        let mut unknown = vec![(id, self.from.stack(id).ok_or(UndefinedError)?)];
        let mut outer = None;
        while let Some((_, StackNode { caller: Some(caller), .. })) = unknown.last() {
            if let Some(known) = self.known.stacks.get(caller) {
                outer = Some(*known);
                break;
            }
            unknown.push((*caller, self.from.stack(*caller).ok_or(UndefinedError)?));
        }
        let mut found = id;
        for (id, node) in unknown.into_iter().rev() {
            let frame = self.to.add_frame(self.from.frame(node.frame).ok_or(UndefinedError)?);
            found = self.to.add_stack(outer, frame);
            self.known.stacks.insert(id, found);
            outer = Some(found);
        }
        Ok(found)
    }

    fn tasks(&mut self, numbers: &[TaskNo]) -> Result<Vec<TaskNo>, UndefinedError> {
        numbers.iter().map(|number| self.task(*number)).collect()
    }

    pub(super) fn look(&mut self, look: &TaskLook) -> Result<TaskLook, UndefinedError> {
        let wait = match &look.wait {
            None => None,
            Some(wait) => Some(TaskWait {
                kind: wait.kind,
                detail: wait.detail.clone(),
                tasks: self.tasks(&wait.tasks)?,
                held_by: self.tasks(&wait.held_by)?,
            }),
        };
        let stack = look.stack.map(|stack| self.stack(stack)).transpose()?;
        Ok(TaskLook { task: self.task(look.task)?, stack, wait, ..*look })
    }

    /// The same event, with numbers of the other tables.
    ///
    /// # Errors
    /// When it refers to an entry that its own tables do not have.
    pub(super) fn event(&mut self, event: &Event) -> Result<Event, UndefinedError> {
        Ok(match event {
            Event::Loop(sample) => Event::Loop(LoopSample {
                event_loop: self.event_loop(sample.event_loop)?,
                task: sample.task.map(|task| self.task(task)).transpose()?,
                stack: sample.stack.map(|stack| self.stack(stack)).transpose()?,
                holder_stack: sample.holder_stack.map(|stack| self.stack(stack)).transpose()?,
                ..sample.clone()
            }),
            Event::Tasks(changes) => Event::Tasks(TaskChanges {
                changed: changes.changed.iter().map(|look| self.look(look)).collect::<Result<_, _>>()?,
                ended: self.tasks(&changes.ended)?,
                timers: (changes.timers.iter())
                    .map(|(task, timer)| Ok((self.task(*task)?, *timer)))
                    .collect::<Result<_, _>>()?,
                ..*changes
            }),
            Event::Findings { at_ns, findings } => {
                let mut carried = Vec::with_capacity(findings.len());
                for kept in findings {
                    carried.push(KeptFinding { tasks: self.tasks(&kept.tasks)?, ..kept.clone() });
                }
                Event::Findings { at_ns: *at_ns, findings: carried }
            }
            Event::Health(_) | Event::Note(_) => event.clone(),
        })
    }
}
