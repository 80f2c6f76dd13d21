//! asyncio as a [`Runtime`].

use std::sync::Arc;

use super::callback::read_callbacks;
use super::event_loop::{find_ready_length, read_handle_task, read_loop, read_loop_class};
use super::future::{FutureClasses, FutureKind};
use super::layout::Layout;
use super::lock::read_entered;
use super::ownership::{HolderTypes, count_own_references, read_future_references};
use super::registry::{AsyncioModules, add_unlisted_tasks};
use super::streams::serves_connection;
use super::task::read_task;
use super::wait::{describe_future, describe_wait, is_asyncio};
use crate::python::coroutine::Level;
use crate::python::frame::{NamedFrame, RawFrame};
use crate::python::interpreter::Interpreter;
use crate::python::reader::{Reader, optional};
use crate::remote::{Addr, ReadError, Span};
use crate::runtime::interface::{Imported, Runtime};
use crate::runtime::record::{LoopFields, LoopRecord, TaskList, TaskRecord, Waited};
use crate::runtime::references::FutureReferences;
use crate::runtime::wait::{Place, Wait};

/// LIMIT: bytes of a name that must be unchanged for the name to count as the same.
const NAME: usize = 96;

/// asyncio, and the classes of futures that are known.
pub struct Asyncio {
    classes: FutureClasses,
    holders: HolderTypes,
}

impl Asyncio {
    /// Knows no classes yet.
    pub fn new(layout: Layout) -> Self {
        Self { classes: FutureClasses::new(layout), holders: HolderTypes::default() }
    }
}

impl Runtime for Asyncio {
    fn find(&self, reader: &mut Reader<'_, '_>, interpreter: Addr) -> Result<Option<Arc<dyn Imported>>, ReadError> {
        let modules = AsyncioModules::find(reader, &self.classes.layout, interpreter)?;
        Ok(modules.map(|modules| Arc::new(modules) as Arc<dyn Imported>))
    }

    fn owns(&mut self, reader: &mut Reader<'_, '_>, addr: Addr) -> Result<bool, ReadError> {
        let class = self.classes.class_of(reader, addr)?;
        Ok(class.kind != FutureKind::Other || class.is_gathering)
    }

    fn is_task(&mut self, reader: &mut Reader<'_, '_>, addr: Addr) -> Result<bool, ReadError> {
        Ok(self.classes.class_of(reader, addr)?.kind.is_task())
    }

    fn add_unlisted_tasks(
        &mut self,
        reader: &mut Reader<'_, '_>,
        runtime: Addr,
        interpreter: &Interpreter,
        list: &mut TaskList,
    ) -> Result<(), ReadError> {
        add_unlisted_tasks(reader, &mut self.classes, runtime, interpreter, list)
    }

    fn read_task(&mut self, reader: &mut Reader<'_, '_>, addr: Addr) -> Result<TaskRecord, ReadError> {
        read_task(reader, &mut self.classes, addr)
    }

    fn identity(&self, reader: &mut Reader<'_, '_>, task: &TaskRecord) -> Result<Vec<Span>, ReadError> {
        let (addr, fields) = (task.future.addr, &self.classes.layout.task);
        let (mut pieces, name) = if task.anchor.is_some() {
            let (first, last) = (fields.coro.min(fields.name), fields.coro.max(fields.name) + 8);
            let own = addr.add(first).map(|start| Span::new(start, (last - first) as usize));
            (own.into_iter().collect(), reader.view.pointer(addr, fields.name)?)
        } else {
            // Its fields are Python attributes.
            let mut pieces = reader.attribute_pieces(addr, "_coro")?;
            if pieces.is_empty() {
                return Ok(pieces);
            }
            pieces.extend(reader.attribute_pieces(addr, "_name")?);
            (pieces, reader.attribute(addr, "_name")?)
        };
        // Not beyond the end of the object: the memory after it can change at any time.
        let len = reader.layout.unicode.ascii_data as usize + task.name.as_deref().map_or(0, str::len).min(NAME);
        pieces.extend(name.map(|name| Span::new(name, len)));
        pieces.sort_unstable_by_key(|piece| (piece.addr, piece.len));
        pieces.dedup();
        Ok(pieces)
    }

    fn read_references(&self, reader: &mut Reader<'_, '_>, task: &TaskRecord) -> Result<FutureReferences, ReadError> {
        let callbacks = read_callbacks(reader, &task.future.callbacks)?;
        read_future_references(reader, &task.future, &callbacks)
    }

    fn read_waited(
        &mut self,
        reader: &mut Reader<'_, '_>,
        addr: Addr,
    ) -> Result<Option<(Waited, FutureReferences)>, ReadError> {
        let Some(future) = self.classes.read(reader, addr)? else { return Ok(None) };
        let callbacks = read_callbacks(reader, &future.callbacks)?;
        let wait = describe_future(reader, &mut self.classes, &future, &callbacks)?;
        let references = read_future_references(reader, &future, &callbacks)?;
        Ok(Some((Waited { state: future.state, wait, is_task: future.is_task }, references)))
    }

    fn describe_wait(
        &mut self,
        reader: &mut Reader<'_, '_>,
        chain: &[Place<'_>],
        waited: &Wait,
    ) -> Result<Wait, ReadError> {
        describe_wait(reader, &mut self.classes, chain, waited)
    }

    fn count_own_references(
        &mut self,
        reader: &mut Reader<'_, '_>,
        task: &TaskRecord,
        levels: &[Level],
    ) -> Result<i64, ReadError> {
        count_own_references(reader, &mut self.holders, task, levels)
    }

    fn read_entered(&self, reader: &mut Reader<'_, '_>, frame: &RawFrame) -> Result<Vec<Addr>, ReadError> {
        read_entered(reader, frame)
    }

    fn serves_connection(&self, reader: &mut Reader<'_, '_>, frame: &RawFrame) -> Result<bool, ReadError> {
        serves_connection(reader, frame)
    }

    fn is_own_code(&self, frame: &NamedFrame) -> bool {
        is_asyncio(frame)
    }

    fn find_loop(&self, reader: &mut Reader<'_, '_>, addr: Addr) -> Result<LoopFields, ReadError> {
        let class_name = read_loop_class(reader, addr)?;
        Ok(LoopFields { class_name, ready: optional(find_ready_length(reader, addr))?.flatten() })
    }

    fn read_loop(&self, reader: &mut Reader<'_, '_>, addr: Addr) -> Result<LoopRecord, ReadError> {
        read_loop(reader, addr)
    }

    fn read_handle_task(&self, reader: &mut Reader<'_, '_>, handle: Addr) -> Result<Option<Addr>, ReadError> {
        read_handle_task(reader, handle)
    }

    fn begin(&mut self) {
        self.classes.renew_allowance();
    }

    fn forget_addresses(&mut self) {
        *self = Self::new(self.classes.layout);
    }
}
