//! Imported modules: their globals, and the C state of extension modules.

use super::reader::Reader;
use crate::remote::{Addr, ReadError};

/// An imported module.
#[derive(Clone, Copy, Debug)]
pub struct Module {
    /// Its `__dict__`.
    pub globals: Addr,
    /// Its C state, for extension modules that have one.
    pub state: Option<Addr>,
}

impl Reader<'_, '_> {
    /// The module called `name`, if the interpreter has imported it.
    pub fn module(&mut self, interpreter: Addr, name: &str) -> Result<Option<Module>, ReadError> {
        let Some(modules) = self.view.pointer(interpreter, self.layout.interp.modules)? else { return Ok(None) };
        let Some(module) = self.key(modules, name)? else { return Ok(None) };
        // `sys.modules` can contain anything, including None.
        if !self.is_instance(module, "module")? {
            return Ok(None);
        }
        let Some(globals) = self.view.pointer(module, self.layout.builtin.module_dict)? else { return Ok(None) };
        Ok(Some(Module { globals, state: self.view.pointer(module, self.layout.builtin.module_state)? }))
    }

    /// The global variable `name` of a module.
    pub fn global(&mut self, module: Module, name: &str) -> Result<Option<Addr>, ReadError> {
        self.key(module.globals, name)
    }
}
