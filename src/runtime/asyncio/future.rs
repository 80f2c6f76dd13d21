//! Futures of every implementation: asyncio's C type and its Python twin, their subclasses, and the future of a gather.

use rustc_hash::FxHashMap;

use super::layout::Layout;
use super::layout::rows::FUTURE_BLOCK;
use crate::python::block::Block;
use crate::python::reader::Reader;
use crate::remote::{Addr, ReadError, Span};
use crate::runtime::allowance::Allowance;
use crate::runtime::record::{FutureRecord, FutureState};

/// LIMIT: callbacks of one future that are read. A task whose callback is not among them has a reference that is not
/// explained, and is not called an orphan.
const MAX_CALLBACKS: usize = 16_384;

/// LIMIT: slots of the set of its awaiters that are read; at least an eighth of a large set's slots are in use. An awaiter
/// that is not among them is known by what it waits for itself.
const MAX_AWAITER_SLOTS: u64 = 65_536;

/// The implementation of a future or task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FutureKind {
    /// `_asyncio.Task` or a subclass.
    CTask,
    /// `_asyncio.Future` or a subclass.
    CFuture,
    /// `asyncio.tasks._PyTask` or a subclass: every field is an attribute.
    PythonTask,
    /// `asyncio.futures._PyFuture` or a subclass.
    PythonFuture,
    /// Something else.
    Other,
}

impl FutureKind {
    /// Whether it runs a coroutine.
    pub fn is_task(self) -> bool {
        matches!(self, Self::CTask | Self::PythonTask)
    }
}

/// The properties of a class of futures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FutureClass {
    /// Its implementation.
    pub kind: FutureKind,
    /// `asyncio.gather`'s own future, which lists its children.
    pub is_gathering: bool,
}

/// Classes of futures by type address, and how much of the futures' lists may still be read.
pub struct FutureClasses {
    /// The layout of asyncio's structures.
    pub layout: Layout,
    classes: FxHashMap<Addr, FutureClass>,
    allowance: Allowance,
}

impl FutureClasses {
    /// Knows no classes yet.
    pub fn new(layout: Layout) -> Self {
        Self { layout, classes: FxHashMap::default(), allowance: Allowance::default() }
    }

    /// The class of the object at `addr`.
    pub fn class_of(&mut self, reader: &mut Reader<'_, '_>, addr: Addr) -> Result<FutureClass, ReadError> {
        let ty = reader.view.object(addr, reader.layout.object.ob_type)?;
        self.class_of_type(reader, ty)
    }

    /// The class of the type at `ty`.
    pub fn class_of_type(&mut self, reader: &mut Reader<'_, '_>, ty: Addr) -> Result<FutureClass, ReadError> {
        if let Some(&class) = self.classes.get(&ty) {
            return Ok(class);
        }
        let class = self.read_class(reader, ty)?;
        self.classes.insert(ty, class);
        Ok(class)
    }

    fn read_class(&self, reader: &mut Reader<'_, '_>, ty: Addr) -> Result<FutureClass, ReadError> {
        let (mut next, mut is_gathering, mut kind) = (Some(ty), false, FutureKind::Other);
        // LIMIT: bases; deeper hierarchies do not occur outside of generated code.
        for _ in 0..64 {
            let Some(addr) = next else { break };
            let info = reader.caches.types.get(reader.view, reader.layout, addr)?;
            kind = match info.name.as_str() {
                "_asyncio.Task" => FutureKind::CTask,
                "_asyncio.Future" => FutureKind::CFuture,
                "Task" | "Future" | "_GatheringFuture" if info.is_heap => {
                    let types = &mut reader.caches.types;
                    let name = reader.view.sharing(|view| types.qualified_name(view, reader.layout, addr))?;
                    match name.as_str() {
                        "asyncio.tasks.Task" => FutureKind::PythonTask,
                        "asyncio.futures.Future" => FutureKind::PythonFuture,
                        "asyncio.tasks._GatheringFuture" => {
                            is_gathering = true;
                            FutureKind::Other
                        }
                        _ => FutureKind::Other,
                    }
                }
                _ => FutureKind::Other,
            };
            // The size of the C structures proves that their layout is the known one.
            let expected = match kind {
                FutureKind::CTask => Some(self.layout.task.size),
                FutureKind::CFuture => Some(self.layout.future.size),
                _ => None,
            };
            if expected.is_some_and(|size| size != info.basicsize.unsigned_abs()) {
                return Err(ReadError::Invalid("layout of asyncio's C types"));
            }
            if kind != FutureKind::Other {
                break;
            }
            next = info.base;
        }
        Ok(FutureClass { kind, is_gathering })
    }

    /// Starts a new reading, in which the futures' lists may be read again.
    pub fn renew_allowance(&mut self) {
        self.allowance = Allowance::default();
    }

    /// Whether the future (or task) at `addr` is done; `None` if the object is neither.
    pub fn read_state(&mut self, reader: &mut Reader<'_, '_>, addr: Addr) -> Result<Option<FutureState>, ReadError> {
        match self.class_of(reader, addr)?.kind {
            FutureKind::CTask | FutureKind::CFuture => self.read_c_state(reader, addr).map(Some),
            FutureKind::PythonTask | FutureKind::PythonFuture => read_python_state(reader, addr).map(Some),
            FutureKind::Other => Ok(None),
        }
    }

    /// Reads the future (or task) at `addr`; `None` if the object is neither.
    pub fn read(&mut self, reader: &mut Reader<'_, '_>, addr: Addr) -> Result<Option<FutureRecord>, ReadError> {
        let class = self.class_of(reader, addr)?;
        let future = match class.kind {
            FutureKind::CTask | FutureKind::CFuture => self.read_c_future(reader, addr, class)?,
            FutureKind::PythonTask | FutureKind::PythonFuture => {
                read_python_future(reader, addr, class, self.allowance)?
            }
            FutureKind::Other => return Ok(None),
        };
        self.allowance.earn();
        self.allowance.take(future.callbacks.len() + future.awaited_by.len())?;
        Ok(Some(future))
    }

    /// Counts the targets of a task that were not read as part of futures.
    ///
    /// # Errors
    /// `Limit` if too much was listed in total.
    pub fn count_targets(&mut self, targets: &[Addr]) -> Result<(), ReadError> {
        self.allowance.earn();
        self.allowance.take(targets.len())
    }

    fn read_c_state(&self, reader: &mut Reader<'_, '_>, addr: Addr) -> Result<FutureState, ReadError> {
        parse_c_state(reader.view.i32(addr, self.layout.future.state)?)
    }

    fn read_c_future(
        &self,
        reader: &mut Reader<'_, '_>,
        addr: Addr,
        class: FutureClass,
    ) -> Result<FutureRecord, ReadError> {
        let fields = &self.layout.future;
        let bytes: [u8; FUTURE_BLOCK] = reader.view.block(addr, fields.size as usize)?;
        let block = Block(&bytes);
        let mut callbacks = Vec::new();
        callbacks.extend(block.pointer(fields.callback0)?);
        if let Some(list) = block.pointer(fields.callbacks)?
            && let Some(list) = reader.not_none(list)?
        {
            callbacks.extend(read_callback_list(reader, list, self.allowance)?);
        }
        let awaited_by = match fields.awaited_by {
            None => Vec::new(),
            Some(by) => match block.pointer(by.object)? {
                None => Vec::new(),
                Some(set) if block.i8(by.is_set)? & 1 == 1 => reader.part_of_set(set, MAX_AWAITER_SLOTS)?,
                Some(awaiter) => vec![awaiter],
            },
        };
        let exception = match block.pointer(fields.exception)? {
            Some(exception) => reader.not_none(exception)?,
            None => None,
        };
        Ok(FutureRecord {
            addr,
            is_task: class.kind.is_task(),
            is_gathering: class.is_gathering,
            state: parse_c_state(block.i32(fields.state)?)?,
            event_loop: block.pointer(fields.event_loop)?,
            callbacks,
            exception,
            never_retrieved: block.flag(fields.log_traceback)?,
            awaited_by,
        })
    }
}

// CPython: Modules/_asynciomodule.c, fut_state.
fn parse_c_state(state: i32) -> Result<FutureState, ReadError> {
    match state {
        0 => Ok(FutureState::Pending),
        1 => Ok(FutureState::Cancelled),
        2 => Ok(FutureState::Finished),
        _ => Err(ReadError::Invalid("future")),
    }
}

fn read_python_state(reader: &mut Reader<'_, '_>, addr: Addr) -> Result<FutureState, ReadError> {
    match reader.str_attribute(addr, "_state")?.as_deref() {
        None | Some("PENDING") => Ok(FutureState::Pending),
        Some("CANCELLED") => Ok(FutureState::Cancelled),
        Some("FINISHED") => Ok(FutureState::Finished),
        Some(_) => Err(ReadError::Invalid("future")),
    }
}

/// Attributes that were never set have the class's default, which is what an absent one means here.
// CPython: Lib/asyncio/futures.py.
fn read_python_future(
    reader: &mut Reader<'_, '_>,
    addr: Addr,
    class: FutureClass,
    allowance: Allowance,
) -> Result<FutureRecord, ReadError> {
    let state = read_python_state(reader, addr)?;
    let callbacks = match reader.attribute(addr, "_callbacks")? {
        Some(list) => read_callback_list(reader, list, allowance)?,
        None => Vec::new(),
    };
    let awaited_by = match reader.attribute_not_none(addr, "_Future__asyncio_awaited_by")? {
        Some(set) => reader.part_of_set(set, MAX_AWAITER_SLOTS)?,
        None => Vec::new(),
    };
    Ok(FutureRecord {
        addr,
        is_task: class.kind.is_task(),
        is_gathering: class.is_gathering,
        state,
        event_loop: reader.attribute(addr, "_loop")?,
        callbacks,
        exception: reader.attribute_not_none(addr, "_exception")?,
        never_retrieved: is_true(reader, addr, "_Future__log_traceback")?,
        awaited_by,
    })
}

/// Whether an attribute is set to True.
pub(crate) fn is_true(reader: &mut Reader<'_, '_>, object: Addr, name: &str) -> Result<bool, ReadError> {
    // True is an int of value 1.
    Ok(reader.int_attribute(object, name)? == Some(1))
}

/// Callbacks of a list of (callback, context) tuples.
fn read_callback_list(reader: &mut Reader<'_, '_>, list: Addr, allowance: Allowance) -> Result<Vec<Addr>, ReadError> {
    let len = usize::try_from(reader.view.i64(list, reader.layout.object.size)?).unwrap_or(0);
    allowance.check(len.min(MAX_CALLBACKS))?;
    let mut entries = reader.list(list)?;
    entries.truncate(MAX_CALLBACKS);
    // Read together, because there can be very many: one after the other would cost a round of the wave for each page.
    let len = reader.layout.builtin.tuple_items as usize + 8;
    reader.view.prefetch(entries.iter().map(|entry| Span::new(*entry, len)));
    let mut callbacks = Vec::with_capacity(entries.len());
    for entry in entries {
        callbacks.extend(reader.tuple(entry)?.first());
    }
    Ok(callbacks)
}

/// The children of a gather's future.
pub fn read_children(reader: &mut Reader<'_, '_>, gathering: Addr) -> Result<Vec<Addr>, ReadError> {
    match reader.attribute(gathering, "_children")? {
        Some(children) => reader.list(children),
        None => Ok(Vec::new()),
    }
}
