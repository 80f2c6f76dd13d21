//! Interned names: frames, stacks, tasks and loops are numbered in the order in which they are first met, and events
//! carry the numbers.
//!
//! A stack is stored as its innermost frame plus the stack of its caller, so stacks with the same outer frames share
//! memory, and an await stack that grows by one level costs one entry.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::snapshot::{Frame, FrameId};

/// The number of a stack, see [`Tables::stack`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StackId(pub u32);

/// The number of a task in a watch, see [`Tables::task`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskNo(pub u32);

/// The number of an event loop in a watch, see [`Tables::event_loop`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoopNo(pub u32);

/// The innermost frame of a stack, and the stack that called it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StackNode {
    /// `None` for the outermost frame.
    pub caller: Option<StackId>,
    /// Its number, see [`Tables::frame`].
    pub frame: FrameId,
}

/// The constant properties of a task, sent once. Two successive tasks with equal properties cannot be distinguished and
/// count as one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TaskInfo {
    /// Its identity in the target while it lives; printed as hex. A later task can have the same one.
    pub key: u64,
    /// The result of `get_name()`.
    pub name: Option<Arc<str>>,
    /// The coroutine it was created from: function and file; the line is the first line of the function.
    pub coroutine: Option<Frame>,
}

/// The constant properties of an event loop, sent once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LoopInfo {
    /// Its identity in the target while it lives.
    pub key: u64,
    /// Qualified class name.
    pub class: Arc<str>,
    /// Kernel id of the thread that runs it, in our PID namespace.
    pub thread: Option<i32>,
    /// That thread's name.
    pub thread_name: Option<Arc<str>>,
}

/// Numbered names of one source of events.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    frames: Vec<Frame>,
    stacks: Vec<StackNode>,
    tasks: Vec<TaskInfo>,
    loops: Vec<LoopInfo>,
    frame_ids: FxHashMap<Frame, FrameId>,
    stack_ids: FxHashMap<StackNode, StackId>,
    task_numbers: FxHashMap<TaskInfo, TaskNo>,
    loop_numbers: FxHashMap<LoopInfo, LoopNo>,
}

/// New entries, to follow those that the receiver has already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definitions {
    /// For [`Tables::frame`].
    pub frames: Vec<Frame>,
    /// For [`Tables::stack`].
    pub stacks: Vec<StackNode>,
    /// For [`Tables::task`].
    pub tasks: Vec<TaskInfo>,
    /// For [`Tables::event_loop`].
    pub loops: Vec<LoopInfo>,
}

impl Definitions {
    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.stacks.is_empty() && self.tasks.is_empty() && self.loops.is_empty()
    }
}

/// The number of entries of each kind: identifies how much of the tables a receiver has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    frames: usize,
    stacks: usize,
    tasks: usize,
    loops: usize,
}

/// Definitions that refer to entries that are not defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stack names a caller or a frame that was not defined before it")]
pub struct UndefinedError;

impl Tables {
    /// The number of a frame.
    pub fn add_frame(&mut self, frame: &Frame) -> FrameId {
        if let Some(id) = self.frame_ids.get(frame) {
            return *id;
        }
        let id = FrameId(self.frames.len() as u32);
        self.frames.push(frame.clone());
        self.frame_ids.insert(frame.clone(), id);
        id
    }

    /// The number of the stack that has `frame` as its innermost frame, called by `caller`.
    pub fn add_stack(&mut self, caller: Option<StackId>, frame: FrameId) -> StackId {
        let node = StackNode { caller, frame };
        *self.stack_ids.entry(node).or_insert_with(|| {
            self.stacks.push(node);
            StackId(self.stacks.len() as u32 - 1)
        })
    }

    /// The number of a whole stack, given outermost frame first; `None` for a stack without frames.
    pub fn add_frames<'f>(&mut self, frames: impl IntoIterator<Item = &'f Frame>) -> Option<StackId> {
        let mut stack = None;
        for frame in frames {
            let frame = self.add_frame(frame);
            stack = Some(self.add_stack(stack, frame));
        }
        stack
    }

    /// The number of a task.
    pub fn add_task(&mut self, task: &TaskInfo) -> TaskNo {
        if let Some(number) = self.task_numbers.get(task) {
            return *number;
        }
        let number = TaskNo(self.tasks.len() as u32);
        self.tasks.push(task.clone());
        self.task_numbers.insert(task.clone(), number);
        number
    }

    /// The number of an event loop.
    pub fn add_loop(&mut self, event_loop: &LoopInfo) -> LoopNo {
        if let Some(number) = self.loop_numbers.get(event_loop) {
            return *number;
        }
        let number = LoopNo(self.loops.len() as u32);
        self.loops.push(event_loop.clone());
        self.loop_numbers.insert(event_loop.clone(), number);
        number
    }

    /// The frame with this number.
    pub fn frame(&self, id: FrameId) -> Option<&Frame> {
        self.frames.get(id.0 as usize)
    }

    /// The stack with this number.
    pub fn stack(&self, id: StackId) -> Option<StackNode> {
        self.stacks.get(id.0 as usize).copied()
    }

    /// The task with this number.
    pub fn task(&self, number: TaskNo) -> Option<&TaskInfo> {
        self.tasks.get(number.0 as usize)
    }

    /// The event loop with this number.
    pub fn event_loop(&self, number: LoopNo) -> Option<&LoopInfo> {
        self.loops.get(number.0 as usize)
    }

    /// All event loops, in the order of their numbers.
    pub fn loops(&self) -> &[LoopInfo] {
        &self.loops
    }

    /// All tasks, in the order of their numbers.
    pub fn tasks(&self) -> &[TaskInfo] {
        &self.tasks
    }

    /// Numbers of the frames of a stack, innermost first.
    pub fn frames_of(&self, stack: StackId) -> impl Iterator<Item = FrameId> + '_ {
        let mut next = Some(stack);
        std::iter::from_fn(move || {
            let node = self.stack(next?)?;
            next = node.caller;
            Some(node.frame)
        })
    }

    /// A stack's frames, outermost first.
    pub fn frames_outermost_first(&self, stack: StackId) -> Vec<&Frame> {
        let mut frames: Vec<&Frame> = self.frames_of(stack).filter_map(|id| self.frame(id)).collect();
        frames.reverse();
        frames
    }

    /// The current number of entries.
    pub fn mark(&self) -> Mark {
        Mark { frames: self.frames.len(), stacks: self.stacks.len(), tasks: self.tasks.len(), loops: self.loops.len() }
    }

    /// What was defined after `mark`.
    pub fn since(&self, mark: Mark) -> Definitions {
        Definitions {
            frames: self.frames[mark.frames..].to_vec(),
            stacks: self.stacks[mark.stacks..].to_vec(),
            tasks: self.tasks[mark.tasks..].to_vec(),
            loops: self.loops[mark.loops..].to_vec(),
        }
    }

    /// Adds the definitions of another table under the same numbers.
    ///
    /// # Errors
    /// If a stack is defined before its parts; then nothing is defined.
    pub fn define(&mut self, definitions: &Definitions) -> Result<(), UndefinedError> {
        let (frames, first) = (self.frames.len() + definitions.frames.len(), self.stacks.len());
        let is_whole = |(at, node): (usize, &StackNode)| {
            (node.frame.0 as usize) < frames && node.caller.is_none_or(|caller| (caller.0 as usize) < first + at)
        };
        if !definitions.stacks.iter().enumerate().all(is_whole) {
            return Err(UndefinedError);
        }
        for frame in &definitions.frames {
            self.frame_ids.insert(frame.clone(), FrameId(self.frames.len() as u32));
            self.frames.push(frame.clone());
        }
        for node in &definitions.stacks {
            self.stack_ids.insert(*node, StackId(self.stacks.len() as u32));
            self.stacks.push(*node);
        }
        for task in &definitions.tasks {
            self.task_numbers.insert(task.clone(), TaskNo(self.tasks.len() as u32));
            self.tasks.push(task.clone());
        }
        for event_loop in &definitions.loops {
            self.loop_numbers.insert(event_loop.clone(), LoopNo(self.loops.len() as u32));
            self.loops.push(event_loop.clone());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &str, line: u32) -> Frame {
        Frame { function: function.into(), file: "app.py".into(), line: Some(line) }
    }

    #[test]
    fn stacks_share_what_they_have_in_common() {
        let mut tables = Tables::default();
        let (main, serve, read) = (frame("main", 1), frame("serve", 2), frame("read", 3));
        let outer = tables.add_frames([&main, &serve]).unwrap();
        let inner = tables.add_frames([&main, &serve, &read]).unwrap();
        assert_eq!(tables.stack(inner).unwrap().caller, Some(outer));
        assert_eq!(tables.frames_outermost_first(inner), [&main, &serve, &read]);
        assert_eq!(tables.add_frames([&main, &serve, &read]), Some(inner));
        assert_eq!(tables.add_frames([]), None);
    }

    #[test]
    fn what_was_defined_after_a_mark_makes_the_same_tables_elsewhere() {
        let (mut ours, mut theirs) = (Tables::default(), Tables::default());
        let task = TaskInfo { key: 0x10, name: Some("Task-1".into()), coroutine: Some(frame("main", 1)) };
        let outer = ours.add_frames([&frame("main", 1)]).unwrap();
        let mark = ours.mark();
        theirs.define(&ours.since(Mark::default())).unwrap();
        let number = ours.add_task(&task);
        let inner = ours.add_frames([&frame("main", 1), &frame("read", 2)]).unwrap();
        theirs.define(&ours.since(mark)).unwrap();
        assert_eq!(theirs.frames_outermost_first(inner), ours.frames_outermost_first(inner));
        assert_eq!(theirs.task(number), Some(&task));
        assert_eq!((theirs.add_task(&task), theirs.mark()), (number, ours.mark()));
        assert_eq!(theirs.add_frames([&frame("main", 1)]), Some(outer));
    }

    #[test]
    fn a_stack_whose_parts_were_not_defined_is_refused() {
        let mut tables = Tables::default();
        let alone = StackNode { caller: None, frame: FrameId(0) };
        let undefined = Definitions { stacks: vec![alone], ..Definitions::default() };
        assert_eq!(tables.define(&undefined), Err(UndefinedError));
        let own_caller = StackNode { caller: Some(StackId(0)), frame: FrameId(0) };
        let circle = Definitions { frames: vec![frame("f", 1)], stacks: vec![own_caller], ..Definitions::default() };
        assert_eq!(tables.define(&circle), Err(UndefinedError));
        assert_eq!(tables.mark(), Mark::default());
    }
}
