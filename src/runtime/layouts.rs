//! The layouts of the interpreter and its runtimes.

use super::asyncio;
use crate::python::layout::Layout;
use crate::python::layout::published::PublishedError;
use crate::remote::{Addr, Memory, Process, ReadError, View};

/// The layouts of the interpreter and its runtimes.
#[derive(Clone, Debug, PartialEq)]
pub struct Layouts {
    /// CPython.
    pub python: Layout,
    /// asyncio.
    pub asyncio: asyncio::layout::Layout,
}

/// Why the layouts of the runtimes are not known.
#[derive(Debug)]
pub enum LayoutError {
    /// A published table cannot be read.
    Read(ReadError),
    /// A published table cannot be used.
    Published(PublishedError),
}

impl Layouts {
    /// The layouts of the runtimes of this CPython. `asyncio_table` is the table of offsets that asyncio publishes, see
    /// [`find_asyncio_table`].
    ///
    /// # Errors
    /// If the published table cannot be read or used.
    pub fn new(python: Layout, view: &mut View<'_>, asyncio_table: Option<Addr>) -> Result<Self, LayoutError> {
        let mut asyncio = asyncio::layout::rows::row(&python);
        if let Some(addr) = asyncio_table {
            let table = view.bytes(addr, asyncio::layout::published::TABLE).map_err(LayoutError::Read)?;
            asyncio = asyncio::layout::published::overlay(asyncio, &python, &table).map_err(LayoutError::Published)?;
        }
        Ok(Self { python, asyncio })
    }
}

/// The table of offsets that asyncio's C module publishes about itself, if this version has one and the program has
/// imported asyncio.
pub fn find_asyncio_table(process: &Process, memory: &dyn Memory, python: &Layout) -> Option<Addr> {
    asyncio::locate::find_table(process, memory, &asyncio::layout::rows::row(python))
}
