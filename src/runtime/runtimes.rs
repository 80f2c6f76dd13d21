//! All runtimes that are known. An object is read by the runtime that its type belongs to.

use std::sync::Arc;

use super::asyncio;
use super::interface::{Imported, Runtime};
use super::layouts::Layouts;
use crate::python::frame::NamedFrame;
use crate::python::reader::Reader;
use crate::remote::{Addr, ReadError};

/// All runtimes.
pub struct Runtimes(Vec<Box<dyn Runtime>>);

impl Runtimes {
    /// Knows no classes yet.
    pub fn new(layouts: &Layouts) -> Self {
        Self(vec![Box::new(asyncio::Asyncio::new(layouts.asyncio))])
    }

    /// The runtime of an object; the first one for an object that belongs to none.
    ///
    /// # Errors
    /// If its type cannot be read.
    pub fn of(&mut self, reader: &mut Reader<'_, '_>, addr: Addr) -> Result<&mut dyn Runtime, ReadError> {
        let mut owner = 0;
        for (position, runtime) in self.0.iter_mut().enumerate().skip(1) {
            if runtime.owns(reader, addr)? {
                owner = position;
                break;
            }
        }
        Ok(&mut *self.0[owner])
    }

    /// Each of them.
    pub fn all(&mut self) -> impl Iterator<Item = &mut dyn Runtime> {
        self.0.iter_mut().map(|runtime| &mut **runtime as &mut dyn Runtime)
    }

    /// What an interpreter has imported.
    ///
    /// # Errors
    /// If the interpreter's modules cannot be read.
    pub fn find(&self, reader: &mut Reader<'_, '_>, interpreter: Addr) -> Result<Vec<Arc<dyn Imported>>, ReadError> {
        self.0.iter().filter_map(|runtime| runtime.find(reader, interpreter).transpose()).collect()
    }

    /// Whether a frame is of a runtime's own code.
    pub fn is_own_code(&self, frame: &NamedFrame) -> bool {
        self.0.iter().any(|runtime| runtime.is_own_code(frame))
    }
}
