//! The task that a loop's thread runs, and the proof that it is still the same one.

use super::around::Around;
use crate::model::snapshot::Frame;
use crate::model::tables::TaskInfo;
use crate::python::awaitable::AwaitableKind;
use crate::python::caches::Caches;
use crate::python::frame::RawFrame;
use crate::python::reader::{Reader, optional};
use crate::python::stack_watch::StackWatch;
use crate::remote::{Addr, Memory, ReadError, Span, View};
use crate::runtime::interface::Imported;
use crate::runtime::runtimes::Runtimes;

/// A task that was seen running.
#[derive(Clone, Debug)]
pub(super) struct RunningTask {
    addr: Addr,
    coroutine: Addr,
    /// The code of the coroutine; `None` if it was not on the stack.
    code: Option<Addr>,
    /// The coroutine is compiled (grpc.aio): it has no frame, so no stack shows it.
    is_compiled: bool,
    pub(super) info: TaskInfo,
    /// Pieces that identify the task, with their bytes: its coroutine and name, and the name's object.
    identity: Vec<(Span, Vec<u8>)>,
}

impl RunningTask {
    /// The pieces to read along with a sample.
    pub(super) fn spans(&self) -> impl Iterator<Item = Span> + '_ {
        self.identity.iter().map(|(span, _)| *span)
    }

    /// Whether a sample shows the same task: its pieces start at index `first` of those read besides the stack.
    pub(super) fn is_unchanged(&self, stack: &StackWatch, first: usize) -> bool {
        let mut numbered = self.identity.iter().enumerate();
        numbered.all(|(number, (_, bytes))| stack.beside(first + number) == Some(&bytes[..]))
    }

    /// Whether its pieces are unchanged now.
    pub(super) fn is_still_there(&self, memory: &dyn Memory) -> Result<bool, ReadError> {
        let spans: Vec<Span> = self.spans().collect();
        let mut out = vec![0; spans.iter().map(|span| span.len).sum()];
        let mut results = Vec::with_capacity(spans.len());
        memory.read_batch(&spans, &mut out, &mut results);
        if let Some(Err(error)) = results.iter().find(|result| result.is_err_and(ReadError::is_fatal)) {
            return Err(*error);
        }
        let then = self.identity.iter().flat_map(|(_, bytes)| bytes);
        Ok(!spans.is_empty() && results.iter().all(Result::is_ok) && out.iter().eq(then))
    }

    pub(super) fn coroutine(&self) -> Addr {
        self.coroutine
    }

    /// Whether it is this task, and its outermost coroutine is one of `roots`, if there are any.
    pub(super) fn is(&self, task: Option<Addr>, roots: &[RawFrame]) -> bool {
        let is_root = |frame: &RawFrame| {
            frame.generator == Some(self.coroutine) && self.code.is_none_or(|code| code == frame.code)
        };
        match task {
            Some(task) if task != self.addr => false,
            // The loop's own record is the only evidence.
            task if self.is_compiled => task.is_some(),
            _ => roots.is_empty() || roots.iter().any(is_root),
        }
    }
}

/// The evidence in a sample for the task whose step runs.
pub(super) struct Traces<'t> {
    pub(super) event_loop: Addr,
    pub(super) imported: &'t dyn Imported,
    /// The task in the thread state (3.14+).
    pub(super) noted: Option<Addr>,
    /// The callback that runs.
    pub(super) handle: Option<Addr>,
    /// The outermost frame of each row of coroutines on the stack, outermost first; none if the step has gone on below
    /// a greenlet.
    pub(super) roots: &'t [RawFrame],
}

/// Finds the task whose step runs. Each trace can be out of date, so if any coroutines are on the stack, only a task
/// with one of them is accepted.
pub(super) fn find_running_task(
    memory: &dyn Memory,
    around: &Around,
    traces: &Traces<'_>,
) -> Result<Option<RunningTask>, ReadError> {
    let (mut view, mut caches, mut runtimes) = (View::new(memory), Caches::default(), Runtimes::new(&around.layouts));
    let mut reader = Reader::new(&mut view, &around.layouts.python, &mut caches);
    let believed = |reader: &mut Reader<'_, '_>, runtimes: &mut Runtimes, addr: Option<Addr>| {
        let Some(addr) = addr else { return Ok(None) };
        let task = optional(read_running(reader, runtimes, addr, traces.roots))?.flatten();
        Ok::<_, ReadError>(task.filter(|task| task.is(Some(addr), traces.roots)))
    };
    if traces.noted.is_some() {
        return believed(&mut reader, &mut runtimes, traces.noted);
    }
    // The handle is that of the outermost step.
    if let (Some(handle), [_]) = (traces.handle, traces.roots) {
        let task = optional(runtimes.of(&mut reader, handle)?.read_handle_task(&mut reader, handle))?.flatten();
        if let Some(task) = believed(&mut reader, &mut runtimes, task)? {
            return Ok(Some(task));
        }
    }
    let current = optional(traces.imported.read_current_tasks(&mut reader))?.unwrap_or_default();
    let current = current.into_iter().find(|(key, _)| *key == traces.event_loop).map(|(_, task)| task);
    believed(&mut reader, &mut runtimes, current)
}

fn read_running(
    reader: &mut Reader<'_, '_>,
    runtimes: &mut Runtimes,
    addr: Addr,
    frames: &[RawFrame],
) -> Result<Option<RunningTask>, ReadError> {
    let runtime = runtimes.of(reader, addr)?;
    let record = runtime.read_task(reader, addr)?;
    let Some(coroutine) = record.coroutine else { return Ok(None) };
    // A task without such pieces cannot be checked this way: it is read again whenever its coroutine changes.
    let spans = runtime.identity(reader, &record)?;
    let mut identity = Vec::with_capacity(spans.len());
    for span in spans {
        identity.push((span, reader.view.bytes(span.addr, span.len)?));
    }
    let frame = frames.iter().find(|frame| frame.generator == Some(coroutine));
    let info = TaskInfo {
        key: addr.raw(),
        name: record.name.map(Into::into),
        coroutine: match frame {
            Some(frame) => optional(first_line_of(reader, frame))?,
            None => None,
        },
    };
    let is_compiled = frame.is_none() && is_compiled(reader, coroutine)?;
    Ok(Some(RunningTask { addr, coroutine, code: frame.map(|frame| frame.code), is_compiled, info, identity }))
}

fn is_compiled(reader: &mut Reader<'_, '_>, coroutine: Addr) -> Result<bool, ReadError> {
    let ty = reader.type_of(coroutine)?.addr;
    let (layout, caches) = (reader.layout, &mut *reader.caches);
    let kind = caches.awaitables.kind(reader.view, layout, &mut caches.types, &mut caches.attributes, ty)?;
    Ok(matches!(kind, AwaitableKind::Cython { .. }))
}

/// The name of a coroutine, and the first line of its function.
fn first_line_of(reader: &mut Reader<'_, '_>, frame: &RawFrame) -> Result<Frame, ReadError> {
    let info = reader.code(frame.code)?;
    let named = frame.name(reader.view, reader.layout, reader.caches)?;
    Ok(Frame { function: named.function, file: named.file, line: u32::try_from(info.first_line).ok() })
}
