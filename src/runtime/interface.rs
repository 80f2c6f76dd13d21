//! What a runtime has to tell. Everything after this layer reads tasks and event loops through these two traits, so that
//! a further runtime is one more folder and one more entry in `runtimes.rs`.

use std::fmt::Debug;
use std::sync::Arc;

use super::record::{LoopFields, LoopRecord, TaskList, TaskRecord, Waited};
use super::references::FutureReferences;
use super::wait::{Place, Wait};
use crate::python::coroutine::Level;
use crate::python::frame::{NamedFrame, RawFrame};
use crate::python::interpreter::{Interpreter, PythonThread};
use crate::python::layout::Offset;
use crate::python::reader::Reader;
use crate::remote::{Addr, ReadError, Span};

/// A runtime that an interpreter has imported: where its tasks are listed, and what its threads run.
pub trait Imported: Debug + Send + Sync {
    /// Adds the tasks of an interpreter with these threads (states) to `list`: all that are pending, and of those that
    /// are done the ones that are still listed.
    ///
    /// # Errors
    /// Only those after which no further read can succeed; everything else is a problem of the list.
    fn list_tasks(
        &self,
        reader: &mut Reader<'_, '_>,
        interpreter: Addr,
        threads: &[Addr],
        list: &mut TaskList,
    ) -> Result<(), ReadError>;

    /// The event loop that runs in a thread. `pid` is the process id in the target's own namespace, if known.
    ///
    /// # Errors
    /// If it cannot be read.
    fn read_running_loop(
        &self,
        reader: &mut Reader<'_, '_>,
        thread: &PythonThread,
        pid: Option<i32>,
    ) -> Result<Option<Addr>, ReadError>;

    /// The task whose step runs, by event loop, as far as no thread state says it.
    ///
    /// # Errors
    /// If it cannot be read.
    fn read_current_tasks(&self, reader: &mut Reader<'_, '_>) -> Result<Vec<(Addr, Addr)>, ReadError>;

    /// The task whose step runs in a thread that runs `event_loop`: from the thread state, else from `current`.
    ///
    /// # Errors
    /// If it cannot be read.
    fn read_running_task(
        &self,
        reader: &mut Reader<'_, '_>,
        thread: &PythonThread,
        event_loop: Option<Addr>,
        current: &[(Addr, Addr)],
    ) -> Result<Option<Addr>, ReadError>;

    /// The words of a thread state that say what it runs.
    fn thread_words(&self) -> ThreadWords;
}

/// Fields of a thread state, where the interpreter has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadWords {
    /// The running event loop.
    pub running_loop: Option<Offset>,
    /// The task whose step runs.
    pub running_task: Option<Offset>,
}

/// A runtime: reads the objects that are its own, and keeps what it has learned about their classes.
pub trait Runtime: Send {
    /// What an interpreter has imported of it; `None` if nothing.
    ///
    /// # Errors
    /// If the interpreter's modules cannot be read.
    fn find(&self, reader: &mut Reader<'_, '_>, interpreter: Addr) -> Result<Option<Arc<dyn Imported>>, ReadError>;

    /// Whether an object is one of its event loops, tasks, or things that tasks wait for.
    ///
    /// # Errors
    /// If its type cannot be read.
    fn owns(&mut self, reader: &mut Reader<'_, '_>, addr: Addr) -> Result<bool, ReadError>;

    /// Whether an object is a task.
    ///
    /// # Errors
    /// If its type cannot be read.
    fn is_task(&mut self, reader: &mut Reader<'_, '_>, addr: Addr) -> Result<bool, ReadError>;

    /// Adds tasks that no list has and that are worth finding, such as those that failed unnoticed. `runtime` is the
    /// address of `_PyRuntime`.
    ///
    /// # Errors
    /// Only those after which no further read can succeed.
    fn add_unlisted_tasks(
        &mut self,
        reader: &mut Reader<'_, '_>,
        runtime: Addr,
        interpreter: &Interpreter,
        list: &mut TaskList,
    ) -> Result<(), ReadError>;

    /// Reads the task at `addr`.
    ///
    /// # Errors
    /// `Invalid("task")` if it is not a task.
    fn read_task(&mut self, reader: &mut Reader<'_, '_>, addr: Addr) -> Result<TaskRecord, ReadError>;

    /// The pieces of memory that tell a task from another one at the same address; none if there are no such pieces.
    ///
    /// # Errors
    /// If they cannot be read.
    fn identity(&self, reader: &mut Reader<'_, '_>, task: &TaskRecord) -> Result<Vec<Span>, ReadError>;

    /// The references to tasks that a task holds as something to wait for.
    ///
    /// # Errors
    /// If they cannot be read.
    fn read_references(&self, reader: &mut Reader<'_, '_>, task: &TaskRecord) -> Result<FutureReferences, ReadError>;

    /// Reads something that tasks wait for, and the references to tasks that it holds; `None` if it is nothing of this
    /// runtime.
    ///
    /// # Errors
    /// If it cannot be read.
    fn read_waited(
        &mut self,
        reader: &mut Reader<'_, '_>,
        addr: Addr,
    ) -> Result<Option<(Waited, FutureReferences)>, ReadError>;

    /// What a task waits for: from its innermost frames, outermost first, and from what `waited` stands for by itself.
    ///
    /// # Errors
    /// If what is needed cannot be read.
    fn describe_wait(
        &mut self,
        reader: &mut Reader<'_, '_>,
        chain: &[Place<'_>],
        waited: &Wait,
    ) -> Result<Wait, ReadError>;

    /// References to a task from its own frames and callbacks: a cycle, which keeps nothing alive.
    ///
    /// # Errors
    /// If they cannot be read.
    fn count_own_references(
        &mut self,
        reader: &mut Reader<'_, '_>,
        task: &TaskRecord,
        levels: &[Level],
    ) -> Result<i64, ReadError>;

    /// The objects that a suspended frame has entered with `async with`, plus the locks wrapped by conditions among
    /// them.
    ///
    /// # Errors
    /// If the frame cannot be read.
    fn read_entered(&self, reader: &mut Reader<'_, '_>, frame: &RawFrame) -> Result<Vec<Addr>, ReadError>;

    /// Whether the suspended frame of a task's outermost coroutine serves a connection that the runtime's own server
    /// accepted: then the runtime started the task.
    ///
    /// # Errors
    /// If the frame cannot be read.
    fn serves_connection(&self, reader: &mut Reader<'_, '_>, frame: &RawFrame) -> Result<bool, ReadError>;

    /// Whether a frame is of the runtime's own code.
    fn is_own_code(&self, frame: &NamedFrame) -> bool;

    /// Finds what is needed to watch the event loop at `addr`.
    ///
    /// # Errors
    /// If it cannot be read.
    fn find_loop(&self, reader: &mut Reader<'_, '_>, addr: Addr) -> Result<LoopFields, ReadError>;

    /// Reads the event loop at `addr`.
    ///
    /// # Errors
    /// If it cannot be read.
    fn read_loop(&self, reader: &mut Reader<'_, '_>, addr: Addr) -> Result<LoopRecord, ReadError>;

    /// The task that a handle in a ready queue steps or wakes.
    ///
    /// # Errors
    /// If the handle cannot be read.
    fn read_handle_task(&self, reader: &mut Reader<'_, '_>, handle: Addr) -> Result<Option<Addr>, ReadError>;

    /// Starts a new reading, in which long lists may be read again.
    fn begin(&mut self);

    /// Forgets everything known by the address of a type, which can have been freed in the meantime.
    fn forget_addresses(&mut self);
}
