//! The state of tasks and futures that is kept between samples, and the memory that it depends on.

use std::sync::Arc;

use super::knowledge::Knowledge;
use crate::capture::assemble::{is_suspended, task_state};
use crate::capture::task_walk::{TaskWalk, node};
use crate::model::event::{TaskLook, TaskWait};
use crate::model::snapshot::TaskState;
use crate::model::tables::{StackId, Tables, TaskInfo, TaskNo};
use crate::python::coroutine::ChainEnd;
use crate::remote::Addr;
use crate::remote::store::Lines;
use crate::runtime::record::Waited;
use crate::runtime::wait::Wait;
use crate::runtime::wait_graph::{Edges, Node};

/// A task that was read.
pub(super) struct TaskEntry {
    pub(super) addr: Addr,
    /// The memory that all of this depends on.
    pub(super) lines: Lines,
    /// It was proved to show a single moment, and the memory it depends on has not changed since.
    pub(super) holds: bool,
    /// The last enumeration that listed it.
    pub(super) listed: u32,
    /// Its coroutine.
    root: Option<Addr>,
    info: TaskInfo,
    /// `None` for a task that is done.
    pub(super) number: Option<TaskNo>,
    /// It was not there at the sample before the one that first reported it.
    born: bool,
    state: TaskState,
    stack: Option<StackId>,
    torn: bool,
    pub(super) waiter: Option<Addr>,
    /// What it waits for, or waited for before it was woken.
    pub(super) wait: Option<Wait>,
    /// The tasks that await it, according to its own field (3.14+).
    awaited_by: Vec<Addr>,
    pub(super) reports_to: Vec<Addr>,
    /// The objects that its coroutines have entered with `async with`, including locks.
    pub(super) entered: Vec<Addr>,
    /// The edges of `wait` among all tasks.
    pub(super) edges: Edges<TaskNo>,
    reported: Option<TaskLook>,
    /// The timer that was reported last; 0 for none.
    reported_timer: u64,
}

/// A future that tasks wait for, or that lies between tasks.
pub(super) struct FutureEntry {
    pub(super) lines: Lines,
    /// The memory it depends on has not changed since it was read.
    pub(super) holds: bool,
    /// The last sample that needed it.
    pub(super) used: u32,
    /// `None` if it is of no runtime.
    pub(super) waiter: Option<Waited>,
    pub(super) reports_to: Vec<Addr>,
}

impl FutureEntry {
    /// Whether another reading gave the same result.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        self.waiter == other.waiter && self.reports_to == other.reports_to
    }
}

impl TaskEntry {
    /// A task that has never been read.
    pub(super) fn new(addr: Addr, listed: u32, born: bool) -> Self {
        Self {
            addr,
            lines: Lines::default(),
            holds: false,
            listed,
            root: None,
            info: TaskInfo { key: addr.raw(), name: None, coroutine: None },
            number: None,
            born,
            state: TaskState::Unknown,
            stack: None,
            torn: false,
            waiter: None,
            wait: None,
            awaited_by: Vec::new(),
            reports_to: Vec::new(),
            entered: Vec::new(),
            edges: Edges::default(),
            reported: None,
            reported_timer: 0,
        }
    }

    /// Takes the result of a walk. `coroutine` is the frame that names its function. Returns a number that is no longer
    /// in use, if any.
    pub(super) fn take(
        &mut self,
        walk: &TaskWalk,
        coroutine: Option<u32>,
        knowledge: &mut Knowledge,
        tables: &mut Tables,
    ) -> Option<TaskNo> {
        let record = walk.record.as_ref();
        self.waiter = walk.waiter();
        let own = walk.references.iter();
        self.reports_to = own.flat_map(|references| references.reports_to()).collect();
        let Some(record) = record.filter(|record| record.is_pending()) else {
            (self.wait, self.reported) = (None, None);
            (self.awaited_by, self.edges, self.entered) = (Vec::new(), Edges::default(), Vec::new());
            return self.number.take();
        };
        self.awaited_by.clone_from(&record.future.awaited_by);
        let before = self.identify(record.name.as_deref(), record.coroutine, coroutine, knowledge, tables);
        self.state = task_state(walk, false);
        self.wait = walk.wait.clone();
        self.torn = walk.chain.as_ref().is_some_and(|chain| matches!(chain.end, ChainEnd::Broken(_)));
        self.stack = walk.frames.iter().fold(None, |caller, number| {
            let frame = knowledge.frame_id(tables, *number)?;
            Some(tables.add_stack(caller, frame))
        });
        before
    }

    /// The task in the wait graph, while it is pending.
    pub(super) fn node(&self) -> Option<Node<'_, TaskNo>> {
        let (wait, suspended) = (self.wait.as_ref(), is_suspended(self.state));
        Some(node(self.number?, wait, suspended, &self.entered, &self.awaited_by))
    }

    /// Determines whether it is still the same task; if not, returns the number of the previous one.
    fn identify(
        &mut self,
        name: Option<&str>,
        root: Option<Addr>,
        coroutine: Option<u32>,
        knowledge: &Knowledge,
        tables: &mut Tables,
    ) -> Option<TaskNo> {
        let same_name = self.info.name.as_deref() == name;
        let coroutine = coroutine.and_then(|number| knowledge.frame(number)).or_else(|| {
            // It cannot be read now; the same coroutine has the same function.
            self.info.coroutine.clone().filter(|_| root == self.root)
        });
        let same = self.number.is_some() && same_name && coroutine == self.info.coroutine;
        let renamed = self.number.is_some() && root == self.root && coroutine == self.info.coroutine;
        self.root = root;
        if same {
            return None;
        }
        self.info.name = if same_name { self.info.name.take() } else { name.map(Arc::from) };
        self.info.coroutine = coroutine;
        let before = self.number.replace(tables.add_task(&self.info));
        if before.is_some() {
            // A new task at the address of one that has ended; unless the coroutine shows that it is the same task,
            // which was renamed.
            self.born = !renamed;
            self.reported = None;
        }
        before.filter(|before| Some(*before) != self.number)
    }

    /// The tables were reset: it has no number, and does not count as new.
    pub(super) fn forget_number(&mut self) {
        (self.number, self.born, self.holds, self.reported) = (None, false, false, None);
    }

    /// The current state of the task, if it differs from what was reported last.
    pub(super) fn report(&mut self) -> Option<TaskLook> {
        let task = self.number?;
        let wait = self.wait.as_ref().filter(|_| is_suspended(self.state));
        let same_wait = match (wait, self.reported.as_ref().and_then(|look| look.wait.as_ref())) {
            (None, None) => true,
            (Some(wait), Some(known)) => {
                wait.kind == known.kind
                    && wait.detail == known.detail
                    && self.edges.awaits[..] == known.tasks[..]
                    && self.edges.held_by[..] == known.held_by[..]
            }
            _ => false,
        };
        let same = self.reported.as_ref().is_some_and(|look| {
            (look.state, look.stack, look.torn) == (self.state, self.stack, self.torn) && same_wait
        });
        if same {
            return None;
        }
        let wait = wait.map(|wait| TaskWait {
            kind: wait.kind,
            detail: wait.detail.clone(),
            tasks: self.edges.awaits.to_vec(),
            held_by: self.edges.held_by.to_vec(),
        });
        let born = std::mem::take(&mut self.born);
        let look = TaskLook { task, born, state: self.state, stack: self.stack, torn: self.torn, wait };
        self.reported = Some(look.clone());
        // Who is told of the task anew knows nothing of its timer.
        self.reported_timer = 0;
        Some(look)
    }

    /// The timer that ends its wait, if it differs from the one reported last. Call it after [`TaskEntry::report`].
    pub(super) fn report_timer(&mut self) -> Option<(TaskNo, u64)> {
        let task = self.number?;
        let wait = self.wait.as_ref().filter(|_| self.holds && is_suspended(self.state));
        let timer = wait.and_then(|wait| wait.deadline).unwrap_or(0);
        (std::mem::replace(&mut self.reported_timer, timer) != timer).then_some((task, timer))
    }
}
