//! What a runtime reads: tasks, futures, event loops and lists of tasks, at one reading.

use rustc_hash::FxHashSet;

use super::wait::Wait;
use crate::remote::{Addr, ReadError, Span};

/// LIMIT: tasks of one process.
pub const MAX_TASKS: usize = 4_000_000;

/// State of a future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FutureState {
    /// Not done.
    Pending,
    /// Done by cancellation.
    Cancelled,
    /// Done with a result or an exception.
    Finished,
}

/// A future that was read.
#[derive(Clone, Debug)]
pub struct FutureRecord {
    /// Its address.
    pub addr: Addr,
    /// It is a task.
    pub is_task: bool,
    /// It stands for several others, which it lists.
    pub is_gathering: bool,
    /// Its state.
    pub state: FutureState,
    /// The event loop it belongs to.
    pub event_loop: Option<Addr>,
    /// The callbacks for when it is done.
    pub callbacks: Vec<Addr>,
    /// The exception it ended with.
    pub exception: Option<Addr>,
    /// The exception was never retrieved.
    pub never_retrieved: bool,
    /// 3.14+: its awaiters, according to its own field.
    pub awaited_by: Vec<Addr>,
}

/// A future that one or more tasks wait for, as a node between them.
#[derive(Clone, Debug, PartialEq)]
pub struct Waited {
    /// Its state.
    pub state: FutureState,
    /// The wait that it stands for by itself.
    pub wait: Wait,
    /// It is a task.
    pub is_task: bool,
}

/// A task that was read.
#[derive(Clone, Debug)]
pub struct TaskRecord {
    /// Its future part.
    pub future: FutureRecord,
    /// Its coroutine; gone once the task is done.
    pub coroutine: Option<Addr>,
    /// The future it waits for.
    pub waiter: Option<Addr>,
    /// The result of `get_name()`.
    pub name: Option<String>,
    /// Class name, unless it is asyncio's own C task.
    pub class_name: Option<String>,
    /// Cancellation was requested and not delivered yet.
    pub must_cancel: bool,
    /// Number of calls of `cancel()` minus those of `uncancel()`; 3.11+.
    pub cancel_requests: u32,
    /// Its reference count; `None` if unknown.
    pub references: Option<i64>,
    /// A piece that changes whenever the task makes a step; a task whose fields are attributes has none.
    pub anchor: Option<Span>,
}

impl TaskRecord {
    /// Not done.
    pub fn is_pending(&self) -> bool {
        self.future.state == FutureState::Pending
    }

    /// Whether another reading of the same task proves that it made no step and its reference count did not change.
    pub fn stood_still(&self, later: &Self) -> bool {
        self.waiter == later.waiter
            && self.coroutine == later.coroutine
            && self.references == later.references
            && self.future.state == later.future.state
            && self.future.callbacks == later.future.callbacks
    }

    /// It ended with an exception that was never retrieved.
    pub fn has_unretrieved_exception(&self) -> bool {
        self.future.state == FutureState::Finished && self.future.never_retrieved && self.future.exception.is_some()
    }
}

/// What is known of an event loop before it is watched.
#[derive(Clone, Debug)]
pub struct LoopFields {
    /// Qualified class name.
    pub class_name: String,
    /// The address of the length of its ready queue, an i64.
    pub ready: Option<Addr>,
}

/// An event loop that was read.
#[derive(Clone, Debug)]
pub struct LoopRecord {
    /// Its address.
    pub addr: Addr,
    /// Qualified class name.
    pub class_name: String,
    /// Callbacks in the ready queue.
    pub ready: Option<usize>,
    /// Timers, including cancelled ones; `None` where they are kept in C.
    pub scheduled: Option<usize>,
    /// The handles in the ready queue, as far as they are inspected.
    pub handles: Vec<Addr>,
    /// `close()` was called.
    pub closed: Option<bool>,
}

/// The tasks that were found, and the problems on the way.
#[derive(Debug, Default)]
pub struct TaskList {
    /// Addresses, each once, in the order in which they were found.
    pub tasks: Vec<Addr>,
    seen: FxHashSet<Addr>,
    /// Entries and lists that changed while they were read.
    pub problems: Vec<(&'static str, ReadError)>,
}

impl TaskList {
    /// Adds a task.
    pub fn add(&mut self, task: Addr) {
        if self.tasks.len() < MAX_TASKS && self.seen.insert(task) {
            self.tasks.push(task);
        }
    }

    /// Adds the tasks of one list; a list that could not be read is a problem.
    ///
    /// # Errors
    /// Those after which no further read can succeed.
    pub fn add_all(&mut self, what: &'static str, tasks: Result<Vec<Addr>, ReadError>) -> Result<(), ReadError> {
        match tasks {
            Ok(tasks) => tasks.into_iter().for_each(|task| self.add(task)),
            Err(error) => self.problem(what, error)?,
        }
        Ok(())
    }

    /// Notes that something could not be read.
    ///
    /// # Errors
    /// The same error, if no further read can succeed.
    pub fn problem(&mut self, what: &'static str, error: ReadError) -> Result<(), ReadError> {
        if error.is_fatal() {
            return Err(error);
        }
        self.problems.push((what, error));
        Ok(())
    }
}
